"""Secrets of every kind, in every encoding and place, are found in nothing that the program keeps, prints or sends."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

import pytest

import property.planted_secrets as secrets
from invented import LONG_AGO, Claude, put, run, state_of
from llm_homes import KEY, OPERATION, Kitchen, kitchen
from support.messages_server import Refusal, Reply

EVERY: Final = ("--all", "--state", "any", "--limit", "0")
RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
NAMES: Final = {"plain", "base64"}  # what can stand where only letters and joints can


class Plants:
    """The secrets that were planted, each of its own, so that a trace tells which it is of."""

    def __init__(self) -> None:
        own = KEY[20 : 20 + secrets.TRACE]
        self.places: dict[str, tuple[str, str, str]] = {own: ("our own key", "plain", "configuration")}
        self.clean: set[bytes] = set()  # runs of key characters that were looked at

    def plant(self, kind: str, encoding: str, place: str) -> str:
        """A text that holds a new secret."""
        made = secrets.planted(kind, encoding, zlib.crc32(f"{kind} {encoding} {place}".encode()))
        self.places.update(dict.fromkeys(made.traces(), (kind, encoding, place)))
        return made.text

    def found_in(self, data: bytes, where: str) -> set[str]:
        """Which of them left a trace in some bytes, as it is or in base64."""
        runs = set(RUN.findall(data)) - self.clean
        leaks = set()
        for key in runs:
            traces = _windows(key) | {trace for part in RUN.findall(_decoded(key)) for trace in _windows(part)}
            if found := traces & self.places.keys():
                leaks |= {f"{' / '.join(self.places[trace])} in {where}" for trace in found}
            else:
                self.clean.add(key)
        return leaks


def _windows(run: bytes) -> set[str]:
    """Every piece of a run that is as long as a trace."""
    text = run.decode("ascii")
    return {text[start : start + secrets.TRACE] for start in range(len(text) - secrets.TRACE + 1)}


def _decoded(text: bytes) -> bytes:
    """What a run of base64 characters holds, if it is base64."""
    body = text.replace(b"=", b"").translate(bytes.maketrans(b"-_", b"+/"))
    return base64.b64decode(body[: len(body) // 4 * 4])


def session(plants: Plants, number: int, kinds: Sequence[str]) -> Claude:
    """A session in which these kinds of secrets stand wherever one can."""
    story = Claude(f"s{number}", begins=LONG_AGO + 1000 * number)
    for kind, encoding in product(kinds, secrets.ENCODINGS):
        secret = partial(plants.plant, kind, encoding)
        story.cwd = f"/home/mara/{secret('working directory')}"
        story.say(f"Never run it without this, always use\n{secret('request')}\nPlease pour.")
        story.sh(
            f"gh pr diff 12 --stat\n{secret('failed command')}", f"unknown flag: --stat\n{secret('error')}", error=True
        )
        story.sh(f"gh pr diff 12 --name-only\n{secret('command')}", f"web/timer.ts\n{secret('output')}")
        story.edit(f"/home/mara/{secret('path')}", secret("old text"), secret("new text"))
        story.call("mcp__kettle__pour", {"given": secret("tool input")}, secret("tool output"))
        if encoding in NAMES and kind in secrets.PROVIDERS:
            story.call(f"mcp__{secret('tool')}__get", {secret("name of an input"): "1"}, "gone", error=True)
        story.queue(f"No, don't do that, I said\n{secret('queued request')}\n")
        story.answer(f"I did as you said:\n{secret('answer')}\n")
    return story


def rollout(plants: Plants, number: int, kind: str) -> list[dict[str, object]]:
    """A session of Codex, in whose head the secret stands in the URL of the repository."""
    secret = plants.plant(kind, "plain", "repository")
    url = secret if "://" in secret else f"https://git.test/mara/{secret}.git"
    head = {
        "id": f"0199baba-0000-7000-8000-{number:012}",
        "timestamp": "2026-11-14T09:00:00.000Z",
        "cwd": f"/home/mara/gone/{plants.plant(kind, 'URL', 'directory of a rollout')}",
        "originator": "codex_cli_rs",
        "cli_version": "0.60.0",
        "git": {"repository_url": url, "branch": plants.plant(kind, "plain", "branch")},
    }
    said = {"type": "user_message", "message": f"pour {plants.plant(kind, 'plain', 'message')}"}
    asked = [{"type": "input_text", "text": said["message"]}]
    return [
        {"timestamp": head["timestamp"], "type": "session_meta", "payload": head},
        {"timestamp": head["timestamp"], "type": "event_msg", "payload": said},
        {"timestamp": head["timestamp"], "type": "response_item",
         "payload": {"type": "message", "role": "user", "content": asked}},
    ]  # fmt: skip


def answers(plants: Plants) -> Iterator[Reply | Refusal]:
    """What the model says: lessons that hold secrets, or quote them, and one that does not; now and then an error."""
    kinds = secrets.kinds()
    for number in range(0, len(kinds), 2):
        if number % 8 == 0:
            yield from [Refusal(400, all_encodings(plants, kinds[number], "error of the service"))] * 2
        told = product(kinds[number : number + 2], secrets.ENCODINGS)
        operations = [
            {
                **OPERATION,
                "condition": f"water {number} is poured: {plants.plant(kind, encoding, 'learned condition')}",
                "action": f"pour {plants.plant(kind, encoding, 'learned action')}",
                "rationale": f"so {plants.plant(kind, encoding, 'learned rationale')}",
                "quotes": [{"record": "e1", "text": "Please pour."}],
            }
            for kind, encoding in told
        ]
        spied = {"record": "e1", "text": plants.plant(kinds[number], "plain", "quote")}
        clean = {**OPERATION, "condition": f"water {number} is poured", "quotes": operations[0]["quotes"]}
        operations += [clean, {**clean, "quotes": [spied]}]
        yield Reply(json.dumps({"operations": operations}))


def kept(state: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the state directory, and what is compressed in the database."""
    for path in sorted(state.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()
    with closing(sqlite3.connect(f"file:{state / 'lessons.db'}?mode=ro", uri=True)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in database.execute(f"SELECT * FROM {table}"):  # noqa: S608 - our own table
                for value in row:
                    with suppress(TypeError, zlib.error):
                        yield f"{table}, compressed", zlib.decompress(value)


@pytest.fixture
def place() -> Iterator[Kitchen]:
    """A HOME and a model."""
    with kitchen() as made:
        yield made


def authenticate(place: Kitchen, key: str) -> None:
    """Configure a key, in a file of its own."""
    path = put(place.home / "key", key.encode())
    path.chmod(0o600)
    place.configure(api_key_file=str(path), daily_usd=1000.0)


def all_encodings(plants: Plants, kind: str, where: str) -> str:
    """A secret of this kind in each encoding."""
    return "\n".join(plants.plant(kind, encoding, where) for encoding in secrets.ENCODINGS)


def test_no_secret_is_kept_printed_or_sent(place: Kitchen) -> None:
    """79 kinds of secrets in 6 encodings and 20 places: no trace in requests, database, log, status or output."""
    plants = Plants()
    kinds = secrets.kinds()
    logs = [
        session(plants, number, kinds[number : number + 4]).write(place.home, at=LONG_AGO + number)
        for number in range(0, len(kinds), 4)
    ]
    for number, kind in enumerate(kinds[::3]):
        lines = b"".join(json.dumps(record).encode() + b"\n" for record in rollout(plants, number, kind))
        name = f"rollout-2026-11-14T09-00-00-0199baba-0000-7000-8000-{number:012}.jsonl"
        put(place.home / ".codex/sessions/2026/11/14" / name, lines, at=LONG_AGO + number)
    authenticate(place, f"{KEY}old")
    said = {"run --show-prompt": place.run("run", "--limit", "4", "--show-prompt")}
    place.server.script(Refusal(403, all_encodings(plants, "github", "refusal of a key")))
    said["run, blocked"] = place.run("run", "--limit", "1")
    said["status, blocked"] = status(place)
    assert "not for" in said["status, blocked"] or "403" in said["status, blocked"]
    authenticate(place, KEY)
    place.server.script(*answers(plants))
    state = state_of(place.home)
    with closing(sqlite3.connect(state / "lessons.db")) as reader:
        reader.execute("BEGIN").execute("SELECT * FROM logs").fetchall()  # keeps the write-ahead log
        said["run --json"] = place.run("run", "--limit", "0", "--json")
        said["status"] = status(place)
        said["lessons list"] = place.run("lessons", "list", *EVERY, "--json")
        said["lessons search"] = place.run("lessons", "search", "pour", "water", *EVERY)
        for lesson in json.loads(said["lessons list"])[::40]:
            said["lessons show"] = said.get("lessons show", "") + place.run("lessons", "show", lesson["id"])
        said["inspect"] = "".join(place.run("inspect", log) for log in logs[::10])
        said["inspect --json"] = "".join(place.run("inspect", "--json", log) for log in logs[1::10])
        files = list(kept(state))
    assert {"lessons.db", "lessons.db-wal", "lessons.db-shm", "status.toml"} <= {name for name, _ in files}
    leaks = {leak for name, data in files for leak in plants.found_in(data, name)}
    leaks |= {leak for name, text in said.items() for leak in plants.found_in(text.encode(), name)}
    bodies = [asked.body for asked in place.server.requests]
    for body in bodies:
        leaks |= plants.found_in(body, "a request")
        leaks |= plants.found_in(json.dumps(json.loads(body), ensure_ascii=False).encode(), "a decoded request")
    assert not leaks, "\n".join(sorted(leaks))
    assert len(bodies) > len(logs)
    assert b"".join(bodies).count(b"[REDACTED:") > len(kinds) * len(secrets.ENCODINGS)


def status(place: Kitchen) -> str:
    """What the status says, to people and to programs."""
    return run(place.home, "status").stdout + run(place.home, "status", "--json").stdout

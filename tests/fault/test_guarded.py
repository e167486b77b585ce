"""Faults 61 and 62: no secret stays anywhere, and the supervisor hears the truth about the worker."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import lives
from hindrances import injected
from homes import AT_ONCE_ANYWHERE, CLAUDE, SESSIONS, Home, until
from property.planted_secrets import ENCODINGS, PROVIDERS, TEMPLATES, provider_secret, template_secret
from selfdistill.config import Scanning

NAME = CLAUDE[0]
BUSY = Scanning(directories_every_seconds=0.2, hot_every_seconds=0.2)
TRACE = 12  # as many characters of a secret in a row are a trace of it


def planted() -> list[tuple[str, str]]:
    """Texts with a secret of every kind in every encoding, each with its secret."""
    found = []
    for number, kind in enumerate(PROVIDERS):
        whole, secret = provider_secret(kind, number)
        found += [(f"export KEY={encode(whole)}", secret) for name, encode in ENCODINGS.items() if name != "base64"]
    for number, kind in enumerate(TEMPLATES):
        text, secret = template_secret(kind, 1000 + number)
        found += [(encode(text), secret) for name, encode in ENCODINGS.items() if name in {"plain", "JSON", "shell"}]
    return found


def session_with(text: str, number: int) -> bytes:
    """An invented session in which a person, a failing command, its output and the answer hold a text."""
    mark = f"{number:08x}"
    records = [json.loads(line) for line in SESSIONS[NAME].splitlines()]
    for record in records:
        message = record.get("message", {})
        if isinstance(message.get("content"), str):
            message["content"] = f"From now on always use {text} here. {message['content']}"
        for part in message["content"] if isinstance(message.get("content"), list) else []:
            if part["type"] == "tool_use" and "command" in part["input"]:
                part["input"]["command"] += f" {text}"
            elif part["type"] == "tool_result":
                part["content"] = f"{part['content']}\n{text}"
            elif part["type"] == "text":
                part["text"] += f" {text}"
        record["cwd"] = f"/home/mara/{mark}"
    data = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    return data.replace(NAME[:8].encode(), mark.encode()).replace(b'"uuid": "', b'"uuid": "' + mark.encode())


def kept_by(home: Home) -> bytes:
    """All that our files hold, the database's free pages and journal too, and what was logged."""
    files = [path for path in home.state.rglob("*") if path.is_file()]
    return b"\0".join([path.read_bytes() for path in files] + [(home.path / "daemon.log").read_bytes()])


def traces(secret: str, kept: str) -> list[str]:
    """The pieces of the secret that are still there."""
    pieces = (secret[start : start + TRACE] for start in range(0, len(secret) - TRACE + 1, 4))
    return [piece for piece in pieces if piece in kept]


def test_case_61_no_secret_stays(tmp_path: Path) -> None:
    """Secrets of 70 kinds, encoded in five ways, are in no file and no message of ours, also after a kill."""
    home = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
    secrets = planted()
    random.Random(61).shuffle(secrets)  # noqa: S311 - repeatable on purpose
    for number in range(0, len(secrets), 12):
        group = secrets[number : number + 12]
        text = " ; ".join(text for text, _ in group)
        (home.claude / f"{number:08x}{NAME[8:]}").write_bytes(session_with(text, number))
    with home.daemon(LEAKED="sk-" + "ant-api03-" + "x7A" * 20) as daemon:
        until(lambda: home.status()["total_lessons"] > 20 and home.status()["backlog"] == 0, "lessons", seconds=60)
        kept = kept_by(home).decode("utf-8", "replace")
        daemon.process.kill()
        daemon.process.wait(10)
    kept += kept_by(home).decode("utf-8", "replace")
    kept += home.command("lessons", "list", "--all", "--state", "any", "--limit", "0", "--json")
    kept += home.command("inspect", str(next(home.claude.iterdir())))
    leaked = {text: found for text, secret in secrets if (found := traces(secret, kept))}
    assert not leaked
    assert "x7Ax7A" not in kept
    assert "[REDACTED:" in kept


def test_case_61_private_under_any_umask(tmp_path: Path) -> None:
    """With umask 000 directories are 0700 and files 0600, those that SQLite makes too."""
    home = Home(tmp_path, AT_ONCE_ANYWHERE)
    home.fill()
    daemon = lives.start(["daemon"], home.environment(), stderr=tmp_path / "daemon.log", umask=0)
    try:
        until(lambda: home.status().get("total_lessons"), "lessons")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home.state, *home.state.rglob("*"))}
        assert {name for name, mode in modes.items() if mode & 0o077} == set()
        assert "lessons.db-wal" in modes
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(10) == 0
    finally:
        daemon.kill()


@pytest.mark.parametrize("kind", ["path", "abstract", "missing", "unwritable"])
def test_case_62_supervisor(tmp_path: Path, kind: str) -> None:
    """READY once, pings, and STOPPING reach a supervisor at any kind of address; a deaf one is no reason to end."""
    home = Home(tmp_path)
    address = {"abstract": f"@selfdistill-{os.getpid()}", "missing": "/nowhere/at/all", "unwritable": "/dev/null"}
    name = address.get(kind, str(tmp_path / "notify"))
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        if kind in {"path", "abstract"}:
            supervisor.bind(name.replace("@", "\0"))
            supervisor.settimeout(0.2)
        with home.daemon(NOTIFY_SOCKET=name, WATCHDOG_USEC="300000"):
            (home.claude / NAME).write_bytes(SESSIONS[NAME])
            until(lambda: home.status().get("total_lessons"), "lessons")
            time.sleep(0.5)  # several pings are due in that
        if kind in {"path", "abstract"}:
            with suppress(TimeoutError):
                while True:
                    heard.append(supervisor.recv(4096))
    if kind in {"path", "abstract"}:
        assert heard.count(b"READY=1") == heard.count(b"STOPPING=1") == 1
        assert heard.index(b"READY=1") < heard.index(b"STOPPING=1")
        assert heard.count(b"WATCHDOG=1") >= 1


# A daemon that takes its worker for stuck after a third of a second, not after a quarter of an hour.
IMPATIENT = """
import os, signal, sys
from selfdistill.cli.main import main
from selfdistill.service import daemon
daemon.STUCK_SECONDS = 0.3
os.kill(os.getpid(), signal.SIGSTOP)
sys.exit(main(["daemon"]))
"""


def test_case_62_hanging_worker(tmp_path: Path) -> None:
    """While the worker hangs in a system call the pings stop, so that the supervisor starts the daemon anew."""
    home = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
    (home.claude / NAME).write_bytes(SESSIONS[NAME])
    name = str(tmp_path / "notify")
    environment = home.environment(NOTIFY_SOCKET=name, WATCHDOG_USEC="150000")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor,
        subprocess.Popen([sys.executable, "-c", IMPATIENT], env=environment, stderr=subprocess.DEVNULL) as daemon,
    ):
        supervisor.bind(name)
        supervisor.settimeout(1.5)
        os.waitpid(daemon.pid, os.WUNTRACED)
        try:
            with injected(daemon.pid, "pread64:delay_enter=60000000", path=home.claude / NAME):
                until(lambda: home.status().get("state"), "a daemon")
                heard: list[bytes] = []
                with suppress(TimeoutError):  # it would ping twenty times in that
                    while len(heard) < 200:
                        heard.append(supervisor.recv(4096))
                assert b"READY=1" in heard
                assert heard.count(b"WATCHDOG=1") < 100
                assert daemon.poll() is None
        finally:
            daemon.kill()

"""Invented sessions, HOMEs that hold them, the program run on them as a user does, and what its store then holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import lives
import selfdistill
from selfdistill.config import Config, Places, Settling
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.service.one_pass import Pass, one_pass
from selfdistill.service.running import Selection
from selfdistill.store import Store

START: Final = [sys.executable, "-c", "import sys; from selfdistill.cli.main import main; sys.exit(main())"]
SAMPLE: Final = Path(selfdistill.__file__).parent / "sample"
FIXTURES: Final = Path(__file__).parent / "fixtures"
CLAUDE: Final = Path(".claude/projects/-home-mara-kettle")
CODEX: Final = Path(".codex/sessions/2026/11/14")
LONG_AGO: Final = 1_780_000_000.0  # any log so old has settled
AT_ONCE: Final = Config(settling=Settling(settle_seconds=0.0, max_wait_minutes=1e-6, open_call_hours=1e-6))
MEMORY: Final = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108 - no waiting for the disk


class Claude:
    """A session of Claude Code, told in few words; ids hang on the seed, so another seed is another session."""

    def __init__(self, seed: str, *, cwd: str = "/home/mara/kettle", begins: float = LONG_AGO) -> None:
        self.seed = seed
        self.session = f"{seed:0>8}-aaaa-4bbb-8ccc-000000000000"
        self.cwd = cwd
        self.begins = begins
        self.lines: list[bytes] = []

    def _add(self, kind: str, message: dict[str, Any]) -> None:
        number = len(self.lines)
        when = datetime.fromtimestamp(self.begins + number, UTC).isoformat().replace("+00:00", "Z")
        self._put(
            {
                "parentUuid": f"{self.seed}-{number - 1}" if number else None,
                "isSidechain": False,
                "userType": "external",
                "entrypoint": "cli",
                "cwd": self.cwd,
                "sessionId": self.session,
                "version": "2.1.180",
                "type": kind,
                "message": message,
                "uuid": f"{self.seed}-{number}",
                "timestamp": when,
            }
        )

    def _put(self, record: dict[str, Any]) -> None:
        self.lines.append(json.dumps(record).encode() + b"\n")

    def _agent(self, content: dict[str, Any], stop_reason: str) -> None:
        message = {"id": f"m{len(self.lines)}", "role": "assistant", "content": [content], "stop_reason": stop_reason}
        self._add("assistant", message)

    def say(self, text: str) -> Claude:
        """A person's prompt."""
        self._add("user", {"role": "user", "content": text})
        return self

    def queue(self, text: str) -> Claude:
        """A person's prompt while the agent works: it waits."""
        when = "2026-11-02T09:00:00.000Z"
        told = {"operation": "enqueue", "content": text, "sessionId": self.session, "timestamp": when}
        self._put({"type": "queue-operation", **told})
        return self

    def answer(self, text: str) -> Claude:
        """The agent's words, the end of its turn."""
        self._agent({"type": "text", "text": text}, "end_turn")
        return self

    def ask(self, tool: str, given: dict[str, str]) -> str:
        """A tool call that waits for its result; its id."""
        name = f"toolu_{self.seed}_{len(self.lines)}"
        self._agent({"type": "tool_use", "id": name, "name": tool, "input": given}, "tool_use")
        return name

    def call(self, tool: str, given: dict[str, str], output: str, *, error: bool = False) -> Claude:
        """A tool call and its result."""
        result: dict[str, Any] = {"tool_use_id": self.ask(tool, given), "type": "tool_result", "content": output}
        self._add("user", {"role": "user", "content": [result | ({"is_error": True} if error else {})]})
        return self

    def sh(self, command: str, output: str = "ok", *, error: bool = False) -> Claude:
        """A shell call with its result."""
        return self.call("Bash", {"command": command}, f"Exit code 1\n{output}" if error else output, error=error)

    def edit(self, path: str, old: str, new: str) -> Claude:
        """An edit."""
        return self.call("Edit", {"file_path": path, "old_string": old, "new_string": new}, "updated")

    def write(self, home: Path, name: str = "", *, lines: int | None = None, at: float = LONG_AGO) -> Path:
        """The log, or its first lines, as a settled file below a HOME."""
        return put(home / CLAUDE / f"{name or self.session}.jsonl", b"".join(self.lines[:lines]), at=at)


def repaired(seed: str, cwd: str = "/home/mara/kettle") -> Claude:
    """A session whose failed command was repaired: an active lesson by itself."""
    story = Claude(seed, cwd=cwd).say("Show me what changed in PR 12.")
    story.sh("gh pr diff 12 --stat", "unknown flag: --stat\n\nUsage: gh pr diff", error=True)
    return story.sh("gh pr diff 12 --name-only", "web/timer.ts").answer("One file.")


def mended(seed: str) -> Claude:
    """A session in which a test was mended: its lesson waits for a second session."""
    story = Claude(seed).say("The timer test fails, mend it.")
    failed = "FAILED tests/test_timer.py::test_boils - assert 99 == 100\n=== 1 failed, 4 passed in 0.12s ==="
    story.sh("pytest tests/test_timer.py", failed, error=True)
    story.edit("/home/mara/kettle/kettle/clock.py", "seconds = 99", "seconds = 100")
    return story.sh("pytest tests/test_timer.py", "=== 5 passed in 0.10s ===").answer("Mended.")


def put(path: Path, data: bytes, *, at: float = LONG_AGO) -> Path:
    """A file with this content and modification time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (at, at))
    return path


def fill(home: Path) -> dict[Path, bytes]:
    """Lay the bundled sample and the fixtures of Claude Code and Codex out as a user's logs; path -> content."""
    logs: dict[Path, bytes] = {}
    for source in sorted([*SAMPLE.rglob("*.jsonl"), *FIXTURES.rglob("*.jsonl")]):
        if source.parent.name == "codex":
            name = source.name if source.name.startswith("rollout-") else f"rollout-2026-11-14T09-00-00-{source.name}"
            path = home / CODEX / name
        elif source.parent.name in {"claude", "claude_code"}:
            path = home / CLAUDE / source.name
        else:
            continue
        logs[put(path, source.read_bytes(), at=LONG_AGO + len(logs))] = source.read_bytes()
    return logs


def environment_of(home: Path) -> dict[str, str]:
    """The environment of a user with this HOME and nothing else set."""
    python = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}  # which tree is tested
    return {**python, "HOME": str(home), "PATH": os.environ["PATH"]}


def run(
    home: Path, *words: str | Path, umask: int = -1, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The program, as a process of its own, in this HOME and with no other variables set than these."""
    return lives.run(
        [str(word) for word in words], {**environment_of(home), **(variables or {})}, cwd=home, umask=umask
    )


def manifest(home: Path, *words: str | Path) -> dict[str, Any]:
    """The manifest of a run that must succeed."""
    done = run(home, "run", "--json", *words)
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def parts(home: Path, state: Path, config: Config = AT_ONCE, clock: Callable[[], float] = time.time) -> Assembly:
    """The program's parts in this process, on a state directory of its own."""
    return assemble(config, Places(config=home / "none.toml", state=state), home, {}, clock=clock)


def distil(home: Path, state: Path, *selections: Selection, config: Config = AT_ONCE) -> list[Pass]:
    """Passes in this process, one after the other on one open store; without selections one over everything."""
    assembly = parts(home, state, config)
    with assembly.store:
        return [one_pass(assembly, selection) for selection in selections or (Selection(limit=0),)]


def state_of(home: Path) -> Path:
    """Where the state directory is by default."""
    return home / ".local/state/selfdistill"


def rows(state: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Findings, sightings by path, and lessons, without numbers and times of our own."""
    store = Store.open_read_only(state / "lessons.db")
    assert store is not None
    with store:
        ask = store._database.rows
        found = {
            "findings": ask("SELECT * FROM findings"),
            "sightings": ask(
                "SELECT finding_id, directory, name, sightings.distiller, version, generation, sightings.session,"
                " provisional, spans, times, body FROM sightings JOIN logs ON id = log_id"
            ),
            "lessons": [row[1:22] for row in ask("SELECT * FROM lessons")],
        }
    return {name: sorted(table, key=repr) for name, table in found.items()}

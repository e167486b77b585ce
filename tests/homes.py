"""A temporary user's home with invented logs in it, and a real daemon of ours that watches them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

import lives
from selfdistill.config import Config, Limits, Places, Scanning, Settling
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.service.one_pass import SAMPLE, one_pass
from selfdistill.service.running import Selection

PROGRAM = [sys.executable, "-c", "import sys; from selfdistill.cli.main import main; sys.exit(main())"]
SESSIONS = {path.name: path.read_bytes() for path in sorted(SAMPLE.rglob("*.jsonl"))}
CLAUDE = tuple(name for name in SESSIONS if not name.startswith("rollout-"))
ROLLOUT = next(name for name in SESSIONS if name.startswith("rollout-"))
PATIENCE_SECONDS = 15.0  # how long a test waits for what takes milliseconds, on a machine that is busy
OUR_TIMES = {"created_at", "updated_at"}

# All events lost, and what takes minutes takes moments.
WITHOUT_EVENTS = bool(os.environ.get("SELFDISTILL_TESTS_WITHOUT_EVENTS"))  # set by `tests/run full`
SCANS_ONLY = Scanning(watch=False, directories_every_seconds=0.1, hot_every_seconds=0.1)
AT_ONCE = Settling(settle_seconds=0.0)
# Also turns that are open are distilled after no time at all, so that a log is cut wherever it happens to end.
AT_ONCE_ANYWHERE = Settling(settle_seconds=0.0, max_wait_minutes=0.0001, open_call_hours=0.000001)


def until(happened: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until the answer is true; fail after `seconds`."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def unsealed(state: Path) -> None:
    """What a test is about to do to a closed store is to be met as it is, not as damage that a seal shows."""
    (state / ".initialised").write_bytes(b"")


def comparable(lessons: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lessons in the order of their ids, without the times at which we wrote them."""
    kept = [{key: value for key, value in lesson.items() if key not in OUR_TIMES} for lesson in lessons]
    return sorted(kept, key=lambda lesson: str(lesson["id"]))


class Home:
    """A user's home: Claude Code's and Codex' logs, our configuration, our state."""

    def __init__(self, path: Path, settling: Settling = AT_ONCE, scanning: Scanning | None = None) -> None:
        self.path = path
        self.claude = path / ".claude" / "projects" / "kettle"
        self.codex = path / ".codex" / "sessions" / "2026" / "11" / "14"
        self.archive = path / ".codex" / "archived_sessions"
        self.state = path / ".local" / "state" / "selfdistill"
        self.config = path / ".config" / "selfdistill" / "config.toml"
        for directory in (self.claude, self.codex, self.archive, self.config.parent):
            directory.mkdir(parents=True, exist_ok=True)
        self.configure(settling, scanning or Scanning())

    def configure(self, settling: Settling, scanning: Scanning, limits: Limits | None = None, more: str = "") -> None:
        """Write the configuration file; with SELFDISTILL_TESTS_WITHOUT_EVENTS set, scans alone find what changes."""
        if WITHOUT_EVENTS:
            scanning = SCANS_ONLY
        tables = {"settling": settling, "scanning": scanning, "limits": limits or Limits()}
        lines = []
        for name, table in tables.items():
            lines.append(f"[{name}]")
            values = ((field, getattr(table, field)) for field in table.__struct_fields__)
            lines += [f"{field} = {json.dumps(value)}" for field, value in values]
        self.config.write_text("\n".join([*lines, more, ""]))
        self.config.chmod(0o600)

    def fill(self) -> None:
        """All the invented sessions, each where its agent keeps it."""
        for name in CLAUDE:
            (self.claude / name).write_bytes(SESSIONS[name])
        (self.codex / ROLLOUT).write_bytes(SESSIONS[ROLLOUT])

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of this user; nothing of ours but PATH and what tests need of Python."""
        kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("PYTHON")}
        return {**kept, "HOME": str(self.path), **more}

    def command(self, *words: str, expect: int = 0) -> str:
        """What a command of ours prints."""
        done = lives.run(words, self.environment())
        assert done.returncode == expect, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def lessons(self) -> list[dict[str, Any]]:
        """All lessons of all projects, waiting ones too, as the command line tells them."""
        words = ("lessons", "list", "--all", "--state", "any", "--limit", "0", "--json")
        return comparable(json.loads(self.command(*words)))

    def status(self) -> dict[str, Any]:
        """The status file, empty if there is none."""
        try:
            return tomllib.loads((self.state / "status.toml").read_text())
        except FileNotFoundError:
            return {}

    def source(self, name: str = "claude_code") -> dict[str, Any]:
        """What the status says of one source."""
        table: dict[str, Any] = self.status().get("sources", {}).get(name, {})
        return table

    def places(self) -> Places:
        """Where our files are."""
        return Places(config=self.config, state=self.state)

    @contextmanager
    def assembly(self, config: Config | None = None) -> Iterator[Assembly]:
        """The parts of the program over this home's store, in this process."""
        made = assemble(config or Config(settling=AT_ONCE), self.places(), self.path, {})
        with made.store:
            yield made

    @contextmanager
    def daemon(
        self, *, wait: bool = True, within: int = 0, limits: Mapping[str, int] | None = None, **environment: str
    ) -> Iterator[Daemon]:
        """A running daemon that has looked at everything once; ended in good order unless the test has ended it.

        `within`: in the namespaces of this process. `limits`: with these resource limits.
        """
        daemon = Daemon(self, environment, within, limits)
        try:
            if wait:
                until(daemon.is_up, "a daemon that watches")
            yield daemon
            daemon.stop()
        finally:
            daemon.end()

    def waits_for(self, lessons: int) -> None:
        """Wait until the status tells of so many lessons, and of nothing left to do."""
        until(
            lambda: self.status().get("total_lessons") == lessons and self.status()["backlog"] == 0,
            f"{lessons} lessons and no backlog",
        )


class Daemon:
    """A daemon process; its standard error goes to `<home>/daemon.log`."""

    def __init__(
        self, home: Home, environment: dict[str, str], within: int = 0, limits: Mapping[str, int] | None = None
    ) -> None:
        self._home = home
        told = home.environment(**environment)
        (home.path / "daemon.log").touch()
        self.process = lives.start(["daemon"], told, stderr=home.path / "daemon.log", within=within, limits=limits)

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def stop(self) -> None:
        """SIGTERM, and it ends in good order; nothing if it has ended already."""
        if self.process.poll() is None:
            self.send(signal.SIGTERM)
            try:
                code = self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.send(signal.SIGABRT)  # it tells what each of its threads is at (lives.py)
                self.process.wait(10)
                raise AssertionError(f"SIGTERM did not end it:\n{self.log()}") from None
            assert code == 0, self.log()

    def end(self) -> None:
        """However the test went, no process stays."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def log(self) -> str:
        """What it said."""
        return (self._home.path / "daemon.log").read_text()

    def is_up(self) -> bool:
        """Whether its first round is over."""
        assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}:\n{self.log()}"
        status = self._home.status()
        return status.get("pid") == self.pid and status["state"] not in {"starting", "stopped"}


def learned_at_once(directory: Path) -> list[dict[str, Any]]:
    """What one pass over the invented sessions, read whole, gives: what every other way of reading must give, too."""
    home = Home(directory)
    home.fill()
    with home.assembly() as assembly:
        one_pass(assembly, Selection(limit=0, paths=(home.claude, home.codex)))
        lessons = assembly.store.lessons(None, state=None, everywhere=True)
    return comparable(json.loads(msgspec.json.encode(lessons)))

"""SIGTERM while the model is being asked, at the moments that nobody can interrupt: gone within five seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from homes import AT_ONCE, PROGRAM, SCANS_ONLY, Home, until
from invented import LONG_AGO
from llm_homes import boiling
from selfdistill.store import Store
from support.messages_server import MessagesServer, Reply

# Put before everything else that Python finds: where it sleeps, a file says so.
SLEEPING_SDK = "import pathlib, time\npathlib.Path({mark!r}).touch()\ntime.sleep(60)\n"
SLEEPING_NAMES = """import pathlib, socket, time
def getaddrinfo(*_words, **_more):
    pathlib.Path({mark!r}).touch()
    time.sleep(60)
socket.getaddrinfo = getaddrinfo
"""
SECONDS_FOR_THE_SDK = 60.0  # 3 on a machine that has nothing else to do


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    """A service that takes a minute for an answer."""
    with MessagesServer() as made:
        made.otherwise = Reply(latency_seconds=60.0)
        yield made


class Stuck:
    """A process of ours that hangs where it asks the model: while it imports, looks a name up, or waits."""

    def __init__(self, path: Path, where: str, server: MessagesServer, *words: str) -> None:
        self.home = Home(path)
        table = f"[llm]\nbase_url = {json.dumps(server.url)}\nsettle_minutes = 0"
        self.home.configure(AT_ONCE, SCANS_ONLY, more=table)
        boiling().write(self.home.path, at=LONG_AGO)
        self._mark = path / "stuck"
        self._server = server if where == "answer" else None
        tampered = self._tamper(path / "python", where)
        python_path = os.pathsep.join([str(tampered), os.environ.get("PYTHONPATH", "")])
        with (path / "said").open("wb") as said:
            self.process = subprocess.Popen(
                [*PROGRAM, *words], env=self.home.environment(PYTHONPATH=python_path), stdout=said, stderr=said
            )

    def _tamper(self, directory: Path, where: str) -> Path:
        directory.mkdir(parents=True)
        if where == "import":
            (directory / "anthropic.py").write_text(SLEEPING_SDK.format(mark=str(self._mark)))
        elif where == "name":
            (directory / "sitecustomize.py").write_text(SLEEPING_NAMES.format(mark=str(self._mark)))
        return directory

    def is_stuck(self) -> bool:
        """Whether it has come so far."""
        assert self.process.poll() is None, self.said()
        return bool(self._server.calls()) if self._server else self._mark.exists()

    def said(self) -> str:
        """What it printed."""
        return (self.home.path / "said").read_text()

    def left(self) -> tuple[int, int]:
        """What its store holds: logs that are owed to the model, and calls that count as spent."""
        store = Store.open_read_only(self.home.state / "lessons.db")
        assert store is not None
        with store:
            return len(store.owed("heuristic", "llm")), store.spent_today(time.time()).calls

    def end(self) -> None:
        """However the test went, no process stays."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


def code_after_sigterm(stuck: Stuck) -> int:
    """The exit code after SIGTERM; fails after five seconds."""
    begun = time.monotonic()
    stuck.process.send_signal(signal.SIGTERM)
    code = stuck.process.wait(30)
    assert time.monotonic() - begun < 5.0, stuck.said()
    return code


def codes_after_sigterm(stuck: list[Stuck]) -> set[int]:
    """The exit codes of processes once each hangs and gets SIGTERM."""
    try:
        for one in stuck:
            until(one.is_stuck, "a process that asks", SECONDS_FOR_THE_SDK)
        return {code_after_sigterm(one) for one in stuck}
    finally:
        for one in stuck:
            one.end()


def test_daemon_leaves_its_asker_behind(tmp_path: Path, server: MessagesServer) -> None:
    """A daemon whose SDK is being imported, or whose service's name is being looked up, ends in order and in time."""
    stuck = [Stuck(tmp_path / where, where, server, "daemon") for where in ("import", "name")]
    assert codes_after_sigterm(stuck) == {0}
    for one in stuck:
        assert one.home.status()["state"] == "stopped"
        assert one.left() == (1, 1), "still owed; what may have been sent counts"
        assert "asker_failed" not in one.said()


def test_run_ends_at_once(tmp_path: Path, server: MessagesServer) -> None:
    """A `run --model` ends by SIGTERM wherever it is; what it distilled stays; what was being asked is told of."""
    places = ("import", "name", "answer")
    words = ("run", "--model", "claude-haiku-4-5")
    stuck = [Stuck(tmp_path / where, where, server, *words) for where in places]
    assert codes_after_sigterm(stuck) == {-signal.SIGTERM}
    assert [one.left() for one in stuck] == [(1, 1)] * 3
    assert "being asked by another process: 1" in stuck[0].home.command(*words)

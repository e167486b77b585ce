"""Faults 4 to 12: however the daemon is stopped, started, held or cut off, it neither hangs nor loses anything."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import lives
from homes import AT_ONCE, AT_ONCE_ANYWHERE, CLAUDE, SESSIONS, Home, until
from selfdistill.config import Scanning, Settling

NAME = CLAUDE[0]
BUSY = Scanning(directories_every_seconds=0.2, hot_every_seconds=0.2)
STARTS = 20
DAEMONS = 50


def locked(home: Home) -> sqlite3.Connection:
    """A connection of another program, which holds the store's write lock until it is closed."""
    connection = sqlite3.connect(home.state / "lessons.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def has_open(pid: int, name: str) -> bool:
    """Whether a process holds a file of this name open."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    return any(link.readlink().name == name for link in links if link.is_symlink())


def left_behind(home: Home) -> list[Path]:
    """Temporary files in the state directory."""
    return [path for path in home.state.iterdir() if ".new" in path.name or path.name.startswith(".status")]


class TestSigterm:
    """Case 4, where no other test has it: SIGTERM ends the daemon in good order, and the next one loses nothing."""

    def test_case_04_sigterm_in_a_transaction(self, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
        """While a transaction waits for another program's: exit code 0 within 5 s."""
        home = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
        with home.daemon() as daemon:
            with closing(locked(home)):
                home.fill()
                time.sleep(0.3)  # it has met the lock by now; if not, this proves less
                daemon.send(signal.SIGTERM)
                begun = time.monotonic()
                assert daemon.process.wait(10) == 0, daemon.log()
                assert time.monotonic() - begun < 5
            assert not left_behind(home)
        with home.daemon():
            home.waits_for(len(expected))
        assert home.lessons() == expected

    def test_case_04_sigterm_at_the_start(self, tmp_path: Path) -> None:
        """While opening the store waits for another program's transaction: exit code 0 within 15 s."""
        home = Home(tmp_path)
        with home.daemon():
            pass
        with closing(locked(home)):
            daemon = lives.start(["daemon"], home.environment(), stderr=tmp_path / "daemon.log")
            try:
                until(lambda: has_open(daemon.pid, "lessons.db-wal"), "a daemon that opens the store")
                daemon.send_signal(signal.SIGTERM)
                assert daemon.wait(15) == 0, (tmp_path / "daemon.log").read_text()
            finally:
                daemon.kill()
        with home.daemon():
            assert not left_behind(home)


def known_logs(home: Home) -> int:
    """How many logs the store knows, earlier than the status tells."""
    with closing(sqlite3.connect(home.state / "lessons.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM logs").fetchone()[0])


def test_case_07_stopped_and_continued(tmp_path: Path) -> None:
    """What grew while the daemon was frozen is not taken for quiet when it wakes, and is found at once."""
    settle_seconds = 2.0
    deaf = Scanning(watch=False, directories_every_seconds=600, hot_every_seconds=600)  # no event comes first by luck
    home = Home(tmp_path, Settling(settle_seconds=settle_seconds, max_wait_minutes=30), deaf)
    path = home.claude / NAME
    lines = SESSIONS[NAME].splitlines(keepends=True)
    path.write_bytes(lines[0])
    os.utime(path, (time.time() + 3600,) * 2)  # so that its quiet begins when it is met
    with home.daemon() as daemon:
        until(lambda: known_logs(home) == 1, "a log that settles")
        daemon.send(signal.SIGSTOP)
        time.sleep(settle_seconds + 0.5)  # long enough for the log to look quiet to whoever was away
        path.write_bytes(b"".join(lines))
        written = time.monotonic()
        daemon.send(signal.SIGCONT)
        until(lambda: home.status().get("total_lessons"), "lessons of it")
        assert time.monotonic() - written >= settle_seconds


def test_case_08_killed_while_starting(tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    """After twenty kills at any moment of a start the next one is not wedged by what they left."""
    chance = random.Random(8)  # noqa: S311 - repeatable on purpose
    home = Home(tmp_path, AT_ONCE_ANYWHERE)
    home.fill()
    for _ in range(STARTS):
        with home.daemon(wait=False) as daemon:
            time.sleep(chance.random() * 0.15)
            daemon.process.kill()
            assert daemon.process.wait(10) == -signal.SIGKILL
    with home.daemon():
        home.waits_for(len(expected))
    assert home.lessons() == expected
    for path in left_behind(home):  # a young one may have an owner
        os.utime(path, (0, 0))
    home.command("run")
    assert not left_behind(home)


def test_case_09_fifty_daemons_at_once(tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    """Of 50 daemons started together one runs, the others exit 69 without touching its state."""
    home = Home(tmp_path)
    home.fill()
    crowd = [lives.start(["daemon"], home.environment(), stderr=tmp_path / "daemon.log") for _ in range(DAEMONS)]
    try:
        until(lambda: sum(daemon.poll() is not None for daemon in crowd) == DAEMONS - 1, "one that is left", seconds=60)
        (winner,) = [daemon for daemon in crowd if daemon.poll() is None]
        assert {daemon.returncode for daemon in crowd if daemon is not winner} == {69}
        home.waits_for(len(expected))
        assert home.status()["pid"] == winner.pid
        winner.send_signal(signal.SIGTERM)
        assert winner.wait(10) == 0
    finally:
        for daemon in crowd:
            daemon.kill()
    assert home.lessons() == expected


@pytest.mark.parametrize("how", ["unlinked", "replaced"])
def test_case_10_lock_file_unlinked(tmp_path: Path, how: str) -> None:
    """When somebody takes the lock file away and starts a second daemon, the first one ends within a heartbeat."""
    home = Home(tmp_path)
    lock = home.state / "daemon.lock"
    with home.daemon(WATCHDOG_USEC="300000") as first:
        if how == "unlinked":
            lock.unlink()
        else:
            other = home.state / "other"
            other.touch()
            other.replace(lock)
        with home.daemon(wait=False) as second:
            assert first.process.wait(10) in ({69} if how == "replaced" else {69, 73}), first.log()
            until(second.is_up, "the second daemon at work")
            (home.claude / NAME).write_bytes(SESSIONS[NAME])
            until(lambda: home.status().get("total_lessons"), "lessons of the second one")
            assert home.status()["pid"] == second.pid


def test_case_11_stale_lock_of_a_living_stranger(tmp_path: Path) -> None:
    """A lock file and a status file that name a process which lives, but is not a daemon, keep nobody from starting."""
    home = Home(tmp_path)
    with home.daemon() as daemon:
        daemon.process.kill()
        daemon.process.wait(10)
    (home.state / "daemon.lock").write_text(f"{os.getpid()}\nsome-boot\n")
    status = (home.state / "status.toml").read_text().replace(f"pid = {daemon.pid}", f"pid = {os.getpid()}")
    (home.state / "status.toml").write_text(status)
    home.command("status", expect=3)
    with home.daemon():
        home.command("status")


def test_case_12_nowhere_to_log(tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    """With a full disk behind its standard error the daemon works on, and ends in good order."""
    home = Home(tmp_path, AT_ONCE)
    daemon = lives.start(["daemon"], home.environment(), stdout="/dev/full", stderr="/dev/full")
    try:
        home.fill()
        home.waits_for(len(expected))
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(10) == 0
    finally:
        daemon.kill()

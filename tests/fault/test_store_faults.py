"""Faults 45 to 52: a store that cannot be written loses nothing, says why, and goes on by itself."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import lives
from hindrances import Namespace, injected, mount, namespace, recorded
from homes import AT_ONCE, AT_ONCE_ANYWHERE, CLAUDE, PROGRAM, SCANS_ONLY, SESSIONS, Home, comparable, until
from selfdistill import logs
from selfdistill.config import Config, Limits, Scanning
from selfdistill.service import pausing
from selfdistill.service.worker import Worker
from selfdistill.store import Store

NAME = CLAUDE[0]
BUSY = Scanning(directories_every_seconds=0.2, hot_every_seconds=0.2)
NO_RESERVE = Limits(min_free_mib=0)


def soundness(database: Path) -> str:
    """What SQLite says of the file."""
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def lessons_in(state: Path, copy: Path) -> list[str]:
    """The ids of the lessons in a state directory that only another namespace can reach."""
    shutil.copytree(state, copy, ignore=shutil.ignore_patterns("hints", "*.lock"))
    assert soundness(copy / "lessons.db") == "ok"
    store = Store.open_read_only(copy / "lessons.db")
    assert store is not None
    with store:
        return sorted(lesson.id for lesson in store.lessons(None, state=None, everywhere=True))


def fill_up(place: Namespace, directory: Path, leave_kib: int = 0) -> Path:
    """Take all the room of a small disk; the file to remove for it to come back."""
    ballast = place.path(directory / "ballast")
    with ballast.open("wb", buffering=0) as file:
        with suppress(OSError):  # ENOSPC
            while True:
                file.write(b"x" * 4096)
        if leave_kib:
            file.truncate(max(0, file.tell() - leave_kib * 1024))
    return ballast


def small_disk(tmp_path: Path) -> tuple[Home, str]:
    """A HOME whose state directory is to lie on a disk of 2 MiB, and the command that makes it so."""
    home = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
    home.configure(AT_ONCE_ANYWHERE, BUSY, NO_RESERVE)
    home.state.mkdir(parents=True, mode=0o700)
    return home, mount(home.state, mib=2)


@pytest.mark.parametrize("leave_kib", [0, 4, 16, 48, 96])
def test_case_45_disk_full_at_work(tmp_path: Path, expected: list[dict[str, Any]], leave_kib: int) -> None:
    """When the disk fills up at any write nothing is lost, the state is `paused`, and with room all is learned."""
    home, command = small_disk(tmp_path)
    state = home.state
    with namespace(command) as place:
        home.state = place.path(state)
        with home.daemon(within=place.pid) as daemon:
            ballast = fill_up(place, state, leave_kib)
            home.fill()
            until(
                lambda: "paused" in daemon.log() or home.status().get("total_lessons") == len(expected),
                "a pause, or room enough",
            )
            ballast.unlink()
            daemon.send(signal.SIGHUP)  # else the next try is a minute away
            home.waits_for(len(expected))
        assert lessons_in(home.state, tmp_path / "copy") == sorted(one["id"] for one in expected)


@pytest.mark.full
def test_case_45_resumes_by_itself(tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    """A minute after there is room again everything is learned, though nobody said a word."""
    home, command = small_disk(tmp_path)
    state = home.state
    with namespace(command) as place:
        home.state = place.path(state)
        with home.daemon(within=place.pid) as daemon:
            ballast = fill_up(place, state)
            home.fill()
            until(lambda: "paused" in daemon.log(), "a pause")
            ballast.unlink()
            until(lambda: home.status().get("total_lessons") == len(expected), "all lessons", seconds=90)


@pytest.mark.parametrize("there", [False, True], ids=["first start", "later start"])
def test_case_45_disk_full_at_the_start(tmp_path: Path, expected: list[dict[str, Any]], there: bool) -> None:
    """A daemon that starts on a full disk stays and waits for room: five exits, and systemd would give it up."""
    home, command = small_disk(tmp_path)
    state = home.state
    home.fill()
    with namespace(command) as place:
        home.state = place.path(state)
        if there:
            with home.daemon(within=place.pid):
                home.waits_for(len(expected))
        ballast = fill_up(place, state)
        with home.daemon(wait=False, within=place.pid, WATCHDOG_USEC="600000") as daemon:
            until(lambda: "paused" in daemon.log() or home.status().get("pid") == daemon.pid, "a word about it")
            time.sleep(0.5)  # several tries
            assert daemon.process.poll() is None, daemon.log()
            assert daemon.log().count("paused") <= 1
            ballast.unlink()
            daemon.send(signal.SIGHUP)  # else it looks again after a minute
            until(daemon.is_up, "a daemon at work")
            home.waits_for(len(expected))
        assert lessons_in(home.state, tmp_path / "copy") == sorted(one["id"] for one in expected)


def test_case_46_file_size_limit(tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    """Under a limit of file sizes nothing is written half; without it everything is learned."""
    home = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
    home.fill()
    with home.daemon(wait=False, limits={"RLIMIT_FSIZE": 60_000}) as daemon:
        until(lambda: "paused" in daemon.log(), "a pause")
        assert daemon.process.poll() is None, daemon.log()
    assert "file-size limit" in daemon.log()
    home.command("run", "--limit", "0")
    assert home.lessons() == expected


@pytest.mark.parametrize("error", ["EDQUOT", "EROFS", "ENOSPC"])
def test_case_46_writes_are_refused(tmp_path: Path, expected: list[dict[str, Any]], error: str) -> None:
    """A quota, or a disk that turned read-only, at the first write of a commit: `paused`, and nothing is lost."""
    home = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
    (home.claude / CLAUDE[1]).write_bytes(SESSIONS[CLAUDE[1]])
    home.command("run")
    home.fill()
    life = lives.start(["daemon"], home.environment(), stderr=tmp_path / "daemon.log", stopped=True)
    try:
        with injected(life.pid, f"pwrite64:error={error}", path=home.state / "lessons.db-wal"):
            until(lambda: "paused" in (tmp_path / "daemon.log").read_text(), "a pause")
            assert life.poll() is None
        life.send_signal(signal.SIGHUP)  # else the next try is a minute away
        home.waits_for(len(expected))
    finally:
        life.send_signal(signal.SIGTERM)
        life.wait(10)
    assert home.lessons() == expected


def test_case_46_read_only_at_the_start(tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    """On a read-only disk the daemon says so and ends; once it may write it learns all."""
    home, command = small_disk(tmp_path)
    state = home.state
    with namespace(command) as place:
        home.state = place.path(state)
        with home.daemon(within=place.pid):
            pass
        home.fill()
        place.run(f"mount -o remount,ro '{state}'")
        with home.daemon(wait=False, within=place.pid) as daemon:
            assert daemon.process.wait(20) == 73, "a code after which its supervisor tries again"
            assert "Read-only file system" in daemon.log()
        place.run(f"mount -o remount,rw '{state}'")
        with home.daemon(within=place.pid):
            home.waits_for(len(expected))
        assert lessons_in(home.state, tmp_path / "copy") == sorted(one["id"] for one in expected)


@pytest.mark.parametrize("when", [1, 2, 3, 5])
def test_case_47_fsync_fails_once(tmp_path: Path, expected: list[dict[str, Any]], when: int) -> None:
    """An I/O error of one fsync costs a transaction at most: nothing half-done is told, and the next start has all."""
    home = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
    (home.claude / CLAUDE[1]).write_bytes(SESSIONS[CLAUDE[1]])
    home.command("run")
    home.fill()
    life = lives.start(["daemon"], home.environment(), stderr=tmp_path / "daemon.log", stopped=True)
    try:
        with injected(life.pid, f"fdatasync,fsync:error=EIO:when={when}"):
            until(
                lambda: life.poll() is not None or home.status().get("total_lessons") == len(expected), "its end or all"
            )
        assert life.poll() in {None, 70, 73}, "a code after which nobody starts it again"
    finally:
        life.send_signal(signal.SIGTERM)
        life.wait(10)
    assert soundness(home.state / "lessons.db") == "ok"
    with home.daemon():
        home.waits_for(len(expected))
    assert home.lessons() == expected


def test_case_50_write_lock_held(
    tmp_path: Path, expected: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another program holds the write lock the daemon pauses, says why, and learns all when it is let go."""
    monkeypatch.setattr(pausing, "PAUSE_SECONDS", 0.3)
    home = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
    with home.assembly(Config(settling=AT_ONCE_ANYWHERE, scanning=BUSY)) as assembly:
        assembly.store._database.run("PRAGMA busy_timeout = 100")
        worker = Worker(assembly, logs.logger("test"))
        thread = threading.Thread(target=worker.run, args=(lambda: None,))
        thread.start()
        try:
            until(lambda: home.status().get("state") == "watching", "a worker")
            with closing(sqlite3.connect(home.state / "lessons.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                home.fill()
                until(lambda: home.status()["state"] == "paused", "a pause")
                assert "another process holds the write lock" in home.status()["reason"]
            home.waits_for(len(expected))
        finally:
            worker.stop()
            thread.join(10)
    assert home.lessons() == expected


def test_case_50_old_reader(tmp_path: Path) -> None:
    """A reader that keeps an old view lets the journal grow; once it has gone the journal is cut back."""
    home = Home(tmp_path, AT_ONCE_ANYWHERE)
    journal = home.state / "lessons.db-wal"
    limit = 8 * 1024 * 1024
    with home.assembly() as assembly, closing(sqlite3.connect(home.state / "lessons.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM logs").fetchone()
        while journal.stat().st_size <= limit:
            with assembly.store.transaction():
                for number in range(20_000):
                    assembly.store._database.run("INSERT OR REPLACE INTO facts VALUES (?, 1)", (f"fact {number}",))
                assembly.store._database.run("DELETE FROM facts WHERE name LIKE 'fact %'")
        reader.rollback()
        assembly.store._database.run("INSERT OR REPLACE INTO facts VALUES ('one more', 1)")
        assembly.store._database.run("INSERT OR REPLACE INTO facts VALUES ('and one', 1)")
        assert journal.stat().st_size <= limit + 1024 * 1024
    assert not journal.exists()


class TestStateDirectory:
    """Case 51: what may become of the directory under a running daemon."""

    def test_case_51_deleted(self, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
        """It ends with the code after which its supervisor starts another one, and that one learns all again."""
        home = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
        home.fill()
        with home.daemon(WATCHDOG_USEC="300000") as daemon:
            home.waits_for(len(expected))
            shutil.rmtree(home.state)
            assert daemon.process.wait(15) in {70, 73}, daemon.log()
        with home.daemon():
            home.waits_for(len(expected))
        assert home.lessons() == expected

    def test_case_51_replaced_by_a_link(self, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
        """Nothing of ours is written where a link leads that somebody put in its place; it ends instead."""
        home = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        with home.daemon(WATCHDOG_USEC="300000") as daemon:
            moved = home.state.rename(tmp_path / "moved")
            home.state.symlink_to(elsewhere)
            assert daemon.process.wait(15) in {70, 73}, daemon.log()
        assert {path.name for path in elsewhere.iterdir()} <= {"status.toml", "hints"}
        home.state.unlink()
        moved.rename(home.state)
        home.fill()
        with home.daemon():
            home.waits_for(len(expected))
        assert home.lessons() == expected

    def test_case_51_read_only(self, open_to_all: Path) -> None:
        """A directory of ours that somebody made read-only is made writable again at the next start."""
        if os.getuid() or not shutil.which("setpriv"):
            pytest.skip("NOT TESTED: needs root and setpriv to become another user")
        home = Home(open_to_all, AT_ONCE, SCANS_ONLY)
        (home.claude / NAME).write_bytes(SESSIONS[NAME])
        home.command("run")
        home.state.chmod(0o500)
        for path in (open_to_all, *open_to_all.rglob("*")):
            os.chown(path, 65534, 65534)
        done = _as_nobody(home, "run")
        assert done.returncode == 0, done.stderr
        assert home.state.stat().st_mode & 0o777 == 0o700


def _as_nobody(home: Home, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of ours run by another user."""
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = [*drop, *PROGRAM, *words]
    return subprocess.run(command, env=home.environment(), capture_output=True, text=True, check=False, timeout=60)


def test_case_52_status_is_synced_before_it_is_renamed(tmp_path: Path) -> None:
    """The new status is on the platter before it takes the old one's name: a power cut leaves one of them, whole."""
    home = Home(tmp_path)
    life = lives.start(["daemon"], home.environment(), stopped=True)
    record = tmp_path / "calls"
    try:
        with recorded(life.pid, "fsync,rename,renameat,renameat2", record):
            until(lambda: home.status().get("state") == "watching", "a daemon")
            life.send_signal(signal.SIGTERM)
            assert life.wait(60) == 0  # traced, each of its system calls stops twice
    finally:
        life.kill()
    calls = [line for line in record.read_text().splitlines() if "status.toml" in line]
    renamed = [number for number, line in enumerate(calls) if "rename" in line]
    assert len(renamed) > 1
    assert all("fsync" in calls[number - 1] for number in renamed)


def test_new_store_is_synced_before_it_has_its_name(tmp_path: Path) -> None:
    """What a first start writes is on the platter before the store is where the next start looks for it."""
    home = Home(tmp_path, AT_ONCE, BUSY)
    (home.claude / NAME).write_bytes(SESSIONS[NAME])
    life = lives.start(["run"], home.environment(), stopped=True)
    record = tmp_path / "calls"
    try:
        with recorded(life.pid, "pwrite64,fsync,fdatasync,link,linkat", record):
            assert life.wait(60) == 0
    finally:
        life.kill()
    calls = [line.split()[1] for line in record.read_text().splitlines() if "lessons.db.new-" in line]
    named = next(number for number, call in enumerate(calls) if call.startswith("link"))
    assert calls[named - 1].startswith(("fsync", "fdatasync"))
    assert any(call.startswith("pwrite64") for call in calls[:named])
    assert not any(call.startswith("pwrite64") for call in calls[named:])


def test_case_52_status_file_blocked(tmp_path: Path) -> None:
    """When something else stands where the status file belongs the daemon works on, and heals it when it may."""
    home = Home(tmp_path, AT_ONCE, BUSY)
    status = home.state / "status.toml"
    with home.daemon() as daemon:
        status.unlink()
        status.mkdir()
        (status / "something").touch()
        (home.claude / NAME).write_bytes(SESSIONS[NAME])
        until(lambda: "status_not_written" in daemon.log(), "a word about it")
        home.command("status", expect=2)
        assert len(home.lessons()) > 0
        shutil.rmtree(status)
        (home.claude / CLAUDE[1]).write_bytes(SESSIONS[CLAUDE[1]])
        until(status.is_file, "the file again")
        assert comparable(home.lessons())

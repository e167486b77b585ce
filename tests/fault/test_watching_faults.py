"""Faults 13 to 24: whatever becomes of events and roots, every log is read once, and the status says what is wrong."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hindrances import namespace
from homes import AT_ONCE, AT_ONCE_ANYWHERE, CLAUDE, SCANS_ONLY, SESSIONS, Home, until
from selfdistill import logs
from selfdistill.config import Config, Scanning
from selfdistill.service.worker import Worker

NAME = CLAUDE[0]
LINES = SESSIONS[NAME].splitlines(keepends=True)
BUSY = Scanning(directories_every_seconds=0.2, hot_every_seconds=0.2)
RARE = Scanning(directories_every_seconds=600, hot_every_seconds=600, full_every_minutes=60, canary_every_seconds=600)
QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")
only_inotify = pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: a fault of inotify")


def small_log(number: int) -> bytes:
    """A settled session of two records that no other has."""
    return (LINES[0] + LINES[-1]).replace(b'"uuid": "', b'"uuid": "%08x' % number)


def tracked(home: Home) -> int:
    """How many of Claude Code's logs are known to be there."""
    count: int = home.source().get("tracked", 0)
    return count


def records(home: Home) -> int:
    """How many records of Claude Code have been read."""
    count: int = home.source().get("records_total", 0)
    return count


@contextlib.contextmanager
def working(home: Home, scanning: Scanning) -> Iterator[Worker]:
    """A worker in a thread of this process, for faults that must be injected into it."""
    with home.assembly(Config(settling=AT_ONCE, scanning=scanning)) as assembly:
        worker = Worker(assembly, logs.logger("test"))
        thread = threading.Thread(target=worker.run, args=(lambda: None,))
        thread.start()
        try:
            until(lambda: home.status().get("state") == "watching", "a worker that watches")
            yield worker
        finally:
            worker.stop()
            thread.join(10)


@only_inotify
def test_case_13_queue_overflow(tmp_path: Path) -> None:
    """Events beyond the kernel's queue while the daemon is frozen: every new log is found, and the loss is counted."""
    length = int(QUEUE.read_text())
    if length > 100_000:
        pytest.skip(f"NOT TESTED: the kernel's queue holds {length} events here, filling it takes too long")
    home = Home(tmp_path, scanning=RARE)
    with home.daemon() as daemon:
        daemon.send(signal.SIGSTOP)
        one, other = home.claude / "a.txt", home.claude / "b.txt"
        one.touch()
        for _ in range(length // 4 + 50):  # a rename is two events
            one.rename(other)
            other.rename(one)
        for number in range(200):
            directory = home.claude.parent / f"late-{number % 20}"
            directory.mkdir(exist_ok=True)
            (directory / f"{number}.jsonl").write_bytes(small_log(number))
        daemon.send(signal.SIGCONT)
        until(lambda: tracked(home) == 200, "every log", seconds=30)
        until(lambda: home.status()["watcher"]["overflows"] >= 1, "the overflow in the status")
        late = home.claude.parent / "late-3" / "another.jsonl"
        late.write_bytes(small_log(999))
        until(lambda: tracked(home) == 201, "an event below a directory that was made in the flood")


@only_inotify
def test_case_14_watch_limit(tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    """With too few watches the daemon says so with the setting to change, and reads every log all the same."""
    home = Home(tmp_path, scanning=BUSY)
    for number in range(60):
        (home.claude.parent / f"project-{number}").mkdir()
    with (
        namespace("echo 20 > /proc/sys/user/max_inotify_watches") as place,
        home.daemon(wait=False, within=place.pid),
    ):
        until(lambda: home.status().get("state") == "degraded", "a daemon that complains")
        assert "the limit of inotify watches" in home.status()["reason"]
        assert "fs.inotify.max_user_watches" in home.status()["advice"]
        home.fill()
        home.waits_for(len(expected))
    assert home.lessons() == expected


@only_inotify
def test_case_15_instance_limit(tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    """Without an inotify instance it scans and says so; when there is one again, it watches by itself."""
    quick = Scanning(directories_every_seconds=0.2, hot_every_seconds=0.2, canary_every_seconds=0.3)
    home = Home(tmp_path, scanning=quick)
    with (
        namespace("echo 0 > /proc/sys/user/max_inotify_instances") as place,
        home.daemon(wait=False, within=place.pid),
    ):
        until(lambda: home.status().get("state") == "degraded", "a daemon that complains")
        assert home.status()["watcher"]["mode"] == "scan-only"
        home.fill()
        home.waits_for(len(expected))
        place.run("echo 128 > /proc/sys/user/max_inotify_instances")
        until(lambda: home.status()["state"] == "watching", "a daemon that watches again")
        assert home.status()["watcher"]["mode"] == "events"
    assert home.lessons() == expected


@only_inotify
def test_case_16_dispatcher_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When watchdog's dispatcher dies the canary does not come back: a new observer, and nothing was missed."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    home = Home(tmp_path)
    slow = Scanning(directories_every_seconds=600, hot_every_seconds=600, canary_every_seconds=0.5)
    with working(home, slow) as worker:
        observer = worker._watcher._observer
        assert observer is not None
        monkeypatch.setattr(observer, "dispatch_events", None)
        (home.claude / "deaf.jsonl").touch()
        observer.join(5)
        assert not observer.is_alive()
        (home.claude / NAME).write_bytes(SESSIONS[NAME])
        until(lambda: home.status()["watcher"]["restarts"] == 1, "a new watcher")
        until(lambda: home.status()["total_lessons"], "what was missed")


@pytest.mark.parametrize("scanning", [BUSY, SCANS_ONLY], ids=["events", "scans"])
def test_case_18_root_replaced(tmp_path: Path, scanning: Scanning) -> None:
    """A root that is renamed and made anew, then a link to elsewhere: its logs are read where they are now, once."""
    home = Home(tmp_path, AT_ONCE_ANYWHERE, scanning)
    projects = home.claude.parent
    (home.claude / NAME).write_bytes(b"".join(LINES[:5]))
    with home.daemon():
        until(lambda: records(home) == 5, "the first lines")
        old = projects.rename(projects.with_name("old"))
        home.claude.mkdir(parents=True)
        (home.claude / NAME).write_bytes(b"".join(LINES[:8]))
        until(lambda: records(home) == 8, "what is new below the new root")
        with (old / "kettle" / NAME).open("ab") as file:
            file.write(b"".join(LINES[5:]))
        elsewhere = projects.rename(tmp_path / "elsewhere")
        projects.symlink_to(elsewhere)
        with (elsewhere / "kettle" / NAME).open("ab") as file:
            file.write(b"".join(LINES[8:]))
        until(lambda: records(home) == len(LINES), "what is new behind the link")
        time.sleep(0.5)  # time enough for a reader on the wrong path
        assert records(home) == len(LINES)
        assert tracked(home) == 1


def test_case_19_root_unmounted(tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    """A root whose file system goes away loses nothing; when it is back nothing is read again."""
    home = Home(tmp_path, AT_ONCE_ANYWHERE, SCANS_ONLY)
    home.fill()
    disk = tmp_path / "disk"
    projects = home.claude.parent
    projects.rename(disk)
    projects.mkdir()
    with namespace(f"mount --bind '{disk}' '{projects}'") as place, home.daemon(within=place.pid):
        home.waits_for(len(expected))
        before = sum(len(SESSIONS[name].splitlines()) for name in CLAUDE)
        until(lambda: records(home) == before, "every record in the status")
        place.run(f"umount -l '{projects}'")
        time.sleep(0.5)  # several scans
        assert home.status()["total_lessons"] == len(expected)
        assert "gone" not in home.source()["skipped"]
        place.run(f"mount --bind '{disk}' '{projects}'")
        (disk / "kettle" / "new.jsonl").write_bytes(small_log(1))
        until(lambda: records(home) == before + 2, "the new log alone")


@pytest.mark.parametrize("scanning", [Scanning(), SCANS_ONLY], ids=["events", "scans"])
def test_case_20_trees_that_come_at_once(tmp_path: Path, scanning: Scanning) -> None:
    """Directories made and filled in one go, copied, moved in and unpacked: every log is found, those moved out go."""
    home = Home(tmp_path, scanning=scanning)
    projects, outside = home.claude.parent, tmp_path / "outside"
    for number in range(30):
        (outside / f"p{number}").mkdir(parents=True)
        (outside / f"p{number}" / "s.jsonl").write_bytes(small_log(number))
    archive = tmp_path / "packed.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(outside, "unpacked")
    with home.daemon():
        for number in range(100, 200):
            directory = projects / f"{number}" / "deep" / "deeper"
            directory.mkdir(parents=True)
            (directory / "s.jsonl").write_bytes(small_log(number))
        shutil.copytree(outside, projects / "copied")
        (outside).rename(projects / "moved")
        subprocess.run(["tar", "-xf", archive, "-C", projects], check=True)
        until(lambda: tracked(home) == 190, "every log", seconds=30)
        until(lambda: records(home) == 190 * 2, "every record, once", seconds=30)
        (projects / "moved").rename(tmp_path / "gone")
        with (projects / "150" / "deep" / "deeper" / "s.jsonl").open("ab") as file:
            file.write(LINES[-1])
        until(lambda: records(home) == 190 * 2 + 1, "one more record, and no other")


@pytest.mark.parametrize("scanning", [BUSY, SCANS_ONLY], ids=["events", "scans"])
@pytest.mark.parametrize("what", ["file", "directory"])
def test_case_21_renamed_under_its_writer(tmp_path: Path, scanning: Scanning, what: str) -> None:
    """A log that is renamed, alone or with its directory, while its writer keeps it open goes on as the same log."""
    home = Home(tmp_path, AT_ONCE_ANYWHERE, scanning)
    path = home.claude / NAME
    with home.daemon(), path.open("ab", buffering=0) as writer:
        writer.write(b"".join(LINES[:6]))
        until(lambda: records(home) == 6, "the first lines")
        if what == "file":
            path.rename(path.with_name(f"renamed-{NAME}"))
        else:
            home.claude.rename(home.claude.with_name("renamed"))
        writer.write(b"".join(LINES[6:]))
        until(lambda: records(home) == len(LINES), "the other lines, and only those")
        until(lambda: home.status().get("total_lessons"), "lessons")
        assert home.source()["undecodable"] == 0


@pytest.mark.full
def test_case_22_storm_on_one_file(tmp_path: Path) -> None:
    """Half a million appends of one byte cost few readings and little memory, and hold up no other log."""
    home = Home(tmp_path, scanning=Scanning(directories_every_seconds=1, hot_every_seconds=1))
    home.configure(AT_ONCE, Scanning())
    with home.daemon() as daemon:
        until(lambda: home.status()["state"] == "watching", "a daemon")
        before = _resident_kib(daemon.pid)
        (home.claude / NAME).write_bytes(SESSIONS[NAME])
        begun = time.monotonic()
        storm = os.open(home.claude / "storm.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for _ in range(500_000):
            os.write(storm, b" ")
        os.close(storm)
        seconds = time.monotonic() - begun
        until(lambda: home.status().get("total_lessons"), "the lessons of a log beside the storm")
        runs = home.status()["total_runs"]
        assert runs <= 10 * seconds + 20, f"{runs} runs in {seconds:.0f} s"
        assert _resident_kib(daemon.pid) - before < 30 * 1024


def _resident_kib(pid: int) -> int:
    """The memory that a process holds."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])

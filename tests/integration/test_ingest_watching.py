"""Watching with the real watchdog: hints arrive, and every way of going blind is noticed and healed."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from watchdog.observers.inotify_c import InotifyEvent, InotifyFD

from selfdistill.ingest.hints import Hints, Mode
from selfdistill.ingest.reading import Lines, open_log
from selfdistill.ingest.watching import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these provoke the faults of inotify")


class Ear:
    """A watcher over one root, and the hints that came so far."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.root.mkdir()
        state = directory / "state"
        state.mkdir()
        self.rung = threading.Event()
        self.watcher = Watcher(self.rung.set, state)

    def hears(self, path: Path, seconds: float = 3.0) -> bool:
        """Whether a hint at this path (or a call to look everywhere) comes in time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            hints = self.watcher.take_hints()
            if path in hints.paths or hints.rescan_all:
                return True
            self.rung.wait(0.02)
            self.rung.clear()
        return False


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    """A started watcher over an empty root, stopped at the end."""
    ear = Ear(tmp_path)
    assert ear.watcher.start([ear.root]).why == ""
    yield ear
    assert ear.watcher.stop(5)


def test_every_kind_of_change_is_hinted_at(ear: Ear) -> None:
    """New, appended, renamed, replaced and deleted logs, also in new directories, are hints at their paths."""
    log = ear.root / "a" / "b" / "log.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("one\n")
    assert ear.hears(log)
    with log.open("a") as file:
        file.write("two\n")
        file.flush()
        assert ear.hears(log)  # before it is closed
    log.rename(ear.root / "moved.jsonl")
    assert ear.hears(ear.root / "moved.jsonl")
    (ear.root / "moved.jsonl").unlink()
    assert ear.hears(ear.root / "moved.jsonl")


def test_reading_wakes_nobody(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """What we do to a log (open, read, stat, list) is not even told by the kernel; nor are writes to our database.

    Case 24 of `tests/fault/README.md`.
    """
    log = ear.root / "log.jsonl"
    log.write_text("one\n" * 100)
    assert ear.hears(log)
    (ear.root.parent / "state" / "lessons.db").write_text("x")
    time.sleep(0.1)
    ear.watcher.take_hints()
    ear.rung.clear()
    told: list[object] = []
    monkeypatch.setattr(ear.watcher._reader, "handle_event", told.append)
    for _ in range(20):
        with open_log(log) as opened:
            assert len(list(Lines(opened))) == 100
        os.listdir(ear.root)  # noqa: PTH208
        (ear.root.parent / "state" / "lessons.db").write_text("x")
    time.sleep(0.2)
    assert told == []
    assert not ear.rung.is_set()
    assert ear.watcher.take_hints() == Hints()


def test_a_canary_returns_from_a_watcher_that_hears(ear: Ear) -> None:
    """The canary comes back each time, hints at nothing, and is the only thing written."""
    for _ in range(3):
        assert ear.watcher.send_canary()
        assert ear.watcher.canary_returned(2.0)
    assert ear.watcher.is_alive()
    assert ear.watcher.take_hints() == Hints()
    assert os.listdir(ear.root.parent / "state") == [".canary"]  # noqa: PTH208
    assert os.listdir(ear.root) == []  # noqa: PTH208


def test_an_unsent_canary_says_so(ear: Ear) -> None:
    """Where the canary cannot be written, its silence is no proof of deafness."""
    shutil.rmtree(ear.root.parent / "state")
    assert not ear.watcher.send_canary()


def test_a_dead_reader_is_noticed_and_healed(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """When inotify's reader dies (watchdog still says that it is alive) the canary does not return; a restart heals.

    Case 17 of `tests/fault/README.md`.
    """
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    assert ear.watcher.send_canary()
    assert ear.watcher.canary_returned(2.0)
    reader = ear.watcher._reader
    monkeypatch.setattr(reader, "handle_event", None)
    (ear.root / "x.jsonl").touch()
    assert reader is not None
    reader.join(3)
    observer = ear.watcher._observer
    assert observer is not None
    assert observer.is_alive()
    assert ear.watcher.send_canary()
    assert not ear.watcher.canary_returned(0.2)
    assert not ear.watcher.is_alive()
    assert ear.watcher.restart([ear.root]).why == ""
    assert ear.watcher.take_hints().rescan_all
    assert ear.watcher.is_alive()
    assert ear.watcher.send_canary()
    assert ear.watcher.canary_returned(2.0)
    (ear.root / "y.jsonl").touch()
    assert ear.hears(ear.root / "y.jsonl")


def test_a_fault_in_the_handler_does_not_kill_the_dispatcher(tmp_path: Path) -> None:
    """An exception while a hint is passed on is counted and asks for a rescan; later hints still come (case 16)."""
    faults = ["once"]

    def on_hint() -> None:
        if faults:
            raise RuntimeError(faults.pop())

    ear = Ear(tmp_path)
    watcher = Watcher(on_hint, tmp_path / "state")
    watcher.start([ear.root])
    (ear.root / "x.jsonl").touch()
    deadline = time.monotonic() + 3
    while watcher.health.handler_errors == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert watcher.health.handler_errors == 1
    assert watcher.take_hints().rescan_all
    assert watcher.is_alive()
    assert watcher.send_canary()
    assert watcher.canary_returned(2.0)
    assert watcher.stop(5)


def test_an_overflow_is_a_rescan_and_is_counted(ear: Ear) -> None:
    """Only its log is told by watchdog that the kernel lost events; we hear it even where the root logger is strict."""
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed; filesystem events were lost")
    logging.getLogger("watchdog.observers.inotify").warning("Inotify queue overflowed; reconciling recursive watches")
    assert ear.watcher.take_hints() == Hints(rescan_all=True)
    assert ear.watcher.health.overflows == 1


def test_a_real_overflow_is_heard(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """More events than the kernel's queue holds while nobody reads: rescan, counted, and what comes later is heard.

    Case 13 of `tests/fault/README.md`.
    """
    # The queue's length is one setting for the whole machine, in no namespace: it is filled, never changed.
    length = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if length > 50_000:
        pytest.skip(f"the kernel's queue holds {length} events here: filling it takes too long")
    reader = ear.watcher._reader
    assert isinstance(reader, InotifyFD)
    gate, handle = threading.Event(), reader.handle_event

    def held_up(event: InotifyEvent) -> None:
        gate.wait(30)
        handle(event)

    monkeypatch.setattr(reader, "handle_event", held_up)
    for number in range(length // 2):  # created, closed and deleted: three events each
        path = ear.root / str(number)
        path.touch()
        path.unlink()
    gate.set()
    deadline = time.monotonic() + 15
    while not ear.watcher.health.overflows and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ear.watcher.health.overflows == 1
    assert ear.watcher.take_hints().rescan_all
    assert ear.watcher.send_canary()
    assert ear.watcher.canary_returned(5.0)


def test_a_root_that_is_deleted_and_made_again_is_watched_again(ear: Ear) -> None:
    """The watch ends with the old directory; a refresh finds the new one and asks for a rescan."""
    shutil.rmtree(ear.root)
    assert ear.hears(ear.root)
    ear.root.mkdir()
    ear.watcher.take_hints()
    assert ear.watcher.refresh([ear.root]).mode is Mode.EVENTS
    assert ear.watcher.take_hints().rescan_all
    (ear.root / "x.jsonl").touch()
    assert ear.hears(ear.root / "x.jsonl")
    assert ear.watcher.is_alive()


def test_a_root_that_is_renamed_and_replaced_is_watched_anew(ear: Ear) -> None:
    """The old inode is not followed under the root's name; the new directory is heard."""
    ear.root.rename(ear.root.parent / "aside")
    ear.root.mkdir()
    ear.watcher.refresh([ear.root])
    ear.watcher.take_hints()
    (ear.root.parent / "aside" / "old.jsonl").touch()
    (ear.root / "new.jsonl").touch()
    assert ear.hears(ear.root / "new.jsonl")
    assert not ear.hears(ear.root / "old.jsonl", 0.2)


def test_a_root_that_appears_later_is_watched_then(ear: Ear) -> None:
    """A missing root is no failure, and is watched at the first refresh after it is there."""
    later = ear.root.parent / "later"
    assert ear.watcher.refresh([ear.root, later]).why == ""
    later.mkdir()
    assert ear.watcher.refresh([ear.root, later]).mode is Mode.EVENTS
    (later / "x.jsonl").touch()
    assert ear.hears(later / "x.jsonl")
    assert ear.watcher.refresh([later]).mode is Mode.EVENTS
    ear.watcher.take_hints()
    (ear.root / "y.jsonl").touch()
    assert not ear.hears(ear.root / "y.jsonl", 0.2)


def test_a_root_that_is_a_link_is_heard_under_its_own_name(ear: Ear) -> None:
    """Hints name paths as scans do, beneath the link; a link to a watched place is not watched twice."""
    target, link = ear.root.parent / "target", ear.root.parent / "link"
    target.mkdir()
    link.symlink_to(target)
    assert ear.watcher.refresh([ear.root, link, target]).why == ""
    (target / "x.jsonl").touch()
    assert ear.hears(link / "x.jsonl")
    assert ear.watcher.refresh([ear.root, target]).why == ""
    ear.watcher.take_hints()
    (target / "y.jsonl").touch()
    assert ear.hears(target / "y.jsonl")


def test_moved_in_trees_are_heard(ear: Ear) -> None:
    """A tree that is moved into the root is watched from then on."""
    outside = ear.root.parent / "outside" / "deep"
    outside.mkdir(parents=True)
    outside.parent.rename(ear.root / "inside")
    assert ear.hears(ear.root / "inside")
    time.sleep(0.1)
    ear.watcher.take_hints()
    (ear.root / "inside" / "deep" / "x.jsonl").touch()
    assert ear.hears(ear.root / "inside" / "deep" / "x.jsonl")


def test_no_event_no_watcher(tmp_path: Path) -> None:
    """Without roots, or without the canary's directory, nothing raises and the health says what is missing."""
    watcher = Watcher(lambda: None, tmp_path / "missing")
    health = watcher.start([tmp_path / "nowhere"])
    assert health.mode is Mode.SCAN_ONLY
    assert "missing is not watched" in health.why
    assert os.strerror(errno.ENOENT) in health.why
    assert watcher.stop(5)
    assert watcher.stop(5)
    assert not watcher.is_alive()


def run_with_limit(name: str, limit: int, script: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run Python under an inotify limit of its own namespace, or skip loudly where that is forbidden."""
    setting = f"echo {limit} > /proc/sys/user/{name}"
    probe = subprocess.run(["unshare", "-Ur", "sh", "-c", setting], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip(f"user namespaces or their limits are not available here: {probe.stderr!r}")
    command = [
        "unshare",
        "-Ur",
        "sh",
        "-c",
        f'{setting} && exec "$@"',
        "sh",
        sys.executable,
        "-c",
        script,
        str(directory),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


START = """
import sys
from pathlib import Path
from selfdistill.ingest.watching import Watcher
root, state = Path(sys.argv[1]) / "root", Path(sys.argv[1]) / "state"
state.mkdir()
for number in range(100): (root / f"d{number:03d}").mkdir(parents=True)
watcher = Watcher(lambda: None, state)
health = watcher.start([root])
print(health.mode, health.unwatched); print(health.why); print(health.advice)
watcher.send_canary(); print(watcher.canary_returned(1)); print(watcher.stop(5))
"""


def test_the_watch_limit_is_told(tmp_path: Path) -> None:
    """With 20 watches for 102 directories the health counts the unwatched ones and names the sysctl (case 14)."""
    result = run_with_limit("max_inotify_watches", 20, START, tmp_path)
    mode, why, advice, canary, stopped = result.stdout.splitlines()
    assert mode == "events 82", result.stderr
    assert "82 directories are not watched: the limit of inotify watches" in why
    assert "fs.inotify.max_user_watches" in advice
    assert (canary, stopped) == ("True", "True")


def test_the_instance_limit_means_scans_only(tmp_path: Path) -> None:
    """Without an inotify instance nothing raises, and the health names the sysctl (case 15)."""
    result = run_with_limit("max_inotify_instances", 0, START, tmp_path)
    mode, why, advice, canary, stopped = result.stdout.splitlines()
    assert mode == "scan-only 0", result.stderr
    assert "limit of inotify instances" in why
    assert "fs.inotify.max_user_instances" in advice
    assert (canary, stopped) == ("False", "True")


def test_an_unreadable_root_is_told(tmp_path: Path) -> None:
    """EACCES, which watchdog takes for success, is in the health (as another user: root reads all)."""
    if os.getuid() or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv to become another user")
    root, state = tmp_path / "root", tmp_path / "state"
    root.mkdir(mode=0o000)
    root.chmod(0)
    state.mkdir()
    os.chown(state, 65534, 65534)
    for directory in tmp_path.parents:
        if str(directory).startswith("/tmp/"):  # noqa: S108
            directory.chmod(0o755)
    tmp_path.chmod(0o755)
    script = """
import sys
from pathlib import Path
from selfdistill.ingest.watching import Watcher
watcher = Watcher(lambda: None, Path(sys.argv[1]) / "state")
health = watcher.start([Path(sys.argv[1]) / "root"]); print(health.mode, health.why); print(watcher.stop(5))
"""
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    result = subprocess.run(
        [*drop, sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False, timeout=30
    )
    assert result.stdout.startswith("scan-only"), result.stderr
    assert os.strerror(errno.EACCES) in result.stdout
    assert result.stdout.endswith("True\n")

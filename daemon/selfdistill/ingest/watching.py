"""watchdog's events as hints: "maybe look there". Losing every one of them costs only latency, scans are the truth.

What watchdog 7.1 does not tell its users, and how it is noticed here (each measured): the kernel's queue overflowed (a
log record), directories were left out at the watch limit or unreadable (calls that fail, swallowed), a thread of it
died (looked at), it went deaf (a canary does not come back), a root was replaced (its inode differs).
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver, ObservedWatch

from selfdistill.ingest.hints import Health, Hints, Mode, Notes, Records

if sys.platform == "linux":
    from watchdog.observers.inotify import InotifyEmitter
    from watchdog.observers.inotify_c import CallbackId, InotifyFD, Mask, WatchCallback, WatchDescriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

CANARY: Final = ".canary"
# Without a filter our own reads come back as `opened` and `closed_no_write`. Directory events must stay in it, else new
# subdirectories are not watched (watchdog issue #990); modified directories only repeat what happened to their files.
ROOT_EVENTS: Final[list[type[FileSystemEvent]]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    FileClosedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]
# Renames only: by one the canary and a hook's hint come to be, so each wakes once. FSEvents may tell a rename as
# something else (watchdog issue #749), and is filtered after the fact in any case.
CANARY_EVENTS: Final[list[type[FileSystemEvent]]] = [
    FileMovedEvent,
    *([FileCreatedEvent, FileModifiedEvent] if sys.platform == "darwin" else []),
]


class Watcher:
    """One watchdog observer and what it hinted at; `on_hint` is called in its threads and must return at once.

    Nothing here raises for what the system does; it is all in `health`. `canary_directory` must be ours, never an
    agent's. All methods are for one thread, the owner's.
    """

    def __init__(self, on_hint: Callable[[], None], canary_directory: Path) -> None:
        self._canary_directory = canary_directory
        self._notes = Notes(on_hint)
        self._records = Records(self._notes)
        self._returned = threading.Event()
        self._observer: BaseObserver | None = None
        self._reader: threading.Thread | None = None  # reads the kernel's queue; not on macOS
        self._watched: dict[Path, _Watched] = {}
        self._failures: dict[Path, OSError] = {}  # root, or canary directory -> why it is not watched

    @property
    def health(self) -> Health:
        """How it is doing, with the setting to change where there is one."""
        mode = Mode.EVENTS if self._watched else Mode.SCAN_ONLY
        return self._notes.health(mode, next(iter(self._failures.items()), None))

    def start(self, roots: Iterable[Path]) -> Health:
        """Watch the roots that exist, and the canary's directory. What cannot be watched is in the health."""
        self._records.attach()
        try:
            observer, self._reader = _new_observer(self._notes.note_unwatched)
            observer.start()
            self._observer = observer
            observer.schedule(
                _OwnHandler(self._returned, self._notes), str(self._canary_directory), event_filter=CANARY_EVENTS
            )
        except (OSError, RuntimeError) as problem:  # RuntimeError: no new thread can be started
            self._failures[self._canary_directory] = _as_os_error(problem)
        return self.refresh(roots)

    def refresh(self, roots: Iterable[Path]) -> Health:
        """Watch exactly these roots: also those that came back, were replaced by another directory, or went deaf."""
        wanted = {root: sight for root in roots if (sight := _sight(root)) is not None}
        for root, watched in list(self._watched.items()):
            if wanted.get(root) != watched.sight or not self._is_emitting(watched.watch):
                self._unwatch(root)
        self._failures = {path: why for path, why in self._failures.items() if path == self._canary_directory}
        for root, sight in wanted.items():
            self._watch(root, sight)
        return self.health

    def restart(self, roots: Iterable[Path], timeout: float = 5.0) -> Health:
        """Begin anew with a new observer; asks for a full rescan, because nobody knows what was missed."""
        self.stop(timeout)
        self._notes.note_rescan()
        return self.start(roots)

    def stop(self, timeout: float = 5.0) -> bool:
        """Stop watching; whether all threads ended within `timeout` seconds (they never keep the process alive)."""
        self._records.detach()
        observer, reader = self._observer, self._reader
        self._observer = self._reader = None
        self._watched.clear()
        self._failures.clear()
        self._notes.forget_all()
        # In a thread: watchdog joins its emitters without a deadline, and one may hang in a stalled file system.
        stopping = threading.Thread(target=_stop, args=(observer, reader), name="watcher-stop", daemon=True)
        stopping.start()
        stopping.join(timeout)
        return not any(thread is not None and thread.is_alive() for thread in (stopping, observer, reader))

    def take_hints(self) -> Hints:
        """What was hinted at since the last call."""
        return self._notes.take()

    def is_alive(self) -> bool:
        """Whether every thread of the observer runs. Not proof that it hears: that is the canary's task.

        A root that was deleted ends its thread: call `refresh` first.
        """
        observer, reader = self._observer, self._reader
        if observer is None or not observer.is_alive() or (reader is not None and not reader.is_alive()):
            return False
        return not self._notes.broken and all(emitter.is_alive() for emitter in observer.emitters)

    def send_canary(self) -> bool:
        """Rename a file of ours, to see whether the news comes back; False if that cannot be done (full disk)."""
        self._returned.clear()
        fresh = self._canary_directory / f"{CANARY}.new"
        try:
            fresh.touch(mode=0o600)
            fresh.replace(self._canary_directory / CANARY)
        except OSError:
            return False
        return True

    def canary_returned(self, timeout: float = 0.0) -> bool:
        """Whether the last canary has come back (normally within 1 ms), after waiting for at most `timeout` seconds."""
        return self._returned.wait(timeout)

    def _watch(self, root: Path, sight: _Sight) -> None:
        twins = (watched.sight.resolved for watched in self._watched.values())  # one place under two names: one watch
        if self._observer is None or root in self._watched or sight.resolved in twins:
            return
        handler = _RootHandler(self._notes, sight.resolved, str(root))
        try:
            watch = self._observer.schedule(handler, sight.resolved, recursive=True, event_filter=ROOT_EVENTS)
        except (OSError, RuntimeError) as problem:
            self._failures[root] = _as_os_error(problem)
        else:
            self._watched[root] = _Watched(sight, watch)

    def _unwatch(self, root: Path) -> None:
        watched = self._watched.pop(root)
        self._notes.forget_root(watched.sight.resolved)
        try:
            if self._observer is not None:
                self._observer.unschedule(watched.watch)
        except (KeyError, OSError) as problem:  # its book-keeping has lost a watch, as in its issue #1388
            self._notes.note_rescan(broken=f"watchdog could not let go of a root: {problem!r}")
        self._notes.note_rescan()

    def _is_emitting(self, watch: ObservedWatch) -> bool:
        """Whether its emitter runs; watchdog ends it when the root is deleted."""
        emitters = self._observer.emitters if self._observer is not None else ()
        return any(emitter.watch == watch and emitter.is_alive() for emitter in emitters)


class _Sight(Struct, frozen=True):
    """A root as it was just before it was watched."""

    resolved: str
    dev: int
    ino: int


class _Watched(Struct, frozen=True):
    sight: _Sight
    watch: ObservedWatch


class _RootHandler(FileSystemEventHandler):
    """Adds paths to the hints, beneath the root's own name where that is a symbolic link. Never raises."""

    def __init__(self, notes: Notes, resolved: str, named: str) -> None:
        self._notes = notes
        self._resolved = resolved
        self._named = named

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            self._notes.note(*[self._name(path) for path in (event.src_path, event.dest_path) if path])
        except Exception:  # noqa: BLE001 - whatever escapes here ends watchdog's dispatcher for good (its issue #427)
            self._notes.note_handler_error()

    def _name(self, path: str | bytes) -> str:
        text = os.fsdecode(path)
        return self._named + text.removeprefix(self._resolved) if text.startswith(self._resolved) else text


class _OwnHandler(FileSystemEventHandler):
    """Sets a flag when the canary moves; what an agent's hook puts beside it is a hint."""

    def __init__(self, returned: threading.Event, notes: Notes) -> None:
        self._returned = returned
        self._notes = notes

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            path = os.fsdecode(event.dest_path or event.src_path)
            if path.endswith(CANARY):
                self._returned.set()
            elif not path.rpartition("/")[2].startswith("."):
                self._notes.note(path)
        except Exception:  # noqa: BLE001 - as above
            self._notes.note_handler_error()


if sys.platform == "linux":

    class _Inotify(InotifyFD):
        """An inotify instance that tells which directories could not be watched.

        watchdog swallows these errors for all directories but the root, and takes EACCES for success (with watch -1).
        """

        def __init__(self, on_failure: Callable[[str, OSError], None]) -> None:
            super().__init__()
            self._on_failure = on_failure

        def add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
            try:
                descriptor = super().add_callback(path, mask, callback, id_)
            except OSError as problem:
                self._on_failure(os.fsdecode(path), problem)
                raise
            if descriptor == -1:
                self.remove_callbacks([(descriptor, id_)])
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fsdecode(path))
            return descriptor

        def _add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
            # A new directory is often found twice, by the walk of its parent and by its own event. watchdog 7.1 warns
            # of the second time, in half of all `mkdir -p a/b` here; with `-W error` that ends its reader thread.
            watch = self._get_or_create_watch(path, mask)
            watch.callbacks[id_] = callback
            return watch.wd

    def _new_observer(on_failure: Callable[[str, OSError], None]) -> tuple[BaseObserver, threading.Thread | None]:
        """An observer on an inotify instance of its own, and the thread that reads it."""
        inotify = _Inotify(on_failure)
        inotify.start()
        return BaseObserver(InotifyEmitter, inotify_fd=inotify), inotify

else:

    def _new_observer(_on_failure: Callable[[str, OSError], None]) -> tuple[BaseObserver, threading.Thread | None]:
        """The observer of macOS; elsewhere OSError. Never kqueue: it takes one descriptor for each file (its #182)."""
        if sys.platform != "darwin":
            raise OSError(errno.ENOTSUP, f"no events on {sys.platform}")
        from watchdog.observers.fsevents import FSEventsObserver  # noqa: PLC0415 - exists only there

        return FSEventsObserver(), None


def _stop(observer: BaseObserver | None, reader: threading.Thread | None) -> None:
    """End the threads of an observer, however far its start had come."""
    if observer is not None and observer.is_alive():
        observer.stop()
        observer.join()
    if sys.platform == "linux" and isinstance(reader, InotifyFD):
        reader.stop()
        reader.join()


def _sight(root: Path) -> _Sight | None:
    """What a root is now; None if it is no directory that can be seen."""
    # watchdog does not follow a link at the end of a path, so it gets the place itself, as a string.
    resolved = os.path.realpath(root)
    try:
        result = os.stat(resolved)  # noqa: PTH116
    except OSError:
        return None
    return _Sight(resolved, result.st_dev, result.st_ino) if stat.S_ISDIR(result.st_mode) else None


def _as_os_error(problem: OSError | RuntimeError) -> OSError:
    return problem if isinstance(problem, OSError) else OSError(errno.EAGAIN, str(problem))

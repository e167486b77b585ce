"""What the watcher's threads have noted, and how it is doing, in words; of watchdog it knows only the log records."""

from __future__ import annotations

import errno
import logging
import threading
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.ingest.naming import printable

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_HINTS: Final = 10_000  # more than this many paths are cheaper to find by a scan
LIMITS: Final = {
    errno.ENOSPC: ("the limit of inotify watches is reached", "fs.inotify.max_user_watches=524288"),
    errno.EMFILE: ("the limit of inotify instances or open files is reached", "fs.inotify.max_user_instances=512"),
    errno.ENOMEM: ("the kernel has no memory for more watches", "fs.inotify.max_user_watches=524288"),
}


class Mode(StrEnum):
    """Where news come from."""

    EVENTS = "events"
    SCAN_ONLY = "scan-only"


class Health(Struct, frozen=True, omit_defaults=True):
    """How the watcher is doing. `why` is empty when all is well; what is not watched is left to the scans."""

    mode: Mode
    why: str = ""
    advice: str = ""
    unwatched: int = 0  # directories without a watch because of a limit
    overflows: int = 0  # times that the kernel lost events
    handler_errors: int = 0  # hints lost in our own code


class Hints(Struct, frozen=True):
    """Where to look. `rescan_all`: events were lost or were too many, so look everywhere."""

    paths: frozenset[Path] = frozenset()
    rescan_all: bool = False


class Notes:
    """A set of paths and a few counts that any thread may add to; `on_hint` is called after what is new."""

    def __init__(self, on_hint: Callable[[], None]) -> None:
        self._on_hint = on_hint
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._rescan_all = False
        self._overflows = 0
        self._handler_errors = 0
        self._unwatched: dict[str, int] = {}  # directory -> errno
        self._broken = ""

    @property
    def broken(self) -> str:
        """What watchdog said when it gave up something; "" if it did not. Only a restart heals it."""
        return self._broken

    def note(self, *paths: str) -> None:
        """Something happened at these paths."""
        with self._lock:
            if self._rescan_all or self._paths.issuperset(paths):
                return  # whoever was told then has not looked yet
            self._paths.update(paths)
            if len(self._paths) > MOST_HINTS:
                self._paths.clear()
                self._rescan_all = True
        self._on_hint()

    def note_rescan(self, *, overflows: int = 0, broken: str = "") -> None:
        """Something may have happened anywhere."""
        with self._lock:
            self._overflows += overflows
            self._broken = broken or self._broken
            self._rescan_all = True
            self._paths.clear()
        self._on_hint()

    def note_handler_error(self) -> None:
        """A hint was lost in our own code; tells nobody, because telling may be what failed."""
        with self._lock:
            self._handler_errors += 1
            self._rescan_all = True

    def note_unwatched(self, directory: str, problem: OSError) -> None:
        """A directory has no watch; only limits count, what is unreadable is told by the scan."""
        if problem.errno in LIMITS:
            with self._lock:
                if len(self._unwatched) < MOST_HINTS:
                    self._unwatched[directory] = problem.errno

    def forget_root(self, root: str) -> None:
        """Nothing below this directory is to be watched any more."""
        with self._lock:
            below = [one for one in self._unwatched if one == root or one.startswith(f"{root}/")]
            for directory in below:
                del self._unwatched[directory]

    def forget_all(self) -> None:
        """Nothing is to be watched any more; hints and counts stay."""
        with self._lock:
            self._unwatched.clear()
            self._broken = ""

    def take(self) -> Hints:
        """What was hinted at since the last call."""
        with self._lock:
            paths, self._paths = self._paths, set()
            rescan_all, self._rescan_all = self._rescan_all, False
        return Hints(frozenset(map(Path, paths)), rescan_all)

    def health(self, mode: Mode, failure: tuple[Path, OSError] | None) -> Health:
        """How it is doing; `failure` is a root (or the canary's directory) that is not watched at all, and why."""
        with self._lock:
            unwatched = dict(self._unwatched)
        why, advice = self._broken, ""
        if failure is not None:
            why, advice = _explain(failure[0], failure[1])
        elif unwatched:
            number = next(iter(unwatched.values()))
            why = f"{len(unwatched)} directories are not watched: {LIMITS[number][0]}; scans find what changes there."
            advice = _advice(number)
        elif mode is Mode.SCAN_ONLY:
            why = "No root is there to be watched."
        return Health(mode, why, advice, len(unwatched), self._overflows, self._handler_errors)


class Records(logging.Handler):
    """Hears what watchdog tells nobody but its log."""

    def __init__(self, notes: Notes) -> None:
        super().__init__(logging.WARNING)
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        """Take a lost event or a failure of watchdog as a reason to look everywhere."""
        try:
            message = record.getMessage()
            if record.exc_info:  # "Unable to rebuild recursive inotify watches", "Unhandled exception in ..."
                self._notes.note_rescan(broken=message)
            elif "overflow" in message:
                # One overflow is one record of the reader and one for each root that is reconciled.
                self._notes.note_rescan(overflows="reconciling" not in message)
        except Exception:  # noqa: BLE001 - this runs in watchdog's reader, which would die of it
            self._notes.note_handler_error()

    def attach(self) -> None:
        """Listen to the `watchdog` logger, at its own level: a stricter root level would hide the records."""
        logger = logging.getLogger("watchdog")
        logger.setLevel(logging.WARNING)
        logger.addHandler(self)

    def detach(self) -> None:
        """Listen no more."""
        logging.getLogger("watchdog").removeHandler(self)


def _explain(path: Path, problem: OSError) -> tuple[str, str]:
    why = LIMITS[problem.errno][0] if problem.errno in LIMITS else problem.strerror
    return f"{printable(path)} is not watched: {why}; scans find what changes there.", _advice(problem.errno)


def _advice(number: int | None) -> str:
    if number not in LIMITS:
        return ""
    return f"sudo sysctl {LIMITS[number][1]} (and the same line in a file of /etc/sysctl.d/ to keep it)."

"""Which log a process is at, noted so that it is found if reading that log ends the process: killed, crashed or hung.

A file for each process that reads, locked while it lives: whose file is unlocked is dead, and the log named in it is
what it died over. Nothing is synced, for what ends a process leaves the kernel's copy of the file alone; a power cut
may lose the note, and says nothing about the log. Noting a log and taking the note back costs 15 us.
"""

from __future__ import annotations

import errno
import fcntl
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.errors import CannotCreate, SelfdistillError, StoreFull

if TYPE_CHECKING:
    from pathlib import Path

    from selfdistill.store import PendingLog, Store

DIED: Final = "The process that read it ended on the way"
_RECORD_BYTES: Final = 64
_BLANK: Final = b" " * _RECORD_BYTES
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_numbers = count(1)


class Note(Struct, frozen=True):
    """What a dead process was at: a log by number and path (its checksum), and for which distiller."""

    log_id: int
    path: int
    distiller: str


class Attempts:
    """The note of one thread that reads. `directory` holds those of all processes; None notes nothing."""

    def __init__(self, directory: Path | None) -> None:
        self.directory = directory
        self._path: Path | None = None
        self._descriptor = -1
        self._blank = True

    @contextmanager
    def at(self, log: PendingLog, distiller: str, foreseen: tuple[type[BaseException], ...]) -> Iterator[None]:
        """Note inside the block that this log is being read; what is not `foreseen` leaves the note, like a death.

        Raises StoreFull or CannotCreate where nothing can be noted.
        """
        directory = self.directory
        if directory is None:
            yield
            return
        self._write(directory, _record(log.id, _checksum(log.path), distiller))
        try:
            yield
        except foreseen:
            self._write(directory, _BLANK)
            raise
        self._write(directory, _BLANK)

    def rest(self) -> None:
        """Nothing is read for a while: the file goes, unless it holds a note of what was not foreseen."""
        if self._path is None:
            return
        if self._blank:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._path, self._descriptor, self._blank = None, -1, True

    def _write(self, directory: Path, record: bytes) -> None:
        try:
            if self._path is None:
                self._open(directory)
            os.pwrite(self._descriptor, record, 0)
        except OSError as error:
            raise _translated(error, directory) from error
        self._blank = record is _BLANK

    def _open(self, directory: Path) -> None:
        """Make our file and lock it; one that is taken for a dead process's before that is gone, and made again."""
        directory.mkdir(mode=0o700, exist_ok=True)
        while self._path is None:
            path = directory / f"{os.getpid()}-{next(_numbers)}"
            try:
                descriptor = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:  # a dead process had our number
                continue
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                self._path, self._descriptor = path, descriptor
            else:
                os.close(descriptor)


NOT_NOTED: Final = Attempts(None)


def count_deaths(store: Store, directory: Path) -> int:
    """Count, for each log over which a process has died, one death in the store; how many were found.

    Killed in between, a death may be counted twice, which does no harm: a suspect log is read all the same.
    """
    found = 0
    for path in _files(directory):
        try:
            descriptor = os.open(path, _FLAGS)
        except OSError:  # another process was first, or it is no file of ours
            continue
        try:
            note = _left(descriptor)
            if note is not None:
                found += _count(store, note)
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
    return found


def _files(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _left(descriptor: int) -> Note | None:
    """What the owner of a file was at when it died, number 0 if at nothing; None while it lives."""
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        words = os.pread(descriptor, _RECORD_BYTES, 0).decode("ascii", "replace").split()
        match words:
            case [number, path, distiller] if number.isdecimal() and path.isdecimal():
                return Note(int(number), int(path), distiller)
        return Note(0, 0, "")  # torn by a power cut, if it is not blank
    return None


def _count(store: Store, note: Note) -> bool:
    """Count a death, if that log still has its number: a rescued or purged store may have given it to another one."""
    path = store.path(note.log_id)
    if path is None or _checksum(path) != note.path:
        return False
    store.note_death(note.log_id, note.distiller, DIED, 0.0)
    return True


def _record(log_id: int, path: int, distiller: str) -> bytes:
    return f"{log_id} {path} {distiller}".encode().ljust(_RECORD_BYTES)


def _checksum(path: Path) -> int:
    return zlib.crc32(os.fsencode(path))


def _translated(error: OSError, directory: Path) -> SelfdistillError:
    """Our own error for a note that cannot be taken."""
    what = f"Cannot note in {directory} which log is read: {error.strerror}."
    if error.errno in _FULL:
        return StoreFull(what, "Free some space.")
    return CannotCreate(what, "Make that directory yours (mode 0700), or remove it: it is made again.")

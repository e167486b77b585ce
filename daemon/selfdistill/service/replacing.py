"""Files that belong to people: read whole, and replaced in one step with mode, owner and symbolic links kept."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from selfdistill.errors import CannotCreate, PermissionProblem, UsageError
from selfdistill.ingest.naming import printable

MAX_BYTES: Final = 64 * 1024 * 1024
_UNCHANGED: Final = "Nothing was changed."


def read_whole(path: Path, most_bytes: int = MAX_BYTES) -> bytes | None:
    """A file's bytes, None if there is none; UsageError if it is no regular file or larger than `most_bytes`."""
    name = printable(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not hang us
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PermissionProblem(f"{name} cannot be read: {error.strerror}.", _UNCHANGED) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UsageError(f"{name} is not a regular file.", "Name a file.")
        if found.st_size > most_bytes:
            raise UsageError(f"{name} is larger than {most_bytes >> 20} MiB.", "Name another file.")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(most_bytes)
    finally:
        os.close(descriptor)


def replace_whole(path: Path, before: bytes | None, after: bytes | None, *, new_mode: int = 0o600) -> None:
    """Bring a file from `before` to `after` (None: no file) in one step, so that a reader sees either, whole.

    A symbolic link stays, what it names is replaced. A file that was not there gets `new_mode`.

    Raises:
        UsageError: somebody else changed it since it was read as `before`.
        PermissionProblem, CannotCreate: it may not be written, or has no room.
    """
    real = Path(os.path.realpath(path))
    if read_whole(real) != before:
        raise UsageError(f"{printable(path)} was changed by somebody else just now.", f"{_UNCHANGED} Try again.")
    if after == before:
        return
    if before is not None and not os.access(real, os.W_OK):
        raise PermissionProblem(
            f"{printable(path)} is read-only; nothing was changed.", f"If that is not meant: chmod u+w '{path}'"
        )
    try:
        if after is None:
            real.unlink()
        else:
            _write_beside(real, after, new_mode)
        _sync_directory(real.parent)
    except OSError as error:
        raise CannotCreate(f"Cannot write {printable(path)}: {error.strerror}.", _UNCHANGED) from error


def _write_beside(real: Path, content: bytes, new_mode: int) -> None:
    """Write a new file beside the old one, as its twin, and rename it into place."""
    descriptor, name = tempfile.mkstemp(prefix=f".{real.name}.", dir=real.parent)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - mkstemp's descriptor
            file.write(content)
            _liken(descriptor, real, new_mode)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(real)
    finally:
        with suppress(FileNotFoundError):  # it has its new name
            Path(name).unlink()


def _liken(descriptor: int, real: Path, new_mode: int) -> None:
    """Give a new file the mode and owner of the old one."""
    try:
        like = real.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, new_mode)
        return
    if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, like.st_uid, like.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(like.st_mode))


def _sync_directory(directory: Path) -> None:
    """Without it the rename itself may be undone by a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

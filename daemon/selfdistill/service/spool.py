"""Takes in what hooks have noted: files of the spool go into the store, each line once, and are deleted.

A hook holds the file's lock while it appends, and looks whether the file still has a name; so nothing is lost between
our reading and our deleting. A process killed in between takes the same lines in again, which changes nothing.
"""

from __future__ import annotations

import fcntl
import os
import stat
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Struct

from selfdistill.errors import LogProblem
from selfdistill.service.order import SUSPECT_DEATHS
from selfdistill.service.running import BUGS
from selfdistill.store import Absorbed, Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selfdistill.model import Cursor
    from selfdistill.service.assembly import Assembly
    from selfdistill.store import PendingLog, Store

MOST_BYTES: Final = 1024 * 1024  # of a file; a session that was told 5,000 lessons would have so much
MOST_FILES: Final = 1000  # taken in at once; the others wait for the next pass
VERSION: Final = 1  # of the lines
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_Name = Annotated[str, Meta(min_length=1, max_length=512)]
_Word = Annotated[str, Meta(max_length=512)]


class _Line(Struct, frozen=True):
    """A line of the spool, as `recall/hook.py` writes it."""

    v: int
    lesson: _Name
    session: _Name
    at: Annotated[float, Meta(ge=0, le=1e11)]
    event: _Word = ""
    agent: _Word = ""
    tool: _Word = ""


_lines = msgspec.json.Decoder(_Line)


def take_in(assembly: Assembly, *, keep: bool = False) -> None:
    """Absorb the spool, and judge what was told in sessions whose logs had been read before that was known.

    `keep` leaves the files where they are, for a dry run. Where there is nothing it costs a look at the directory and
    one at an empty index.
    """
    absorb(assembly.store, assembly.places.spool, assembly.distiller.name, keep=keep)
    look_back(assembly)


def absorb(store: Store, spool: Path, distiller: str, *, keep: bool = False) -> list[Absorbed]:
    """Absorb the files of a spool directory, one transaction each; a file that a hook holds is left for the next time.

    Raises StoreErrors; what was not absorbed then stays.
    """
    taken = (_absorb_file(store, path, distiller, keep=keep) for path in islice(_files(spool), MOST_FILES))
    return [absorbed for absorbed in taken if absorbed is not None]


def look_back(assembly: Assembly) -> None:
    """Read logs again that were read before a delivery in their session was known, to judge it."""
    try:
        for log in assembly.store.to_look_back():
            cursor, counts = _looked_back(assembly, log)
            assembly.store.looked_back(log.id, assembly.distiller.name, cursor, counts)
    finally:
        assembly.pipeline.attempts.rest()


def _looked_back(assembly: Assembly, log: PendingLog) -> tuple[Cursor | None, dict[int, int]]:
    """What came of the deliveries in a log; nothing where it is deleted, rewritten, or breaks or ends us."""
    if log.deaths >= SUSPECT_DEATHS:
        return None, {}
    try:
        return assembly.pipeline.look_back(log)
    except (LogProblem, *BUGS):
        return None, {}


def _files(spool: Path) -> Iterator[Path]:
    """The spool's files; none where there is no such directory."""
    try:
        names = sorted(entry.name for entry in os.scandir(spool))
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # a hook cannot write there either, and says so
        return
    yield from (spool / name for name in names if name.startswith("deliveries-") and name.endswith(".jsonl"))


def _absorb_file(store: Store, path: Path, distiller: str, *, keep: bool) -> Absorbed | None:
    """Absorb one file and delete it; None if it is no file of ours, held by a hook, or already gone."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:  # a symbolic link, another user's, or another process was first
        return None
    try:
        if not _is_ours(descriptor) or not _lock(descriptor):
            return None
        deliveries, damaged = _read(descriptor)
        absorbed = store.absorb(deliveries, damaged, distiller)
        if not keep:
            path.unlink(missing_ok=True)
        return absorbed
    finally:
        os.close(descriptor)


def _is_ours(descriptor: int) -> bool:
    """Whether it is a regular file of this user that still has a name."""
    found = os.fstat(descriptor)
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink > 0


def _lock(descriptor: int) -> bool:
    """Take the lock; False if a hook has it just now, which may be a stopped one."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return bool(os.fstat(descriptor).st_nlink)


def _read(descriptor: int) -> tuple[list[Delivery], list[bytes]]:
    """The file's deliveries, and its lines that are none."""
    data = os.pread(descriptor, MOST_BYTES + 1, 0)
    lines = data[:MOST_BYTES].splitlines()
    deliveries, damaged = [], [b"more than a spool file may hold"] if len(data) > MOST_BYTES else []
    for line in lines:
        delivery = _delivery(line)
        if delivery is not None:
            deliveries.append(delivery)
        elif line.strip():
            damaged.append(line)
    return deliveries, damaged


def _delivery(line: bytes) -> Delivery | None:
    """What a line tells; None for a damaged one, or one of a version that we do not know."""
    try:
        told = _lines.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if told.v != VERSION:
        return None
    return Delivery(told.lesson, told.session, told.at, told.event, told.agent, told.tool)

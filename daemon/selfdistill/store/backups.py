"""Copies of the store beside it, in `backups/`: made once a day while there is news, checked, sealed, two of them kept.

The copy that a migration makes first (`lessons.bak`) is one of them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from selfdistill.store.database import translate_system
from selfdistill.store.sealing import signature

if TYPE_CHECKING:
    from selfdistill.store.database import Database

EVERY_SECONDS: Final = 24 * 3600.0
KEPT: Final = 2
COPIED_UP_TO_BYTES: Final = 1_000_000_000  # 6 s on the disk of reliability.md; a store that big heals from the logs
_ROOM: Final = 3  # times the store's size must be free
_NEWS: Final = """
    SELECT EXISTS(SELECT 1 FROM cursors WHERE updated_at > :since) OR EXISTS(SELECT 1 FROM verdicts WHERE at > :since)
        OR EXISTS(SELECT 1 FROM charges WHERE at > :since)
"""


def backups_of(path: Path) -> list[Path]:
    """Every copy of the store at `path`, the newest first."""
    dated = sorted(_directory(path).glob("lessons-*.db"), reverse=True)
    before_migration = path.with_suffix(".bak")
    return [*dated, before_migration] if before_migration.exists() else dated


def has_backups(path: Path) -> bool:
    """Whether there is any copy."""
    return bool(backups_of(path))


def seal_of(backup: Path) -> Path:
    """The file that holds a copy's size and digest."""
    return backup.with_name(f"{backup.name}.seal")


def is_due(database: Database, now: float) -> bool:
    """Whether the newest copy is a day old, something was learned or decided since, and there is room for another."""
    path = database.path
    last = max((backup.stat().st_mtime for backup in _directory(path).glob("lessons-*.db")), default=0.0)
    if 0 <= now - last < EVERY_SECONDS:
        return False
    size = path.stat().st_size
    if size > COPIED_UP_TO_BYTES or shutil.disk_usage(path.parent).free < _ROOM * size:
        return False
    return database.row(_NEWS, {"since": last}) == (1,)


def make_backup(database: Database, now: float, between: Callable[[], None] = lambda: None) -> Path | None:
    """Copy the store as of now, check the copy and seal it (0600); then drop the oldest ones.

    A copy has its name only when it is whole and on the disk. `between` is called now and then; what it raises ends it.
    None if another process is making one.
    """
    directory = _directory(database.path)
    target = directory / f"lessons-{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}.db"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        with _alone(directory) as alone:
            if not alone:
                return None
            _sweep(directory)
            _copy(database, target, now, between)
            for old in sorted(directory.glob("lessons-*.db"), reverse=True)[KEPT:]:
                old.unlink(missing_ok=True)
                seal_of(old).unlink(missing_ok=True)
    except OSError as error:
        raise translate_system(error, target) from error
    return target


def _copy(database: Database, target: Path, now: float, between: Callable[[], None]) -> None:
    """Make the copy and its seal."""
    handle, name = tempfile.mkstemp(prefix="new-", dir=target.parent)
    os.close(handle)
    try:
        database.backup(Path(name), between)
        _write_whole(seal_of(target), signature(Path(name)))
        os.utime(name, (now, now))
        os.replace(name, target)  # noqa: PTH105 - beside mkstemp's string
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def _alone(directory: Path) -> Iterator[bool]:
    """Whether no other process makes a copy there: a lock on the directory, which goes with whoever holds it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _directory(path: Path) -> Path:
    return path.parent / "backups"


def _sweep(directory: Path) -> None:
    """Remove what killed processes left; only one process makes backups at a time."""
    for leftover in directory.glob("new-*"):
        leftover.unlink(missing_ok=True)


def _write_whole(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Opening the store for writing: created whole or not at all, recognised as ours, checked, migrated; closed cleanly."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from selfdistill.errors import (
    SelfdistillError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreForeign,
    StoreFull,
    StoreTooNew,
)
from selfdistill.store import sealing
from selfdistill.store.backups import has_backups
from selfdistill.store.database import CORRUPT_ADVICE, Database, connect, translate_system
from selfdistill.store.holding import Hold
from selfdistill.store.migrations import MIGRATIONS, SCHEMA_VERSION, migrate, schema_version
from selfdistill.store.sealing import complaint, condemn, is_pristine, marker, read_mark, seal, write_mark

if TYPE_CHECKING:
    from collections.abc import Callable

APPLICATION_ID: Final = 0x53446973  # "SDis", so that `file` and we know whose database this is
CLEAN_FOR_SECONDS: Final = 24 * 3600.0
CHECKED_UP_TO_BYTES: Final = 1_000_000_000  # quick_check reads the whole file: 1.5 s for a gigabyte
UNFINISHED: Final = "rescue-"
"""Begins the name of the directory in which a rescue makes the new store; there is one only after it was killed."""
_LEFTOVER_SECONDS: Final = 3600.0
_CLOSE_BUSY_MILLISECONDS: Final = 200  # a reader in the way must not hold up a shutdown

_PRAGMAS: Final = (
    # FULL: 3 ms a commit, and what is committed outlives a power cut even if its log is deleted meanwhile.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA journal_size_limit = 8388608",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA secure_delete = ON",
    "PRAGMA cache_size = -2048",  # 2 MiB: the daemon's memory is promised to stay below 40 MiB
)
# fsync alone does not reach the platter on a Mac.
_SYSTEM_PRAGMAS: Final = (
    ("PRAGMA fullfsync = ON", "PRAGMA checkpoint_fullfsync = ON") if sys.platform == "darwin" else ()
)


def open_database(path: Path, *, clock: Callable[[], float], busy_seconds: float) -> Database:
    """The database at `path`, made if it is not there, ours, sound and of the newest schema; else an error.

    The directory must exist (mode 0700, the caller's doing). Raises StoreForeign, StoreTooNew (file untouched),
    StoreCorrupt, StoreBusy, StoreFull, PermissionProblem or CannotCreate.
    """
    hold = Hold(path)
    try:
        # Whoever comes first looks at the seal and breaks it, before anybody can write.
        hold.take(busy_seconds, alone_if=lambda: read_mark(path) != "")
        return open_held(path, hold, clock=clock, busy_seconds=busy_seconds)
    except BaseException:
        hold.close()
        raise


def open_held(path: Path, hold: Hold, *, clock: Callable[[], float], busy_seconds: float) -> Database:
    """Do what `open_database` does under a hold that the caller has; the database lets it go when it is closed."""
    _refuse_lost(path)
    if not path.exists():
        create(path, clock)
    refuse_empty(path)
    trusted = False
    if hold.alone:
        trusted = _is_as_left(path)
        if read_mark(path):
            write_mark(path)
        hold.share()  # nothing is open yet: while the lock changes hands the files may be replaced
    database = Database(connect(path, busy_seconds=busy_seconds, options="mode=rw"), path, partial(_condemn, path))
    try:
        _take(database, clock, trusted=trusted)
    except BaseException:
        database.close()
        raise
    database.hold = hold
    return database


def _condemn(path: Path, reason: str) -> None:
    with suppress(SelfdistillError):  # a full disk, for one; the damage itself is what matters
        condemn(path, reason)


def examine(path: Path) -> None:
    """Raise what is wrong with the store, which the caller holds alone. Nothing is made or mended."""
    _refuse_lost(path)
    if not path.exists():
        return
    refuse_empty(path)
    _is_as_left(path)
    database = Database(connect(path, busy_seconds=0.0, options="mode=rw"), path)
    try:
        check_identity(database)
        database.check()
        check_schema(database)
    finally:
        database.close()


def _is_as_left(path: Path) -> bool:
    """Whether the store is sealed and as it was then; raises StoreCorrupt if it is not, or was found damaged."""
    pristine, complained = is_pristine(path), complaint(path)
    if pristine is not False and not complained:
        return bool(pristine)
    database = Database(connect(path, busy_seconds=0.0, options="mode=rw"), path)
    try:
        check_identity(database)  # what a newer selfdistill wrote is not ours to judge
    finally:
        database.close()
    raise damaged(path, complained or "it is not as it was when it was closed")


def close_database(database: Database, clock: Callable[[], float]) -> None:
    """Close so that the next start may skip its check and no -wal is left (unless others still use the store)."""
    hold, database.hold = database.hold, None
    if hold is None:  # a rehearsal in memory
        database.close()
        return
    try:
        _fold(database, clock)
        if hold.try_alone():
            with suppress(StoreFull):
                seal(database.path)
    finally:
        hold.close()


def _fold(database: Database, clock: Callable[[], float]) -> None:
    try:
        # Others at work are no error: whoever closes last tidies up, and without the mark the next start checks. Nor is
        # a full disk: all that is not committed has been refused already.
        with suppress(StoreBusy, StoreFull):
            database.run(f"PRAGMA busy_timeout = {_CLOSE_BUSY_MILLISECONDS:d}")
            if _size(database.path) > sealing.SEALED_UP_TO_BYTES:
                database.run("INSERT OR REPLACE INTO facts VALUES ('clean_at', ?)", (clock(),))
            database.rows("PRAGMA optimize")
            database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        database.close()


def _size(path: Path) -> int:
    """Bytes of a file; 0 where it was taken away, with its directory perhaps."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def refuse_empty(path: Path) -> None:
    """Raise StoreCorrupt or StoreForeign for a zero-length file, which SQLite would take for a new database."""
    if path.stat().st_size:
        return
    if marker(path).exists():
        raise StoreCorrupt(
            f"The store {path} is empty, but lessons were kept here before ({marker(path)}).", CORRUPT_ADVICE
        )
    raise StoreForeign(
        f"The file {path} is empty and not a store of selfdistill.", "Remove it, or choose another state directory."
    )


def check_identity(database: Database) -> None:
    """Raise StoreForeign or StoreTooNew unless selfdistill, not newer than this one, made the database."""
    try:
        row = database.row("PRAGMA application_id")
    except StoreCorrupt:
        if marker(database.path).exists():
            raise
        raise _foreign(database.path) from None
    if not row or row[0] != APPLICATION_ID:
        # Where lessons were kept before, this is a loss like an empty file.
        if marker(database.path).exists():
            raise damaged(database.path, "another program's database stands in its place")
        raise _foreign(database.path)
    _check_version(database)


def _check_version(database: Database) -> None:
    """Raise StoreTooNew, or StoreCorrupt where only a broken header says so: every step leaves its number twice."""
    version = schema_version(database)
    try:
        recorded = database.row("SELECT max(version) FROM migrations")
    except StoreError:
        recorded = None
    if recorded != (version,):
        raise damaged(database.path, f"its header says schema {version}, its records {recorded and recorded[0]}")
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"The store {database.path} has schema {version}, this selfdistill knows {SCHEMA_VERSION}.",
            "It is left untouched. Update selfdistill, or choose another state directory.",
        )


def check_schema(database: Database) -> None:
    """Raise StoreCorrupt unless every table, column and index is there that our steps up to its version make."""
    missing = _shape(_blank(schema_version(database))) - _shape(database)
    if missing:
        raise damaged(database.path, f"{' '.join(min(missing))} is not there")


def _blank(version: int) -> Database:
    """A store of this schema in memory, with nothing in it."""
    path = Path(":memory:")
    database = Database(connect(path, busy_seconds=0.0, options="mode=memory"), path)
    migrate(database, lambda: 0.0, MIGRATIONS[:version])
    return database


def _shape(database: Database) -> set[tuple[str, ...]]:
    """Names only: how SQLite words a full-text index's own tables is its affair."""
    return set(
        database.rows(
            "SELECT s.type, s.name, coalesce(c.name, '') FROM sqlite_schema AS s"
            " LEFT JOIN pragma_table_info(s.name) AS c ON s.type = 'table' AND s.name NOT GLOB 'lessons_index_*'"
            " WHERE s.name NOT GLOB 'sqlite_*'"
        )
    )


def damaged(path: Path, what: str) -> StoreCorrupt:
    """The error for a store that cannot be trusted."""
    return StoreCorrupt(f"The store {path} is damaged: {what.removesuffix('.')}.", CORRUPT_ADVICE)


def _foreign(path: Path) -> StoreForeign:
    return StoreForeign(
        f"The file {path} is not a store of selfdistill; it is left untouched.",
        "Move it away, or choose another state directory (SELFDISTILL_STATE_DIR).",
    )


def _refuse_lost(path: Path) -> None:
    """A database that is gone is a loss where its journal or backups are still there."""
    # First the -wal, then the database: the other order could meet another process that creates both in between.
    journal = path.with_name(path.name + "-wal")
    if journal.exists() and not path.exists():
        raise StoreCorrupt(f"The store {path} is gone, but its journal {journal.name} is still there.", CORRUPT_ADVICE)
    kept = has_backups(path) or any(path.parent.glob(f"{UNFINISHED}*"))
    if kept and marker(path).exists() and not path.exists():
        raise StoreCorrupt(
            f"The store {path} is gone, but what it can be restored from is still there.", CORRUPT_ADVICE
        )


def create(path: Path, clock: Callable[[], float]) -> None:
    """Make an empty store, under another name, and link it into place: a killed process leaves no half-made store."""
    try:
        handle, name = tempfile.mkstemp(prefix=f"{path.name}.new-", dir=path.parent)
        os.close(handle)
        try:
            _initialise(Path(name), clock)
            Path(path).hardlink_to(name)
        except FileExistsError:
            return  # another process was first; its store is as good as ours
        finally:
            Path(name).unlink(missing_ok=True)
        _sync_directory(path.parent)
    except OSError as error:
        raise translate_system(error, path) from error


def _initialise(path: Path, clock: Callable[[], float]) -> None:
    database = Database(connect(path, busy_seconds=0.0, options="mode=rw"), path)
    try:
        # Nobody sees the file before it is whole, so a single sync at its end is enough: the one of the last commit.
        for pragma in ("PRAGMA journal_mode = MEMORY", "PRAGMA synchronous = OFF"):
            database.rows(pragma)
        database.run(f"PRAGMA application_id = {APPLICATION_ID:d}")
        migrate(database, clock)
        for pragma in ("PRAGMA synchronous = FULL", *_SYSTEM_PRAGMAS, "PRAGMA journal_mode = WAL"):
            database.rows(pragma)
    finally:
        database.close()


def _sweep(path: Path) -> None:
    """Remove what killed creators left; nothing reads those files."""
    try:
        for leftover in path.parent.glob(f"{path.name}.new-*"):
            # Wall clock: it is compared with the file system's.
            with suppress(FileNotFoundError):  # its creator is alive and has just finished
                if time.time() - leftover.lstat().st_mtime > _LEFTOVER_SECONDS:
                    leftover.unlink()
    except OSError as error:
        raise translate_system(error, path) from error


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _take(database: Database, clock: Callable[[], float], *, trusted: bool) -> None:
    check_identity(database)
    _tighten(database.path)
    for pragma in _PRAGMAS + _SYSTEM_PRAGMAS:
        database.rows(pragma)
    if database.row("PRAGMA journal_mode = WAL") != ("wal",):
        raise StoreError(
            f"The store {database.path} cannot use a write-ahead log here (a network file system?).",
            "Choose a state directory on a local disk (SELFDISTILL_STATE_DIR).",
        )
    if not trusted:
        _check_health(database, clock)
    migrate(database, clock)
    if not marker(database.path).exists():
        write_mark(database.path)
    _sweep(database.path)


def _tighten(path: Path) -> None:
    """Close the file to others, should somebody have opened it; -wal and -shm take its mode."""
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise translate_system(error, path) from error


def _check_health(database: Database, clock: Callable[[], float]) -> None:
    row = database.row("SELECT value FROM facts WHERE name = 'clean_at'")
    recently_closed = row is not None and 0 <= clock() - row[0] < CLEAN_FOR_SECONDS
    if not recently_closed and database.path.stat().st_size <= CHECKED_UP_TO_BYTES:
        database.check()
        check_schema(database)
    if row is not None:
        database.run("DELETE FROM facts WHERE name = 'clean_at'")
        # Else a lost -wal would bring the mark back.
        database.rows("PRAGMA wal_checkpoint(PASSIVE)")

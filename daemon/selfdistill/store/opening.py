"""Opening the store for writing: created whole or not at all, recognised as ours, checked, migrated; closed cleanly."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from selfdistill.errors import StoreBusy, StoreCorrupt, StoreError, StoreForeign, StoreFull, StoreTooNew
from selfdistill.store.database import Database, connect, translate_system
from selfdistill.store.migrations import SCHEMA_VERSION, migrate, schema_version

if TYPE_CHECKING:
    from collections.abc import Callable

APPLICATION_ID: Final = 0x53446973  # "SDis", so that `file` and we know whose database this is
CLEAN_FOR_SECONDS: Final = 24 * 3600.0
CHECKED_UP_TO_BYTES: Final = 1_000_000_000  # quick_check reads the whole file: 1.5 s for a gigabyte
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
_DARWIN_PRAGMAS: Final = ("PRAGMA fullfsync = ON", "PRAGMA checkpoint_fullfsync = ON")


def open_database(path: Path, *, clock: Callable[[], float], busy_seconds: float) -> Database:
    """The database at `path`, made if it is not there, ours, sound and of the newest schema; else an error.

    The directory must exist (mode 0700, the caller's doing). Raises StoreForeign, StoreTooNew (file untouched),
    StoreCorrupt, StoreBusy, StoreFull, PermissionProblem or CannotCreate.
    """
    _refuse_orphans(path)
    if not path.exists():
        _create(path, clock)
    refuse_empty(path)
    database = Database(connect(path, busy_seconds=busy_seconds, options="mode=rw"), path)
    try:
        _take(database, clock)
    except BaseException:
        database.close()
        raise
    return database


def close_database(database: Database, clock: Callable[[], float]) -> None:
    """Close so that the next start may skip its check and no -wal is left (unless others still use the store)."""
    try:
        # Others at work are no error: whoever closes last tidies up, and without the mark the next start checks. Nor is
        # a full disk: all that is not committed has been refused already.
        with suppress(StoreBusy, StoreFull):
            database.run(f"PRAGMA busy_timeout = {_CLOSE_BUSY_MILLISECONDS:d}")
            database.run("INSERT OR REPLACE INTO facts VALUES ('clean_at', ?)", (clock(),))
            database.rows("PRAGMA optimize")
            database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        database.close()


def marker(path: Path) -> Path:
    """The file that says: a store was here once, so an empty file is a loss and no fresh start."""
    return path.parent / ".initialised"


def refuse_empty(path: Path) -> None:
    """Raise StoreCorrupt or StoreForeign for a zero-length file, which SQLite would take for a new database."""
    if path.stat().st_size:
        return
    if marker(path).exists():
        raise StoreCorrupt(
            f"The store {path} is empty, but lessons were kept here before ({marker(path)}).",
            "Stop the daemon and put lessons.bak in its place if there is one; "
            "or remove both files to start again from the logs.",
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
        raise _foreign(database.path)
    version = schema_version(database)
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"The store {database.path} has schema {version}, this selfdistill knows {SCHEMA_VERSION}.",
            "It is left untouched. Update selfdistill, or choose another state directory.",
        )


def _foreign(path: Path) -> StoreForeign:
    return StoreForeign(
        f"The file {path} is not a store of selfdistill; it is left untouched.",
        "Move it away, or choose another state directory (SELFDISTILL_STATE_DIR).",
    )


def _refuse_orphans(path: Path) -> None:
    # First the -wal, then the database: the other order could meet another process that creates both in between.
    journal = path.with_name(path.name + "-wal")
    if journal.exists() and not path.exists():
        raise StoreCorrupt(
            f"The store {path} is gone, but its journal {journal.name} is still there.",
            "Bring the database back beside it (lessons.bak is an older one), or move the journal away to start again.",
        )


def _create(path: Path, clock: Callable[[], float]) -> None:
    """Make the database under another name and link it into place: a killed process leaves no half-made store."""
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
        database.run(f"PRAGMA application_id = {APPLICATION_ID:d}")
        migrate(database, clock)
        database.rows("PRAGMA journal_mode = WAL")
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


def _take(database: Database, clock: Callable[[], float]) -> None:
    check_identity(database)
    _tighten(database.path)
    for pragma in _PRAGMAS + (_DARWIN_PRAGMAS if sys.platform == "darwin" else ()):
        database.rows(pragma)
    if database.row("PRAGMA journal_mode = WAL") != ("wal",):
        raise StoreError(
            f"The store {database.path} cannot use a write-ahead log here (a network file system?).",
            "Choose a state directory on a local disk (SELFDISTILL_STATE_DIR).",
        )
    _check_health(database, clock)
    migrate(database, clock)
    _mark(database.path)
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
    if row is not None:
        database.run("DELETE FROM facts WHERE name = 'clean_at'")


def _mark(path: Path) -> None:
    try:
        os.close(os.open(marker(path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise translate_system(error, marker(path)) from error

"""One SQLite connection: statements, transactions, and every SQLite error in our own words, once."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from selfdistill.errors import (
    CannotCreate,
    InternalError,
    PermissionProblem,
    SelfdistillError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreFull,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from selfdistill.store.holding import Hold

Row = tuple[Any, ...]
SQLITE_VERSION: Final = sqlite3.sqlite_version_info

CORRUPT_ADVICE: Final = (
    "The daemon, `selfdistill run` and `selfdistill doctor --repair` move it aside and put the newest backup in its "
    "place, or learn again from the logs."
)
_PAGES_AT_ONCE: Final = 2048
_BACKUP_SLEEP_SECONDS: Final = 0.05  # before another try, while somebody else writes
_FULL_ADVICE: Final = "Nothing was written. Free space, or raise the quota or file-size limit; work resumes by itself."

# Prefix of SQLite's error name -> our error, what happened, what to do. The first that fits wins.
# EFBIG and EDQUOT come as SQLITE_IOERR_WRITE, a full disk under the -shm file as SQLITE_IOERR_SHMSIZE
# (measured, reliability.md 2.4).
_KINDS: Final[tuple[tuple[str, type[StoreError], str, str], ...]] = (
    ("SQLITE_FULL", StoreFull, "no space is left", _FULL_ADVICE),
    ("SQLITE_IOERR_WRITE", StoreFull, "a write was refused (full disk, quota or file-size limit)", _FULL_ADVICE),
    ("SQLITE_IOERR_SHMSIZE", StoreFull, "no space is left", _FULL_ADVICE),
    ("SQLITE_BUSY", StoreBusy, "another process holds the write lock", "Nothing was written; it is tried again later."),
    ("SQLITE_LOCKED", StoreBusy, "another statement holds the lock", "Nothing was written; it is tried again later."),
    ("SQLITE_CORRUPT", StoreCorrupt, "the file is damaged", CORRUPT_ADVICE),
    ("SQLITE_NOTADB", StoreCorrupt, "the file is damaged: it does not begin like a database", CORRUPT_ADVICE),
    ("SQLITE_READONLY", StoreError, "it is read-only", "Make the file system and the file writable for you."),
    ("SQLITE_CANTOPEN", StoreError, "it cannot be opened", "Check that you may read and write it and its directory."),
    ("SQLITE_IOERR", StoreError, "the disk reported an error", "Check the disk (`dmesg`); nothing was written."),
)

# Bytes that are no UTF-8: in a value it is this OperationalError without a name, in the schema, which SQLite quotes in
# what it says, a UnicodeDecodeError from under the module's own making of the exception.
_NO_TEXT: Final = "Could not decode to UTF-8"


def translate(error: Exception, path: Path) -> SelfdistillError:
    """Our own error for one of SQLite's: what happened, where, what to do."""
    name = getattr(error, "sqlite_errorname", "")
    for prefix, kind, what, advice in _KINDS:
        if name.startswith(prefix):
            return kind(f"The store {path} cannot be used: {what} ({name}).", advice)
    if isinstance(error, UnicodeDecodeError) or str(error).startswith(_NO_TEXT):
        return StoreCorrupt(f"The store {path} cannot be used: it is damaged, text in it is none.", CORRUPT_ADVICE)
    if name:
        return StoreError(f"The store {path} refused a statement: {error} ({name}).", "Please report this.")
    return InternalError(f"The store {path} was used wrongly: {str(error).rstrip('.')}.", "Please report this.")


def translate_system(error: OSError, path: Path) -> SelfdistillError:
    """Our own error for what the file system says about one of the store's files."""
    what = f"The store {path} cannot be used: {error.strerror}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return StoreFull(f"{what}.", _FULL_ADVICE)
    if error.errno in {errno.EACCES, errno.EPERM}:
        return PermissionProblem(
            f"{what}.", f"Make {path.parent} and the files in it yours (owner, mode 0700 and 0600)."
        )
    return CannotCreate(f"{what}.", f"Check that {path.parent} exists, is writable and allows hard links.")


def connect(path: Path, *, busy_seconds: float, options: str) -> sqlite3.Connection:
    """A connection in autocommit mode (transactions are explicit); `options` are SQLite's URI parameters.

    Any thread may use it, one at a time: the daemon opens the store in one thread and works in another.
    """
    # Bytes, because a home directory need not be UTF-8.
    address = f"file:{quote(os.fsencode(path.absolute()))}?{options}"
    try:
        return sqlite3.connect(
            address,
            uri=True,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
    except sqlite3.Error as error:
        raise translate(error, path) from error


class Database:
    """Statements on one connection. Errors are `errors.StoreError`s; a failed transaction leaves nothing behind."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, on_damage: Callable[[str], None] | None = None
    ) -> None:
        self.path = path
        self.hold: Hold | None = None
        """The lock that says that we have the store open; let go with the connection."""
        self._on_damage = on_damage
        self.remembered: dict[Any, Any] = {}
        """What was read in this transaction and cannot change under it: gone with its end or a rollback."""
        self._connection = connection
        self._depth = 0

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """All rows of a statement, or what it has `RETURNING`."""
        self._refuse_broken()
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except (sqlite3.Error, UnicodeError, OverflowError) as error:
            raise self._problem(error) from error

    def row(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Row | None:
        """The first row of a statement, or None."""
        rows = self.rows(sql, parameters)
        return rows[0] if rows else None

    def run(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """Run a writing statement; the number of rows it changed."""
        self._refuse_broken()
        try:
            return self._connection.execute(sql, parameters).rowcount
        except (sqlite3.Error, UnicodeError, OverflowError) as error:
            raise self._problem(error) from error

    def run_many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        """Run a writing statement once for each tuple of parameters."""
        for values in parameters:
            self.run(sql, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Takes the write lock at once; inside another one it is a savepoint.

        Never deferred: a transaction that reads first and writes later fails with "locked" at once when another
        process wrote in between, whatever the busy timeout says (SQLITE_BUSY_SNAPSHOT, reliability.md 2.4).
        """
        nested = self._depth > 0
        self.run("SAVEPOINT nested" if nested else "BEGIN IMMEDIATE")
        self._depth += 1
        try:
            yield
            self.run("RELEASE nested" if nested else "COMMIT")
        except BaseException:
            self.remembered.clear()
            self._undo(nested=nested)
            raise
        finally:
            self._depth -= 1
            if not nested:
                self.remembered.clear()

    def backup(self, target: Path, between: Callable[[], None] = lambda: None) -> None:
        """Copy the whole database, as of now, to the existing empty file `target`, and check the copy."""
        copy = Database(connect(target, busy_seconds=0.0, options="mode=rw"), target)
        try:
            self.copy_to(copy, between)
            copy.check()
        finally:
            copy.close()

    def copy_to(self, other: Database, between: Callable[[], None] = lambda: None) -> None:
        """Replace what the other database holds by all that this one holds now.

        `between` is called after each 8 MiB or so; what it raises ends the copying.
        """
        try:
            self._connection.backup(
                other._connection, pages=_PAGES_AT_ONCE, progress=lambda *_: between(), sleep=_BACKUP_SLEEP_SECONDS
            )
        except sqlite3.Error as error:
            raise translate(error, other.path) from error

    @property
    def changes(self) -> int:
        """How many rows were changed over this connection."""
        return self._connection.total_changes

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction of ours is open, so that nobody else can write."""
        return self._depth > 0

    def check(self) -> None:
        """Raise StoreCorrupt unless every page is sound (`quick_check`: 0.15 s for 97 MB)."""
        found = self.rows("PRAGMA quick_check(1)")
        if found != [("ok",)]:
            raise StoreCorrupt(f"The store {self.path} is damaged: {found[0][0]}.", CORRUPT_ADVICE)

    def close(self) -> None:
        """Close the connection; closing again does nothing."""
        try:
            self._connection.close()
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        finally:
            hold, self.hold = self.hold, None
            if hold is not None:
                hold.close()

    def _problem(self, error: Exception) -> SelfdistillError:
        """Our own error; damage is noted for whoever opens the file next, since a check need not find it."""
        problem = translate(error, self.path)
        if isinstance(problem, StoreCorrupt) and self._on_damage is not None:
            self._on_damage(problem.message)
        return problem

    def _refuse_broken(self) -> None:
        if self._depth and not self._connection.in_transaction:
            # SQLite itself rolls back on a full disk; going on would commit statement by statement.
            raise StoreError(
                f"The transaction on {self.path} was undone by SQLite after an earlier error.",
                "Nothing was written; it is tried again later.",
            )

    def _undo(self, *, nested: bool) -> None:
        if not self._connection.in_transaction:
            return
        if nested:
            self.run("ROLLBACK TO nested")
            self.run("RELEASE nested")
        else:
            self.run("ROLLBACK")

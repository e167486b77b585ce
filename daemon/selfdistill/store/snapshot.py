"""Reading the store without leaving a trace: nothing in its directory is made, changed or touched.

`mode=ro` does not keep that promise. On a cleanly closed database it makes -wal and -shm, and beside a -wal that is
there it writes the -shm, whose modification time moves (measured with SQLite 3.40). So the file is read as it stands
where it is complete, and otherwise copied.

Not for a process that has the same store open for writing: closing any other handle on the file drops SQLite's POSIX
locks (sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from selfdistill.errors import StoreBusy, StoreCorrupt, StoreError
from selfdistill.store.database import Database, Row, connect, translate_system
from selfdistill.store.migrations import SCHEMA_VERSION, schema_version
from selfdistill.store.opening import check_identity, refuse_empty

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

COPIED_UP_TO_BYTES: Final = 64 * 1024 * 1024
_ATTEMPTS: Final = 5

Read = TypeVar("Read")
Stamp = tuple[tuple[int, int, int, int] | None, ...]


def open_snapshot(path: Path, *, busy_seconds: float = 1.0) -> Database | None:
    """The store for reading only, or None if there is none. Writing through it fails.

    Raises StoreError for an older schema, StoreTooNew, StoreForeign, StoreCorrupt; StoreBusy if it never rests.
    """
    if not path.exists():
        return None
    refuse_empty(path)
    database = Snapshot(path, busy_seconds)
    try:
        check_identity(database)
        _refuse_old(database)
    except BaseException:
        database.close()
        raise
    return database


class Snapshot(Database):
    """A database that is read as its files were at one moment; looked at again when they change.

    While no -wal holds anything the file itself is complete: it is opened as immutable (no lock, no side file), and
    every read is repeated if the file changed meanwhile. Otherwise database and -wal are copied to a private directory.
    """

    def __init__(self, path: Path, busy_seconds: float) -> None:
        self._busy_seconds = busy_seconds
        self._copy = ExitStack()
        self._stamp: Stamp | None = None
        self._look(path)

    def rows(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[Row]:
        """All rows of a statement, from one moment."""
        return self._settled(lambda: super(Snapshot, self).rows(sql, parameters))

    def _settled(self, read: Callable[[], Read]) -> Read:
        """What `read` gives while the files stay as they are; read again if they changed meanwhile."""
        for _ in range(_ATTEMPTS):
            try:
                found = read()
            except StoreCorrupt:
                if self._is_current():
                    raise
            else:
                if self._is_current():
                    return found
            self.close()
            self._look(self.path)
        raise _restless(self.path)

    def copy_to(self, other: Database, between: Callable[[], None] = lambda: None) -> None:
        """Replace what the other database holds by all that this one holds, from one moment."""
        self._settled(lambda: super(Snapshot, self).copy_to(other, between))

    def close(self) -> None:
        """Close the connection and remove the private copy, if there is one."""
        super().close()
        self._copy.close()

    def _is_current(self) -> bool:
        return self._stamp is None or self._stamp == _stamp(self.path)

    def _look(self, path: Path) -> None:
        self._stamp = _stamp(path)
        journal = path.with_name(path.name + "-wal")
        if not journal.exists() or not journal.stat().st_size:
            connection = connect(path, busy_seconds=self._busy_seconds, options="mode=ro&immutable=1")
        elif path.stat().st_size + journal.stat().st_size <= COPIED_UP_TO_BYTES:
            copied = _copied(path, self._copy)
            self._stamp = None
            connection = connect(copied, busy_seconds=self._busy_seconds, options="mode=rw")
        elif os.access(path.parent, os.W_OK) and path.with_name(path.name + "-shm").exists():
            # Too big to copy: the -shm may get a new time, which is the lesser evil.
            self._stamp = None
            connection = connect(path, busy_seconds=self._busy_seconds, options="mode=ro")
        else:
            raise StoreError(
                f"The store {path} was left in the middle of work and is too big to read aside.",
                "Run `selfdistill run` once: it tidies up.",
            )
        super().__init__(connection, path)
        super().rows("PRAGMA query_only = ON")
        super().rows("PRAGMA trusted_schema = OFF")


def _refuse_old(database: Database) -> None:
    version = schema_version(database)
    if version < SCHEMA_VERSION:
        raise StoreError(
            f"The store {database.path} has the older schema {version} (now {SCHEMA_VERSION}).",
            "Run `selfdistill run` once to upgrade.",
        )


def _stamp(path: Path) -> Stamp:
    """What tells that the files changed. A journal without content is as good as none."""
    stats: list[tuple[int, int, int, int] | None] = []
    for name in (path.name, path.name + "-wal"):
        try:
            found = path.with_name(name).stat()
        except FileNotFoundError:
            found = None
        empty = found is None or not found.st_size
        stats.append(
            None if found is None or empty else (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        )
    return tuple(stats)


def _copied(path: Path, owner: ExitStack) -> Path:
    """A consistent private copy (directory 0700) of database and journal; `owner` removes it."""
    directory = Path(owner.enter_context(tempfile.TemporaryDirectory(prefix="selfdistill-")))
    try:
        for _ in range(_ATTEMPTS):
            before = _stamp(path)
            for name in (path.name, path.name + "-wal"):
                with suppress(FileNotFoundError):  # no journal, or it just went: then the stamps differ
                    shutil.copyfile(path.with_name(name), directory / name)
            if _stamp(path) == before:
                return directory / path.name
            (directory / (path.name + "-wal")).unlink(missing_ok=True)
    except OSError as error:
        raise translate_system(error, path) from error
    raise _restless(path)


def _restless(path: Path) -> StoreBusy:
    return StoreBusy(f"The store {path} changed each time it was read.", "Try again in a moment.")

"""Another program's SQLite database, read while that program lives, without a trace in its directory.

* no `-wal`: opened as immutable, which takes no locks and makes no files; whether it changed meanwhile, `stat` says;
* `-wal` and `-shm`: opened read-only with `readonly_shm`, so that the shared index is not written either, not even by
  taking a read mark, and is built in memory where nobody holds it; one short transaction is one consistent state;
* `-wal` alone, a journal that is to be rolled back, or a shared index that cannot be used: a private copy, for SQLite
  would write beside the database. Its files lose their names as soon as it is open, so nothing outlives us.
"""

from __future__ import annotations

import base64
import os
import shutil
import sqlite3
import stat
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from selfdistill.errors import LogProblem
from selfdistill.ingest.problems import log_problem, problem_of
from selfdistill.model import Skip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LARGEST_COPY: Final = 2 * 1024**3  # bytes; Cursor's state.vscdb with years of work has 1 to 2 GiB
SPARE_BYTES: Final = 100 * 1024**2  # left free in the temporary directory
LONGEST_VALUE: Final = 64 * 1024**2  # bytes of one row or text: a longer line would be skipped anyway
PATIENCE_SECONDS: Final = 60.0  # for all questions that are asked at one opening
BUSY_SECONDS: Final = 1.0
MOST_TABLES: Final = 500
ATTEMPTS: Final = 2
_STEPS: Final = 20_000  # of SQLite's machine between two looks at the clock
_SIDES: Final = ("-wal", "-shm", "-journal")
_HOT_JOURNAL: Final = bytes.fromhex("d9d505f920a163d7")  # https://sqlite.org/fileformat2.html#the_rollback_journal
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_SETTINGS: Final = (
    "query_only = 1",
    "trusted_schema = 0",
    "cell_size_check = 1",
    "mmap_size = 0",
    "cache_size = -4096",
)

_Figures = tuple[int, int, int, int]  # inode, size, time of the content, time of the inode


class _Sight(Struct, frozen=True):
    """The files of a database as they are now; None for what is not there."""

    main: _Figures
    ahead: _Figures | None
    index: _Figures | None
    journal: _Figures | None
    hot: bool  # the journal holds what a crash left behind, or what is being written

    @property
    def content(self) -> tuple[_Figures, _Figures | None, bool]:
        """What tells of a commit."""
        return self.main, self.ahead, self.hot


class Foreign:
    """A database that is open for questions, all answered from one state. Raises LogProblem for whatever goes wrong."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    def tables(self) -> dict[str, frozenset[str]]:
        """The columns of each table and view; those of virtual tables need code that is not ours to run."""
        named = self.rows(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
            " AND coalesce(sql, '') NOT LIKE 'CREATE VIRTUAL%' ORDER BY name LIMIT ?",
            (MOST_TABLES,),
        )
        names = [str(row[0]) for row in named]
        return {name: frozenset(str(row[0]) for row in self._columns(name)) for name in names}

    def rows(self, question: str, values: Mapping[str, object] | tuple[object, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of an answer, one by one."""
        with told(self._path):
            yield from self._connection.execute(question, values)

    def tables_of_rows(self, question: str, values: Mapping[str, object]) -> Iterator[dict[str, Any]]:
        """The rows of an answer as tables by column name, blobs as base64 text."""
        with told(self._path):
            cursor = self._connection.execute(question, values)
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield {name: _plain(value) for name, value in zip(names, row, strict=True)}

    def _columns(self, table: str) -> list[tuple[Any, ...]]:
        try:
            return list(self.rows("SELECT name FROM pragma_table_info(?)", (table,)))
        except LogProblem:  # a view that is broken by itself, and that nobody needs
            return []


@contextmanager
def reading(path: Path) -> Iterator[Foreign]:
    """Open another program's database for reading.

    Raises LogProblem: GONE, NOT_REGULAR, UNREADABLE (no database, damaged, too slow or too large), UNSETTLED (locked,
    or changed while it was read without a lock: then what was read is void).
    """
    sight = _look(path)
    if sight.hot or (sight.ahead and not sight.index):
        yield Foreign(path, _copied(path))
        return
    if sight.ahead:
        connection = _shared(path)
        if connection is None:
            yield Foreign(path, _copied(path))
            return
    else:
        connection = _connected(path, "mode=ro&immutable=1")
    try:
        yield Foreign(path, connection)
    except LogProblem as problem:
        if not sight.ahead and problem.reason == Skip.UNREADABLE:
            _unchanged(path, sight)  # torn pages look like damage
        raise
    finally:
        connection.close()
    if not sight.ahead:
        _unchanged(path, sight)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What SQLite says of a database, as a LogProblem."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise log_problem(path, Skip.UNSETTLED, "the agent has locked it") from error
        what = _WORDS.get(code, f"SQLite says: {error}")
        raise log_problem(path, Skip.UNREADABLE, what, _UNREADABLE_ADVICE) from error
    except UnicodeDecodeError as error:  # what SQLite says quotes bytes of the damaged schema that are no text
        raise log_problem(path, Skip.UNREADABLE, _WORDS[sqlite3.SQLITE_CORRUPT], _UNREADABLE_ADVICE) from error


def let_go() -> None:
    """Give back the disk space of this thread's private copy, if there is one: nobody will soon ask again."""
    kept, _kept.copy = getattr(_kept, "copy", None), None
    if kept is not None:
        kept.connection.close()


_UNREADABLE_ADVICE: Final = "Nothing to do: it is tried again when it changes; exclude it to have it uncounted."
_WORDS: Final = {
    sqlite3.SQLITE_NOTADB: "it is no SQLite database",
    sqlite3.SQLITE_CORRUPT: "the database is damaged",
    sqlite3.SQLITE_INTERRUPT: f"it did not answer within {PATIENCE_SECONDS:.0f} s",
    sqlite3.SQLITE_TOOBIG: f"a row of it has more than {LONGEST_VALUE // 2**20} MiB",
}


class _Copy(Struct):
    path: Path
    content: tuple[_Figures, _Figures | None, bool]
    connection: sqlite3.Connection


_kept = threading.local()  # one private copy for each thread: many sessions are read from it one after the other


def _look(path: Path) -> _Sight:
    """The files of a database. Raises LogProblem if it is no regular file."""
    try:
        found = os.lstat(path)  # not opened: closing it would end the locks of another connection of this process
    except OSError as problem:
        raise problem_of(path, problem) from problem
    if not stat.S_ISREG(found.st_mode):
        raise log_problem(path, Skip.NOT_REGULAR, "it is not a regular file")
    main = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    ahead, index, journal = (_figures(_beside(path, side)) for side in _SIDES)
    ahead = ahead if ahead and ahead[1] else None  # without a byte it says nothing
    return _Sight(main, ahead, index, journal, hot=bool(journal and journal[1]) and _is_hot(_beside(path, "-journal")))


def _figures(path: Path) -> _Figures | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    regular = stat.S_ISREG(found.st_mode)
    return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns) if regular else None


def _is_hot(journal: Path) -> bool:
    """Whether SQLite would roll this journal back: it has its mark and was not blanked."""
    try:
        with journal.open("rb") as file:
            return file.read(len(_HOT_JOURNAL)) == _HOT_JOURNAL
    except OSError:
        return False


def _beside(path: Path, side: str) -> Path:
    return path.with_name(f"{path.name}{side}")


def _unchanged(path: Path, sight: _Sight) -> None:
    """Raise UNSETTLED if the database is not as it was seen."""
    if _look(path).content != sight.content:
        raise log_problem(path, Skip.UNSETTLED, "it was changed while it was read")


def _connected(path: Path, how: str) -> sqlite3.Connection:
    """A connection that can do nothing but read, for a while, in one transaction."""
    with told(path):
        address = f"file://{quote(os.fsencode(path.absolute()))}?{how}"
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        _tame(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _tame(path: Path, connection: sqlite3.Connection) -> None:
    """Take from a connection what a hostile or damaged database could use, and begin the transaction."""
    connection.text_factory = _text
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    end = time.monotonic() + PATIENCE_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    with told(path):
        for setting in _SETTINGS:
            connection.execute(f"PRAGMA {setting}")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # BEGIN alone takes no snapshot


def _shared(path: Path) -> sqlite3.Connection | None:
    """A connection beside the agent's own; None where its shared index cannot be used without writing to it."""
    try:
        return _connected(path, "mode=ro&readonly_shm=1")
    except LogProblem as problem:
        code = getattr(problem.__cause__, "sqlite_errorcode", 0) & 0xFF
        if code not in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}:
            raise
    return None


def _copied(path: Path) -> sqlite3.Connection:
    """A connection to a private copy of the database as it is now; kept for the next question."""
    kept = getattr(_kept, "copy", None)
    sight = _look(path)
    if kept is not None and (kept.path, kept.content) == (path, sight.content):
        with told(path):  # the time for the questions begins anew
            kept.connection.execute("COMMIT")
            _tame(path, kept.connection)
        connection: sqlite3.Connection = kept.connection
        return connection
    let_go()
    for _ in range(ATTEMPTS):
        connection = _copy(path, sight)
        now = _look(path)
        if now.content == sight.content:
            _kept.copy = _Copy(path, sight.content, connection)
            return connection
        connection.close()
        sight = now
    raise log_problem(path, Skip.UNSETTLED, "it was changed while it was copied")


def _copy(path: Path, sight: _Sight) -> sqlite3.Connection:
    """Copy the files, bring the copy up to date, and take away its name."""
    needed = sight.main[1] + (sight.ahead[1] if sight.ahead else 0)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if needed > LARGEST_COPY or needed + SPARE_BYTES > free:
        what = f"it must be copied to be read and has {needed // 2**20:,} MiB ({free // 2**20:,} MiB are free there)"
        advice = "Start and quit its agent once, which tidies the database up; or make room in TMPDIR."
        raise log_problem(path, Skip.UNREADABLE, what, advice)
    with tempfile.TemporaryDirectory(prefix="selfdistill-") as directory:  # 0700
        copy = Path(directory) / "copy.db"
        try:
            _transfer(path, copy)
            for side in ("-wal", "-journal"):
                with suppress(FileNotFoundError):
                    _transfer(_beside(path, side), _beside(copy, side))
        except OSError as problem:
            raise problem_of(path, problem) from problem
        with told(path):
            connection = sqlite3.connect(copy, timeout=0.0, isolation_level=None)
        try:
            with told(path):
                connection.execute("PRAGMA journal_mode = DELETE").fetchone()  # now it is one file, and all is in it
            _tame(path, connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _transfer(source: Path, target: Path) -> None:
    """Copy one file, links not followed."""
    with open(os.open(source, _OPEN), "rb") as old, target.open("xb") as new:  # noqa: PTH123 - for O_NOFOLLOW
        shutil.copyfileobj(old, new, 1024 * 1024)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _plain(value: object) -> object:
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value


encode_row: Final = msgspec.json.Encoder().encode  # a number that is not finite becomes null

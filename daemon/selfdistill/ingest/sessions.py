"""The sessions of an agent's database: which there are, and the records of one as lines."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from selfdistill.ingest.foreign import Foreign, encode_row, reading
from selfdistill.ingest.identity import LARGEST_INTEGER, digest
from selfdistill.ingest.members import key_of, session_path, stat_of_database
from selfdistill.ingest.problems import log_problem
from selfdistill.layouts import Rendered
from selfdistill.model import Skip, Stat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selfdistill.errors import LogProblem
    from selfdistill.ingest.rendered import Spool
    from selfdistill.layouts import Database, Queries

# A number this large is a time in that many parts of a second (seconds since 2001, before 5138).
_UNITS: Final = ((10**17, 1), (10**14, 10**3), (10**11, 10**6), (10**9, 10**9))
_NANOSECONDS_PER_MS: Final = 10**6
_FINISHED: Final = "finished"


def sessions(path: Path, layout: Database) -> dict[Path, Stat]:
    """The sessions of a database as logs, and what each looks like. Raises LogProblem."""
    base = _base(path)
    with reading(path) as database:
        queries = _queries(path, layout, database)
        rows = database.rows(_listing(queries))
        return {session_path(path, str(key)): _stat(base, changed, size) for key, changed, size in rows if key}


class SessionRendering:
    """One session of a database as its source tells it."""

    def __init__(self, path: Path, layout: Database) -> None:
        self._path = path
        self._layout = layout

    def render(self, spool: Spool) -> Stat:
        """Write the records, all of one moment. Raises LogProblem, GONE if the database has no such session."""
        file, key = self._path.parent, {"key": key_of(self._path)}
        base = _base(file)
        with reading(file) as database:
            queries = _queries(file, self._layout, database)
            found = next(database.rows(f"{_listing(queries)} WHERE key = :key", key), None)
            if found is None:
                raise log_problem(self._path, Skip.GONE, "its database has no such session any more")
            spool.take(self._records(database, queries, key))
        return _stat(base, found[1], found[2])

    def _records(self, database: Foreign, queries: Queries, key: dict[str, str]) -> Iterator[Rendered]:
        for row in database.tables_of_rows(queries.records, key):
            finished = row.pop(_FINISHED, 1)
            record = Rendered(encode_row(row), finished=finished is None or bool(finished))
            if self._layout.rendered is None:
                yield record
            else:
                yield from self._layout.rendered(record)


def _queries(path: Path, layout: Database, database: Foreign) -> Queries:
    queries = layout.queries(database.tables())
    if queries is None:
        raise log_problem(path, Skip.NO_CONVERSATION, "the database has none of the agent's tables")
    return queries


def _listing(queries: Queries) -> str:
    """The question for the sessions, with names for its columns."""
    return f"WITH listing(key, changed, size) AS ({queries.sessions}) SELECT key, changed, size FROM listing"  # noqa: S608


def _base(path: Path) -> Stat:
    """What the database looks like now. Raises LogProblem."""
    seen = stat_of_database(path)
    if isinstance(seen, Stat):
        return seen
    raise _not_there(path, seen)


def _not_there(path: Path, seen: Skip) -> LogProblem:
    what = {Skip.GONE: "it is not there any more", Skip.NOT_REGULAR: "it is not a regular file"}
    return log_problem(path, seen, what.get(seen, "it cannot be looked at"))


def _stat(base: Stat, changed: object, size: object) -> Stat:
    """A session's stat: its own time and number of messages.

    The ctime is what tells its states apart and orders them: the time again, with what follows it in a text of the form
    TIME/MORE below its milliseconds; or a number that moves. A session without a time of its own has the database's.
    """
    messages = size if isinstance(size, int) else 0
    when, more = _nanoseconds(changed), 0
    if when is None and isinstance(changed, str):
        time, _, rest = changed.partition("/")
        when, more = _nanoseconds(time), _digest(rest) % _NANOSECONDS_PER_MS
    if when is not None:
        return Stat(base.dev, base.ino, messages, when, when - when % _NANOSECONDS_PER_MS + more if more else when)
    if isinstance(changed, int) and 0 <= changed <= LARGEST_INTEGER:
        return Stat(base.dev, base.ino, messages, base.mtime_ns, changed)
    return Stat(base.dev, base.ino, messages, base.mtime_ns, _digest(str(changed)))


def _digest(text: str) -> int:
    return int.from_bytes(digest(text.encode())[:7], "big")


def _nanoseconds(changed: object) -> int | None:
    """A time in nanoseconds since the epoch: of a number in any unit, or an ISO text (UTC where it does not say)."""
    if isinstance(changed, str):
        try:
            return _of_text(changed)
        except (ValueError, OverflowError):
            return None
    if isinstance(changed, int | float) and math.isfinite(changed):
        unit = next((unit for least, unit in _UNITS if changed >= least), 0)
        return min(int(changed * unit), LARGEST_INTEGER) if unit else None
    return None


def _of_text(changed: str) -> int | None:
    if changed.isdecimal() and changed.isascii():
        return _nanoseconds(int(changed))
    moment = datetime.fromisoformat(changed)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = aware - datetime.fromtimestamp(0, UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000

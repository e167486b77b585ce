"""How a log lies on disk, where it is not a file of lines: what a source declares and `ingest/` reads.

Every log is read as a text of lines, one record each, to which lines are only ever added. Agents that rewrite a JSON
document, or keep all sessions in a database, are brought into that shape: their source says how to *render* a session
as lines of what never changes once it is finished. So cursors, proofs, pieces and parsers are the same for all agents,
and a message that was edited after all is noticed by the proof, which makes the log a new generation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import NamedTuple, Protocol

from msgspec import Struct


class Rendered(NamedTuple):
    """One record as a line of JSON without a newline; `finished` is False while the agent may still change it.

    An unfinished record that is the last one is held back like a line without its newline: it is read when the log is
    at rest. Before other records it counts as finished, for the agent has gone on.
    """

    line: bytes
    finished: bool = True


class Files(Protocol):
    """The files of one log, as a source may look at them: reading only, bounded, nothing outside a root."""

    def names(self, directory: PurePath) -> list[str]:
        """Return the names in a directory, sorted; empty where there is none."""

    def read(self, path: PurePath) -> bytes:
        """Return a file's bytes; b"" where there is none. Raises LogProblem if it cannot be read or is too large."""


class Document(Struct, frozen=True):
    """A log that is rewritten in place: one session in one file, or in a file and others that belong to it.

    `render` gives its records in order. It must not raise for any content: what is no JSON gives one line with the
    bytes as they are (newlines replaced by spaces), so that the parser counts it as undecodable. `companions` are the
    directories beside the file whose files belong to the log, so that a change there counts as one of the log.
    """

    render: Callable[[PurePath, Files], Iterator[Rendered]]
    companions: Callable[[PurePath], tuple[PurePath, ...]] = lambda _path: ()


class Queries(Struct, frozen=True):
    """The questions to one database.

    `sessions` takes no parameter and gives a row (key, changed, size) for each session: `key` is a text, `changed`
    moves whenever something of the session does (a number or text), `size` counts its messages. If `changed` is a time
    (seconds or parts of them since 1970, or an ISO text, UTC), or a text TIME/MORE, that is when the session was last
    written to; else the database's own time counts. `records` takes the key as its only parameter, named `:key`, and
    gives the session's rows in order; a row becomes one line, the JSON object of its columns by name (numbers, texts,
    null; blobs as base64 text). A column called `finished` is not in the line: 0 means that the row may still change.
    Columns that change after a row is finished must not be asked for.
    """

    sessions: str
    records: str


class Database(Struct, frozen=True):
    """Logs in a SQLite database, many sessions in one file: each becomes a log of its own, `FILE/KEY`.

    `queries` takes the columns of each table by the table's name, for these differ between versions; it returns None
    where the database is none of this agent's. Queries are asked on a read-only connection with a progress limit.
    `rendered` may bring one row's line into another shape (several lines, or none).
    """

    queries: Callable[[Mapping[str, frozenset[str]]], Queries | None]
    rendered: Callable[[Rendered], Iterator[Rendered]] | None = None


Layout = Document | Database

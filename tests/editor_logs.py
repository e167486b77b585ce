"""The invented logs of Aider, Cline and Cursor as their parsers get them; databases are built from their SQL text."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from selfdistill.layouts import Database, Document, Rendered
from selfdistill.sources import Source
from selfdistill.sources.aider import Aider
from selfdistill.sources.cline import Cline
from selfdistill.sources.cursor import Cursor

FIXTURES = Path(__file__).parent / "fixtures"
SOURCES: tuple[Source, ...] = (Aider(), Cline(), Cursor())


class Log(NamedTuple):
    """One log: which source reads it, what its expected.json calls it, its path, and its text."""

    source: Source
    name: str
    path: PurePath
    data: bytes


class OtherBytes:
    """`Files` as they lie on the disk, but for one that has other bytes."""

    def __init__(self, path: PurePath | None = None, data: bytes = b"") -> None:
        self._path, self._data = path, data

    def names(self, directory: PurePath) -> list[str]:
        """The names in a directory, sorted."""
        return sorted(path.name for path in Path(directory).iterdir())

    def read(self, path: PurePath) -> bytes:
        """A file's bytes; empty where there is none."""
        if path == self._path:
            return self._data
        return Path(path).read_bytes() if Path(path).is_file() else b""


def document_lines(source: Source, path: PurePath, data: bytes) -> list[Rendered]:
    """The lines of a document that holds these bytes."""
    layout = source.layout(path)
    assert isinstance(layout, Document)
    return list(layout.render(path, OtherBytes(path, data)))


def built(script: Path) -> sqlite3.Connection:
    """The database that a script makes."""
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    database.executescript(script.read_text("utf-8"))
    return database


def sessions_of(source: Source, database: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """The (key, changed, size) of each session."""
    asked = _layout(source).queries(tables_of(database))
    return [tuple(row) for row in database.execute(asked.sessions)] if asked else []


def database_lines(source: Source, database: sqlite3.Connection, key: str) -> list[Rendered]:
    """The lines of one session."""
    layout = _layout(source)
    asked = layout.queries(tables_of(database))
    assert asked is not None
    lines: list[Rendered] = []
    for row in database.execute(asked.records, {"key": key}):
        columns = dict(row)
        finished = bool(columns.pop("finished", 1))
        line = Rendered(json.dumps(columns).encode(), finished)
        lines.extend(layout.rendered(line) if layout.rendered else [line])
    return lines


def tables_of(database: sqlite3.Connection) -> dict[str, frozenset[str]]:
    """The columns of each table."""
    names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {name: database.execute("SELECT name FROM pragma_table_info(?)", (name,)) for name in names}
    return {name: frozenset(row[0] for row in rows) for name, rows in found.items()}


def logs() -> list[Log]:
    """Every invented log of these agents."""
    return [log for source in SOURCES for log in _logs_of(source, FIXTURES / source.name)]


def _logs_of(source: Source, base: Path) -> Iterator[Log]:
    for path in sorted(base.rglob("*")):
        name = path.relative_to(base).as_posix()
        if path.suffix == ".sql":
            database = built(path)
            for key, _, _ in sessions_of(source, database):
                lines = [each.line for each in database_lines(source, database, key)]
                yield Log(source, f"{name}/{key}", PurePath("/h/state.vscdb") / key, b"\n".join(lines))
        elif path.is_file() and source.owns(path):
            layout = source.layout(path)
            data = path.read_bytes()
            if isinstance(layout, Document):
                data = b"\n".join(each.line for each in document_lines(source, path, data))
            yield Log(source, name, PurePath("/h") / name, data)


def _layout(source: Source) -> Database:
    layout = source.layout(PurePath("/h/state.vscdb"))
    assert isinstance(layout, Database)
    return layout

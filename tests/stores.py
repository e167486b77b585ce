"""Logs that lie in databases and documents, made into lines the way `ingest/` does: real SQLite, real files."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePath
from typing import NamedTuple

from rendering import RealFiles
from selfdistill.layouts import Database, Document, Rendered
from selfdistill.sources import Source
from selfdistill.sources.crush import Crush
from selfdistill.sources.goose import Goose
from selfdistill.sources.opencode import OpenCode

FIXTURES = Path(__file__).parent / "fixtures"
STORES: tuple[Source, ...] = (OpenCode(), Crush(), Goose())
DATABASES = {"opencode": "opencode.db", "crush": "crush.db", "goose": "sessions.db"}


class Store(NamedTuple):
    """One invented log: its source, its name in expected.json, the path its parser is opened with, its lines."""

    source: Source
    name: str
    path: PurePath
    lines: list[Rendered]

    @property
    def data(self) -> bytes:
        """The log as the parser gets it."""
        return b"\n".join(each.line for each in self.lines)


def database_lines(source: Source, connection: sqlite3.Connection) -> Iterator[tuple[str, list[Rendered]]]:
    """Each session of a database with its lines; nothing where the database is none of the source's."""
    layout = source.layout(PurePath(DATABASES[source.name]))
    assert isinstance(layout, Database)
    names = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")]
    queries = layout.queries(
        {name: frozenset(row[1] for row in connection.execute(f'pragma table_info("{name}")')) for name in names}
    )
    if queries is None:
        return
    for key, changed, size in connection.execute(queries.sessions).fetchall():
        assert isinstance(key, str)
        assert isinstance(changed, str | int | float)
        assert isinstance(size, int)
        rows = connection.execute(queries.records, {"key": key})
        columns = [column[0] for column in rows.description]
        lines = [_row(dict(zip(columns, row, strict=True))) for row in rows]
        yield key, [made for line in lines for made in (layout.rendered(line) if layout.rendered else (line,))]


def _row(row: dict[str, object]) -> Rendered:
    finished = bool(row.pop("finished", 1))
    plain = {name: base64.b64encode(v).decode() if isinstance(v, bytes) else v for name, v in row.items()}
    return Rendered(json.dumps(plain, ensure_ascii=False).encode("utf-8", "surrogatepass"), finished)


def document_lines(source: Source, path: Path) -> list[Rendered]:
    """The lines of a session in files; those of a file of lines as they are."""
    layout = source.layout(path)
    if isinstance(layout, Document):
        return list(layout.render(path, RealFiles()))
    return [Rendered(line) for line in path.read_bytes().split(b"\n")]


def memory(script: str) -> sqlite3.Connection:
    """A database made of an SQL text."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(script)
    return connection


def stores() -> list[Store]:
    """Every invented log of these sources."""
    found: list[Store] = []
    for source in STORES:
        place = FIXTURES / source.name
        for path in sorted(place.glob("*.sql")):
            with closing(memory(path.read_text("utf-8"))) as connection:
                for key, lines in database_lines(source, connection):
                    database = PurePath("/home/mara/kettle/.crush", DATABASES[source.name])
                    found.append(Store(source, f"{path.name}/{key}", database / key, lines))
        files = [*place.glob("export*.json"), *place.glob("**/session/*/*.json"), *place.glob("sessions/*.jsonl")]
        found += [
            Store(source, str(path.relative_to(place)), path, document_lines(source, path))
            for path in sorted(files)
            if source.owns(path) or path.parent == place
        ]
    return found

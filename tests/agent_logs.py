"""Every invented log of every agent, read as the program reads it: databases are built, documents rendered."""

from __future__ import annotations

import atexit
import json
import shutil
import sqlite3
import tempfile
from contextlib import closing
from functools import cache
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from selfdistill.ingest.foreign import encode_row, reading
from selfdistill.ingest.framing import Framer
from selfdistill.ingest.members import key_of, session_path
from selfdistill.ingest.nearby import NearbyFiles
from selfdistill.ingest.reading import CHUNK_BYTES, LONGEST_LINE, open_log
from selfdistill.ingest.sessions import sessions
from selfdistill.layouts import Database, Document, Rendered
from selfdistill.model import Event, Records
from selfdistill.sources import SOURCES, Parser, Source

FIXTURES = Path(__file__).parent / "fixtures"
EXPECTED = "expected.json"
PLACE = PurePath("/home/mara/kettle")  # where parsers are told that a log lies: some learn from it
SCRIPT = ".sql"  # a database as its text; sessions are named SCRIPT/KEY
DATABASES = {"opencode": "opencode.db", "crush": ".crush/crush.db", "goose": "sessions.db", "cursor": "state.vscdb"}


class Log(NamedTuple):
    """One invented log: whose, its name in expected.json, where it lies, and where its parser is told that it lies."""

    source: Source
    name: str
    path: Path
    place: PurePath

    def __repr__(self) -> str:
        return f"{self.source.name}-{self.name}"


@cache
def home() -> Path:
    """A directory with a copy of all fixtures, scripts made to databases; removed when the tests end."""
    made = Path(tempfile.mkdtemp(prefix="agent-logs-"))
    atexit.register(shutil.rmtree, made)
    shutil.copytree(FIXTURES, made, ignore=shutil.ignore_patterns(f"*{SCRIPT}"), dirs_exist_ok=True)
    for source in DATABASES:
        for script in (FIXTURES / source).glob(f"*{SCRIPT}"):
            built(f"{source}/{script.name}", made / source / script.name)
    return made


def built(name: str, directory: Path) -> Path:
    """The database that a fixture's script makes, under the agent's own name for it."""
    path = directory / DATABASES[name.partition("/")[0]]
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA synchronous = OFF")  # each statement is a transaction of its own
        database.executescript((FIXTURES / name).read_text("utf-8"))
    return path


@cache
def fixtures() -> list[Log]:
    """Every invented log that an expected.json names."""
    return [log_of(source, name) for source in SOURCES for name in sorted(expected(source))]


def log_of(source: Source, name: str) -> Log:
    """The log that an expected.json calls so."""
    script, _, key = name.partition(f"{SCRIPT}/")
    base = home() / source.name
    path = session_path(base / f"{script}{SCRIPT}" / DATABASES[source.name], key) if key else base / name
    return Log(source, name, path, PLACE / path.relative_to(home()))


def expected(source: Source) -> dict[str, Any]:
    """What was read and judged by hand of a source's logs, by name."""
    path = FIXTURES / source.name / EXPECTED
    table: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return table


def forgotten() -> list[str]:
    """Logs among the fixtures that no expected.json names: that their source owns, or that have nothing beside them."""
    found = []
    for source in SOURCES:
        base, named = home() / source.name, {log_of(source, name).path for name in expected(source)}
        files = [path for path in sorted(base.rglob("*")) if path.is_file() and path.name != EXPECTED]
        logs = [path for path in files if source.owns(path) or (path.parent == base and ".json" in path.suffix)]
        every = [log for path in logs for log in sessions_of(source, path)]
        found += [str(log.relative_to(base)) for log in every if log not in named]
    return found


def sessions_of(source: Source, path: Path) -> list[Path]:
    """The logs that a file holds."""
    layout = source.layout(path)
    return list(sessions(path, layout)) if isinstance(layout, Database) else [path]


def text_of(source: Source, path: Path) -> bytes:
    """The whole text of a log. Raises LogProblem."""
    text = b""
    with open_log(path, source.layout) as opened:
        while piece := opened.read_at(len(text), CHUNK_BYTES):
            text += piece
    return text


def texts_of(source: Source, database: Path) -> dict[str, bytes]:
    """The text of each session of a database, by its key."""
    return {key_of(path): text_of(source, path) for path in sessions_of(source, database)}


def rows_of(source: Source, database: Path) -> list[bytes]:
    """The rows that a database answers with, as JSON, before its source makes records of them."""
    layout = source.layout(database)
    assert isinstance(layout, Database)
    keys = [key_of(path) for path in sessions_of(source, database)]
    with reading(database) as opened:
        queries = layout.queries(opened.tables())
        assert queries is not None
        return [encode_row(row) for key in keys for row in opened.tables_of_rows(queries.records, {"key": key})]


def lines_in(text: bytes) -> list[tuple[int, bytes]]:
    """The lines that a parser is given of a text, with their offsets; a last one without its newline too."""
    framer = Framer(0, LONGEST_LINE)
    lines = list(framer.feed(text))
    rest = framer.take_rest()
    return [*lines, rest] if rest and not rest[1].isspace() else lines


def feed(parser: Parser, lines: list[tuple[int, bytes]]) -> list[Event]:
    """The events of some lines."""
    return [event for offset, line in lines for event in parser.feed(line, offset)]


def read(source: Source, place: PurePath, text: bytes) -> tuple[list[Event], Parser]:
    """The events of a whole text, and the parser that read them."""
    parser = source.open(place, None)
    return feed(parser, lines_in(text)), parser


def read_log(log: Log) -> tuple[list[Event], Parser]:
    """The events of an invented log, and the parser that read them."""
    return read(log.source, log.place, text_of(log.source, log.path))


class HeldFiles:
    """The files of a log, of which one has other bytes than on the disk."""

    def __init__(self, path: Path, data: bytes, held: Path | None = None) -> None:
        self._near = NearbyFiles(path)
        self._held, self._data = held or path, data

    def names(self, directory: PurePath) -> list[str]:
        """The names in a directory."""
        return self._near.names(directory)

    def read(self, path: PurePath) -> bytes:
        """The bytes that are held, else those on the disk."""
        return self._data if path == self._held else self._near.read(path)


def rendered(source: Source, path: Path, data: bytes, held: Path | None = None) -> list[Rendered]:
    """The records of a document if it, or the file `held` beside it, had these bytes."""
    layout = source.layout(path)
    assert isinstance(layout, Document)
    return list(layout.render(path, HeldFiles(path, data, held)))


def lines_of(source: Source, path: Path, data: bytes) -> bytes:
    """The lines of a document if it had these bytes."""
    return b"\n".join(each.line for each in rendered(source, path, data))


def listed(event: Event) -> dict[str, Any]:
    """An event as expected.json writes it: absent values are absent keys, texts are cut."""
    made: dict[str, Any] = {
        "kind": event.kind.value,
        "author": event.author.value,
        "uid": event.uid,
        "text": event.text[:80],
        "tool": f"{event.tool}/{event.tool_kind.value}" if event.tool else None,
        "input": present(event.input) if event.input else None,
        "call": event.call_id or None,
        "is_error": event.is_error,
        "exit_code": event.exit_code,
        "sidechain": event.sidechain or None,
        "ends_turn": event.ends_turn or None,
    }
    return {key: value for key, value in made.items() if value is not None}


def counted(records: Records) -> dict[str, Any]:
    """The counts of records as expected.json writes them."""
    names = ("total", "known", "ignored", "undecodable", "unknown_types")
    return {name: getattr(records, name) for name in names}


def present(struct: Any) -> dict[str, Any]:  # noqa: ANN401 - any of our structs
    """The fields of a struct that say something."""
    return {name: value for name in struct.__struct_fields__ if (value := getattr(struct, name))}


def told(log: Log) -> dict[str, Any]:
    """All that a log gives, as expected.json writes it."""
    events, parser = read_log(log)
    return {
        "session": present(parser.session),
        "turn": parser.turn.value,
        "records": counted(parser.records),
        "events": [listed(event) for event in events],
    }

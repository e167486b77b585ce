"""Two invented agents that keep Claude Code's records in other shapes: a JSON document, and a SQLite database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from homes import SESSIONS, Home
from selfdistill.config import Config, Settling
from selfdistill.layouts import Database, Document, Files, Queries, Rendered
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.sources.base import Facts, Parser
from selfdistill.sources.claude_code import ClaudeCode

NOW = Settling(settle_seconds=0.0, max_wait_minutes=1e-9, open_call_hours=1e-9)  # not even a millisecond of quiet
FACTS = Facts("Invented", "none", "nowhere", "records", "nothing")
QUERIES = Queries(
    sessions="SELECT s.id, s.changed, (SELECT count(*) FROM records r WHERE r.session = s.id) FROM sessions s",
    records="SELECT text, finished FROM records WHERE session = :key ORDER BY number",
)


class Notebook:
    """A JSON list of records in one file, and more of them in the files of `NAME.d`."""

    name = "notebook"
    facts = FACTS
    variables = ()

    def roots(self, home: Path, _environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return its directory."""
        return (home / "notebooks",)

    def owns(self, path: PurePath) -> bool:
        """Tell by the suffix."""
        return path.suffix == ".notebook"

    def claims(self, path: PurePath, _head: bytes) -> bool:
        """Tell by the suffix."""
        return self.owns(path)

    def session_hint(self, path: PurePath) -> str:
        """Return the stem."""
        return path.stem

    def layout(self, _path: PurePath) -> Document:
        """Return a document with a directory beside it."""
        return Document(render_notebook, lambda path: (path.with_suffix(".d"),))

    def open(self, path: PurePath, state: bytes | None) -> Parser:
        """Return Claude Code's parser."""
        return ClaudeCode().open(path, state)


def render_notebook(path: PurePath, files: Files) -> Iterator[Rendered]:
    """Give each record of the file and of those beside it; the last of the file may still change."""
    beside = path.with_suffix(".d")
    for one in (path, *(beside / name for name in files.names(beside))):
        data = files.read(one)
        try:
            records = json.loads(data)
        except ValueError:
            yield Rendered(data.replace(b"\n", b" "))
            continue
        yield from (Rendered(json.dumps(record).encode(), "open" not in record) for record in records)


class Ledger:
    """Sessions in a database."""

    name = "ledger"
    facts = FACTS
    variables = ()

    def roots(self, home: Path, _environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return its directory."""
        return (home / "ledgers",)

    def owns(self, path: PurePath) -> bool:
        """Tell by the name."""
        return path.suffix == ".ledger"

    def claims(self, path: PurePath, _head: bytes) -> bool:
        """Tell by the name."""
        return self.owns(path)

    def session_hint(self, path: PurePath) -> str:
        """Return the key."""
        return path.name

    def layout(self, _path: PurePath) -> Database:
        """Return a database."""
        return Database(ledger_queries, ledger_lines)

    def open(self, path: PurePath, state: bytes | None) -> Parser:
        """Return Claude Code's parser."""
        return ClaudeCode().open(path, state)


def ledger_queries(tables: Mapping[str, frozenset[str]]) -> Queries | None:
    """Give the questions where the tables are there."""
    return QUERIES if {"session", "number", "text", "finished"} <= tables.get("records", frozenset()) else None


def ledger_lines(row: Rendered) -> Iterator[Rendered]:
    """Give the record in a row."""
    yield Rendered(str(json.loads(row.line)["text"]).encode(), row.finished)


AGENTS = (Notebook(), Ledger())


class Writer:
    """The agent that writes a ledger."""

    def __init__(self, path: Path, mode: str = "WAL") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute(f"PRAGMA journal_mode = {mode}")
        self.connection.execute("CREATE TABLE IF NOT EXISTS sessions(id TEXT PRIMARY KEY, changed INTEGER)")
        self.connection.execute(
            "CREATE TABLE IF NOT EXISTS records(session TEXT, number INTEGER, text TEXT, finished INTEGER)"
        )

    def write(self, session: str, lines: list[bytes], *, changed: int, finished: bool = True) -> None:
        """Add records to a session, in one transaction; the last one may be unfinished."""
        run = self.connection.execute
        run("BEGIN")
        run("INSERT OR REPLACE INTO sessions VALUES (?, ?)", (session, changed))
        (count,) = run("SELECT count(*) FROM records WHERE session = ?", (session,)).fetchone()
        rows = [(session, count + number, line.decode(), 1) for number, line in enumerate(lines)]
        if rows and not finished:
            rows[-1] = (*rows[-1][:3], 0)
        self.connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
        run("COMMIT")

    def run(self, statement: str, *values: object) -> None:
        """Do anything else."""
        self.connection.execute(statement, values)

    def close(self) -> None:
        """Quit in good order: SQLite tidies up."""
        self.connection.close()


def lines_of(name: str) -> list[bytes]:
    """The records of an invented session."""
    return SESSIONS[name].splitlines()


def composed(home: Home) -> Assembly:
    """The parts of the program for these two agents alone, in this process; everything settles at once."""
    return assemble(Config(settling=NOW), home.places(), home.path, {}, agents=AGENTS)


def notebook(lines: list[bytes], *, last_is_open: bool = False) -> bytes:
    """A notebook with these records."""
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    if last_is_open:
        records[-1]["open"] = True
    return json.dumps(records, indent=1).encode()

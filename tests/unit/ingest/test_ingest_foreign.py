"""Agents' databases that are damaged."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from selfdistill.errors import LogProblem
from selfdistill.ingest.foreign import reading
from selfdistill.model import Skip


def test_a_schema_that_is_no_text_is_damage(tmp_path: Path) -> None:
    """Where SQLite quotes bytes of a damaged schema that are no text, the log is unreadable, and nothing else fails."""
    path = tmp_path / "agent.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE messages_(words TEXT)")
        database.commit()
    path.write_bytes(path.read_bytes().replace(b"messages", b"message\x80").replace(b"TABLE", b"TABLX"))
    with pytest.raises(LogProblem, match="damaged") as caught, reading(path):
        pass
    assert caught.value.reason == Skip.UNREADABLE

"""A store in memory that starts as a copy of the real one: for dry runs, which write nothing anywhere."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from selfdistill.store.database import Database, translate
from selfdistill.store.migrations import migrate
from selfdistill.store.snapshot import open_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def open_rehearsal(path: Path, *, clock: Callable[[], float]) -> Database:
    """A database in memory with the content of the store at `path`, or empty if there is none."""
    try:
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise translate(error, path) from error
    database = Database(connection, path)
    original = open_snapshot(path)
    if original is not None:
        try:
            original.copy_to(database)
        finally:
            original.close()
    migrate(database, clock)
    database.rows("PRAGMA foreign_keys = ON")
    return database

"""Cursors: how far each distiller has read each log, and what went wrong on the way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.model import Cursor, Proof
from selfdistill.store.part import Part, storable

if TYPE_CHECKING:
    from selfdistill.store.database import Database

_LOAD: Final = """
    SELECT offset, head_length, head, tail_length, tail, generation, version, parser_state, carry
    FROM cursors WHERE log_id = ? AND distiller = ?
"""
_SAVE: Final = """
    INSERT INTO cursors(log_id, distiller, offset, head_length, head, tail_length, tail, generation, version,
        parser_state, carry, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT(log_id, distiller) DO UPDATE SET
        offset = excluded.offset, head_length = excluded.head_length, head = excluded.head,
        tail_length = excluded.tail_length, tail = excluded.tail, generation = excluded.generation,
        version = excluded.version, parser_state = excluded.parser_state, carry = excluded.carry,
        updated_at = excluded.updated_at
"""
# Processes that died while they read a log for a distiller are counted as failures of `distiller || ' process'`.
_PROCESS: Final = " process"
_DIED: Final = """
    INSERT INTO failures VALUES (:log, :distiller, :least, :not_before, :error)
    ON CONFLICT(log_id, distiller) DO UPDATE SET
        attempts = max(attempts + 1, :least), not_before = :not_before, last_error = :error
    RETURNING attempts
"""
# A death by itself sets nothing aside: the log is read, if need be where it can harm nobody.
_SET_ASIDE: Final = """
    SELECT CASE WHEN session <> '' THEN session ELSE session_hint END, source, directory, name, distiller, attempts,
        not_before, last_error, skip IS 'quarantined', distiller LIKE '% process'
    FROM logs JOIN failures ON failures.log_id = logs.id
    WHERE gone_at IS NULL AND (not_before > 0 OR skip IS 'quarantined')
    ORDER BY not_before DESC, logs.id
"""
# What was noted of a model's reading goes too: nobody reads for it in a process of its own.
_LIFT: Final = "DELETE FROM failures WHERE log_id = ? AND (distiller NOT LIKE '% process' OR distiller = 'llm process')"
_HELD_UP: Final = """
    SELECT id FROM logs WHERE (:session IS NULL OR session = :session OR session_hint = :session)
        AND (skip = 'quarantined' OR EXISTS(SELECT 1 FROM failures WHERE log_id = logs.id AND not_before > 0))
"""
_FAIL: Final = """
    INSERT INTO failures VALUES (?, ?, 1, ?, ?)
    ON CONFLICT(log_id, distiller) DO UPDATE SET
        attempts = attempts + 1, not_before = excluded.not_before, last_error = excluded.last_error
    RETURNING attempts
"""


class SetAside(Struct, frozen=True):
    """One log that failed: how often, why, and until when it is left alone (seconds since the epoch)."""

    session: str
    source: str
    path: Path
    distiller: str
    attempts: int
    not_before: float
    reason: str
    quarantined: bool
    deadly: bool  # processes have died over it


class Cursors(Part):
    """Cursors are written by `commit` alone; here they are read, and failures are counted."""

    def cursor(self, log_id: int, distiller: str) -> Cursor | None:
        """How far this distiller has read this log; None if it never has."""
        return load_cursor(self._database, log_id, distiller)

    def outdated(self, distiller: str, version: int) -> int:
        """How many logs were read by an older version of this distiller (`run --again` renews them)."""
        row = self._database.row(
            "SELECT count(*) FROM cursors WHERE distiller = ? AND version < ?", (distiller, version)
        )
        return int(row[0]) if row else 0

    def fail(self, log_id: int, distiller: str, error: str, not_before: float) -> int:
        """Note that distilling failed and when to try again; how often in a row it has by now. The cursor stays."""
        with self._database.transaction():
            row = self._database.row(_FAIL, (log_id, distiller, not_before, storable(error)))
        return int(row[0]) if row else 0

    def note_death(self, log_id: int, distiller: str, error: str, not_before: float, *, least: int = 1) -> int:
        """Note that a process died over a log and when to try again (0: at once); how often in a row one has by now.

        It is counted as `least` deaths if there are fewer by now. `PendingLog.deaths` tells of it until a commit.
        """
        named = {"log": log_id, "distiller": distiller + _PROCESS, "error": storable(error)}
        with self._database.transaction():
            row = self._database.row(_DIED, {**named, "not_before": not_before, "least": least})
        return int(row[0]) if row else 0

    def set_aside(self) -> list[SetAside]:
        """The logs that failed and are quarantined or wait for another try, newest failure first."""
        return [
            SetAside(row[0], row[1], Path(os.fsdecode(os.path.join(row[2], row[3]))), *row[4:])  # noqa: PTH118 - bytes
            for row in self._database.rows(_SET_ASIDE)
        ]

    def sessions_like(self, text: str) -> list[str]:
        """The ids of all known sessions that begin with this text, in order; "" gives all of them."""
        sql = (
            "SELECT DISTINCT CASE WHEN session <> '' THEN session ELSE session_hint END AS known FROM logs"
            " WHERE substr(known, 1, length(:text)) = :text ORDER BY 1"
        )
        return [row[0] for row in self._database.rows(sql, {"text": storable(text)})]

    def retry(self, session: str | None = None) -> int:
        """Lift the waiting time and quarantine of one session's logs (None: of all); how many logs that freed.

        That processes have died over a log is remembered until it has been read.
        """
        with self._database.transaction():
            rows = self._database.rows(
                _HELD_UP,
                {"session": session if session is None else storable(session)},
            )
            for (log_id,) in rows:
                self._database.run(_LIFT, (log_id,))
                self._database.run("UPDATE failures SET not_before = 0 WHERE log_id = ?", (log_id,))
                self._database.run(
                    "UPDATE logs SET skip = NULL, skip_detail = '' WHERE id = ? AND skip = 'quarantined'", (log_id,)
                )
        return len(rows)


def load_cursor(database: Database, log_id: int, distiller: str) -> Cursor | None:
    """The stored cursor, or None."""
    row = database.row(_LOAD, (log_id, distiller))
    if row is None:
        return None
    return Cursor(proof=Proof(*row[0:5]), generation=row[5], version=row[6], parser_state=row[7], carry=row[8])


def save_cursor(database: Database, log_id: int, distiller: str, cursor: Cursor, now: float) -> None:
    """Store the cursor and forget the failures that came before it."""
    proof = cursor.proof
    database.run(
        _SAVE,
        (
            log_id,
            distiller,
            proof.offset,
            proof.head_length,
            proof.head,
            proof.tail_length,
            proof.tail,
            cursor.generation,
            cursor.version,
            cursor.parser_state,
            cursor.carry,
            now,
        ),
    )
    names = (distiller, distiller + _PROCESS)
    database.run("DELETE FROM failures WHERE log_id = ? AND distiller IN (?, ?)", (log_id, *names))


def same_place(one: Cursor | None, other: Cursor | None) -> bool:
    """Whether two cursors stand at the same place of the same log, for the same version of the distiller."""
    if one is None or other is None:
        return one is other
    return (one.proof.offset, one.proof.tail, one.generation, one.version) == (
        other.proof.offset,
        other.proof.tail,
        other.generation,
        other.version,
    )

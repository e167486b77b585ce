"""When lessons apply, for agents' hooks to look up: the cues of active lessons, kept in step with their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from selfdistill.model import Lesson, LessonState, Scope
from selfdistill.store.lessons import lesson_of
from selfdistill.store.part import storable

if TYPE_CHECKING:
    from selfdistill.store.database import Database, Row

_FACT: Final = "cues_version"

# `project` is '' where the lesson is told everywhere. `needs`: a JSON list of what else must hold (recall/moments.py).
_TABLE: Final = (
    """
    CREATE TABLE cues(
        anchor TEXT NOT NULL,
        project TEXT NOT NULL,
        number INTEGER NOT NULL REFERENCES lessons(number) ON DELETE CASCADE,
        needs TEXT NOT NULL,
        fit REAL NOT NULL,
        PRIMARY KEY(anchor, project, number, needs)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX cues_by_lesson ON cues(number)",
)


class Cueing(Struct, frozen=True):
    """How to find a lesson's cues (anchor, needs, fit), and which version of finding them this is; 0 keeps none."""

    version: int
    cues: Callable[[Lesson], Iterable[tuple[str, tuple[str, ...], float]]]


NO_CUES: Final = Cueing(0, lambda _lesson: ())


def cueing(database: Database) -> None:
    """The table of cues; whoever opens the store next fills it."""
    for statement in _TABLE:
        database.run(statement)


def fill(database: Database, cueing: Cueing) -> None:
    """Make the cues of every lesson anew, in one transaction, unless this version has made them."""
    if not cueing.version or _version(database) == cueing.version:
        return
    with database.transaction():
        if _version(database) == cueing.version:  # another process did it while we waited for the lock
            return
        for row in database.rows("SELECT * FROM lessons"):
            keep(database, row, cueing)
        database.run("INSERT OR REPLACE INTO facts VALUES (?, ?)", (_FACT, cueing.version))


def keep(database: Database, row: Row, cueing: Cueing) -> None:
    """Bring the cues of the lesson with this row up to date; only active ones have any. Inside a transaction."""
    if not cueing.version:
        return
    wanted = _rows(lesson_of(row), row[0], cueing)
    there = set(database.rows("SELECT anchor, project, number, needs, fit FROM cues WHERE number = ?", row[:1]))
    for cue in there - wanted:
        database.run("DELETE FROM cues WHERE anchor = ? AND project = ? AND number = ? AND needs = ?", cue[:4])
    for cue in wanted - there:
        database.run("INSERT INTO cues VALUES (?, ?, ?, ?, ?)", cue)


def _rows(lesson: Lesson, number: int, cueing: Cueing) -> set[Row]:
    if lesson.state is not LessonState.ACTIVE:
        return set()
    project = "" if lesson.scope is Scope.GLOBAL else lesson.project
    return {
        (storable(anchor), project, number, storable(msgspec.json.encode(needs).decode()), fit)
        for anchor, needs, fit in cueing.cues(lesson)
    }


def _version(database: Database) -> int:
    row = database.row("SELECT value FROM facts WHERE name = ?", (_FACT,))
    return int(row[0]) if row else 0

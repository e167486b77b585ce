"""What agents say of the lessons they were told: kept for good, it moves a lesson's rank and never its state.

An agent is not a person: what it says may come from a prompt in a file. So each of its sessions has one word for a
lesson, the last one, and however many say that it is of no use, only a person rejects it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from selfdistill.errors import UsageError
from selfdistill.store.lessons import lesson_of
from selfdistill.store.part import Part, storable

if TYPE_CHECKING:
    from selfdistill.model import Lesson
    from selfdistill.store.database import Database

_SAY = """
    INSERT INTO feedback(project, merge_key, session, helpful, note, at) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET helpful = excluded.helpful, note = excluded.note, at = excluded.at
    WHERE (helpful, note) <> (excluded.helpful, excluded.note)
"""


class Opinion(Struct, frozen=True):
    """What one session of an agent says of a lesson. `at` is seconds since the epoch."""

    session: str
    helpful: bool
    note: str
    at: float


class Feedback(Part):
    """Hearing agents."""

    def say(self, lesson_id: str, session: str, *, helpful: bool, note: str = "") -> Lesson:
        """Keep a session's word about a lesson, in place of an earlier one; the lesson as it stands now.

        UsageError for an unknown id: give the full one, `lesson(prefix).id`.
        """
        with self._database.transaction():
            row = self._database.row("SELECT project, merge_key FROM lessons WHERE id = ?", (lesson_id,))
            if row is None:
                raise UsageError(f"There is no lesson {lesson_id}.", "See `selfdistill lessons list`.")
            self._database.run(_SAY, (*row, storable(session), helpful, storable(note), self._clock()))
            opinion = opinion_of(self._database, *row)
            self._database.run("UPDATE lessons SET feedback = ? WHERE id = ?", (opinion, lesson_id))
            self._database.remembered.pop(("standing", *row), None)
            return lesson_of(self._database.rows("SELECT * FROM lessons WHERE id = ?", (lesson_id,))[0])

    def opinions(self, lesson: Lesson) -> list[Opinion]:
        """What agents have said of a lesson, the last first."""
        rows = self._database.rows(
            "SELECT session, helpful, note, at FROM feedback WHERE project = ? AND merge_key = ?"
            " ORDER BY at DESC, session",
            (lesson.project, lesson.merge_key),
        )
        return [Opinion(session, bool(helpful), note, at) for session, helpful, note, at in rows]


def opinion_of(database: Database, project: str, merge_key: str) -> int:
    """How many sessions called a lesson helpful, less those that did not."""
    row = database.row(
        "SELECT coalesce(sum(2 * helpful - 1), 0) FROM feedback WHERE project = ? AND merge_key = ?",
        (project, merge_key),
    )
    return int(row[0]) if row else 0

"""Verdicts: what people decide about lessons, kept for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfdistill.errors import UsageError
from selfdistill.store.deriving import Committed, Deriving
from selfdistill.store.lessons import lesson_of
from selfdistill.store.part import storable

if TYPE_CHECKING:
    from selfdistill.model import Lesson
    from selfdistill.store.lessons import VerdictKind


class Verdicts(Deriving):
    """Deciding, and deriving everything anew."""

    def decide(self, lesson_id: str, kind: VerdictKind, note: str = "") -> Lesson | None:
        """Record a person's decision about a lesson and apply it; the lesson as it stands now.

        None if nothing supports it any more (a tombstone restored after its findings went). UsageError for an
        unknown id: give the full one, `lesson(prefix).id`.
        """
        with self._database.transaction():
            row = self._database.row("SELECT project, merge_key FROM lessons WHERE id = ?", (lesson_id,))
            if row is None:
                raise UsageError(f"There is no lesson {lesson_id}.", "See `selfdistill lessons list`.")
            self._database.run(
                "INSERT INTO verdicts(lesson_id, project, merge_key, kind, at, note) VALUES (?, ?, ?, ?, ?, ?)",
                (lesson_id, *row, kind.value, self._clock(), storable(note)),
            )
            self._database.remembered.pop(("standing", *row), None)
            self._derive_all([(row[0], row[1])], doubtful=())
            standing = self._database.row("SELECT * FROM lessons WHERE project = ? AND merge_key = ?", row)
            return lesson_of(standing) if standing else None

    def rederive(self) -> Committed:
        """Derive every lesson anew, for when the way of deriving changed. Findings and verdicts stay as they are."""
        with self._database.transaction():
            rows = self._database.rows(
                "SELECT project, merge_key FROM findings UNION SELECT project, merge_key FROM lessons"
            )
            keys = [(project, merge_key) for project, merge_key in rows]
            return self._derive_all(keys, doubtful={merge_key for _, merge_key in keys})

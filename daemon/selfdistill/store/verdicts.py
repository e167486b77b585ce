"""Verdicts: what people decide about lessons, kept for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from selfdistill.errors import UsageError
from selfdistill.store.deriving import Committed, Deriving
from selfdistill.store.lessons import lesson_of
from selfdistill.store.part import storable
from selfdistill.store.rulings import Ruling, VerdictKind, Words, not_undone, note_merge, roots, rulings, standing

if TYPE_CHECKING:
    from selfdistill.model import Lesson
    from selfdistill.store.findings import Key


class Verdicts(Deriving):
    """Deciding, and deriving everything anew."""

    def decide(self, lesson_id: str, kind: VerdictKind, note: str = "") -> Lesson | None:
        """Record a person's decision about a lesson and apply it; the lesson as it stands now.

        None if nothing supports it any more (a tombstone restored after its findings went). UsageError for an
        unknown id (give the full one, `lesson(prefix).id`), and where there is nothing to undo.
        """
        with self._database.transaction():
            return self._record(self._key(lesson_id), kind, "", note)

    def edit(self, lesson_id: str, words: Words, note: str = "") -> Lesson | None:
        """Give a lesson a person's wording, whatever findings come; an empty `Words` brings the derived one back."""
        with self._database.transaction():
            key = self._key(lesson_id)
            clean = Words(storable(words.condition).strip(), storable(words.action).strip())
            return self._record(key, VerdictKind.EDIT, msgspec.json.encode(clean).decode(), note)

    def merge(self, lesson_id: str, into_id: str, note: str = "") -> Lesson | None:
        """Let a lesson's findings, also future ones, count for another one of its project; the other one as it is now.

        The lesson itself stays, archived. UsageError for an unknown id, another project, itself, or a circle.
        """
        with self._database.transaction():
            key, target = self._key(lesson_id), self._key(into_id)
            if key[0] != target[0]:
                raise UsageError(
                    "Lessons of two projects cannot be merged.",
                    "`selfdistill lessons global ID` tells one of them everywhere; reject or archive the other.",
                )
            self._record(key, VerdictKind.MERGE, target[1], note)
            return self._standing_lesson(target)

    def rulings(self, lesson: Lesson) -> list[Ruling]:
        """What people decided about a lesson and did not take back, oldest first."""
        return not_undone(rulings(self._database, lesson.project, lesson.merge_key))

    def rederive(self) -> Committed:
        """Derive every lesson anew, for when the way of deriving changed. Findings and verdicts stay as they are."""
        with self._database.transaction():
            rows = self._database.rows(
                "SELECT project, merge_key FROM findings UNION SELECT project, merge_key FROM lessons"
            )
            keys = [(project, merge_key) for project, merge_key in rows]
            return self._derive_all(keys, doubtful={merge_key for _, merge_key in keys})

    def _key(self, lesson_id: str) -> Key:
        row = self._database.row("SELECT project, merge_key FROM lessons WHERE id = ?", (lesson_id,))
        if row is None:
            raise UsageError(f"There is no lesson {lesson_id}.", "See `selfdistill lessons list`.")
        return row[0], row[1]

    def _record(self, key: Key, kind: VerdictKind, body: str, note: str) -> Lesson | None:
        """Add a decision and derive whatever it touches; the lesson that it is about."""
        before = rulings(self._database, *key)
        if kind is VerdictKind.UNDO and not not_undone(before):
            raise UsageError("Nothing was decided about this lesson, so there is nothing to undo.")
        now = self._clock()
        self._database.run(
            "INSERT INTO verdicts(lesson_id, project, merge_key, kind, at, note, body)"
            " SELECT id, project, merge_key, ?, ?, ?, ? FROM lessons WHERE project = ? AND merge_key = ?",
            (kind.value, now, storable(note), body, *key),
        )
        touched = {key, *roots(self._database, [key])}
        verdict = standing([*before, Ruling(kind, now, note, body)])
        note_merge(self._database, *key, verdict.into if verdict else "")
        touched |= roots(self._database, [key])
        for one in touched:
            self._database.remembered.pop(("standing", *one), None)
        self._derive_all(touched, doubtful=())
        return self._standing_lesson(key)

    def _standing_lesson(self, key: Key) -> Lesson | None:
        row = self._database.row("SELECT * FROM lessons WHERE project = ? AND merge_key = ?", key)
        return lesson_of(row) if row else None

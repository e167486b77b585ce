"""Lessons follow from findings and verdicts: whatever touches a key derives its lesson anew, in its transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field
from msgspec.structs import replace

from selfdistill.errors import InternalError
from selfdistill.model import Action, Lesson, LessonState, Scope, Trigger
from selfdistill.store.chances import Tally, tally
from selfdistill.store.cues import keep
from selfdistill.store.feedback import opinion_of
from selfdistill.store.findings import is_shared
from selfdistill.store.lessons import as_row, derived_columns, derived_part, lesson_of
from selfdistill.store.mishaps import count_recurrences, cover, covering
from selfdistill.store.part import Part
from selfdistill.store.rulings import Verdict, all_findings, roots, rulings, standing

if TYPE_CHECKING:
    from collections.abc import Collection

    from selfdistill.store.database import Row
    from selfdistill.store.findings import Key
    from selfdistill.store.mishaps import Trouble

# Never REPLACE: that would give the row a new number behind the back of the search index.
_INSERT: Final = """
    INSERT INTO lessons(id, project, merge_key, signal, condition, trigger_type, action_type, action, rationale,
        confidence, scope, tags, state, support, distiller, version, model, first_seen, last_seen,
        covers, prefers, over, first_session, reason, created_at, updated_at, feedback)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    RETURNING number
"""
# Without id, project and merge_key, so that their indices are left alone.
_UPDATE: Final = """
    UPDATE lessons SET signal = ?, condition = ?, trigger_type = ?, action_type = ?, action = ?, rationale = ?,
        confidence = ?, scope = ?, tags = ?, state = ?, support = ?, distiller = ?, version = ?, model = ?,
        first_seen = ?, last_seen = ?, covers = ?, prefers = ?, over = ?, first_session = ?, reason = ?, updated_at = ?
    WHERE number = ?
"""
_INDEX: Final = "INSERT INTO lessons_index(rowid, condition, action, rationale, tags) VALUES (?, ?, ?, ?, ?)"
_UNINDEX: Final = (
    "INSERT INTO lessons_index(lessons_index, rowid, condition, action, rationale, tags)"
    " VALUES ('delete', ?, ?, ?, ?, ?)"
)


class Committed(Struct):
    """What a commit did to the lessons: new ones, known ones whose rows changed, and how many went."""

    created: list[Lesson] = field(default_factory=list)
    merged: list[Lesson] = field(default_factory=list)
    removed: int = 0


class Deriving(Part):
    """Deriving; only inside a transaction."""

    def _derive_all(
        self,
        keys: Collection[Key],
        doubtful: Collection[str],
        troubles: Collection[Trouble] = (),
        *,
        once: bool = False,
    ) -> Committed:
        """Derive the lessons of these keys, and count anew how often those that cover `troubles` came again.

        `doubtful` merge keys may have lost what made them global. `once`: no other derivation follows in this
        transaction, so findings need not be kept for it: years of them would be in memory together.
        """
        shared: dict[str, bool] = {}
        wanted = {*keys, *roots(self._database, keys)}
        for merge_key in {key for _, key in wanted}:
            shared[merge_key], flipped = self._share(merge_key, doubtful=merge_key in doubtful)
            if flipped:
                rows = self._database.rows("SELECT project FROM lessons WHERE merge_key = ?", (merge_key,))
                wanted.update((project, merge_key) for (project,) in rows)
        done = Committed()
        changed = covering(self._database, troubles)
        for project, merge_key in sorted(wanted):
            number = self._derive_one(project, merge_key, shared=shared[merge_key], done=done)
            if once:
                self._database.remembered.pop(("findings", project, merge_key), None)
            if number is not None:
                changed.add(number)
        count_recurrences(self._database, changed)
        return done

    def _share(self, merge_key: str, *, doubtful: bool) -> tuple[bool, bool]:
        """Whether a merge key is global by its findings, and whether that is news."""
        remembered = self._database.remembered
        before = remembered.get(("shared", merge_key))
        if before is None:
            before = bool(self._database.row("SELECT 1 FROM shared_keys WHERE merge_key = ?", (merge_key,)))
        # Without doubt nothing is read again: more findings cannot make a key less shared.
        now = bool(before and not doubtful) or is_shared(self._database, merge_key)
        if now and not before:
            self._database.run("INSERT INTO shared_keys VALUES (?)", (merge_key,))
        elif before and not now:
            self._database.run("DELETE FROM shared_keys WHERE merge_key = ?", (merge_key,))
        remembered["shared", merge_key] = now
        return now, now != before

    def _derive_one(self, project: str, merge_key: str, *, shared: bool, done: Committed) -> int | None:
        """Derive one lesson; its number if it is there then and was not just as it is."""
        row, verdict = self._standing(project, merge_key)
        lesson = self._derive(all_findings(self._database, project, merge_key), verdict)
        if lesson is None and row is not None and verdict and verdict.state is LessonState.REJECTED:
            lesson = lesson_of(row)  # a tombstone outlives its findings
        if lesson is not None:
            if (lesson.project, lesson.merge_key) != (project, merge_key):
                raise InternalError(f"The lesson {lesson.id} was derived for another key than its findings have.")
            told = tally(self._database, lesson.id, lesson.covers)
            ignored = self._ignored(told.helped, told.recurred)
            after = self._save(_judged(lesson, verdict, shared=shared, ignored=ignored), row, done)
            after = self._count_told(after, told)
            self._database.remembered["standing", project, merge_key] = after, verdict
            return None if after is row else int(after[0])
        if row is not None:
            self._database.run(_UNINDEX, _words(row))
            self._database.run("DELETE FROM lessons WHERE number = ?", row[:1])
            self._database.remembered["standing", project, merge_key] = None, verdict
            done.removed += 1
        return None

    def _standing(self, project: str, merge_key: str) -> tuple[Row | None, Verdict | None]:
        """The lesson's row and the verdict on it, as they stand before deriving."""
        known = self._database.remembered.get(("standing", project, merge_key))
        if known is not None:
            return known[0], known[1]
        row = self._database.row("SELECT * FROM lessons WHERE merge_key = ? AND project = ?", (merge_key, project))
        return row, self._verdict(project, merge_key)

    def _save(self, lesson: Lesson, row: Row | None, done: Committed) -> Row:
        """Write the lesson's row if anything changed; the row as it is then."""
        columns = derived_columns(lesson)
        if row is not None and derived_part(row) == columns:
            return row
        now = self._clock()
        if row is None:
            opinion = opinion_of(self._database, lesson.project, lesson.merge_key)
            number = self._database.rows(_INSERT, (*columns, now, now, opinion))[0][0]
            after = as_row(number, columns, (0, 0, now, now, 0, opinion))
            self._database.run(_INDEX, _words(after))
            cover(self._database, number, lesson.project, lesson.covers)
            done.created.append(lesson_of(after))
        else:
            after = as_row(row[0], columns, (*row[20:23], now, *row[29:]))
            self._update(row, after)
            if row[24] != after[24]:
                cover(self._database, row[0], lesson.project, lesson.covers)
            done.merged.append(lesson_of(after))
        keep(self._database, after, self._cueing)
        return after

    def _count_told(self, row: Row, told: Tally) -> Row:
        """Bring `helped` and `recurred_told` of a lesson's row up to date; the row as it is then."""
        if (row[20], row[29]) == (told.helped, told.recurred):
            return row
        self._database.run(
            "UPDATE lessons SET helped = ?, recurred_told = ? WHERE number = ?", (told.helped, told.recurred, row[0])
        )
        return (*row[:20], told.helped, *row[21:29], told.recurred, *row[30:])

    def _update(self, before: Row, after: Row) -> None:
        self._database.run(_UPDATE, (*after[4:20], *after[24:29], after[23], after[0]))
        if before[1] != after[1]:
            self._database.run("UPDATE lessons SET id = ? WHERE number = ?", (after[1], after[0]))
        if _words(before) != _words(after):  # most updates raise support and confidence and leave the words alone
            self._database.run(_UNINDEX, _words(before))
            self._database.run(_INDEX, _words(after))

    def _verdict(self, project: str, merge_key: str) -> Verdict | None:
        """What a person decided in all, or None."""
        return standing(rulings(self._database, project, merge_key))


def _words(row: Row) -> Row:
    """Of a row of `lessons`: its number and what is indexed."""
    return row[0], row[5], row[8], row[9], row[12]


def _judged(lesson: Lesson, verdict: Verdict | None, *, shared: bool, ignored: str) -> Lesson:
    """The lesson as it may stand: a person's word goes before anything derived.

    `ignored`: why it would be archived though nobody said so, "" if not. Who restored it once wants it told.
    """
    if verdict is None and not shared and not ignored:
        return lesson
    verdict = verdict or Verdict()
    reason = ignored if lesson.state is LessonState.ACTIVE and not (verdict.state or verdict.restored) else ""
    state = verdict.state or (LessonState.ARCHIVED if reason else lesson.state)
    scope = verdict.scope or (Scope.GLOBAL if shared else lesson.scope)
    condition = verdict.words.condition or lesson.trigger.condition
    action = verdict.words.action or lesson.action.description
    return replace(
        lesson,
        state=state,
        reason=reason,
        scope=scope,
        trigger=Trigger(condition, lesson.trigger.type),
        action=Action(lesson.action.type, action),
    )

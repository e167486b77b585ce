"""Lessons for readers: what may be told where, by id, with their evidence; and what a person decided about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from selfdistill.errors import UsageError
from selfdistill.model import (
    Action,
    ActionType,
    Lesson,
    LessonState,
    Polarity,
    Scope,
    StoredFinding,
    Trigger,
    TriggerType,
)
from selfdistill.store.part import Part, storable
from selfdistill.store.rulings import Verdict, all_findings

if TYPE_CHECKING:
    from selfdistill.store.database import Row


Derive = Callable[[Sequence[StoredFinding], Verdict | None], Lesson | None]
"""The lesson that a set of findings with one project and merge key makes: pure, blind to their order; None for none."""

Ignored = Callable[[int, int], str]
"""Why a lesson that helped in so many sessions that were told, and did not in so many, is archived; "" if not."""

VISIBLE: Final = """
    (:state IS NULL OR l.state = :state) AND (:everywhere OR l.project = :project OR (
        l.scope = 'global' AND NOT EXISTS (
            SELECT 1 FROM lessons AS o WHERE o.merge_key = l.merge_key AND (o.project = :project OR (
                o.scope = 'global' AND (:state IS NULL OR o.state = :state)
                AND (o.confidence, o.support, o.id) > (l.confidence, l.support, l.id)
            ))
        )
    ))
"""
"""Scope, enforced inside SQL: one's own lessons, and of global ones the best of each merge key. A row of one's own with
that key, even a rejected one, speaks for the project."""

# S608: both halves are constants of this module, no input is pasted into SQL.
_LIST: Final = (
    "SELECT l.* FROM lessons AS l WHERE "  # noqa: S608
    + VISIBLE
    + " ORDER BY l.confidence DESC, l.support DESC, l.last_seen DESC, l.id LIMIT :limit"
)

_tags = msgspec.json.Decoder(tuple[str, ...])


class Lessons(Part):
    """Reading lessons."""

    def lessons(
        self,
        project: str | None,
        *,
        state: LessonState | None = LessonState.ACTIVE,
        everywhere: bool = False,
        limit: int = -1,
    ) -> list[Lesson]:
        """The lessons that may be told in a project, surest first; `state=None`: in any state.

        Other projects' lessons appear only if they are global, once for each merge key; `everywhere` shows all rows.
        """
        parameters = {
            "project": project and storable(project),
            "state": state,
            "everywhere": everywhere,
            "limit": limit,
        }
        return [lesson_of(row) for row in self._database.rows(_LIST, parameters)]

    def lesson(self, id_prefix: str) -> Lesson:
        """The one lesson whose id begins so, of any project; UsageError (exit 64) if there is none or more than one."""
        rows = self._database.rows(
            "SELECT * FROM lessons WHERE substr(id, 1, length(:prefix)) = :prefix"
            " ORDER BY id = :prefix DESC, id LIMIT 9",
            {"prefix": storable(id_prefix)},
        )
        if not rows or not id_prefix:
            raise UsageError(f"No lesson has an id that begins with '{id_prefix}'.", "See `selfdistill lessons list`.")
        if len(rows) > 1 and rows[0][1] != id_prefix:
            candidates = "; ".join(f"{row[1]} ({row[5]})" for row in rows[:8])
            more = " and more" if len(rows) > 8 else ""  # noqa: PLR2004 - eight fit on a screen
            raise UsageError(
                f"Several lessons have an id that begins with '{id_prefix}': {candidates}{more}.",
                "Give more characters of the id.",
            )
        return lesson_of(rows[0])

    def contradicting(self, lesson: Lesson) -> list[Lesson]:
        """The lessons of the same project, active or waiting, that choose the other way round."""
        if not lesson.prefers or not lesson.over:
            return []
        rows = self._database.rows(
            "SELECT * FROM lessons WHERE project = ? AND prefers = ? AND over = ? AND state IN ('active', 'pending')"
            " ORDER BY confidence DESC, id",
            (lesson.project, lesson.over, lesson.prefers),
        )
        return [lesson_of(row) for row in rows]

    def is_judged(self, lesson: Lesson) -> bool:
        """Whether a person has decided anything about this lesson."""
        row = self._database.row(
            "SELECT 1 FROM verdicts WHERE merge_key = ? AND project = ? LIMIT 1", (lesson.merge_key, lesson.project)
        )
        return row is not None

    def evidence(self, lesson_id: str) -> list[StoredFinding]:
        """What a lesson rests on; empty for a tombstone whose findings are gone."""
        row = self._database.row("SELECT project, merge_key FROM lessons WHERE id = ?", (lesson_id,))
        return all_findings(self._database, row[0], row[1]) if row else []


def lesson_of(row: Row) -> Lesson:
    """A whole row of the table `lessons`."""
    return Lesson(
        id=row[1],
        project=row[2],
        merge_key=row[3],
        signal=Polarity(row[4]),
        trigger=Trigger(row[5], TriggerType(row[6])),
        action=Action(ActionType(row[7]), row[8]),
        rationale=row[9],
        confidence=row[10],
        scope=Scope(row[11]),
        tags=_tags.decode(row[12]),
        state=LessonState(row[13]),
        support=row[14],
        distiller=row[15],
        version=row[16],
        model=row[17],
        first_seen=row[18],
        last_seen=row[19],
        helped=row[20],
        recurred=row[21],
        created_at=row[22],
        updated_at=row[23],
        covers=_tags.decode(row[24]),
        prefers=row[25],
        over=row[26],
        first_session=row[27],
        reason=row[28],
        recurred_told=row[29],
        feedback=row[30],
    )


def derived_part(row: Row) -> Row:
    """Of a lesson's row what `derived_columns` gives."""
    return (*row[1:20], *row[24:29])


def as_row(number: int, columns: Row, kept: Row) -> Row:
    """A whole row: its number, what is derived; helped, recurred, created_at, updated_at, recurred_told, feedback."""
    return (number, *columns[:19], *kept[:4], *columns[19:], *kept[4:])


def derived_columns(lesson: Lesson) -> Row:
    """The columns 1 to 19 and 24 to 28 of a lesson's row: all that follows from findings and verdicts."""
    return (
        lesson.id,
        lesson.project,
        lesson.merge_key,
        lesson.signal.value,
        lesson.trigger.condition,
        lesson.trigger.type.value,
        lesson.action.type.value,
        lesson.action.description,
        lesson.rationale,
        lesson.confidence,
        lesson.scope.value,
        msgspec.json.encode(lesson.tags).decode(),
        lesson.state.value,
        lesson.support,
        lesson.distiller,
        lesson.version,
        lesson.model,
        lesson.first_seen,
        lesson.last_seen,
        msgspec.json.encode(lesson.covers).decode(),
        lesson.prefers,
        lesson.over,
        lesson.first_session,
        lesson.reason,
    )

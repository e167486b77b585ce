"""Lessons on a screen: in two lines, or with everything that they rest on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from selfdistill.ingest.naming import printable
from selfdistill.model import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.model import Lesson, StoredFinding
    from selfdistill.store import Store

_QUOTED_LINES: Final = 8
_MOST_OPINIONS: Final = 5


def stands(lesson: Lesson) -> str:
    """State and scope in words."""
    return f"{lesson.state.value} (global)" if lesson.scope is Scope.GLOBAL else lesson.state.value


def shown(text: str) -> str:
    """A text out of a log on one line, safe for terminals; unlike in paths, a backslash stays one."""
    return printable(text).replace("\\\\", "\\")


def line(lesson: Lesson, *, with_project: bool) -> str:
    """A lesson in two lines."""
    marks = "".join(
        (" (global)" if lesson.scope == "global" else "", "" if lesson.state == "active" else f" [{lesson.state}]")
    )
    where = f"  {printable(lesson.project)}" if with_project else ""
    seen = f"{lesson.support} session{'s' if lesson.support != 1 else ''}"
    return (
        f"{lesson.id[:8]}  {lesson.confidence:.2f}  {seen}{marks}{where}\n"
        f"    when  {shown(lesson.trigger.condition)}\n"
        f"    do    {shown(lesson.action.description)}"
    )


def card(store: Store, lesson: Lesson) -> Iterator[str]:
    """A lesson with everything that it rests on, line by line."""
    yield line(lesson, with_project=True)
    yield f"    why   {shown(lesson.rationale)}"
    yield f"    {lesson.signal.value} · {lesson.trigger.type.value} · {_maker(lesson)}"
    yield f"    {_recurrence(lesson)}"
    if lesson.helped or lesson.recurred_told:
        yield f"    {_heeded(lesson)}"
    if lesson.reason:
        yield f"    archived: {lesson.reason} (`selfdistill lessons restore {lesson.id[:8]}` tells it again)"
    yield from _opinions(store, lesson)
    for word, others in (("contradicts", store.contradicting(lesson)), ("see also", store.similar(lesson))):
        for other in others:
            yield f"    {word} {other.id[:8]}: {shown(other.action.description)}"
    for row in evidence_table(store, store.evidence(lesson.id)):
        place = f"{printable(row['log'])} @{row['offset']}+{row['length']}"
        yield f"\n  {row['role']}  {row['at'] or ''}  session {shown(row['session'])}\n    {place}"
        for text in row["quote"].splitlines()[:_QUOTED_LINES]:
            yield f"    | {shown(text)}"


def _opinions(store: Store, lesson: Lesson) -> Iterator[str]:
    """What people decided about a lesson, and what agents said of it."""
    for ruling in store.rulings(lesson):
        note = f": {shown(ruling.note)}" if ruling.note else ""
        yield f"    {ruling.kind.value} by you, {_day(ruling.at)}{note}"
    for opinion in store.opinions(lesson)[:_MOST_OPINIONS]:
        note = f": {shown(opinion.note)}" if opinion.note else ""
        yield f"    {'helpful' if opinion.helpful else 'not helpful'}, an agent says, {_day(opinion.at)}{note}"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _maker(lesson: Lesson) -> str:
    """Who found it: the distiller, its version, and the model if one was asked."""
    return f"{lesson.distiller} {lesson.version}{f' · {printable(lesson.model)}' if lesson.model else ''}"


def _recurrence(lesson: Lesson) -> str:
    """Whether what the lesson is about came again after it was learned."""
    if not lesson.covers:
        return "about no failure that could be recognised when it comes again"
    if not lesson.recurred:
        return "the failure has not come again in any later session"
    return f"the failure came again in {lesson.recurred} later session{'s' if lesson.recurred > 1 else ''}"


def _heeded(lesson: Lesson) -> str:
    """What came of telling it."""
    chances = lesson.helped + lesson.recurred_told
    sessions = f"{chances} session{'s' if chances > 1 else ''}"
    return f"told in {sessions} where the failure could come: it stayed away in {lesson.helped} of them"


def evidence_table(store: Store, findings: list[StoredFinding]) -> list[dict[str, Any]]:
    """One row for each record that shows the lesson, at its first sighting."""
    rows = []
    for stored in findings:
        seen = stored.sightings[0]
        for number, evidence in enumerate(stored.finding.evidence):
            when = seen.times[number]
            rows.append(
                {
                    "role": evidence.role,
                    "quote": evidence.quote,
                    "session": seen.session,
                    "log": str(store.path(seen.log_id) or "?"),
                    "generation": seen.generation,
                    "offset": seen.spans[number].offset,
                    "length": seen.spans[number].length,
                    "uid": evidence.uid,
                    "at": None if when is None else datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds"),
                    "also_in_logs": len(stored.sightings) - 1,
                }
            )
    return rows

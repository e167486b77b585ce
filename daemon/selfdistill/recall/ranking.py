"""Which lessons to tell now: few, and only where their occasion is at hand.

The order of the questions: is a cause exactly the lesson's (after a failure)? Is this its occasion (structure)? Only
then do words (BM25), confidence, support and recency put those that fit in order. Below the floor nothing is told:
silence costs nothing, noise costs trust (shared/lessons.md). Matching and order are of `moments.py` and `hook.py`,
which asks the store; here the lessons are at hand.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.model import Lesson, LessonState
from selfdistill.recall.cues import Cue, cues
from selfdistill.recall.hook import EXACT_CAUSE, LIMIT, MAX_TOKENS, Known, choose
from selfdistill.recall.moments import FLOOR, Moment, fit_of, moment
from selfdistill.signals.causes import is_covered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfdistill.recall.situations import Query

TELLABLE: Final = frozenset({LessonState.ACTIVE})


class Candidate(Struct, frozen=True):
    """A lesson prepared for comparing: when it applies, by the anchors of its cues, and as it is ranked."""

    lesson: Lesson
    cues: dict[str, tuple[Cue, ...]]
    known: Known


class Ranked(Struct, frozen=True):
    """A lesson worth telling, with how well it fits: `fit` by structure or cause, `score` with everything else."""

    lesson: Lesson
    fit: float
    score: float


def candidate(lesson: Lesson) -> Candidate:
    """Prepare a lesson; do it once and keep it, a lesson is compared many times."""
    by_anchor: dict[str, tuple[Cue, ...]] = {}
    for cue in cues(lesson):
        by_anchor[cue.anchor] = (*by_anchor.get(cue.anchor, ()), cue)
    return Candidate(lesson, by_anchor, _known(lesson))


def rank(
    query: Query,
    candidates: Sequence[Candidate],
    limit: int = LIMIT,
    *,
    states: frozenset[LessonState] = TELLABLE,
    floor: float = FLOOR,
    max_tokens: int = MAX_TOKENS,
) -> list[Ranked]:
    """The lessons to tell now, best first: at most `limit`, within `max_tokens`, none of them told before.

    `states`: which lessons may be told at all; rejected and archived ones only if a caller names them. `floor`: how
    well one must fit by structure (0..1); words alone never reach it.
    """
    now = as_moment(query)
    fitting: dict[str, tuple[Lesson, Known]] = {}
    for one in candidates:
        if one.lesson.state in states and (fit := _fit(one, query, now)) >= floor:
            known = copy(one.known)
            known.fit, known.foreign = fit, bool(query.project) and one.lesson.project != query.project
            fitting[one.lesson.id] = one.lesson, known
    heard = {cause for one in candidates if one.lesson.id in query.told for cause in one.lesson.covers}
    chosen = choose([known for _, known in fitting.values()], now, query.told, heard, limit, max_tokens)
    return [Ranked(fitting[one.id][0], one.fit, one.score) for one in chosen]


def as_moment(query: Query) -> Moment:
    """A query as the matcher takes it."""
    return moment(
        query.kind or "",
        query.tool,
        query.command,
        query.path,
        query.cwd,
        query.written,
        query.text,
        query.request,
        query.error,
    )


def _fit(one: Candidate, query: Query, now: Moment) -> float:
    """How well a lesson fits by cause or structure, 0 for not at all."""
    if query.causes and is_covered(query.causes, one.lesson.covers):
        return EXACT_CAUSE
    met = (cue for anchor in one.cues.keys() & now.marks for cue in one.cues[anchor])
    return max((fit_of(cue.needs, cue.fit, now) for cue in met), default=0.0)


def _known(lesson: Lesson) -> Known:
    return Known(
        (
            lesson.id,
            lesson.trigger.condition,
            lesson.action.description,
            lesson.tags,
            lesson.covers,
            lesson.confidence,
            lesson.support,
            lesson.last_seen,
            lesson.helped + max(lesson.feedback, 0),
            lesson.recurred_told + max(-lesson.feedback, 0),
            False,
        )
    )

"""Which lessons to tell now: few, and only where their occasion is at hand.

The order of the questions: is a cause exactly the lesson's (after a failure)? Is this its occasion (structure)? Only
then do words (BM25), confidence, support and recency put those that fit in order. Below the floor nothing is told:
silence costs nothing, noise costs trust (shared/lessons.md).
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.model import Lesson, LessonState
from selfdistill.recall.occasions import Occasion, occasions
from selfdistill.recall.situations import Query, situation, tokens
from selfdistill.signals.causes import is_covered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

LIMIT: Final = 3  # one helps most; four make agents worse (ReasoningBank, arXiv 2509.25140: 49.7 -> 44.4 % at k = 4)
MAX_TOKENS: Final = 400  # of all lessons told at once
FLOOR: Final = 0.3
TELLABLE: Final = frozenset({LessonState.ACTIVE})

EXACT_CAUSE: Final = 2.0  # above every sum of the others
_WORDS: Final = 0.1
_CONFIDENCE: Final = 0.15
_SUPPORT: Final = 0.3
_RECENCY: Final = 0.05
_MANY_SESSIONS: Final = 10  # with so many the support says no more
_HALF_LIFE_SECONDS: Final = 30 * 86_400.0
_HELPED: Final = 0.1
_CHARACTERS_PER_TOKEN: Final = 4  # of English text, roughly
_K1: Final = 1.2  # BM25's usual constants (Robertson and Zaragoza, 2009)
_B: Final = 0.75
_HALF_WAY: Final = 5.0


class Candidate(Struct, frozen=True):
    """A lesson prepared for comparing: when it applies, and its words."""

    lesson: Lesson
    occasions: tuple[Occasion, ...]
    words: frozenset[str]


class Ranked(Struct, frozen=True):
    """A lesson worth telling, with how well it fits: `fit` by structure or cause, `score` with everything else."""

    lesson: Lesson
    fit: float
    score: float


def candidate(lesson: Lesson) -> Candidate:
    """Prepare a lesson; do it once and keep it, a lesson is compared many times."""
    texts = (lesson.trigger.condition, lesson.action.description, *lesson.tags)
    return Candidate(lesson, occasions(lesson), tokens(texts))


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

    A lesson that was told keeps its place: a lesser one is not told because the better ones have been.

    `states`: which lessons may be told at all; rejected and archived ones only if a caller names them. `floor`: how
    well one must fit by structure (0..1); words alone never reach it.
    """
    now = situation(query)
    fitting = [
        (one, fit)
        for one in candidates
        if one.lesson.state in states
        and (fit := _fit(one, query, [occasion(now) for occasion in one.occasions])) >= floor
    ]
    if not fitting:
        return []
    words = word_scores(now.words, [one for one, _ in fitting])
    newest = max((one.lesson.last_seen or 0.0 for one, _ in fitting), default=0.0)
    ranked = [
        Ranked(one.lesson, fit, fit + _WORDS * word + _standing(one.lesson, newest))
        for (one, fit), word in zip(fitting, words, strict=True)
    ]
    ranked.sort(key=lambda one: (-one.score, one.lesson.id))
    heard = {cause for one in candidates if one.lesson.id in query.told for cause in one.lesson.covers}
    news = islice(_not_said_twice(ranked, heard, query.told, max_tokens), limit)
    return [one for one in news if one.lesson.id not in query.told]


def cost_tokens(lesson: Lesson) -> int:
    """About how many tokens telling a lesson takes."""
    return (len(lesson.trigger.condition) + len(lesson.action.description)) // _CHARACTERS_PER_TOKEN + 1


def _fit(one: Candidate, query: Query, fits: Iterable[float]) -> float:
    """How well a lesson fits by cause or structure, 0 for not at all."""
    if query.causes and is_covered(query.causes, one.lesson.covers):
        return EXACT_CAUSE
    return max(fits, default=0.0)


def _standing(lesson: Lesson, newest: float) -> float:
    """What speaks for a lesson whatever the moment: confidence, support, recency, and whether it has helped."""
    support = min(1.0, math.log1p(lesson.support) / math.log1p(_MANY_SESSIONS))
    age = max(0.0, newest - lesson.last_seen) if lesson.last_seen is not None else _HALF_LIFE_SECONDS
    heard = lesson.helped + lesson.recurred
    use = (lesson.helped - lesson.recurred) / (heard + 2)  # two doubts in advance: one success proves little
    return (
        _CONFIDENCE * lesson.confidence
        + _SUPPORT * support
        + _RECENCY * math.exp2(-age / _HALF_LIFE_SECONDS)
        + _HELPED * use
    )


def word_scores(wanted: frozenset[str], candidates: Sequence[Candidate]) -> list[float]:
    """BM25 of each candidate for the words of the moment, bent into 0..1 (a score of 5 is half way).

    Each word counts once in a text: lessons are two sentences long.
    """
    count = len(candidates)
    usual_length = sum(len(one.words) for one in candidates) / count or 1.0 if count else 1.0
    holding = [one.words & wanted for one in candidates]
    frequency: dict[str, int] = {}
    for words in holding:
        for word in words:
            frequency[word] = frequency.get(word, 0) + 1
    weights = {word: math.log1p((count - n + 0.5) / (n + 0.5)) for word, n in frequency.items()}
    scores = [
        sum(weights[word] for word in words) * (_K1 + 1) / (1 + _K1 * (1 - _B + _B * len(one.words) / usual_length))
        for one, words in zip(candidates, holding, strict=True)
    ]
    return [score / (score + _HALF_WAY) for score in scores]


def _not_said_twice(
    ranked: Iterable[Ranked], heard: set[str], told: frozenset[str], max_tokens: int
) -> Iterator[Ranked]:
    """Those told before, and those of the others that together stay within the cap and that nothing has said yet.

    Causes that were heard of, or that a better lesson covers, need no second one: a list says what each rule says. A
    long lesson does not silence a short one behind it.
    """
    left = max_tokens
    for one in ranked:
        lesson = one.lesson
        if lesson.id in told:
            yield one
        elif cost_tokens(lesson) <= left and not (lesson.covers and heard.issuperset(lesson.covers)):
            left -= cost_tokens(lesson)
            heard.update(lesson.covers)
            yield one

"""What is known already: lessons that resemble a transcript, and what came before it in the same session."""

from __future__ import annotations

import re
from math import sqrt
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.distill.llm.excerpts import Excerpt, folded_space
from selfdistill.distill.llm.shown import Beginning, beginnings
from selfdistill.distill.llm.transcript import Tier
from selfdistill.model import ActionType, EventKind, LessonState, Polarity, TriggerType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from selfdistill.distill.llm.transcript import Episode
    from selfdistill.model import Finding, Lesson

MOST_KNOWN: Final = 12
RESEMBLES: Final = 0.5  # share of a lesson's words, weighed by rarity, that the transcript must hold
MAX_REQUEST: Final = 600
MAX_TOLD: Final = 8

_WORD: Final = re.compile(r"[^\W_]{3,}")


class Known(Struct, frozen=True):
    """A lesson as the model is told of it, with what is needed to add to it.

    `needs` is the least that any of its findings needs, so that a sighting by the model never activates it sooner.
    `approved`: a person decided on this wording. `held`: it must never become active without a person.
    """

    id: str
    merge_key: str
    condition: str
    action: str
    trigger_type: TriggerType = TriggerType.GENERAL
    action_type: ActionType = ActionType.DO
    signal: Polarity = Polarity.NEUTRAL
    rationale: str = ""
    needs: int = 1
    approved: bool = False
    held: bool = False


def known_lesson(lesson: Lesson, *, needs: int | None = None, approved: bool = False) -> Known:
    """A stored lesson as the model is told of it; without `needs`, a pending one needs one session more than it has."""
    if needs is None:
        needs = lesson.support + 1 if lesson.state is LessonState.PENDING else 1
    return Known(
        id=lesson.id,
        merge_key=lesson.merge_key,
        condition=lesson.trigger.condition,
        action=lesson.action.description,
        trigger_type=lesson.trigger.type,
        action_type=lesson.action.type,
        signal=lesson.signal,
        rationale=lesson.rationale,
        needs=needs,
        approved=approved,
        held="unsafe" in lesson.tags,
    )


def resembling(lessons: Iterable[Known], transcript: str, most: int = MOST_KNOWN) -> tuple[Known, ...]:
    """The lessons that a transcript may be about, the likeliest first, whatever order they come in.

    A lesson's words count the more, the fewer other lessons have them (inverse document frequency).
    """
    there = _words(transcript)
    words = {lesson.id: (lesson, _words(f"{lesson.condition} {lesson.action}")) for lesson in lessons}
    frequency: dict[str, int] = {}
    for _, own in words.values():
        for word in own:
            frequency[word] = frequency.get(word, 0) + 1
    scored = [(_share(own, there, frequency), lesson) for lesson, own in words.values() if own]
    scored = [(score, lesson) for score, lesson in scored if score >= RESEMBLES]
    scored.sort(key=lambda pair: (-pair[0], pair[1].id))
    return tuple(lesson for _, lesson in scored[:most])


def _words(text: str) -> frozenset[str]:
    """The words of a text, in lower case."""
    return frozenset(_WORD.findall(text.casefold()))


def _share(own: frozenset[str], there: frozenset[str], frequency: dict[str, int]) -> float:
    """The share of a lesson's words that the transcript holds, by weight."""
    weights = {word: 1 / sqrt(frequency[word]) for word in sorted(own)}
    return sum(value for word, value in weights.items() if word in there) / sum(weights.values())


class Before(Struct, frozen=True, omit_defaults=True):
    """What a session's earlier parts leave for its next: small, redacted, fit to be stored with the cursor."""

    request: str = ""
    answer: str = ""
    lessons: tuple[str, ...] = ()
    shown: Beginning = Beginning()


def remembered(episodes: Sequence[Episode], findings: Iterable[Finding], earlier: Before | None = None) -> Before:
    """What to remember after a part: the last request, the last answer, and what was learned so far."""
    earlier = earlier or Before()
    entries = [entry for episode in reversed(episodes) for entry in reversed(episode.entries)]
    asked = next((entry.text for entry in entries if entry.tier is Tier.USER and entry.kind is EventKind.USER), None)
    said = next((entry.text for entry in entries if entry.kind is EventKind.ASSISTANT), None)
    learned = sorted(f"{finding.trigger.condition}: {finding.action.description}" for finding in findings)
    return Before(
        request=_brief(asked) or earlier.request,
        answer=_brief(said) or earlier.answer,
        lessons=tuple(dict.fromkeys((*earlier.lessons, *learned)))[-MAX_TOLD:],
        shown=next(reversed(beginnings(episodes, earlier.shown)), earlier.shown),
    )


def _brief(text: Excerpt | None) -> str:
    """A text on one line, its middle left out."""
    return folded_space(text.within(MAX_REQUEST).shown) if text is not None else ""


def before_summary(before: Before | None) -> str:
    """What came before, in words for the model; "" at the beginning of a session."""
    if before is None or before == Before():
        return ""
    lines = [f"The last request was: {before.request}"] if before.request else []
    lines += [f"The agent last said: {before.answer}"] if before.answer else []
    lines += [f"Already learned from this session: {lesson}" for lesson in before.lessons]
    return "\n".join(lines)

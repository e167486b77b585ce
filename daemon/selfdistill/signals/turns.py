"""What a person's turn says of the work before it: a small calibrated model over named marks, English only.

Two logistic regressions (`turn_weights.py`, fitted by `bench/fit_turns.py`) say how likely the turn complains and how
likely it accepts; which kind of complaint it is follows from the marks that carry it. Below the thresholds it abstains.
"""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.signals.steps import TurnKind
from selfdistill.signals.turn_features import TurnContext, marks_of
from selfdistill.signals.turn_language import is_english
from selfdistill.signals.turn_parts import parts
from selfdistill.signals.turn_weights import NEGATIVE, POSITIVE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

BIAS: Final = "bias"
# More likely than not: a false complaint teaches a wrong rule, a missed one only waits for the next. The F1 alone would
# be best at a third (Lipton and others 2014), with half as many false complaints again.
NEGATIVE_FROM: Final = 0.5
POSITIVE_FROM: Final = 0.5

_FAILURE: Final = frozenset({
    *("not_working", "failing", "still", "met_error", "absence", "regression", "complaint"),
    *("repair_check", "repair_order", "pasted_error", "error_alone", "pasted"),
})  # fmt: skip
_CORRECTION: Final = frozenset({
    *("denial", "denial_as_answer", "halt", "blame", "wrongness", "restated", "disagreement", "expectation", "however"),
    *("disappointment",),
    *("substitution", "taking_back", "unwanted", "redirected", "surprise", "feeling"),
})  # fmt: skip
_REVIEWED: Final = frozenset({"review", "impersonal"})
_JUDGED: Final = frozenset({"analysis", "advice"})
_DELIVERY: Final = frozenset({"go", "lets", "deliver", "choice", "request"})
_PRAISE: Final = frozenset({"praise", "works", "thanks"})
_CHANGE: Final = frozenset({
    *("substitution", "expectation", "unwanted", "disagreement", "however", "taking_back", "broke_in"),
})  # fmt: skip
_QUESTION: Final = frozenset({"asking", "asking_why", "ends_asking", "doubt"})


class TurnReading(Struct, frozen=True):
    """What a turn says, and the probabilities (0..1) that it complains of the work before it or accepts it."""

    kind: TurnKind
    negative: float
    positive: float


ABSTAINS: Final = TurnReading(TurnKind.NEUTRAL, 0.0, 0.0)


def read_turn(text: str, context: TurnContext) -> TurnReading:
    """What a turn says of the work before it.

    NEUTRAL with probabilities of 0 where nothing can be told: the first turn of a session had no work before it, and
    other languages than English are not read. A refusal of a call accepts nothing.
    """
    if context.first or not text.strip():
        return ABSTAINS
    taken_apart = parts(text)
    if not is_english(taken_apart.words):
        return ABSTAINS
    found = marks_of(text, taken_apart, context)
    negative = probability(NEGATIVE, found)
    positive = 0.0 if context.rejected else probability(POSITIVE, found)
    return TurnReading(_kind(found, negative, positive), round(negative, 4), round(positive, 4))


def probability(weights: Mapping[str, float], found: Iterable[str]) -> float:
    """The probability that the marks add up to."""
    return 1 / (1 + exp(-weights[BIAS] - sum(weights.get(mark, 0.0) for mark in found)))


def _kind(found: frozenset[str], negative: float, positive: float) -> TurnKind:
    """The kind of turn; a complaint goes before assent ("ok, but it still fails")."""
    if negative >= NEGATIVE_FROM:
        return _complaint(found)
    if positive >= POSITIVE_FROM:
        return TurnKind.PRAISE if found & _PRAISE and not found & _DELIVERY else TurnKind.APPROVAL
    if found & _QUESTION and "request" not in found:
        return TurnKind.QUESTION
    return TurnKind.REFINEMENT if found & _CHANGE else TurnKind.NEUTRAL


def _complaint(found: frozenset[str]) -> TurnKind:
    """Whether a complaint quotes a reviewer, reports what failed, or corrects: what weighs more decides."""
    if "severity" in found or (found & _REVIEWED and found & _JUDGED and "pasted_error" not in found):
        return TurnKind.FINDING
    failure, correction = _weight(found & _FAILURE), _weight(found & _CORRECTION)
    return TurnKind.FAILURE_REPORT if failure > correction else TurnKind.CORRECTION


def _weight(found: Collection[str]) -> float:
    """How much marks speak for a complaint."""
    return sum(NEGATIVE.get(mark, 0.0) for mark in found)

"""How an episode or a session went: additive log-odds over explicit signals, with abstention.

Positive only on a person's approval or tests that passed after the last edit; negative only where something in the log
speaks against the work in so many words; never from length (signals.md, finding 11). Everything else moves the
probability and nothing more.
"""

from __future__ import annotations

from math import exp
from typing import Final

from msgspec import Struct, field

from selfdistill.model import Outcome, Polarity, SignalKind
from selfdistill.signals.outcome_features import Change, Course, readings
from selfdistill.signals.outcome_weights import COURSE
from selfdistill.signals.steps import Step

PRIOR: Final = -0.2  # people's sessions, not a benchmark's tasks: those fail twice as often
NEGATIVE_FROM: Final = 0.6  # with explicit evidence; the rest of the course may make it doubtful
POSITIVE_BELOW: Final = 0.4
WORTH_SAYING: Final = 0.05  # log-odds: less is not listed as a reason, but counts

WEIGHTS: Final[dict[SignalKind, float]] = {
    SignalKind.CORRECTION: 1.2,
    SignalKind.FAILURE_REPORT: 1.6,
    SignalKind.REJECTION: 0.5,
    SignalKind.INTERRUPT: 0.4,
    SignalKind.REVERT: 0.9,
    SignalKind.LOOP: 0.4,
    SignalKind.UNVERIFIED_CLAIM: 0.8,
    SignalKind.APPROVAL: -1.5,
    SignalKind.PRAISE: -2.0,
}
# The last test run failed: 10/10, 6/6 and 66/91 failed (signals.md, finding 10), on other sets .5 above the base rate.
LAST_TEST_FAILED: Final = 1.0
VERIFIED: Final = -0.6  # tests passed after the last edit; hidden tests fail 47 of 100 such sessions all the same

# What speaks against the work by itself; shares of a session's course never do.
_AGAINST: Final = frozenset(
    {SignalKind.CORRECTION, SignalKind.FAILURE_REPORT, SignalKind.REVERT, SignalKind.LOOP, SignalKind.UNVERIFIED_CLAIM}
)
_FOR: Final = frozenset({SignalKind.APPROVAL, SignalKind.PRAISE})


class Tally(Struct, omit_defaults=True):
    """What an episode's or a session's signals add up to; each kind counts at most twice, so that length cannot win."""

    counts: dict[str, int] = {}
    last_test: str = ""  # "passed" | "failed" | "": what the last test run with a summary said
    edited_since: bool = False  # edits after that run
    course: Course = field(default_factory=Course)

    def add(self, kind: SignalKind) -> None:
        """Count a signal."""
        self.counts[kind.value] = min(2, self.counts.get(kind.value, 0) + 1)

    def take(self, step: Step, changed: Change | None) -> None:
        """Count a finished call, with what it would have changed."""
        self.course.call(step.kind, failed=step.failed, changed=changed)
        tested = step.run is not None or (step.failed and step.check == "test")
        if tested:
            failing = step.failed
            self.course.run(failed=failing)
            self.last_test = "failed" if failing else "passed"
            self.edited_since = False
        elif changed is not None and not step.failed:
            self.edited_since = True


def evidence_log_odds(tally: Tally) -> float:
    """What people said and tests proved, in log-odds of failure: what no fit changes."""
    return sum(weight for _, weight in _signals(tally) + _evidence(tally))


def judge(tally: Tally) -> Outcome:
    """The outcome that a tally supports; NEUTRAL where the log does not say."""
    parts = _signals(tally) + _evidence(tally)
    against = {kind.value for kind in _AGAINST} | {"last_test_failed"}
    explicit = not against.isdisjoint(name for name, _ in parts)
    course = [(name, round(weight, 3)) for name, weight in _course(tally)]
    log_odds = PRIOR + sum(weight for _, weight in parts + course)
    probability = 1 / (1 + exp(-log_odds))
    approved = any(kind.value in tally.counts for kind in _FOR) and tally.last_test != "failed"
    verdict = Polarity.NEUTRAL
    if probability >= NEGATIVE_FROM and explicit:
        verdict = Polarity.NEGATIVE
    elif probability <= POSITIVE_BELOW and (approved or _verified(tally)):
        verdict = Polarity.POSITIVE
    told = [(name, weight) for name, weight in course if abs(weight) >= WORTH_SAYING]
    return Outcome(verdict=verdict, failure_probability=round(probability, 4), contributions=(*parts, *told))


def _verified(tally: Tally) -> bool:
    """Whether tests passed after the last edit."""
    return tally.last_test == "passed" and not tally.edited_since


def _signals(tally: Tally) -> list[tuple[str, float]]:
    """What people said and what went wrong in so many words."""
    return [
        (kind.value, weight * tally.counts[kind.value])
        for kind, weight in WEIGHTS.items()
        if kind.value in tally.counts
    ]


def _evidence(tally: Tally) -> list[tuple[str, float]]:
    """What the last test run proves."""
    if tally.last_test == "failed":
        return [("last_test_failed", LAST_TEST_FAILED)]
    return [("verified", VERIFIED)] if _verified(tally) else []


def _course(tally: Tally) -> list[tuple[str, float]]:
    """What the course of the work adds: each reading against what is usual."""
    return [
        (name, COURSE[name].weight * (value - COURSE[name].usual)) for name, value in readings(tally.course).items()
    ]

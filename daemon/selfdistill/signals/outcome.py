"""How an episode or a session went: additive log-odds over explicit signals, with abstention.

Positive only on a person's approval or tests that passed after the last edit; never from length (signals.md, finding
11). The weights are rounded log-odds of the rates measured in shared/signals.md; a later fit may replace them.
"""

from __future__ import annotations

from math import exp
from typing import Final

from msgspec import Struct

from selfdistill.model import Outcome, Polarity, SignalKind

PRIOR: Final = -0.2
NEGATIVE_FROM: Final = 0.7
POSITIVE_BELOW: Final = 0.35

WEIGHTS: Final[dict[SignalKind, float]] = {
    SignalKind.CORRECTION: 1.2,
    SignalKind.FAILURE_REPORT: 1.6,
    SignalKind.REJECTION: 0.5,
    SignalKind.INTERRUPT: 0.4,
    SignalKind.REVERT: 0.9,
    SignalKind.LOOP: 1.8,
    SignalKind.APPROVAL: -1.5,
    SignalKind.PRAISE: -2.0,
}
LAST_TEST_FAILED: Final = 2.0  # P(failed | last run failed): 10/10, 6/6, 66/91 (signals.md, finding 10)
VERIFIED: Final = -1.2  # tests passed after the last edit


class Tally(Struct, omit_defaults=True):
    """What an episode's or a session's signals add up to; each kind counts at most twice, so that length cannot win."""

    counts: dict[str, int] = {}
    last_test: str = ""  # "passed" | "failed" | "": what the last test run with a summary said
    edited_since: bool = False  # edits after that run

    def add(self, kind: SignalKind) -> None:
        """Count a signal."""
        self.counts[kind.value] = min(2, self.counts.get(kind.value, 0) + 1)


def judge(tally: Tally) -> Outcome:
    """The outcome that a tally supports; NEUTRAL where the log does not say."""
    parts: list[tuple[str, float]] = [
        (kind.value, weight * tally.counts[kind.value])
        for kind, weight in WEIGHTS.items()
        if kind.value in tally.counts
    ]
    verified = tally.last_test == "passed" and not tally.edited_since
    if tally.last_test == "failed":
        parts.append(("last_test_failed", LAST_TEST_FAILED))
    if verified:
        parts.append(("verified", VERIFIED))
    probability = 1 / (1 + exp(-PRIOR - sum(weight for _, weight in parts)))
    approved = bool({SignalKind.APPROVAL.value, SignalKind.PRAISE.value} & tally.counts.keys())
    verdict = Polarity.NEUTRAL
    if probability >= NEGATIVE_FROM:
        verdict = Polarity.NEGATIVE
    elif probability <= POSITIVE_BELOW and (approved or verified):
        verdict = Polarity.POSITIVE
    return Outcome(verdict=verdict, failure_probability=round(probability, 4), contributions=tuple(parts))

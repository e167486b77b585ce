"""Outcomes: explicit signals only, abstention where the log does not say, never length."""

from __future__ import annotations

from selfdistill.model import Polarity, SignalKind
from selfdistill.signals.outcome import Tally, judge


def tally(*kinds: SignalKind, last_test: str = "", edited_since: bool = False) -> Tally:
    """A tally of these signals."""
    made = Tally(last_test=last_test, edited_since=edited_since)
    for kind in kinds:
        made.add(kind)
    return made


def test_silence_is_neutral() -> None:
    """A session without signals is no success."""
    assert judge(tally()).verdict is Polarity.NEUTRAL


def test_approval_or_verified_tests_make_a_success() -> None:
    """Positive needs a person's approval, or tests that passed after the last edit."""
    assert judge(tally(SignalKind.APPROVAL)).verdict is Polarity.POSITIVE
    assert judge(tally(last_test="passed")).verdict is Polarity.POSITIVE
    assert judge(tally(last_test="passed", edited_since=True)).verdict is Polarity.NEUTRAL


def test_the_last_failing_run_makes_a_failure() -> None:
    """P(failed | the last test run failed) is far above one half; an approval does not undo it."""
    outcome = judge(tally(last_test="failed"))
    assert outcome.verdict is Polarity.NEGATIVE
    assert ("last_test_failed", 2.0) in outcome.contributions
    assert judge(tally(SignalKind.APPROVAL, last_test="failed")).verdict is Polarity.NEUTRAL


def test_without_approval_or_verification_nothing_is_positive() -> None:
    """A low probability of failure alone is no success."""
    for kind in SignalKind:
        if kind not in {SignalKind.APPROVAL, SignalKind.PRAISE}:
            assert judge(tally(kind)).verdict is not Polarity.POSITIVE


def test_length_counts_nothing() -> None:
    """A hundred corrections weigh no more than two: longer is not worse by itself."""
    assert judge(tally(*[SignalKind.CORRECTION] * 100)) == judge(tally(*[SignalKind.CORRECTION] * 2))

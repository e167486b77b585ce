"""Outcomes: explicit signals only, abstention where the log does not say, never length."""

from __future__ import annotations

from selfdistill.model import Polarity, SignalKind, Span, ToolKind
from selfdistill.signals.outcome import LAST_TEST_FAILED, Tally, evidence_log_odds, judge
from selfdistill.signals.outcome_features import Change
from selfdistill.signals.runs import TestRun
from selfdistill.signals.steps import Step


def tally(*kinds: SignalKind, last_test: str = "", edited_since: bool = False) -> Tally:
    """A tally of these signals."""
    made = Tally(last_test=last_test, edited_since=edited_since)
    for kind in kinds:
        made.add(kind)
    return made


def step(kind: ToolKind = ToolKind.SHELL, *, failed: bool = False, run: TestRun | None = None, check: str = "") -> Step:
    """A finished call."""
    return Step("c1", "r1", Span(0, 1), Span(1, 1), "tool", kind, failed=failed, run=run, check=check)


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
    assert ("last_test_failed", LAST_TEST_FAILED) in outcome.contributions
    assert judge(tally(SignalKind.APPROVAL, last_test="failed")).verdict is Polarity.NEUTRAL


def test_without_approval_or_verification_nothing_is_positive() -> None:
    """A low probability of failure alone is no success."""
    for kind in SignalKind:
        if kind not in {SignalKind.APPROVAL, SignalKind.PRAISE}:
            assert judge(tally(kind)).verdict is not Polarity.POSITIVE


def test_length_counts_nothing() -> None:
    """A hundred corrections weigh no more than two: longer is not worse by itself."""
    assert judge(tally(*[SignalKind.CORRECTION] * 100)) == judge(tally(*[SignalKind.CORRECTION] * 2))


def test_the_course_alone_is_no_verdict() -> None:
    """A session that looks bad in every way is likely to have failed, but nothing in the log says so: abstain."""
    made = tally()
    made.course.call(ToolKind.EDIT, failed=True, changed=Change(path=1, lines=60))
    for path in range(8):
        changed = Change(path=path, lines=60, file_named=False, code_named=False)
        made.course.call(ToolKind.EDIT, failed=False, changed=changed)
    made.course.call(ToolKind.SHELL, failed=True, changed=None)
    made.course.say(hedged=True)
    outcome = judge(made)
    assert outcome.failure_probability > 0.8
    assert outcome.verdict is Polarity.NEUTRAL
    assert judge(tally()).failure_probability < 0.5


def test_what_the_course_adds_is_told_by_name() -> None:
    """Each reading that weighs is listed with its log-odds, so that a person can check it in the log."""
    made = tally(SignalKind.CORRECTION)
    made.course.say(hedged=True)
    names = [name for name, _ in judge(made).contributions]
    assert names == ["correction", "hedging"]
    assert evidence_log_odds(made) == dict(judge(made).contributions)["correction"]


def test_an_edit_in_the_shell_leaves_the_tests_behind_too() -> None:
    """Passed before `sed -i` is not verified after it."""
    made = tally()
    made.take(step(run=TestRun("pytest", passed=3)), None)
    assert made.last_test == "passed"
    assert not made.edited_since
    made.take(step(), Change(path=1, lines=1))
    assert made.edited_since


def test_a_failing_test_command_without_a_summary_is_a_failing_run() -> None:
    """A test command that fails proves as much as one that says how many tests failed; a failing linter does not."""
    made = tally()
    made.take(step(failed=True, check="lint"), None)
    assert made.last_test == ""
    made.take(step(failed=True, check="test"), None)
    assert made.last_test == "failed"

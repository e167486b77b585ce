"""Events in, moments out: pairing, signals and tallies, the same in any pieces."""

from __future__ import annotations

from selfdistill.model import Author, Polarity, Signal, SignalKind
from selfdistill.signals.observing import MAX_OPEN_CALLS, Observer
from selfdistill.signals.steps import Moment, Step
from stories import Story


def observed(story: Story) -> tuple[list[Moment], Observer]:
    """Every moment of a story, and the observer after it."""
    observer = Observer(None, lambda text: text, human=lambda: not story.session.machine_run)
    moments: list[Moment] = []
    for event in story.events:
        observer.observe(event, moments.append)
    return moments, observer


def kinds(story: Story) -> list[SignalKind]:
    """The kinds of all signals of a story, in order."""
    signals: list[Signal] = [signal for moment in observed(story)[0] for signal in moment.signals]
    return [signal.kind for signal in signals]


def test_an_inverse_edit_is_a_revert() -> None:
    """An edit that puts the old text back; editing a file twice is none."""
    story = Story()
    story.edit("boil.py", "a", "b")
    story.edit("boil.py", "b", "c")
    assert SignalKind.REVERT not in kinds(story)
    story.edit("boil.py", "c", "b")
    assert kinds(story).count(SignalKind.REVERT) == 1


def test_restoring_files_is_a_revert() -> None:
    """`git checkout -- F`, `git restore F`, `git reset --hard` throw work away; switching branches does not."""
    story = Story()
    for command in ("git checkout main", "git restore --staged boil.py", "git reset HEAD~1"):
        story.sh(command)
    assert kinds(story) == []
    for command in ("git checkout -- boil.py", "git restore boil.py", "cd x && git reset --hard", "git revert HEAD"):
        story.sh(command)
    assert kinds(story) == [SignalKind.REVERT] * 4


def test_edits_after_the_last_test_run_leave_it_unverified() -> None:
    """Verified means passed after the last edit."""
    story = Story()
    story.sh("pytest -q", "3 passed in 0.1s")
    assert not observed(story)[1].carried.session.edited_since
    story.edit("boil.py", "a", "b")
    assert observed(story)[1].carried.session.edited_since
    assert kinds(story) == [SignalKind.TEST_PASSED]


def test_people_count_and_programs_do_not() -> None:
    """The same words by a program are nobody's opinion, nor are any in a machine-run session."""
    story = Story()
    story.say("hello")
    story.say("no, that's wrong")
    assert kinds(story) == [SignalKind.CORRECTION]
    machine = Story()
    machine.say("hello", author=Author.PROGRAM)
    machine.say("no, that's wrong", author=Author.PROGRAM)
    assert kinds(machine) == []


def test_a_refusal_and_an_interrupt_are_signals() -> None:
    """A person who stops the agent says something, with or without words."""
    story = Story()
    story.say("hello")
    story.refuse("rm -r build", "no, keep it")
    story.interrupt()
    assert kinds(story) == [SignalKind.REJECTION, SignalKind.CORRECTION, SignalKind.INTERRUPT]


def test_failures_are_signalled_by_what_they_are() -> None:
    """The environment is not the agent's fault; a failing lint is no failing tool."""
    story = Story()
    story.sh("curl https://x", "curl: (6) Could not resolve host: x", error=True)
    story.sh("ruff check .", "boil.py:1:1: F401 unused import\nFound 1 error.", error=True)
    story.edit("boil.py", "a", "b", error="String to replace not found in file.")
    story.sh("pytest -q 2>&1 | tail -3", "1 failed, 2 passed in 0.2s")
    found = [SignalKind.ENVIRONMENT, SignalKind.LINT_FAILED, SignalKind.EDIT_FAILURE, SignalKind.TEST_FAILED]
    assert kinds(story) == found


def test_a_result_without_its_call_is_nothing() -> None:
    """A log that begins in the middle gives no half steps."""
    story = Story()
    story.sh("ls")
    story.events.pop(0)
    assert observed(story)[0] == []


def test_open_calls_are_bounded() -> None:
    """However many calls never get a result, the state stays small."""
    story = Story()
    for number in range(10 * MAX_OPEN_CALLS):
        story.sh(f"echo {number}")
    story.events = [event for event in story.events if not event.uid.endswith(":r")]
    _, observer = observed(story)
    assert len(observer.carried.open_calls) == MAX_OPEN_CALLS


def test_carried_state_is_redacted() -> None:
    """What is stored between two pieces of a log holds no secret, in calls, failures and edits."""
    story = Story()
    story.sh("curl -H PLANTED https://x", "curl: option: unknown flag: PLANTED", error=True)
    story.sh("echo PLANTED")
    story.events = story.events[:-1]
    observer = Observer(None, lambda text: text.replace("PLANTED", "[gone]"), human=lambda: True)
    steps: list[Step] = []
    for event in story.events:
        observer.observe(
            event, lambda moment: steps.append(moment.happened) if isinstance(moment.happened, Step) else None
        )
    assert b"PLANTED" not in observer.state()
    assert len(steps) == 1


def claims(story: Story) -> list[Signal]:
    """The signals of claims that nothing verifies."""
    signals = [signal for moment in observed(story)[0] for signal in moment.signals]
    return [signal for signal in signals if signal.kind is SignalKind.UNVERIFIED_CLAIM]


def test_a_claim_that_the_last_run_contradicts_speaks_against_the_work() -> None:
    """Negative, with the sentence and the kind of check, and it counts for the outcome."""
    story = Story()
    story.sh("pytest -q", "1 failed, 2 passed in 0.2s", error=True)
    said = len(story.events)
    story.answer("I mended the lid. All tests pass now. Shall I go on?")
    (signal,) = claims(story)
    assert (signal.polarity, signal.excerpt) == (Polarity.NEGATIVE, "All tests pass now.")
    assert signal.detail == "its last test run failed"
    assert signal.spans == (story.events[said].span,)
    carried = observed(story)[1].carried
    assert carried.session.counts[SignalKind.UNVERIFIED_CLAIM] == carried.episode.counts["unverified_claim"] == 1


def test_a_claim_that_nothing_has_checked_since_the_edit_abstains() -> None:
    """Neutral: it may well be true, so that it does not count for the outcome."""
    story = Story()
    story.sh("pytest -q", "3 passed in 0.2s")
    story.edit("boil.py", "a", "b")
    story.answer("All tests pass.")
    (signal,) = claims(story)
    assert (signal.polarity, signal.detail) == (Polarity.NEUTRAL, "no test run since the last edit")
    assert SignalKind.UNVERIFIED_CLAIM not in observed(story)[1].carried.session.counts


def test_a_claim_that_a_run_bears_out_is_no_signal() -> None:
    """Verified after the last edit, nothing edited at all, hedged, or about a check of another kind that passed."""
    verified = Story()
    verified.edit("boil.py", "a", "b")
    verified.sh("pytest -q", "3 passed in 0.2s")
    verified.answer("All tests pass.")
    untouched = Story()
    untouched.answer("All tests pass.")
    hedged = Story()
    hedged.edit("boil.py", "a", "b")
    hedged.answer("Once all tests pass I will commit.")
    other = Story()
    other.sh("ruff check .", "boil.py:1:1: F401 unused import\nFound 1 error.", error=True)
    other.sh("pytest -q", "3 passed in 0.2s")
    other.answer("All tests pass.")
    unedited = Story()
    unedited.sh("ruff check .", "boil.py:1:1: F401 unused import\nFound 1 error.", error=True)
    unedited.answer("All tests pass.")
    assert [claims(story) for story in (verified, untouched, hedged, other, unedited)] == [[]] * 5

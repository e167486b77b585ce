"""Failing tests that were mended: where the cause was, and when that teaches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stories import Story

FAILED = (
    "tests/test_boil.py ..F\nFAILED tests/test_boil.py::test_altitude - assert 94 == 95\n1 failed, 2 passed in 0.21s"
)
PASSED = "tests/test_boil.py ...\n3 passed in 0.19s"


def test_edits_between_a_failing_and_a_passing_run_are_learned(story: Story) -> None:
    """The failing test, the files edited, the passing run: where to look when it fails again."""
    story.sh("pytest -q", FAILED, error=True)
    story.edit("/home/mara/kettle/pressure.py", "a", "b")
    story.sh("pytest -q", PASSED)
    (finding,) = story.findings()
    assert finding.trigger.condition == "`tests/test_boil.py::test_altitude` fails"
    assert finding.action.description == "Look at `pressure.py` first: editing there made it pass."
    assert finding.needs == 2


def test_a_failing_run_counts_whatever_the_exit_status(story: Story) -> None:
    """Most failing runs are piped and reported as successes."""
    story.sh("pytest -q 2>&1 | tail -5", FAILED)
    story.edit("/home/mara/kettle/pressure.py", "a", "b")
    story.sh("pytest -q 2>&1 | tail -5", PASSED)
    assert len(story.findings()) == 1


def test_the_agents_own_cause_is_kept_with_its_words(story: Story) -> None:
    """The cause that the agent states after the test passed is quoted as evidence."""
    story.sh("pytest -q", FAILED, error=True)
    story.edit("/home/mara/kettle/pressure.py", "a", "b")
    story.sh("pytest -q", PASSED)
    said = story.answer("All pass. The root cause was that the lapse rate was given in feet.")
    with_cause = story.findings()[-1]
    assert with_cause.evidence[-1].uid == said
    assert "lapse rate was given in feet" in with_cause.action.description
    assert with_cause.merge_key == story.findings()[0].merge_key


def test_without_edits_a_pass_teaches_nothing(story: Story) -> None:
    """A flaky test that passes the second time was mended by nobody."""
    story.sh("pytest -q", FAILED, error=True)
    story.sh("pytest -q", PASSED)
    assert story.findings() == []


def test_a_test_that_was_just_written_teaches_nothing(story: Story) -> None:
    """A test written to fail first is work in progress, and tells nobody where an old fault lies."""
    story.edit("/home/mara/kettle/tests/test_boil.py", "a", "b")
    story.sh("pytest -q", FAILED, error=True)
    story.edit("/home/mara/kettle/pressure.py", "a", "b")
    story.sh("pytest -q", PASSED)
    assert story.findings() == []


def test_a_test_named_after_the_file_teaches_nothing(story: Story) -> None:
    """That `test_boil` is about `boil.py` is known to every agent."""
    story.sh("pytest -q", FAILED, error=True)
    story.edit("/home/mara/kettle/boil.py", "a", "b")
    story.sh("pytest -q", PASSED)
    assert story.findings() == []


def test_a_failing_check_may_fail_often(story: Story) -> None:
    """Lint that says the code is wrong is no loop of the command."""
    for _ in range(4):
        story.sh("mise run lint", "Exit code 1\na.go:3:1: return value is not checked (errcheck)", error=True)
    assert {finding.rule for finding in story.findings()} == {"recurring_diagnostic", "check_habit"}


def test_words_that_explain_nothing_are_no_cause(story: Story) -> None:
    """A cause needs an explanation: that it was found, or on which line it is, helps nobody later."""
    story.sh("pytest -q", FAILED, error=True)
    story.edit("/home/mara/kettle/pressure.py", "a", "b")
    story.sh("pytest -q", PASSED)
    story.answer("You are right! The bug is on line 135. I found and fixed the root cause of the issue.")
    (finding,) = story.findings()
    assert finding.action.description == "Look at `pressure.py` first: editing there made it pass."


def test_only_edited_tests_teach_nothing(story: Story) -> None:
    """A test that passes after the test itself was edited was being written, not broken."""
    story.sh("pytest -q", FAILED, error=True)
    story.edit("/home/mara/kettle/tests/test_boil.py", "a", "b")
    story.sh("pytest -q", PASSED)
    assert story.findings() == []


def test_the_refusals_of_the_harness_are_no_loop(story: Story) -> None:
    """Every agent knows that it must read a file before it edits it."""
    for _ in range(4):
        story.edit("/home/mara/kettle/boil.py", "a", "b", error="File has not been read yet. Read it first.")
    assert story.findings() == []


def test_a_pass_of_other_tests_mends_nothing(story: Story) -> None:
    """The passing run must have run the failing test, not another selection, package or program."""
    for other in ("pytest -q tests/test_other.py", "pytest -q -k whistle", "npm test 2>&1 | tail -5"):
        story.sh("pytest -q 2>&1 | tail -5", FAILED, error=True)
        story.edit("/home/mara/kettle/pressure.py", "a", "b")
        story.sh(other, PASSED)
    assert story.findings() == []


def test_a_narrower_pass_that_names_the_test_mends_it(story: Story) -> None:
    """Agents run the failing test alone first."""
    story.sh("pytest -q", FAILED, error=True)
    story.edit("/home/mara/kettle/pressure.py", "a", "b")
    story.sh("pytest -q -k test_altitude", PASSED)
    assert len(story.findings()) == 1

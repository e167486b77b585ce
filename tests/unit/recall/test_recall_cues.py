"""Cues: each kind of cause says, as data, when its lesson applies and what its failure sounds like."""

from __future__ import annotations

import pytest

from selfdistill.model import Action, ActionType, Lesson, LessonState, Polarity, Scope, Trigger, TriggerType
from selfdistill.recall.cues import cues
from selfdistill.recall.hook import EXACT_CAUSE, SURE
from selfdistill.recall.moments import Moment, fit_of, moment


def lesson(*covers: str, condition: str = "", key: str = "k", tags: tuple[str, ...] = (), support: int = 2) -> Lesson:
    """A lesson; in its causes `|` stands for the separator."""
    return Lesson(
        id="l",
        project="p",
        merge_key=key.replace("|", "\x1f"),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(condition, TriggerType.ERROR_REPORT),
        action=Action(ActionType.DO, "Do it the other way."),
        rationale="",
        confidence=0.7,
        scope=Scope.PROJECT,
        tags=tags,
        state=LessonState.ACTIVE,
        support=support,
        distiller="heuristic",
        version=2,
        covers=tuple(cause.replace("|", "\x1f") for cause in covers),
    )


def fit(one: Lesson, now: Moment) -> float:
    """How well the lesson fits the moment."""
    return max((fit_of(cue.needs, cue.fit, now) for cue in cues(one) if cue.anchor in now.marks), default=0.0)


FAILED = [
    pytest.param("usage|unknown_option|gh pr diff|stat", "gh pr diff --stat", "unknown flag: --stat", id="option"),
    pytest.param("usage|unknown_field|gh pr view|merged", "gh pr view --json merged", 'Unknown: "merged"', id="field"),
    pytest.param("usage|program_missing|brewer", "brewer x", "bash: brewer: command not found", id="program"),
    pytest.param("usage|push_rejected", "git push", "! [rejected] main -> main (fetch first)", id="push"),
    pytest.param("usage|prerequisite|npm install", "npm test", "please run `npm install` first", id="prerequisite"),
    pytest.param("failure|kettle boil|lid is open at <path>", "kettle boil", "E: lid is open at /x/y", id="failure"),
    pytest.param("failure||the stove is cold", "a; b", "sorry, the stove is cold", id="failure of no one command"),
    pytest.param("test|boil.py::test_boils_cold", "pytest", "FAILED tests/boil.py::test_boils_cold", id="test"),
    pytest.param("diagnostic|errcheck", "make lint", "boil.go:1: return value not checked (errcheck)", id="rule"),
    pytest.param("diagnostic|revive/unused-parameter", "make", "unused-parameter: x (revive)", id="rule of two parts"),
]


@pytest.mark.parametrize(("cause", "command", "error"), FAILED)
def test_after_its_failure_a_lesson_fits_exactly(cause: str, command: str, error: str) -> None:
    """The message tells the cause without the package: anchored at the command or a word of it, and all its texts."""
    one = lesson(cause)
    assert fit(one, moment(kind="shell", command=command, error=f"Exit code 1\n{error.upper()}")) == EXACT_CAUSE
    assert fit(one, moment(kind="shell", command=command, error="Exit code 1\nout of memory")) < EXACT_CAUSE


def test_a_refusal_fits_exactly_by_what_the_harness_says() -> None:
    """Read before Edit: for both tools that change files."""
    one = lesson("refused|edit|unread")
    for kind in ("edit", "write"):
        assert fit(one, moment(kind=kind, error="File has not been read yet.")) == EXACT_CAUSE
        assert fit(one, moment(kind=kind, error="Disk full.")) < SURE
    assert fit(one, moment(kind="shell", command="cat x", error="File has not been read yet.")) == 0.0


def test_what_a_rule_is_called_is_no_path() -> None:
    """The code in a rule's lesson is no command or file of a call."""
    one = lesson("diagnostic|revive/unused-parameter", condition="Go code breaks `revive/unused-parameter`")
    assert fit(one, moment(kind="shell", command="cat revive/unused-parameter")) == 0.0


def test_cues_are_a_pure_function_of_the_lesson() -> None:
    """Sorted, each once with its best fit, whatever the order of the causes."""
    causes = ("usage|push_rejected", "test|a.py::test_boils", "usage|path_missing|src/a.py")
    found = cues(lesson(*causes))
    assert found == cues(lesson(*reversed(causes))) == tuple(sorted(found))
    assert len({(cue.anchor, cue.needs) for cue in found}) == len(found)


def test_without_causes_the_code_in_the_condition_is_asked() -> None:
    """A command with its words fits better the more of them are there."""
    one = lesson(condition="About to run `stove heat --fast --high`")
    whole = fit(one, moment(kind="shell", command="stove heat --high --fast"))
    part = fit(one, moment(kind="shell", command="stove heat --high"))
    assert whole > part > fit(one, moment(kind="shell", command="stove --low")) == 0.0

"""Opportunities: which later calls show whether a lesson that was told was heeded."""

from __future__ import annotations

import pytest

from selfdistill.model import Action, ActionType, Lesson, LessonState, Polarity, Scope, Trigger, TriggerType
from selfdistill.recall.opportunities import call_marks, is_opportunity, opportunities

HOME = "/home/mara/kettle"


def lesson(
    *covers: str,
    condition: str = "it fails",
    action: str = "Look first.",
    tags: tuple[str, ...] = (),
    prefers: str = "",
) -> Lesson:
    """A lesson; in its causes `|` stands for the separator."""
    return Lesson(
        id="l",
        project="p",
        merge_key="k",
        signal=Polarity.NEGATIVE,
        trigger=Trigger(condition, TriggerType.ERROR_REPORT),
        action=Action(ActionType.DO, action),
        rationale="",
        confidence=0.7,
        scope=Scope.PROJECT,
        tags=tags,
        state=LessonState.ACTIVE,
        support=2,
        distiller="heuristic",
        version=2,
        covers=tuple(cause.replace("|", "\x1f") for cause in covers),
        prefers=prefers,
    )


def shell(command: str) -> frozenset[str]:
    """The marks of a command."""
    return call_marks("shell", "Bash", command, "", HOME)


def file(kind: str, path: str) -> frozenset[str]:
    """The marks of a call about a file."""
    return call_marks(kind, kind.title(), "", path, HOME)


STAT = lesson("usage|unknown_option|gh pr diff|stat", action="Use `--name-only`: `gh pr diff <n> --name-only`.")
GREP = lesson("usage|program_missing|ag", action="Use `rg -n`.")
PLACE = lesson("refused|read|missing|web/timer.ts", action="It is `web/clock/timer.ts`.", prefers="web/clock/timer.ts")
LINT = lesson("diagnostic|errcheck", tags=("golangci-lint", "errcheck"))
UNREAD = lesson("refused|edit|unread")
GLOB = lesson("usage|glob|?", condition="`gh api <x>` has a letter that the shell expands")


@pytest.mark.parametrize(
    ("told", "marks"),
    [
        pytest.param(STAT, shell("cd web && gh pr diff 7 --name-only"), id="the command without the wrong option"),
        pytest.param(STAT, shell("gh pr diff 7 --stat"), id="the mistake itself, if it ran"),
        pytest.param(GREP, shell("rg -n boil | head"), id="what was told to use instead"),
        pytest.param(PLACE, file("read", f"{HOME}/web/clock/timer.ts"), id="the file where it is"),
        pytest.param(LINT, shell("golangci-lint run ./..."), id="a run of the check"),
        pytest.param(UNREAD, file("edit", f"{HOME}/a.go"), id="any edit"),
        pytest.param(UNREAD, file("write", f"{HOME}/a.go"), id="a write is guarded like an edit"),
        pytest.param(GLOB, shell("gh api 'repos/x?y=1'"), id="the command of the condition"),
        pytest.param(lesson("usage|push_rejected"), shell("git push origin main"), id="a push"),
        pytest.param(lesson("test|boil.py::test_boils"), shell("pytest -q"), id="a run of the tests"),
        pytest.param(lesson("failure|make deploy|no key"), shell("make deploy"), id="the command that failed"),
    ],
)
def test_a_call_in_which_the_failure_could_come(told: Lesson, marks: frozenset[str]) -> None:
    """The same command or what the lesson says to do instead: whoever heeds it is seen to."""
    assert is_opportunity(marks, opportunities(told))


@pytest.mark.parametrize(
    ("told", "marks"),
    [
        pytest.param(STAT, shell("gh pr view 7"), id="another subcommand"),
        pytest.param(STAT, shell("echo gh pr diff"), id="only its words"),
        pytest.param(PLACE, file("read", f"{HOME}/web/other.ts"), id="another file"),
        pytest.param(LINT, shell("go test ./..."), id="another check"),
        pytest.param(UNREAD, file("read", f"{HOME}/a.go"), id="another tool"),
        pytest.param(lesson("failure||said"), shell("make"), id="a failure of no command"),
    ],
)
def test_a_call_that_says_nothing_of_the_lesson(told: Lesson, marks: frozenset[str]) -> None:
    """Work elsewhere is neither for nor against it."""
    assert not is_opportunity(marks, opportunities(told))


def test_what_covers_no_failure_cannot_be_judged() -> None:
    """A wish of the user has no failure that could stay away."""
    assert opportunities(lesson(action="Use `pnpm build`.", prefers="pnpm")) == ()

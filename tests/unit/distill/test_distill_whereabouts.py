"""Files that were elsewhere, and names that the refusal itself corrects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from selfdistill.distill.heuristic.whereabouts import found_elsewhere
from selfdistill.model import FailureClass, Finding, Span, ToolInput, ToolKind
from selfdistill.signals.causes import causes, is_covered
from selfdistill.signals.memory import Memory
from selfdistill.signals.steps import Failure, Fault, Step
from selfdistill.signals.tools import read_failure

if TYPE_CHECKING:
    from stories import Story

HOME = "/home/mara/kettle"


def missed(path: str) -> Memory:
    """A memory in which reading this path has failed."""
    memory = Memory()
    failure = Failure(FailureClass.GUARDRAIL, Fault.PATH_MISSING, line="File does not exist.")
    memory.remember(_step("f", ToolKind.READ, path, failed=True, failure=failure))
    return memory


def found(memory: Memory, path: str, output: str = "") -> list[Finding]:
    """What a call that works afterwards gives."""
    step = _step("w", ToolKind.READ, path)
    step.quote = memory.sought(path, output)
    return list(found_elsewhere(memory, step))


def _step(uid: str, kind: ToolKind, path: str, *, failed: bool = False, failure: Failure | None = None) -> Step:
    span = Span(0, 10)
    return Step(uid, f"{uid}:r", span, span, "Read", kind, path=path, cwd=HOME, failed=failed, failure=failure)


def test_a_file_that_was_then_read_elsewhere_is_placed() -> None:
    """The wrong path and the right one, as seen from the project."""
    (finding,) = found(missed(f"{HOME}/src/lid.py"), f"{HOME}/src/parts/lid.py")
    assert finding.trigger.condition == "Looking for `src/lid.py`"
    assert finding.action.description == "It is at `src/parts/lid.py`."


def test_a_listing_with_one_path_of_that_name_places_it() -> None:
    """A search that lists the file once tells where it is; one that lists two does not."""
    memory = missed(f"{HOME}/src/lid.py")
    assert len(found(memory, HOME, f"{HOME}/boil.py\n{HOME}/parts/lid.py\n")) == 1
    assert found(memory, HOME, f"{HOME}/parts/lid.py\n{HOME}/old/lid.py\n") == []
    assert found(memory, HOME, f"{HOME}/parts/lid.py.bak\n{HOME}/parts/other_lid.py") == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (f"{HOME}/src/lid.py", f"{HOME}/src/boil.py"),
        (f"{HOME}/src/lid.py", "/srv/lid.py"),
        (f"{HOME}/a/README.md", f"{HOME}/README.md"),
        ("/home/mara/other/lid.py", f"{HOME}/lid.py"),
    ],
)
def test_nothing_is_placed_without_a_telling_name_inside_the_project(wrong: str, right: str) -> None:
    """Another name, a place outside the project, and a name that many directories have."""
    assert found(missed(wrong), right) == []


def test_the_name_that_the_refusal_proposes_is_told(story: Story) -> None:
    """`Did you mean`, for a file beside the wrong one."""
    path = ToolInput(path=f"{HOME}/conf/stove.yml")
    story.call("Read", ToolKind.READ, path, "File does not exist. Did you mean stove.yaml?", error=True)
    assert [finding.action.description for finding in story.findings() if finding.rule == "named_by_message"] == [
        "The file is `conf/stove.yaml`."
    ]


def test_the_full_name_of_an_agent_is_told(story: Story) -> None:
    """The refusal lists the agents that there are."""
    refusal = "Agent type 'taster' not found. Available agents: Plan, kitchen:taster, kitchen:cook"
    story.call("Task", ToolKind.AGENT, ToolInput(text="{}"), refusal, error=True)
    assert story.advice() == ["Its full name is `kitchen:taster`."]


def test_an_agent_that_is_not_listed_is_not_guessed(story: Story) -> None:
    """Without one listed name that fits, silence."""
    story.call("Task", ToolKind.AGENT, ToolInput(), "Agent type 'x' not found. Available agents: Plan", error=True)
    assert story.findings() == []


def guessed(story: Story) -> list[Finding]:
    """The findings about guessed paths."""
    return [finding for finding in story.findings() if finding.rule == "guessed_path"]


def read_missing(story: Story, name: str, message: str = "File does not exist.") -> str:
    """A read of a file that is not there."""
    return story.call("Read", ToolKind.READ, ToolInput(path=f"{HOME}/{name}"), message, error=True)


def test_a_guessed_path_is_told_once_a_session(story: Story) -> None:
    """Ten wrong guesses in a session are one sighting, with the first as evidence; ten sessions must show it."""
    first = read_missing(story, "src/lid.py")
    for number in range(9):
        read_missing(story, f"src/lid{number}.py")
    (finding,) = guessed(story)
    assert finding.needs == 10
    assert [evidence.uid for evidence in finding.evidence] == [first, f"{first}:r"]


def test_a_guessed_path_is_told_once_wherever_the_log_is_cut(story: Story) -> None:
    """That it was told is remembered between the pieces of a log."""
    read_missing(story, "src/lid.py")
    read_missing(story, "src/cup.py")
    whole = story.findings()
    assert all(story.findings((cut,)) == whole for cut in range(len(story.events) + 1))


def test_guessed_paths_cover_every_missing_file_that_is_read_and_nothing_else(story: Story) -> None:
    """Any path, known or not; another refusal of the same tool is another cause."""
    read_missing(story, "src/lid.py")
    (finding,) = guessed(story)

    def found(name: str, message: str, tool_kind: ToolKind = ToolKind.READ) -> tuple[str, ...]:
        failure = read_failure(tool_kind, "", message, flagged=True)
        return causes(_step("f", tool_kind, f"{HOME}/{name}", failed=True, failure=failure))

    assert is_covered(found("web/never_seen.ts", "File does not exist."), finding.covers)
    assert not is_covered(found("web/huge.ts", "File content (9 MB) exceeds maximum allowed size."), finding.covers)
    assert not is_covered(found("web/x.ts", "File does not exist.", ToolKind.EDIT), finding.covers)


@pytest.mark.parametrize(
    ("kind", "output", "error"),
    [
        (ToolKind.READ, "import lid", False),
        (ToolKind.READ, "File content (9 MB) exceeds maximum allowed size.", True),
        (ToolKind.EDIT, "File does not exist.", True),
    ],
)
def test_other_calls_guess_no_path(story: Story, kind: ToolKind, output: str, *, error: bool) -> None:
    """A read that works, one that is refused for another reason, and an edit."""
    story.call("Tool", kind, ToolInput(path=f"{HOME}/src/lid.py"), output, error=error)
    assert guessed(story) == []

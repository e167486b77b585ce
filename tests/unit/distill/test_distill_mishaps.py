"""Every failed call is told by its causes, so that a lesson can be held against what came after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfdistill.distill.base import Batch
from selfdistill.distill.heuristic.distiller import HeuristicDistiller
from selfdistill.model import Mishap, ToolInput, ToolKind

if TYPE_CHECKING:
    from stories import Story

UNKNOWN_FLAG = "unknown flag: --stat\n\nUsage: gh pr diff"


def mishaps(story: Story, cut: int = 0) -> list[Mishap]:
    """What the distiller tells of failures, with the events cut in two; PLANTED is a secret."""
    distiller = HeuristicDistiller(lambda text: text.replace("PLANTED", "[gone]"))
    told: list[Mishap] = []
    carry = None
    for events in (story.events[:cut], story.events[cut:]):
        distillate = distiller.distill(Batch(events, lambda: story.session), carry)
        carry = distillate.carry
        told += distillate.mishaps
    return told


def test_a_failure_is_told_whether_a_rule_learned_from_it_or_not(story: Story) -> None:
    """Each occurrence with its cause, its place, and when it was called and had failed."""
    first = story.sh("gh pr diff 12 --stat", UNKNOWN_FLAG, error=True)
    second = story.sh("gh pr diff 13 --stat", UNKNOWN_FLAG, error=True)
    cause = "usage\x1funknown_option\x1fgh pr diff\x1fstat"
    assert mishaps(story) == [
        Mishap(first, cause, 1001.0, "/home/mara/kettle", 1000.0),
        Mishap(second, cause, 1003.0, "/home/mara/kettle", 1002.0),
    ]


def test_a_failure_is_also_told_by_what_it_is_a_case_of(story: Story) -> None:
    """A lesson about guessed paths covers this path, too."""
    story.call("Read", ToolKind.READ, ToolInput(path="/home/mara/kettle/lid.py"), "File does not exist.", error=True)
    causes = [mishap.cause for mishap in mishaps(story)]
    assert causes == ["refused\x1fread\x1fmissing\x1flid.py", "refused\x1fread\x1fmissing"]


def test_calls_that_worked_and_failures_without_a_cause_are_none(story: Story) -> None:
    """Silence is better than a match by tool alone."""
    story.sh("gh pr diff 12", "web/timer.ts")
    story.sh("./brew", "Exit code 1", error=True)
    story.sh("curl https://x", "curl: (6) Could not resolve host: x", error=True)
    assert mishaps(story) == []


def test_what_is_told_of_failures_is_redacted(story: Story) -> None:
    """A cause names paths and words of the command, and either may be a secret."""
    story.call("Read", ToolKind.READ, ToolInput(path="/home/mara/PLANTED.py"), "File does not exist.", error=True)
    story.sh("kettle PLANTED boil", "kettle: unknown command PLANTED", error=True)
    told = repr(mishaps(story))
    assert told.count("[gone]") > 1
    assert "PLANTED" not in told


def test_each_failure_is_told_once_wherever_the_log_is_cut(story: Story) -> None:
    """Also where a call and its result lie in two pieces."""
    story.sh("gh pr diff 12 --stat", UNKNOWN_FLAG, error=True)
    story.sh("make lint", "Exit code 1\nboil.go:3:5: ineffectual assignment (ineffassign)\n", error=True)
    whole = mishaps(story)
    assert len(whole) == 2
    assert all(mishaps(story, cut) == whole for cut in range(len(story.events) + 1))

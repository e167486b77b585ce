"""Calls that did what they were to do: what lessons that were told are judged by."""

from __future__ import annotations

import pytest

from selfdistill.distill.base import Batch
from selfdistill.distill.heuristic.distiller import HeuristicDistiller
from selfdistill.model import ToolInput, ToolKind
from stories import Story

LINT = "web/a.go:3:1: Error return value is not checked (errcheck)\n1 issues:\n* errcheck: 1"


def ran(story: Story, cut: int = 0) -> list[str]:
    """The commands and paths of the calls that ran, if the log is read in two pieces."""
    distiller = HeuristicDistiller(lambda text: text)
    seen: list[str] = []
    carry = None
    for events in (story.events[:cut], story.events[cut:]):
        batch = Batch(events, lambda: story.session, lambda call: seen.append(call.command or call.path))
        carry = distiller.distill(batch, carry).carry
    return seen


def tell(story: Story) -> Story:
    """Calls that ran, a check that found something among them, and calls that did not."""
    story.sh("gh pr diff 7", "+1")
    story.sh("gh pr diff 7 --stat", "unknown flag: --stat\n\nUsage: gh pr diff", error=True)
    story.sh("golangci-lint run", LINT, error=True)
    story.call("Read", ToolKind.READ, ToolInput(path="/home/mara/kettle/lid.py"), "seconds = 1")
    story.call("Read", ToolKind.READ, ToolInput(path="/home/mara/kettle/no.py"), "File does not exist.", error=True)
    story.sh("curl https://example.org", "curl: (6) Could not resolve host: example.org", error=True)
    return story


def test_a_call_ran_if_it_worked_or_is_a_check_that_found_something(story: Story) -> None:
    """Wrong usage, a refusal or a lost network prove nothing about what else could have failed."""
    assert ran(tell(story)) == ["gh pr diff 7", "golangci-lint run", "/home/mara/kettle/lid.py"]


@pytest.mark.parametrize("cut", range(1, 12, 2))
def test_a_call_is_paired_with_its_result_across_pieces(story: Story, cut: int) -> None:
    """Wherever a log is cut, each call is shown once."""
    assert ran(tell(story), cut) == ran(story)

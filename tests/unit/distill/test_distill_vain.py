"""Loops and what ended them, and approaches that a person approved after failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stories import Story

REFUSED = "Error: Invalid kettle name\nexit status 1"


def test_what_ended_a_loop_is_learned(story: Story) -> None:
    """Three times the same message of one command, then a related call that worked: that one is named."""
    for size in ("-s", "-m", "-l"):
        story.sh(f"brewctl deploy --lid {size}", REFUSED, error=True)
    worked = story.sh("brewctl deploy --lid flat -l", "deployed")
    (finding,) = (finding for finding in story.findings() if finding.rule == "ended_loop")
    assert finding.action.description == "Do not repeat it; this worked: `brewctl deploy --lid flat -l`."
    assert finding.evidence[-1].uid == worked
    assert finding.needs == 2


def test_two_failures_are_no_loop(story: Story) -> None:
    """Everybody tries twice."""
    for size in ("-s", "-m"):
        story.sh(f"brewctl deploy --lid {size}", REFUSED, error=True)
    story.sh("brewctl deploy --lid flat", "deployed")
    assert story.findings() == []


def test_an_unrelated_success_ends_no_loop(story: Story) -> None:
    """Another command that works says nothing about the one that did not."""
    for size in ("-s", "-m", "-l"):
        story.sh(f"brewctl deploy --lid {size}", REFUSED, error=True)
    story.sh("brewctl version", "1.2")
    story.sh("stovectl deploy --lid -l", "fine")
    assert story.findings() == []


def test_an_approved_approach_is_learned(story: Story) -> None:
    """Two failed attempts, one that worked, and a person's approval."""
    story.say("put it on the stove")
    story.sh("brewctl deploy --lid -s", REFUSED, error=True)
    story.sh("brewctl deploy --lid -m", "Error: Unknown stove\n", error=True)
    story.sh("brewctl deploy --lid flat", "deployed")
    words = story.say("great, thanks!")
    (finding,) = story.findings()
    assert finding.rule == "approved_approach"
    assert finding.evidence[-1].uid == words
    assert finding.signal == "positive"


def test_without_approval_a_struggle_is_nothing(story: Story) -> None:
    """The next request says nothing about the last."""
    story.say("put it on the stove")
    story.sh("brewctl deploy --lid -s", REFUSED, error=True)
    story.sh("brewctl deploy --lid -m", REFUSED, error=True)
    story.sh("brewctl deploy --lid flat", "deployed")
    story.say("now add a handle to the lid")
    story.say("great, thanks!")
    assert story.findings() == []

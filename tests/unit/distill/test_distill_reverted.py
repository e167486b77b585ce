"""Work that a person had taken back, with their reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stories import Story


def test_restored_files_are_told_with_the_reason(story: Story) -> None:
    """The person's words and the command that took the work back."""
    story.say("make the lid lighter")
    story.edit("/home/mara/kettle/lid.py", "a", "b")
    words = story.say("revert that please, we don't want to touch the lid in this branch")
    undone = story.sh("git checkout -- lid.py")
    (finding,) = (finding for finding in story.findings() if finding.rule == "reverted_work")
    assert finding.trigger.condition == "About to change `lid.py`"
    assert "we don't want to touch the lid" in finding.action.description
    assert [evidence.uid for evidence in finding.evidence] == [words, undone]
    assert finding.needs == 2


def test_an_inverse_edit_takes_work_back(story: Story) -> None:
    """Putting the old text back is a revert, too."""
    story.say("make the lid lighter")
    story.edit("/home/mara/kettle/lid.py", "a", "b")
    story.say("undo this, it should not be lighter than the pot, that breaks the seal")
    story.edit("/home/mara/kettle/lid.py", "b", "a")
    assert [finding.rule for finding in story.findings()] == ["reverted_work"]


@pytest.mark.parametrize("words", ["revert that", "should we undo this because of the seal?", "the lid is too heavy"])
def test_words_without_order_and_reason_teach_nothing(story: Story, words: str) -> None:
    """A bare order, a question, and a complaint without an order."""
    story.say("make the lid lighter")
    story.edit("/home/mara/kettle/lid.py", "a", "b")
    story.say(words)
    story.sh("git checkout -- lid.py")
    assert [finding for finding in story.findings() if finding.rule == "reverted_work"] == []


def test_another_request_ends_the_wait(story: Story) -> None:
    """What is restored after the next request has another reason."""
    story.say("make the lid lighter")
    story.say("undo this, it should not be lighter, that breaks the seal")
    story.say("now look at the handle")
    story.sh("git checkout -- lid.py")
    assert [finding for finding in story.findings() if finding.rule == "reverted_work"] == []

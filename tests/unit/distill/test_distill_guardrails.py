"""Refused edits and what made them go through: one lesson, kept from the first sighting, told after six."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from selfdistill.model import ToolInput, ToolKind

if TYPE_CHECKING:
    from stories import Story

BOIL = "/home/mara/kettle/boil.py"
NOT_FOUND = "<tool_use_error>String to replace not found in file.\nString: if error:</tool_use_error>"


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (NOT_FOUND, "text that is not in the file"),
        ("Found 2 matches of the string to replace, but replace_all is false.", "text that occurs more than once"),
        ("File has not been read yet. Read it first before writing to it.", "a file not read in this session"),
        ("File has been modified since read, either by the user or by a linter.", "a file that a command"),
        ("No changes to make: old_string and new_string are exactly the same.", "an edit that changes nothing"),
        ("Invalid patch hunk on line 4: 'lid' is not a valid hunk header.", "a malformed patch"),
        ("Failed to find expected lines in boil.py:", "text that is not in the file"),
    ],
)
def test_a_refused_edit_that_went_through_later_waits_for_six_sessions(story: Story, refusal: str, told: str) -> None:
    """The refusal, and the later edit of the same file that worked; whatever was refused, the lesson is one."""
    failed = story.edit(BOIL, "a", "b", error=refusal)
    worked = story.edit(BOIL, "a  ", "b")
    (finding,) = story.findings()
    assert finding.merge_key == "refused_edit"
    assert finding.needs == 6
    assert [evidence.uid for evidence in finding.evidence] == [failed, f"{failed}:r", worked]
    (point,) = finding.points
    assert point.text.startswith(told)
    assert finding.covers == (point.cause,)


def test_refusals_of_several_kinds_are_a_point_each(story: Story) -> None:
    """One edit that works after two kinds of refusals shows both."""
    story.edit(BOIL, "a", "b", error=NOT_FOUND)
    story.edit(BOIL, "a", "b", error="Found 2 matches of the string to replace, but replace_all is false.")
    story.edit(BOIL, "a  ", "b")
    points = [finding.points[0].text.partition(" (")[0] for finding in story.findings()]
    assert sorted(points) == ["text that is not in the file", "text that occurs more than once"]


def test_a_call_that_was_not_about_editing_cures_nothing(story: Story) -> None:
    """A refused read of the file, or a search in it that failed in the same words, is no refused edit."""
    given = ToolInput(path=BOIL)
    story.call("Read", ToolKind.READ, given, "File content (9 MB) exceeds maximum allowed size.", error=True)
    story.call("Grep", ToolKind.SEARCH, given, "No match found", error=True)
    story.edit(BOIL, "a", "b")
    assert story.findings() == []


def test_an_edit_of_another_file_cures_nothing(story: Story) -> None:
    """Only the refused file tells."""
    story.edit(BOIL, "a", "b", error="String to replace not found in file.")
    story.edit("/home/mara/kettle/lid.py", "a", "b")
    assert story.findings() == []


def test_one_cure_is_told_for_many_refusals(story: Story) -> None:
    """Three tries at one edit are one sighting."""
    for _ in range(3):
        story.edit(BOIL, "a", "b", error="String to replace not found in file.")
    story.edit(BOIL, "c", "b")
    assert len(story.findings()) == 1


def test_refusals_pair_over_any_cut(story: Story) -> None:
    """Wherever the log is cut, the same is found."""
    story.edit(BOIL, "a", "b", error="String to replace not found in file.")
    story.sh("ls")
    story.edit(BOIL, "c", "b")
    whole = story.findings()
    assert len(whole) == 1
    assert all(story.findings((cut,)) == whole for cut in range(len(story.events) + 1))

"""What a check rejects most often: one lesson with a list that grows over sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from selfdistill.distill.merging import derive
from selfdistill.model import Finding, LessonState, Sighting, StoredFinding

if TYPE_CHECKING:
    from stories import Story

ERRCHECK = "boil.go:3:5: Error return value of `os.Chdir` is not checked (errcheck)\n"
DUPL = "boil.go:9:1: 9-20 lines are duplicate of `tea.go:1-12` (dupl)\n"
UNDEFINED = "# kettle\n./boil.go:3:5: undefined: heat\n"


def habits(story: Story) -> list[Finding]:
    """The lists among the findings."""
    return [finding for finding in story.findings() if finding.rule == "check_habit"]


def stored(finding: Finding, session: str) -> StoredFinding:
    """The finding as the store gives it to `derive`."""
    seen = Sighting(1, 0, session, tuple(one.span for one in finding.evidence), tuple(None for _ in finding.evidence))
    return StoredFinding(session, "heuristic", 2, "kettle", "", finding, (seen,))


def renamed(finding: Finding, session: str) -> Finding:
    """The same finding in another session: with other evidence."""
    evidence = tuple(replace(one, uid=f"{session}-{one.uid}") for one in finding.evidence)
    return replace(finding, evidence=evidence)


def test_a_failing_check_gives_one_list(story: Story) -> None:
    """All rules of a run are points of one finding, whose key is the kind of check and not the command."""
    story.sh("make lint", f"Exit code 1\n{ERRCHECK}{DUPL}", error=True)
    (finding,) = habits(story)
    assert finding.merge_key.split("\x1f") == ["check_habit", "lint"]
    assert [point.text.partition(" ")[0] for point in finding.points] == ["`errcheck`", "`dupl`"]
    assert finding.trigger.condition.startswith("About to run `make lint`")
    assert finding.needs == 3


def test_a_point_is_a_few_words(story: Story) -> None:
    """However much a rule says of itself, the list stays readable: cut at a word, with the rule's name in front."""
    long = "boil.go:3:5: the lid of every kettle in this kitchen that is put on the stove must be shut (depguard)"
    story.sh("make lint", f"Exit code 1\n{long}\n", error=True)
    (finding,) = habits(story)
    (point,) = finding.points
    assert point.text.startswith("`depguard` (the lid of every kettle in this kitchen")
    assert point.text.endswith(" …)")
    assert len(point.text) < 90


def test_rules_that_no_check_reports_are_not_listed(story: Story) -> None:
    """Without a kind of check nobody could be told before it; the rule's own lesson stays."""
    story.sh("./kitchen.sh", f"Exit code 1\n{ERRCHECK}", error=True)
    assert habits(story) == []
    assert [finding.rule for finding in story.findings()] == ["recurring_diagnostic"]


def test_unfinished_work_is_listed_apart(story: Story) -> None:
    """What does not compile yet is no rule of the linter: it has a list of its own, with advice."""
    story.sh("go build ./...", f"Exit code 1\n{UNDEFINED}", error=True)
    (finding,) = habits(story)
    assert finding.merge_key.split("\x1f") == ["check_habit", "compile"]
    assert "declare or import a name" in finding.points[0].text


def test_a_passing_check_gives_none(story: Story) -> None:
    """A check without diagnostics has nothing to list."""
    story.sh("make lint", "0 issues.")
    assert habits(story) == []


def test_the_lesson_lists_what_most_sessions_showed(story: Story) -> None:
    """Points are counted by independent sessions, in whatever order they are met; copies count once."""
    story.sh("make lint", f"Exit code 1\n{ERRCHECK}{DUPL}", error=True)
    (both,) = habits(story)
    one_point = both.points[:1]

    only_first = replace(renamed(both, "b"), points=one_point)
    findings = [stored(both, "a"), stored(only_first, "b"), stored(renamed(only_first, "c"), "c")]
    lesson = derive(findings)
    assert lesson is not None
    assert lesson == derive(findings[::-1])
    assert lesson.state is LessonState.ACTIVE
    assert lesson.covers == tuple(sorted(point.cause for point in both.points))
    told = lesson.action.description
    assert told.index("`errcheck`") < told.index("`dupl`")
    assert "3 sessions" in told
    copied = derive([stored(both, "a"), stored(both, "copy")])
    assert copied is not None
    assert "sessions" not in copied.action.description

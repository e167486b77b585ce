"""Failures with a named cause for which no repair came: kept, weak, told after three sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from selfdistill.distill.base import Batch
from selfdistill.distill.heuristic.distiller import HeuristicDistiller
from selfdistill.model import Finding, ToolInput, ToolKind

if TYPE_CHECKING:
    from stories import Story

HOME = "/home/mara/kettle"


def waiting(story: Story) -> list[Finding]:
    """What would be learned if the log ended here."""
    batch = Batch(story.events, lambda: story.session)
    return list(HeuristicDistiller(lambda text: text).distill(batch, None).provisional)


COMMANDS = [
    ("gh pr diff 3 --stat", "unknown flag: --stat", "`gh pr diff` has no `--stat`"),
    ("gh pr view --json merged", 'Unknown JSON field: "merged"\nAvailable fields:', "has no field `merged`"),
    ("stir --fast", "bash: stir: command not found", "`stir` is not installed here"),
    ("python -m kettle", "python: No module named kettle", "has no module `kettle`"),
    ("just brew", "error: Justfile does not contain recipe `brew`", "`just` knows no `brew` here"),
    ("gh api repos/m/k?page=1", "zsh: no matches found: repos/m/k?page=1", "Put it in quotes"),
    ("git checkout main", "fatal: 'main' is already used by worktree at '/home/mara/k2'", "work from `origin/main`"),
    ("git push", " ! [rejected]  main -> main (fetch first)", "`git pull --rebase`"),
]


@pytest.mark.parametrize(("command", "message", "advice"), COMMANDS)
def test_a_named_cause_waits_for_its_repair(story: Story, command: str, message: str, advice: str) -> None:
    """Provisional while the repair may still come, a finding of its own when it does not."""
    story.sh(command, message, error=True)
    (finding,) = waiting(story)
    assert advice in finding.action.description
    assert finding.needs == 3
    assert finding.covers
    assert story.findings() == []
    for number in range(10):
        story.sh(f"echo {number}")
    assert story.findings() == [finding]
    assert waiting(story) == []


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        ("File content (30000 tokens) exceeds maximum allowed tokens (25000).", "too large to be read whole"),
        ("EISDIR: illegal operation on a directory, read", "is a directory"),
    ],
)
def test_a_refused_read_names_the_file(story: Story, refusal: str, advice: str) -> None:
    """As seen from the project; a file elsewhere is no fact about it."""
    story.call("Read", ToolKind.READ, ToolInput(path=f"{HOME}/parts/lid.py"), refusal, error=True)
    story.call("Read", ToolKind.READ, ToolInput(path="/srv/lid.py"), refusal, error=True)
    (finding,) = waiting(story)
    assert "`parts/lid.py`" in finding.trigger.condition
    assert advice in finding.action.description


def test_an_unknown_skill_is_told(story: Story) -> None:
    """The refusal names it."""
    story.call("Skill", ToolKind.OTHER, ToolInput(), "<tool_use_error>Unknown skill: brew</tool_use_error>", error=True)
    (finding,) = waiting(story)
    assert finding.trigger.condition == "About to call the skill `brew`"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("mise run lint", "lid.py:1:1: F401 unused\nFound 1 error."),
        ("ls lid", "ls: lid: No such file or directory"),
        ("curl https://x.example", "curl: (6) Could not resolve host: x.example"),
        ("cp *.lid out", "zsh: no matches found: *.lid"),
        ("brew it", "Error: something went wrong"),
        ("git merge main", "CONFLICT (content): Merge conflict in lid.py\nAutomatic merge failed; fix conflicts"),
    ],
)
def test_a_failure_that_names_nothing_is_not_kept(story: Story, command: str, message: str) -> None:
    """Checks, probes, the environment, files that are not there, and messages without a cause."""
    story.sh(command, message, error=True)
    assert waiting(story) == []


def test_a_repair_makes_the_bare_failure_superfluous(story: Story) -> None:
    """What to do is better than what not to do."""
    story.sh("gh pr diff 3 --stat", "unknown flag: --stat", error=True)
    story.sh("gh pr diff 3 --name-only")
    for number in range(10):
        story.sh(f"echo {number}")
    assert [finding.rule for finding in story.findings()] == ["command_repair"]
    assert waiting(story) == []


def test_a_missing_place_that_is_then_made_is_no_lesson(story: Story) -> None:
    """It was to be made."""
    path = ToolInput(path=f"{HOME}/parts/lids", new="x")
    story.call("Grep", ToolKind.SEARCH, path, "Path does not exist: parts/lids", error=True)
    assert [finding.trigger.condition for finding in waiting(story)] == ["About to search in `parts/lids`"]
    story.call("Write", ToolKind.WRITE, path, "created")
    assert waiting(story) == []


def test_a_failure_is_kept_once_in_a_session_whatever_the_cut(story: Story) -> None:
    """Five times the same wrong flag is one finding, wherever the log is cut."""
    for _ in range(5):
        story.sh("gh pr diff 3 --stat", "unknown flag: --stat", error=True)
        for number in range(9):
            story.sh(f"echo {number}")
    whole = story.findings()
    assert len(whole) == 1
    assert all(story.findings((cut,)) == whole for cut in range(0, len(story.events), 7))


def test_nobody_is_told_to_leave_a_safeguard_out(story: Story) -> None:
    """Without `--dry-run` a command does what it was only to show."""
    story.sh("kettle scrub --dry-run", "error: unknown option `--dry-run'", error=True)
    story.sh("kettle scrub")
    told = [finding.action.description for finding in (*story.findings(), *waiting(story))]
    assert told
    assert not any("eave it out" in text or "Leave `--dry-run` out" in text for text in told)

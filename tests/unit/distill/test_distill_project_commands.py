"""The project's own checks: proven by a run that passed, told when no agent would guess them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stories import Story

PASSED = "ok  \tkettle/lid\t0.1s\n3 passed in 0.2s"


@pytest.mark.parametrize(
    ("command", "output", "advice"),
    [
        ("mise run test -- -run TestLid", PASSED, "Run `mise run test`."),
        ("PYTHONPATH=. pytest -q", PASSED, "Run `PYTHONPATH=. pytest`."),
        ("uv run pytest -q tests/test_lid.py", PASSED, "Run `uv run pytest`."),
        ("make lint", "fine", "Run `make lint-all`."),
        ("cd web && just fmt", "fine", "Run `just fmt`."),
    ],
)
def test_the_projects_own_check_is_learned_in_general_form(
    story: Story, command: str, output: str, advice: str
) -> None:
    """The command without this run's selection."""
    story.sh(command.replace("make lint", "make lint-all"), output)
    story.sh(command.replace("make lint", "make lint-all"), output)
    assert story.advice() == [advice]
    assert story.findings()[0].needs == 2


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("pytest -q", PASSED),
        ("npm test", "Tests: 3 passed, 3 total"),
        ("make test", PASSED),
        ("go vet ./...", ""),
        ("mise run lint | tail -3", "fine"),
        ("mise run test", "done"),
        ("mise run test", "1 failed, 2 passed in 0.2s"),
        ("./check-stove.sh --json", "fine"),
        ("GOOS=plan9 go build ./...", ""),
        ("/srv/x/run-tests.sh", PASSED),
    ],
)
def test_a_usual_or_unproven_command_is_not_told(story: Story, command: str, output: str) -> None:
    """What every agent tries, another command's status, no counted test, a failing run, a script of one day."""
    story.sh(command, output)
    assert story.findings() == []


def test_a_usual_command_is_told_after_a_wrong_one(story: Story) -> None:
    """The agent went wrong here once, so the right one is worth saying."""
    story.sh("vitest run", "bash: vitest: command not found", error=True)
    story.sh("npm test", "Tests: 3 passed, 3 total")
    (finding,) = story.findings()
    assert finding.action.description == "Run `npm test`."
    assert finding.evidence[0].role == "failed call"

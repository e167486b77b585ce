"""Facts about the machine: told only when the same command works after exactly that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stories import Story

FACTS = [
    pytest.param(
        ("pytest -q", "E   ModuleNotFoundError: No module named 'kettle'"),
        (),
        "PYTHONPATH=. pytest -q",
        "Set `PYTHONPATH=.` for it.",
        id="module path",
    ),
    pytest.param(
        ("brew-lint lid.py", "bash: brew-lint: command not found"),
        ("pip install brew-lint==1.0",),
        "brew-lint lid.py",
        "Run `pip install brew-lint==1.0` first: `brew-lint` is missing until then.",
        id="installed",
    ),
    pytest.param(
        ("./boil --now", "Error: STOVE_TOKEN is not set"),
        (),
        "STOVE_TOKEN=abc123 ./boil --now",
        "Set `STOVE_TOKEN` for it.",
        id="variable without its value",
    ),
    pytest.param(
        ("service-ctl restart stove", "Error: Permission denied"),
        (),
        "sudo service-ctl restart stove",
        "It needs `sudo` here.",
        id="sudo",
    ),
    pytest.param(
        ("serve --port 3000", "Error: listen EADDRINUSE: address already in use :::3000"),
        (),
        "serve --port 3777",
        "Port 3000 is taken here; `3777` worked.",
        id="another port",
    ),
    pytest.param(
        ("serve --port 3000", "Error: listen EADDRINUSE: address already in use :::3000"),
        ("pkill -f stove-server",),
        "serve --port 3000",
        "Stop what holds the port first: `pkill -f stove-server`.",
        id="port freed",
    ),
    pytest.param(
        ("./brew.sh", "/usr/bin/env: 'bash\\r': No such file or directory"),
        ("dos2unix brew.sh",),
        "./brew.sh",
        "The scripts have Windows line ends (CRLF): remove them first, with `sed -i 's/\\r$//'` for example.",
        id="carriage returns",
    ),
]


@pytest.mark.parametrize(("failed", "between", "worked", "advice"), FACTS)
def test_a_fact_is_learned_when_the_same_command_works_after_it(
    story: Story, failed: tuple[str, str], between: tuple[str, ...], worked: str, advice: str
) -> None:
    """The failed call, its message and the same call that worked."""
    first = story.sh(*failed, error=True)
    for command in between:
        story.sh(command)
    last = story.sh(worked)
    (finding,) = (finding for finding in story.findings() if finding.rule == "environment_fact")
    assert finding.action.description == advice
    assert [evidence.uid for evidence in finding.evidence] == [first, f"{first}:r", last]


@pytest.mark.parametrize(
    ("failed", "worked"),
    [
        (("serve --port 3000", "EADDRINUSE: address already in use"), "serve --port 3000"),
        (("brew-lint lid.py", "bash: brew-lint: command not found"), "pip install brew-lint"),
        (("./boil --now", "Error: LID_STATE is open"), "STOVE_TOKEN=abc123 ./boil --now"),
    ],
)
def test_nothing_is_learned_without_proof(story: Story, failed: tuple[str, str], worked: str) -> None:
    """The same command without a reason, an installation that nothing was tried after, a variable nobody asked for."""
    story.sh(*failed, error=True)
    story.sh(worked)
    assert [finding for finding in story.findings() if finding.rule == "environment_fact"] == []

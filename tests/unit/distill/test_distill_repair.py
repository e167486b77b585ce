"""Command repairs: each kind of fault with its proof, and the near misses that must teach nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stories import Story

UNKNOWN_FLAG = "Exit code 1\nunknown flag: --stat\n\nUsage:  gh pr diff [<number>] [flags]"

REPAIRS = [
    pytest.param(
        ("gh pr diff 12 --stat", UNKNOWN_FLAG),
        ("gh pr diff 14 --name-only", "web/a.ts"),
        "Use `--name-only`: `gh pr diff <n> --name-only`.",
        id="unknown option replaced",
    ),
    pytest.param(
        ("cat -A notes.txt", "Exit code 1\ncat: illegal option -- A\nusage: cat [-belnstuv] [file ...]"),
        ("cat -e notes.txt", "text$"),
        "Use `-e`: `cat -e notes.txt`.",
        id="letter option replaced",
    ),
    pytest.param(
        ("git log --no-stat -3", "Exit code 128\nfatal: unrecognized argument: --no-stat"),
        ("git log -3", "commit 1"),
        "Leave `--no-stat` out: `git log -3`.",
        id="unknown option left out",
    ),
    pytest.param(
        ("python -m pytest -q", "Exit code 127\n(eval):1: command not found: python"),
        ("python3 -m pytest -q", "3 passed in 0.1s"),
        "Use `python3`: `python3 -m pytest -q`.",
        id="program missing",
    ),
    pytest.param(
        ("ruff check .", "Exit code 127\nbash: line 1: ruff: command not found"),
        ("uv run ruff check .", "All checks passed!"),
        "Use `uv run ruff`: `uv run ruff check .`.",
        id="program started through another",
    ),
    pytest.param(
        (
            "gh api repos/m/k/pulls/1/comments?per_page=9",
            "(eval):1: no matches found: repos/m/k/pulls/1/comments?per_page=9",
        ),
        ('gh api "repos/m/k/pulls/1/comments?per_page=9"', "[]"),
        'Quote arguments that hold `?`: `gh api "repos/m/k/pulls/<n>/comments?per_page=9"`.',
        id="glob quoted",
    ),
    pytest.param(
        ("pnpm run bundle", " ERR_PNPM_NO_SCRIPT  Missing script: bundle"),
        ("pnpm run build", "built"),
        "Use `pnpm run build`.",
        id="unknown task",
    ),
    pytest.param(
        ("gh pr view 3 --json merged", 'Unknown JSON field: "merged"\nAvailable fields:\n  mergedAt'),
        ("gh pr view 3 --json mergedAt", "{}"),
        "`gh pr view` has no field `merged`",
        id="unknown field",
    ),
    pytest.param(
        ("ruff check kettle/tests", "kettle/tests: No such file or directory"),
        ("ruff check src/kettle/tests", "ok"),
        "The path is `src/kettle/tests`, not `kettle/tests`",
        id="path mended",
    ),
    pytest.param(
        ("python -m kettle", "/usr/bin/python: No module named kettle"),
        (".venv/bin/python -m kettle", "42"),
        "Use `.venv/bin/python`",
        id="another interpreter",
    ),
]


@pytest.mark.parametrize(("failed", "worked", "advice"), REPAIRS)
def test_a_repair_is_learned_when_the_change_touches_what_the_error_names(
    story: Story, failed: tuple[str, str], worked: tuple[str, str], advice: str
) -> None:
    """A failed command and the one that worked become one finding that says what to do."""
    first = story.sh(*failed, error=True)
    second = story.sh(*worked)
    (finding,) = (finding for finding in story.findings() if finding.rule == "command_repair")
    assert advice in finding.action.description
    assert [evidence.uid for evidence in finding.evidence] == [first, f"{first}:r", second]
    assert finding.evidence[0].quote == failed[0]


NO_REPAIRS = [
    pytest.param(("gh pr diff 12 --stat", UNKNOWN_FLAG), "git status", id="another program"),
    pytest.param(("gh pr diff 12 --stat", UNKNOWN_FLAG), "gh pr list", id="another subcommand"),
    pytest.param(
        ("golangci-lint run --enable=a --out-format=b", "Error: unknown flag: --out-format"),
        "golangci-lint run",
        id="other options gone too",
    ),
    pytest.param(
        ("git show --no-stat HEAD", "fatal: unrecognized argument: --no-stat"),
        'git show HEAD --format="" -- kettle/boil.py',
        id="another purpose",
    ),
    pytest.param(("gh pr diff 12 --stat", UNKNOWN_FLAG), "gh pr diff 12 --stat --color never", id="flag still there"),
    pytest.param(("python -m pytest -q", "command not found: python"), "ls -la", id="unrelated command"),
    pytest.param(
        ("mise run lint", "Exit code 1\na.go:3:1: return value is not checked (errcheck)\n1 issues:"),
        "mise run lint 2>&1 | tail -5",
        id="a check that did its work",
    ),
    pytest.param(("grep -n foo a.py", "Exit code 1"), "grep -n bar a.py", id="a probe that found nothing"),
    pytest.param(
        ("curl https://a.example", "curl: (6) Could not resolve host: a.example"),
        "curl https://b.example",
        id="the environment",
    ),
    pytest.param(
        ("cat a.txt", "<tool_use_error>Sibling tool call errored</tool_use_error>"), "cat b.txt", id="cancelled sibling"
    ),
    pytest.param(("ls src/foo", "ls: src/foo: No such file or directory"), "ls src/bar/foo", id="looking around"),
]


@pytest.mark.parametrize(("failed", "later"), NO_REPAIRS)
def test_nothing_is_learned_without_a_textual_relation(story: Story, failed: tuple[str, str], later: str) -> None:
    """The next command that worked is no repair by itself."""
    story.sh(*failed, error=True)
    story.sh(later)
    assert [finding for finding in story.findings() if finding.rule == "command_repair"] == []


def test_the_prerequisite_that_the_message_names_is_told(story: Story) -> None:
    """Words such as 'to update it: go mod tidy', then that, then the same command: run it first."""
    story.sh("go test ./kettle/", "Exit code 1\ngo: updates to go.mod needed; to update it:\n\tgo mod tidy", error=True)
    story.sh("go mod tidy")
    story.sh("go test ./kettle/", "ok  \tkettle\t0.1s")
    assert story.advice() == ["Run `go mod tidy` first, then `go test` works."]


def test_a_rejected_push_teaches_the_pull_that_came_between(story: Story) -> None:
    """Non-fast-forward, pull --rebase, push: the pull is the cure."""
    story.sh("git push", "Exit code 1\n ! [rejected]  main -> main (fetch first)\nerror: failed to push", error=True)
    story.sh("git pull --rebase")
    story.sh("git push")
    assert story.advice() == ["Run `git pull --rebase` before `git push`."]


def test_a_failure_is_repaired_once(story: Story) -> None:
    """Later uses of the working command are no further findings."""
    story.sh("gh pr diff 12 --stat", UNKNOWN_FLAG, error=True)
    story.sh("gh pr diff 12 --name-only")
    story.sh("gh pr diff 13 --name-only")
    assert len(story.findings()) == 1


def test_a_failure_hidden_by_a_pipe_is_seen(story: Story) -> None:
    """The log calls it a success, but the program's own words at the start of a line say otherwise."""
    story.sh("gh pr diff 12 --stat 2>&1 | head -20", "unknown flag: --stat\n\nUsage:  gh pr diff")
    story.sh("gh pr diff 12 --name-only 2>&1 | head -20", "web/a.ts")
    assert len(story.findings()) == 1


def test_printing_an_error_is_no_failure(story: Story) -> None:
    """A file that contains an error message has not failed to be read."""
    story.sh("cat build.log", "unknown flag: --stat")
    story.sh("cat other.log", "fine")
    assert story.findings() == []


def test_repairs_pair_over_any_cut(story: Story) -> None:
    """A failure before a cut and its fix after it still pair, wherever the log is cut."""
    story.sh("gh pr diff 12 --stat", UNKNOWN_FLAG, error=True)
    story.say("go on")
    story.sh("gh pr diff 12 --name-only", "web/a.ts")
    whole = story.findings()
    assert len(whole) == 1
    for cut in range(len(story.events) + 1):
        assert story.findings((cut,)) == whole
    assert story.findings(tuple(range(len(story.events)))) == whole


def test_the_horizon_is_calls(story: Story) -> None:
    """A command that works forty calls later is about something else."""
    story.sh("gh pr diff 12 --stat", UNKNOWN_FLAG, error=True)
    for number in range(41):
        story.sh(f"echo {number}")
    story.sh("gh pr diff 12 --name-only", "web/a.ts")
    assert [finding.rule for finding in story.findings()] == ["known_failure"]


def test_one_sighting_is_enough_for_a_proven_repair(story: Story) -> None:
    """A repair whose change touches what the error names needs no second session."""
    story.sh("gh pr diff 12 --stat", UNKNOWN_FLAG, error=True)
    story.sh("gh pr diff 12 --name-only")
    assert story.findings()[0].needs == 1

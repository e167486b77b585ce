"""Recurring diagnostics: what linters and compilers keep rejecting, as findings."""

from __future__ import annotations

import pytest

from selfdistill.distill.heuristic.cures import CURES
from selfdistill.distill.heuristic.diagnostics import (
    RULE,
    TYPES,
    UNCURED,
    Worth,
    recurring_diagnostics,
)
from selfdistill.model import Finding, Span, ToolKind
from selfdistill.signals.diagnostics import read_diagnostics
from selfdistill.signals.memory import Memory
from selfdistill.signals.steps import Step


def _findings(command: str, output: str) -> list[Finding]:
    """What one check run with this output teaches."""
    step = Step(
        uid="c1",
        result_uid="c1:r",
        span=Span(0, 100),
        result_span=Span(100, 100),
        tool="Bash",
        kind=ToolKind.SHELL,
        command=command,
        failed=True,
        diagnostics=read_diagnostics(command, output),
    )
    return list(recurring_diagnostics(Memory(), step))


def test_a_message_that_names_its_cure_gives_it() -> None:
    """The interface to use stands in the action, the one to leave in the condition."""
    (finding,) = _findings(
        "make fmt lint", "boil.go:3:5: os/exec.Command must not be called. use os/exec.CommandContext (noctx)\n"
    )
    assert finding.trigger.condition.startswith(
        "Writing Go code that `golangci-lint` checks with `noctx`: os/exec.Command"
    )
    assert finding.action.description == "Use `os/exec.CommandContext` in place of `os/exec.Command`."
    assert (finding.strength, finding.needs) == (RULE.strength, RULE.needs) == (0.6, 2)


def test_a_ban_is_told_with_the_projects_own_reason() -> None:
    """What a project forbids it explains itself; names keep their case at the start of a sentence."""
    (finding,) = _findings(
        "golangci-lint run",
        'boil.go:3:5: use of `os.Getwd` forbidden because "os.Getwd() breaks: use paths.Root()" (forbidigo)\n',
    )
    assert finding.action.description == "Keep `os.Getwd` out: os.Getwd() breaks: use paths.Root()."


def test_a_known_rule_gives_its_cure_and_the_interface_it_was_about() -> None:
    """The table knows what satisfies the common rules."""
    (finding,) = _findings(
        "mise run fmt && mise run lint", "boil.go:3:5: Error return value of `os.Chdir` is not checked (errcheck)\n"
    )
    assert finding.action.description == f"{CURES['errcheck']}. Seen with `os.Chdir`."
    assert finding.tags == ("errcheck", "golangci-lint", "mise run lint")


def test_an_unknown_rule_is_told_in_its_own_words() -> None:
    """Without a known cure a lesson says what is rejected, and is weaker."""
    (asks,) = _findings("npx eslint .", "a.js\n  3:7  error  Prefer 'hot' over 'cold'  acme/hot-water\n")
    (bans,) = _findings("npx eslint .", "a.js\n  3:7  error  Cold water found  acme/no-cold-water\n")
    assert asks.action.description == "Write it as `eslint` asks: Prefer 'hot' over 'cold'."
    assert bans.action.description == (
        "Expect `acme/no-cold-water` to reject this, and keep to the rule from the start: Cold water found."
    )
    assert (asks.strength, asks.needs) == (bans.strength, bans.needs) == (UNCURED.strength, UNCURED.needs)


def test_a_file_that_is_not_formatted_names_the_formatter() -> None:
    """Which file it was does not matter."""
    (finding,) = _findings("ruff format --check .", "Would reformat: kettle/boil.py\n")
    assert finding.action.description == "Run `ruff format .` (or the project's task for it) first."


@pytest.mark.parametrize(
    ("output", "worth"),
    [
        ("src/boil.ts(3,5): error TS2339: Property 'heat' does not exist on type 'Kettle'.\n", TYPES),
        ("src/boil.ts(3,5): error TS6133: 'heat' is declared but its value is never read.\n", RULE),
    ],
)
def test_types_need_a_third_session(output: str, worth: Worth) -> None:
    """Types depend on the work at hand; rules of style are habits."""
    (finding,) = _findings("make build", output)
    assert (finding.strength, finding.needs) == (worth.strength, worth.needs)


@pytest.mark.parametrize(
    "output",
    [
        "src/boil.ts(3,5): error TS2304: Cannot find name 'heat'.\n",
        "./boil.go:3:5: undefined: heat\n",
        "boil.py:3:5: F821 Undefined name `heat`\n",
    ],
)
def test_work_in_progress_is_no_lesson(output: str) -> None:
    """Names, imports and syntax are right at the next edit."""
    assert _findings("make build", output) == []


def test_the_merge_key_is_the_rule_not_the_place() -> None:
    """Another file, another function and another command that lints are the same lesson."""
    (one,) = _findings("make lint", "boil.go:3:5: Error return value of `os.Chdir` is not checked (errcheck)\n")
    (other,) = _findings(
        "golangci-lint run", "tea/pot.go:93:5: Error return value of `k.Close` is not checked (errcheck)\n"
    )
    assert one.merge_key == other.merge_key
    assert one.covers == other.covers


def test_a_run_gives_one_finding_for_each_diagnostic() -> None:
    """Each quotes its own line beside the run."""
    findings = _findings(
        "ruff check", "a.py:3:8: F401 `os` imported but unused\na.py:9:1: E722 Do not use bare `except`\n"
    )
    assert [finding.evidence[1].quote for finding in findings] == [
        "a.py:3:8: F401 `os` imported but unused",
        "a.py:9:1: E722 Do not use bare `except`",
    ]
    assert all([part.role for part in finding.evidence] == ["check run", "diagnostic"] for finding in findings)
    assert len({finding.merge_key for finding in findings}) == 2


def test_no_litter_of_the_session_is_told() -> None:
    """Paths, line numbers and hashes stay in the evidence."""
    (finding,) = _findings(
        "npx eslint .", "/home/mara/k/a.js\n  3:7  error  Avoid /home/mara/k/b.js from line 12  acme/no-cycle-here\n"
    )
    assert "mara" not in finding.trigger.condition + finding.action.description
    assert "12" not in finding.action.description


def test_cures_are_sentences_without_their_full_stop() -> None:
    """The table's advice begins with a capital and leaves the full stop to the lesson."""
    assert [rule for rule, cure in CURES.items() if not cure[0].isupper() or cure.endswith(".")] == []


def test_a_step_without_diagnostics_teaches_nothing() -> None:
    """A clean run is silent."""
    assert _findings("golangci-lint run", "0 issues.\n") == []

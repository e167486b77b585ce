"""Claims that a check passes, against what the log shows."""

from __future__ import annotations

import pytest

from selfdistill.distill.heuristic.claims import false_claims, refuted_claims
from selfdistill.model import FailureClass, Span, ToolKind
from selfdistill.signals.claims import contradicted
from selfdistill.signals.memory import Claim, Memory
from selfdistill.signals.runs import TestRun
from selfdistill.signals.steps import Failure, Statement, Step

SPAN = Span(0, 10)


def failing_tests() -> Memory:
    """A memory whose last test run failed."""
    memory = Memory()
    run = TestRun("pytest", passed=2, failed=1, failing=("test_lid",))
    step = Step("t", "t:r", SPAN, SPAN, "Bash", ToolKind.SHELL, command="uv run pytest -q", failed=True, run=run)
    memory.remember(step)
    return memory


def said(text: str) -> Statement:
    """The agent's words."""
    return Statement("s", SPAN, text)


def test_a_claim_after_a_failing_run_is_a_finding() -> None:
    """The failing run, its result and the words."""
    (finding,) = false_claims(failing_tests(), said("I have fixed the lid. All tests pass now."))
    assert finding.trigger.condition == "About to say that the tests pass"
    assert finding.action.description == "Run `uv run pytest` after the last edit and read its result first."
    assert finding.evidence[-1].quote == "All tests pass now."
    assert finding.needs == 2


@pytest.mark.parametrize(
    "text",
    [
        "Let me make sure all tests pass.",
        "All tests pass except test_lid, which failed before.",
        "Once all tests pass I will commit.",
        "Do all tests pass?",
        "The lint is clean.",
        "The lid passes the water test.",
    ],
)
def test_plans_hedges_and_other_checks_claim_nothing(text: str) -> None:
    """Only a plain statement about the failing kind of check is one."""
    assert list(false_claims(failing_tests(), said(text))) == []


def test_a_later_pass_makes_the_claim_true() -> None:
    """What ran since counts, and so does a run whose result is not known."""
    memory = failing_tests()
    memory.remember(Step("u", "u:r", SPAN, SPAN, "Bash", ToolKind.SHELL, command="uv run pytest -q | tail -1"))
    assert list(false_claims(memory, said("All tests pass."))) == []


def test_a_claim_of_lint_beside_a_true_one_is_seen() -> None:
    """Two claims in one sentence are two claims."""
    memory = Memory()
    failure = Failure(FailureClass.CHECK, line="lid.py:1:1: F401 unused")
    command = "mise run lint"
    memory.remember(
        Step(
            "l", "l:r", SPAN, SPAN, "Bash", ToolKind.SHELL, command=command, failed=True, failure=failure, check="lint"
        )
    )
    (finding,) = false_claims(memory, said("Tests pass and lint is clean."))
    assert finding.merge_key.endswith("lint")


def test_a_claim_that_the_next_run_refutes_is_a_finding() -> None:
    """Nothing had run after the edit, and then the run failed."""
    memory = Memory(edited=True)
    assert contradicted(memory, said("All tests pass.")) == ("test", "All tests pass.", None)
    memory.claimed = Claim(said("All tests pass."), "test")
    run = TestRun("pytest", passed=2, failed=1, failing=("test_lid",))
    step = Step("t", "t:r", SPAN, SPAN, "Bash", ToolKind.SHELL, command="uv run pytest -q", failed=True, run=run)
    (finding,) = refuted_claims(memory, step)
    assert finding.merge_key.endswith("test")
    memory.remember(step)
    assert list(refuted_claims(memory, step)) == []


def test_a_claim_that_nothing_contradicts_yet_is_no_finding() -> None:
    """That nothing has been checked is a signal, not a lesson."""
    assert list(false_claims(Memory(edited=True), said("All tests pass."))) == []


def test_an_edit_ends_the_wait_for_a_refutation() -> None:
    """What fails after another edit refutes nothing that was said before it."""
    memory = Memory(edited=True, claimed=Claim(said("All tests pass."), "test"))
    memory.remember(Step("e", "e:r", SPAN, SPAN, "Edit", ToolKind.EDIT, path="/home/mara/kettle/lid.py"))
    assert memory.claimed is None

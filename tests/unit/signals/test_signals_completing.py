"""A call and its result read together: whether it failed, however its status was hidden, and what it found."""

from __future__ import annotations

import pytest

from selfdistill.model import Event, EventKind, FailureClass, Span, ToolKind
from selfdistill.signals.causes import causes
from selfdistill.signals.completing import OpenCall, finished, is_flagged
from selfdistill.signals.steps import Step
from selfdistill.signals.tools import read_failure

UNUSED = "boil.py:1:8: F401 [*] `os` imported but unused\nFound 1 error.\n"


def result(text: str, *, is_error: bool | None = None, exit_code: int | None = None) -> Event:
    """A tool's result as a source gives it."""
    return Event(EventKind.TOOL_RESULT, Span(100, 100), "c:r", text=text, is_error=is_error, exit_code=exit_code)


def step(command: str, event: Event, kind: ToolKind = ToolKind.SHELL) -> Step:
    """The step of a call with this result."""
    call = OpenCall("c", Span(0, 100), "Tool", kind, command=command)
    return finished(call, event, lambda text: text, flagged=is_flagged(kind, command, event))


@pytest.mark.parametrize(
    "command", ["ruff check . 2>&1 | tail -20", "ruff check . || true", "make lint | tee lint.log", "ruff check .; ls"]
)
def test_a_lint_whose_status_is_hidden_has_failed_by_what_it_found(command: str) -> None:
    """The log says that the line succeeded; the diagnostics in it say what the check found."""
    seen = step(command, result(UNUSED, is_error=False))
    assert seen.failed
    assert seen.failure is not None
    assert (seen.failure.blame, seen.check) == (FailureClass.CHECK, "lint")
    assert [(one.tool, one.code) for one in seen.diagnostics] == [("ruff", "F401")]
    assert "F401" in seen.quote
    assert causes(seen) == ("diagnostic\x1fF401",)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("ruff check . | tail", "All checks passed!"),
        ("cat lint.log", UNUSED),
        ("grep -rn F401 docs | head", "docs/lint.md:3:1: F401 means an unused import"),
    ],
)
def test_what_only_reads_like_a_finding_has_not_failed(command: str, text: str) -> None:
    """A check that found nothing, and commands that show what a check once found."""
    seen = step(command, result(text, is_error=False))
    assert (seen.failed, seen.diagnostics, seen.check) == (False, (), "")


def test_a_hidden_failing_test_run_is_told_by_its_tests() -> None:
    """A run has its own counts: it has failed, and its causes are its failing tests."""
    text = "FAILED tests/test_lid.py::test_shuts - assert 1 == 2\n=== 1 failed, 2 passed in 0.12s ==="
    seen = step("pytest | tail -3", result(text, is_error=False))
    assert seen.failed
    assert seen.run is not None
    assert causes(seen) == ("test\x1ftests/test_lid.py::test_shuts",)


def test_a_flagged_check_fails_as_its_message_says() -> None:
    """What is flagged has a message of its own; diagnostics stand beside it and do not replace it."""
    text = "error: cannot use the cache\n" + UNUSED
    seen = step("ruff check .", result(text, is_error=True))
    assert seen.failure == read_failure(ToolKind.SHELL, "ruff check .", text, flagged=True)
    assert seen.quote == "error: cannot use the cache"
    assert [one.code for one in seen.diagnostics] == ["F401"]


def test_without_a_field_the_words_of_the_result_decide() -> None:
    """A log without error field and exit code; where it has one of them, the words are not asked."""
    text = "unknown flag: --stat\n\nUsage: gh pr diff [flags]"
    said = result(text)
    assert is_flagged(ToolKind.SHELL, "gh pr diff --stat", said)
    assert step("gh pr diff --stat", said).failed
    assert not is_flagged(ToolKind.SHELL, "gh pr diff --stat", result(text, is_error=False))
    assert not is_flagged(ToolKind.SHELL, "gh pr diff --stat", result(text, exit_code=0))
    assert not is_flagged(ToolKind.SHELL, "gh pr diff", result("web/timer.ts"))


def test_either_field_marks_a_failure() -> None:
    """The error field or an exit code other than 0."""
    for marked in (result("lukewarm", is_error=True), result("lukewarm", exit_code=3)):
        assert is_flagged(ToolKind.SHELL, "./brew", marked)
        assert step("./brew", marked).failed
    assert not step("./brew", result("hot", is_error=False, exit_code=0)).failed


def test_a_refusal_without_a_field_is_a_failed_edit() -> None:
    """Harnesses that flag nothing say in words that nothing was changed."""
    seen = step("", result("String to replace not found in file.\nString: seconds = 99"), ToolKind.EDIT)
    assert seen.failed
    assert causes(seen) == ("refused\x1fedit\x1fnot found",)


def test_everything_kept_of_a_result_is_redacted() -> None:
    """Line, quote, diagnostics and failing tests go through redaction, whichever way the failure was seen."""
    call = OpenCall("c", Span(0, 100), "Bash", ToolKind.SHELL, command="ruff check . | tail")
    hidden = result(UNUSED.replace("`os`", "`PLANTED`"), is_error=False)
    flagged = result(hidden.text, is_error=True)
    tests = result("FAILED tests/test_lid.py::test_PLANTED - x\n=== 1 failed in 0.12s ===", is_error=True)
    for event, command in ((hidden, call.command), (flagged, call.command), (tests, "pytest")):
        call.command = command
        seen = finished(
            call, event, lambda text: text.replace("PLANTED", "[gone]"), flagged=is_flagged(call.kind, command, event)
        )
        assert seen.failed
        assert "[gone]" in repr(seen)
        assert "PLANTED" not in repr(seen)


def test_lint_that_fails_behind_passing_tests_is_a_failure() -> None:
    """One line may run two checks, and a pipe hides both statuses; what a passing run alone prints is no finding."""
    both = f"=== 3 passed in 0.12s ===\n{UNUSED}"
    seen = step("pytest | tail -3; ruff check . | tail", result(both, is_error=False))
    assert seen.run is not None
    assert seen.run.ok
    assert seen.failed
    assert [one.code for one in seen.diagnostics] == ["F401"]
    alone = step("pytest | tail -9", result(both, is_error=False))
    assert (alone.failed, alone.diagnostics) == (False, ())

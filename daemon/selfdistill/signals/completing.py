"""A call and its result, read together: whether it failed, why, and what it found out.

Nearly all calls work and say nothing of interest, so that each question is asked only where the answer may matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from selfdistill.model import Event, FailureClass, Span, ToolKind
from selfdistill.signals.commands import is_check_command, may_check, purpose
from selfdistill.signals.diagnostics import read_diagnostics
from selfdistill.signals.memory import at_once
from selfdistill.signals.outcome_features import Change
from selfdistill.signals.runs import TestRun, read_test_run
from selfdistill.signals.signatures import signature
from selfdistill.signals.steps import Diagnostic, Failure, Step
from selfdistill.signals.tools import may_hide_failure, read_failure
from selfdistill.signals.unflagged import fails_by_text

if TYPE_CHECKING:
    from collections.abc import Callable

_DONE: Final = frozenset({FailureClass.CHECK, FailureClass.EXPECTED})
_FINE: Final = frozenset({None, 0})


class OpenCall(msgspec.Struct, omit_defaults=True):
    """A call that has no result yet; texts redacted."""

    uid: str
    span: Span
    tool: str
    kind: ToolKind
    command: str = ""
    path: str = ""
    cwd: str = ""
    at: float | None = None
    before: str = ""
    after: str = ""
    sidechain: bool = False
    change: Change | None = None


def is_flagged(kind: ToolKind, command: str, event: Event) -> bool:
    """Whether a result is one of a failed call: by the log's error field or exit code, else by its words."""
    if event.is_error is None and event.exit_code is None:
        return fails_by_text(kind, command, event.text)
    return bool(event.is_error) or event.exit_code not in _FINE


def finished(call: OpenCall, event: Event, redact: Callable[[str], str], *, flagged: bool) -> Step:
    """The step that a call and its result make; the result is redacted only where something of it is kept."""
    is_shell = call.kind is ToolKind.SHELL
    run = _run(call, event, redact) if is_shell else None
    failure, quote, text = None, "", event.text
    if flagged or (is_shell and may_hide_failure(call.command, text)):
        text, redact = redact(text), _is_clean
        failure = read_failure(call.kind, call.command, text, flagged=flagged)
        quote = failure.line if failure else ""
    check = is_check_command(call.command) if is_shell and (failure or may_check(call.command)) else ""
    # What a passing run prints is no finding, unless the same line checks something else.
    passed = run is not None and run.ok and not flagged and not purpose(call.command).several
    asked = not passed and (bool(check) or (is_shell and flagged))
    diagnostics = _diagnostics(call, text, redact, flagged=flagged) if asked else ()
    if diagnostics and failure is None and (run is None or run.ok):
        # A pipe or `|| true` hid the status; whatever finds errors has failed.
        quote = diagnostics[0].quote
        failure = Failure(FailureClass.CHECK, line=quote, signature=signature(quote))
    return Step(
        uid=call.uid,
        result_uid=event.uid,
        span=call.span,
        result_span=event.span,
        tool=call.tool,
        kind=call.kind,
        at=event.at or call.at,
        began=call.at,
        command=call.command,
        path=call.path,
        cwd=call.cwd or event.cwd,
        failed=failure is not None or (run is not None and run.failed + run.errors > 0),
        failure=failure,
        quote=quote,
        check=check if failure else "",
        run=run,
        diagnostics=diagnostics,
        before=call.before,
        after=call.after,
        sidechain=call.sidechain,
    )


def ran_through(step: Step) -> bool:
    """Whether a call did what it was to do: it worked, or is a check that found something or a question answered no."""
    if not step.failed or step.failure is None:
        return True
    return step.failure.blame in _DONE


def disregard(call: OpenCall) -> None:
    """Do nothing with a call."""


def _run(call: OpenCall, event: Event, redact: Callable[[str], str]) -> TestRun | None:
    """The test run that a result shows, its names redacted."""
    run = read_test_run(call.command, event.text)
    if run is None or not run.failing:
        return run
    redact = at_once(redact, run.failing)
    return msgspec.structs.replace(run, failing=tuple([redact(name) for name in run.failing]))


def _diagnostics(call: OpenCall, text: str, redact: Callable[[str], str], *, flagged: bool) -> tuple[Diagnostic, ...]:
    """What a check found, read from the redacted output where there is anything to read."""
    found = read_diagnostics(call.command, text, warnings=flagged)
    if not found or redact is _is_clean:
        return found
    clean = redact(text)
    return found if clean == text else read_diagnostics(call.command, clean, warnings=flagged)


def _is_clean(text: str) -> str:
    """Stands for redaction of a text that is redacted already."""
    return text

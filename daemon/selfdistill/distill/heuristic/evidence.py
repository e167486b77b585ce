"""What a finding rests on: calls, results and words as evidence, cut to what may be quoted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from selfdistill.model import Evidence

if TYPE_CHECKING:
    from selfdistill.signals.steps import HumanTurn, Statement, Step

MAX_QUOTE: Final = 600  # characters


def called(step: Step, role: str) -> Evidence:
    """A call by what it was asked: its command, file or tool."""
    return Evidence(step.uid, step.span, (step.command or step.path or step.tool)[:MAX_QUOTE], role, step.at)


def said(words: HumanTurn | Statement, role: str) -> Evidence:
    """What a person or the agent said."""
    return Evidence(words.uid, words.span, words.text[:MAX_QUOTE], role, words.at)


def answered(step: Step, role: str, quote: str = "") -> Evidence:
    """A call's result by the words that show how it went."""
    line = quote or (step.failure.line if step.failure else "") or step.quote
    return Evidence(step.result_uid, step.result_span, line[:MAX_QUOTE], role, step.at)


def failure_of(step: Step) -> tuple[Evidence, Evidence]:
    """A failed call and its message."""
    return called(step, "failed call"), answered(step, "error")

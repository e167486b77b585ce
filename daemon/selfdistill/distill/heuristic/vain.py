"""The same failure three times or more: what was tried, so that the next agent stops earlier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from selfdistill.distill.heuristic.wording import code, general_words, merge_key
from selfdistill.model import (
    Action,
    ActionType,
    Evidence,
    FailureClass,
    Finding,
    Polarity,
    ToolKind,
    Trigger,
    TriggerType,
)
from selfdistill.signals.invocations import invocations
from selfdistill.signals.loops import REPEATS, same_failures
from selfdistill.signals.tools import says_what, signature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import Step

STRENGTH: Final = 0.45
_TEACHES: Final = frozenset({FailureClass.USAGE, None})  # every agent knows the refusals of its own harness


def repeated_in_vain(memory: Memory, newest: Step) -> Iterator[Finding]:
    """A finding when one failure has come for the third time; checks and probes may fail as often as they like."""
    failure = newest.failure
    if failure is None or failure.blame not in _TEACHES or not says_what(failure.line):
        return
    alike = [step for step in same_failures(memory.unsettled(), newest) if _same_command(step, newest)]
    if len(alike) != REPEATS:
        return
    shown = _shown(newest)
    yield Finding(
        rule="repeated_in_vain",
        merge_key=merge_key("repeated_in_vain", _key(newest), signature(failure.line).casefold()),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(f"{shown} fails a second time with: {failure.line[:160]}", TriggerType.DEBUGGING),
        action=Action(
            ActionType.DO,
            f"Find out what {code(failure.line[:120])} means before another try: repeating {shown} did not help.",
        ),
        rationale=f"Tried {REPEATS} times in one session with the same message.",
        strength=STRENGTH,
        needs=2,
        tags=("loop",),
        cwd=newest.cwd,
        evidence=tuple(
            Evidence(step.result_uid, step.result_span, step.quote[:600], "error", step.at) for step in alike
        ),
    )


def _same_command(one: Step, other: Step) -> bool:
    """Whether two calls are attempts at the same thing."""
    return _key(one) == _key(other)


def _key(step: Step) -> str:
    """What a call is an attempt at: the commands of a shell call, the file of any other."""
    if step.kind is ToolKind.SHELL:
        return " && ".join(invocation.key for invocation in invocations(step.command))
    return f"{step.tool} {step.path}"


def _shown(step: Step) -> str:
    """A call as people read it."""
    if step.kind is ToolKind.SHELL:
        commands = invocations(step.command)
        return code(general_words(commands[0].words)) if commands else code(step.tool)
    return f"{code(step.tool)} on {code(step.path)}" if step.path else code(step.tool)

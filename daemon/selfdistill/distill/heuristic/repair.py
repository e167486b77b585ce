"""Command repair: a command that was wrong, and the one that worked, related by what the error message names.

The naive "next command that worked" has to do with the error one time in eight (shared/lessons.md), so each kind of
fault has its own proof that the difference between the two commands touches what the message names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from selfdistill.distill.heuristic.evidence import called, failure_of
from selfdistill.distill.heuristic.proofs import PROOFS, Attempt, Repair
from selfdistill.distill.heuristic.wording import code, general_words, merge_key, message
from selfdistill.model import (
    Action,
    ActionType,
    FailureClass,
    Finding,
    Polarity,
    ToolKind,
    Trigger,
    TriggerType,
)
from selfdistill.signals.invocations import Invocation, invocations, unquoted
from selfdistill.signals.steps import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import Failure, Step


_BEFORE: Final = frozenset(
    {Fault.PREREQUISITE, Fault.PUSH_REJECTED}
)  # whatever the arguments, something must run before


def command_repairs(memory: Memory, newest: Step) -> Iterator[Finding]:
    """Findings for the failures that the newest working command mends."""
    if newest.failed or newest.kind is not ToolKind.SHELL:
        return
    suspects = [step for step in memory.unsettled() if _is_usage(step)]
    if not suspects:
        return
    worked = invocations(newest.command)
    for step in reversed(suspects):
        repair = _repair(step, worked, tuple(memory.worked_since(step)))
        if repair and step.sidechain == newest.sidechain:
            yield _finding(step, newest, repair)


def _is_usage(step: Step) -> bool:
    return step.kind is ToolKind.SHELL and step.failure is not None and step.failure.blame is FailureClass.USAGE


def _repair(step: Step, worked: Sequence[Invocation], between: tuple[str, ...]) -> Repair | None:
    """The first proof that one of the working commands mends the failed one."""
    failure = step.failure
    if failure is None or failure.fault not in PROOFS:
        return None
    prove = PROOFS[failure.fault]
    for failed in _at_fault(invocations(step.command), failure.named, failure.fault):
        for candidate in worked:
            others = tuple(invocation for invocation in worked if invocation is not candidate)
            repair = prove(Attempt(step, failure.named, failed, candidate, others, between))
            if repair:
                return repair
    return None


def _at_fault(commands: Sequence[Invocation], named: str, fault: Fault) -> list[Invocation]:
    """The commands of a line that the message can mean: those with the named word, else the only one."""
    if fault is Fault.PROGRAM_MISSING:
        return [invocation for invocation in commands if invocation.program == named.rsplit("/", 1)[-1]]
    holding = [invocation for invocation in commands if any(named in unquoted(word) for word in invocation.words)]
    return holding or (
        list(commands) if len(commands) == 1 or fault in {Fault.PREREQUISITE, Fault.PUSH_REJECTED} else []
    )


def _finding(step: Step, newest: Step, repair: Repair) -> Finding:
    """A repair as a finding, with the failed call, its message and the working call as evidence."""
    failure = step.failure
    assert failure is not None  # noqa: S101 - command_repairs asked for usage failures only
    command = general_words(repair.failed.words, [word for word in repair.failed.words if failure.named in word])
    if failure.fault in _BEFORE:
        command = repair.failed.key
    elif failure.fault is Fault.PROGRAM_MISSING:
        command = repair.failed.words[0]  # whatever its arguments
    return Finding(
        rule="command_repair",
        merge_key=merge_key("command_repair", failure.fault.value, *repair.key),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(f"{code(command)} fails: {_message(failure)}", TriggerType.ERROR_REPORT),
        action=Action(ActionType.DO, f"{repair.advice.rstrip('.')}."),
        rationale="The first command failed with this message; the second worked in the same session.",
        strength=repair.strength,
        tags=(repair.failed.program, failure.fault.value),
        cwd=step.cwd,
        evidence=(
            *failure_of(step),
            called(newest, "working call"),
        ),
    )


def _message(failure: Failure) -> str:
    """The error message on one line; of a rejected push and of a pattern the reason only: the rest is the instance."""
    if failure.fault is Fault.GLOB:
        return "no matches found"
    if failure.fault is Fault.PUSH_REJECTED:
        return f"! [rejected] ({failure.named})"
    return message(failure.line)

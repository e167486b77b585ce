"""Failures with a specific, named cause for which no repair was seen: what not to do, kept until it comes back.

Weak by itself, so three sessions must show it; kept from the first, so that the coming back is seen. A failure whose
message names nothing that another session could recognise gives nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.distill.heuristic.evidence import failure_of
from selfdistill.distill.heuristic.proofs import ONLY_LOOKS
from selfdistill.distill.heuristic.wording import code, general_word, merge_key, message, within
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
from selfdistill.signals.memory import MAX_FAILED
from selfdistill.signals.steps import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selfdistill.signals.memory import Failed, Memory
    from selfdistill.signals.steps import Failure, Step

STRENGTH: Final = 0.3
SESSIONS: Final = 3
MAX_NAME: Final = 60
PATIENCE: Final = 8  # calls in which most repairs come

_TOO_LARGE: Final = re.compile(r"exceeds maximum allowed (?:tokens|size)|file is too large", re.IGNORECASE)
_NO_SKILL: Final = re.compile(r"[Uu]nknown skill:? [\"'`]?(?P<name>[\w:./-]+)")
_OTHER_WORKTREE: Final = re.compile(r"'(?P<branch>[^'\n]+)' is already (?:used by worktree|checked out) at")


class Known(Struct, frozen=True):
    """What is known of a failure: when it comes, what to do, and what it is recognised by."""

    condition: str
    action: ActionType
    description: str
    key: tuple[str, ...]
    rule: str = "known_failure"  # of the merge key: a repair that says the same makes it one lesson with this


def known_failures(memory: Memory, newest: Step) -> Iterator[Finding]:
    """The findings of failures that no repair has come for in the calls since, or that are about to be forgotten."""
    full = newest.failed and len(memory.failed) >= MAX_FAILED
    waiting = [
        failed for at, failed in enumerate(memory.failed) if out_of_patience(memory, failed) or (full and at == 0)
    ]
    if waiting:
        yield from _findings(memory, waiting)


def out_of_patience(memory: Memory, failed: Failed) -> bool:
    """Whether a failure has waited long enough for its repair, at the call that comes next."""
    return not failed.weighed and failed.number <= memory.number + 1 - PATIENCE


def waiting_failures(memory: Memory) -> Iterator[Finding]:
    """The same where the log ends for now: provisional, since the repair may still come."""
    yield from _findings(memory, memory.failed)


def _findings(memory: Memory, waiting: list[Failed]) -> Iterator[Finding]:
    """Each failure whose message names its cause, once in a session."""
    told: set[str] = set()
    for failed in waiting:
        step, failure = failed.step, failed.step.failure
        if failed.weighed or step.settled or step.sidechain or failure is None:
            continue
        shell = step.kind is ToolKind.SHELL
        known = _of_shell(step, failure) if shell else _of_tool(step, failure, memory.root)
        if known is not None:
            key = merge_key(known.rule, *known.key)
            if key not in told and memory.has_not_told(key):
                told.add(key)
                yield _finding(step, failure, known, key)


def _finding(step: Step, failure: Failure, known: Known, key: str) -> Finding:
    """A named failure as a finding."""
    return Finding(
        rule="known_failure",
        merge_key=key,
        signal=Polarity.NEGATIVE,
        trigger=Trigger(known.condition, TriggerType.ERROR_REPORT),
        action=Action(known.action, known.description),
        rationale=f"It failed with: {message(failure.line)}",
        strength=STRENGTH,
        needs=SESSIONS,
        tags=(failure.fault.value or "refusal",),
        cwd=step.cwd,
        evidence=(*failure_of(step),),
    )


def _of_tool(step: Step, failure: Failure, root: str) -> Known | None:
    """Refusals of the harness that name a file or a name of the project."""
    if failure.blame is not FailureClass.GUARDRAIL:
        return None
    place = within(step.path, step.cwd, root) if step.path else ""
    if place and _TOO_LARGE.search(failure.line):
        advice = "Search in it, or read it in parts with an offset and a limit: it is too large to be read whole."
        return Known(f"About to read {code(place)}", ActionType.DO, advice, ("too_large", place))
    if place and "EISDIR" in failure.line:
        advice = f"{code(place)} is a directory: list it, then read the files in it."
        return Known(f"About to read {code(place)}", ActionType.DO, advice, ("directory", place))
    if place and step.kind is ToolKind.SEARCH and failure.fault is Fault.PATH_MISSING and "." not in place[1:]:
        advice = f"There was no directory {code(place)}: search from the directory above."
        return Known(f"About to search in {code(place)}", ActionType.AVOID, advice, ("missing", place))
    found = _NO_SKILL.search(failure.line)
    if found:
        advice = f"There is no skill {code(found['name'])} here: do the work with ordinary tools."
        return Known(
            f"About to call the skill {code(found['name'])}", ActionType.AVOID, advice, ("skill", found["name"])
        )
    return None


def _of_shell(step: Step, failure: Failure) -> Known | None:
    """A command that was used wrongly, by the word that the message names."""
    found = _OTHER_WORKTREE.search(failure.line)
    if found:
        branch = found["branch"]
        advice = f"The branch is checked out in another worktree: work from {code(f'origin/{branch}')} instead."
        return Known(f"About to check out {code(branch)} in a worktree", ActionType.DO, advice, ("worktree", branch))
    if (
        failure.blame is not FailureClass.USAGE
        or failure.fault not in _TELLING
        or not 0 < len(failure.named) <= MAX_NAME
    ):
        return None
    meant = _meant(invocations(step.command), failure)
    return _TELLING[failure.fault](meant, failure) if meant is not None else None


def _meant(every: tuple[Invocation, ...], failure: Failure) -> Invocation | None:
    """The command of a line that a message means: the one with the word it names, or the only one."""
    if failure.fault is Fault.PROGRAM_MISSING:
        return next((one for one in every if one.program == failure.named.rsplit("/", 1)[-1]), None)
    if failure.fault is Fault.PUSH_REJECTED:
        return next((one for one in every if one.key == "git push"), None)
    if failure.fault in {Fault.PREREQUISITE, Fault.MODULE_MISSING, Fault.ARGUMENT_MISSING}:
        others = [one for one in every if one.program not in {"cd", "export", "head", "tail"}]
        return others[0] if len(others) == 1 else None
    named = failure.named.lstrip("-")
    return next((one for one in every if any(named in unquoted(word) for word in one.words)), None)


def _option(meant: Invocation, failure: Failure) -> Known | None:
    option = next((unquoted(word).split("=")[0] for word in meant.arguments if _is_option(word, failure.named)), "")
    if not option:
        return None
    what = "it cannot only look; read" if option in ONLY_LOOKS else "leave it out, or look for another in"
    return Known(
        f"About to run {code(f'{meant.key} {option}')}",
        ActionType.AVOID,
        f"{code(meant.key)} has no {code(option)}: {what} {code(f'{meant.key} --help')}.",
        (failure.fault.value, meant.key, option),
        "command_repair",
    )


def _is_option(word: str, named: str) -> bool:
    bare = named.lstrip("-").split("=")[0]
    option = unquoted(word).split("=")[0]
    return option.startswith("-") and (
        option.lstrip("-") == bare or (len(bare) == 1 and bare in option and option[1:2] != "-")
    )


def _field(meant: Invocation, failure: Failure) -> Known:
    return Known(
        f"About to run {code(f'{meant.key} --json {failure.named}')}",
        ActionType.AVOID,
        f"{code(meant.key)} has no field {code(failure.named)}; {code(f'{meant.key} --json')} alone lists its fields.",
        ("field", meant.key, failure.named),
    )


def _command(meant: Invocation, failure: Failure) -> Known:
    return Known(
        f"About to run {code(f'{meant.program} {failure.named}')}",
        ActionType.AVOID,
        f"{code(meant.program)} knows no {code(failure.named)} here: list what it knows first.",
        ("command", meant.program, failure.named),
    )


def _program(meant: Invocation, failure: Failure) -> Known:
    return Known(
        f"About to run {code(meant.program)}",
        ActionType.AVOID,
        f"{code(failure.named)} is not installed here: use what the project brings along.",
        ("program", meant.program),
    )


def _module(meant: Invocation, failure: Failure) -> Known:
    return Known(
        f"About to run {code(meant.key)}",
        ActionType.DO,
        f"Its Python has no module {code(failure.named)}: use the project's own environment, or install it.",
        ("module", meant.program, failure.named),
    )


def _glob(meant: Invocation, failure: Failure) -> Known | None:
    letters = [letter for letter in "?*[" if letter in failure.named]
    if not letters or "/" not in failure.named or meant.program in {"ls", "rm", "cp", "mv", "cat"}:
        return None  # files that are not there, rather than an argument that the shell took for a pattern
    return Known(
        f"About to give {code(meant.key)} an argument with {code(letters[0])}",
        ActionType.DO,
        "Put it in quotes: this shell takes it for a file pattern and stops when nothing matches.",
        ("glob", meant.key, letters[0]),
    )


def _argument(meant: Invocation, failure: Failure) -> Known:
    return Known(
        f"About to run {code(meant.key)}",
        ActionType.DO,
        f"Give it {code(failure.named)}, which it requires.",
        ("argument", meant.key, failure.named),
    )


def _prerequisite(meant: Invocation, failure: Failure) -> Known:
    return Known(
        f"{code(meant.key)} fails and asks for {code(failure.named)}",
        ActionType.DO,
        f"Run {code(' '.join(map(general_word, failure.named.split())))} first.",
        (failure.fault.value, "first", failure.named),
        "command_repair",
    )


def _push(_meant: Invocation, failure: Failure) -> Known:
    return Known(
        "`git push` is rejected because the remote has other commits",
        ActionType.DO,
        "Take them in with `git pull --rebase` before pushing again.",
        (failure.fault.value, "git push", "behind", "git pull --rebase"),
        "command_repair",
    )


_TELLING: Final[dict[Fault, Callable[[Invocation, Failure], Known | None]]] = {
    Fault.UNKNOWN_OPTION: _option,
    Fault.UNKNOWN_FIELD: _field,
    Fault.UNKNOWN_COMMAND: _command,
    Fault.PROGRAM_MISSING: _program,
    Fault.MODULE_MISSING: _module,
    Fault.GLOB: _glob,
    Fault.ARGUMENT_MISSING: _argument,
    Fault.PREREQUISITE: _prerequisite,
    Fault.PUSH_REJECTED: _push,
}

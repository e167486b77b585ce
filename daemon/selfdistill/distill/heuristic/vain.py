"""The same failure three times or more and what ended it; failed attempts whose success a person then approved."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from selfdistill.distill.heuristic.evidence import answered, called, said
from selfdistill.distill.heuristic.wording import code, general_word, general_words, merge_key, message
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
from selfdistill.signals.invocations import Invocation, invocations
from selfdistill.signals.loops import REPEATS, same_failures
from selfdistill.signals.memory import Struggle
from selfdistill.signals.signatures import signature
from selfdistill.signals.steps import HumanTurn, TurnKind
from selfdistill.signals.tools import says_what

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import Step

STRENGTH: Final = 0.5
APPROVED_STRENGTH: Final = 0.5
SESSIONS: Final = 2
TWICE: Final = 2
ALIKE: Final = 0.34  # share of words that an attempt and the call that worked have in common

MAX_WORD: Final = 40  # characters; what is longer is a text of this one call

_CONTENT: Final = re.compile(
    r"\b(?:works?|worked|great|thanks|thank you|perfect|good|nice|lgtm|that'?s it)\b", re.IGNORECASE
)
_TEACHES: Final = frozenset({FailureClass.USAGE, None})  # every agent knows the refusals of its own harness
_PLAIN_PROGRAMS: Final = frozenset(
    {"cat", "ls", "find", "grep", "rg", "echo", "sed", "cd", "head", "tail", "python", "python3", "node", "bash", "sh"}
)


def ended_loops(memory: Memory, newest: Step) -> Iterator[Finding]:
    """A finding when a related call works after one failure came three times; checks may fail as often as they like."""
    if newest.failed or newest.kind is not ToolKind.SHELL or len(memory.failed) < REPEATS:
        return
    suspects = [step for step in memory.unsettled() if _teaches(step)]
    if len(suspects) < REPEATS:
        return
    last = next((step for step in reversed(suspects) if _related(step, newest)), None)
    if last is None:
        return
    alike = [step for step in same_failures(suspects, last) if _key(step) == _key(last)]
    if len(alike) >= REPEATS:
        yield _ended(alike, newest)


def _ended(alike: list[Step], newest: Step) -> Finding:
    """A loop and what ended it as a finding."""
    last = alike[-1]
    line = message(last.failure.line) if last.failure else ""
    works = code(_shown(newest, last))
    return Finding(
        rule="ended_loop",
        merge_key=merge_key("ended_loop", _key(last), signature(line).casefold(), _key(newest)),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(f"{code(_shown(last, newest))} fails again and again: {line}", TriggerType.DEBUGGING),
        action=Action(ActionType.DO, f"Do not repeat it; this worked: {works}."),
        rationale=f"Tried {len(alike)} times in one session with the same message before this call worked.",
        strength=STRENGTH,
        needs=SESSIONS,
        tags=("loop",),
        cwd=last.cwd,
        evidence=(
            *(answered(step, "error") for step in alike[-REPEATS:]),
            called(newest, "working call"),
        ),
    )


def struggle_of(memory: Memory, newest: Step) -> Struggle | None:
    """The struggle that the newest working call ends: two related attempts failed, for whatever reason."""
    if newest.failed or newest.kind is not ToolKind.SHELL or len(memory.failed) < TWICE:
        return None
    suspects = [step for step in memory.unsettled() if _teaches(step)]
    failed = [step for step in suspects if _related(step, newest)] if len(suspects) >= TWICE else []
    return Struggle(failed[-TWICE:], newest) if len(failed) >= TWICE else None


def approved_struggles(memory: Memory, turn: HumanTurn) -> Iterator[Finding]:
    """The finding of a call that worked after failures, when a person's next words approve."""
    struggle = memory.struggle
    if struggle is None or turn.kind not in {TurnKind.APPROVAL, TurnKind.PRAISE}:
        return
    if turn.kind is TurnKind.APPROVAL and not _CONTENT.search(turn.text):
        return  # "all four", "go on" approve of what comes next
    first, worked = struggle.failed[-1], struggle.worked
    line = message(first.failure.line) if first.failure else ""
    yield Finding(
        rule="approved_approach",
        merge_key=merge_key("approved_approach", _key(worked), signature(line).casefold()),
        signal=Polarity.POSITIVE,
        trigger=Trigger(f"{code(_shown(first, worked))} fails: {line}", TriggerType.IMPLEMENTATION),
        action=Action(ActionType.DO, f"This worked in the end: {code(_shown(worked, first))}."),
        rationale=f"{len(struggle.failed)} attempts had failed, this one worked, and the person approved.",
        strength=APPROVED_STRENGTH,
        needs=SESSIONS,
        tags=("approved",),
        cwd=worked.cwd,
        evidence=(
            *(called(step, "failed call") for step in struggle.failed),
            called(worked, "working call"),
            said(turn, "user"),
        ),
    )


def _teaches(step: Step) -> bool:
    """Whether a failure is one of a command's own, and says what is wrong."""
    failure = step.failure
    return (
        failure is not None
        and step.kind is ToolKind.SHELL
        and failure.blame in _TEACHES
        and not step.check
        and says_what(failure.line)
    )


def _related(failed: Step, worked: Step) -> bool:
    """Whether two calls are attempts at the same thing: one command with many words in common, but not one line."""
    if failed.sidechain != worked.sidechain or failed.command == worked.command:
        return False
    one, other = _main(failed), _main(worked)
    if one is None or other is None or one.key != other.key or one.program in _PLAIN_PROGRAMS:
        return False
    named = set(one.key.split())
    left, right = (set(map(general_word, words)) - named for words in (one.words, other.words))
    return len(left & right) / max(1, len(left | right)) >= ALIKE


def _main(step: Step) -> Invocation | None:
    """The command that a line is about."""
    return next(
        (one for one in invocations(step.command) if one.program not in {"cd", "export", "echo", "sleep"}), None
    )


def _key(step: Step) -> str:
    """What a call is an attempt at."""
    main = _main(step)
    return main.key if main else step.tool


def _shown(step: Step, other: Step) -> str:
    """A call as people read it, with the words that the other one has not."""
    main, beside = _main(step), _main(other)
    if main is None:
        return step.tool
    telling = [word for word in main.words if len(word) <= MAX_WORD and (beside is None or word not in beside.words)]
    return general_words(main.words, telling)

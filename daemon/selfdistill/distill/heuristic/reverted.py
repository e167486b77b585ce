"""Work that was taken back because a person asked for it, with their reason in their own words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from selfdistill.distill.heuristic.evidence import called, said
from selfdistill.distill.heuristic.wording import code, merge_key, sentence, within
from selfdistill.model import Action, ActionType, Finding, Polarity, ToolKind, Trigger, TriggerType
from selfdistill.signals.edits import restored_paths, restores_files, takes_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import HumanTurn, Step

STRENGTH: Final = 0.45
SESSIONS: Final = 2
_LONGEST: Final = 240
_ASKS: Final = re.compile(
    r"\b(?:revert|undo|roll(?:ing)? (?:\w+ )?back|back (?:this|that|it) out|put (?:it|that|this|them) back|restore)\b",
    re.IGNORECASE,
)
_REASON: Final = re.compile(
    r"\b(?:because|since|too \w+|instead|rather|"
    r"(?:don'?t|doesn'?t|shouldn'?t|do not|should not|not) (?:want|need|work|be|use|change|touch|like)|"
    r"breaks?|broke|unrelated|out of scope|not part of|belongs?|never|already)\b",
    re.IGNORECASE,
)


def asks_to_take_back(turn: HumanTurn) -> bool:
    """Whether a person's short words ask to undo work and say why; a bare "revert that" teaches nothing."""
    text = turn.text
    return (
        not turn.first
        and len(text) <= _LONGEST
        and not text.rstrip().endswith("?")
        and bool(_ASKS.search(text) and _REASON.search(text))
    )


def taken_back(memory: Memory, newest: Step) -> Iterator[Finding]:
    """The finding of work that was taken back after a person asked for it."""
    turn = memory.take_back
    if turn is None or newest.failed:
        return
    if newest.kind is ToolKind.SHELL and restores_files(newest.command):
        places = [within(path, newest.cwd, memory.root) for path in restored_paths(newest.command)]
    elif newest.kind is ToolKind.EDIT and takes_back(memory.edits, newest):
        places = [within(newest.path, newest.cwd, memory.root)]
    else:
        return
    shown = ", ".join(code(place) for place in places[:2] if place)
    yield Finding(
        rule="reverted_work",
        merge_key=merge_key("reverted_work", " ".join(sorted(filter(None, places))), sentence(turn.text).casefold()),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(
            f"About to change {shown}" if shown else "About to make such a change again", TriggerType.CONSTRAINT
        ),
        action=Action(ActionType.AVOID, f"Work there was taken back; in the person's words: {sentence(turn.text)}"),
        rationale="A person asked to undo the work with these words, and it was undone.",
        strength=STRENGTH,
        needs=SESSIONS,
        tags=("revert",),
        cwd=newest.cwd,
        evidence=(
            said(turn, "user"),
            called(newest, "taken back"),
        ),
    )

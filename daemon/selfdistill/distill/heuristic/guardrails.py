"""What the harness refused and how the call then went through: edits that did not match, files too large, directories.

Every agent knows these refusals, so a lesson waits for six sessions: only a project where they keep coming back
learns from them. It is kept from the first sighting, so that the coming back is seen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.distill.heuristic.evidence import called, failure_of
from selfdistill.distill.heuristic.wording import merge_key
from selfdistill.model import Action, ActionType, Finding, Point, Polarity, ToolKind, Trigger, TriggerType
from selfdistill.signals.causes import causes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import Step

STRENGTH: Final = 0.4
SESSIONS: Final = 6

_CHANGES: Final = frozenset({ToolKind.EDIT, ToolKind.WRITE})


class Refusal(Struct, frozen=True):
    """A refusal by its words, and how the lesson tells of it: what is refused, and what went through."""

    name: str
    words: re.Pattern[str]
    text: str


_REFUSALS: Final = (
    Refusal(
        "not_found",
        re.compile(
            r"String to replace not found|[Ff]ailed to find (?:expected lines|context)|old_str\w* (?:was )?not found"
            r"|No match found"
        ),
        "text that is not in the file (copy it from a fresh read, tabs and spaces included)",
    ),
    Refusal(
        "ambiguous",
        re.compile(r"Found \d+ matches|[Mm]ultiple (?:matches|occurrences)"),
        "text that occurs more than once (add the lines around it, or replace all)",
    ),
    Refusal(
        "not_read",
        re.compile(r"has not been read yet|must (?:first )?be read|must read the file"),
        "a file not read in this session (read it first, also one known from elsewhere)",
    ),
    Refusal(
        "modified",
        re.compile(r"modified since (?:it was )?(?:last )?read|changed since (?:it was )?(?:last )?read"),
        "a file that a command or a person changed since it was read (read it again)",
    ),
    Refusal(
        "unchanged",
        re.compile(r"No changes to make|old_string and new_string are exactly the same"),
        "an edit that changes nothing (see whether it is already done)",
    ),
    Refusal(
        "bad_patch",
        re.compile(r"[Ii]nvalid patch|invalid hunk|valid hunk header|hunk to start with"),
        "a malformed patch (`@@` before each hunk; a space, `+` or `-` before each line)",
    ),
)


def cured_refusals(memory: Memory, newest: Step) -> Iterator[Finding]:
    """Findings for refused edits of a file when an edit of it works; one lesson lists the commonest refusals."""
    if newest.failed or newest.kind not in _CHANGES or not newest.path:
        return
    told: set[str] = set()
    for failed in reversed(memory.failed):
        if failed.step.path != newest.path or failed.step.kind not in _CHANGES:
            continue
        refusal = _refusal(failed.step)
        if refusal and refusal.name not in told:
            told.add(refusal.name)
            yield _finding(failed.step, newest, refusal)


def _refusal(step: Step) -> Refusal | None:
    """The refusal that a failed step met."""
    if step.failure is None or step.settled:
        return None
    line = step.failure.line
    return next((refusal for refusal in _REFUSALS if refusal.words.search(line)), None)


def _finding(step: Step, newest: Step, refusal: Refusal) -> Finding:
    """A refusal with its cure as a finding."""
    return Finding(
        rule="refused_edit",
        merge_key=merge_key("refused_edit"),
        signal=Polarity.NEGATIVE,
        trigger=Trigger("About to edit a file", TriggerType.CONSTRAINT),
        action=Action(ActionType.DO, "Look out for what is refused here most often:"),
        rationale="Such edits were refused; edits of the same files that minded it went through.",
        strength=STRENGTH,
        needs=SESSIONS,
        tags=("edit",),
        cwd=step.cwd,
        points=tuple(Point(cause, refusal.text) for cause in causes(step)[:1]),
        evidence=(
            *failure_of(step),
            called(newest, "working call"),
        ),
    )

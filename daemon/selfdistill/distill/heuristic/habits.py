"""What a project's check rejects most often, as one list to go through before running it.

Each rule has a lesson of its own (diagnostics.py); whoever is about to lint needs the five that matter, in one line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from selfdistill.distill.heuristic.cures import CURES, WHILE_WORKING
from selfdistill.distill.heuristic.diagnostics import IN_PROGRESS, check_run, worth_of
from selfdistill.distill.heuristic.evidence import answered, called
from selfdistill.distill.heuristic.wording import code, merge_key
from selfdistill.model import Action, ActionType, Finding, Point, Polarity, Trigger, TriggerType
from selfdistill.signals.diagnostics import diagnostic_cause
from selfdistill.signals.runs import is_check_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import Diagnostic, Step

STRENGTH: Final = 0.5
NEEDS: Final = 3
COMPILES: Final = "compile"  # stands in the merge key for the kind of check: any check compiles first
_CLAUSE: Final = re.compile(r"[^:;,(]+")
_LONGEST: Final = 70


def check_habits(_memory: Memory, newest: Step) -> Iterator[Finding]:
    """At most two findings for a check that rejected code: by rules with a name, and as the compiler does.

    The lessons list the commonest. What a compiler says of unfinished work is worth no lesson of its own.
    """
    if not newest.diagnostics:
        return
    kind = is_check_command(check_run(newest) or newest.command)
    rules = [diagnostic for diagnostic in newest.diagnostics if worth_of(diagnostic) is not IN_PROGRESS]
    others = [diagnostic for diagnostic in newest.diagnostics if worth_of(diagnostic) is IN_PROGRESS]
    if rules and kind:
        yield _finding(newest, kind, rules, "Look first for what it rejects here most often:")
    if others:
        yield _finding(newest, COMPILES, others, "Look first for what does not compile here most often:")


def _finding(step: Step, kind: str, diagnostics: list[Diagnostic], action: str) -> Finding:
    """A failing check as a finding."""
    command = check_run(step)
    shown = code(command) if command else "the check"
    return Finding(
        rule="check_habit",
        merge_key=merge_key("check_habit", kind),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(f"About to run {shown}, or writing code that it will check", TriggerType.IMPLEMENTATION),
        action=Action(ActionType.DO, action),
        rationale="It rejected code for these reasons in the sessions counted.",
        strength=STRENGTH,
        needs=NEEDS,
        tags=tuple(dict.fromkeys(filter(None, (kind, command, *(diagnostic.tool for diagnostic in diagnostics))))),
        cwd=step.cwd,
        points=tuple(Point(diagnostic_cause(diagnostic), _text(diagnostic)) for diagnostic in diagnostics),
        evidence=(
            called(step, "check run"),
            answered(step, "diagnostics", _quotes(diagnostics)),
        ),
    )


def _text(diagnostic: Diagnostic) -> str:
    """A rule in a few words: what to do about it, else what it says."""
    said = CURES.get(diagnostic.code, "")
    if not said and not diagnostic.code:
        said = next((cure for words, cure in WHILE_WORKING if words in diagnostic.message), "")
        if said:
            return f"{diagnostic.message} ({said[:1].lower()}{said[1:].partition(' (')[0]})"
    said = said or diagnostic.message
    clause = _CLAUSE.match(said)
    short = (clause.group() if clause else said).strip()
    if len(short) > _LONGEST:
        short = f"{short[:_LONGEST].rsplit(' ', 1)[0]} …"
    return f"{code(diagnostic.code)} ({short[:1].lower()}{short[1:]})" if diagnostic.code else short


def _quotes(diagnostics: list[Diagnostic]) -> str:
    """The lines as they stood in the output, as many as may be quoted."""
    return "\n".join(diagnostic.quote for diagnostic in diagnostics)[:600]

"""The agent said that a check passes while the log shows that it fails: run it before saying so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from selfdistill.distill.heuristic.evidence import answered, called
from selfdistill.distill.heuristic.wording import code, general_words, merge_key
from selfdistill.model import Action, ActionType, Evidence, Finding, Polarity, Trigger, TriggerType
from selfdistill.signals.claims import contradicted
from selfdistill.signals.invocations import invocations
from selfdistill.signals.memory import check_of
from selfdistill.signals.runs import is_check_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import Statement, Step

STRENGTH: Final = 0.55
SESSIONS: Final = 2
_SAID: Final = {
    "test": "the tests pass",
    "lint": "lint is clean",
    "build": "the build succeeds",
    "typecheck": "the types check",
}


def false_claims(memory: Memory, statement: Statement) -> Iterator[Finding]:
    """The finding of a claim whose check has failed at its last run."""
    kind, sentence, run = contradicted(memory, statement)
    if run is not None:
        yield _finding(kind, sentence, statement, run, "The last run before these words had failed.")


def refuted_claims(memory: Memory, newest: Step) -> Iterator[Finding]:
    """The finding of a claim that nothing had checked, when the next run of that check fails."""
    claimed = memory.claimed
    if claimed is None or not newest.failed or check_of(newest) != claimed.check:
        return
    sentence = contradicted(memory, claimed.statement)[1] or claimed.statement.text
    yield _finding(
        claimed.check,
        sentence,
        claimed.statement,
        newest,
        "Nothing had been checked after the last edit, and the next run failed.",
    )


def _finding(kind: str, sentence: str, statement: Statement, run: Step, rationale: str) -> Finding:
    """A contradicted claim as a finding."""
    command = _command(run, kind)
    return Finding(
        rule="false_claim",
        merge_key=merge_key("false_claim", kind),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(f"About to say that {_SAID[kind]}", TriggerType.GENERAL),
        action=Action(ActionType.DO, f"Run {code(command)} after the last edit and read its result first."),
        rationale=rationale,
        strength=STRENGTH,
        needs=SESSIONS,
        tags=("claim", kind),
        cwd=run.cwd,
        evidence=(
            called(run, "failing check"),
            *_result(run),
            Evidence(statement.uid, statement.span, sentence[:600], "agent's claim", statement.at),
        ),
    )


def _result(run: Step) -> tuple[Evidence, ...]:
    """What the run said, where its words are kept."""
    words = run.quote or next(iter(run.run.failing if run.run else ()), "")
    return (answered(run, "its result", words),) if words else ()


def _command(run: Step, kind: str) -> str:
    """The check of a command line, as it can be run again."""
    every = invocations(run.command)
    found = next((one for one in every if is_check_command(" ".join(one.words)) == kind), None)
    return found.key if found and " " in found.key else general_words(found.words if found else run.command.split())

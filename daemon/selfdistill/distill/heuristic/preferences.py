"""What people said about how work is done here: stated rules, substitutions that were followed, refused calls.

Most corrections are one-off: they are signals, not lessons. A rule becomes active when it states its own scope, when
the agent had just done the opposite, or when a second session repeats it; otherwise it waits for a person.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from selfdistill.distill.heuristic.evidence import called, said
from selfdistill.distill.heuristic.wording import code, folded, general_words, merge_key, sentence
from selfdistill.model import Action, ActionType, Finding, Polarity, ToolKind, Trigger, TriggerType
from selfdistill.signals.invocations import Invocation, invocations, programs
from selfdistill.signals.programs import PRINTERS
from selfdistill.signals.steps import HumanTurn, TurnKind
from selfdistill.signals.users import StatedRule, stated_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import Step

STATED_STRENGTH: Final = 0.55
DURABLE_STRENGTH: Final = 0.8
FOLLOWED_STRENGTH: Final = 0.85
REFUSED_STRENGTH: Final = 0.45
MANY_COMMANDS: Final = 3
MAX_REASON: Final = 160  # characters; what is longer is about the work at hand

_LOOKS: Final = frozenset(
    {"git log", "git status", "git diff", "git show", "git fetch", "git branch", "date", "find", "rg"}
)
_REASON: Final = re.compile(
    r"\btoo (?:slow|expensive|dangerous|risky|long)\b|\bfirst\b(?!.*\?$)"
    r"|\b(?:don'?t|do not|never|no need to) (?:run|commit|push|use|do|install|delete|merge)\b"
    r"|\b(?:always|never)\b|\bi did(?:n'?t| not) (?:say|ask)\b",
    re.IGNORECASE,
)


def user_rules(memory: Memory, turn: HumanTurn) -> Iterator[Finding]:
    """The rules of work that a person's turn states."""
    for rule in stated_rules(turn.text):
        contradicted = _did_the_opposite(memory, rule)
        if rule.use and not contradicted and not rule.durable and turn.kind is not TurnKind.CORRECTION:
            continue
        yield _stated(turn, rule, contradicted)


def _did_the_opposite(memory: Memory, rule: StatedRule) -> Step | None:
    """The agent's last command, if it used what the rule replaces."""
    last = memory.last_shell
    if last is None or not rule.instead_of:
        return None
    return (
        last if rule.instead_of.split()[0].casefold() in {name.casefold() for name in programs(last.command)} else None
    )


def _stated(turn: HumanTurn, rule: StatedRule, opposite: Step | None) -> Finding:
    """A stated rule as a finding."""
    if rule.use and rule.instead_of:
        key: tuple[str, ...] = ("use", rule.use.casefold(), rule.instead_of.casefold())
        condition = f"About to use {code(rule.instead_of)}"
        description = f"Use {code(rule.use)}, not {code(rule.instead_of)}."
    else:
        key = ("rule", folded(rule.sentence))
        condition = "Working in this project"
        description = sentence(rule.sentence)
    evidence = [said(turn, "user")]
    if opposite:
        evidence.insert(0, called(opposite, "corrected call"))
    sure = DURABLE_STRENGTH if rule.durable or opposite else STATED_STRENGTH
    return Finding(
        rule="user_rule",
        merge_key=merge_key("user_rule", *key),
        signal=Polarity.NEGATIVE if turn.kind is TurnKind.CORRECTION or turn.rejected else Polarity.NEUTRAL,
        trigger=Trigger(condition, TriggerType.CONSTRAINT),
        action=Action(ActionType.DO, description),
        rationale="A person said so.",
        strength=sure,
        needs=1 if rule.durable or opposite else 2,
        prefers=rule.use.casefold() if rule.instead_of else "",
        over=rule.instead_of.casefold(),
        tags=("user-rule",),
        cwd=turn.cwd,
        evidence=tuple(evidence),
    )


def refused_calls(memory: Memory, newest: Step) -> Iterator[Finding]:
    """A refused command, the person's words, and the command that was then run: what was wanted instead.

    Only where the words name what was then run and had not been in the refused command.
    """
    if newest.failed or newest.kind is not ToolKind.SHELL or not memory.told:
        return
    for told in memory.told:
        refused = told.turn.rejected
        if refused is None or refused.kind is not ToolKind.SHELL or not refused.command:
            continue
        wanted = _wanted(told.turn.text, refused.command, newest.command)
        if wanted:
            yield _refused(told.turn, refused, newest, wanted)


def refusals_with_reason(_memory: Memory, turn: HumanTurn) -> Iterator[Finding]:
    """A refused command and the person's short words on how such work is done here, followed or not.

    Two sessions must agree on it; questions, and words about what is being built, are none. Words that state a rule
    are `user_rules`' to tell.
    """
    refused = turn.rejected
    if refused is None or refused.kind is not ToolKind.SHELL or not refused.command or stated_rules(turn.text):
        return
    found = _REASON.search(turn.text)
    if found is None or len(turn.text) > MAX_REASON or not invocations(refused.command):
        return
    named = (one for one in invocations(refused.command) if one.key.rsplit(" ", 1)[-1] in turn.text.casefold().split())
    first = next(named, None) or _gist(refused.command)
    if first.key in _LOOKS or first.program in PRINTERS:
        return  # looking does no harm: the words are about something else
    yield Finding(
        rule="refused_command",
        merge_key=merge_key("refused_command", first.key, folded(found.group())),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(f"About to run {code(first.key)}", TriggerType.CONSTRAINT),
        action=Action(ActionType.AVOID, f"A person refused it: {sentence(turn.text)}"),
        rationale="The call was refused with these words.",
        strength=REFUSED_STRENGTH,
        needs=2,
        tags=("user-rule", first.program),
        cwd=refused.cwd,
        evidence=(
            called(refused, "refused call"),
            said(turn, "user"),
        ),
    )


def _wanted(words: str, refused: str, ran: str) -> str:
    """The command that a person's words name and that was then run, if it was not in the refused one."""
    spoken = words.casefold()
    if not 0 < len(invocations(refused)) <= MANY_COMMANDS:  # of a whole script nobody knows which part was refused
        return ""
    before = {invocation.key for invocation in invocations(refused)}
    for invocation in invocations(ran):
        named = (
            invocation.key.casefold() in spoken
            if " " in invocation.key
            else f"`{invocation.program.casefold()}" in spoken
        )
        if named and invocation.key not in before and len(invocation.key) > len("cd /"):
            return invocation.key
    return ""


def _gist(command: str) -> Invocation:
    """The simple command that a command line is about: the first that does more than change the directory."""
    every = invocations(command)
    return next(
        (one for one in every if one.program not in {"cd", "echo", "export", "set"} and "=" not in one.program),
        every[0],
    )


def _refused(turn: HumanTurn, refused: Step, ran: Step, wanted: str) -> Finding:
    """A followed refusal as a finding."""
    first = _gist(refused.command)
    return Finding(
        rule="refused_call",
        merge_key=merge_key("refused_call", first.key, wanted),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(f"About to run {code(general_words(first.words))}", TriggerType.CONSTRAINT),
        action=Action(ActionType.DO, f"{sentence(turn.text[:240])} ({code(wanted)} was then run.)"),
        rationale="A person refused the call with these words, and the agent then did what they asked.",
        strength=STATED_STRENGTH,
        needs=2,
        tags=("user-rule", first.program),
        cwd=refused.cwd,
        evidence=(
            called(refused, "refused call"),
            said(turn, "user"),
            called(ran, "working call"),
        ),
    )


def followed_substitutions(memory: Memory, newest: Step) -> Iterator[Finding]:
    """Use X, said after a command without X, and then X worked: what the person wanted is known and possible."""
    if newest.failed or newest.kind is not ToolKind.SHELL or not memory.told:
        return
    names = {name.casefold() for name in programs(newest.command.split("<<", 1)[0])}  # not the words of a text
    for told in memory.told:
        use = told.use.split()[0].casefold() if told.use else ""
        if use and use in names and told.instead_of and told.turn.kind is TurnKind.CORRECTION:
            yield _followed(told.turn, newest, told.use, told.instead_of)


def _followed(turn: HumanTurn, ran: Step, use: str, instead_of: str) -> Finding:
    """A followed substitution as a finding; it shares its merge key with the stated rule."""
    return Finding(
        rule="user_rule",
        merge_key=merge_key("user_rule", "use", use.casefold(), instead_of.casefold()),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(f"About to use {code(instead_of)}", TriggerType.CONSTRAINT),
        action=Action(ActionType.DO, f"Use {code(use)}, not {code(instead_of)}."),
        rationale="A person corrected the agent so, and it worked in the same session.",
        strength=FOLLOWED_STRENGTH,
        prefers=use.casefold(),
        over=instead_of.casefold(),
        tags=("user-rule", use.split(maxsplit=1)[0]),
        cwd=turn.cwd,
        evidence=(
            said(turn, "user"),
            called(ran, "working call"),
        ),
    )

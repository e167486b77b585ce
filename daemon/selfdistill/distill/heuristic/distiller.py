"""The heuristic distiller: a fold over events with a tuple of rules, each a pure function of what is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from selfdistill.distill.base import Batch, Distillate
from selfdistill.distill.heuristic.fixes import fixed_tests, is_fix, stated_causes
from selfdistill.distill.heuristic.preferences import followed_substitutions, refused_calls, user_rules
from selfdistill.distill.heuristic.repair import command_repairs
from selfdistill.distill.heuristic.vain import repeated_in_vain
from selfdistill.model import ToolKind
from selfdistill.signals.memory import Memory, TestWatch, Told
from selfdistill.signals.observing import Observer
from selfdistill.signals.outcome import judge
from selfdistill.signals.steps import HumanTurn, Statement, Step
from selfdistill.signals.users import stated_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selfdistill.model import Finding
    from selfdistill.signals.steps import Moment

STEP_RULES: Final[tuple[Callable[[Memory, Step], Iterator[Finding]], ...]] = (
    command_repairs,
    followed_substitutions,
    refused_calls,
    fixed_tests,
    repeated_in_vain,
)
TURN_RULES: Final[tuple[Callable[[Memory, HumanTurn], Iterator[Finding]], ...]] = (user_rules,)
STATEMENT_RULES: Final[tuple[Callable[[Memory, Statement], Iterator[Finding]], ...]] = (stated_causes,)

_MAX_WATCHED_EDITS: Final = 12
MAX_TOLD_TEXT: Final = 600  # what is quoted of a person's words


class HeuristicDistiller:
    """Findings from signals alone: no key, no network. Whole and in pieces give the same."""

    name = "heuristic"
    version = 1

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact

    def distill(self, batch: Batch, carry: bytes | None) -> Distillate:
        """Distill a batch; see `distill/base.py`."""
        observer = Observer(carry, self._redact, human=lambda: not batch.session().machine_run)
        findings: list[Finding] = []

        def see(moment: Moment) -> None:
            findings.extend(self.findings(observer, moment))

        count = 0
        for event in batch.events:
            count += 1
            observer.observe(event, see)
        return Distillate(
            findings=tuple(findings), carry=observer.state(), outcome=judge(observer.carried.session), events=count
        )

    def findings(self, observer: Observer, moment: Moment) -> list[Finding]:
        """What the rules see in one moment; then memory learns what became of earlier failures and tellings."""
        happened = moment.happened
        memory = observer.carried.memory
        if isinstance(happened, Step):
            return _of_step(observer, memory, happened)
        if isinstance(happened, HumanTurn):
            found = [finding for rule in TURN_RULES for finding in rule(memory, happened)]
            _listen(memory, happened)
            return found
        found = []
        if memory.tests is not None and memory.tests.fixed_by is not None:
            redacted = Statement(
                happened.uid, happened.span, self._redact(happened.text), happened.at, happened.ends_turn
            )
            found = [finding for rule in STATEMENT_RULES for finding in rule(memory, redacted)]
            if found or happened.ends_turn:
                memory.tests = None
        return found


def _of_step(observer: Observer, memory: Memory, step: Step) -> list[Finding]:
    """What a finished step proves. Few steps prove anything, so only theirs and what they rest on is redacted."""
    found: list[Finding] = []
    if step.failed or memory.listening:
        if any(True for rule in STEP_RULES for _ in rule(memory, step)):
            observer.clean(step)
            found = [finding for rule in STEP_RULES for finding in rule(memory, step)]
            _settle(memory, found)
        _watch_tests(memory, step)
    return found


def _settle(memory: Memory, findings: list[Finding]) -> None:
    """Mark what a finding has told, so that it is told once."""
    told = {evidence.uid for finding in findings for evidence in finding.evidence}
    for failed in memory.failed:
        if failed.step.uid in told:
            failed.step.settled = True
    memory.forget_settled()
    if told:
        memory.told = [entry for entry in memory.told if entry.turn.uid not in told]


def _watch_tests(memory: Memory, step: Step) -> None:
    """Follow a failing test run until it passes."""
    watch = memory.tests
    if step.run is not None:
        if step.run.failed + step.run.errors:
            memory.tests = _still_failing(watch, step)
        elif watch is not None and is_fix(watch, step):
            watch.fixed_by = step
    elif watch is not None and watch.fixed_by is None and _edits_another_file(watch, step):
        watch.edited.append(step.path)
        del watch.edited[:-_MAX_WATCHED_EDITS]


def _edits_another_file(watch: TestWatch, step: Step) -> bool:
    return step.kind in {ToolKind.EDIT, ToolKind.WRITE} and not step.failed and step.path not in watch.edited


def _still_failing(watch: TestWatch | None, step: Step) -> TestWatch:
    """Keep the edits made so far if the same tests fail again; otherwise a new failure begins."""
    same = (
        watch is not None
        and watch.fixed_by is None
        and watch.step.run
        and step.run
        and (set(watch.step.run.failing) & set(step.run.failing))
    )
    return watch if same and watch is not None else TestWatch(step)


def _listen(memory: Memory, turn: HumanTurn) -> None:
    """Remember what a person asked for, to see whether it is followed."""
    kept = msgspec.structs.replace(turn, text=turn.text[:MAX_TOLD_TEXT])
    rules = [rule for rule in stated_rules(turn.text) if rule.use]
    if rules:
        rule = rules[0]
        memory.told.append(Told(memory.number, kept, rule.use, rule.instead_of, rule.durable))
    elif turn.rejected is not None and turn.text:
        memory.told.append(Told(memory.number, kept, "", "", durable=False))

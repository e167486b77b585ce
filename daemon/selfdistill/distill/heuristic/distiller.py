"""The heuristic distiller: a fold over events with a tuple of rules, each a pure function of what is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from selfdistill.distill.base import Batch, Distillate
from selfdistill.distill.heuristic.claims import false_claims, refuted_claims
from selfdistill.distill.heuristic.diagnostics import recurring_diagnostics
from selfdistill.distill.heuristic.environment import environment_facts
from selfdistill.distill.heuristic.fixes import fixed_tests, is_fix, is_test_file, stated_causes
from selfdistill.distill.heuristic.guardrails import cured_refusals
from selfdistill.distill.heuristic.habits import check_habits
from selfdistill.distill.heuristic.known import known_failures, out_of_patience, waiting_failures
from selfdistill.distill.heuristic.preferences import (
    followed_substitutions,
    refusals_with_reason,
    refused_calls,
    user_rules,
)
from selfdistill.distill.heuristic.project_commands import project_commands
from selfdistill.distill.heuristic.repair import command_repairs
from selfdistill.distill.heuristic.reverted import asks_to_take_back, taken_back
from selfdistill.distill.heuristic.vain import approved_struggles, ended_loops, struggle_of
from selfdistill.distill.heuristic.whereabouts import found_elsewhere, guessed_paths, named_by_message
from selfdistill.model import Mishap, ToolKind
from selfdistill.signals.causes import causes, known_under
from selfdistill.signals.claims import contradicted
from selfdistill.signals.memory import Claim, Memory, TestWatch, Told, at_once, check_of
from selfdistill.signals.observing import Observer
from selfdistill.signals.outcome import judge
from selfdistill.signals.steps import HumanTurn, Statement, Step
from selfdistill.signals.users import stated_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selfdistill.model import Finding
    from selfdistill.signals.steps import Moment

AFTER_FAILURE: Final[tuple[Callable[[Memory, Step], Iterator[Finding]], ...]] = (
    recurring_diagnostics,
    check_habits,
    named_by_message,
    guessed_paths,
    refuted_claims,
    known_failures,
)
AFTER_SUCCESS: Final[tuple[Callable[[Memory, Step], Iterator[Finding]], ...]] = (
    command_repairs,
    environment_facts,
    followed_substitutions,
    refused_calls,
    fixed_tests,
    cured_refusals,
    found_elsewhere,
    ended_loops,
    taken_back,
    project_commands,
    known_failures,
)
WITH_NOTHING_PENDING: Final[tuple[Callable[[Memory, Step], Iterator[Finding]], ...]] = (project_commands,)
TURN_RULES: Final[tuple[Callable[[Memory, HumanTurn], Iterator[Finding]], ...]] = (
    user_rules,
    refusals_with_reason,
    approved_struggles,
)
STATEMENT_RULES: Final[tuple[Callable[[Memory, Statement], Iterator[Finding]], ...]] = (stated_causes, false_claims)

_CHANGES: Final = frozenset({ToolKind.EDIT, ToolKind.WRITE})
_ABOUT_A_FAILURE: Final = frozenset({"failed call", "failing run", "error"})  # roles of evidence
_TOLD_ONCE: Final = frozenset(
    {"project_command", "known_failure", "file_elsewhere", "guessed_path"}
)  # rules, per session
_MAX_WATCHED_EDITS: Final = 12
MAX_TOLD_TEXT: Final = 600  # what is quoted of a person's words


class HeuristicDistiller:
    """Findings from signals alone: no key, no network. Whole and in pieces give the same."""

    name = "heuristic"
    version = 2

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact

    def distill(self, batch: Batch, carry: bytes | None) -> Distillate:
        """Distill a batch; see `distill/base.py`."""
        observer = Observer(carry, self._redact, human=lambda: not batch.session().machine_run, ran=batch.ran)
        findings: list[Finding] = []
        mishaps: list[Mishap] = []

        def see(moment: Moment) -> None:
            happened = moment.happened
            if isinstance(happened, Step) and happened.failed:
                mishaps.extend(_mishaps(happened))
            findings.extend(self.findings(observer, moment))

        count = 0
        for event in batch.events:
            count += 1
            observer.observe(event, see)
        carry = observer.state()  # after it, what is remembered is redacted
        return Distillate(
            findings=tuple(findings),
            carry=carry,
            outcome=judge(observer.carried.session),
            provisional=tuple(self.provisional(observer)),
            mishaps=tuple(_clean(mishaps, self._redact)),
            events=count,
        )

    def provisional(self, observer: Observer) -> list[Finding]:
        """What holds if nothing more comes: failures without a repair so far. Call it after `observer.state()`."""
        memory = observer.carried.memory
        return _with_causes(memory, list(waiting_failures(memory)))

    def findings(self, observer: Observer, moment: Moment) -> list[Finding]:
        """What the rules see in one moment; then memory learns what became of earlier failures and tellings."""
        happened = moment.happened
        memory = observer.carried.memory
        if isinstance(happened, Step):
            return _of_step(observer, memory, happened)
        if isinstance(happened, HumanTurn):
            return self._of_turn(memory, happened)
        return self._of_statement(memory, happened)

    def _of_turn(self, memory: Memory, turn: HumanTurn) -> list[Finding]:
        """What a person's words tell, about how work is done here or about the calls before them."""
        found: list[Finding] = []
        if any(True for rule in TURN_RULES for _ in rule(memory, turn)):
            memory.clean(self._redact)
            found = [finding for rule in TURN_RULES for finding in rule(memory, turn)]
        _listen(memory, turn)
        return _concluded(memory, found)

    def _of_statement(self, memory: Memory, said: Statement) -> list[Finding]:
        """What the agent's own words tell; only words that name a cause or claim a success are redacted."""
        awaits_cause = memory.tests is not None and memory.tests.fixed_by is not None
        kind, _, run = contradicted(memory, said)
        if not awaits_cause and not kind:
            return []
        found: list[Finding] = []
        redacted = said
        if kind or any(True for rule in STATEMENT_RULES for _ in rule(memory, said)):
            redacted = Statement(said.uid, said.span, self._redact(said.text), said.at, said.ends_turn)
            memory.clean(self._redact)
            found = [finding for rule in STATEMENT_RULES for finding in rule(memory, redacted)]
        if kind and run is None:
            claim = contradicted(memory, redacted)[1][:MAX_TOLD_TEXT]
            memory.claimed = Claim(Statement(said.uid, said.span, claim, said.at, said.ends_turn), kind)
        if kind:
            memory.failing.pop(kind, None)  # the claim is told once
        if awaits_cause and (said.ends_turn or any(finding.rule == "fixed_test" for finding in found)):
            memory.tests = None
        return _concluded(memory, found)


def _mishaps(step: Step) -> Iterator[Mishap]:
    """A failed call by its causes, also by the more general ones that they are cases of."""
    keys = dict.fromkeys(key for cause in causes(step) for key in known_under(cause))
    return (Mishap(step.uid, key, step.at, step.cwd, step.began) for key in keys)


def _clean(mishaps: list[Mishap], redact: Callable[[str], str]) -> Iterator[Mishap]:
    """Mishaps as they may be stored; causes name words of commands, and a path may hold a secret."""
    redact = at_once(redact, (mishap.cause for mishap in mishaps))
    return (msgspec.structs.replace(mishap, cause=redact(mishap.cause)) for mishap in mishaps)


def _of_step(observer: Observer, memory: Memory, step: Step) -> list[Finding]:
    """What a finished step proves. Few steps prove anything, so only theirs and what they rest on is redacted."""
    pending = step.failed or memory.listening
    if not memory.wrote_tests and step.kind in _CHANGES and not step.failed and is_test_file(step.path):
        memory.wrote_tests = True
    if not pending and not check_of(step):
        return []
    rules: tuple[Callable[[Memory, Step], Iterator[Finding]], ...] = WITH_NOTHING_PENDING
    if pending:
        rules = AFTER_FAILURE if step.failed else AFTER_SUCCESS
    found: list[Finding] = []
    if any(True for rule in rules for _ in rule(memory, step)):
        observer.clean(step)
        found = _concluded(memory, [finding for rule in rules for finding in rule(memory, step)], step)
    if pending:
        for failed in memory.failed:
            failed.weighed = failed.weighed or out_of_patience(memory, failed)
    memory.struggle = struggle_of(memory, step) or memory.struggle
    _settle(memory, found)
    _watch_tests(memory, step)
    return found


def _concluded(memory: Memory, found: list[Finding], newest: Step | None = None) -> list[Finding]:
    """Findings with the causes of the failures that they are about; what is told once in a session is noted."""
    for finding in found:
        if finding.rule in _TOLD_ONCE:
            memory.note_told(finding.merge_key)
    told = {evidence.uid for finding in found if finding.rule == "known_failure" for evidence in finding.evidence}
    for failed in memory.failed:
        failed.weighed = failed.weighed or failed.step.uid in told
    return _with_causes(memory, found, newest)


def _with_causes(memory: Memory, found: list[Finding], newest: Step | None = None) -> list[Finding]:
    """Findings with what they cover: the one place where that is decided."""
    if not found:
        return found
    steps = [failed.step for failed in memory.failed]
    steps += [step for step in (newest, memory.tests.step if memory.tests else None) if step is not None]
    known = {uid: step for step in steps for uid in (step.uid, step.result_uid)}
    return [_covering(finding, known) for finding in found]


def _covering(finding: Finding, steps: dict[str, Step]) -> Finding:
    """A finding with the causes of the failures that its evidence shows."""
    if finding.covers:
        return finding
    failed = [steps[one.uid] for one in finding.evidence if one.role in _ABOUT_A_FAILURE and one.uid in steps]
    covered = dict.fromkeys(cause for step in failed for cause in causes(step))
    return msgspec.structs.replace(finding, covers=tuple(covered)) if covered else finding


def _settle(memory: Memory, findings: list[Finding]) -> None:
    """Mark what a finding has told, so that it is told once."""
    if not findings:
        return
    told = {
        evidence.uid for finding in findings if finding.rule != "known_failure" for evidence in finding.evidence
    }  # a failure that is merely known may still find its repair
    for failed in memory.failed:
        if failed.step.uid in told or failed.step.result_uid in told:
            failed.step.settled = True
    memory.forget_settled()
    if any(finding.rule == "reverted_work" for finding in findings):
        memory.take_back = None
    memory.told = [entry for entry in memory.told if entry.turn.uid not in told]


def _watch_tests(memory: Memory, step: Step) -> None:
    """Follow a failing test run until it passes."""
    watch = memory.tests
    if step.run is not None:
        if step.run.failed + step.run.errors:
            memory.tests = _still_failing(watch, step, new_test=memory.wrote_tests)
        elif watch is not None and is_fix(watch, step):
            watch.fixed_by = step
    elif watch is not None and watch.fixed_by is None and _edits_another_file(watch, step):
        watch.edited.append(step.path)
        del watch.edited[:-_MAX_WATCHED_EDITS]


def _edits_another_file(watch: TestWatch, step: Step) -> bool:
    return step.kind in _CHANGES and not step.failed and step.path not in watch.edited


def _still_failing(watch: TestWatch | None, step: Step, *, new_test: bool) -> TestWatch:
    """Keep the edits made so far if the same tests fail again; otherwise a new failure begins."""
    same = (
        watch is not None
        and watch.fixed_by is None
        and watch.step.run
        and step.run
        and (set(watch.step.run.failing) & set(step.run.failing))
    )
    return watch if same and watch is not None else TestWatch(step, new_test=new_test)


def _listen(memory: Memory, turn: HumanTurn) -> None:
    """Remember what a person asked for, to see whether it is followed."""
    kept = msgspec.structs.replace(turn, text=turn.text[:MAX_TOLD_TEXT])
    memory.struggle = None
    memory.take_back = kept if asks_to_take_back(turn) else None
    rules = [rule for rule in stated_rules(turn.text) if rule.use]
    if rules:
        rule = rules[0]
        memory.told.append(Told(memory.number, kept, rule.use, rule.instead_of, rule.durable))
    elif turn.rejected is not None and turn.text:
        memory.told.append(Told(memory.number, kept, "", "", durable=False))

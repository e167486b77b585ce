"""Events in, moments out: pairs calls with results, reads human turns, and says which signals each gives.

A fold whose state is small and stored, so that a log read in any number of pieces gives the same moments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from selfdistill.model import (
    Author,
    Event,
    EventKind,
    FailureClass,
    Polarity,
    Signal,
    SignalKind,
    Span,
    ToolInput,
    ToolKind,
)
from selfdistill.signals.claims import contradicted
from selfdistill.signals.completing import OpenCall, disregard, finished, is_flagged, ran_through
from selfdistill.signals.edits import digest, restores_files, takes_back
from selfdistill.signals.invocations import MAX_COMMAND
from selfdistill.signals.loops import REPEATS, same_failures
from selfdistill.signals.memory import MAX_PATH, Memory, at_once, clean_step
from selfdistill.signals.outcome import Tally
from selfdistill.signals.outcome_features import Change, Watch, hedges
from selfdistill.signals.steps import HumanTurn, Moment, Statement, Step, TurnKind
from selfdistill.signals.turn_features import TurnContext
from selfdistill.signals.turns import read_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_OPEN_CALLS: Final = 24
MAX_TURN: Final = 2_000
MAX_SAID: Final = 1_500
EXCERPT: Final = 200

_TELLING: Final = frozenset({ToolKind.SHELL, ToolKind.EDIT, ToolKind.WRITE})  # kinds whose successes tell something
_CHANGES: Final = frozenset({ToolKind.EDIT, ToolKind.WRITE})
_TURN_SIGNALS: Final = {
    TurnKind.CORRECTION: (SignalKind.CORRECTION, Polarity.NEGATIVE),
    TurnKind.FAILURE_REPORT: (SignalKind.FAILURE_REPORT, Polarity.NEGATIVE),
    TurnKind.FINDING: (SignalKind.FAILURE_REPORT, Polarity.NEGATIVE),
    TurnKind.APPROVAL: (SignalKind.APPROVAL, Polarity.POSITIVE),
    TurnKind.PRAISE: (SignalKind.PRAISE, Polarity.POSITIVE),
}
_FAILURE_SIGNALS: Final = {
    FailureClass.ENVIRONMENT: (SignalKind.ENVIRONMENT, Polarity.NEUTRAL),
    FailureClass.HUMAN: (SignalKind.REJECTION, Polarity.NEGATIVE),
    FailureClass.EXPECTED: (SignalKind.TOOL_ERROR, Polarity.NEUTRAL),
}
_CHECK_SIGNALS: Final = {
    "lint": SignalKind.LINT_FAILED,
    "format": SignalKind.LINT_FAILED,
    "typecheck": SignalKind.BUILD_FAILED,
    "build": SignalKind.BUILD_FAILED,
}


class State(msgspec.Struct, omit_defaults=True):
    """Everything that is carried from one piece of a log to the next."""

    open_calls: dict[str, OpenCall] = msgspec.field(default_factory=dict)
    memory: Memory = msgspec.field(default_factory=Memory)
    episode: Tally = msgspec.field(default_factory=Tally)
    session: Tally = msgspec.field(default_factory=Tally)
    watch: Watch = msgspec.field(default_factory=Watch)
    human_turns: int = 0
    interrupted: bool = False
    said: str = ""  # the agent's last text, whole until it is redacted: what it claimed and asked
    last_step: Step | None = None  # a refusal follows its result


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(State)


class Observer:
    """Reads one log's events in order; `state()` lets another observer go on where this one stops.

    `redact` is applied to whole texts before they are cut, compared or kept. `human` is False for machine-run
    sessions: their "user" turns are programs'. `excerpts`: signals quote the calls they are about. `ran` is shown each
    call that did what it was to do, a check that found something among them.
    """

    def __init__(
        self,
        state: bytes | None,
        redact: Callable[[str], str],
        *,
        human: Callable[[], bool],
        excerpts: bool = False,
        ran: Callable[[OpenCall], None] = disregard,
    ) -> None:
        self._ran = ran
        self._excerpts = excerpts
        self.carried = _DECODER.decode(state) if state else State()
        self._redact = redact
        self._human = human

    def state(self) -> bytes:
        """The carried state, a few hundred bytes to some 20 KB; redacted, because it is stored."""
        calls = self.carried.open_calls.values()
        redact = at_once(self._redact, (text for call in calls for text in (call.command, call.path)))
        for call in calls:
            call.command, call.path = redact(call.command)[:MAX_COMMAND], redact(call.path)[:MAX_PATH]
        self.carried.memory.clean(self._redact)
        self.carried.said = self._redact(self.carried.said)[-MAX_SAID:]
        if self.carried.last_step is not None:
            clean_step(self.carried.last_step, self._redact)
        return _ENCODER.encode(self.carried)

    def observe(self, event: Event, see: Callable[[Moment], None]) -> None:
        """Show `see` the moment that an event completes, if it completes one; only then is it remembered."""
        kind = event.kind
        if kind is EventKind.TOOL_CALL:
            self._open(event)
        elif kind is EventKind.TOOL_RESULT:
            self._close(event, see)
        elif kind is EventKind.ASSISTANT:
            self._said(event)
            if event.text and not event.sidechain:
                self.carried.said = event.text  # not redacted before it is needed: most texts never are
            if self.carried.memory.attentive:  # else nobody listens, and every second event is one
                said = Statement(event.uid, event.span, event.text, event.at, event.ends_turn)
                see(Moment(said, tuple(self._claims(said))))
        elif kind is EventKind.USER or kind is EventKind.REJECTION:
            text = self._human_turn(event, see)
            if kind is EventKind.USER:
                self._asked(event, text)
        elif kind is EventKind.INTERRUPT and self._human():
            self.carried.interrupted = True
            see(self._moment_of_interrupt(event))

    def _open(self, event: Event) -> None:
        """Remember a call until its result comes."""
        given = event.input or ToolInput()
        calls = self.carried.open_calls
        calls[event.call_id] = OpenCall(
            uid=event.uid,
            span=event.span,
            tool=event.tool,
            kind=event.tool_kind,
            command=given.command,
            path=given.path,
            cwd=event.cwd,
            at=event.at,
            before=digest(given.old),
            after=digest(given.new) if given.old else "",
            sidechain=event.sidechain,
            change=self.carried.watch.change(event.tool_kind, given),
        )
        if self.carried.watch.repeats(event.tool, given):
            self.carried.episode.course.repeated = self.carried.session.course.repeated = True
        while len(calls) > MAX_OPEN_CALLS:
            del calls[next(iter(calls))]

    def _close(self, event: Event, see: Callable[[Moment], None]) -> None:
        """Pair a result with its call."""
        call = self.carried.open_calls.pop(event.call_id, None)
        if call is None:
            return
        flagged = is_flagged(call.kind, call.command, event)
        found = self._sought(call, event) if self.carried.memory.failed and not flagged else ""
        if not flagged and not found and call.kind not in _TELLING:
            self._ran(call)
            self.carried.last_step = None
            self.carried.memory.count()
            self.carried.episode.course.call(call.kind, failed=False, changed=None)
            self.carried.session.course.call(call.kind, failed=False, changed=None)
            return
        step = finished(call, event, self._redact, flagged=flagged)
        step.quote = step.quote or found
        if ran_through(step):
            self._ran(call)
        signals = tuple(self._signals(step))
        self._tally(step, signals, call.change)
        self.carried.last_step = step if step.failed else None
        see(Moment(step, signals))
        self.carried.memory.remember(step)

    def _sought(self, call: OpenCall, event: Event) -> str:
        """Where a call that worked found or read again what an earlier call failed on, "" if nowhere; redacted."""
        found = self.carried.memory.sought(call.path, event.text)
        return self._redact(found)[:MAX_PATH] if found else ""

    def clean(self, step: Step) -> None:
        """Redact a step and everything remembered, so that a rule may quote it."""
        clean_step(step, self._redact)
        self.carried.memory.clean(self._redact)

    def _signals(self, step: Step) -> Iterator[Signal]:
        """What a finished step says."""
        spans = (step.span, step.result_span)
        memory = self.carried.memory
        if step.run:
            failing = step.run.failed + step.run.errors
            kind = SignalKind.TEST_FAILED if failing else SignalKind.TEST_PASSED
            polarity = Polarity.NEGATIVE if failing else Polarity.POSITIVE
            yield Signal(kind, polarity, spans, self._excerpt(step), f"{step.run.passed} passed, {failing} failed")
        if step.failure and not (step.run and step.run.failed + step.run.errors):
            yield _failure_signal(step, spans)
            if len(same_failures(memory.unsettled(), step)) == REPEATS:
                yield Signal(
                    SignalKind.LOOP, Polarity.NEGATIVE, spans, step.quote[:EXCERPT], "third time the same failure"
                )
        taken_back = step.kind is ToolKind.EDIT and takes_back(memory.edits, step)
        if taken_back or (step.kind is ToolKind.SHELL and not step.failed and restores_files(step.command)):
            detail = "an edit was taken back" if taken_back else "files were restored"
            yield Signal(SignalKind.REVERT, Polarity.NEGATIVE, spans, self._excerpt(step), detail)

    def _excerpt(self, step: Step) -> str:
        """What a signal shows of a call, redacted."""
        return self._redact(step.command or step.path)[:EXCERPT] if self._excerpts else ""

    def _tally(self, step: Step, signals: tuple[Signal, ...], changed: Change | None) -> None:
        """Count what a step adds to the outcome."""
        if changed is not None and not step.failed:
            self.carried.watch.times = 0
        for tally in (self.carried.episode, self.carried.session):
            for signal in signals:
                tally.add(signal.kind)
            tally.take(step, changed)

    def _said(self, event: Event) -> None:
        """Count a statement of the agent; the first stands for a request that the log does not hold."""
        if not self.carried.watch.heard:
            self.carried.watch.learn(self._redact(event.text))
        hedged = hedges(event.text)
        self.carried.episode.course.say(hedged=hedged)
        self.carried.session.course.say(hedged=hedged)

    def _claims(self, said: Statement) -> Iterator[Signal]:
        """That the agent says a check passes which its last run shows to fail, or which nothing has run since."""
        kind, sentence, run = contradicted(self.carried.memory, said)
        if not kind:
            return
        if run is not None:
            self.carried.episode.add(SignalKind.UNVERIFIED_CLAIM)
            self.carried.session.add(SignalKind.UNVERIFIED_CLAIM)
        detail = f"its last {kind} run failed" if run else f"no {kind} run since the last edit"
        polarity = Polarity.NEGATIVE if run else Polarity.NEUTRAL
        yield Signal(SignalKind.UNVERIFIED_CLAIM, polarity, (said.span,), self._redact(sentence)[:EXCERPT], detail)

    def _asked(self, event: Event, redacted: str) -> None:
        """Count a person's request and remember what it names; `redacted` is its text where that is known."""
        by_person = event.author is Author.HUMAN and not event.sidechain
        again = self.carried.watch.again(event.text, by_person=by_person)
        if by_person:
            self.carried.watch.learn(redacted or self._redact(event.text))
        if by_person or again:
            self.carried.episode.course.ask(again=again)
            self.carried.session.course.ask(again=again)

    def _human_turn(self, event: Event, see: Callable[[Moment], None]) -> str:
        """What a person said, redacted; programs' texts are nobody's opinion, so "" then."""
        if event.author is not Author.HUMAN or event.sidechain or not self._human():
            return ""
        carried = self.carried
        if carried.memory.last_shell is not None:
            clean_step(carried.memory.last_shell, self._redact)
        refused = carried.last_step if event.kind is EventKind.REJECTION else None
        text = self._redact(event.text)
        first = carried.human_turns == 0
        before = "" if first else carried.said[-MAX_SAID:]  # looked at, not kept
        kind = read_turn(text, TurnContext(before, first, carried.interrupted, refused is not None)).kind
        turn = HumanTurn(
            uid=event.uid,
            span=event.span,
            text=text[:MAX_TURN],
            kind=kind,
            at=event.at,
            cwd=event.cwd,
            rejected=refused,
            interrupted=carried.interrupted,
            first=first,
        )
        signals = tuple(_turn_signals(turn))
        for signal in signals:
            carried.episode.add(signal.kind)
            carried.session.add(signal.kind)
        see(Moment(turn, signals))
        if event.kind is EventKind.USER:
            carried.human_turns += 1
            carried.interrupted = False
            carried.episode = Tally(last_test=carried.episode.last_test, edited_since=carried.episode.edited_since)
        return text

    def _moment_of_interrupt(self, event: Event) -> Moment:
        """A person pressed Esc."""
        signal = Signal(SignalKind.INTERRUPT, Polarity.NEGATIVE, (event.span,))
        self.carried.episode.add(signal.kind)
        self.carried.session.add(signal.kind)
        return Moment(Statement(event.uid, event.span, "", event.at), (signal,))


def _failure_signal(step: Step, spans: tuple[Span, ...]) -> Signal:
    """The signal of a failed call, by whose fault it is and what the call was for."""
    blame = step.failure.blame if step.failure else None
    if blame in _FAILURE_SIGNALS:
        kind, polarity = _FAILURE_SIGNALS[blame]
    elif step.kind in {ToolKind.EDIT, ToolKind.WRITE}:
        kind, polarity = SignalKind.EDIT_FAILURE, Polarity.NEGATIVE
    elif blame is FailureClass.CHECK:
        kind, polarity = _CHECK_SIGNALS.get(step.check, SignalKind.TEST_FAILED), Polarity.NEGATIVE
    else:
        kind, polarity = SignalKind.TOOL_ERROR, Polarity.NEGATIVE
    detail = ": ".join(filter(None, (blame.value if blame else "", step.failure.fault.value if step.failure else "")))
    return Signal(kind, polarity, spans, step.quote[:EXCERPT], detail)


def _turn_signals(turn: HumanTurn) -> Iterator[Signal]:
    """What a person's words say about the work before them."""
    if turn.kind in _TURN_SIGNALS:
        kind, polarity = _TURN_SIGNALS[turn.kind]
        yield Signal(kind, polarity, (turn.span,), turn.text[:EXCERPT], turn.kind.value)

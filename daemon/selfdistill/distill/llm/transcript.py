"""A part of a session as entries that a model may see: whole texts cleaned, then cut, each with an id to quote it by.

The signals say which entries tell something, so that what matters can be chosen (`choosing.py`); where each entry
stands in the log is kept, so that what comes back can be verified (`reply.py`).
"""

from __future__ import annotations

from difflib import unified_diff
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.distill.llm.excerpts import Excerpt, cleaned, folded_space
from selfdistill.model import Author, Event, EventKind, Polarity, SignalKind, Span, ToolInput, ToolKind
from selfdistill.signals.observing import Observer
from selfdistill.signals.steps import HumanTurn, Moment, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_DIFF_LINES: Final = 400  # more on one side: difflib is quadratic, and nobody reads it


class Tier(StrEnum):
    """How far a text may be trusted, the best first."""

    USER = "user"  # a person's words
    STATE = "state"  # what an edit, a test run or a failed call shows to be so
    AGENT = "agent"  # what the agent said and ran
    TOOL = "tool"  # what tools and programs printed: anybody may have written it
    WEB = "web"  # what strangers wrote


class Size(StrEnum):
    """Kinds of entries by how much of their text is worth sending."""

    USER = "user"
    AGENT = "agent"
    CALL = "call"
    FAILURE = "failure"
    OUTPUT = "output"
    CONTENT = "content"  # of files, listings, pages: the log of a look, not of work
    PROGRAM = "program"


# Characters per kind of entry: (when the whole part fits, when entries must be chosen, when room is short).
LIMITS: Final[dict[Size, tuple[int, int, int]]] = {
    Size.USER: (8_000, 4_000, 900),
    Size.AGENT: (6_000, 1_500, 500),
    Size.CALL: (4_000, 1_200, 300),
    Size.FAILURE: (6_000, 2_000, 600),
    Size.OUTPUT: (4_000, 800, 240),
    Size.CONTENT: (1_000, 300, 120),
    Size.PROGRAM: (1_500, 400, 160),
}

_LOOKS: Final = frozenset({ToolKind.READ, ToolKind.SEARCH, ToolKind.WEB, ToolKind.PLAN})
_CHANGES: Final = frozenset({ToolKind.EDIT, ToolKind.WRITE})
_SILENT: Final = frozenset({EventKind.SESSION_START, EventKind.SESSION_END})
_STATE_SIGNALS: Final = frozenset(
    {
        SignalKind.TOOL_ERROR,
        SignalKind.EDIT_FAILURE,
        SignalKind.TEST_FAILED,
        SignalKind.TEST_PASSED,
        SignalKind.LINT_FAILED,
        SignalKind.BUILD_FAILED,
    }
)


class Entry(Struct):
    """One event as the model may see it. `text` is cleaned as a whole before it is cut to what is ever sent.

    `id` is what quotes point to; `marks` are the signals it gave; `call` is the id of the call that a result or a
    rejection answers.
    """

    id: str
    kind: EventKind
    tier: Tier
    size: Size
    uid: str
    span: Span
    at: float | None
    cwd: str
    label: str
    text: Excerpt
    tool_kind: ToolKind = ToolKind.OTHER
    call: str = ""
    failed: bool = False
    marks: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """Its place among the entries, from 1."""
        return int(self.id[1:])

    def rendered(self, level: int) -> str:
        """The entry as lines of the transcript, without a newline at the end; `level` chooses among LIMITS.

        Only headings begin in the first column: what a text says cannot look like another entry.
        """
        marks = f" ({', '.join(self.marks)})" if self.marks else ""
        text = self.text.within(LIMITS[self.size][level]).shown.strip().replace("\n", "\n ")
        return f"[{self.id}] {self.label}{marks}: {text}"


class Episode(Struct, frozen=True):
    """One human request and the work until the next; the first may begin without a request."""

    entries: tuple[Entry, ...]


def chronicle(
    events: Iterable[Event], redact: Callable[[str], str], *, human: Callable[[], bool] = lambda: True
) -> tuple[Episode, ...]:
    """The episodes of the new part of a session.

    `human` is False for machine-run sessions: their requests are programs', nobody's opinion. Memory is bounded by
    LIMITS for each event, whatever its text.
    """
    scribe = _Scribe(redact, human)
    observer = Observer(None, redact, human=human)
    for event in events:
        scribe.write(event)
        observer.observe(event, scribe.mark)
    return tuple(Episode(tuple(entries)) for entries in scribe.episodes if entries)


class _Scribe:
    """Writes entries as events come, and marks them when the signals tell what they were."""

    def __init__(self, redact: Callable[[str], str], human: Callable[[], bool]) -> None:
        self.episodes: list[list[Entry]] = [[]]
        self._redact = redact
        self._human = human
        self._count = 0
        self._by_uid: dict[str, Entry] = {}
        self._calls: dict[str, Entry] = {}

    def write(self, event: Event) -> None:
        """Take an event in."""
        if event.kind in _SILENT:
            return
        call = self._calls.get(event.call_id) if event.call_id and event.kind is not EventKind.TOOL_CALL else None
        tool = event.tool_kind if event.kind is EventKind.TOOL_CALL or call is None else call.tool_kind
        text = self._text(event)
        if not text.strip() and event.kind in {EventKind.ASSISTANT, EventKind.NOTICE, EventKind.COMPACTION}:
            return
        self._count += 1
        by_person = event.author is Author.HUMAN and not event.sidechain and self._human()
        size = _size(event, tool, by_person=by_person)
        entry = Entry(
            id=f"e{self._count}",
            kind=event.kind,
            tier=_tier(event, tool, by_person=by_person),
            size=size,
            uid=event.uid,
            span=event.span,
            at=event.at,
            cwd=event.cwd,
            label=self._label(event, call, by_person=by_person),
            text=Excerpt(text).within(max(LIMITS[size])),
            tool_kind=tool,
            call=call.id if call is not None else "",
            failed=bool(event.is_error) or event.exit_code not in {None, 0},
        )
        if event.kind is EventKind.USER and (by_person or not (self._human() or event.sidechain)):
            self.episodes.append([])
        self.episodes[-1].append(entry)
        self._by_uid[event.uid] = entry
        if event.kind is EventKind.TOOL_CALL and event.call_id:
            self._calls[event.call_id] = entry
        elif call is not None and entry.failed:
            call.failed = True

    def mark(self, moment: Moment) -> None:
        """Mark the entries that a moment is about with its signals."""
        happened = moment.happened
        marks = tuple(
            signal.kind.value
            for signal in moment.signals
            if signal.polarity is not Polarity.NEUTRAL or signal.kind is SignalKind.ENVIRONMENT
        )
        uids = (happened.uid, happened.result_uid) if isinstance(happened, Step) else (happened.uid,)
        for entry in (self._by_uid[uid] for uid in uids if uid in self._by_uid):
            if isinstance(happened, HumanTurn):
                entry.marks = marks or entry.marks
                continue
            entry.failed = entry.failed or (isinstance(happened, Step) and happened.failed)
            if entry.kind is not EventKind.TOOL_CALL:
                entry.marks = marks
                if entry.failed and entry.kind is EventKind.TOOL_RESULT:
                    entry.size = Size.FAILURE  # its exit status was hidden, by a pipe for example
                if entry.tier is Tier.TOOL and not _STATE_SIGNALS.isdisjoint(marks) and entry.tool_kind not in _LOOKS:
                    entry.tier = Tier.STATE

    def _text(self, event: Event) -> str:
        """The whole text of an event, cleaned."""
        if event.kind is not EventKind.TOOL_CALL:
            return cleaned(event.text, self._redact)
        given = event.input or ToolInput()
        if event.tool_kind in _CHANGES:
            change = _change(cleaned(given.old, self._redact), cleaned(given.new, self._redact))
            return cleaned(f"{given.path}\n{change}", self._redact)
        parts = (given.command, given.path, "" if given.command else given.text)
        return cleaned("\n".join(filter(None, parts)), self._redact)

    def _label(self, event: Event, call: Entry | None, *, by_person: bool) -> str:
        """Who speaks, in a few words."""
        if event.kind is EventKind.TOOL_CALL:
            said = f"call {folded_space(cleaned(event.tool, self._redact))[:60]}"
        elif event.kind is EventKind.TOOL_RESULT:
            said = f"result of {call.id}" if call is not None else "result"
            said += " FAILED" if event.is_error or event.exit_code not in {None, 0} else ""
        elif event.kind is EventKind.REJECTION:
            said = f"{'user' if by_person else 'program'} rejected {call.id if call else 'the call'}"
        elif event.kind is EventKind.USER:
            said = "user" if by_person else "program"
        else:
            said = _LABELS[event.kind]
        return f"sub-agent {said}" if event.sidechain else said


_LABELS: Final = {
    EventKind.ASSISTANT: "agent",
    EventKind.INTERRUPT: "user interrupted",
    EventKind.COMPACTION: "summary by a program",
    EventKind.NOTICE: "notice",
}


def _size(event: Event, tool: ToolKind, *, by_person: bool) -> Size:
    """How much of an event's text is worth sending."""
    if event.kind is EventKind.TOOL_CALL:
        return Size.CALL
    if event.kind is EventKind.TOOL_RESULT:
        if event.is_error or event.exit_code not in {None, 0}:
            return Size.FAILURE
        return Size.CONTENT if tool in _LOOKS or tool in _CHANGES else Size.OUTPUT
    if event.kind is EventKind.ASSISTANT:
        return Size.AGENT
    return Size.USER if by_person else Size.PROGRAM


def _tier(event: Event, tool: ToolKind, *, by_person: bool) -> Tier:
    """How far an event's text may be trusted, before the signals are known."""
    if event.kind is EventKind.TOOL_CALL or event.kind is EventKind.ASSISTANT:
        return Tier.AGENT
    if event.kind is EventKind.TOOL_RESULT:
        return Tier.WEB if tool is ToolKind.WEB else Tier.TOOL
    return Tier.USER if by_person else Tier.TOOL


def _change(old: str, new: str) -> str:
    """An edit as a short diff, with one line around each change; a new file as it is."""
    before, after = old.splitlines(), new.splitlines()
    if not before or max(len(before), len(after)) > MAX_DIFF_LINES:
        return new
    return "\n".join(list(unified_diff(before, after, n=1, lineterm=""))[3:])

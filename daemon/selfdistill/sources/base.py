"""What a source is, what a parser is, and what all parsers share: counting, repeats, and where the turn stands.

A source knows whose log a file is and opens a parser for it. A parser takes whole lines and gives events. What it must
remember from one line to the next is one small struct, so that a log can be read in any number of pieces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Struct, field

from selfdistill.errors import InternalError
from selfdistill.layouts import Layout
from selfdistill.model import Author, Event, EventKind, Records, Session, Span, ToolKind, Turn
from selfdistill.sources.decoding import coerce, read_tolerantly

OPEN_CALLS: Final = 64  # more calls at once were never seen in 509 real logs; the oldest is forgotten
RECENT_EVENTS: Final = 128  # repeats inside one file stand close together; 128 ids are 5 KB of state
UNKNOWN_TYPES: Final = 32
TYPE_LENGTH: Final = 80
QUEUED: Final = "queue:"  # uid prefix of prompts typed while the agent works: they open no turn and close no call


class Parser(Protocol):
    """Reads the lines of one log in order; keeps what it needs of earlier lines."""

    @property
    def session(self) -> Session:
        """What the lines so far say about the session."""

    @property
    def records(self) -> Records:
        """How the records since this parser was opened fared (earlier ones are the caller's to add)."""

    @property
    def turn(self) -> Turn:
        """Where the conversation stands after the last line."""

    @property
    def left(self) -> Session | None:
        """The session that the last line has ended, as it was then, where a log holds many; else None."""

    def feed(self, line: bytes, offset: int) -> Iterable[Event]:
        """Return the events of one line that begins at this byte of the log. Never raises."""

    def is_whole(self, line: bytes) -> bool:
        """Tell whether a last line without its newline is a whole record already. Never raises."""

    def state(self) -> bytes:
        """Return what `Source.open` needs to go on exactly here: at most 64 KiB."""


class Facts(NamedTuple):
    """What people want to know of a source: a row of the README's table. Plain words, no Markdown but `code`."""

    agent: str  # as its makers write it, with the variants that write the same logs
    versions: str  # that were seen in real logs, or else where the format is known from
    where: str  # the default places, as a user would write them
    read: str  # what becomes events
    left_out: str  # what the agent keeps and we do not read, or cannot tell


class Source(Protocol):
    """One agent: where its logs are, which files they are, and how they are read."""

    @property
    def name(self) -> str:
        """The name in configuration, store and status."""

    @property
    def facts(self) -> Facts:
        """What the README says of it."""

    @property
    def variables(self) -> tuple[str, ...]:
        """The agent's environment variables that move its logs: a service does not see the shell's."""

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell whether a file that a person names is certainly this agent's: by its place, or by its first bytes.

        `head` are the first 64 KiB at most, of which the last line may be cut. Never raises.
        """

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directories where this agent keeps logs for that user, whether they exist or not."""

    def owns(self, path: PurePath) -> bool:
        """Tell by name and place alone whether a file below a root is a log of this source."""

    def session_hint(self, path: PurePath) -> str:
        """Return what groups the logs of one session before any of them is read."""

    def open(self, path: PurePath, state: bytes | None) -> Parser:
        """Return a parser for the log, new or with the state of an earlier one."""

    def layout(self, path: PurePath) -> Layout | None:
        """Return how a file that is owned lies on disk; None for lines that are only ever added."""


class Tool(NamedTuple):
    """What an open call has called."""

    name: str = ""
    kind: ToolKind = ToolKind.OTHER


NO_TOOL: Final = Tool()


class Memory(Struct):
    """What every parser remembers from line to line; sources add their own fields. Small by construction."""

    session: Session = field(default_factory=Session)
    turn: Turn = Turn.CLOSED
    open_calls: dict[str, Tool] = field(default_factory=dict)
    recent: list[str] = field(default_factory=list)  # uids of the last events, oldest first


_WHOLE_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

M = TypeVar("M", bound=Memory)
R = TypeVar("R", bound=Struct)
V = TypeVar("V")


def remembered(state: bytes | None, kind: type[M], path: PurePath) -> M | None:
    """Return the memory that a parser's state holds, None for none. Raises InternalError where it is no such state."""
    if state is None:
        return None
    try:
        return msgspec.msgpack.decode(state, type=kind)
    except msgspec.DecodeError as error:
        raise InternalError(
            f"The stored parser state of {path} cannot be read: {error}.",
            "Distill that log from its start: selfdistill run --again.",
        ) from error


def bounded(table: dict[str, V], limit: int) -> None:
    """Forget the oldest entries of a table that grew past its limit."""
    while len(table) > limit:
        del table[next(iter(table))]


class LogParser(ABC, Generic[M, R]):
    """A parser of JSON lines: subclasses say how a record is decoded and what it means."""

    left: Session | None = None  # a log of one session leaves none

    def __init__(self, memory: M, decoder: msgspec.json.Decoder[R], kind: type[R]) -> None:
        self.memory = memory
        self._total = self._ignored = self._unknown = self._undecodable = 0
        self._unknown_types: dict[str, int] = {}
        self._decode = decoder.decode
        self._kind = kind
        self._recent = deque(memory.recent, RECENT_EVENTS)
        self._known_uids = set(self._recent)

    @property
    def session(self) -> Session:
        """What the lines so far say about the session."""
        return self.memory.session

    @property
    def records(self) -> Records:
        """How the records since this parser was opened fared."""
        left_out = self._ignored + self._unknown + self._undecodable
        return Records(
            total=self._total,
            known=self._total - left_out,
            ignored=self._ignored,
            unknown=self._unknown,
            undecodable=self._undecodable,
            unknown_types=dict(self._unknown_types),
        )

    @property
    def turn(self) -> Turn:
        """Where the conversation stands after the last line."""
        memory = self.memory
        return Turn.OPEN_CALL if memory.open_calls and memory.turn is Turn.OPEN else memory.turn

    def state(self) -> bytes:
        """Return the memory as msgpack."""
        self.memory.recent = list(self._recent)
        return msgspec.msgpack.encode(self.memory)

    def feed(self, line: bytes, offset: int) -> list[Event]:
        """Return the events of one line, first sightings only. Never raises."""
        try:
            record = self._decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return self._feed_tolerantly(line, offset)
        self._total += 1
        events = self.read(record, Span(offset, len(line.rstrip(b"\r\n"))))
        if len(events) > 1:
            return [event for event in events if self._admit(event)]
        return events if not events or self._admit(events[0]) else []

    def is_whole(self, line: bytes) -> bool:
        """Tell whether the line is one complete JSON object."""
        try:
            _WHOLE_OBJECT.decode(line)
        except (msgspec.DecodeError, RecursionError):
            return False
        return True

    @abstractmethod
    def read(self, record: R, span: Span) -> list[Event]:
        """Return what one record says; it counts as known unless `ignored` or `unknown` is called."""

    def ignored(self) -> None:
        """Count a record that is left out on purpose."""
        self._ignored += 1

    def unknown(self, name: str) -> None:
        """Count a record of a type nobody has told us about: drift."""
        self._unknown += 1
        names, name = self._unknown_types, name[:TYPE_LENGTH]
        if name in names or len(names) < UNKNOWN_TYPES:
            names[name] = names.get(name, 0) + 1

    def open_call(self, call_id: str, tool: Tool) -> None:
        """Remember a call that waits for its result."""
        calls = self.memory.open_calls
        calls[call_id] = tool
        if len(calls) > OPEN_CALLS:
            del calls[next(iter(calls))]

    def _feed_tolerantly(self, line: bytes, offset: int) -> list[Event]:
        """The events of a line that the strict decoder refuses."""
        if not line.strip():
            return []
        found, complete = read_tolerantly(line)
        events: list[Event] = []
        for value in found:
            self._total += 1
            if isinstance(value.value, dict):
                span = Span(offset + value.start, value.length)
                events.extend(filter(self._admit, self.read(coerce(value.value, self._kind), span)))
            else:
                self.unknown(f"({type(value.value).__name__})")
        if not complete:
            self._total += 1
            self._undecodable += 1
        return events

    def _admit(self, event: Event) -> bool:
        """Whether the event is new here; a new one moves the turn."""
        uid = event.uid
        if uid in self._known_uids:
            return False
        if len(self._recent) == RECENT_EVENTS:
            self._known_uids.discard(self._recent[0])
        self._recent.append(uid)
        self._known_uids.add(uid)
        _MOVES[event.kind](self, event)
        return True

    def _on_call(self, event: Event) -> None:
        if event.call_id:
            self.open_call(event.call_id, Tool(event.tool, event.tool_kind))
        self.memory.turn = Turn.OPEN

    def _on_result(self, event: Event) -> None:
        self.memory.open_calls.pop(event.call_id, None)
        self.memory.turn = Turn.OPEN

    def _on_assistant(self, event: Event) -> None:
        if event.sidechain and not self.session.machine_run:
            return  # a sub-agent's last word leaves its parent at work
        if event.ends_turn:
            self.close_turn()
        elif not self.memory.open_calls:
            self.memory.turn = Turn.CLOSED if self.text_closes else Turn.OPEN

    def _on_user(self, event: Event) -> None:
        if event.author is Author.HUMAN and not event.uid.startswith(QUEUED):
            self.memory.open_calls.clear()  # whoever prompts again is not waiting for a call
            self.memory.turn = Turn.OPEN
        elif self.session.machine_run or event.author is Author.HUMAN:
            self.memory.turn = Turn.OPEN

    def _on_close(self, _event: Event) -> None:
        self.close_turn()

    def _on_end(self, _event: Event) -> None:
        self.close_turn()
        self.memory.turn = Turn.ENDED

    def _stay(self, _event: Event) -> None:
        """Most kinds of events say nothing about whose turn it is."""

    @property
    def text_closes(self) -> bool:
        """Whether a text of the agent without an open call may be its last: logs that name no end of turn."""
        return True

    def close_turn(self) -> None:
        """Note that the agent is done: calls that are still open will get no result."""
        self.memory.open_calls.clear()
        self.memory.turn = Turn.CLOSED


_MOVES: Final = dict.fromkeys(EventKind, LogParser._stay) | {  # noqa: SLF001 - the table belongs to the class
    EventKind.TOOL_CALL: LogParser._on_call,  # noqa: SLF001
    EventKind.TOOL_RESULT: LogParser._on_result,  # noqa: SLF001
    EventKind.ASSISTANT: LogParser._on_assistant,  # noqa: SLF001
    EventKind.USER: LogParser._on_user,  # noqa: SLF001
    EventKind.INTERRUPT: LogParser._on_close,  # noqa: SLF001
    EventKind.SESSION_END: LogParser._on_end,  # noqa: SLF001
}

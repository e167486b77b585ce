"""What a message of Cline, Roo Code or Kilo Code says: who speaks, which tool was called, how it went."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from selfdistill.model import Author, Event, EventKind, Span, ToolKind
from selfdistill.sources.base import NO_TOOL, bounded
from selfdistill.sources.cline_texts import (
    QUESTIONS,
    SPEAKING,
    Call,
    environment_facts,
    given_back,
    headed,
    human_words,
    of_program,
    spoken_parts,
)
from selfdistill.sources.conversation import ConversationMemory, ConversationParser
from selfdistill.sources.decoding import bounded_id, digest, fact, seconds

_INTERRUPTED: Final = "[Response interrupted by user]"
_BROKEN_OFF: Final = "[Response interrupted by API Error]"
_RESUMED: Final = "[TASK RESUMPTION]"
_SILENT: Final = frozenset({"thinking", "redacted_thinking", "reasoning", "image", "image_url", "file", "media"})
_ASKED: Final = 16  # questions to a person that may wait for their answers; more than one never do
_RESUMED_IN: Final = re.compile(r"current working directory is now '([^'\n]+)'")


class Part(Struct, frozen=True, gc=False):
    """A piece of a message in the way of the Anthropic API, or (with camel-cased names) of the AI SDK."""

    type: str = ""
    text: str = ""
    id: str = ""
    name: str = ""
    input: Raw = field(default_factory=Raw)
    tool_use_id: str = ""
    content: Raw = field(default_factory=Raw)
    is_error: bool | None = None
    tool_call_id: str = field(default="", name="toolCallId")
    tool_name: str = field(default="", name="toolName")
    output: Raw = field(default_factory=Raw)


class Line(Struct, frozen=True, gc=False):
    """A rendered record: the session, a message, or the end."""

    type: str = ""
    role: str = ""
    id: str = ""
    ts: str | float | None = None
    content: str | list[Part] | None = None
    model: str = ""
    cwd: str = ""
    parent: str = ""
    spoken: bool = False
    headless: bool = False
    status: str = ""
    is_summary: bool = field(default=False, name="isSummary")
    is_truncation: bool = field(default=False, name="isTruncationMarker")


class ClineMemory(ConversationMemory):
    """What this parser remembers beside what all do."""

    previous: str = ""  # key of the message before, on which ids hang where the log gives none
    asked: dict[str, str] = field(default_factory=dict)  # calls that are words to the person, with their tools
    spoken: bool = False  # a user's text without a tag is a person's: so the new Cline writes
    sub_task: bool = False  # the first task is the parent's words


_decoder: Final = msgspec.json.Decoder(Line)
_arguments: Final = msgspec.json.Decoder(dict[str, Raw])


class Said(NamedTuple):
    """A text of a message with the id of what it says."""

    uid: str
    text: str


class ClineParser(ConversationParser[ClineMemory, Line]):
    """Reads one rendered task."""

    def __init__(self, memory: ClineMemory) -> None:
        super().__init__(memory, _decoder, Line)
        self._busy = False

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one record says."""
        self.span, self.at = span, seconds(record.ts)
        if record.role in {"user", "assistant", "tool"}:
            return self._message(record)
        if record.type == "session":
            self._begin(record)
        elif record.type == "ended":
            return [self.event(EventKind.SESSION_END, digest("ended", self.memory.previous), record.status)]
        elif record.type == "reasoning" or record.role == "system":
            self.ignored()
        elif record.role == "error":
            return self.told(self._uid(record), _text(record.content))
        else:
            self.unknown(record.role or record.type or "(no role)")
        return []

    def _begin(self, record: Line) -> None:
        """Keep what the session's own record says."""
        memory = self.memory
        self.learn(cwd=record.cwd, model=record.model)
        parent = bounded_id(record.parent)
        machine_run = record.headless or (record.spoken and bool(parent))
        memory.spoken, memory.sub_task = record.spoken, bool(parent)
        memory.session = replace(memory.session, parent=parent, machine_run=machine_run)

    def _message(self, record: Line) -> list[Event]:
        """The events of a message; a type of part that nobody knows is counted and hides no other."""
        uid = self._uid(record)
        if record.model:
            self.learn(model=record.model)
        if record.is_summary or record.is_truncation:
            return [self.event(EventKind.COMPACTION, uid, _text(record.content))]
        content = record.content
        parts = [Part(type="text", text=content)] if isinstance(content, str) else content or []
        odd = next((part.type for part in parts if part.type not in _KNOWN), None)
        if odd is not None:
            self.unknown(f"{record.role}/{odd or '(no type)'}")
        return list(self._spoken(uid, parts) if record.role == "assistant" else self._heard(uid, parts))

    def _uid(self, record: Line) -> str:
        """The message's own id, else what it says after the message before: rewriting changes neither."""
        content = record.content
        parts = [] if isinstance(content, str) or content is None else content
        words = [content if isinstance(content, str) else ""]
        words += [f"{part.text}{part.id}{part.tool_use_id}{part.tool_call_id}" for part in parts]
        key = digest(record.role, str(record.ts or ""), *words)
        self.memory.previous, before = key, self.memory.previous
        return bounded_id(record.id) or digest(before, key)

    def _spoken(self, uid: str, parts: list[Part]) -> Iterator[Event]:
        """What the agent said and called; beside a question it may be at work."""
        names = [part.name or part.tool_name for part in parts if part.type in _CALLS]
        self._busy = any(name not in SPEAKING for name in names)
        for number, part in enumerate(parts):
            if part.type == "text":
                yield from self._said(f"{uid}#{number}", part.text)
            elif part.type in _CALLS:
                identity = part.id or part.tool_call_id
                yield from self._called(f"{uid}#{number}", identity, part.name or part.tool_name, bytes(part.input))

    def _said(self, uid: str, text: str) -> Iterator[Event]:
        """A text of the agent with the calls that stand in it as XML."""
        words = text.replace(_INTERRUPTED, "").replace(_BROKEN_OFF, "")
        broken = words != text
        for number, piece in enumerate(spoken_parts(words)):
            name = f"{uid}.{number}"
            if isinstance(piece, Call):
                if broken and not piece.whole:
                    continue  # it was never made
                yield from self._called(name, "", piece.tool, msgspec.json.encode(piece.arguments))
            else:
                yield from self.said(name, piece.strip())
        if text.rstrip().endswith(_INTERRUPTED):
            yield self.interrupted(f"{uid}:i", _INTERRUPTED)
        elif text.rstrip().endswith(_BROKEN_OFF):
            yield from self.told(f"{uid}:i", _BROKEN_OFF)

    def _called(self, uid: str, identity: str, tool: str, raw: bytes) -> Iterator[Event]:
        """A call, or words to the person that this agent says through a tool: then a human is next."""
        if tool not in SPEAKING:
            yield self.called(bounded_id(identity) or uid, identity, tool, raw)
            return
        if identity:
            self.memory.asked[bounded_id(identity)] = tool
            bounded(self.memory.asked, _ASKED)
        yield from self.said(bounded_id(identity) or uid, _argument(raw, SPEAKING[tool]), ends_turn=not self._busy)

    def _heard(self, uid: str, parts: list[Part]) -> Iterator[Event]:
        """What a user's message says: results, a person's words, and what programs add."""
        awaited = ""  # the tool that the text before names: its result is the next text
        for number, part in enumerate(parts):
            said = Said(f"{uid}#{number}", part.text)
            if part.type in _RESULTS:
                yield from self._native_result(said.uid, part)
            elif part.type != "text":
                continue
            elif awaited and not part.text.lstrip().startswith("<environment_details>"):
                yield from self._result(said, awaited)
                awaited = ""
            elif header := headed(part.text):
                awaited, rest = header
                if rest.strip():
                    yield from self._result(Said(said.uid, rest), awaited)
                    awaited = ""
            else:
                yield from self._typed(said)
        if awaited:
            yield from self._result(Said(f"{uid}:r", ""), awaited)

    def _native_result(self, uid: str, part: Part) -> Iterator[Event]:
        """A result that names its call."""
        call_id = bounded_id(part.tool_use_id or part.tool_call_id)
        text, failed = _returned(bytes(part.content) or bytes(part.output))
        yield from self._given(uid, call_id, text, is_error=part.is_error or failed)

    def _result(self, said: Said, tool: str) -> Iterator[Event]:
        """A result that names a tool: it answers the oldest open call of it."""
        if tool in SPEAKING:
            yield from self._answered(said, tool)
            return
        calls = self.memory.open_calls
        same = (call_id for call_id, open_call in calls.items() if open_call.name == tool)
        yield from self._given(said.uid, next(same, next(iter(calls), "")), said.text, is_error=None)

    def _given(self, uid: str, call_id: str, text: str, *, is_error: bool | None) -> Iterator[Event]:
        """A result as an event, with what a person said beside it."""
        if call_id in self.memory.asked:
            yield from self._answered(Said(uid, text), self.memory.asked[call_id])
            return
        tool = self.memory.open_calls.get(call_id, NO_TOOL)
        outcome = given_back(text, is_error=is_error, shell=tool.kind is ToolKind.SHELL)
        if outcome.cwd.startswith("/"):
            self.memory.cwd = fact(outcome.cwd)
        name = f"{call_id}:r" if call_id else uid
        yield from self.returned(name, call_id, outcome.given)
        if outcome.said:
            yield from self.asked(f"{uid}:h", outcome.said)

    def _answered(self, said: Said, tool: str) -> Iterator[Event]:
        """What a person answered to a question or said to a completion: feedback there is no refusal."""
        plain = said.text if self.memory.spoken and tool in QUESTIONS else ""
        words = human_words(said.text) or plain
        if words:
            yield from self.asked(said.uid, words)

    def _typed(self, said: Said) -> Iterator[Event]:
        """A text of a user's message that is no result."""
        text = said.text.strip()
        cwd, model = environment_facts(text)
        self.learn(cwd=cwd, model=model)
        if text.startswith("<environment_details>"):
            return
        words = human_words(text)
        if text.startswith(_RESUMED):
            found = _RESUMED_IN.search(text)
            self.learn(cwd=found[1] if found and found[1].startswith("/") else "")
            yield from self.told(f"{said.uid}:n", text)
            if not words:
                return
        if not words and self.memory.spoken and not of_program(text):
            words = text
        events = self.asked(said.uid, text, words)
        if self.memory.sub_task and words:
            self.memory.sub_task = False
            events = [replace(event, author=Author.PROGRAM) for event in events]
        yield from events


_CALLS: Final = frozenset({"tool_use", "tool-call"})
_RESULTS: Final = frozenset({"tool_result", "tool-result"})
_KNOWN: Final = frozenset({"text"}) | _CALLS | _RESULTS | _SILENT


def _argument(raw: bytes, name: str) -> str:
    """One text among a call's arguments, "" where there is none."""
    try:
        return msgspec.json.decode(_arguments.decode(raw or b"{}").get(name, Raw(b'""')), type=str)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ""


class _Operation(Struct, gc=False):
    """One of the things that a call did, or a part of its result."""

    type: str = ""
    text: str = ""
    result: Raw = field(default_factory=Raw)
    value: Raw = field(default_factory=Raw)
    error: str | None = None
    success: bool | None = None


_OPERATIONS: Final = msgspec.json.Decoder(str | list[str | _Operation] | _Operation)


def _returned(raw: bytes) -> tuple[str, bool | None]:
    """The text of a result in any of its forms, and whether one of its operations failed (None: it does not say)."""
    try:
        content = _OPERATIONS.decode(raw or b'""')
    except (msgspec.DecodeError, ValueError, RecursionError):
        return raw.decode("utf-8", "replace"), None
    parts = content if isinstance(content, list) else [content]
    told = [part.success for part in parts if isinstance(part, _Operation) and part.success is not None]
    return "\n".join(filter(None, map(_worded, parts))), (not all(told)) if told else None


def _worded(part: str | _Operation) -> str:
    """One part of a result as text."""
    if isinstance(part, str):
        return part
    inner = bytes(part.result) or bytes(part.value)
    result = _returned(inner)[0] if inner and inner != b"null" else ""
    return "\n".join(filter(None, (part.text, result, part.error or "")))


def _text(content: str | list[Part] | None) -> str:
    """The texts of a message."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.text for part in content if part.text)

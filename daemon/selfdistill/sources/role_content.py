"""Plain `{role, content}` lines: the `conversation-log.jsonl` of the tool that selfdistill re-creates, and its like.

These lines carry no ids. An event's uid hangs on the uid before it, so that a copy or a rewritten log, which repeats
its beginning, gives the same uids. A log that writes its whole history again and again begins anew with its first
record: what it repeats is left out (without times, so is a first prompt that a person repeats word for word).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from selfdistill.model import Author, Event, EventKind, Session, Span, ToolInput, ToolKind
from selfdistill.sources.base import Facts, LogParser, Memory, Tool, bounded, remembered
from selfdistill.sources.claude_code import ClaudeCode
from selfdistill.sources.decoding import bounded_id, digest, fact, glances, json_text, seconds, tool_name
from selfdistill.sources.injections import is_own_prompt, without_own, without_wrapped
from selfdistill.sources.tool_inputs import kind_of, tool_input

LOG_NAME: Final = "conversation-log.jsonl"
REMEMBERED: Final = 1024  # messages of a cumulative log whose repeats are recognised: 18 KB of state
ROLES: Final = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool", "developer": "system"}
_ROLE_TYPES: Final = frozenset({"user", "assistant", "human", "tool_call"})
_ACTIONS: Final = frozenset({"tool_call", "tool_use", "function_call"})
_RETURNS: Final = frozenset({"tool_result", "function_result", "function_call_output", "tool"})


class Part(Struct, frozen=True, gc=False):
    """A piece of content: text, or a call or result in the way of the Anthropic API."""

    type: str = ""
    text: str = ""
    id: str = ""
    name: str = ""
    input: Raw = field(default_factory=Raw)
    tool_use_id: str = ""
    content: str | list[Part] | None = None
    is_error: bool | None = None


class Function(Struct, frozen=True, gc=False):
    """What is called, in the way of OpenAI."""

    name: str = ""
    arguments: str | dict[str, Any] | None = None


class Call(Struct, frozen=True, gc=False):
    """One of a message's `tool_calls`."""

    id: str = ""
    function: Function = field(default_factory=Function)


class Message(Struct, frozen=True, gc=False):
    """A message below a record."""

    role: str | None = None
    content: str | list[Part] | None = None


class Line(Struct, frozen=True, gc=False):
    """One line, in any of the ways that are about."""

    type: str | None = None
    role: str | None = None
    content: str | list[Part] | None = None
    message: Message | str | None = None
    timestamp: str | float | None = None
    ts: str | float | None = None
    created_at: str | float | None = None
    cwd: str = ""
    name: str | None = None
    function: Function | None = None
    arguments: str | dict[str, Any] | None = None
    result: str | dict[str, Any] | None = None
    error: str | None = None
    is_error: bool | None = None
    exit_code: int | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    call_id: str | None = None


class RoleMemory(Memory):
    """What this parser remembers beside what all do."""

    chain: str = ""  # uid of the last message
    first: str = ""  # key of the first message: where it comes again, the history is being rewritten
    seen: dict[str, None] = field(default_factory=dict)
    prompted: bool = False


class _Glance(Struct):
    """What tells such lines from others."""

    type: str | None = None
    role: str | None = None
    message: Raw = field(default_factory=Raw)


class RoleContent:
    """Logs of `{role, content}` lines."""

    name: Final = "role_content"
    variables: Final = ("CLAUDE_CONFIG_DIR",)
    facts: Final = Facts(
        agent="any other: lines of `{role, content}`",
        versions="OpenAI's and Anthropic's forms",
        where="`conversation-log.jsonl` in Claude Code's project directories; other files by name: `run PATH`",
        read="messages, tool calls and results in both forms, cumulative logs",
        left_out="whatever the lines do not say: mostly times, errors and the directory",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return Claude Code's project directories: there the original tool keeps its log."""
        return ClaudeCode().roots(home, environment)

    def owns(self, path: PurePath) -> bool:
        """Tell by the one name that says it; other files are read when a person names them."""
        return path.name == LOG_NAME

    def session_hint(self, path: PurePath) -> str:
        """Return directory and stem: these logs name no session."""
        return f"{path.parent.name}/{path.stem}"

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by the one name, or by records with a role, or with a type that is one."""
        return self.owns(path) or any(
            glance.role or glance.type in _ROLE_TYPES or bytes(glance.message) for glance in glances(head, _Glance)
        )

    def layout(self, _path: PurePath) -> None:
        """Return None: lines, only ever added."""

    def open(self, path: PurePath, state: bytes | None) -> RoleParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, RoleMemory, path)
        return RoleParser(memory or RoleMemory(session=Session(id=self.session_hint(path))))


_decoder: Final = msgspec.json.Decoder(Line)


class RoleParser(LogParser[RoleMemory, Line]):
    """Reads one log of `{role, content}` lines."""

    def __init__(self, memory: RoleMemory) -> None:
        super().__init__(memory, _decoder, Line)
        self._line = Line()
        self._span = Span(0, 0)

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one line says."""
        self._line, self._span = record, span
        if record.cwd and not self.memory.session.cwd:
            self.memory.session = replace(self.memory.session, cwd=fact(record.cwd))
        if record.type in _ACTIONS:
            return self._call_of(record)
        if record.type in _RETURNS and not record.role:
            return [self._result(record.tool_call_id or record.call_id or "", _answer(record), record.is_error)]
        if record.type == "error":
            return [self._event(EventKind.NOTICE, record.error or _text(record.content) or _answer(record))]
        role, content = _said_by(record)
        if role not in {"user", "assistant", "tool", "system"}:
            self.unknown(record.type or role or "(no role)")
            return []
        return self._message(role, content)

    def _message(self, role: str, content: str | list[Part] | None) -> list[Event]:
        """The events of a message: its text, its calls and results."""
        record = self._line
        if role == "tool":
            call_id = record.tool_call_id or record.call_id or ""
            return [self._result(call_id, _text(content) or _answer(record), record.is_error)]
        if role == "system":
            self.ignored()
            return []
        text = _text(content)
        events = self._texts(role, text) if without_own(text).strip() else []
        for part in content if isinstance(content, list) else ():
            if part.type == "tool_use":
                events.append(self._call(part.id, part.name, bytes(part.input) or b"{}"))
            elif part.type == "tool_result":
                events.append(self._result(part.tool_use_id, _text(part.content), part.is_error))
        for call in record.tool_calls or ():
            events.append(self._call(call.id, call.function.name, _json(call.function.arguments)))
        return events

    def _texts(self, role: str, text: str) -> list[Event]:
        """What was said: by the agent, or by a person unless nothing but injected text is left."""
        if role == "assistant":
            return [self._event(EventKind.ASSISTANT, text)]
        memory = self.memory
        if not memory.prompted and is_own_prompt(text):
            memory.session = replace(memory.session, ignored="selfdistill")
        memory.prompted = True
        typed = without_wrapped(without_own(text)).strip()
        author = Author.HUMAN if typed else Author.PROGRAM
        return [self._event(EventKind.USER, typed or text, author)]

    def _call_of(self, record: Line) -> list[Event]:
        """A line that is a call."""
        function = record.function or Function(record.name or "", record.arguments)
        arguments = function.arguments if function.arguments is not None else record.arguments
        return [self._call(record.call_id or record.tool_call_id or "", function.name, _json(arguments))]

    def _call(self, identity: str, tool: str, raw: bytes | str) -> Event:
        kind = kind_of(tool)
        made = tool_input(kind, raw)
        event = self._event(EventKind.TOOL_CALL, "", made=made, key=f"{tool} {made.command} {made.text} {made.path}")
        return replace(event, tool=tool_name(tool), tool_kind=kind, call_id=bounded_id(identity) or event.uid)

    def _result(self, identity: str, text: str, is_error: bool | None) -> Event:  # noqa: FBT001 - the log's own field
        """A result; without an id it answers the oldest open call."""
        calls, named = self.memory.open_calls, tool_name(self._line.name or "")
        call_id = bounded_id(identity) or next(iter(calls), "")
        tool = calls.get(call_id, Tool(named, kind_of(named)))
        event = self._event(EventKind.TOOL_RESULT, text)
        return replace(
            event,
            call_id=call_id,
            tool=tool.name,
            tool_kind=tool.kind,
            is_error=is_error,
            exit_code=self._line.exit_code,
        )

    def _event(
        self,
        kind: EventKind,
        text: str,
        author: Author = Author.PROGRAM,
        *,
        made: ToolInput | None = None,
        key: str = "",
    ) -> Event:
        """An event of the line that is being read."""
        stamp = self._line.timestamp or self._line.ts or self._line.created_at
        return Event(
            kind=kind,
            span=self._span,
            uid=self._uid(digest(kind, str(stamp or ""), text or key)),
            at=seconds(stamp),
            text=without_own(text),
            author=author,
            tool_kind=ToolKind.OTHER,
            input=made,
            cwd=self._line.cwd or self.memory.session.cwd,
        )

    def _uid(self, key: str) -> str:
        """The id of a message: what it says, after all that was said before."""
        memory = self.memory
        if key == memory.first:
            memory.chain = ""
        memory.first = memory.first or key
        memory.chain = digest(memory.chain, key)
        return memory.chain

    def _admit(self, event: Event) -> bool:
        """Whether the event is new: a cumulative log repeats more than the last few."""
        seen = self.memory.seen
        if event.uid in seen:
            return False
        seen[event.uid] = None
        bounded(seen, REMEMBERED)
        return super()._admit(event)


def _said_by(record: Line) -> tuple[str, str | list[Part] | None]:
    """Role and content, wherever a record holds them."""
    inner = record.message
    role, content = record.role, record.content
    if isinstance(inner, Message):
        role, content = inner.role or role, inner.content if content is None else content
    elif isinstance(inner, str) and content is None:
        content = inner
    role = (role or record.type or "").lower()
    return ROLES.get(role, role), content


def _answer(record: Line) -> str:
    """The result of a line that is one."""
    if isinstance(record.result, str):
        return record.result
    return _json(record.result) if record.result else _text(record.content)


def _json(value: str | dict[str, Any] | None) -> str:
    """Arguments as JSON text."""
    return value if isinstance(value, str) else json_text(value or {})


def _text(content: str | list[Part] | None) -> str:
    """The texts of a content."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(
        part.text for part in content if part.type in {"text", "input_text", "output_text", ""} and part.text
    )

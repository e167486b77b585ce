"""What the messages of a Claude Code log say: prompts, answers, tool calls, results, refusals."""

from __future__ import annotations

from pathlib import PurePath
from sys import intern
from typing import Final

import msgspec
from msgspec import field
from msgspec.structs import replace

from selfdistill.model import Author, Event, EventKind, Span
from selfdistill.sources.base import NO_TOOL, LogParser, Memory
from selfdistill.sources.claude_authors import (
    INTERRUPT,
    accepted_plan,
    slash_command,
    text_of_program,
    written_by_program,
)
from selfdistill.sources.claude_queue import Queue
from selfdistill.sources.claude_records import Block, Message, Record, ToolUseResult
from selfdistill.sources.claude_results import Refusal, failed, result_text
from selfdistill.sources.decoding import bounded_id, digest, fact, seconds, tool_name
from selfdistill.sources.injections import is_own_prompt, without_own, without_wrapped
from selfdistill.sources.tool_inputs import kind_of, tool_input

SYNTHETIC: Final = "<synthetic>"
_ENDS: Final = frozenset({"end_turn", "stop_sequence", "max_tokens", "refusal"})
_EXITS: Final = frozenset({"exit", "quit"})
_decoder: Final = msgspec.json.Decoder(Record)


class ClaudeMemory(Memory):
    """What a Claude Code parser remembers beside what all do."""

    queue: Queue = field(default_factory=Queue)
    settled_id: bool = False  # the session id is from a record
    prompted: bool = False  # the first prompt was seen


class MessageParser(LogParser[ClaudeMemory, Record]):
    """The part of the parser that reads user and assistant messages."""

    def __init__(self, path: PurePath, memory: ClaudeMemory) -> None:
        super().__init__(memory, _decoder, Record)
        self.subagent = path.name.startswith("agent-")

    def event(self, kind: EventKind, record: Record, span: Span, uid: str, text: str, author: Author) -> Event:
        """An event with what the envelope gives to all of them."""
        return Event(
            kind=kind,
            span=span,
            uid=uid,
            at=seconds(record.timestamp),
            text=without_own(text),
            author=author,
            cwd=intern(record.cwd),
            sidechain=bool(record.isSidechain) or self.subagent,
        )

    def read_assistant(self, record: Record, span: Span) -> list[Event]:
        """Return what the agent said and called."""
        message = record.message
        if message is None or not message.content:
            return []
        if record.isApiErrorMessage or message.model == SYNTHETIC:
            self.close_turn()
            return [self.notice(record, span, _joined(message))]
        if message.model and message.model != self.memory.session.model and (self.subagent or not record.isSidechain):
            self.memory.session = replace(self.memory.session, model=fact(message.model))
        if isinstance(message.content, str):
            return [self._said(record, span, record_uid(record), message.content, message)]
        return self._blocks(record, span, message, message.content)

    def _blocks(self, record: Record, span: Span, message: Message, blocks: list[Block]) -> list[Event]:
        """The events of an assistant message: one block a line, rarely several."""
        events: list[Event] = []
        for number, block in enumerate(blocks):
            if block.type == "tool_use" or (block.type == "server_tool_use" and block.name):
                events.append(self._call(record, span, block))
            elif block.type == "text" and block.text:
                events.append(self._said(record, span, record_uid(record, number), block.text, message))
        return events

    def _said(self, record: Record, span: Span, uid: str, text: str, message: Message) -> Event:
        """What the agent said; `stop_reason` is null on all but the last block, in old versions on that too."""
        said = self.event(EventKind.ASSISTANT, record, span, uid, text, Author.PROGRAM)
        return replace(said, ends_turn=True) if message.stop_reason in _ENDS else said

    def _call(self, record: Record, span: Span, block: Block) -> Event:
        """A tool call; the API's server runs `server_tool_use` itself, so that nothing is open then."""
        kind = kind_of(block.name)
        call_id = bounded_id(block.id)
        return Event(
            kind=EventKind.TOOL_CALL,
            span=span,
            uid=call_id or record_uid(record),
            at=seconds(record.timestamp),
            tool=tool_name(block.name),
            tool_kind=kind,
            input=tool_input(kind, block.input),
            call_id="" if block.type == "server_tool_use" else call_id,
            cwd=intern(record.cwd),
            sidechain=bool(record.isSidechain) or self.subagent,
        )

    def read_user(self, record: Record, span: Span) -> list[Event]:
        """Return what a user record says: results, a prompt, or a program's words."""
        content = record.message.content if record.message is not None else None
        if not content:
            return []
        if isinstance(content, str):
            return self._user_text(record, span, record_uid(record), content)
        events: list[Event] = []
        typed: list[tuple[str, str]] = []
        for number, block in enumerate(content):
            if block.type == "tool_result":
                events.extend(self._result(record, span, block))
            elif block.type == "text":
                typed.append((record_uid(record, number), block.text))
            elif block.type == "image" and not record.isMeta and len(content) == 1:
                typed.append((record_uid(record, number), "[image]"))
        return events + self._user_blocks(record, span, typed)

    def _user_blocks(self, record: Record, span: Span, typed: list[tuple[str, str]]) -> list[Event]:
        """The events of a message's texts; what a person typed in several blocks is one prompt."""
        events = [event for uid, text in typed for event in self._user_text(record, span, uid, text)]
        human: list[Event] = []
        others: list[Event] = []
        for event in events:  # a hostile message may have a million blocks: nothing here may look for one in another
            (human if event.kind is EventKind.USER and event.author is Author.HUMAN else others).append(event)
        if len(human) < 2:  # noqa: PLR2004 - nothing to join
            return events
        return [*others, replace(human[0], text="\n".join(event.text for event in human))]

    def _user_text(self, record: Record, span: Span, uid: str, text: str) -> list[Event]:
        """What a user's text is: a prompt, an interrupt, a command, a summary, or a program's words."""
        if not without_own(text).strip():
            return []
        if record.isCompactSummary:
            return [self.event(EventKind.COMPACTION, record, span, uid, text, Author.PROGRAM)]
        if text.startswith(INTERRUPT):
            return [self.event(EventKind.INTERRUPT, record, span, uid, text, self.person(record))]
        if command := slash_command(text):
            return [self.command(record, span, uid, command)]
        self._check_first_prompt(record, text)
        typed = "" if text_of_program(text) else without_own(text)
        if "</" in text and not typed.strip().startswith("<command"):
            typed = without_wrapped(without_own(text))
            typed = "" if text_of_program(typed) else typed
        if not typed.strip() or written_by_program(record) or accepted_plan(record, text):
            return [self.event(EventKind.USER, record, span, uid, text, Author.PROGRAM)]
        self.memory.queue.seen(typed, attached=False)
        return [self.event(EventKind.USER, record, span, uid, typed.strip(), self.person(record))]

    def _check_first_prompt(self, record: Record, text: str) -> None:
        """A session that begins with our own distiller's prompt is none to learn from."""
        if self.memory.prompted or record.isMeta:
            return
        self.memory.prompted = True
        if is_own_prompt(text):
            self.memory.session = replace(self.memory.session, ignored="selfdistill")

    def person(self, record: Record) -> Author:
        """A person, unless a program drives the whole session."""
        machine = self.memory.session.machine_run or record.isSidechain or self.subagent
        return Author.PROGRAM if machine else Author.HUMAN

    def command(self, record: Record, span: Span, uid: str, command: tuple[str, str]) -> Event:
        """A slash command: /exit ends the session, any other is a text that a program made of it."""
        name, arguments = command
        kind = EventKind.SESSION_END if name in _EXITS else EventKind.USER
        return self.event(kind, record, span, uid, f"/{name} {arguments}".rstrip(), Author.PROGRAM)

    def _result(self, record: Record, span: Span, block: Block) -> list[Event]:
        """A tool result, with the refusal, interrupt or change by the user that it may stand for."""
        call_id = bounded_id(block.tool_use_id)
        tool = self.memory.open_calls.get(call_id, NO_TOOL)
        text, code, refusal, feedback = result_text(block.content), None, Refusal.NONE, ""
        if block.is_error:
            text, code, refusal, feedback = failed(text, record.toolDenialKind or "", record.userFeedback or "")
        event = Event(
            kind=EventKind.TOOL_RESULT,
            span=span,
            uid=f"{call_id or record_uid(record)}:r",
            at=seconds(record.timestamp),
            text=without_own(text),
            tool=tool.name,
            tool_kind=tool.kind,
            call_id=call_id,
            is_error=bool(block.is_error),  # a flag that is not there says that the call worked
            exit_code=code,
            cwd=intern(record.cwd),
            sidechain=bool(record.isSidechain) or self.subagent,
        )
        if block.is_error or isinstance(record.toolUseResult, ToolUseResult):
            return [event, *self._human_part(record, span, event, refusal, feedback)]
        return [event]

    def _human_part(self, record: Record, span: Span, result: Event, refusal: Refusal, feedback: str) -> list[Event]:
        """What a person did beside the result: rejected the call, interrupted it, changed the proposed edit."""
        uid = result.uid.removesuffix(":r")
        if refusal is Refusal.PERSON:
            made = self.event(EventKind.REJECTION, record, span, f"{uid}:x", feedback, self.person(record))
        elif refusal is Refusal.RULE:
            made = self.event(EventKind.NOTICE, record, span, f"{uid}:d", result.text, Author.PROGRAM)
        elif result.is_error and result.text.startswith(INTERRUPT):
            made = self.event(EventKind.INTERRUPT, record, span, f"{uid}:i", result.text, self.person(record))
        elif isinstance(record.toolUseResult, ToolUseResult) and record.toolUseResult.userModified:
            text = "The user changed the proposed edit before accepting it."
            made = self.event(EventKind.NOTICE, record, span, f"{uid}:m", text, self.person(record))
        else:
            return []
        return [replace(made, call_id=result.call_id, tool=result.tool, tool_kind=result.tool_kind)]

    def notice(self, record: Record, span: Span, text: str) -> Event:
        """Something the harness says."""
        return self.event(EventKind.NOTICE, record, span, record_uid(record), text, Author.PROGRAM)


def record_uid(record: Record, number: int = 0) -> str:
    """The record's own id, with the number of the block where it is not the first; made from its text where none is."""
    uid = bounded_id(record.uuid) or digest(
        record.type, record.timestamp or "", record.content or _joined(record.message)
    )
    return f"{uid}#{number}" if number else uid


def _joined(message: Message | None) -> str:
    """The texts of a message."""
    if message is None or not message.content:
        return ""
    if isinstance(message.content, str):
        return message.content
    return "\n".join(block.text for block in message.content if block.text)

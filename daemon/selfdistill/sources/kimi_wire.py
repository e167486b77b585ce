"""What the records of a `wire.jsonl` say: Kimi Code's own, and the messages of the older Kimi CLI."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from selfdistill.model import Author, Event, EventKind, Span, Turn
from selfdistill.sources.conversation import ConversationMemory, ConversationParser, Given, by_user, ended_with
from selfdistill.sources.decoding import digest, seconds, typed
from selfdistill.sources.kimi_records import (
    LOOP_STATE,
    STATE,
    WIRE_STATE,
    Envelope,
    Line,
    LoopEvent,
    Message,
    Origin,
    Part,
    Payload,
    Result,
)

_BY_SUBAGENTS: Final = frozenset({"ContentPart", "TextPart", "ToolCall", "ToolResult"})
_TYPED: Final = frozenset({"", "user"})
_EXIT_CODE: Final = re.compile(r"\n?(?:Command )?[Ff]ailed with exit code: (-?\d{1,10})\.?\s*\Z")
_REJECTED: Final = re.compile(
    r"was not run because the user rejected the approval request\."
    r"(?: Reason: (.*?))?(?: Do not re-attempt the exact same call.*| Try a different approach.*)?\Z",
    re.DOTALL,
)
_DIRECTORY: Final = re.compile(r"current working directory is `(/[^`\n]+)`")


class KimiMemory(ConversationMemory):
    """What this parser remembers beside what all do."""

    cancelled: bool = False  # the user stopped the turn; results that come later open it no more


_decoder: Final = msgspec.json.Decoder(Line)
_message_decoder: Final = msgspec.json.Decoder(Message)
_envelope_decoder: Final = msgspec.json.Decoder(Envelope)
_payload_decoder: Final = msgspec.json.Decoder(Payload)


class KimiParser(ConversationParser[KimiMemory, Line]):
    """Reads one wire log."""

    def __init__(self, memory: KimiMemory) -> None:
        super().__init__(memory, _decoder, Line)
        self._stamp = ""

    @property
    def text_closes(self) -> bool:
        """Every step says why it ended."""
        return False

    @property
    def turn(self) -> Turn:
        """Where the conversation stands after the last line."""
        return Turn.CLOSED if self.memory.cancelled else super().turn

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one line says."""
        moment = record.time or record.timestamp
        self.span, self.at, self._stamp = span, seconds(moment), str(moment or "")
        self.sidechain = self.memory.session.machine_run
        reader = _READERS.get(record.type)
        if reader is not None:
            return reader(self, record)
        if not record.type and bytes(record.message):
            return self._read_wire(typed(record.message, _envelope_decoder, Envelope))
        if record.type in STATE:
            self.ignored()
        else:
            self.unknown(record.type or "(no type)")
        return []

    def _uid(self, kind: str, text: str) -> str:
        return digest(kind, self._stamp, text)

    def read_config(self, line: Line) -> list[Event]:
        """Directory and model, as far as they are told."""
        found = _DIRECTORY.search(line.systemPrompt) if "working directory" in line.systemPrompt else None
        disclosed = line.environmentDisclosure.cwd if line.environmentDisclosure is not None else ""
        self.learn(cwd=line.cwd or disclosed or (found[1] if found else ""), model=line.modelAlias or line.model)
        return []

    def read_request(self, line: Line) -> list[Event]:
        """A request to the model, of which only its name is of use."""
        if line.model and not self.memory.session.model:
            self.learn(model=line.model)
        self.ignored()
        return []

    def read_prompt(self, _line: Line) -> list[Event]:
        """A turn begins; its message follows."""
        self._begin()
        return []

    def _begin(self) -> None:
        self.memory.turn, self.memory.cancelled = Turn.OPEN, False

    def read_message(self, line: Line) -> list[Event]:
        """A message that is put into the context: a person's, or one of many programs'."""
        message = typed(line.message, _message_decoder, Message)
        if message.role != "user":
            self.ignored()
            return []
        origin, text = message.origin or Origin(), _text(message.content)
        uid = self._uid("user", text)
        if origin.kind == "shell_command":
            return self.told(uid, f"! {text}" if origin.phase == "input" else text, self.person())
        return self.asked(uid, text, None if origin.kind in _TYPED else "")

    def read_loop(self, line: Line) -> list[Event]:
        """Something that happened in the agent's loop."""
        event = line.event or LoopEvent()
        reader = _LOOP_READERS.get(event.type)
        if reader is not None:
            return reader(self, event)
        if event.type in LOOP_STATE:
            self.ignored()
        else:
            self.unknown(f"loop/{event.type or '(no type)'}")
        return []

    def read_step(self, _event: LoopEvent) -> list[Event]:
        """The model is asked."""
        self._begin()
        return []

    def read_step_end(self, event: LoopEvent) -> list[Event]:
        """The model has answered: with calls, or for good."""
        if event.finishReason not in {None, "tool_use"}:
            self.close_turn()
        return []

    def read_part(self, event: LoopEvent) -> list[Event]:
        """A piece of the answer."""
        part = event.part or Part()
        if part.type != "text":
            self.ignored()
            return []
        return self.said(event.uuid or self._uid("said", part.text), part.text)

    def read_call(self, event: LoopEvent) -> list[Event]:
        """A tool call."""
        return [self.called(self._uid("call", event.toolCallId), event.toolCallId, event.name, bytes(event.args))]

    def read_result(self, event: LoopEvent) -> list[Event]:
        """A tool's result."""
        given = event.result or Result()
        return self._returned(event.toolCallId, given, _text(given.output))

    def _returned(self, call_id: str, given: Result, text: str) -> list[Event]:
        """A result, with what its last sentence says."""
        failed = bool(given.isError or given.is_error)  # a flag that is not there says that the call worked
        code, feedback, refused = None, "", False
        if failed:
            text, code = ended_with(_EXIT_CODE, text)
            rejected = _REJECTED.search(text)
            refused, feedback = bool(rejected) or by_user(text), (rejected[1] or "") if rejected else ""
        given_back = Given(text, failed, code, refused, feedback.strip())
        return self.returned(self._uid("result", call_id), call_id, given_back)

    def read_cancel(self, _line: Line) -> list[Event]:
        """The user stopped the turn; with none running, that is no interrupt."""
        if self.memory.cancelled or self.memory.turn is Turn.CLOSED:
            return []
        self.memory.cancelled = True
        return [self.interrupted(self._uid("cancel", ""), "turn cancelled")]

    def read_turn_end(self, line: Line) -> list[Event]:
        """A turn ended (protocol 1.6): a cancelled one was told before, if it was the user."""
        if line.reason == "cancelled":
            return self.read_cancel(line)
        self.close_turn()
        return self.told(self._uid("ended", ""), "turn failed") if line.reason == "failed" else []

    def read_compaction(self, line: Line) -> list[Event]:
        """The context was summarised."""
        return [self.event(EventKind.COMPACTION, self._uid("compaction", line.summary), line.summary)]

    def read_undo(self, line: Line) -> list[Event]:
        """The user took back turns."""
        text = f"The user undid the last {line.count or 1} turns."
        return self.told(self._uid("undo", text), text, self.person())

    def _read_wire(self, envelope: Envelope) -> list[Event]:
        """A message of Kimi CLI's wire."""
        payload = typed(envelope.payload, _payload_decoder, Payload) if bytes(envelope.payload) else Payload()
        reader = _WIRE_READERS.get(envelope.type)
        if reader is not None:
            return reader(self, payload)
        if envelope.type in WIRE_STATE:
            self.ignored()
        else:
            self.unknown(f"wire/{envelope.type or '(no type)'}")
        return []

    def wire_prompt(self, payload: Payload) -> list[Event]:
        """What the user typed, at first or while the agent worked."""
        self._begin()
        text = _text(payload.user_input)
        return self.asked(self._uid("user", text), text)

    def wire_part(self, payload: Payload) -> list[Event]:
        """A piece of the answer."""
        return self.said(self._uid("said", payload.text), payload.text) if payload.type == "text" else []

    def wire_call(self, payload: Payload) -> list[Event]:
        """A tool call: its arguments are JSON inside a string."""
        function = payload.function or {}
        name, raw = function.get("name"), function.get("arguments")
        uid = self._uid("call", payload.id)
        return [
            self.called(uid, payload.id, name if isinstance(name, str) else "", raw if isinstance(raw, str) else "")
        ]

    def wire_result(self, payload: Payload) -> list[Event]:
        """A tool's result: the exit code and a refusal are in its message."""
        given = payload.return_value or Result()
        text = "\n".join(filter(None, (_text(given.output), given.message if given.is_error else "")))
        return self._returned(payload.tool_call_id, given, text)

    def wire_end(self, _payload: Payload) -> list[Event]:
        """The turn is over."""
        self.close_turn()
        return []

    def wire_interrupt(self, _payload: Payload) -> list[Event]:
        """A step stopped in its midst."""
        self.memory.cancelled = True
        return [self.interrupted(self._uid("cancel", ""), "step interrupted")]

    def wire_compaction(self, _payload: Payload) -> list[Event]:
        """The context is being summarised; the summary is not told."""
        return [self.event(EventKind.COMPACTION, self._uid("compaction", ""))]

    def wire_step(self, _payload: Payload) -> list[Event]:
        """The model is asked."""
        self._begin()
        return []

    def wire_notice(self, payload: Payload) -> list[Event]:
        """A notification of the program's."""
        text = "\n".join(filter(None, (payload.title, payload.body)))
        return self.told(self._uid("notice", text), text, Author.PROGRAM)

    def wire_subagent(self, payload: Payload) -> list[Event]:
        """Something that a sub-agent did; where its turns begin and end is no matter of its parent's."""
        if payload.event is None or payload.event.type not in _BY_SUBAGENTS:
            self.ignored()
            return []
        self.sidechain = True
        return self._read_wire(payload.event)


def _text(content: str | list[Part] | None) -> str:
    """The texts of a content; a message of pictures alone is told as such."""
    if content is None or isinstance(content, str):
        return content or ""
    text = "\n".join(part.text for part in content if part.text)
    return text or ("[image]" if any(part.type.startswith("image") for part in content) else "")


_READERS: Final[dict[str, Callable[[KimiParser, Line], list[Event]]]] = {
    "config.update": KimiParser.read_config,
    "profile.bind": KimiParser.read_config,
    "llm.request": KimiParser.read_request,
    "turn.prompt": KimiParser.read_prompt,
    "turn.cancel": KimiParser.read_cancel,
    "turn.ended": KimiParser.read_turn_end,
    "context.append_message": KimiParser.read_message,
    "context.append_loop_event": KimiParser.read_loop,
    "context.apply_compaction": KimiParser.read_compaction,
    "context.undo": KimiParser.read_undo,
}
_LOOP_READERS: Final[dict[str, Callable[[KimiParser, LoopEvent], list[Event]]]] = {
    "step.begin": KimiParser.read_step,
    "step.end": KimiParser.read_step_end,
    "content.part": KimiParser.read_part,
    "tool.call": KimiParser.read_call,
    "tool.result": KimiParser.read_result,
}
_WIRE_READERS: Final[dict[str, Callable[[KimiParser, Payload], list[Event]]]] = {
    "TurnBegin": KimiParser.wire_prompt,
    "SteerInput": KimiParser.wire_prompt,
    "TurnEnd": KimiParser.wire_end,
    "StepBegin": KimiParser.wire_step,
    "StepInterrupted": KimiParser.wire_interrupt,
    "CompactionBegin": KimiParser.wire_compaction,
    "ContentPart": KimiParser.wire_part,
    "TextPart": KimiParser.wire_part,
    "ThinkPart": KimiParser.wire_part,
    "ToolCall": KimiParser.wire_call,
    "ToolResult": KimiParser.wire_result,
    "Notification": KimiParser.wire_notice,
    "SubagentEvent": KimiParser.wire_subagent,
}

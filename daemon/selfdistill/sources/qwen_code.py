"""Qwen Code: `~/.qwen/projects/<directory>/chats/<session>.jsonl`, sub-agents' logs below `subagents` (formats.md 5).

The log cannot say whether a program started the session (`qwen -p`), and in the terminal neither when a turn nor when
the session ends: a turn's last text stands for its end (`turn_result` is written by the daemon mode only).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Final

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from selfdistill.model import Event, EventKind, Session, Span
from selfdistill.sources.base import QUEUED, Facts, remembered
from selfdistill.sources.decoding import bounded_id, digest, fact, glances, seconds, typed
from selfdistill.sources.gemini_parser import ContentMemory, ContentParser
from selfdistill.sources.gemini_texts import parts_of, texts_of
from selfdistill.sources.injections import is_own_place
from selfdistill.sources.qwen_records import SYSTEM_STATE, Body, Payload, Record

_TYPED: Final = frozenset({"", "mid_turn_user_message", "realtime_message"})
_EXITS: Final = re.compile(r"/(?:quit|exit)\b")
_payload_decoder: Final = msgspec.json.Decoder(Payload)


class _Glance(Struct):
    """What tells these records from others', Claude Code's above all."""

    type: str | None = None
    subtype: str | None = None
    provenance: str | None = None
    message: Raw = field(default_factory=Raw)


class _Body(Struct):
    """A message in the way of Google's API."""

    role: str | None = None
    parts: Raw = field(default_factory=Raw)


_body: Final = msgspec.json.Decoder(_Body)


class QwenMemory(ContentMemory):
    """What this parser remembers beside what both do."""

    named: bool = False  # the session id is from a record


class QwenCode:
    """Logs of Qwen Code and its sub-agents."""

    name: Final = "qwen_code"
    variables: Final = ("QWEN_HOME", "QWEN_RUNTIME_DIR")
    facts: Final = Facts(
        agent="Qwen Code",
        versions="0.21.13, 0.21.14; to 0.24.7 from its source",
        where="`~/.qwen/projects/*/chats` (also `archive`), `~/.qwen/projects/*/subagents`",
        read="messages, tools with results, exit codes out of the text, refusals, interrupts, compactions, rewinds",
        left_out="thoughts, telemetry, sidecars, sessions of the managed engine, JSON documents of the first versions",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directory of all projects: that of `QWEN_RUNTIME_DIR`, else of `QWEN_HOME`, else the default."""
        named = (environment.get(name, "") for name in ("QWEN_RUNTIME_DIR", "QWEN_HOME"))
        base = next((Path(each) for each in named if each.startswith("/")), home / ".qwen")
        return (base / "projects",)

    def owns(self, path: PurePath) -> bool:
        """Tell whether a file below a root is a session's or a sub-agent's log."""
        parts = path.parts[:-1]
        if path.suffix != ".jsonl" or path.name.endswith(".ledger.jsonl"):
            return False
        return "chats" in parts or ("subagents" in parts and path.name.startswith("agent-"))

    def session_hint(self, path: PurePath) -> str:
        """Return the file's stem, or the parent session's id for a log below `subagents/<session>`."""
        return path.parent.name if "subagents" in path.parts[:-2] else path.stem

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by a project's place, or by a message with parts, as Claude Code writes none."""
        if ".qwen" in path.parts and self.owns(path):
            return True
        return any(
            glance.type in {"user", "assistant", "tool_result", "system"}
            and (glance.provenance or (bytes(glance.message) and bytes(typed(glance.message, _body, _Body).parts)))
            for glance in glances(head, _Glance)
        )

    def layout(self, _path: PurePath) -> None:
        """Return None: lines, only ever added."""

    def open(self, path: PurePath, state: bytes | None) -> QwenParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, QwenMemory, path)
        return QwenParser(memory or self._first_memory(path))

    def _first_memory(self, path: PurePath) -> QwenMemory:
        """What name and place say about the session."""
        hint = bounded_id(self.session_hint(path))
        subagent = "subagents" in path.parts[:-2]
        return QwenMemory(session=Session(id=hint, parent=hint if subagent else "", machine_run=subagent))


_decoder: Final = msgspec.json.Decoder(Record)


class QwenParser(ContentParser[QwenMemory, Record]):
    """Reads one log of Qwen Code."""

    def __init__(self, memory: QwenMemory) -> None:
        super().__init__(memory, _decoder, Record)
        self._uid = ""
        self._number = 0

    def read(self, record: Record, span: Span) -> list[Event]:
        """Return what one record says."""
        reader = _READERS.get(record.type or "")
        if reader is None:
            self.unknown(record.type or "(no type)")
            return []
        self.span, self.at = span, seconds(record.timestamp)
        self.sidechain = bool(record.isSidechain)
        self._uid = bounded_id(record.uuid or "") or digest(
            record.type or "", record.timestamp or "", *_texts(record.message)
        )
        self._learn(record)
        return reader(self, record)

    def call_uid(self, _call_id: str) -> str:
        """Return the record's own id and the part's number: forks keep these, and local models number their calls."""
        return f"{self._uid}#{self._number}"

    def _learn(self, record: Record) -> None:
        """Keep what a record says about the session."""
        memory, session = self.memory, self.memory.session
        identity = bounded_id(record.sessionId or "")
        if identity and not memory.named:
            memory.named = True
            machine_run = session.machine_run or self.sidechain
            session = replace(
                session, id=identity, parent=identity if machine_run else session.parent, machine_run=machine_run
            )
        memory.cwd = fact(record.cwd or "") or memory.cwd
        model = fact(record.model or "") if session.machine_run or not self.sidechain else ""
        memory.session = replace(
            session,
            cwd=session.cwd or memory.cwd,
            model=model or session.model,
            agent_version=fact(record.version or "") or session.agent_version,
            ignored=session.ignored or ("selfdistill" if is_own_place(memory.cwd) else ""),
        )

    def _read_user(self, record: Record) -> list[Event]:
        """A prompt, or one of the many texts that programs send as the user."""
        payload = _payload(record)
        shown = (payload.displayText or "").strip()
        subtype = record.subtype or ""
        human = (record.provenance or "real_user") == "real_user" and subtype in _TYPED and not record.externalInputKind
        queued = QUEUED if subtype == "mid_turn_user_message" else ""
        return self.read_prompt(
            f"{queued}{self._uid}", [shown] if shown and human else _texts(record.message), human=human
        )

    def _read_assistant(self, record: Record) -> list[Event]:
        """What the agent said and called."""
        events: list[Event] = []
        text = "\n".join(_texts(record.message))
        if text.strip():
            events.append(self.event(EventKind.ASSISTANT, self._uid, text))
        for self._number, part in enumerate(parts_of(record.message.parts if record.message else None)):
            if part.functionCall is not None:
                call = part.functionCall
                events.append(self.read_call(call.id or self.call_uid(""), call.name, call.args))
        return events

    def _read_result(self, record: Record) -> list[Event]:
        """What calls have given back."""
        events: list[Event] = []
        ended = record.toolCallResult
        for self._number, part in enumerate(parts_of(record.message.parts if record.message else None)):
            if part.functionResponse is not None:
                answer = part.functionResponse
                identity = answer.id or (ended.callId if ended else None) or ""
                status = (ended.status if ended else None) or ""
                events.extend(self.read_answer(identity, answer.name, status, answer.response))
        return events

    def _read_system(self, record: Record) -> list[Event]:
        """What the program notes beside the conversation."""
        reader = _SYSTEM_READERS.get(record.subtype or "")
        if reader is not None:
            return reader(self, _payload(record))
        if record.subtype in SYSTEM_STATE:
            self.ignored()
        else:
            self.unknown(f"system/{record.subtype}")
        return []

    def _on_compression(self, payload: Payload) -> list[Event]:
        texts = [text for body in (payload.compressedHistory or [])[:1] for text in _texts(body)]
        return [self.event(EventKind.COMPACTION, self._uid, "\n".join(texts))]

    def _on_rewind(self, _payload: Payload) -> list[Event]:
        self.close_turn()
        return [self.event(EventKind.NOTICE, self._uid, "The user took back the last messages.", self.person())]

    def _on_command(self, payload: Payload) -> list[Event]:
        """A slash command: /quit ends the session, any other is a text that a program made of it."""
        command = (payload.rawCommand or "").strip()
        if payload.phase == "result" or not command:
            self.ignored()
            return []
        kind = EventKind.SESSION_END if _EXITS.match(command) else EventKind.USER
        return [self.event(kind, self._uid, command)]

    def _on_turn_result(self, payload: Payload) -> list[Event]:
        """How a turn ended: in the daemon mode only."""
        self.close_turn()
        if payload.state == "cancelled" and not self.memory.stopped:
            self.memory.stopped = True
            return [self.event(EventKind.INTERRUPT, self._uid, "turn cancelled", self.person())]
        text = (payload.error.message or "") if payload.error is not None else ""
        if text.strip():
            return [self.event(EventKind.NOTICE, self._uid, text)]
        self.ignored()
        return []

    def _on_telemetry(self, payload: Payload) -> list[Event]:
        """Of all that is counted only a failed request, and an edit that the user changed, are told nowhere else."""
        counted = payload.uiEvent
        name = (counted.name or "") if counted is not None else ""
        if counted is not None and name.endswith(".api_error"):
            text = counted.error_message or counted.error or ""
            return [self.event(EventKind.NOTICE, self._uid, f"API error: {text}")]
        if counted is not None and name.endswith(".tool_call") and counted.decision == "modify":
            text = "The user changed the proposed edit before accepting it."
            event = self.event(EventKind.NOTICE, self._uid, text, self.person())
            return [replace(event, call_id=bounded_id(counted.call_id or ""))]
        self.ignored()
        return []

    def _on_parent(self, payload: Payload) -> list[Event]:
        """Another session has opened this one: an agent writes its prompts."""
        parent = bounded_id(payload.parentSessionId or "")
        self.memory.session = replace(self.memory.session, parent=parent, machine_run=True)
        return []


def _payload(record: Record) -> Payload:
    """What a record carries beside its message."""
    raw = record.systemPayload
    return typed(raw, _payload_decoder, Payload) if bytes(raw) else Payload()


def _texts(body: Body | None) -> list[str]:
    """The texts of a message."""
    return texts_of(body.parts) if body is not None else []


_READERS: Final[dict[str, Callable[[QwenParser, Record], list[Event]]]] = {
    "user": QwenParser._read_user,  # noqa: SLF001 - the tables belong to the class
    "assistant": QwenParser._read_assistant,  # noqa: SLF001
    "tool_result": QwenParser._read_result,  # noqa: SLF001
    "system": QwenParser._read_system,  # noqa: SLF001
}
_SYSTEM_READERS: Final[dict[str, Callable[[QwenParser, Payload], list[Event]]]] = {
    "chat_compression": QwenParser._on_compression,  # noqa: SLF001
    "rewind": QwenParser._on_rewind,  # noqa: SLF001
    "slash_command": QwenParser._on_command,  # noqa: SLF001
    "turn_result": QwenParser._on_turn_result,  # noqa: SLF001
    "ui_telemetry": QwenParser._on_telemetry,  # noqa: SLF001
    "parent_session": QwenParser._on_parent,  # noqa: SLF001
}

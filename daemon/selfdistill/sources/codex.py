"""Codex CLI, Desktop and VS Code: rollouts below `~/.codex/sessions` and `archived_sessions` (formats.md section 3)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Final

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from selfdistill.model import Author, Event, EventKind, Session, Span, Turn
from selfdistill.sources.base import Facts, remembered
from selfdistill.sources.codex_items import ItemParser, joined
from selfdistill.sources.codex_memory import CodexMemory
from selfdistill.sources.codex_records import (
    EVENT_STATE,
    ITEM_STATE,
    LINE_STATE,
    Compacted,
    Context,
    EventMessage,
    Item,
    Line,
    Meta,
    TurnItem,
)
from selfdistill.sources.decoding import bounded_id, fact, glances, typed

SUFFIXES: Final = (".jsonl", ".jsonl.zst")
INTERRUPTS: Final = frozenset({"", "interrupted", "replaced"})
_ENVELOPES: Final = frozenset({"session_meta", "response_item", "event_msg", "turn_context", "compacted"})
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_STAMP: Final = re.compile(r"rollout-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-")
_item_decoder: Final = msgspec.json.Decoder(Item)
_event_decoder: Final = msgspec.json.Decoder(EventMessage)
_meta_decoder: Final = msgspec.json.Decoder(Meta)
_context_decoder: Final = msgspec.json.Decoder(Context)
_compacted_decoder: Final = msgspec.json.Decoder(Compacted)


class _Glance(Struct):
    """What tells Codex' records from others'."""

    type: str | None = None
    payload: Raw = field(default_factory=Raw)
    instructions: Raw = field(default_factory=Raw)
    record_type: str | None = None


class Codex:
    """Rollouts of Codex."""

    name: Final = "codex"
    variables: Final = ("CODEX_HOME",)
    facts: Final = Facts(
        agent="Codex (CLI, Desktop, VS Code)",
        versions="0.34.0 to 0.146.0",
        where="`~/.codex/sessions`, `~/.codex/archived_sessions`, also `.jsonl.zst`",
        read="messages, tools with results and exit codes, code mode's inner commands, interrupts, compactions",
        left_out="reasoning, images, guardian sessions, `history.jsonl`",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directories of running and archived sessions, below `CODEX_HOME` if that is set."""
        named = environment.get("CODEX_HOME", "")
        base = Path(named) if named.startswith("/") else home / ".codex"
        return base / "sessions", base / "archived_sessions"

    def owns(self, path: PurePath) -> bool:
        """Tell whether a file below a root is a rollout, compressed or not."""
        return path.name.startswith("rollout-") and path.name.endswith(SUFFIXES)

    def session_hint(self, path: PurePath) -> str:
        """Return the thread's id in the file name, the same for a rollout that is compressed or archived."""
        stem = path.name.removesuffix(".zst").removesuffix(".jsonl")
        found = _UUID.search(stem)
        return found[0].lower() if found else _STAMP.sub("", stem, count=1)

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by the name of a rollout, or by a record that only Codex writes."""
        return self.owns(path) or any(
            (glance.type in _ENVELOPES and bytes(glance.payload)) or glance.record_type or bytes(glance.instructions)
            for glance in glances(head, _Glance)
        )

    def layout(self, _path: PurePath) -> None:
        """Return None: lines, only ever added."""

    def open(self, path: PurePath, state: bytes | None) -> CodexParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, CodexMemory, path)
        return CodexParser(memory or CodexMemory(session=Session(id=self.session_hint(path))))


class CodexParser(ItemParser):
    """Reads one rollout."""

    def __init__(self, memory: CodexMemory) -> None:
        super().__init__(memory)
        self._line = b""

    @property
    def text_closes(self) -> bool:
        """Versions that tell turns say when one ends; up to 0.4x the last text does."""
        return not self.memory.tells_turns

    def feed(self, line: bytes, offset: int) -> list[Event]:
        """Return the events of one line, first sightings only. Never raises."""
        self._line = line
        return super().feed(line, offset)

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one line says."""
        self.span, self.stamp = span, record.timestamp or ""
        reader = _READERS.get(record.type)
        if reader is not None and bytes(record.payload):
            return reader(self, record.payload)
        if record.type in LINE_STATE or record.record_type is not None:
            self.ignored()
            return []
        return self._read_bare(record)

    def _read_bare(self, record: Line) -> list[Event]:
        """A line of the envelope before 0.32: the item itself, without time."""
        if not record.type and record.id and (bytes(record.git) or bytes(record.instructions)):
            return self._read_meta(Raw(self._line))
        if record.type in _ITEM_READERS or record.type in ITEM_STATE or (not record.type and record.role):
            return self._read_item(Raw(self._line))
        self.unknown(record.type or "(no type)")
        return []

    def _read_meta(self, payload: Raw) -> list[Event]:
        """Who and where."""
        self.memory.meet(typed(payload, _meta_decoder, Meta))
        return []

    def _read_context(self, payload: Raw) -> list[Event]:
        """Directory and model of the turn that begins."""
        context, memory = typed(payload, _context_decoder, Context), self.memory
        memory.cwd = fact(context.cwd or "") or memory.cwd
        session = memory.session
        if (context.model and context.model != session.model) or not session.cwd:
            model = fact(context.model or "") or session.model
            memory.session = replace(session, model=model, cwd=session.cwd or memory.cwd)
        return []

    def _read_compacted(self, payload: Raw) -> list[Event]:
        """The history was summarised; `replacement_history` repeats it and is not read."""
        text = typed(payload, _compacted_decoder, Compacted).message or ""
        return [self.event(EventKind.COMPACTION, self.uid("compaction", text), text)]

    def _read_item(self, payload: Raw) -> list[Event]:
        """An item of the model's own history."""
        item = typed(payload, _item_decoder, Item)
        reader = _ITEM_READERS.get(item.type or ("message" if item.role else ""))
        if reader is not None:
            return reader(self, item)
        if item.type in ITEM_STATE:
            self.ignored()
        else:
            self.unknown(f"response_item/{item.type}")
        return []

    def _read_event(self, payload: Raw) -> list[Event]:
        """What the program told its user interface; much of it repeats items."""
        message = typed(payload, _event_decoder, EventMessage)
        reader = _EVENT_READERS.get(message.type)
        if reader is not None:
            return reader(self, message)
        if message.type in EVENT_STATE:
            self.ignored()
        else:
            self.unknown(f"event_msg/{message.type}")
        return []

    def _on_user_message(self, message: EventMessage) -> list[Event]:
        return self.asked(message.message, "event", None, None)

    def _on_agent_message(self, message: EventMessage) -> list[Event]:
        return self.said(message.message or "", "event", None, message.phase)

    def _on_turn_start(self, _message: EventMessage) -> list[Event]:
        self.memory.tells_turns, self.memory.turn = True, Turn.OPEN
        return []

    def _on_turn_end(self, _message: EventMessage) -> list[Event]:
        self.memory.tells_turns = True
        self.close_turn()
        return []

    def _on_abort(self, message: EventMessage) -> list[Event]:
        """A turn cut short: by the user, or by a budget or the end of a review."""
        reason = message.reason or ""
        kind, author = EventKind.NOTICE, Author.PROGRAM
        if reason in INTERRUPTS:
            kind, author = EventKind.INTERRUPT, self.person()
        self.close_turn()
        text = f"turn aborted: {reason or 'interrupted'}"
        return [self.event(kind, self.uid("abort", text), text, author)]

    def _on_rollback(self, message: EventMessage) -> list[Event]:
        text = f"The user undid the last {message.num_turns or 1} turns."
        return [self.event(EventKind.NOTICE, self.uid("rollback", text), text, self.person())]

    def _on_trouble(self, message: EventMessage) -> list[Event]:
        text = message.message or bytes(message.error).decode("utf-8", "replace")
        return [self.event(EventKind.NOTICE, self.uid("notice", text), text)] if text.strip() else []

    def _on_command_end(self, message: EventMessage) -> list[Event]:
        """How a command ended (0.121-0.125): its output follows, or went before, or belongs to a script."""
        return self.ended(message.call_id, message.exit_code, message.command, message.aggregated_output, message.cwd)

    def _on_patch_end(self, message: EventMessage) -> list[Event]:
        """How a patch ended; the output tells it in words."""
        call_id = bounded_id(message.call_id or "")
        if call_id in self.memory.open_calls and message.success is not None:
            self.memory.expect(call_id, None, failed=not message.success)
        return []

    def _on_item(self, message: EventMessage) -> list[Event]:
        """An item of the paginated mode: what user_message, agent_message and exec_command_end were before."""
        item = message.item or TurnItem()
        if item.type == "UserMessage":
            return self.asked(item.content or item.text, "paginated", None, None)
        if item.type == "AgentMessage":
            return self.said(joined(item.content) or item.text or "", "paginated", None, item.phase)
        if item.type == "CommandExecution":
            return self.ended(item.id, item.exit_code, item.command, item.aggregated_output, item.cwd)
        return []


_READERS: Final[dict[str, Callable[[CodexParser, Raw], list[Event]]]] = {
    "session_meta": CodexParser._read_meta,  # noqa: SLF001 - the tables belong to the class
    "turn_context": CodexParser._read_context,  # noqa: SLF001
    "compacted": CodexParser._read_compacted,  # noqa: SLF001
    "response_item": CodexParser._read_item,  # noqa: SLF001
    "event_msg": CodexParser._read_event,  # noqa: SLF001
}
_ITEM_READERS: Final[dict[str, Callable[[CodexParser, Item], list[Event]]]] = {
    "message": CodexParser.read_message,
    "function_call": CodexParser.read_call,
    "custom_tool_call": CodexParser.read_custom_call,
    "local_shell_call": CodexParser.read_shell_call,
    "web_search_call": CodexParser.read_web_search,
    "function_call_output": CodexParser.read_output,
    "custom_tool_call_output": CodexParser.read_output,
    "local_shell_call_output": CodexParser.read_output,
    "agent_message": CodexParser.read_mail,
}
_EVENT_READERS: Final[dict[str, Callable[[CodexParser, EventMessage], list[Event]]]] = {
    "user_message": CodexParser._on_user_message,  # noqa: SLF001
    "agent_message": CodexParser._on_agent_message,  # noqa: SLF001
    "task_started": CodexParser._on_turn_start,  # noqa: SLF001
    "turn_started": CodexParser._on_turn_start,  # noqa: SLF001
    "task_complete": CodexParser._on_turn_end,  # noqa: SLF001
    "turn_complete": CodexParser._on_turn_end,  # noqa: SLF001
    "turn_aborted": CodexParser._on_abort,  # noqa: SLF001
    "thread_rolled_back": CodexParser._on_rollback,  # noqa: SLF001
    "error": CodexParser._on_trouble,  # noqa: SLF001
    "stream_error": CodexParser._on_trouble,  # noqa: SLF001
    "warning": CodexParser._on_trouble,  # noqa: SLF001
    "background_event": CodexParser._on_trouble,  # noqa: SLF001
    "undo_completed": CodexParser._on_trouble,  # noqa: SLF001
    "exec_command_end": CodexParser._on_command_end,  # noqa: SLF001
    "patch_apply_end": CodexParser._on_patch_end,  # noqa: SLF001
    "item_completed": CodexParser._on_item,  # noqa: SLF001
}

"""Grok Build: `~/.grok/sessions/CWD/ID/updates.jsonl`, the session's updates as the ACP client gets them.

Sources: xai-org/grok-build (`xai-grok-shell/src/session/storage`, `extensions/notification.rs`), read through captures
of 0.2.114 to 1.0.5 that others published. `chat_history.jsonl` beside it holds the same conversation without times;
compaction and rewinding rewrite it, so it is not read.

The directory's name is the percent-encoded working directory. An update of a tool call counts as its result when it
says that the call is completed or has failed; a call that was stopped gets none, the turn's end tells of it.

Grok cannot express: its own version (it is in no update), and whether a session is a sub-agent's (`summary.json`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from selfdistill.model import Event, EventKind, Session, Span
from selfdistill.sources.base import Facts, remembered
from selfdistill.sources.conversation import ConversationMemory, ConversationParser, Given, by_user
from selfdistill.sources.decoding import bounded_id, coerce, digest, glances, seconds

LOG_NAME: Final = "updates.jsonl"
STATE: Final = frozenset(
    [
        *("agent_thought_chunk", "plan", "available_commands_update", "current_mode_update", "tool_call_delta_chunk"),
        *("pending_interaction", "interaction_resolved", "hook_execution", "response_completed", "last_turn_summary"),
        *("session_info_update", "usage_update", "auto_compact_started", "auto_compact_failed", "model_changed"),
        *("subagent_spawned", "subagent_finished", "workflow_updated", "workflow_paused", "goal_updated"),
        *("goal_completed", "compaction_checkpoint"),
    ]
)
_OVER: Final = frozenset({"completed", "failed"})
_QUERY: Final = re.compile(r"<user_query>\s*(.*?)\s*(?:</user_query>|\Z)", re.DOTALL)


class Tool(Struct, frozen=True, gc=False):
    """What Grok says of a tool beside ACP."""

    name: str = ""


class UpdateMeta(Struct, frozen=True, gc=False, rename={"tool": "x.ai/tool"}):
    """What Grok adds to an update."""

    tool: Tool | None = None
    modelId: str = ""  # noqa: N815 - the log's own names


class Update(Struct, frozen=True, gc=False, rename={"meta": "_meta"}):
    """One update of any kind."""

    sessionUpdate: str = ""  # noqa: N815
    content: Raw = field(default_factory=Raw)
    toolCallId: str = ""  # noqa: N815
    title: str | None = None
    status: str | None = None
    rawInput: Raw = field(default_factory=Raw)  # noqa: N815
    rawOutput: Raw = field(default_factory=Raw)  # noqa: N815
    stop_reason: str | None = None
    prompt_id: str = ""
    summary_preview: str | None = None
    meta: UpdateMeta | None = None


class EnvelopeMeta(Struct, frozen=True, gc=False):
    """When and as which event an update was sent."""

    eventId: str = ""  # noqa: N815
    agentTimestampMs: float | None = None  # noqa: N815


class Params(Struct, frozen=True, gc=False, rename={"meta": "_meta"}):
    """What a notification carries."""

    sessionId: str = ""  # noqa: N815
    update: Update | None = None
    meta: EnvelopeMeta | None = None


class Line(Struct, frozen=True, gc=False):
    """One line; older versions write the bare parameters."""

    timestamp: float | str | None = None
    method: str = ""
    params: Params | None = None
    sessionId: str = ""  # noqa: N815
    update: Update | None = None


class _Output(Struct):
    """What a tool of Grok's own gave back."""

    output_for_prompt: str | None = None
    exit_code: int | None = None
    error: str | None = None


class _GlanceParams(Struct):
    update: dict[str, Any] | None = None


class _Glance(Struct):
    params: _GlanceParams | None = None


class Grok:
    """Sessions of Grok Build."""

    name: Final = "grok"
    variables: Final = ("GROK_HOME",)
    facts: Final = Facts(
        agent="Grok Build",
        versions="0.2.114 to 1.0.5, from published captures",
        where="`~/.grok/sessions/CWD/ID/updates.jsonl`",
        read="messages, tools with results and exit codes, rejections, interrupts, compactions",
        left_out="thinking, `chat_history.jsonl` (the same, rewritten), telemetry, which sessions are sub-agents'",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directory of sessions, below `GROK_HOME` if that is set."""
        named = environment.get("GROK_HOME", "")
        return ((Path(named) if named.startswith("/") else home / ".grok") / "sessions",)

    def owns(self, path: PurePath) -> bool:
        """Tell by the one name."""
        return path.name == LOG_NAME

    def session_hint(self, path: PurePath) -> str:
        """Return the name of the session's directory."""
        return path.parent.name or path.stem

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by the agent's directory, or by the envelope of an update."""
        return (self.owns(path) and ".grok" in path.parts) or any(
            glance.params is not None and "sessionUpdate" in (glance.params.update or ())
            for glance in glances(head, _Glance)
        )

    def layout(self, _path: PurePath) -> None:
        """Return None: lines, only ever added."""

    def open(self, path: PurePath, state: bytes | None) -> GrokParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, ConversationMemory, path)
        if memory is None:
            memory = ConversationMemory(session=Session(id=self.session_hint(path)))
            place = unquote(path.parent.parent.name) if "%" in path.parent.parent.name else ""
            if place.startswith("/"):
                memory.cwd = place
                memory.session = replace(memory.session, cwd=place)
        return GrokParser(memory)


_decoder: Final = msgspec.json.Decoder(Line)


class GrokParser(ConversationParser[ConversationMemory, Line]):
    """Reads one session's updates."""

    def __init__(self, memory: ConversationMemory) -> None:
        super().__init__(memory, _decoder, Line)
        self._stamp = ""

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one update says."""
        params = record.params or Params(record.sessionId, record.update)
        meta, update = params.meta or EnvelopeMeta(), params.update or Update()
        moment = meta.agentTimestampMs or record.timestamp
        self.span, self.at, self._stamp = span, seconds(moment), meta.eventId or str(moment or "")
        if params.sessionId and not self.memory.prompted:
            self.memory.session = replace(self.memory.session, id=bounded_id(params.sessionId))
        reader = _READERS.get(update.sessionUpdate)
        if reader is not None:
            return reader(self, update)
        if update.sessionUpdate in STATE:
            self.ignored()
        else:
            self.unknown(update.sessionUpdate or "(no update)")
        return []

    def _uid(self, kind: str, text: str) -> str:
        return digest(kind, self._stamp, text)

    def read_prompt(self, update: Update) -> list[Event]:
        """What the user typed."""
        if update.meta is not None and update.meta.modelId:
            self.learn(model=update.meta.modelId)
        text = _text(update.content)
        found = _QUERY.search(text) if "<user_query>" in text else None
        return self.asked(self._uid("user", text), text, found[1] if found else None)

    def read_answer(self, update: Update) -> list[Event]:
        """What the agent said."""
        text = _text(update.content)
        return self.said(self._uid("assistant", text), text)

    def read_call(self, update: Update) -> list[Event]:
        """A tool call."""
        meta = update.meta
        name = meta.tool.name if meta is not None and meta.tool is not None else update.title or ""
        call_id = bounded_id(update.toolCallId)
        return [self.called(call_id or self._uid("call", name), call_id, name, bytes(update.rawInput))]

    def read_result(self, update: Update) -> list[Event]:
        """How a call stands; only one that is over has a result."""
        if update.status not in _OVER:
            self.ignored()
            return []
        output = _object(update.rawOutput, _Output)
        text = output.output_for_prompt or _text(update.content) or output.error or ""
        failed = update.status == "failed" or bool(output.exit_code)
        call_id = bounded_id(update.toolCallId)
        given = Given(text, failed, output.exit_code, failed and by_user(text))
        return self.returned(f"{call_id}:r", call_id, given)

    def read_end(self, update: Update) -> list[Event]:
        """The turn is over: the agent is done, or the user stopped it."""
        if update.stop_reason == "cancelled":
            return [self.interrupted(self._uid("cancelled", update.prompt_id), "turn cancelled")]
        self.close_turn()
        return []

    def read_compaction(self, update: Update) -> list[Event]:
        """The context was summarised."""
        text = update.summary_preview or ""
        return [self.event(EventKind.COMPACTION, self._uid("compaction", text), text)]


def _object(raw: Raw, kind: type[_Output]) -> _Output:
    """The struct that a piece of JSON makes; nothing of what is no object."""
    try:
        return coerce(msgspec.json.decode(raw), kind) if bytes(raw) else kind()
    except (msgspec.DecodeError, ValueError, RecursionError):
        return kind()


def _text(raw: Raw) -> str:
    """The texts of a content: a text, a block, or blocks in blocks."""
    try:
        return _joined(msgspec.json.decode(raw)) if bytes(raw) else ""
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ""


def _joined(value: object) -> str:
    """The texts of a decoded content."""
    if isinstance(value, list):
        return "\n".join(filter(None, map(_joined, value)))
    if isinstance(value, dict):
        text = value.get("text")
        return text if isinstance(text, str) else _joined(value.get("content"))
    return value if isinstance(value, str) else ""


_READERS: Final[dict[str, Callable[[GrokParser, Update], list[Event]]]] = {
    "user_message_chunk": GrokParser.read_prompt,
    "agent_message_chunk": GrokParser.read_answer,
    "tool_call": GrokParser.read_call,
    "tool_call_update": GrokParser.read_result,
    "turn_completed": GrokParser.read_end,
    "auto_compact_completed": GrokParser.read_compaction,
}

"""Factory Droid: `~/.factory/sessions/CWD/ID.jsonl` and the stream of `droid exec` (formats.md section 13).

Droid is closed; sources: specstoryai/getspecstory `pkg/providers/droidcli/parser.go`, entireio/cli
`agent/factoryaidroid`, jazzyalex/agent-sessions `DroidSessionParser.swift`. Two dialects: the store of sessions
(messages with blocks), and the lines of `droid exec -o stream-json` (calls and results are lines of their own).

Droid cannot express: its own version and, in the store, the model (both stand in `ID.settings.json`, which is
rewritten and not read); why an answer ended, so the last text closes the turn. Most results carry no error flag:
then only an exit code tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from selfdistill.model import Event, EventKind, Session, Span
from selfdistill.sources.base import Facts, remembered
from selfdistill.sources.conversation import ConversationMemory, ConversationParser, Given, by_user, ended_with
from selfdistill.sources.decoding import bounded_id, digest, glances, seconds

STATE: Final = frozenset({"todo_state", "session_settings", "session_end"})
_STREAMED: Final = frozenset({"tool_call", "tool_result", "completion"})
_FAILED: Final = re.compile(r"\AError: Command failed \(exit code: (-?\d{1,10})\)\n*")
_EXITED: Final = re.compile(r"\n*\[Process exited with code (-?\d{1,10})\]\s*\Z")
_STOPPED: Final = re.compile(r"abort|cancel|interrupt", re.IGNORECASE)
_WORKERS: Final = ("# Task Tool Invocation",)


class Block(Struct, frozen=True, gc=False):
    """A content block of a message."""

    type: str = ""
    text: str = ""
    id: str = ""
    name: str = ""
    input: Raw = field(default_factory=Raw)
    tool_use_id: str = ""
    content: str | list[Block] | None = None
    is_error: bool | None = None


class Message(Struct, frozen=True, gc=False):
    """A message as the API knows it."""

    role: str = ""
    model: str = ""
    content: str | list[Block] | None = None


class Summary(Struct, frozen=True, gc=False):
    """A summary, as older versions write it."""

    body: str = ""


class Line(Struct, frozen=True, gc=False):
    """One line of either dialect."""

    type: str = ""
    subtype: str = ""
    id: str = ""
    timestamp: str | float | None = None
    cwd: str = ""
    model: str = ""
    version: str | int | None = None
    callingSessionId: str | None = None  # noqa: N815 - the log's own names
    decompSessionType: str | None = None  # noqa: N815
    sessionId: str = ""  # noqa: N815
    session_id: str = ""
    message: Message | str | None = None
    role: str = ""
    text: str = ""
    toolCallId: str = ""  # noqa: N815
    toolName: str = ""  # noqa: N815
    parameters: Raw = field(default_factory=Raw)
    isError: bool | None = None  # noqa: N815
    value: str | dict[str, Any] | None = None
    finalText: str = ""  # noqa: N815
    summaryText: str = ""  # noqa: N815
    summary: Summary | None = None
    turnId: str = ""  # noqa: N815
    reason: str | None = None


class DroidMemory(ConversationMemory):
    """What this parser remembers beside what all do."""

    last_said: str = ""  # digest of the agent's last words: the completion repeats them


class _Glance(Struct):
    """What tells Droid's lines from others'."""

    type: str | None = None
    sessionId: str | None = None  # noqa: N815
    session_id: str | None = None
    toolName: str | None = None  # noqa: N815
    finalText: str | None = None  # noqa: N815
    role: str | None = None
    text: str | None = None


class Droid:
    """Sessions of Factory Droid."""

    name: Final = "droid"
    variables: Final = ("FACTORY_HOME_OVERRIDE",)
    facts: Final = Facts(
        agent="Factory Droid (sessions, `droid exec` streams)",
        versions="format 2, from its readers' sources",
        where="`~/.factory/sessions`, `~/.factory/projects`",
        read="messages, tools with results and exit codes, compactions, sub-agents' sessions",
        left_out="thinking, images, `*.settings.json` (model, tokens)",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directories of sessions and streams; the variable names what `.factory` is in, or itself."""
        named = environment.get("FACTORY_HOME_OVERRIDE", "")
        base = Path(named) if named.startswith("/") else home
        bases = (base / ".factory", base) if base != home and base.name != ".factory" else (base / ".factory",)
        bases = (base,) if base.name == ".factory" else bases
        return tuple(each / kind for each in bases for kind in ("sessions", "projects"))

    def owns(self, path: PurePath) -> bool:
        """Tell whether a file below a root is a log; the settings beside it are no lines."""
        return path.suffix == ".jsonl"

    def session_hint(self, path: PurePath) -> str:
        """Return the file's stem, which is the session's id."""
        return path.stem

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by the agent's directory, or by a line that only Droid writes."""
        return (".factory" in path.parts and self.owns(path)) or any(map(_is_droids, glances(head, _Glance)))

    def layout(self, _path: PurePath) -> None:
        """Return None: lines, only ever added."""

    def open(self, path: PurePath, state: bytes | None) -> DroidParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, DroidMemory, path)
        return DroidParser(memory or DroidMemory(session=Session(id=self.session_hint(path))))


def _is_droids(glance: _Glance) -> bool:
    """Whether a line is of one of Droid's dialects."""
    if glance.type == "session_start":
        return True
    named = bool(glance.sessionId or glance.session_id)
    return named and bool(
        (glance.type in _STREAMED and (glance.toolName or glance.finalText is not None))
        or (glance.type == "message" and glance.role and glance.text is not None)
    )


_decoder: Final = msgspec.json.Decoder(Line)


class DroidParser(ConversationParser[DroidMemory, Line]):
    """Reads one log of either dialect."""

    def __init__(self, memory: DroidMemory) -> None:
        super().__init__(memory, _decoder, Line)
        self._stamp = ""

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one line says."""
        self.span, self.at, self._stamp = span, seconds(record.timestamp), str(record.timestamp or "")
        self.sidechain = bool(self.memory.session.parent)
        if (identity := record.session_id or record.sessionId) and not self.memory.session.machine_run:
            self.memory.session = replace(self.memory.session, id=bounded_id(identity), machine_run=True)
        reader = _READERS.get(record.type)
        if reader is not None:
            return reader(self, record)
        if record.type in STATE:
            self.ignored()
        else:
            self.unknown(record.type or "(no type)")
        return []

    def _uid(self, kind: str, text: str) -> str:
        return digest(kind, self._stamp, text)

    def read_start(self, line: Line) -> list[Event]:
        """Who and where; a session that another one called is a sub-agent's."""
        parent, session = bounded_id(line.callingSessionId or ""), self.memory.session
        worker = bool(parent) or line.decompSessionType == "worker"
        self.memory.session = replace(
            session, id=bounded_id(line.id) or session.id, parent=parent, machine_run=session.machine_run or worker
        )
        version = line.version if isinstance(line.version, str) else ""
        self.learn(cwd=line.cwd, model=line.model, version=version)
        return []

    def read_system(self, line: Line) -> list[Event]:
        """The first line of a stream."""
        self.learn(cwd=line.cwd, model=line.model)
        return []

    def read_message(self, line: Line) -> list[Event]:
        """A message of either dialect."""
        message = line.message if isinstance(line.message, Message) else Message(line.role, content=line.text)
        if message.model:
            self.learn(model=message.model)
        blocks = message.content
        if not isinstance(blocks, list):
            blocks = [Block("text", blocks or "")]
        if message.role == "assistant":
            return self._answer(line, blocks)
        if message.role == "user":
            return self._prompt(line, blocks)
        self.ignored()
        return []

    def _answer(self, line: Line, blocks: list[Block]) -> list[Event]:
        """What the agent said and called."""
        events: list[Event] = []
        for number, block in enumerate(blocks):
            if block.type == "text":
                uid = self._block_uid(line, number, block.text)
                events += self.said(uid, block.text)
                self.memory.last_said = digest(block.text.strip())
            elif block.type == "tool_use":
                call_id = bounded_id(block.id)
                uid = call_id or self._block_uid(line, number, block.name)
                events.append(self.called(uid, block.id, block.name, bytes(block.input)))
        return events

    def _prompt(self, line: Line, blocks: list[Block]) -> list[Event]:
        """What a user's message holds: results, and text of which the reminders are a program's."""
        events: list[Event] = []
        for block in blocks:
            if block.type == "tool_result":
                events += self._result(block.tool_use_id, _text(block.content), block.is_error)
        texts = [block.text for block in blocks if block.type == "text"]
        text = "\n".join(texts) or ("[image]" if any(block.type == "image" for block in blocks) else "")
        return events + self.asked(self._block_uid(line, 0, text), text, "" if text.startswith(_WORKERS) else None)

    def _block_uid(self, line: Line, number: int, text: str) -> str:
        """The message's own id, with the number of the block where it is not the first."""
        uid = bounded_id(line.id) or self._uid("message", text)
        return f"{uid}#{number}" if number else uid

    def _result(self, call_id: str, text: str, is_error: bool | None) -> list[Event]:  # noqa: FBT001 - the log's field
        """A result: the exit code stands in its first or last line, or in both."""
        text, code = ended_with(_EXITED, text)
        text, failed = ended_with(_FAILED, text)
        return self._given(call_id, text, is_error, failed if failed is not None else code)

    def _given(self, call_id: str, text: str, is_error: bool | None, code: int | None) -> list[Event]:  # noqa: FBT001
        failed = True if is_error is None and code else is_error
        refused = bool(failed) and by_user(text)
        return self.returned(f"{bounded_id(call_id)}:r", call_id, Given(text, failed, code, refused))

    def read_call(self, line: Line) -> list[Event]:
        """A call of a stream."""
        call_id = line.toolCallId or line.id
        return [self.called(bounded_id(call_id), call_id, line.toolName, bytes(line.parameters))]

    def read_result(self, line: Line) -> list[Event]:
        """A result of a stream: a text, or the streams of a command."""
        call_id, value = line.toolCallId or line.id, line.value
        if not isinstance(value, dict):
            return self._result(call_id, value or "", line.isError)
        code = value.get("exitCode")
        streams = [text for name in ("stdout", "stderr", "text") if isinstance(text := value.get(name), str) and text]
        return self._given(call_id, "\n".join(streams), line.isError, code if isinstance(code, int) else None)

    def read_completion(self, line: Line) -> list[Event]:
        """The end of a stream, with the last words where no message told them."""
        repeated = digest(line.finalText.strip()) == self.memory.last_said
        events = [] if repeated else self.said(self._uid("completion", line.finalText), line.finalText, ends_turn=True)
        self.close_turn()
        return events

    def read_error(self, line: Line) -> list[Event]:
        """What went wrong outside the conversation."""
        text = line.message if isinstance(line.message, str) else line.text
        return self.told(self._uid("error", text), text)

    def read_compaction(self, line: Line) -> list[Event]:
        """The history was summarised."""
        text = line.summaryText or (line.summary.body if line.summary is not None else "")
        return [self.event(EventKind.COMPACTION, bounded_id(line.id) or self._uid("compaction", text), text)]

    def read_outcome(self, line: Line) -> list[Event]:
        """How a turn ended (0.2xx)."""
        if _STOPPED.search(line.reason or ""):
            return [self.interrupted(self._uid("outcome", line.turnId), f"turn ended: {line.reason}")]
        self.close_turn()
        return []


def _text(content: str | list[Block] | None) -> str:
    """The texts of a result."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(block.text for block in content if block.text)


_READERS: Final[dict[str, Callable[[DroidParser, Line], list[Event]]]] = {
    "session_start": DroidParser.read_start,
    "system": DroidParser.read_system,
    "message": DroidParser.read_message,
    "tool_call": DroidParser.read_call,
    "tool_result": DroidParser.read_result,
    "completion": DroidParser.read_completion,
    "error": DroidParser.read_error,
    "compaction_state": DroidParser.read_compaction,
    "agent_turn_outcome": DroidParser.read_outcome,
}

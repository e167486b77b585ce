"""GitHub Copilot CLI: `~/.copilot/session-state/<session>/events.jsonl`, flat files before 1.0 (formats.md section 7).

The log cannot say: whether a program started the session (`copilot -p`), and an exit code but in the last line of a
command's output. A session goes on after `session.shutdown` (`session.resume`); `turn_end` ends one answer of the
model, of which a turn has many: the one without tool requests is the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from sys import intern
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from selfdistill.model import Author, Event, EventKind, Session, Span, ToolKind, Turn
from selfdistill.sources.base import NO_TOOL, QUEUED, Facts, LogParser, Memory, remembered
from selfdistill.sources.copilot_records import (
    STATE,
    AssistantMessage,
    Context,
    Execution,
    Failure,
    Line,
    Note,
    Occasion,
    Permission,
    Start,
    UserMessage,
    Verdict,
)
from selfdistill.sources.copilot_texts import denied, output_of, refused, typed_text, with_exit_code
from selfdistill.sources.decoding import bounded_id, digest, fact, glances, seconds, tool_name, typed
from selfdistill.sources.injections import is_own_place, is_own_prompt, without_own
from selfdistill.sources.tool_inputs import kind_of, tool_input

EVENTS: Final = "events.jsonl"
SESSIONS: Final = "session-state"
_ASIDE: Final = frozenset({"instruction_discovered"})  # notifications that repeat what the next prompt holds
S = TypeVar("S", bound=Struct)


class _Glance(Struct):
    """What tells these records from others'."""

    type: str | None = None
    data: dict[str, Any] | None = None


class CopilotMemory(Memory):
    """What this parser remembers beside what all do."""

    cwd: str = ""
    prompted: bool = False  # the first prompt was seen
    requests: bool = False  # the last answer asked for tools: the turn goes on


class CopilotCli:
    """Logs of GitHub Copilot CLI."""

    name: Final = "copilot_cli"
    variables: Final = ("COPILOT_HOME",)
    facts: Final = Facts(
        agent="GitHub Copilot CLI",
        versions="1.0.10 to 1.0.72; other events from its SDK",
        where="`~/.copilot/session-state/*/events.jsonl`, before 1.0 `~/.copilot/session-state/*.jsonl`",
        read="messages, tools with results, exit codes out of the text, refusals, aborts, compactions, sub-agents",
        left_out="reasoning, hooks, system prompts, `workspace.yaml`, checkpoints, `session-store.db`",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directory of all sessions, below `COPILOT_HOME` if that is set."""
        named = environment.get("COPILOT_HOME", "")
        return ((Path(named) if named.startswith("/") else home / ".copilot") / SESSIONS,)

    def owns(self, path: PurePath) -> bool:
        """Tell whether a file below a root is a session's log."""
        return path.name == EVENTS or (path.suffix == ".jsonl" and path.parent.name == SESSIONS)

    def session_hint(self, path: PurePath) -> str:
        """Return the session's id: the directory's name, before 1.0 the file's."""
        return path.parent.name if path.name == EVENTS else path.stem

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by a session's place, or by an event's dotted type with its data."""
        placed = SESSIONS in path.parts and self.owns(path)
        return placed or any(
            glance.data is not None and (glance.type in STATE or glance.type in _READERS)
            for glance in glances(head, _Glance)
        )

    def layout(self, _path: PurePath) -> None:
        """Return None: lines, only ever added."""

    def open(self, path: PurePath, state: bytes | None) -> CopilotParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, CopilotMemory, path)
        return CopilotParser(memory or CopilotMemory(session=Session(id=bounded_id(self.session_hint(path)))))


_decoder: Final = msgspec.json.Decoder(Line)
_decoders: Final[dict[type[Struct], msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind)
    for kind in (AssistantMessage, Context, Execution, Note, Permission, Start, UserMessage)
}


class CopilotParser(LogParser[CopilotMemory, Line]):
    """Reads one log of GitHub Copilot CLI."""

    def __init__(self, memory: CopilotMemory) -> None:
        super().__init__(memory, _decoder, Line)
        self._line, self._span = Line(), Span(0, 0)

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one event says."""
        self._line, self._span = record, span
        reader = _READERS.get(record.type or "")
        if reader is not None:
            return reader(self, record.data)
        if record.type in STATE:
            self.ignored()
        else:
            self.unknown(record.type or "(no type)")
        return []

    def _event(
        self, kind: EventKind, uid: str, text: str, author: Author = Author.PROGRAM, *, aside: bool = False
    ) -> Event:
        """An event of the line that is being read."""
        return Event(
            kind=kind,
            span=self._span,
            uid=uid,
            at=seconds(self._line.timestamp),
            text=without_own(text),
            author=author,
            cwd=intern(self.memory.cwd),
            sidechain=aside or bool(self._line.agentId),
        )

    def _uid(self, text: str = "") -> str:
        """The event's own id, or one made of its time and words."""
        line = self._line
        return bounded_id(line.id or "") or digest(line.type or "", line.timestamp or "", text)

    def _person(self) -> Author:
        """A person, unless a program drives the session or the words are between agents."""
        machine = self.memory.session.machine_run or self._line.agentId
        return Author.PROGRAM if machine else Author.HUMAN

    def _works_in(self, context: Context) -> None:
        """Keep where the session works."""
        memory, session = self.memory, self.memory.session
        memory.cwd = fact(context.cwd or "") or memory.cwd
        host = context.repositoryHost or ("github.com" if context.hostType == "github" else "")
        url = f"https://{host}/{context.repository}" if host and context.repository else ""
        memory.session = replace(
            session,
            cwd=session.cwd or memory.cwd,
            repository_url=session.repository_url or fact(url),
            ignored=session.ignored or ("selfdistill" if is_own_place(memory.cwd) else ""),
        )

    def _on_start(self, data: Raw) -> list[Event]:
        """Who and where; what was open when a session is resumed gets no result any more."""
        start, session = _of(data, Start), self.memory.session
        parent = bounded_id(start.detachedFromSpawningParentSessionId or "")
        self.memory.session = replace(
            session,
            id=bounded_id(start.sessionId or "") or session.id,
            parent=parent or session.parent,
            agent_version=fact(start.copilotVersion or "") or session.agent_version,
            model=fact(start.selectedModel or "") or session.model,
            machine_run=session.machine_run or bool(parent),
        )
        self._works_in(start.context or Context())
        self.close_turn()
        return []

    def _on_context(self, data: Raw) -> list[Event]:
        self._works_in(_of(data, Context))
        return []

    def _on_model(self, data: Raw) -> list[Event]:
        self._note_model(_of(data, Note).newModel)
        return []

    def _note_model(self, model: str | None) -> None:
        """Keep the model of the session itself."""
        if model and model != self.memory.session.model and not self._line.agentId:
            self.memory.session = replace(self.memory.session, model=fact(model))

    def _read_prompt(self, data: Raw) -> list[Event]:
        """A prompt, or what the program says as the user: it names its source then."""
        message = _of(data, UserMessage)
        whole = message.content or message.transformedContent or ""
        if not without_own(whole).strip():
            return []
        self._check_first_prompt(whole)
        text = typed_text(message)
        uid = self._uid(whole)
        if not text:
            return [self._event(EventKind.USER, uid, whole)]
        queued = QUEUED if message.delivery == "steering" else ""
        return [self._event(EventKind.USER, f"{queued}{uid}", text, self._person())]

    def _check_first_prompt(self, text: str) -> None:
        """A session that begins with our own distiller's prompt is none to learn from."""
        memory = self.memory
        if not memory.prompted and is_own_prompt(text):
            memory.session = replace(memory.session, ignored="selfdistill")
        memory.prompted = True

    def _on_turn_start(self, _data: Raw) -> list[Event]:
        if not self._line.agentId:
            self.memory.turn = Turn.OPEN
        return []

    def _on_turn_end(self, _data: Raw) -> list[Event]:
        """An answer is complete: the turn is, unless tools were asked for."""
        if not self._line.agentId and not self.memory.requests:
            self.close_turn()
        return []

    def _read_answer(self, data: Raw) -> list[Event]:
        """What the agent said and asked for."""
        message = _of(data, AssistantMessage)
        aside = bool(message.parentToolCallId)
        if not aside:
            self._note_model(message.model)
        if not aside and not self._line.agentId:
            self.memory.requests = bool(message.toolRequests)
        events: list[Event] = []
        if (message.content or "").strip():
            text = message.content or ""
            events.append(self._event(EventKind.ASSISTANT, self._uid(text), text, aside=aside))
        requests = message.toolRequests or ()
        events.extend(self._call(each.toolCallId, each.name, each.arguments, aside=aside) for each in requests)
        return events

    def _call(self, identity: str | None, name: str, arguments: Raw, *, aside: bool) -> Event:
        """A call that waits for its result."""
        call_id = bounded_id(identity or "") or self._uid(name)
        kind = kind_of(name)
        raw = bytes(arguments) or b"{}"
        event = self._event(EventKind.TOOL_CALL, call_id, "", aside=aside)
        return replace(event, tool=tool_name(name), tool_kind=kind, input=tool_input(kind, raw), call_id=call_id)

    def _on_execution_start(self, data: Raw) -> list[Event]:
        """A call begins: mostly one that was asked for before."""
        started = _of(data, Execution)
        aside = bool(started.parentToolCallId)
        return [self._call(started.toolCallId, started.toolName, started.arguments, aside=aside)]

    def _on_execution_complete(self, data: Raw) -> list[Event]:
        """A result; the exit code of a command is its last line."""
        done = _of(data, Execution)
        call_id = bounded_id(done.toolCallId or "")
        if not call_id:
            self.unknown(f"{self._line.type} without a call")
            return []
        tool = self.memory.open_calls.get(call_id, NO_TOOL)
        text, code = output_of(done), None
        if tool.kind in {ToolKind.SHELL, ToolKind.OTHER}:
            text, code = with_exit_code(text)
        aside = bool(done.parentToolCallId)
        if not aside:
            self._note_model(done.model)
        event = self._event(EventKind.TOOL_RESULT, f"{call_id}:r", text, aside=aside)
        event = replace(event, call_id=call_id, tool=tool.name, tool_kind=tool.kind, exit_code=code)
        event = replace(event, is_error=None if done.success is None else not done.success)
        return [event, *(self._refusal(event, done) if event.is_error else ())]

    def _refusal(self, result: Event, done: Execution) -> list[Event]:
        """What stands behind a call that did not run: a person, or a rule."""
        if refused(done.error, result.text):
            made = self._event(EventKind.REJECTION, f"{result.call_id}:x", "", self._person())
        elif denied(done.error, result.text):
            made = self._event(EventKind.NOTICE, f"{result.call_id}:d", result.text)
        else:
            return []
        return [replace(made, call_id=result.call_id, tool=result.tool, tool_kind=result.tool_kind)]

    def _on_permission(self, data: Raw) -> list[Event]:
        """What became of a request for permission; what was allowed needs no event."""
        permission = _of(data, Permission)
        verdict = permission.result or Verdict()
        call_id = bounded_id(permission.toolCallId or "")
        uid = call_id or self._uid()
        kind = verdict.kind or ""
        if kind == "denied-interactively-by-user":
            made = self._event(EventKind.REJECTION, f"{uid}:x", verdict.feedback or "", self._person())
        elif kind.startswith("denied"):
            made = self._event(EventKind.NOTICE, f"{uid}:d", verdict.message or kind)
        else:
            self.ignored()
            return []
        tool = self.memory.open_calls.get(call_id, NO_TOOL)
        return [replace(made, call_id=call_id, tool=tool.name, tool_kind=tool.kind)]

    def _on_abort(self, data: Raw) -> list[Event]:
        """The user broke off the turn."""
        self.memory.requests = False
        text = f"turn aborted: {_of(data, Note).reason or 'user initiated'}"
        return [self._event(EventKind.INTERRUPT, self._uid(text), text, self._person())]

    def _on_task_complete(self, data: Raw) -> list[Event]:
        """In autopilot the agent says itself that it is done."""
        self.close_turn()
        text = _of(data, Note).summary or ""
        if not text.strip():
            return []
        return [replace(self._event(EventKind.ASSISTANT, self._uid(text), text), ends_turn=True)]

    def _on_compaction(self, data: Raw) -> list[Event]:
        text = _of(data, Note).summaryContent or ""
        return [self._event(EventKind.COMPACTION, self._uid(text), text)]

    def _on_shutdown(self, _data: Raw) -> list[Event]:
        return [self._event(EventKind.SESSION_END, self._uid(), "")]

    def _on_rewind(self, _data: Raw) -> list[Event]:
        self.close_turn()
        text = "The user took back the last messages."
        return [self._event(EventKind.NOTICE, self._uid(text), text, self._person())]

    def _on_trouble(self, data: Raw) -> list[Event]:
        """Something the program tells: an error, a warning, a background command that ended."""
        note = _of(data, Note)
        occasion = note.kind.type if isinstance(note.kind, Occasion) else note.kind
        error = (note.error.message or "") if isinstance(note.error, Failure) else note.error or ""
        text = note.message or note.content or error
        if not text.strip() or occasion in _ASIDE:
            self.ignored()
            return []
        return [self._event(EventKind.NOTICE, self._uid(text), text)]


def _of(data: Raw, kind: type[S]) -> S:
    """An event's data; fields of an odd type count as absent."""
    return typed(data, _decoders[kind], kind) if bytes(data) else kind()


_READERS: Final[dict[str, Callable[[CopilotParser, Raw], list[Event]]]] = {
    "session.start": CopilotParser._on_start,  # noqa: SLF001 - the table belongs to the class
    "session.resume": CopilotParser._on_start,  # noqa: SLF001
    "session.context_changed": CopilotParser._on_context,  # noqa: SLF001
    "session.model_change": CopilotParser._on_model,  # noqa: SLF001
    "session.task_complete": CopilotParser._on_task_complete,  # noqa: SLF001
    "session.compaction_complete": CopilotParser._on_compaction,  # noqa: SLF001
    "session.shutdown": CopilotParser._on_shutdown,  # noqa: SLF001
    "session.snapshot_rewind": CopilotParser._on_rewind,  # noqa: SLF001
    "session.error": CopilotParser._on_trouble,  # noqa: SLF001
    "session.warning": CopilotParser._on_trouble,  # noqa: SLF001
    "system.notification": CopilotParser._on_trouble,  # noqa: SLF001
    "model.call_failure": CopilotParser._on_trouble,  # noqa: SLF001
    "subagent.failed": CopilotParser._on_trouble,  # noqa: SLF001
    "user.message": CopilotParser._read_prompt,  # noqa: SLF001
    "assistant.turn_start": CopilotParser._on_turn_start,  # noqa: SLF001
    "assistant.turn_end": CopilotParser._on_turn_end,  # noqa: SLF001
    "assistant.message": CopilotParser._read_answer,  # noqa: SLF001
    "tool.execution_start": CopilotParser._on_execution_start,  # noqa: SLF001
    "tool.user_requested": CopilotParser._on_execution_start,  # noqa: SLF001
    "tool.execution_complete": CopilotParser._on_execution_complete,  # noqa: SLF001
    "permission.completed": CopilotParser._on_permission,  # noqa: SLF001
    "abort": CopilotParser._on_abort,  # noqa: SLF001
}

"""Goose: `sessions.db`, and the JSON lines of versions before it (formats.md section 11).

What Goose cannot express: its version, any git branch, the end of a turn (a text without a call may be the last), and
whether a prompt came from a recipe. Its guard against repetition refuses calls in the words of a person who does.
A compaction writes all rows again with new ids, and the import of an older session too: an event's uid is made of its
message's time and words. Sessions that Goose took over from Claude Code, Codex or pi are new ones here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from selfdistill.layouts import Database, Queries, Rendered
from selfdistill.model import Author, Event, EventKind, Session, Span, ToolInput, ToolKind
from selfdistill.sources.base import NO_TOOL, Facts, LogParser, Memory, remembered
from selfdistill.sources.decoding import (
    bounded_id,
    coerce,
    digest,
    exit_status,
    fact,
    glances,
    read_tolerantly,
    seconds,
    tool_name,
    typed,
)
from selfdistill.sources.injections import is_own_prompt, without_own, without_wrapped
from selfdistill.sources.tool_inputs import kind_of, tool_input

DATABASE: Final = "sessions.db"
_THOUGHTS: Final = frozenset({"thinking", "redactedThinking", "reasoning"})
_ASKED_FOR: Final = frozenset({"toolConfirmationRequest", "actionRequired"})
_IGNORED: Final = frozenset({"image", "contextLengthExceeded", "summarizationRequested"}) | _THOUGHTS | _ASKED_FOR
_CALLS: Final = frozenset({"toolRequest", "frontendToolRequest"})
_MACHINES: Final = frozenset({"scheduled", "sub_agent", "subagent", "specialist", "hidden"})
_EDITOR: Final = "text_editor"  # one tool to view, write and edit: its `command` says which
_EDITS: Final = {"view": ToolKind.READ, "write": ToolKind.WRITE}
_DECLINED: Final = "The user has declined to run this tool"
_INTERRUPTED: Final = "Interrupted by the user to make a correction"
_COMPACTED: Final = ("Your context was compacted", "The previous message contains a summary")
_EXIT_CODE: Final = re.compile(r"(?:\A|\n)Command exited with code (-?\d{1,10})\s*\Z")


class Annotations(Struct, frozen=True, gc=False):
    """For whom a piece of a result is."""

    audience: list[str] | None = None


class Piece(Struct, frozen=True, gc=False):
    """A piece of a result."""

    type: str = ""
    text: str = ""
    annotations: Annotations | None = None


class Outcome(Struct, frozen=True, gc=False):
    """What a command ended with."""

    exit_code: int | None = None


class Value(Struct, frozen=True):
    """What a call is, or what it gave."""

    name: str = ""
    arguments: Raw = field(default_factory=Raw)
    content: list[Piece] | None = None
    isError: bool | None = None  # noqa: N815 - as Goose writes it
    structuredContent: Outcome | None = None  # noqa: N815


class Result(Struct, frozen=True):
    """A call or a result, or why there is none; before 1.10 a result's value was the list of its pieces."""

    status: str = ""
    value: Value | list[Piece] | None = None
    error: str | None = None


class Item(Struct, frozen=True):
    """A piece of a message."""

    type: str = ""
    text: str = ""
    msg: str = ""
    id: str = ""
    notificationType: str = ""  # noqa: N815
    toolCall: Result | None = None  # noqa: N815
    toolResult: Result | None = None  # noqa: N815


class Metadata(Struct, frozen=True, gc=False):
    """Who sees a message."""

    userVisible: bool = True  # noqa: N815


class Line(Struct, frozen=True):
    """A message, or the facts of the session: a line of a file, or what a row of the database is made into."""

    id: str | None = None
    role: str = ""
    created: float | None = None
    content: list[Item] | None = None
    metadata: Metadata | None = None
    working_dir: str | None = None
    session_type: str | None = None
    parent_session_id: str | None = None
    model: str | None = None


class _Row(Struct, frozen=True):
    """A message of the database."""

    role: str = ""
    content: str = ""
    created: float | None = None
    shown: int | None = None


class _Glance(Struct):
    """What tells the first line of a session from others'."""

    working_dir: Raw = field(default_factory=Raw)
    message_count: Raw = field(default_factory=Raw)


class _Command(Struct):
    command: str = ""


class Goose:
    """Sessions of Goose."""

    name: Final = "goose"
    variables: Final = ("GOOSE_PATH_ROOT", "XDG_DATA_HOME")
    facts: Final = Facts(
        agent="Goose",
        versions="schemas 5 to 16 of its database, JSON lines of 2025",
        where="`~/.local/share/goose/sessions`: `sessions.db`, before 1.10 `*.jsonl`",
        read="messages, tools with results and exit codes, refusals, interrupts, compactions",
        left_out="thinking, pictures, confirmations, recipes",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directories of sessions: under `GOOSE_PATH_ROOT` if that is set, else where versions kept them."""
        named, shared = environment.get("GOOSE_PATH_ROOT", ""), environment.get("XDG_DATA_HOME", "")
        if named.startswith("/"):
            return (Path(named) / "data" / "sessions",)
        base = Path(shared) if shared.startswith("/") else home / ".local" / "share"
        places = (base / "goose", base / "Block" / "goose", home / "Library" / "Application Support" / "goose")
        return tuple(place / "sessions" for place in places)

    def owns(self, path: PurePath) -> bool:
        """Tell whether a file is the database, or a session's file."""
        return path.name == DATABASE or (path.suffix == ".jsonl" and path.parent.name == "sessions")

    def session_hint(self, path: PurePath) -> str:
        """Return the session's id: the last part of a log's path, or the stem of a file."""
        return bounded_id(path.name.removesuffix(".jsonl"))

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by its place below a directory of Goose's, by the tables, or by the first line."""
        if self.owns(path) and "goose" in path.parts:
            return True
        if head.startswith(b"SQLite format 3\x00"):
            return b"content_json" in head and b"working_dir" in head
        return any(bytes(glance.working_dir) and bytes(glance.message_count) for glance in glances(head, _Glance))

    def layout(self, path: PurePath) -> Database | None:
        """Return a database; None for lines, only ever added."""
        return None if path.suffix == ".jsonl" else Database(_queries, rendered)

    def open(self, path: PurePath, state: bytes | None) -> GooseParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, GooseMemory, path)
        return GooseParser(memory or GooseMemory(session=Session(id=self.session_hint(path))))


_row_decoder: Final = msgspec.json.Decoder(_Row)


def _queries(tables: Mapping[str, frozenset[str]]) -> Queries | None:
    """The questions to Goose's tables, as far as their columns are there; a row's id and visibility may change."""
    sessions, messages = tables.get("sessions", frozenset()), tables.get("messages", frozenset())
    if "working_dir" not in sessions or not {"session_id", "role", "content_json"} <= messages:
        return None
    kind, parent = (name if name in sessions else "null" for name in ("session_type", "parent_session_id"))
    model = _extracted("model_config_json", "$.model_name") if "model_config_json" in sessions else "null"
    shown = _extracted("metadata_json", "$.userVisible") if "metadata_json" in messages else "null"
    return Queries(
        sessions="""select s.id, s.updated_at || '/' || coalesce((select max(m.id) from messages m
                where m.session_id = s.id), ''),
            (select count(*) from messages m where m.session_id = s.id) from sessions s""",
        records=f"""select id, working_dir, session_type, parent_session_id, model, role, content, created, shown from (
            select 0 as place, id, working_dir, {kind} as session_type, {parent} as parent_session_id,
                {model} as model, null as role, null as content, null as created, null as shown
            from sessions where id = :key
            union all select id, null, null, null, null, null, role, content_json, created_timestamp, {shown}
            from messages where session_id = :key)
        order by place""",  # noqa: S608 - names of columns only
    )


def _extracted(column: str, path: str) -> str:
    """A value of a column of JSON, null where it is none."""
    return f"case when json_valid({column}) then json_extract({column}, '{path}') end"


def rendered(row: Rendered) -> Iterator[Rendered]:
    """Return a row as a line of the files before it; of a message that is no JSON, its text: it is undecodable."""
    given = typed(Raw(row.line), _row_decoder, _Row)
    if not given.role:
        yield row
        return
    try:
        content = Raw(msgspec.json.format(given.content, indent=-1).encode())
    except (msgspec.DecodeError, ValueError, RecursionError):
        line = given.content.replace("\n", " ").encode("utf-8", "replace")
        yield Rendered(line, row.finished) if line.strip() else row
        return
    made: dict[str, Any] = {"role": given.role, "created": given.created, "content": content}
    if given.shown == 0:
        made["metadata"] = {"userVisible": False}
    yield Rendered(msgspec.json.encode(made), row.finished)


class GooseMemory(Memory):
    """What this parser remembers beside what all do."""

    prompted: bool = False


_decoder: Final = msgspec.json.Decoder(Line)


class GooseParser(LogParser[GooseMemory, Line]):
    """Reads the messages of one session."""

    def __init__(self, memory: GooseMemory) -> None:
        super().__init__(memory, _decoder, Line)
        self._span = Span(0, 0)
        self._line = Line()

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one line says."""
        self._line, self._span = record, span
        if record.working_dir is not None:
            self._meet(record)
            return []
        if record.role not in {"user", "assistant"} or record.content is None:
            self.unknown(record.role or "(no role)")
            return []
        strange = [item.type for item in record.content if item.type not in _READERS and item.type not in _IGNORED]
        if strange:
            self.unknown(strange[0] or "(no type)")
        elif all(item.type in _IGNORED for item in record.content):
            self.ignored()
        return [event for item in record.content if item.type in _READERS for event in _READERS[item.type](self, item)]

    def _meet(self, record: Line) -> None:
        """Learn whose session it is."""
        session, parent = self.memory.session, bounded_id(record.parent_session_id or "")
        self.memory.session = replace(
            session,
            id=bounded_id(record.id or "") or session.id,
            parent=parent,
            cwd=fact(record.working_dir or ""),
            model=fact(record.model or ""),
            machine_run=bool(parent) or record.session_type in _MACHINES,
        )

    def _read_text(self, item: Item) -> list[Event]:
        """What was said: by the agent, by a person, or by a program to the agent alone."""
        if not without_own(item.text).strip():
            return []
        hidden = self._line.metadata is not None and not self._line.metadata.userVisible
        if self._line.role == "user":
            return [self._asked(item.text, hidden=hidden)]
        if not hidden:
            return [self._event(EventKind.ASSISTANT, item.text)]
        kind = EventKind.COMPACTION if item.text.startswith(_COMPACTED) else EventKind.NOTICE
        return [self._event(kind, item.text)]

    def _asked(self, text: str, *, hidden: bool) -> Event:
        """A prompt: what a person typed of it."""
        memory = self.memory
        if not memory.prompted and not hidden:
            memory.prompted = True
            if is_own_prompt(text):
                memory.session = replace(memory.session, ignored="selfdistill")
        typed = without_wrapped(without_own(text)).strip()
        if hidden or not typed:
            return self._event(EventKind.USER, text)
        return self._event(EventKind.USER, typed, self._person())

    def _read_call(self, item: Item) -> list[Event]:
        """A tool call; one that could not be read says why."""
        result = item.toolCall or Result()
        value = result.value if isinstance(result.value, Value) else Value()
        kind = _kind(value)
        made = tool_input(kind, bytes(value.arguments) or b"{}")
        if result.status == "error":
            made = ToolInput(text=without_own(result.error or ""))
        event = self._event(EventKind.TOOL_CALL, "", key=item.id)
        call_id = bounded_id(item.id) or event.uid
        return [replace(event, tool=tool_name(value.name), tool_kind=kind, input=made, call_id=call_id)]

    def _read_result(self, item: Item) -> list[Event]:
        """A tool's result, with the refusal or the interrupt that it may stand for."""
        call_id, result = bounded_id(item.id), item.toolResult or Result()
        tool = self.memory.open_calls.get(call_id, NO_TOOL)
        value = result.value if isinstance(result.value, Value) else None
        pieces = result.value if isinstance(result.value, list) else value.content if value is not None else None
        text = result.error or "\n".join(piece.text for piece in pieces or () if _for_agent(piece))
        event = replace(
            self._event(EventKind.TOOL_RESULT, text, key=f"{item.id}:r"),
            call_id=call_id,
            tool=tool.name,
            tool_kind=tool.kind,
            is_error=result.status == "error" or bool(value is not None and value.isError),
            exit_code=_exit_code(value, text),
        )
        if text.startswith(_DECLINED):
            return [event, self._beside(event, EventKind.REJECTION, "")]
        if text.startswith(_INTERRUPTED):
            return [event, self._beside(event, EventKind.INTERRUPT, text)]
        return [event]

    def _beside(self, result: Event, kind: EventKind, text: str) -> Event:
        """What a person did beside a result."""
        made = self._event(kind, text, self._person(), key=f"{result.call_id}:x")
        return replace(made, call_id=result.call_id, tool=result.tool, tool_kind=result.tool_kind)

    def _read_notice(self, item: Item) -> list[Event]:
        """Something that Goose tells the user; what it tells while it thinks is no news."""
        text = item.msg or item.text
        if item.notificationType == "thinkingMessage" or not text.strip():
            return []
        kind = EventKind.COMPACTION if item.type == "conversationCompacted" else EventKind.NOTICE
        return [self._event(kind, text)]

    def _person(self) -> Author:
        """A person, unless a schedule or another agent drives the session."""
        return Author.PROGRAM if self.memory.session.machine_run else Author.HUMAN

    def _event(self, kind: EventKind, text: str, author: Author = Author.PROGRAM, *, key: str = "") -> Event:
        """An event of the message that is being read."""
        created = self._line.created
        return Event(
            kind=kind,
            span=self._span,
            uid=digest(str(created or ""), kind, key or text),
            at=seconds(created),
            text=without_own(text),
            author=author,
            cwd=self.memory.session.cwd,
        )


def _kind(value: Value) -> ToolKind:
    """What a call does; the editor's first argument tells."""
    if not value.name.endswith(_EDITOR):
        return kind_of(value.name)
    found, _ = read_tolerantly(bytes(value.arguments))
    return _EDITS.get(coerce(found[0].value if found else None, _Command).command, ToolKind.EDIT)


def _for_agent(piece: Piece) -> bool:
    """Whether a piece of a result is what the agent reads: the shell's output comes once more for the user."""
    audience = piece.annotations.audience if piece.annotations is not None else None
    return bool(piece.text) and (not audience or "assistant" in audience)


def _exit_code(value: Value | None, text: str) -> int | None:
    """The exit status of a command: a field, before 1.25 at most words."""
    if value is not None and value.structuredContent is not None:
        return exit_status(value.structuredContent.exit_code)
    found = _EXIT_CODE.search(text[-64:])
    return exit_status(int(found[1])) if found else None


_READERS: Final = {
    "text": GooseParser._read_text,  # noqa: SLF001 - the table belongs to the class
    **dict.fromkeys(_CALLS, GooseParser._read_call),  # noqa: SLF001
    "toolResponse": GooseParser._read_result,  # noqa: SLF001
    "systemNotification": GooseParser._read_notice,  # noqa: SLF001
    "conversationCompacted": GooseParser._read_notice,  # noqa: SLF001
    "error": GooseParser._read_notice,  # noqa: SLF001
}

"""OpenCode and its fork Kilo CLI: `opencode.db`, the JSON files before 1.2, and exports (formats.md section 6).

What OpenCode cannot express: whether a person or `opencode run` sent a prompt, and whether a person or a headless run
refused a permission; which command template a prompt was made of, but for its own; any git branch. What a user reverts
is deleted from the database with the next prompt, so that the log begins anew. A session that was moved from files or
from the older tables keeps its ids: an event's uid is made of its message's time, which forks and exports copy too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Final

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from selfdistill.layouts import Database, Document, Queries
from selfdistill.model import Author, Event, EventKind, Session, Span
from selfdistill.sources.base import NO_TOOL, Facts, LogParser, Memory, remembered
from selfdistill.sources.decoding import bounded_id, digest, exit_status, fact, glances, seconds, tool_name
from selfdistill.sources.injections import is_own_prompt, without_own, without_wrapped
from selfdistill.sources.opencode_lines import render, rendered
from selfdistill.sources.opencode_queries import newer, older
from selfdistill.sources.tool_inputs import kind_of, tool_input

SQLITE: Final = b"SQLite format 3\x00"
_DATABASE: Final = re.compile(r"(?:opencode|kilo)[\w.-]*\.db")
_IGNORED: Final = frozenset(
    [
        "reasoning",
        "step-start",
        "step-finish",
        "snapshot",
        "patch",
        "file",
        "agent",
        "compaction",  # the summary that follows tells of it
        "system",
        "agent-switched",
        "model-switched",
        "permission",
    ]
)
_ABORTED: Final = frozenset({"MessageAbortedError", "aborted", "interrupted"})
_REFUSED: Final = re.compile(
    r"(?:\w*Error: )?The user rejected permission to use this specific tool call"
    r"(?: with the following feedback: (?P<feedback>.*))?",
    re.DOTALL,
)
_DENIED: Final = re.compile(r"(?:\w*Error: )?The user has specified a rule which prevents you from using this")
_TEMPLATES: Final = (  # of the commands that OpenCode brings: /init and /review
    "Create or update `AGENTS.md` for this repository",
    "Please analyze this codebase and create an AGENTS.md file",
    "You are a code reviewer. Your job is to review code changes",
)


class Line(Struct, frozen=True):
    """One line of `opencode_lines`."""

    type: str = ""
    id: str = ""
    role: str = ""
    created: float | str | None = None
    at: float | str | None = None
    cwd: str = ""
    model: str = ""
    text: str = ""
    summary: bool = False
    program: bool = False
    ends: bool = False
    call: str = ""
    tool: str = ""
    input: Raw = field(default_factory=Raw)
    status: str = ""
    exit: float | None = None
    goes_on: bool = False
    error: str = ""
    outcome: str = ""
    parent: str = ""
    version: str = ""


class _Glance(Struct):
    """What tells an export from other documents."""

    info: Raw = field(default_factory=Raw)
    id: str = ""
    projectID: str = ""  # noqa: N815 - as OpenCode writes it


class _Marks(Struct):
    """What OpenCode says of every session."""

    id: str = ""
    slug: str = ""
    projectID: str = ""  # noqa: N815


class OpenCode:
    """Sessions of OpenCode and Kilo CLI."""

    name: Final = "opencode"
    variables: Final = ("XDG_DATA_HOME", "OPENCODE_DB", "KILO_DB")
    facts: Final = Facts(
        agent="OpenCode, Kilo CLI",
        versions="sources of 0.6 to 2.0; exports of 1.16 to 1.18",
        where="`opencode*.db` and `storage/` in `~/.local/share/opencode`, `kilo*.db` in `~/.local/share/kilo`; "
        "exports by name: `run PATH`",
        read="messages, tools with results and exit codes, the user's shell, refusals, interrupts, compactions",
        left_out="reasoning, files, diffs, todos; oh-my-opencode's `~/.claude/transcripts`, which repeat the database",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the data directories of both agents (the same on macOS), and those of databases that are elsewhere."""
        named = environment.get("XDG_DATA_HOME", "")
        base = Path(named) if named.startswith("/") else home / ".local" / "share"
        others = (Path(environment.get(name, "")) for name in ("OPENCODE_DB", "KILO_DB"))
        places = (base / "opencode", base / "kilo", *(path.parent for path in others if path.is_absolute()))
        return tuple(dict.fromkeys(places))

    def owns(self, path: PurePath) -> bool:
        """Tell whether a file is a database by its name, or a session's file by its place."""
        if _DATABASE.fullmatch(path.name):
            return True
        places = path.parts[-4:-1]
        return path.suffix == ".json" and (places[:2] == ("storage", "session") or places[1:] == ("session", "info"))

    def session_hint(self, path: PurePath) -> str:
        """Return the session's id, which is the last part of a log's path."""
        return bounded_id(path.name.removesuffix(".json"))

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by name or place, by the tables of a database, or by the beginning of an export."""
        if self.owns(path):
            return True
        if head.startswith(SQLITE):
            return b"session_message_session" in head or b"part_message" in head  # indexes that only it has
        return b'"info"' in head[:64] and b'"ses_' in head[:4096] and _is_export(head)

    def layout(self, path: PurePath) -> Database | Document:
        """Return a database, or a session's file with those of its messages."""
        if path.name.endswith(".json"):
            return Document(render, _companions)
        return Database(_queries, rendered)

    def open(self, path: PurePath, state: bytes | None) -> OpenCodeParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, OpenCodeMemory, path)
        return OpenCodeParser(memory or OpenCodeMemory(session=Session(id=self.session_hint(path))))


def _is_export(head: bytes) -> bool:
    """Whether a document that may be cut begins with a session's facts."""
    return any(bytes(glance.info) for glance in glances(head.replace(b"\n", b" "), _Glance)) or b'"slug"' in head[:4096]


def _companions(path: PurePath) -> tuple[PurePath, ...]:
    """The directory of a session's messages; the parts lie in one more for each message, which is written last."""
    storage = path.parent.parent if path.parent.name == "info" else path.parent.parent.parent
    return (storage / "message" / path.stem,)


def _queries(tables: Mapping[str, frozenset[str]]) -> Queries | None:
    """The questions to a database of 1.x, of 2.0, or of both."""
    parts = [ask(tables) for ask in (older, newer)]
    asked = [queries for queries in parts if queries is not None]
    if not asked:
        return None
    return Queries(
        " union all ".join(queries.sessions for queries in asked),
        " union all ".join(f"select * from ({queries.records})" for queries in asked),  # noqa: S608 - of our own questions
    )


class OpenCodeMemory(Memory):
    """What this parser remembers beside what all do."""

    cwd: str = ""  # where the agent works now
    prompted: bool = False
    aborted: bool = False  # the last message was; 2.0 says it once more of the turn


_decoder: Final = msgspec.json.Decoder(Line)


class OpenCodeParser(LogParser[OpenCodeMemory, Line]):
    """Reads the lines of one session."""

    def __init__(self, memory: OpenCodeMemory) -> None:
        super().__init__(memory, _decoder, Line)
        self._span = Span(0, 0)

    @property
    def text_closes(self) -> bool:
        """Every message has an end of its own."""
        return False

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one line says."""
        self._span = span
        if record.cwd:
            self.memory.cwd = fact(record.cwd)
        session = self.memory.session
        if record.model and record.model != session.model:
            self.memory.session = replace(session, model=fact(record.model))
        reader = _READERS.get(record.type)
        if reader is not None:
            return reader(self, record)
        if record.type in _IGNORED:
            self.ignored()
        else:
            self.unknown(record.type or "(no type)")
        return []

    def _read_session(self, record: Line) -> list[Event]:
        """Whose session it is; one with a parent is a sub-agent's."""
        self.memory.session = replace(
            self.memory.session,
            id=bounded_id(record.id) or self.memory.session.id,
            parent=bounded_id(record.parent),
            cwd=fact(record.cwd),
            agent_version=fact(record.version),
            machine_run=bool(record.parent),
        )
        return []

    def _read_text(self, record: Line) -> list[Event]:
        """What was said: by the agent, by a person, or by a program in a person's name."""
        if not without_own(record.text).strip():
            return []
        if record.role == "assistant":
            if record.summary:
                return [self._event(EventKind.COMPACTION, record, self._uid(record, "summary"), record.text)]
            event = self._event(EventKind.ASSISTANT, record, self._uid(record, "said"), record.text)
            return [replace(event, ends_turn=True)] if record.ends else [event]
        if record.role != "user":
            self.unknown(f"text/{record.role}")
            return []
        return [self._asked(record)]

    def _asked(self, record: Line) -> Event:
        """A prompt: what a person typed of it."""
        memory = self.memory
        memory.aborted = False
        if not memory.prompted and not record.program:
            memory.prompted = True
            if is_own_prompt(record.text):
                memory.session = replace(memory.session, ignored="selfdistill")
        typed = without_wrapped(without_own(record.text)).strip()
        if record.program or not typed or typed.startswith(_TEMPLATES):
            return self._event(EventKind.USER, record, self._uid(record, "asked"), record.text)
        return self._event(EventKind.USER, record, self._uid(record, "asked"), typed, self._person())

    def _read_call(self, record: Line) -> list[Event]:
        """A tool call."""
        kind, call_id = kind_of(record.tool), self._call_id(record)
        event = self._event(EventKind.TOOL_CALL, record, call_id, "")
        made = tool_input(kind, bytes(record.input) or b"{}")
        return [replace(event, tool=tool_name(record.tool), tool_kind=kind, input=made, call_id=call_id)]

    def _read_result(self, record: Line) -> list[Event]:
        """A tool's result, with the refusal that it may stand for."""
        call_id = self._call_id(record)
        tool = self.memory.open_calls.get(call_id, NO_TOOL)
        failed = record.status == "error"
        event = replace(
            self._event(EventKind.TOOL_RESULT, record, f"{call_id}:r", record.text),
            call_id=call_id,
            tool=tool.name or tool_name(record.tool),
            tool_kind=tool.kind if tool.name else kind_of(record.tool),
            is_error=failed,
            exit_code=exit_status(_whole(record.exit)),
        )
        refused = _REFUSED.match(record.text) if failed else None
        if refused is not None:
            feedback = (refused["feedback"] or "").strip()
            return [event, self._beside(event, EventKind.REJECTION, "x", feedback, self._person(), record)]
        if failed and _DENIED.match(record.text):
            return [event, self._beside(event, EventKind.NOTICE, "d", record.text, Author.PROGRAM, record)]
        return [event]

    def _beside(self, result: Event, kind: EventKind, mark: str, text: str, author: Author, record: Line) -> Event:
        """What a person or a rule did beside a result."""
        made = self._event(kind, record, f"{result.call_id}:{mark}", text, author)
        return replace(made, call_id=result.call_id, tool=result.tool, tool_kind=result.tool_kind)

    def _read_end(self, record: Line) -> list[Event]:
        """The end of a message: of the turn as well, unless the agent goes on with what its tools returned."""
        if record.error in _ABORTED:
            self.memory.aborted = True
            text = record.text or "aborted"
            return [self._event(EventKind.INTERRUPT, record, self._uid(record, "abort"), text, self._person())]
        if not record.goes_on and not record.summary:
            self.close_turn()
        if record.error:
            return [self._event(EventKind.NOTICE, record, self._uid(record, "error"), record.text or record.error)]
        return []

    def _read_idle(self, record: Line) -> list[Event]:
        """The end of a turn of 2.0."""
        told, self.memory.aborted = self.memory.aborted, False
        if record.outcome == "interrupted" and not told:
            return [self._event(EventKind.INTERRUPT, record, self._uid(record, "idle"), "interrupted", self._person())]
        self.close_turn()
        return []

    def _read_summary(self, record: Line) -> list[Event]:
        """A compaction of 2.0."""
        return [self._event(EventKind.COMPACTION, record, self._uid(record, "summary"), record.text)]

    def _read_retry(self, record: Line) -> list[Event]:
        """The provider failed and is asked again."""
        return [self._event(EventKind.NOTICE, record, self._uid(record, "retry"), record.text)]

    def _read_location(self, _record: Line) -> list[Event]:
        """The session moved to another directory, which `read` has noted."""
        return []

    def _person(self) -> Author:
        """A person, unless another agent drives the session."""
        return Author.PROGRAM if self.memory.session.machine_run else Author.HUMAN

    def _call_id(self, record: Line) -> str:
        """The id of a call: some models number theirs from 0 in every session, so the time belongs to it."""
        return digest(str(record.created or record.id), "call", record.call)

    def _uid(self, record: Line, kind: str) -> str:
        """The id of what a message says."""
        return digest(str(record.created or record.id), kind, record.text)

    def _event(self, kind: EventKind, record: Line, uid: str, text: str, author: Author = Author.PROGRAM) -> Event:
        """An event of the line that is being read."""
        return Event(
            kind=kind,
            span=self._span,
            uid=uid,
            at=seconds(record.at),
            text=without_own(text),
            author=author,
            cwd=self.memory.cwd,
        )


def _whole(code: float | None) -> int | None:
    """An exit status, which JSON may write as any number."""
    return int(code) if code is not None and code == code and abs(code) < 2**31 else None  # noqa: PLR0124 - no NaN


_READERS: Final[dict[str, Callable[[OpenCodeParser, Line], list[Event]]]] = {
    "session": OpenCodeParser._read_session,  # noqa: SLF001 - the table belongs to the class
    "text": OpenCodeParser._read_text,  # noqa: SLF001
    "subtask": OpenCodeParser._read_text,  # noqa: SLF001
    "call": OpenCodeParser._read_call,  # noqa: SLF001
    "result": OpenCodeParser._read_result,  # noqa: SLF001
    "end": OpenCodeParser._read_end,  # noqa: SLF001
    "idle": OpenCodeParser._read_idle,  # noqa: SLF001
    "summary": OpenCodeParser._read_summary,  # noqa: SLF001
    "retry": OpenCodeParser._read_retry,  # noqa: SLF001
    "location": OpenCodeParser._read_location,  # noqa: SLF001
}

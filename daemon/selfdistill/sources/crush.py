"""Crush: `crush.db` in each project's data directory, found through its registry (formats.md section 15).

What Crush cannot express: its version, any git branch, times finer than a second, and who denied a permission but a
person. The directory is that of the database's project, then what the shell prints after each command.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Final

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from selfdistill.layouts import Database
from selfdistill.model import Author, Event, EventKind, Session, Span, ToolKind
from selfdistill.sources.base import Facts, LogParser, Memory, Tool, remembered
from selfdistill.sources.crush_lines import Line, queries, rendered
from selfdistill.sources.decoding import bounded_id, coerce, exit_status, fact, read_tolerantly, seconds, tool_name
from selfdistill.sources.injections import is_own_prompt, without_own, without_wrapped
from selfdistill.sources.tool_inputs import kind_of, tool_input

SQLITE: Final = b"SQLite format 3\x00"
DATABASE: Final = "crush.db"
TAIL: Final = 4096  # of an output: enough for the longest directory
REGISTRY_LIMIT: Final = 4 * 2**20  # bytes of projects.json; a thousand projects take 150 KB
_IGNORED: Final = frozenset({"reasoning", "image_url", "binary"})
_DENIED: Final = re.compile(r"(?:user denied permission|permission denied)[.\s]*", re.IGNORECASE)
_EXIT_CODE: Final = re.compile(r"(?:\A|\n)Exit code (\d{1,10})\s*(?:<cwd>[^<\n]*</cwd>\s*)?\Z")
_CWD: Final = re.compile(r"<cwd>(/[^<\n]*)</cwd>\s*\Z")
_PROGRAM: Final = (
    "The previous session was interrupted because it got too long",
    "`Please analyze this codebase and create a **CRUSH.md** file",
    "Please analyze this codebase and create a **CRUSH.md** file",
    "Analyze this codebase and create/update **AGENTS.md**",
)


class Project(Struct, frozen=True):
    """An entry of the registry."""

    path: str = ""
    data_dir: str = ""


class Registry(Struct, frozen=True):
    """`projects.json`."""

    projects: list[Project] = field(default_factory=list)


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(Line)


class Crush:
    """Sessions of Crush."""

    name: Final = "crush"
    variables: Final = ("CRUSH_GLOBAL_DATA", "XDG_DATA_HOME")
    facts: Final = Facts(
        agent="Crush",
        versions="databases of August 2025; sources of 2026",
        where="`crush.db` in the directories that `~/.local/share/crush/projects.json` names, mostly `PROJECT/.crush`",
        read="messages, tools with results and exit codes, the user's shell, refusals, interrupts, summaries",
        left_out="reasoning, pictures, versions of files, the sessions that make titles",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return Crush's own directory and the data directories of the projects in its registry.

        The one source that reads a file for its roots: nothing else says where a project's database is. A registry
        that cannot be read names no project.
        """
        named, shared = environment.get("CRUSH_GLOBAL_DATA", ""), environment.get("XDG_DATA_HOME", "")
        base = Path(shared) if shared.startswith("/") else home / ".local" / "share"
        own = Path(named) if named.startswith("/") else base / "crush"
        return tuple(dict.fromkeys((own, *_projects(own / "projects.json"))))

    def owns(self, path: PurePath) -> bool:
        """Tell by the database's name."""
        return path.name == DATABASE

    def session_hint(self, path: PurePath) -> str:
        """Return the session's id, which is the last part of a log's path."""
        return bounded_id(path.name)

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by the name, or by the tables."""
        tables = head.startswith(SQLITE) and b"message_count" in head and b"parent_session_id" in head
        return self.owns(path) or (tables and b"content_json" not in head)

    def layout(self, _path: PurePath) -> Database:
        """Return a database."""
        return Database(queries, rendered)

    def open(self, path: PurePath, state: bytes | None) -> CrushParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, CrushMemory, path)
        if memory is None:
            cwd = _project_of(path)
            memory = CrushMemory(session=Session(id=self.session_hint(path), cwd=cwd), cwd=cwd)
        return CrushParser(memory)


def _projects(registry: Path) -> list[Path]:
    """The data directories that the registry names."""
    try:
        with registry.open("rb") as file:
            data = file.read(REGISTRY_LIMIT)
    except OSError:
        return []
    found, _ = read_tolerantly(data)
    entries = coerce(found[0].value if found else None, Registry).projects
    places = (Path(entry.path) / (entry.data_dir or ".crush") for entry in entries if "\x00" not in entry.data_dir)
    return [place for place in places if place.is_absolute() and "\x00" not in str(place)]


def _project_of(path: PurePath) -> str:
    """The directory of the project whose database it is, "" where the data directory has another name."""
    parts = path.parts
    number = next((number for number, part in enumerate(parts) if part == DATABASE), 0)
    known = number > 1 and parts[number - 1] == ".crush"
    return fact(str(PurePath(*parts[: number - 1]))) if known else ""


class CrushMemory(Memory):
    """What this parser remembers beside what all do."""

    cwd: str = ""  # of the shell
    prompted: bool = False
    closing: bool = False  # the turn has ended, but the results of its calls are still to come


class CrushParser(LogParser[CrushMemory, Line]):
    """Reads the parts of one session."""

    def __init__(self, memory: CrushMemory) -> None:
        super().__init__(memory, _decoder, Line)
        self._span = Span(0, 0)

    @property
    def text_closes(self) -> bool:
        """Every message has an end of its own."""
        return False

    def close_turn(self) -> None:
        """Note that the agent is done; what a person refused or canceled gets its result after that."""
        if self.memory.open_calls:
            self.memory.closing = True
        else:
            super().close_turn()

    def _admit(self, event: Event) -> bool:
        """Whether the event is new; the last result of a turn that has ended closes it."""
        admitted, memory = super()._admit(event), self.memory
        if event.kind is EventKind.USER and not memory.open_calls:
            memory.closing = False
        if memory.closing and not memory.open_calls:
            memory.closing = False
            super().close_turn()
        return admitted

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one part says."""
        self._span = span
        if record.model and record.role == "assistant" and record.model != self.memory.session.model:
            self.memory.session = replace(self.memory.session, model=fact(record.model))
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
        session = self.memory.session
        parent = bounded_id(record.parent)
        self.memory.session = replace(
            session, id=bounded_id(record.id) or session.id, parent=parent, machine_run=bool(parent)
        )
        return []

    def _read_text(self, record: Line) -> list[Event]:
        """What was said: by the agent, by a person, or by a program in a person's name."""
        text = record.data.text
        if not without_own(text).strip() or record.role == "system":
            self.ignored()
            return []
        if record.role == "user":
            return [self._asked(record, text)]
        if record.role != "assistant":
            self.unknown(f"text/{record.role}")
            return []
        kind = EventKind.COMPACTION if record.summary else EventKind.ASSISTANT
        event = self._event(kind, record, text)
        return [replace(event, ends_turn=True)] if record.ends and not record.summary else [event]

    def _asked(self, record: Line, text: str) -> Event:
        """A prompt: what a person typed of it."""
        memory = self.memory
        if not memory.prompted:
            memory.prompted = True
            if is_own_prompt(text):
                memory.session = replace(memory.session, ignored="selfdistill")
        typed = without_wrapped(without_own(text)).strip()
        if record.data.hidden or not typed or typed.startswith(_PROGRAM):
            return self._event(EventKind.USER, record, text)
        return self._event(EventKind.USER, record, typed, self._person())

    def _read_call(self, record: Line) -> list[Event]:
        """A tool call; its arguments are JSON inside a string."""
        data, kind = record.data, kind_of(record.data.name)
        event = self._event(EventKind.TOOL_CALL, record, "")
        call_id, made = bounded_id(data.id) or event.uid, tool_input(kind, data.input or "{}")
        return [replace(event, tool=tool_name(data.name), tool_kind=kind, input=made, call_id=call_id)]

    def _read_result(self, record: Line) -> list[Event]:
        """A tool's result, with the refusal that it may stand for."""
        data, call_id = record.data, bounded_id(record.data.tool_call_id)
        tool = self.memory.open_calls.get(call_id, Tool(tool_name(data.name), kind_of(data.name)))
        shell = tool.kind is ToolKind.SHELL
        tail = data.content[-TAIL:] if shell else ""
        code, place = _EXIT_CODE.search(tail), _CWD.search(tail)
        event = replace(
            self._event(EventKind.TOOL_RESULT, record, data.content),
            call_id=call_id,
            tool=tool.name,
            tool_kind=tool.kind,
            is_error=data.is_error,
            exit_code=exit_status(int(code[1])) if code else 0 if place and not data.is_error else None,
        )
        if place:
            self._move(fact(place[1]))
        if not data.is_error or not _DENIED.fullmatch(data.content.strip()):
            return [event]
        refused = self._event(EventKind.REJECTION, record, "", self._person())
        return [
            event,
            replace(refused, uid=f"{event.uid}:x", call_id=call_id, tool=tool.name, tool_kind=tool.kind),
        ]

    def _move(self, cwd: str) -> None:
        """Note where the shell is now, and the session where nothing else tells."""
        self.memory.cwd = cwd
        if not self.memory.session.cwd:
            self.memory.session = replace(self.memory.session, cwd=cwd)

    def _read_shell(self, record: Line) -> list[Event]:
        """A command that the user ran (`!`): call and result in one."""
        data = record.data
        call = self._event(EventKind.TOOL_CALL, record, "")
        made = tool_input(ToolKind.SHELL, _encode({"command": data.command}))
        call = replace(call, tool="bash", tool_kind=ToolKind.SHELL, input=made, call_id=call.uid)
        result = replace(
            self._event(EventKind.TOOL_RESULT, record, data.output),
            uid=f"{call.uid}:r",
            call_id=call.uid,
            tool="bash",
            tool_kind=ToolKind.SHELL,
            is_error=False,
            exit_code=exit_status(data.exit_code),
        )
        return [call, result]

    def _read_finish(self, record: Line) -> list[Event]:
        """The end of the turn, and why."""
        data = record.data
        text = "\n".join(filter(None, (data.message, data.details)))
        if data.reason == "canceled":
            return [self._event(EventKind.INTERRUPT, record, text or "canceled", self._person())]
        if not record.summary:
            self.close_turn()
        return [self._event(EventKind.NOTICE, record, text or data.reason)] if data.reason == "error" else []

    def _person(self) -> Author:
        """A person, unless another agent drives the session."""
        return Author.PROGRAM if self.memory.session.machine_run else Author.HUMAN

    def _event(self, kind: EventKind, record: Line, text: str, author: Author = Author.PROGRAM) -> Event:
        """An event of the part that is being read: messages have unique ids, which nothing copies."""
        return Event(
            kind=kind,
            span=self._span,
            uid=f"{bounded_id(record.id)}:{record.number}",
            at=seconds(record.created),
            text=without_own(text),
            author=author,
            cwd=self.memory.cwd,
        )


_READERS: Final[dict[str, Callable[[CrushParser, Line], list[Event]]]] = {
    "session": CrushParser._read_session,  # noqa: SLF001 - the table belongs to the class
    "text": CrushParser._read_text,  # noqa: SLF001
    "tool_call": CrushParser._read_call,  # noqa: SLF001
    "tool_result": CrushParser._read_result,  # noqa: SLF001
    "shell_command": CrushParser._read_shell,  # noqa: SLF001
    "finish": CrushParser._read_finish,  # noqa: SLF001
}

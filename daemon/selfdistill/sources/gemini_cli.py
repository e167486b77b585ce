"""Gemini CLI: `~/.gemini/tmp/<project>/chats/session-*`, documents up to 0.39, event logs since (formats.md section 4).

The log cannot say: the agent's version, the branch, whether a program started the session (`gemini -p`), the end of a
turn (its last text stands for it) or of the session, and that a call runs (it is written when it has ended). What the
user takes back (`$rewindTo`) has happened and stays; what is masked later (`$patch`) is known by its first wording.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Final

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from selfdistill.layouts import Document, Files, Rendered
from selfdistill.model import Event, EventKind, Session, Span
from selfdistill.sources.base import Facts, bounded, remembered
from selfdistill.sources.decoding import bounded_id, digest, fact, glances, seconds
from selfdistill.sources.documents import document_in, line_of, undecodable
from selfdistill.sources.gemini_parser import ContentMemory, ContentParser
from selfdistill.sources.gemini_places import CHATS, parent_of, project_root
from selfdistill.sources.gemini_records import Line, Message, Settings, ToolCall
from selfdistill.sources.gemini_texts import FunctionResponse, Part, parts_of, texts_of
from selfdistill.sources.injections import is_own_place

REMEMBERED: Final = 1024  # messages that are told again with the whole history: 18 KB of state
HEADER: Final = ("sessionId", "projectHash", "startTime", "kind")  # what a document never changes of itself
_CANCELLED: Final = "Request cancelled."
_ACKNOWLEDGED: Final = frozenset({"Got it. Thanks for the additional context!", "Got it. Thanks for the context!"})
_ENDED: Final = frozenset({"success", "error", "cancelled"})
_LONG_ID: Final = 20  # longer ids hold a time; shorter ones are unique in their session only
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WORKING: Final = re.compile(
    r"(?:working in the directory: |Workspace Directories:\*\*\n\s*- )(/[^\n]+|[A-Za-z]:\\[^\n]+)"
)
_DOCUMENT: Final = re.compile(rb'(?<!\\)"projectHash"\s*:\s*"')


class _Glance(Struct):
    """What tells these records from others'."""

    projectHash: str | None = None  # noqa: N815
    type: str | None = None
    settings: Raw = field(default_factory=Raw, name="$set")
    rewound: Raw = field(default_factory=Raw, name="$rewindTo")


class GeminiMemory(ContentMemory):
    """What this parser remembers beside what both do."""

    seen: dict[str, None] = field(default_factory=dict)
    last: str = ""  # id of the last message


class GeminiCli:
    """Logs of Gemini CLI and its sub-agents."""

    name: Final = "gemini_cli"
    variables: Final = ("GEMINI_CLI_HOME",)
    facts: Final = Facts(
        agent="Gemini CLI",
        versions="0.23 (documents), 0.40 to 0.64 from its source (event logs)",
        where="`~/.gemini/tmp/*/chats`, `~/.cache/.gemini/tmp/*/chats` (macOS sandbox)",
        read="messages, tools with results, exit codes out of the text, refusals, interrupts, rewinds, sub-agents",
        left_out="thoughts, `logs.json`, checkpoints, outputs above 50 KB; the log names no version and no branch",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directories of all projects, below `GEMINI_CLI_HOME` if that is set."""
        named = environment.get("GEMINI_CLI_HOME", "")
        base = Path(named) if named.startswith("/") else home
        return base / ".gemini" / "tmp", base / ".cache" / ".gemini" / "tmp"

    def owns(self, path: PurePath) -> bool:
        """Tell whether a file below a root is a session's or a sub-agent's log."""
        return path.suffix in {".json", ".jsonl"} and CHATS in path.parts[:-1]

    def session_hint(self, path: PurePath) -> str:
        """Return the first eight characters of the session's id, of the parent's for a sub-agent."""
        return (parent_of(path) or path.stem.rpartition("-")[2])[:8]

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by a chat's place, or by a record that only Gemini CLI writes."""
        parts = path.parts
        if ".gemini" in parts and "tmp" in parts and self.owns(path):
            return True
        if _DOCUMENT.search(head) and b'"messages"' in head:
            return True
        return any(
            glance.projectHash or glance.type == "gemini" or bytes(glance.settings) or bytes(glance.rewound)
            for glance in glances(head, _Glance)
        )

    def layout(self, path: PurePath) -> Document | None:
        """Return how a document is rendered; None for an event log."""
        return Document(render) if path.suffix == ".json" else None

    def open(self, path: PurePath, state: bytes | None) -> GeminiParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, GeminiMemory, path)
        return GeminiParser(memory or _first_memory(path, self.session_hint(path)))


def render(path: PurePath, files: Files) -> Iterator[Rendered]:
    """Return a document's facts and its messages; the last message may still get tool calls."""
    data = files.read(path)
    document = document_in(data)
    if not isinstance(document, dict):
        if data.strip():
            yield undecodable(data)
        return
    messages = document.get("messages")
    if not isinstance(messages, list):
        yield line_of(document)
        return
    yield line_of({name: document[name] for name in HEADER if name in document})
    for number, message in enumerate(messages):
        last = number == len(messages) - 1
        yield line_of(message, finished=not (last and isinstance(message, dict) and message.get("type") == "gemini"))


_decoder: Final = msgspec.json.Decoder(Line)


class GeminiParser(ContentParser[GeminiMemory, Line]):
    """Reads one log of Gemini CLI."""

    def __init__(self, memory: GeminiMemory) -> None:
        super().__init__(memory, _decoder, Line)

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one line says."""
        self.span, self.at = span, seconds(record.timestamp)
        if record.rewound is not None:
            return self._rewind(record.rewound)
        if record.settings is not None:
            return self._read_settings(record.settings)
        if record.patch is not None:
            return self._listed(record.patch.updates or [])
        if record.id:
            return self._read_message(record)
        if record.sessionId:
            self._learn(record.sessionId, record.directories)
            self.memory.session = replace(
                self.memory.session, machine_run=self.memory.session.machine_run or record.kind == "subagent"
            )
            return []
        self.unknown(record.type or "(no type)")
        return []

    def call_uid(self, call_id: str) -> str:
        """Return the call's id, with the session's where it is a short one."""
        return call_id if len(call_id) >= _LONG_ID else digest(self.memory.session.id, call_id)

    def _learn(self, identity: str | None, directories: list[str] | None) -> None:
        """Keep what a record says about the session."""
        session = self.memory.session
        self.memory.session = replace(session, id=bounded_id(identity or "") or session.id)
        if directories:
            self._works_in(directories[0])

    def _works_in(self, directory: str) -> None:
        """Note the session's directory, unless the project's own files have told it."""
        memory, directory = self.memory, fact(directory.strip())
        if memory.cwd or not directory:
            return
        memory.cwd = directory
        ignored = memory.session.ignored or ("selfdistill" if is_own_place(directory) else "")
        memory.session = replace(memory.session, cwd=directory, ignored=ignored)

    def _read_settings(self, settings: Settings) -> list[Event]:
        """Facts of the session; a history that comes again tells what was not told before."""
        self._learn(settings.sessionId, settings.directories)
        if settings.messages is None:
            self.ignored()
            return []
        return self._listed(settings.messages)

    def _listed(self, messages: list[Message]) -> list[Event]:
        """The events of those messages of a history that were not met before."""
        events: list[Event] = []
        for message in messages:
            if message.id and _key(message.id) not in self.memory.seen:
                self.at = seconds(message.timestamp)
                events.extend(self._told(message) or ())
        return events

    def _read_message(self, message: Message) -> list[Event]:
        """A message that was added, or is written again with more in it."""
        told = self._told(message)
        if told is not None:
            return told
        if message.type == "info":
            self.ignored()
        else:
            self.unknown(f"message/{message.type}")
        return []

    def _told(self, message: Message) -> list[Event] | None:
        """What a message says; None for one that is left out."""
        reader = _READERS.get(message.type or "")
        if reader is None or not message.id:
            return None
        memory = self.memory
        memory.last = memory.last if message.id == memory.last else bounded_id(message.id)
        memory.seen[_key(message.id)] = None
        bounded(memory.seen, REMEMBERED)
        return reader(self, message, self._uid(message.id))

    def _uid(self, identity: str) -> str:
        """A message's uid: its id, with the session's where it is no UUID (a context's is the same everywhere)."""
        return identity if _UUID.fullmatch(identity) else digest(self.memory.session.id, identity)

    def _read_user(self, message: Message, uid: str) -> list[Event]:
        """A prompt, what a program says as the user, or the results that were sent to the model."""
        events: list[Event] = []
        responses = [part.functionResponse for part in parts_of(message.content) if part.functionResponse is not None]
        for response in responses:
            events.extend(self.read_answer(response.id or "", response.name, "", response.response))
        texts = texts_of(message.displayContent) or texts_of(message.content)
        if found := _WORKING.search("\n".join(texts)) if not self.memory.cwd else None:
            self._works_in(found[1])
        return events + self.read_prompt(uid, texts, human=not responses)

    def _read_gemini(self, message: Message, uid: str) -> list[Event]:
        """What the agent said and called, with the results that are there."""
        if message.model and message.model != self.memory.session.model:
            self.memory.session = replace(self.memory.session, model=fact(message.model))
        events: list[Event] = []
        text = "\n".join(texts_of(message.content))
        if text.strip() and text not in _ACKNOWLEDGED:
            events.append(self.event(EventKind.ASSISTANT, uid, text))
        calls = [part.functionCall for part in parts_of(message.content) if part.functionCall is not None]
        events.extend(self.read_call(call.id, call.name, call.args) for call in calls if call.id)
        for call in message.toolCalls or ():
            events.extend(self._read_call(call, uid))
        return events

    def _read_call(self, call: ToolCall, uid: str) -> list[Event]:
        """A call, and its result once it has ended."""
        identity = call.id or f"{uid}:{call.name}"
        events = [self.read_call(identity, call.name, call.args)]
        if call.status in _ENDED:
            before, self.at = self.at, seconds(call.timestamp) or self.at
            events.extend(self.read_answer(identity, call.name, call.status, _response(call)))
            self.at = before
        return events

    def _read_info(self, message: Message, uid: str) -> list[Event] | None:
        """An interrupt; whatever else is told the user (updates, settings) is left out."""
        if "\n".join(texts_of(message.content)).strip() != _CANCELLED:
            return None
        if self.memory.stopped:
            self.close_turn()
            return []
        self.memory.stopped = True
        return [self.event(EventKind.INTERRUPT, uid, _CANCELLED, self.person())]

    def _read_trouble(self, message: Message, uid: str) -> list[Event]:
        """A warning or an error of the program; after an error the user is next."""
        if message.type == "error":
            self.close_turn()
        text = "\n".join(texts_of(message.content))
        return [self.event(EventKind.NOTICE, uid, text)] if text.strip() else []

    def _rewind(self, target: str) -> list[Event]:
        """The user took the conversation back to before a message."""
        self.close_turn()
        uid = digest("rewind", self.memory.session.id, target, self.memory.last)
        return [self.event(EventKind.NOTICE, uid, "The user took back the last messages.", self.person())]


def _key(identity: str) -> str:
    """What is remembered of a message's id."""
    return digest(identity)


def _response(call: ToolCall) -> Raw:
    """The answer among the parts of a call's result: its own, the first, or else the texts."""
    parts = parts_of(call.result)
    answers: list[FunctionResponse] = [part.functionResponse for part in parts if part.functionResponse is not None]
    own = next((answer for answer in answers if answer.id == call.id), answers[0] if answers else None)
    return own.response if own is not None else Raw(msgspec.json.encode({"output": _joined(parts)}))


def _joined(parts: list[Part]) -> str:
    """The texts of parts."""
    return "\n".join(part.text for part in parts if part.text)


def _first_memory(path: PurePath, hint: str) -> GeminiMemory:
    """What name and place say about the session."""
    parent, cwd = parent_of(path), project_root(path)
    ignored = "selfdistill" if is_own_place(cwd) else ""
    session = Session(id=hint, parent=bounded_id(parent), cwd=cwd, machine_run=bool(parent), ignored=ignored)
    return GeminiMemory(session=session, cwd=cwd)


_Reader = Callable[[GeminiParser, Message, str], list[Event] | None]
_READERS: Final[dict[str, _Reader]] = {
    "user": GeminiParser._read_user,  # noqa: SLF001 - the table belongs to the class
    "gemini": GeminiParser._read_gemini,  # noqa: SLF001
    "info": GeminiParser._read_info,  # noqa: SLF001
    "warning": GeminiParser._read_trouble,  # noqa: SLF001
    "error": GeminiParser._read_trouble,  # noqa: SLF001
}

"""Cursor: transcripts of its agents (CLI and editor), and the editor's database (formats.md section 9).

A transcript has no ids, no model, no tool results and hardly a time: what failed is nowhere in it, and where the agent
worked is told by the directories that calls name. The project's directory is named after the workspace with every odd
character replaced; the workspace is the directory among those that calls name whose name becomes the same. The
database tells all that (`cursor_database.py`); where both hold a conversation, it has the same id in both.
Not read: the CLI's `chats/<hash>/<id>/store.db`, an undocumented graph of blobs, partly Protocol Buffers; its
conversations stand in the transcripts. Chats of 2024 in `workspaceStorage` are read without their directory, which
stands in another file. Known from 142 + 1 real transcripts, SpecStory's CURSORIDE-FORMAT.md and other readers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import Final

import msgspec
from msgspec import Raw, Struct, field

from selfdistill.layouts import Database
from selfdistill.model import Event, EventKind, Session, Span
from selfdistill.sources.base import Facts, remembered
from selfdistill.sources.conversation import ConversationMemory, ConversationParser
from selfdistill.sources.cursor_database import LAYOUT, BubbleParser
from selfdistill.sources.decoding import bounded_id, digest, glances

TRANSCRIPTS: Final = "agent-transcripts"
DATABASE: Final = "state.vscdb"
_REDACTED: Final = "[REDACTED]"  # stands for the model's reasoning
_FOLLOW_UP: Final = "Briefly inform the user about the task result"
_QUERY: Final = re.compile(r"<user_query>\s*(.*?)\s*(?:</user_query>|\Z)", re.DOTALL)
_STAMP: Final = re.compile(
    r"<timestamp>\w+, (\w{3})\w* (\d{1,2}), (\d{4}), (\d{1,2}):(\d\d) ([AP])M(?: \(UTC([+-]\d{1,2})(?::(\d\d))?\))?"
)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ODD: Final = re.compile(r"[^A-Za-z0-9]+")
_PATHS: Final = re.compile(
    r'"(?:working_directory|target_directory|path|file_path|target_file)"\s*:\s*"(/[^"\\]{1,400})"'
)
_SILENT: Final = frozenset({"thinking", "redacted_thinking", "reasoning", "image"})
_CALLS: Final = frozenset({"tool_use"})
_ROLES: Final = frozenset({"user", "assistant"})


class Cursor:
    """Agent transcripts and the conversations of the editor."""

    name: Final = "cursor"
    variables: Final = ("XDG_CONFIG_HOME",)
    facts: Final = Facts(
        agent="Cursor (editor and CLI)",
        versions="transcripts of 2026; editor databases of 2024 (read), 2.x and 3.x (known from other readers)",
        where="`~/.cursor/projects`, `Cursor/User/globalStorage` and `workspaceStorage` in the configuration",
        read="transcripts: prompts, answers, calls, ends of turns; `state.vscdb`: also results, exit codes, decisions",
        left_out="the CLI's `store.db`; a transcript has no results, errors, model and few times; tools before 2025",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directories of the agents' projects and of the editor's storage."""
        configured = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
        users = [base / "Cursor/User" for base in (configured, home / "Library/Application Support")]
        storages = [user / storage for user in users for storage in ("globalStorage", "workspaceStorage")]
        return (home / ".cursor/projects", *storages)

    def owns(self, path: PurePath) -> bool:
        """Tell by name and place: a transcript, or an editor's database."""
        return path.name == DATABASE or (path.suffix == ".jsonl" and TRANSCRIPTS in path.parts)

    def session_hint(self, path: PurePath) -> str:
        """Return the conversation: the file's stem, or the parent's id for a sub-agent's transcript."""
        return path.parent.parent.name if path.parent.name == "subagents" else path.stem

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by the place, or by records that only Cursor writes: the end of a turn, a wrapped query."""
        placed = DATABASE in {path.name, path.parent.name} or self.owns(path)
        return placed or any(
            glance.type == "turn_ended" or (glance.role in _ROLES and b"<user_query>" in bytes(glance.message))
            for glance in glances(head, _Glance)
        )

    def layout(self, path: PurePath) -> Database | None:
        """Return how the editor's database is read; None for transcripts, lines that are only ever added."""
        return LAYOUT if path.name == DATABASE else None

    def open(self, path: PurePath, state: bytes | None) -> TranscriptParser | BubbleParser:
        """Return a parser, new or with the state of an earlier one."""
        if path.parent.name == DATABASE:
            known = remembered(state, ConversationMemory, path)
            return BubbleParser(known or ConversationMemory(session=Session(id=bounded_id(path.name))))
        memory = remembered(state, TranscriptMemory, path)
        return TranscriptParser(path, memory or TranscriptMemory(session=self._first_facts(path)))

    def _first_facts(self, path: PurePath) -> Session:
        """What name and place say about a conversation."""
        parent = bounded_id(self.session_hint(path)) if path.parent.name == "subagents" else ""
        return Session(id=bounded_id(path.stem), parent=parent, machine_run=bool(parent))


class _Glance(Struct):
    """What tells a transcript's records from others."""

    type: str | None = None
    role: str | None = None
    message: Raw = field(default_factory=Raw)


class Part(Struct, frozen=True, gc=False):
    """A piece of a message."""

    type: str = ""
    text: str = ""
    name: str = ""
    input: Raw = field(default_factory=Raw)


class Message(Struct, frozen=True, gc=False):
    """What a record holds."""

    content: str | list[Part] | None = None


class Line(Struct, frozen=True, gc=False):
    """A record of a transcript."""

    type: str | None = None
    role: str | None = None
    message: Message | None = None
    status: str = ""
    error: str | None = None


class TranscriptMemory(ConversationMemory):
    """What this parser remembers beside what all do."""

    chain: str = ""  # uid of the last event: there are no ids
    prompt: str = ""  # key of the last prompt, until its turn has ended
    marks_ends: bool = False  # this version says when a turn has ended


_decoder: Final = msgspec.json.Decoder(Line)


class TranscriptParser(ConversationParser[TranscriptMemory, Line]):
    """Reads one transcript."""

    def __init__(self, path: PurePath, memory: TranscriptMemory) -> None:
        super().__init__(memory, _decoder, Line)
        parts = path.parts
        self._slug = parts[parts.index(TRANSCRIPTS) - 1] if TRANSCRIPTS in parts[1:] else ""

    @property
    def text_closes(self) -> bool:
        """Whether a text may be the last: not where ends of turns are marked."""
        return not self.memory.marks_ends

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one record says."""
        self.span, self.at = span, None
        if record.type == "turn_ended":
            return self._ended(record)
        if record.role not in _ROLES or record.message is None:
            self.unknown(record.type or record.role or "(no role)")
            return []
        self.memory.open_calls.clear()  # what follows a call was written when it had its result
        content = record.message.content
        parts = [Part(type="text", text=content)] if isinstance(content, str) else content or []
        odd = next((part.type for part in parts if part.type not in _KNOWN), None)
        if odd is not None:
            self.unknown(f"{record.role}/{odd or '(no type)'}")
        return self._prompted(parts) if record.role == "user" else self._answered(parts)

    def _ended(self, record: Line) -> list[Event]:
        """The end of a turn, by itself or by a person."""
        self.memory.marks_ends, self.memory.prompt = True, ""
        text = record.error or ""
        if record.status == "aborted" or text == "User aborted request":
            return [self.interrupted(self._uid("aborted", text), text)]
        self.close_turn()
        return self.told(self._uid("error", text), text) if record.status == "error" else []

    def _prompted(self, parts: list[Part]) -> list[Event]:
        """A user's message; the same prompt again within its turn says that the conversation was compacted."""
        text = "\n".join(part.text for part in parts if part.type == "text").strip()
        if not text:
            return []
        key = digest(text)
        if key == self.memory.prompt:
            return [self.event(EventKind.COMPACTION, self._uid("compacted", text))]
        self.memory.prompt = key
        self.at = _time_in(text)
        found = _QUERY.search(text)
        typed = found[1] if found else "" if text.startswith("<") else text
        return self.asked(self._uid("user", text), text, "" if typed.startswith(_FOLLOW_UP) else typed)

    def _answered(self, parts: list[Part]) -> list[Event]:
        """A message of the agent: what it says, then what it calls."""
        events: list[Event] = []
        for part in parts:
            if part.type == "text":
                text = part.text.replace(_REDACTED, "").strip()
                events += self.said(self._uid("assistant", text), text) if text else []
            elif part.type in _CALLS:
                raw = bytes(part.input) or b"{}"
                self._place(raw)
                uid = self._uid(part.name, raw.decode("utf-8", "replace"))
                events.append(self.called(uid, "", part.name, raw))
        return events

    def _place(self, raw: bytes) -> None:
        """Find the workspace: a directory that a call names, or one above it, which the project is named after."""
        if self.memory.session.cwd or not self._slug:
            return
        for found in _PATHS.finditer(raw.decode("utf-8", "replace")):
            for directory in (PurePath(found[1]), *PurePath(found[1]).parents):
                if slug_of(str(directory)) == slug_of(self._slug):
                    self.learn(cwd=str(directory))
                    return

    def _uid(self, kind: str, text: str) -> str:
        """The id of an event: what it says, after all that was said before; so moved conversations keep theirs."""
        self.memory.chain = digest(self.memory.chain, kind, text)
        return self.memory.chain


_KNOWN: Final = frozenset({"text"}) | _CALLS | _SILENT


def slug_of(directory: str) -> str:
    """Return what Cursor's directory for a workspace is called: every run of other characters becomes a hyphen."""
    return _ODD.sub("-", directory).strip("-")


def _time_in(text: str) -> float | None:
    """The time that is told to the model with a prompt, to the minute."""
    found = _STAMP.search(text) if "<timestamp>" in text else None
    if found is None or found[1] not in _MONTHS:
        return None
    hour = int(found[4]) % 12 + (12 if found[6] == "P" else 0)
    ahead = int(found[7] or 0) * 60
    ahead += int(found[8] or 0) * (-1 if ahead < 0 else 1)
    try:
        local = datetime(int(found[3]), _MONTHS.index(found[1]) + 1, int(found[2]), hour, int(found[5]), tzinfo=UTC)
        return (local - timedelta(minutes=ahead)).timestamp()
    except (ValueError, OverflowError):
        return None

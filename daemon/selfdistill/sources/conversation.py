"""What the parsers of most agents share: an agent's sayings, calls and results as events, with the same care for all.

A source decodes its records, says when and where they were written, and calls these. Ids are the agent's own where
they are the same in every copy, else they are made of what was said and when.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from sys import intern
from typing import ClassVar, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from selfdistill.model import Author, Event, EventKind, Span, ToolInput, ToolKind
from selfdistill.sources.base import NO_TOOL, LogParser, Memory, Tool
from selfdistill.sources.decoding import bounded_id, exit_status, fact, tool_name
from selfdistill.sources.injections import is_own_place, is_own_prompt, without_own, without_wrapped
from selfdistill.sources.tool_inputs import kind_of, tool_input, workdir_of

SHORT: Final = 400  # a refusal is a sentence; longer outputs that hold its words are file contents
_BY_USER: Final = re.compile(
    r"\buser (?:has )?(?:rejected|denied|declined|refused)\b"
    r"|\b(?:rejected|denied|declined|refused|blocked) by (?:the )?user\b",
    re.IGNORECASE,
)


class Given(NamedTuple):
    """What a tool gave back, without its wrapping."""

    text: str
    is_error: bool | None = None
    exit_code: int | None = None
    refused: bool = False  # a person did not let it run
    feedback: str = ""  # refused: what the person said about it


class ConversationMemory(Memory):
    """What such a parser remembers beside what all do."""

    cwd: str = ""  # where the agent works now
    prompted: bool = False  # the first prompt was seen


C = TypeVar("C", bound=ConversationMemory)
R = TypeVar("R", bound=Struct)


class ConversationParser(LogParser[C, R]):
    """Makes events of the record that is being read; subclasses set `span`, `at` and `sidechain` first."""

    kinds: ClassVar[Mapping[str, ToolKind]] = {}  # tools of this agent whose names mean something else elsewhere

    def __init__(self, memory: C, decoder: msgspec.json.Decoder[R], kind: type[R]) -> None:
        super().__init__(memory, decoder, kind)
        self.span = Span(0, 0)
        self.at: float | None = None
        self.sidechain = False

    def event(self, kind: EventKind, uid: str, text: str = "", author: Author = Author.PROGRAM) -> Event:
        """Return an event of the record that is being read."""
        return Event(
            kind=kind,
            span=self.span,
            uid=uid,
            at=self.at,
            text=without_own(text),
            author=author,
            cwd=intern(self.memory.cwd),
            sidechain=self.sidechain,
        )

    def person(self) -> Author:
        """Return who types here: a person, unless a program drives the session."""
        return Author.PROGRAM if self.memory.session.machine_run or self.sidechain else Author.HUMAN

    def said(self, uid: str, text: str, *, ends_turn: bool = False) -> list[Event]:
        """Return what the agent said, nothing for blank text."""
        if not text.strip():
            return []
        event = self.event(EventKind.ASSISTANT, uid, text)
        return [replace(event, ends_turn=True) if ends_turn else event]

    def asked(self, uid: str, text: str, typed: str | None = None) -> list[Event]:
        """Return a user's message: `typed` is what a person wrote of it, "" for nothing; None lets it be found here."""
        if not without_own(text).strip():
            return []
        self._check_first_prompt(text)
        words = without_wrapped(without_own(text if typed is None else typed)).strip()
        return [self.event(EventKind.USER, uid, words or text.strip(), self.person() if words else Author.PROGRAM)]

    def _check_first_prompt(self, text: str) -> None:
        """A session that begins with our own distiller's prompt is none to learn from."""
        if not self.memory.prompted and is_own_prompt(text):
            self.memory.session = replace(self.memory.session, ignored="selfdistill")
        self.memory.prompted = True

    def told(self, uid: str, text: str, author: Author = Author.PROGRAM) -> list[Event]:
        """Return something that stands beside the conversation, nothing for blank text."""
        return [self.event(EventKind.NOTICE, uid, text, author)] if text.strip() else []

    def called(
        self,
        uid: str,
        identity: str,
        tool: str,
        raw: bytes | str,
        *,
        made: ToolInput | None = None,
        cwd: str = "",
    ) -> Event:
        """Return a tool call with its arguments, given as JSON or already under our names."""
        kind = self.kind_of(tool)
        given = tool_input(kind, raw or b"{}") if made is None else made
        if kind is ToolKind.SHELL and given.path:
            kind = ToolKind.EDIT  # apply_patch run through the shell
        if kind is ToolKind.SHELL and not cwd:
            cwd = workdir_of(raw)
        event = self.event(EventKind.TOOL_CALL, uid)
        return replace(
            event,
            tool=tool_name(tool),
            tool_kind=kind,
            input=given,
            call_id=bounded_id(identity) or uid,
            cwd=intern(fact(cwd)) if cwd.startswith("/") else event.cwd,
        )

    def kind_of(self, tool: str) -> ToolKind:
        """Return what a tool of this agent does."""
        return self.kinds.get(tool) or kind_of(tool)

    def returned(self, uid: str, identity: str, given: Given, tool: Tool = NO_TOOL) -> list[Event]:
        """Return a tool's result, with the refusal that it may stand for; `tool` where its call is not open."""
        call_id = bounded_id(identity)
        tool = self.memory.open_calls.get(call_id, tool)
        event = replace(
            self.event(EventKind.TOOL_RESULT, uid, given.text),
            call_id=call_id,
            tool=tool.name,
            tool_kind=tool.kind,
            is_error=given.is_error,
            exit_code=exit_status(given.exit_code),
        )
        if not given.refused:
            return [event]
        refusal = self.event(EventKind.REJECTION, f"{uid}:x", given.feedback, self.person())
        return [event, replace(refusal, call_id=call_id, tool=tool.name, tool_kind=tool.kind)]

    def interrupted(self, uid: str, text: str) -> Event:
        """Return that a person stopped the agent."""
        return self.event(EventKind.INTERRUPT, uid, text, self.person())

    def learn(self, *, cwd: str = "", model: str = "", version: str = "", repository: str = "") -> None:
        """Keep what a record says about the session; the first directory is the session's, the last one the agent's."""
        memory, session = self.memory, self.memory.session
        memory.cwd = fact(cwd) or memory.cwd
        memory.session = replace(
            session,
            cwd=session.cwd or fact(cwd),
            model=fact(model) or session.model,
            agent_version=fact(version) or session.agent_version,
            repository_url=session.repository_url or fact(repository),
            ignored=session.ignored or ("selfdistill" if is_own_place(cwd) else ""),
        )


def by_user(text: str) -> bool:
    """Return whether a failed call's text says that a person did not let it run."""
    return len(text) <= SHORT and bool(_BY_USER.search(text))


def ended_with(pattern: re.Pattern[str], text: str) -> tuple[str, int | None]:
    """Return a text without the harness's sentence about its exit code, and the code that it names in group 1."""
    found = pattern.search(text)
    if found is None:
        return text, None
    return text[: found.start()] + text[found.end() :], int(found[1])

"""What the parsers of Gemini CLI and Qwen Code share: events of prompts, answers, calls and results."""

from __future__ import annotations

from abc import abstractmethod
from sys import intern
from typing import Final, TypeVar

from msgspec import Raw, Struct
from msgspec.structs import replace

from selfdistill.model import Author, Event, EventKind, Span, ToolKind
from selfdistill.sources.base import LogParser, Memory, Tool
from selfdistill.sources.decoding import bounded_id, tool_name
from selfdistill.sources.gemini_texts import SNAPSHOT, Ending, outcome, typed_text
from selfdistill.sources.injections import is_own_prompt, without_own
from selfdistill.sources.tool_inputs import kind_of, tool_input, workdir_of

_ENDINGS: Final = {
    Ending.REFUSED: (EventKind.REJECTION, "x"),
    Ending.STOPPED: (EventKind.INTERRUPT, "i"),
    Ending.DENIED: (EventKind.NOTICE, "d"),
}


class ContentMemory(Memory):
    """What both parsers remember beside what all do."""

    cwd: str = ""
    prompted: bool = False  # the first prompt was seen
    stopped: bool = False  # an interrupt was told since the last prompt: the agent tells it for each call


M = TypeVar("M", bound=ContentMemory)
R = TypeVar("R", bound=Struct)


class ContentParser(LogParser[M, R]):
    """Makes events of what a record's content says; `span`, `at` and `sidechain` are of the record being read."""

    span = Span(0, 0)
    at: float | None = None
    sidechain = False

    @abstractmethod
    def call_uid(self, call_id: str) -> str:
        """Return the uid of a call, the same in every copy of the log."""

    def event(self, kind: EventKind, uid: str, text: str, author: Author = Author.PROGRAM) -> Event:
        """An event of the record that is being read."""
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
        """A person, unless a program drives the session."""
        return Author.PROGRAM if self.memory.session.machine_run or self.sidechain else Author.HUMAN

    def asked(self, uid: str, texts: list[str], *, human: bool = True) -> list[Event]:
        """A user message: a summary of what went before, what a person typed, or a program's text."""
        whole = "\n".join(texts)
        if not without_own(whole).strip():
            return []
        if whole.lstrip().startswith(SNAPSHOT):
            return [self.event(EventKind.COMPACTION, uid, whole)]
        typed = typed_text(texts) if human else ""
        self._check_first_prompt(whole, typed)
        if not typed:
            return [self.event(EventKind.USER, uid, whole)]
        self.memory.stopped = False
        return [self.event(EventKind.USER, uid, typed, self.person())]

    def _check_first_prompt(self, whole: str, typed: str) -> None:
        """A session that begins with our own distiller's prompt is none to learn from."""
        memory = self.memory
        if memory.prompted or not (typed or is_own_prompt(whole)):
            return
        memory.prompted = True
        if is_own_prompt(whole):
            memory.session = replace(memory.session, ignored="selfdistill")

    def called(self, identity: str, name: str, args: Raw) -> Event:
        """A call that waits for its result."""
        kind = kind_of(name)
        raw = bytes(args) or b"{}"
        call_id = bounded_id(identity)
        event = self.event(EventKind.TOOL_CALL, self.call_uid(call_id), "")
        workdir = workdir_of(raw) if kind is ToolKind.SHELL else ""
        return replace(
            event,
            tool=tool_name(name),
            tool_kind=kind,
            input=tool_input(kind, raw),
            call_id=call_id,
            cwd=intern(workdir) if workdir.startswith("/") else event.cwd,
        )

    def returned(self, identity: str, name: str, status: str, response: Raw) -> list[Event]:
        """A result, with the refusal or interrupt that it may stand for."""
        call_id = bounded_id(identity)
        tool = self.memory.open_calls.get(call_id, Tool(tool_name(name), kind_of(name)))
        got = outcome(status, response, command=tool.kind is ToolKind.SHELL)
        uid = self.call_uid(call_id)
        event = replace(
            self.event(EventKind.TOOL_RESULT, f"{uid}:r", got.text),
            call_id=call_id,
            tool=tool.name,
            tool_kind=tool.kind,
            is_error=got.is_error,
            exit_code=got.exit_code,
        )
        if got.ending is Ending.DONE or (got.ending is Ending.STOPPED and self.memory.stopped):
            return [event]
        self.memory.stopped = self.memory.stopped or got.ending is Ending.STOPPED
        kind, mark = _ENDINGS[got.ending]
        author = Author.PROGRAM if got.ending is Ending.DENIED else self.person()
        text = got.feedback if got.ending is Ending.REFUSED else got.text
        told = self.event(kind, f"{uid}:{mark}", text, author)
        return [event, replace(told, call_id=call_id, tool=tool.name, tool_kind=tool.kind)]

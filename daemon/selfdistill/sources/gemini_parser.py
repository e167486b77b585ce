"""What the parsers of Gemini CLI and Qwen Code share: events of prompts, answers, calls and results."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final, TypeVar

from msgspec import Raw, Struct
from msgspec.structs import replace

from selfdistill.model import Author, Event, EventKind, ToolKind
from selfdistill.sources.base import Tool
from selfdistill.sources.conversation import ConversationMemory, ConversationParser, Given
from selfdistill.sources.decoding import bounded_id, tool_name
from selfdistill.sources.gemini_texts import SNAPSHOT, Ending, outcome, typed_text
from selfdistill.sources.injections import is_own_prompt, without_own
from selfdistill.sources.tool_inputs import kind_of

_ENDINGS: Final = {
    Ending.REFUSED: (EventKind.REJECTION, "x"),
    Ending.STOPPED: (EventKind.INTERRUPT, "i"),
    Ending.DENIED: (EventKind.NOTICE, "d"),
}


class ContentMemory(ConversationMemory):
    """What both parsers remember beside what all do."""

    stopped: bool = False  # an interrupt was told since the last prompt: the agent tells it for each call


M = TypeVar("M", bound=ContentMemory)
R = TypeVar("R", bound=Struct)


class ContentParser(ConversationParser[M, R]):
    """Makes events of what a record's content says; `span`, `at` and `sidechain` are of the record being read."""

    @abstractmethod
    def call_uid(self, call_id: str) -> str:
        """Return the uid of a call, the same in every copy of the log."""

    def read_prompt(self, uid: str, texts: list[str], *, human: bool = True) -> list[Event]:
        """A user message: a summary of what went before, what a person typed, or a program's text."""
        whole = "\n".join(texts)
        if not without_own(whole).strip():
            return []
        if whole.lstrip().startswith(SNAPSHOT):
            return [self.event(EventKind.COMPACTION, uid, whole)]
        typed = typed_text(texts) if human else ""
        if typed or is_own_prompt(whole):
            self._check_first_prompt(whole)
        if not typed:
            return [self.event(EventKind.USER, uid, whole)]
        self.memory.stopped = False
        return [self.event(EventKind.USER, uid, typed, self.person())]

    def read_call(self, identity: str, name: str, args: Raw) -> Event:
        """A call that waits for its result."""
        return self.called(self.call_uid(bounded_id(identity)), identity, name, bytes(args))

    def read_answer(self, identity: str, name: str, status: str, response: Raw) -> list[Event]:
        """A result, with the refusal or interrupt that it may stand for."""
        call_id = bounded_id(identity)
        tool = self.memory.open_calls.get(call_id, Tool(tool_name(name), kind_of(name)))
        got = outcome(status, response, command=tool.kind is ToolKind.SHELL)
        uid = self.call_uid(call_id)
        events = self.returned(f"{uid}:r", identity, Given(got.text, got.is_error, got.exit_code), tool)
        if got.ending is Ending.DONE or (got.ending is Ending.STOPPED and self.memory.stopped):
            return events
        self.memory.stopped = self.memory.stopped or got.ending is Ending.STOPPED
        kind, mark = _ENDINGS[got.ending]
        author = Author.PROGRAM if got.ending is Ending.DENIED else self.person()
        text = got.feedback if got.ending is Ending.REFUSED else got.text
        told = self.event(kind, f"{uid}:{mark}", text, author)
        return [*events, replace(told, call_id=call_id, tool=tool.name, tool_kind=tool.kind)]

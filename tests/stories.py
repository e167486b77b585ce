"""A story: invented events in order, told in few words, and what the heuristic distiller makes of them."""

from __future__ import annotations

import itertools
from typing import Any

from selfdistill.distill.base import Batch
from selfdistill.distill.heuristic.distiller import HeuristicDistiller
from selfdistill.model import Author, Event, EventKind, Finding, Session, Span, ToolInput, ToolKind


class Story:
    """Builds events as a source would; every record is 100 bytes long."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.session = Session(id="s1", cwd="/home/mara/kettle")

    def _add(self, kind: EventKind, **fields: Any) -> str:  # noqa: ANN401 - whatever an event holds
        number = len(self.events)
        uid = fields.pop("uid", f"u{number}")
        span = Span(number * 100, 100)
        self.events.append(Event(kind=kind, span=span, uid=uid, at=1000.0 + number, cwd=self.session.cwd, **fields))
        return str(uid)

    def say(self, text: str, author: Author = Author.HUMAN) -> str:
        """A user turn."""
        return self._add(EventKind.USER, text=text, author=author)

    def answer(self, text: str, *, ends_turn: bool = True) -> str:
        """The agent's words."""
        return self._add(EventKind.ASSISTANT, text=text, ends_turn=ends_turn)

    def call(self, tool: str, kind: ToolKind, given: ToolInput, output: str, *, error: bool = False) -> str:
        """A tool call with its result."""
        call_id = f"c{len(self.events)}"
        self._add(EventKind.TOOL_CALL, uid=call_id, tool=tool, tool_kind=kind, input=given, call_id=call_id)
        self._add(EventKind.TOOL_RESULT, uid=f"{call_id}:r", text=output, is_error=error, call_id=call_id)
        return call_id

    def sh(self, command: str, output: str = "ok", *, error: bool = False) -> str:
        """A shell call with its result."""
        return self.call("Bash", ToolKind.SHELL, ToolInput(command=command), output, error=error)

    def edit(self, path: str, old: str, new: str, *, error: str = "") -> str:
        """An edit."""
        given = ToolInput(path=path, old=old, new=new)
        return self.call("Edit", ToolKind.EDIT, given, error or "updated", error=bool(error))

    def refuse(self, command: str, words: str) -> str:
        """A shell call that the person refused with words."""
        call_id = self.sh(command, "The user doesn't want to proceed with this tool use.", error=True)
        self._add(EventKind.REJECTION, text=words, author=Author.HUMAN, call_id=call_id)
        return call_id

    def interrupt(self) -> str:
        """Esc."""
        return self._add(EventKind.INTERRUPT)

    def findings(self, cuts: tuple[int, ...] = ()) -> list[Finding]:
        """What the heuristic distiller finds, with the events cut into pieces at the given places."""
        distiller = HeuristicDistiller(lambda text: text)
        found: list[Finding] = []
        carry = None
        edges = [0, *sorted(cuts), len(self.events)]
        for start, end in itertools.pairwise(edges):
            distillate = distiller.distill(Batch(self.events[start:end], lambda: self.session), carry)
            carry = distillate.carry
            found += distillate.findings
        return found

    def advice(self) -> list[str]:
        """The descriptions of what is found."""
        return [finding.action.description for finding in self.findings()]

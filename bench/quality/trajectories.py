"""Trajectories of any agent as the events that the product sees: rows of `{id, dataset, task, model, fail, msgs}`.

A message is `{role, text, tool?, input?, rc?, is_error?}`. Agents differ in where they put what they do: a `tool`
message may hold call and result in one, an assistant's text may hold the action (a fenced shell command, an XML or
JSON call) that the next message answers, and a chat with the aider tool tells of edits, linters and tests in notes.
Each way is recognised by its own form, never by the name of an agent, a data set or a task.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bench.quality.actions import Action, Block, actions_in, blocks_in, call_of, ends_work, with_text
from bench.quality.chat_notes import Noted, notes_in
from bench.quality.data import data_files, rows
from msgspec import Struct, field

from selfdistill.model import Author, Event, EventKind, Span, ToolKind

ROLES: Final = {
    "human": "user", "ai": "assistant", "agent": "assistant", "model": "assistant", "developer": "system",
    "observation": "tool", "environment": "tool", "function": "tool", "tool_result": "tool", "ipython": "tool",
}  # fmt: skip

_RETURN_CODE: Final = re.compile(
    r"<returncode>\s*(-?\d+)|(?:exited|finished) with (?:exit )?(?:code|status)[: ]+(-?\d+)|^exit(?: |_)code: ?(-?\d+)",
    re.IGNORECASE | re.MULTILINE,
)
# What a result without a status begins or ends with when the call failed; a look at the whole of it would take the
# contents of a file for an error (signals.md, finding 5).
_SAYS_FAILED: Final = re.compile(
    r"\A\s*(?:OBSERVATION:\s*)?(?:<error>|ERROR:|Error:|Usage: |usage: |Your proposed edit has introduced new syntax"
    r"|No replacement was performed|Invalid `|The command timed out|[\w./-]+: command not found"
    r"|(?:bash|sh|zsh|/bin/\w+): )"
)
_SAYS_CRASHED: Final = re.compile(
    r"^(?:[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt)\b[^\n]*|(?:bash|sh|zsh|/bin/\w+): [^\n]*"
    r"(?:not found|No such file|error)[^\n]*)\s*\Z",
    re.MULTILINE,
)
_ENVELOPE: Final = re.compile(
    r"\s*(?:\(Open file: [^\n]*\)|\(Current directory: [^\n]*\)|bash-\$|</?(?:output|returncode|observation|stdout"
    r"|stderr)>|\[(?:Current working directory|Python interpreter|Command finished)[^\n]*\])\s*\Z"
)


class Message(Struct, frozen=True):
    """One message of a trajectory."""

    role: str = ""
    text: str | None = ""
    tool: str | None = None
    input: Any = None
    rc: int | None = None
    is_error: bool | None = None


class Trajectory(Struct, frozen=True):
    """One labelled row; `fail` is what the task's hidden tests said."""

    id: str
    dataset: str
    task: str
    fail: bool
    model: str = ""
    msgs: tuple[Message, ...] = ()


class Conversion(Struct):
    """What is known while a trajectory is read: the events so far and the calls that wait for their results."""

    events: list[Event] = field(default_factory=list)
    waiting: list[Action] = field(default_factory=list)
    prompts: set[str] = field(default_factory=set)
    proposed: list[Block] = field(default_factory=list)  # edits written in the chat that no note has told of yet

    def add(self, kind: EventKind, text: str = "", **more: Any) -> Event:  # noqa: ANN401 - whatever an event may have
        """Append an event; its place in the trajectory is its identity."""
        number = len(self.events)
        event = Event(kind=kind, span=Span(number, 1), uid=str(number), text=text, **more)
        self.events.append(event)
        return event

    def call(self, action: Action) -> str:
        """Append a call; return the id that its result will need."""
        call_id = f"call-{len(self.events)}"
        self.add(EventKind.TOOL_CALL, tool=action.tool, tool_kind=action.kind, input=action.input, call_id=call_id)
        return call_id

    def answer(self, call_id: str, text: str, *, is_error: bool | None, exit_code: int | None = None) -> None:
        """Append the result of a call."""
        self.add(EventKind.TOOL_RESULT, text, call_id=call_id, is_error=is_error, exit_code=exit_code)

    def note(self, noted: Noted) -> None:
        """Append a call and its result that a chat only tells of; an edit's text is what the agent proposed."""
        action = noted.action
        if action.kind is ToolKind.EDIT:
            mine = [block for block in self.proposed if block.path == action.input.path] or self.proposed
            action = with_text(action, mine)
            self.proposed = [block for block in self.proposed if block not in mine]
        self.answer(self.call(action), noted.output, is_error=noted.failed)


def trajectories(data: Path) -> list[Trajectory]:
    """Every trajectory in `data/labelled`, whatever its file is called: rows that have messages and a label."""
    files = [path for path in data_files(data / "labelled") if _has_messages(path)]
    return [row for path in files for row in rows(path, Trajectory)]


def _has_messages(path: Path) -> bool:
    """Whether a file's first row is a trajectory; labelled turns lie in the same directory."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
        return b'"msgs"' in lines.readline()


def events_of(trajectory: Trajectory) -> Iterator[Event]:
    """The events of a trajectory, in order: prompts are a person's, the rest is the agent's and its tools'."""
    made = Conversion()
    for message in trajectory.msgs:
        text = message.text or ""
        role = ROLES.get(message.role, message.role)
        if role == "system":
            made.add(EventKind.NOTICE, text)
        elif role == "assistant":
            _unanswered(made)
            _assistant(made, message, text)
        elif message.tool or message.input is not None:
            _called(made, message, text)
        elif made.waiting:
            _answered(made, message, text)
        else:
            _told(made, role, text)
    _unanswered(made)
    yield from made.events


def _told(made: Conversion, role: str, text: str) -> None:
    """What nobody called for: a chat's notes, or a prompt."""
    if role == "tool":
        for noted in notes_in(text):
            made.note(noted)
    elif text.strip():
        # Nobody types a task twice: word for word, it is a harness that starts over.
        author = Author.PROGRAM if text in made.prompts else Author.HUMAN
        made.add(EventKind.USER, text, author=author)
        made.prompts.add(text)
        made.proposed = []


def _unanswered(made: Conversion) -> None:
    """Calls to which nothing came back."""
    if made.waiting:
        _answered(made, Message(), "")


def _assistant(made: Conversion, message: Message, text: str) -> None:
    """What the agent said, and the calls that it made with it."""
    if text.strip():
        made.add(EventKind.ASSISTANT, text)
    if message.tool or message.input is not None:
        actions = [call_of(message.tool or "", message.input)]
    else:
        actions = actions_in(text)
        made.proposed += blocks_in(text)
    made.waiting = actions


def _called(made: Conversion, message: Message, text: str) -> None:
    """A tool message that names its own call: call and result in one, unless the assistant's message had it already."""
    own = call_of(message.tool or "", message.input)
    if message.input is None and made.waiting:
        _answered(made, message, text)
        return
    made.waiting = []
    _close(made, own, message, text)


def _answered(made: Conversion, message: Message, text: str) -> None:
    """The result of what the assistant's text asked for; one message may answer several calls at once."""
    waiting, made.waiting = made.waiting, []
    for action in waiting[:-1]:
        made.answer(made.call(action), "", is_error=None)
    _close(made, waiting[-1], message, text)


def _close(made: Conversion, action: Action, message: Message, text: str) -> None:
    """A call and its result, and the tests that a harness ran with it; handing the work in is no call, but an end."""
    if ends_work(action):
        made.add(EventKind.ASSISTANT, text, ends_turn=True)
        return
    is_error, exit_code = _status(action, message, text)
    made.answer(made.call(action), text, is_error=is_error, exit_code=exit_code)
    if action.kind in {ToolKind.EDIT, ToolKind.WRITE} and not is_error:
        for noted in notes_in(text):
            made.note(noted)


def _status(action: Action, message: Message, text: str) -> tuple[bool | None, int | None]:
    """Whether a call failed, by its own fields, else by what the text says of the status, first or last."""
    code = message.rc
    if code is None and (stated := _RETURN_CODE.search(text[:200] + "\n" + text[-400:])):
        code = int(next(filter(None, stated.groups())))
    if message.is_error is not None or code is not None:
        return message.is_error, code
    bare = text
    while (shorter := _ENVELOPE.sub("", bare)) != bare:
        bare = shorter
    crashed = action.kind in {ToolKind.SHELL, ToolKind.OTHER} and _SAYS_CRASHED.search(bare[-600:])
    return (True if crashed or _SAYS_FAILED.match(bare) else None), None

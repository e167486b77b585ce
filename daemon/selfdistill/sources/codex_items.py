"""What the items of a Codex rollout say: messages, calls, outputs."""

from __future__ import annotations

from sys import intern
from typing import Final

import msgspec
from msgspec.structs import replace

from selfdistill.model import Author, Event, EventKind, Span, ToolInput, ToolKind
from selfdistill.sources.base import NO_TOOL, LogParser, Tool
from selfdistill.sources.codex_authors import typed_text
from selfdistill.sources.codex_memory import CodexMemory
from selfdistill.sources.codex_outputs import Outcome, outcome
from selfdistill.sources.codex_records import Item, Line, Part
from selfdistill.sources.decoding import bounded_id, exit_status, json_text, seconds, tool_name
from selfdistill.sources.injections import is_own_prompt, without_own
from selfdistill.sources.tool_inputs import kind_of, script_input, tool_input, workdir_of

_decoder: Final = msgspec.json.Decoder(Line)


class ItemParser(LogParser[CodexMemory, Line]):
    """The part of the parser that reads the model's own history."""

    def __init__(self, memory: CodexMemory) -> None:
        super().__init__(memory, _decoder, Line)
        self.stamp = ""
        self.span = Span(0, 0)

    def event(self, kind: EventKind, uid: str, text: str, author: Author = Author.PROGRAM) -> Event:
        """An event of the line that is being read."""
        return Event(
            kind=kind,
            span=self.span,
            uid=uid,
            at=seconds(self.stamp),
            text=without_own(text),
            author=author,
            cwd=intern(self.memory.cwd),
        )

    def uid(self, kind: str, text: str) -> str:
        """Return an id for a record without one."""
        return self.memory.made_up_id(kind, text, self.stamp)

    def person(self) -> Author:
        """A person, unless a program drives the session."""
        return Author.PROGRAM if self.memory.session.machine_run else Author.HUMAN

    def read_message(self, item: Item) -> list[Event]:
        """A message of the history: the agent's, a prompt, or something injected."""
        if item.role == "assistant":
            return self.said(joined(item.content), "item", item.id, item.phase)
        if item.role != "user":
            return []
        kinds = item.internal_chat_message_metadata_passthrough
        return self.asked(item.content, "item", item.id, kinds.content_item_kinds if kinds is not None else None)

    def said(self, text: str, channel: str, identity: str | None, phase: str | None) -> list[Event]:
        """What the agent said, once."""
        if not text.strip() or self.memory.is_echo("said", text.strip(), channel[0]):
            return []
        uid = bounded_id(identity or "") or self.uid("said", text.strip())
        event = self.event(EventKind.ASSISTANT, uid, text)
        return [replace(event, ends_turn=True) if phase == "final_answer" else event]

    def asked(
        self, content: str | list[Part] | None, channel: str, identity: str | None, kinds: list[str] | None
    ) -> list[Event]:
        """A user message, once: what a person typed of it, else the program's text."""
        whole = joined(content)
        if not without_own(whole).strip():
            return []
        self._check_first_prompt(whole)
        pieces = [whole] if content is None or isinstance(content, str) else [part.text for part in content]
        if kinds is not None and len(kinds) == len(pieces):
            pieces = [piece for piece, kind in zip(pieces, kinds, strict=True) if kind == "user.text"]
        typed = "\n".join(text for text in map(typed_text, pieces) if text)
        text = typed or whole.strip()
        if self.memory.is_echo("asked", text, channel[0]):
            return []
        uid = bounded_id(identity or "") or self.uid("asked", text)
        return [self.event(EventKind.USER, uid, text, self.person() if typed else Author.PROGRAM)]

    def _check_first_prompt(self, text: str) -> None:
        """A session that begins with our own distiller's prompt is none to learn from."""
        memory = self.memory
        if memory.prompted or not typed_text(text):
            return
        memory.prompted = True
        if is_own_prompt(text):
            memory.session = replace(memory.session, ignored="selfdistill")

    def read_call(self, item: Item) -> list[Event]:
        """A function call: its arguments are JSON inside a string."""
        raw = item.arguments if isinstance(item.arguments, str) else json_text(item.arguments or {})
        name = item.name or item.type
        kind = kind_of(name)
        made = tool_input(kind, raw)
        if kind is ToolKind.SHELL and made.path:
            kind = ToolKind.EDIT  # apply_patch run through the shell
        workdir = workdir_of(raw) if kind is ToolKind.SHELL else ""
        return [self._called(name, kind, made, item.call_id or item.id, workdir)]

    def read_custom_call(self, item: Item) -> list[Event]:
        """A custom call: its input is free text, a patch or a script."""
        text = item.input if isinstance(item.input, str) else json_text(item.input or {})
        kind = kind_of(item.name)
        if kind is ToolKind.OTHER:
            kind, made = script_input(text)
            self.memory.script = bounded_id(item.call_id or "") if item.name == "exec" else self.memory.script
        else:
            made = tool_input(kind, text)
        return [self._called(item.name, kind, made, item.call_id or item.id, "")]

    def read_shell_call(self, item: Item) -> list[Event]:
        """A call of the model's built-in shell."""
        command = item.action.command if item.action is not None else None
        made = tool_input(ToolKind.SHELL, msgspec.json.encode({"command": command}))
        return [self._called("local_shell", ToolKind.SHELL, made, item.call_id or item.id, "")]

    def read_web_search(self, item: Item) -> list[Event]:
        """A search that the model's provider runs: nothing is open."""
        action = item.action
        text = (action.query or action.url or "") if action is not None else ""
        uid = bounded_id(item.id or "") or self.uid("web_search", text)
        event = self.event(EventKind.TOOL_CALL, uid, "")
        return [replace(event, tool="web_search", tool_kind=ToolKind.WEB, input=ToolInput(text=without_own(text)))]

    def _called(self, tool: str, kind: ToolKind, made: ToolInput, identity: str | None, workdir: str) -> Event:
        """A call that waits for its output."""
        call_id = bounded_id(identity or "") or self.uid("call", f"{tool} {made.command} {made.text}")
        self.memory.hang_on(call_id)
        return Event(
            kind=EventKind.TOOL_CALL,
            span=self.span,
            uid=call_id,
            at=seconds(self.stamp),
            tool=tool_name(tool),
            tool_kind=kind,
            input=made,
            call_id=call_id,
            cwd=intern(workdir if workdir.startswith("/") else self.memory.cwd),
        )

    def read_output(self, item: Item) -> list[Event]:
        """The output of a call."""
        call_id = bounded_id(item.call_id or "")
        if call_id == self.memory.script:
            self.memory.script = ""
        return self._returned(call_id, outcome(item.output))

    def _returned(self, call_id: str, got: Outcome, tool: Tool = NO_TOOL) -> list[Event]:
        """A result, with what an end event said of it, and the refusal that it may stand for."""
        code, failed = self.memory.outcomes.pop(call_id, (None, None))
        tool = self.memory.open_calls.get(call_id, tool)
        event = replace(
            self.event(EventKind.TOOL_RESULT, f"{call_id}:r", got.text),
            call_id=call_id,
            tool=tool.name,
            tool_kind=tool.kind,
            is_error=got.is_error if failed is None else failed,
            exit_code=got.exit_code if code is None else code,
        )
        if got.by_user:
            rejection = self.event(EventKind.REJECTION, f"{call_id}:x", "", self.person())
            return [event, replace(rejection, call_id=call_id, tool=tool.name, tool_kind=tool.kind)]
        if got.by_rule:
            return [event, replace(self.event(EventKind.NOTICE, f"{call_id}:d", got.text), call_id=call_id)]
        return [event]

    def read_mail(self, item: Item) -> list[Event]:
        """A message from one agent to another."""
        text = joined(item.content)
        return [self.event(EventKind.NOTICE, self.uid("mail", text), text)] if text.strip() else []

    def ended(
        self, identity: str | None, code: int | None, command: str | list[str] | None, text: str | None, cwd: str | None
    ) -> list[Event]:
        """A command that ended, told apart from its item: an exit code to come, or the only record there is."""
        call_id = bounded_id(identity or "")
        if call_id in self.memory.open_calls:
            self.memory.expect(call_id, code, failed=None)
            return []
        if self.memory.script in self.memory.open_calls:
            if code:
                self.memory.expect(self.memory.script, code, failed=None)
            return []
        if not call_id or f"{call_id}:r" in self._known_uids:
            return []
        made = tool_input(ToolKind.SHELL, msgspec.json.encode({"command": command}))
        call = self._called("exec_command", ToolKind.SHELL, made, call_id, cwd or "")
        return [call, *self._returned(call_id, Outcome(text or "", exit_status(code)), Tool(call.tool, call.tool_kind))]


def joined(content: str | list[Part] | None) -> str:
    """The texts of a message."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part.text for part in content if part.text)

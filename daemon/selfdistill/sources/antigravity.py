"""Google Antigravity (CLI, desktop, IDE): `brain/ID/.system_generated/logs/transcript.jsonl`, a line for each step.

Antigravity is closed; sources: jazzyalex/agent-sessions `AntigravityTranscriptParser.swift`, and transcripts that
users published. Results name no call: a step of a tool answers the oldest open call of a tool of its kind. The
arguments of a call are JSON inside strings. Long texts are cut by the agent (`truncated_fields`); the full
transcript beside it repeats every step and is not read.

Antigravity cannot express: its version, and the working directory (it is taken from the first command that names
one); which of several calls of one kind a result belongs to, where they do not end in order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from selfdistill.model import Event, EventKind, Session, Span, ToolInput, ToolKind
from selfdistill.sources.base import Facts, Tool, remembered
from selfdistill.sources.conversation import ConversationMemory, ConversationParser, Given, by_user
from selfdistill.sources.decoding import digest, glances, seconds, tool_name
from selfdistill.sources.documents import line_of

LOG_NAME: Final = "transcript.jsonl"
STATE: Final = frozenset(
    {"CONVERSATION_HISTORY", "EPHEMERAL_MESSAGE", "KNOWLEDGE_ARTIFACTS", "TASK_BOUNDARY", "loadCodeAssist"}
)
RESULTS: Final[dict[str, ToolKind]] = {
    "RUN_COMMAND": ToolKind.SHELL,
    "COMMAND_STATUS": ToolKind.SHELL,
    "SEND_COMMAND_INPUT": ToolKind.SHELL,
    "READ_TERMINAL": ToolKind.SHELL,
    "CODE_ACTION": ToolKind.EDIT,
    "VIEW_FILE": ToolKind.READ,
    "VIEW_FILE_OUTLINE": ToolKind.READ,
    "VIEW_CODE_ITEM": ToolKind.READ,
    "VIEW_CONTENT_CHUNK": ToolKind.READ,
    "LIST_DIRECTORY": ToolKind.SEARCH,
    "GREP_SEARCH": ToolKind.SEARCH,
    "FIND": ToolKind.SEARCH,
    "CODEBASE_SEARCH": ToolKind.SEARCH,
    "SEARCH_WEB": ToolKind.WEB,
    "READ_URL_CONTENT": ToolKind.WEB,
    "BROWSER_SUBAGENT": ToolKind.AGENT,
    "MCP_TOOL": ToolKind.OTHER,
    "GENERATE_IMAGE": ToolKind.OTHER,
    "GENERIC": ToolKind.OTHER,
    "TOOL_RESPONSE": ToolKind.OTHER,
}
_KINDS: Final = {
    ToolKind.SHELL: "run_command command_status send_command_input read_terminal",
    ToolKind.EDIT: "replace_file_content multi_replace_file_content edit_file",
    ToolKind.WRITE: "write_to_file write_file",
    ToolKind.READ: "view_file view_file_outline view_code_item view_content_chunk",
    ToolKind.SEARCH: "list_dir grep_search find_by_name codebase_search",
    ToolKind.WEB: "search_web read_url_content",
    ToolKind.AGENT: "browser_subagent invoke_subagent",
    ToolKind.PLAN: "task_boundary notify_user",
}
_CHANGES: Final = frozenset({ToolKind.EDIT, ToolKind.WRITE})
_PATHS: Final = ("TargetFile", "AbsolutePath", "File", "DirectoryPath", "SearchPath", "SearchDirectory", "path")
_TEXTS: Final = ("Query", "Pattern", "query", "Url", "Task", "Prompt", "Message")
_STOPPED: Final = frozenset({"CANCELED", "CANCELLED"})
_FAILED: Final = _STOPPED | {"ERROR"}
_REQUEST: Final = re.compile(r"<USER_REQUEST>\s*(.*?)\s*(?:</USER_REQUEST>|\Z)", re.DOTALL)
_ABOUT: Final = re.compile(r"<(ADDITIONAL_METADATA|USER_SETTINGS_CHANGE)>.*?(?:</\1>|\Z)", re.DOTALL)
_MODEL: Final = re.compile(r"`Model Selection` from .{1,80}? to (.{1,80}?)\.\s", re.DOTALL)
_TIMES: Final = re.compile(r"\A(?:Created|Completed) At: [^\n]*\n(?:Completed At: [^\n]*\n)?\s*")
_STATUS: Final = re.compile(
    r"\A\s*The command (?:completed successfully\.|(?:failed|exited) with (?:exit )?code:? (-?\d{1,10})\.?)"
    r"\s*(?:Output:\n?)?[ \t]*"
)


class Call(Struct, frozen=True, gc=False):
    """A tool call of a step."""

    name: str = ""
    args: dict[str, Any] | None = None


class Step(Struct, frozen=True, gc=False):
    """One line."""

    step_index: int | None = None
    source: str = ""
    type: str = ""
    status: str = ""
    created_at: str | None = None
    content: str | None = None
    tool_calls: list[Call] | None = None
    exit_code: int | None = None


class _Glance(Struct):
    """What tells Antigravity's steps from others' lines."""

    step_index: int | None = None
    type: str | None = None
    source: str | None = None
    created_at: str | None = None


class Antigravity:
    """Conversations of Antigravity."""

    name: Final = "antigravity"
    variables: Final = ()
    facts: Final = Facts(
        agent="Google Antigravity (CLI, desktop, IDE)",
        versions="CLI 1.1, from its readers' sources",
        where="`~/.gemini/antigravity-cli/brain`, `~/.gemini/antigravity/brain`, `~/.gemini/antigravity-ide/brain`",
        read="messages, tools with results and exit codes, errors, stops, checkpoints",
        left_out="thinking, `transcript_full.jsonl` (the same, uncut), the databases of conversations",
    )

    def roots(self, home: Path, _environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directories of conversations of the three programs."""
        return tuple(
            home / ".gemini" / kind / "brain" for kind in ("antigravity-cli", "antigravity", "antigravity-ide")
        )

    def owns(self, path: PurePath) -> bool:
        """Tell by name and place."""
        return path.name == LOG_NAME and path.parent.name == "logs"

    def session_hint(self, path: PurePath) -> str:
        """Return the name of the conversation's directory."""
        parts = path.parts
        known = ".system_generated" in parts[1:]
        return parts[parts.index(".system_generated") - 1] if known else path.stem

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by name and place, or by a step."""
        return (self.owns(path) and ".system_generated" in path.parts) or any(
            glance.step_index is not None and glance.type and glance.source for glance in glances(head, _Glance)
        )

    def layout(self, _path: PurePath) -> None:
        """Return None: lines, only ever added."""

    def open(self, path: PurePath, state: bytes | None) -> AntigravityParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, ConversationMemory, path)
        return AntigravityParser(memory or ConversationMemory(session=Session(id=self.session_hint(path))))


_decoder: Final = msgspec.json.Decoder(Step)


class AntigravityParser(ConversationParser[ConversationMemory, Step]):
    """Reads one conversation."""

    kinds: ClassVar[Mapping[str, ToolKind]] = {name: kind for kind, names in _KINDS.items() for name in names.split()}

    def __init__(self, memory: ConversationMemory) -> None:
        super().__init__(memory, _decoder, Step)
        self._base = ""

    def read(self, record: Step, span: Span) -> list[Event]:
        """Return what one step says."""
        self.span, self.at = span, seconds(record.created_at)
        kind = record.type or _KIND_BY_SOURCE.get(record.source, "")
        step = "" if record.step_index is None else str(record.step_index)
        self._base = digest(step, kind, record.created_at or "", record.content or "")
        reader = _READERS.get(kind)
        if reader is not None:
            return reader(self, record)
        if kind in RESULTS:
            return self._result(record, RESULTS[kind], kind)
        if kind in STATE:
            self.ignored()
        else:
            self.unknown(kind or "(no type)")
        return []

    def read_prompt(self, step: Step) -> list[Event]:
        """What the user typed, without what the program put around it."""
        text = step.content or ""
        if chosen := _MODEL.search(text):
            self.learn(model=chosen[1])
        found = _REQUEST.search(text)
        typed = _ABOUT.sub("", found[1] if found else text)
        return self.asked(self._base, text, typed)

    def read_answer(self, step: Step) -> list[Event]:
        """What the agent said and called."""
        events = self.said(self._base, step.content or "")
        for number, call in enumerate(step.tool_calls or ()):
            uid = f"{self._base}#{number}"
            name = call.name.removeprefix("default_api:")
            arguments = {key: _plain(value) for key, value in (call.args or {}).items()}
            cwd = arguments.get("Cwd", "")
            if cwd.startswith("/") and not self.memory.cwd:
                self.learn(cwd=cwd)
            made = _input(self.kind_of(name), arguments)
            events.append(self.called(uid, uid, name, b"", made=made, cwd=cwd))
        return events

    def _result(self, step: Step, kind: ToolKind, name: str) -> list[Event]:
        """A step of a tool: the result of the oldest open call of its kind, else of the oldest at all."""
        text = _TIMES.sub("", step.content or "")
        status, code = _STATUS.match(text), step.exit_code
        if status is not None:
            text, code = text[status.end() :], int(status[1] or 0)
        failed = step.status in _FAILED or bool(code)
        given = Given(text, failed if step.status != "RUNNING" else None, code, failed and by_user(text))
        uid, call_id = f"{self._base}:r", self._call_answered(kind)
        events = self.returned(uid, call_id, given, Tool(tool_name(name.lower()), kind))
        if step.status in _STOPPED:
            events.append(self.interrupted(f"{uid}:i", "step cancelled"))
        return events

    def _call_answered(self, kind: ToolKind) -> str:
        """The call that a result of this kind belongs to, "" where none is open."""
        calls = self.memory.open_calls
        same = (call for call, tool in calls.items() if tool.kind is kind or {tool.kind, kind} <= _CHANGES)
        return next(same, next(iter(calls), ""))

    def read_checkpoint(self, step: Step) -> list[Event]:
        """The context was summarised."""
        return [self.event(EventKind.COMPACTION, self._base, step.content or "")]

    def read_system(self, step: Step) -> list[Event]:
        """A message of the program's in the user's name."""
        return self.asked(self._base, step.content or "", "")

    def read_error(self, step: Step) -> list[Event]:
        """What went wrong outside the conversation."""
        return self.told(self._base, step.content or "")

    def read_notice(self, step: Step) -> list[Event]:
        """The agent turns to the user."""
        return self.said(self._base, step.content or "", ends_turn=True)


def _plain(value: object) -> str:
    """An argument as text: most are JSON inside a string."""
    if not isinstance(value, str):
        return line_of(value).line.decode()
    if not value.startswith('"'):
        return value
    try:
        return msgspec.json.decode(value, type=str)
    except (msgspec.DecodeError, ValueError):
        return value


def _input(kind: ToolKind, given: Mapping[str, str]) -> ToolInput:
    """The arguments under our names; of tools we do not know, all of them."""
    path = next((given[name] for name in _PATHS if name in given), "").removeprefix("file://")
    text = next((given[name] for name in _TEXTS if name in given), "")
    if kind is ToolKind.SHELL:
        return ToolInput(command=given.get("CommandLine", ""), text=given.get("Input", ""))
    if kind in _CHANGES:
        new = given.get("CodeContent") or given.get("ReplacementContent") or given.get("ReplacementChunks", "")
        return ToolInput(path=path, old=given.get("TargetContent", ""), new=new)
    if kind in {ToolKind.OTHER, ToolKind.PLAN}:
        return ToolInput(text=msgspec.json.encode(given).decode())
    return ToolInput(path=path, text=text)


_KIND_BY_SOURCE: Final = {"USER_EXPLICIT": "USER_INPUT", "MODEL": "PLANNER_RESPONSE"}
_READERS: Final[dict[str, Callable[[AntigravityParser, Step], list[Event]]]] = {
    "USER_INPUT": AntigravityParser.read_prompt,
    "PLANNER_RESPONSE": AntigravityParser.read_answer,
    "CHECKPOINT": AntigravityParser.read_checkpoint,
    "SYSTEM_MESSAGE": AntigravityParser.read_system,
    "ERROR_MESSAGE": AntigravityParser.read_error,
    "NOTIFY_USER": AntigravityParser.read_notice,
}

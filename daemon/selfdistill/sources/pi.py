"""pi and its relatives: `~/.pi/agent/sessions/--CWD--/TIME_ID.jsonl`, a tree of entries (formats.md section 14).

Sources: earendil-works/pi `packages/coding-agent` (docs/session-format.md, core/session-manager.ts, core/messages.ts,
core/tools/bash.ts), oh-my-pi `docs/session.md`, openclaw. Three versions: 1 has no ids, 2 and 3 link entries to a tree.

A file of an older version is rewritten in place when pi opens it, with new ids for all entries; forks copy entries as
they are. So uids are made of what was said and when, which no migration and no copy changes. All branches of the
tree are read, in the order they were written; a branch the user left is told by a notice.

pi cannot express: its own version; that a program drives it (`-p`, RPC); what a person typed of an expanded prompt
template. Calls in a message that was cut off never ran, so they are not told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import ClassVar, Final

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from selfdistill.model import Event, EventKind, Session, Span, ToolKind
from selfdistill.sources.base import Facts, Tool, remembered
from selfdistill.sources.conversation import ConversationMemory, ConversationParser, Given, by_user, ended_with
from selfdistill.sources.decoding import bounded_id, digest, glances, seconds, tool_name
from selfdistill.sources.pi_authors import typed_text

STATE: Final = frozenset(
    [
        *("thinking_level_change", "custom", "label", "session_info", "usage", "context_edit", "leaf"),
        *("mode_change", "ttsr_injection", "context_transform", "ephemeral", "active_tools_change"),
    ]
)
_ENDS: Final = frozenset({"stop", "length", "endTurn"})
_CUT_OFF: Final = frozenset({"aborted", "error"})
_EXIT_CODE: Final = re.compile(r"\n*\(?Command exited with code (-?\d{1,10})\)?\s*\Z")


class Part(Struct, frozen=True, gc=False):
    """A content block."""

    type: str = ""
    text: str = ""
    id: str = ""
    name: str = ""
    arguments: Raw = field(default_factory=Raw)


class Details(Struct, frozen=True, gc=False):
    """What a tool says beside its result: OpenClaw's `exec` names the exit code here."""

    exitCode: int | None = None  # noqa: N815 - the log's own names


class Message(Struct, frozen=True, gc=False):
    """A message of any role."""

    role: str = ""
    content: str | list[Part] | None = None
    timestamp: float | str | None = None
    model: str = ""
    stopReason: str | None = None  # noqa: N815
    errorMessage: str | None = None  # noqa: N815
    toolCallId: str = ""  # noqa: N815
    toolName: str = ""  # noqa: N815
    isError: bool | None = None  # noqa: N815
    details: Details | None = None
    command: str = ""
    output: str = ""
    exitCode: int | None = None  # noqa: N815
    summary: str = ""


class Entry(Struct, frozen=True, gc=False):
    """One line."""

    type: str = ""
    id: str = ""
    timestamp: str | float | None = None
    cwd: str = ""
    modelId: str = ""  # noqa: N815
    model: str = ""
    message: Message | None = None
    content: str | list[Part] | None = None
    summary: str = ""
    task: str | None = None


class _Glance(Struct):
    """What tells such logs from others, and from each other."""

    type: str | None = None
    id: str | None = None
    timestamp: str | None = None
    cwd: str | None = None
    title: str | None = None
    model: str | None = None


class Pi:
    """Sessions of pi."""

    name: str = "pi"
    variables: tuple[str, ...] = ("PI_CODING_AGENT_DIR", "PI_CODING_AGENT_SESSION_DIR")
    facts: Facts = Facts(
        agent="pi",
        versions="session formats 1 to 3",
        where="`~/.pi/agent/sessions`",
        read="messages, tools with results and exit codes, interrupts, `!` commands, compactions, branches",
        left_out="thinking, images, extensions' own entries; the log does not tell headless runs",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directory of sessions, which both variables can move."""
        sessions, base = environment.get("PI_CODING_AGENT_SESSION_DIR", ""), environment.get("PI_CODING_AGENT_DIR", "")
        if sessions.startswith("/"):
            return (Path(sessions),)
        return ((Path(base) if base.startswith("/") else home / ".pi" / "agent") / "sessions",)

    def owns(self, path: PurePath) -> bool:
        """Tell whether a file below a root is a session."""
        return path.suffix == ".jsonl" and "subagent-artifacts" not in path.parts

    def session_hint(self, path: PurePath) -> str:
        """Return the id in the file's name, behind its time."""
        return path.stem.rpartition("_")[2]

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by the agent's directory, or by the header and first entries."""
        return (self._is_home(path) and self.owns(path)) or _written_by(head) == self.name

    def _is_home(self, path: PurePath) -> bool:
        """Whether the path lies where this agent keeps its sessions."""
        return ".pi" in path.parts and "sessions" in path.parts

    def layout(self, _path: PurePath) -> None:
        """Return None: lines are added; a migration rewrites the file, which the cursor's proof notices."""

    def open(self, path: PurePath, state: bytes | None) -> PiParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, ConversationMemory, path)
        return PiParser(path, memory or ConversationMemory(session=Session(id=self.session_hint(path))))


class OhMyPi(Pi):
    """Sessions of oh-my-pi (omp), a fork of pi.

    Where `PI_CODING_AGENT_DIR` is set, both use the same directory: then these are read as pi's.
    """

    name: str = "omp"
    variables: tuple[str, ...] = ()
    facts: Facts = Facts(
        agent="oh-my-pi",
        versions="session format 3",
        where="`~/.omp/agent/sessions`",
        read="as pi; sub-agents' sessions beside their parent's",
        left_out="as pi; prompt history in `history.db`",
    )

    def roots(self, home: Path, _environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directory of sessions."""
        return (home / ".omp" / "agent" / "sessions",)

    def _is_home(self, path: PurePath) -> bool:
        return ".omp" in path.parts and "sessions" in path.parts


class OpenClaw(Pi):
    """Sessions of OpenClaw's agents, which run on pi; people write to them through chat channels."""

    name: str = "openclaw"
    variables: tuple[str, ...] = ("OPENCLAW_STATE_DIR",)
    facts: Facts = Facts(
        agent="OpenClaw",
        versions="session format 3 (2026.2 to 2026.5)",
        where="`~/.openclaw/agents/AGENT/sessions`",
        read="as pi; envelopes of chat channels are taken off, heartbeats and cron jobs are programs'",
        left_out="checkpoints, trajectories, archived sessions, the database of newer versions",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directories of agents, new and old name; `OPENCLAW_STATE_DIR` moves them."""
        named = environment.get("OPENCLAW_STATE_DIR", "")
        bases = [Path(named)] if named.startswith("/") else [home / ".openclaw", home / ".clawdbot"]
        return tuple(base / "agents" for base in bases)

    def owns(self, path: PurePath) -> bool:
        """Tell whether a file is a session, not its checkpoint or trajectory."""
        name = path.name
        return path.parent.name == "sessions" and path.suffix == ".jsonl" and "." not in name.removesuffix(".jsonl")

    def session_hint(self, path: PurePath) -> str:
        """Return the file's stem, which is the session's id."""
        return path.stem

    def _is_home(self, path: PurePath) -> bool:
        return bool({".openclaw", ".clawdbot"} & set(path.parts))


def _written_by(head: bytes) -> str:
    """Which of the three wrote a log that begins so, "" for none."""
    entries = glances(head, _Glance)
    header = next(entries, None)
    if header is None or header.type != "session" or not (header.id and header.timestamp):
        return ""
    if ".openclaw/" in (header.cwd or ""):
        return "openclaw"
    changed = any(entry.type == "model_change" and entry.model for entry in entries)
    return "omp" if header.title is not None or changed else "pi"


_decoder: Final = msgspec.json.Decoder(Entry)


class PiParser(ConversationParser[ConversationMemory, Entry]):
    """Reads one session."""

    # OpenClaw's shell; in Codex `exec` is something else.
    kinds: ClassVar[Mapping[str, ToolKind]] = {"exec": ToolKind.SHELL, "process": ToolKind.SHELL}

    def __init__(self, path: PurePath, memory: ConversationMemory) -> None:
        super().__init__(memory, _decoder, Entry)
        self._directory = path.parent.name
        self._stamp = ""

    def read(self, record: Entry, span: Span) -> list[Event]:
        """Return what one entry says."""
        message = record.message
        stamp = (message.timestamp if message is not None else None) or record.timestamp
        self.span, self.at, self._stamp = span, seconds(record.timestamp or stamp), str(stamp or record.id)
        self.sidechain = self.memory.session.machine_run
        reader = _READERS.get(record.type)
        if reader is not None:
            return reader(self, record)
        if record.type in STATE:
            self.ignored()
        else:
            self.unknown(record.type or "(no type)")
        return []

    def _uid(self, kind: str, text: str) -> str:
        """The id of what was said now."""
        return digest(kind, self._stamp, text)

    def _read_header(self, entry: Entry) -> list[Event]:
        if entry.id:
            self.memory.session = replace(self.memory.session, id=bounded_id(entry.id))
        self.learn(cwd=entry.cwd, model=entry.modelId)
        return []

    def _read_model(self, entry: Entry) -> list[Event]:
        self.learn(model=entry.modelId or entry.model)
        return []

    def _read_init(self, entry: Entry) -> list[Event]:
        """The task of a sub-agent (omp), whose sessions lie in a directory named like the parent's."""
        if entry.task is not None:
            _, named, identity = self._directory.rpartition("_")
            parent = bounded_id(identity) if named else ""
            self.memory.session = replace(self.memory.session, parent=parent, machine_run=True)
        return []

    def _read_compaction(self, entry: Entry) -> list[Event]:
        return [self.event(EventKind.COMPACTION, self._uid("compaction", entry.summary), entry.summary)]

    def _read_branch(self, entry: Entry) -> list[Event]:
        """The user went back to an earlier message; the summary is of what was given up."""
        return self.told(self._uid("branch", entry.summary), f"The user went back: {entry.summary}", self.person())

    def _read_injected(self, entry: Entry) -> list[Event]:
        return self._injected(_text(entry.content))

    def _injected(self, text: str) -> list[Event]:
        """A text that an extension put into the conversation."""
        return self.asked(self._uid("custom", text), text, typed="")

    def _read_message(self, entry: Entry) -> list[Event]:
        message = entry.message or Message()
        reader = _ROLE_READERS.get(message.role)
        if reader is not None:
            return reader(self, message)
        if message.role == "system":
            self.ignored()
        else:
            self.unknown(f"message/{message.role or '(no role)'}")
        return []

    def read_prompt(self, message: Message) -> list[Event]:
        """A user's message."""
        text = _text(message.content)
        return self.asked(self._uid("user", text), text, typed_text(text))

    def read_answer(self, message: Message) -> list[Event]:
        """What the agent said and called; one that was cut off has called nothing."""
        if message.model != self.memory.session.model:
            self.learn(model=message.model)
        reason = message.stopReason or ""
        parts = message.content if isinstance(message.content, list) else [Part("text", message.content or "")]
        events: list[Event] = []
        for number, part in enumerate(parts):
            if part.type == "text":
                uid = self._uid("assistant", f"{number}{part.text}")
                events += self.said(uid, part.text, ends_turn=reason in _ENDS and number == len(parts) - 1)
            elif part.type == "toolCall" and reason not in _CUT_OFF:
                uid = self._uid("call", part.id or f"{number}{part.name}")
                events.append(self.called(uid, part.id, part.name, bytes(part.arguments)))
        return events + self._ending(message, reason)

    def _ending(self, message: Message, reason: str) -> list[Event]:
        """How the agent's turn ended, where not with its last words."""
        if reason == "aborted":
            text = message.errorMessage or "aborted"
            return [self.interrupted(self._uid("aborted", ""), text)]
        if reason in _ENDS or reason == "error":
            self.close_turn()
        return self.told(self._uid("error", ""), message.errorMessage or "") if reason == "error" else []

    def read_result(self, message: Message) -> list[Event]:
        """A tool's result; bash fails with any exit code but 0, and says which in its last line."""
        text, code = _text(message.content), None
        if message.isError is not False or message.toolName == "exec":
            text, code = ended_with(_EXIT_CODE, text)
        elif message.toolName == "bash":
            code = 0
        if message.details is not None and message.details.exitCode is not None:
            code = message.details.exitCode
        given = Given(text, message.isError, code, refused=bool(message.isError) and by_user(text))
        name = message.toolName
        tool = Tool(tool_name(name), self.kind_of(name))
        return self.returned(self._uid("result", message.toolCallId), message.toolCallId, given, tool)

    def read_shell(self, message: Message) -> list[Event]:
        """A command that the user ran with `!`: the agent's turn is untouched by it."""
        code = f"\nexit code {message.exitCode}" if message.exitCode else ""
        text = f"! {message.command}\n{message.output}{code}"
        return self.told(self._uid("shell", message.command), text, self.person())

    def read_injected_message(self, message: Message) -> list[Event]:
        """A text that an extension put into the conversation."""
        return self._injected(_text(message.content))

    def read_summary(self, message: Message) -> list[Event]:
        """A summary as a message of its own."""
        return self.told(self._uid(message.role, message.summary), message.summary)


def _text(content: str | list[Part] | None) -> str:
    """The texts of a content; a message of pictures alone is told as such."""
    if content is None or isinstance(content, str):
        return content or ""
    text = "\n".join(part.text for part in content if part.text)
    return text or ("[image]" if any(part.type == "image" for part in content) else "")


_READERS: Final[dict[str, Callable[[PiParser, Entry], list[Event]]]] = {
    "session": PiParser._read_header,  # noqa: SLF001 - the table belongs to the class
    "message": PiParser._read_message,  # noqa: SLF001
    "model_change": PiParser._read_model,  # noqa: SLF001
    "session_init": PiParser._read_init,  # noqa: SLF001
    "compaction": PiParser._read_compaction,  # noqa: SLF001
    "branch_summary": PiParser._read_branch,  # noqa: SLF001
    "custom_message": PiParser._read_injected,  # noqa: SLF001
}
_ROLE_READERS: Final[dict[str, Callable[[PiParser, Message], list[Event]]]] = {
    "user": PiParser.read_prompt,
    "assistant": PiParser.read_answer,
    "toolResult": PiParser.read_result,
    "bashExecution": PiParser.read_shell,
    "custom": PiParser.read_injected_message,
    "hookMessage": PiParser.read_injected_message,
    "branchSummary": PiParser.read_summary,
    "compactionSummary": PiParser.read_summary,
}

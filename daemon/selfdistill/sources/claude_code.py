"""Claude Code: `~/.claude/projects/<key>/<session>.jsonl`, sub-agents' logs beside or below (formats.md section 2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from selfdistill.model import Author, Event, EventKind, Session, Span
from selfdistill.sources.base import QUEUED, Facts, remembered
from selfdistill.sources.claude_authors import queued_by_program, slash_command, written_by_program
from selfdistill.sources.claude_messages import ClaudeMemory, MessageParser, record_uid
from selfdistill.sources.claude_queue import Waiting
from selfdistill.sources.claude_records import STATE_RECORDS, SYSTEM_STATE, SYSTEM_TOLD, Record
from selfdistill.sources.claude_results import result_text
from selfdistill.sources.decoding import bounded_id, fact, glances
from selfdistill.sources.injections import is_own_place

COMPACTION_WORKER: Final = "agent-acompact-"
OTHER_LOGS: Final = frozenset({"conversation-log.jsonl", "journal.jsonl", "history.jsonl"})
_HEADLESS: Final = ("sdk", "headless", "mcp", "claude-code-github-action")
TURN_ENDS: Final = frozenset({"turn_duration", "stop_hook_summary"})
_TOLD: Final = frozenset({"user", "assistant", "system", "attachment", "progress", "queue-operation"})
_LIST: Final = re.compile(r"[,:]")


class _Glance(Struct):
    """What tells Claude Code's records from others'."""

    type: str | None = None
    uuid: str | None = None
    sessionId: str | None = None  # noqa: N815 - the log's own name


class ClaudeCode:
    """Logs of Claude Code, in the terminal, in editors and in Claude Desktop's Code tab."""

    name: Final = "claude_code"
    variables: Final = ("CLAUDE_CONFIG_DIR",)
    facts: Final = Facts(
        agent="Claude Code (terminal, editors, Desktop's Code tab, SDK)",
        versions="1.0.24 to 2.1.220",
        where="`~/.claude/projects`, `~/.config/claude/projects`",
        read="messages, tools with results, rejections, interrupts, queued prompts, compactions, sub-agents' logs",
        left_out="thinking, images, `history.jsonl`, full outputs below `tool-results/`",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the project directories: those `CLAUDE_CONFIG_DIR` names (a list is accepted), else both defaults."""
        named = [part.strip() for part in _LIST.split(environment.get("CLAUDE_CONFIG_DIR", ""))]
        defaults = [home / ".claude", home / ".config" / "claude"]
        bases = [Path(part) for part in named if part.startswith("/")] or defaults
        return tuple(base / "projects" for base in dict.fromkeys(bases))

    def owns(self, path: PurePath) -> bool:
        """Tell whether a file below a root is a session's or a sub-agent's log."""
        if path.suffix != ".jsonl" or path.name in OTHER_LOGS:
            return False
        parts = path.parts
        return "tool-results" not in parts and ("subagents" not in parts or path.name.startswith("agent-"))

    def session_hint(self, path: PurePath) -> str:
        """Return the file's stem, or the parent session's id for a log below `<session>/subagents`."""
        parts = path.parts
        return parts[parts.index("subagents") - 1] if "subagents" in parts[1:] else path.stem

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by a project directory, or by a record that only Claude Code writes."""
        parts = path.parts
        placed = "projects" in parts and bool({".claude", "claude"} & set(parts)) and self.owns(path)
        return placed or any(
            glance.sessionId or (glance.uuid and glance.type in _TOLD) or glance.type in STATE_RECORDS
            for glance in glances(head, _Glance)
        )

    def layout(self, _path: PurePath) -> None:
        """Return None: lines, only ever added."""

    def open(self, path: PurePath, state: bytes | None) -> ClaudeParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, ClaudeMemory, path)
        return ClaudeParser(path, memory or ClaudeMemory(session=self._first_facts(path)))

    def _first_facts(self, path: PurePath) -> Session:
        """What name and place say about the session."""
        if not path.name.startswith("agent-"):
            return Session(id=self.session_hint(path))
        ignored = "compaction worker" if path.name.startswith(COMPACTION_WORKER) else ""
        parent = self.session_hint(path) if "subagents" in path.parts else ""
        return Session(id=parent or path.stem, parent=parent, machine_run=True, ignored=ignored)


class ClaudeParser(MessageParser):
    """Reads one Claude Code log."""

    def __init__(self, path: PurePath, memory: ClaudeMemory) -> None:
        super().__init__(path, memory)
        self._stem = path.stem
        self._last_facts: tuple[str, str, str | None] | None = None

    def read(self, record: Record, span: Span) -> list[Event]:
        """Return what one record says."""
        reader = _READERS.get(record.type)
        if reader is None:
            return self._read_other(record)
        if record.type != "progress":
            facts = (record.sessionId, record.version, record.entrypoint)
            if facts != self._last_facts or not self.memory.session.cwd:
                self._learn(record)
                self._last_facts = facts
        return reader(self, record, span)

    def _read_other(self, record: Record) -> list[Event]:
        """State records are left out, anything else is drift."""
        if record.type in STATE_RECORDS:
            self.ignored()
        else:
            self.unknown(record.type or "(no type)")
        return []

    def _learn(self, record: Record) -> None:
        """Keep what an envelope says about the session."""
        memory, session = self.memory, self.memory.session
        identity = bounded_id(record.sessionId)
        if identity and (not memory.settled_id or identity == self._stem) and identity != session.id:
            session = replace(session, id=identity, parent=identity if self.subagent else session.parent)
        memory.settled_id = memory.settled_id or bool(identity)
        headless = (record.entrypoint or "").startswith(_HEADLESS)
        memory.session = replace(
            session,
            cwd=session.cwd or fact(record.cwd),
            agent_version=fact(record.version) or session.agent_version,
            machine_run=session.machine_run or headless,
            ignored=session.ignored or ("selfdistill" if is_own_place(record.cwd) else ""),
        )

    def _read_system(self, record: Record, span: Span) -> list[Event]:
        """What the harness notes beside the conversation."""
        if record.subtype in SYSTEM_TOLD:
            return self._told(record, span)
        if record.subtype in SYSTEM_STATE:
            if record.subtype in TURN_ENDS and not record.pendingBackgroundAgentCount and not record.isSidechain:
                self.close_turn()
            self.ignored()
        else:
            self.unknown(f"system/{record.subtype}")
        return []

    def _told(self, record: Record, span: Span) -> list[Event]:
        """The event of a system record that says something about how it went."""
        text = record.content or ""
        if record.subtype == "api_error":
            text = f"API error: {bytes(record.error).decode('utf-8', 'replace')}"
        elif record.subtype == "local_command":
            command = slash_command(text)
            return [self.command(record, span, record_uid(record), command)] if command else []
        return [self.notice(record, span, text)] if text else []

    def _read_progress(self, record: Record, span: Span) -> list[Event]:
        """A sub-agent's message: the only copy where its own log is gone; uids are the same there."""
        inner = record.data.message if record.data is not None else None
        if inner is None or inner.message is None or inner.type not in {"user", "assistant"}:
            self.ignored()
            return []
        made = replace(
            record, type=inner.type, uuid=inner.uuid, message=inner.message, timestamp=inner.timestamp, isSidechain=True
        )
        return (self.read_user if inner.type == "user" else self.read_assistant)(made, span)

    def _read_attachment(self, record: Record, span: Span) -> list[Event]:
        attachment = record.attachment
        if attachment is None or attachment.type not in {"queued_command", "hook_blocking_error"}:
            self.ignored()
            return []
        if attachment.type == "hook_blocking_error":
            blocking = attachment.blockingError
            text = blocking if isinstance(blocking, str) else blocking.blockingError if blocking else ""
            return [self.notice(record, span, text)] if text else []
        text = result_text(attachment.prompt)
        if not text.strip() or self.memory.queue.seen(text, attached=True):
            return []
        prompted = (attachment.commandMode or "prompt") == "prompt"
        made = replace(record, origin=attachment.origin or record.origin)
        return [self._queued(made, span, f"{QUEUED}{record_uid(record)}", text, prompted=prompted)]

    def _read_queue_operation(self, record: Record, span: Span) -> list[Event]:
        queue = self.memory.queue
        due: list[Waiting] = []
        if record.operation == "enqueue" and record.content:
            due = queue.enqueue(Waiting.of(record.content, record.timestamp, span.offset, span.length))
        elif record.operation == "remove":
            due = [prompt] if (prompt := queue.remove()) else []
        elif record.operation == "dequeue":
            queue.dequeue()
        elif record.operation == "popAll":
            queue.clear()
        return [self._delivered(record, prompt) for prompt in due]

    def _delivered(self, record: Record, prompt: Waiting) -> Event:
        """The event of a prompt that leaves the queue: at the place and time where it was typed."""
        made = replace(record, timestamp=prompt.timestamp, cwd=self.memory.session.cwd)
        uid = f"{QUEUED}{prompt.uid}"
        return self._queued(made, Span(prompt.offset, prompt.length), uid, prompt.text, prompted=True)

    def _queued(self, record: Record, span: Span, uid: str, text: str, *, prompted: bool) -> Event:
        """A queued text: a person's, unless it is a notification or a command."""
        program = not prompted or queued_by_program(text) or written_by_program(record)
        author = Author.PROGRAM if program else self.person(record)
        return self.event(EventKind.USER, record, span, uid, text, author)


_Reader = Callable[[ClaudeParser, Record, Span], list[Event]]
_READERS: Final[dict[str, _Reader]] = {
    "assistant": ClaudeParser.read_assistant,
    "user": ClaudeParser.read_user,
    "system": ClaudeParser._read_system,  # noqa: SLF001
    "progress": ClaudeParser._read_progress,  # noqa: SLF001
    "attachment": ClaudeParser._read_attachment,  # noqa: SLF001
    "queue-operation": ClaudeParser._read_queue_operation,  # noqa: SLF001
}

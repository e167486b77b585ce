"""Amp: threads as JSON documents, `~/.local/share/amp/threads/T-ID.json` (formats.md section 12).

Amp is closed; sources: its readers jonathan-kellerai/cross_agent_session_resumer `src/providers/amp.rs` and
noamsto/houston `docs/AMP_AGENT_SUPPORT.md`. Builds up to March 2026 rewrite a thread's document with each change; newer
ones keep threads on their server, so that only old documents, and those that `amp threads export` wrote, are there.

A document is read as a line for the thread and one for each message. A message is finished when it streams no more
and none of its tools runs. What may change later (titles, drafts, files that were touched) is not in the lines.

Amp cannot express: what its sub-agents (Task, oracle) did, which is not kept; times of single tool results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Raw, Struct, field
from msgspec.structs import replace

from selfdistill.layouts import Document, Files, Rendered
from selfdistill.model import Event, EventKind, Session, Span
from selfdistill.sources.base import Facts, remembered
from selfdistill.sources.conversation import ConversationMemory, ConversationParser, Given
from selfdistill.sources.decoding import bounded_id, digest, glances, seconds
from selfdistill.sources.documents import document_in, line_of, undecodable

THREAD: Final = "amp_thread"
MESSAGE: Final = "amp_message"
_BLOCK_KEYS: Final = ("type", "text", "id", "name", "input", "toolUseID", "summary")
_RUN_KEYS: Final = ("status", "result", "error", "reason")
_STREAMING: Final = ("streaming", "running")  # tuples: what a log holds may be unhashable
_RUNNING: Final = ("in-progress", "queued", "blocked-on-user")
_ROLES: Final = frozenset({"user", "assistant", "info"})
_EDITORS: Final = ("Code", "Code - Insiders", "VSCodium", "Cursor", "Windsurf")


class Amp:
    """Threads of Amp, in the terminal and in editors."""

    name: Final = "amp"
    variables: Final = ("XDG_DATA_HOME",)
    facts: Final = Facts(
        agent="Amp (terminal, editors)",
        versions="builds up to 2026-03, from its readers' sources",
        where="`~/.local/share/amp/threads`, `sourcegraph.amp/threads3` of editors",
        read="messages, tools with results and exit codes, rejections, interrupts, summaries",
        left_out="thinking, images, sub-agents' doings; newer threads are on Amp's server",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directory of threads, below `XDG_DATA_HOME` on every system, and those of editors."""
        named = environment.get("XDG_DATA_HOME", "")
        data = Path(named) if named.startswith("/") else home / ".local" / "share"
        storages = (home / ".config", home / "Library" / "Application Support")
        inside = Path("User") / "globalStorage" / "sourcegraph.amp" / "threads3"
        return (data / "amp" / "threads", *(base / editor / inside for base in storages for editor in _EDITORS))

    def owns(self, path: PurePath) -> bool:
        """Tell by the name of a thread."""
        return path.name.startswith("T-") and path.suffix == ".json"

    def session_hint(self, path: PurePath) -> str:
        """Return the thread's id, which is the file's stem."""
        return path.stem

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by name and place, or by the first bytes of a thread or of its lines."""
        if self.owns(path) and ({"amp", "sourcegraph.amp"} & set(path.parts)):
            return True
        start = head[:4096]
        whole = start.lstrip().startswith(b"{") and b'"T-' in start and b'"messages"' in head
        return whole or any(glance.type in {THREAD, MESSAGE} for glance in glances(head, _Glance))

    def layout(self, _path: PurePath) -> Document:
        """Return that the document is rewritten, and how it becomes lines."""
        return Document(render)

    def open(self, path: PurePath, state: bytes | None) -> AmpParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, ConversationMemory, path)
        return AmpParser(memory or ConversationMemory(session=Session(id=self.session_hint(path))))


def render(path: PurePath, files: Files) -> Iterator[Rendered]:
    """Return a thread as lines: where it is, then each message. What is no JSON object is one line as it stands."""
    data = files.read(path)
    thread = document_in(data)
    if not isinstance(thread, dict):
        yield from [undecodable(data)] if data.strip() else []
        return
    yield line_of({"type": THREAD} | {key: thread[key] for key in ("id", "created") if key in thread} | _place(thread))
    messages = thread.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            yield line_of({"type": MESSAGE} | _kept(message), finished=_is_finished(message))
        else:
            yield line_of(message)


def _place(thread: dict[str, Any]) -> dict[str, Any]:
    """Directory, repository, version and first model of a thread."""
    initial = _inside(_inside(thread, "env"), "initial")
    trees, tags = initial.get("trees"), initial.get("tags")
    tree = next((each for each in trees if isinstance(each, dict)), {}) if isinstance(trees, list) else {}
    named = (
        [tag[6:] for tag in tags if isinstance(tag, str) and tag.startswith("model:")] if isinstance(tags, list) else []
    )
    return {
        "uri": initial.get("cwd") or tree.get("uri"),
        "repository": _inside(tree, "repository").get("url"),
        "version": _inside(initial, "platform").get("clientVersion"),
        "model": named[0] if named else None,
    }


def _kept(message: dict[str, Any]) -> dict[str, Any]:
    """What of a message is read and stays as it is."""
    content = message.get("content")
    blocks = content if isinstance(content, list) else [{"type": "text", "text": content}]
    kept: dict[str, Any] = {key: message[key] for key in ("role", "messageId") if key in message}
    kept["content"] = [_kept_block(block) for block in blocks if isinstance(block, dict)]
    state, usage = _inside(message, "state"), _inside(message, "usage")
    return kept | {
        "state": {key: state[key] for key in ("type", "stopReason") if key in state},
        "model": usage.get("model"),
        "at": _inside(message, "meta").get("sentAt") or usage.get("timestamp"),
    }


def _kept_block(block: dict[str, Any]) -> dict[str, Any]:
    """What of a block is read and stays as it is."""
    kept: dict[str, Any] = {key: block[key] for key in _BLOCK_KEYS if key in block}
    run = block.get("run")
    return kept | {"run": {key: run[key] for key in _RUN_KEYS if key in run}} if isinstance(run, dict) else kept


def _is_finished(message: dict[str, Any]) -> bool:
    """Whether Amp will not change the message any more."""
    if _inside(message, "state").get("type") in _STREAMING:
        return False
    content = message.get("content")
    runs = [_inside(block, "run") for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    return all(run.get("status") not in _RUNNING for run in runs)


def _inside(value: dict[str, Any], key: str) -> dict[str, Any]:
    """The object below a key, empty where there is none."""
    found = value.get(key)
    return found if isinstance(found, dict) else {}


class _Glance(Struct):
    type: str | None = None


class Run(Struct, frozen=True, gc=False):
    """How a tool ran."""

    status: str = ""
    result: Any = None
    error: Any = None
    reason: str | None = None


class Block(Struct, frozen=True, gc=False):
    """A content block."""

    type: str = ""
    text: str = ""
    id: str = ""
    name: str = ""
    input: Raw = field(default_factory=Raw)
    toolUseID: str = ""  # noqa: N815 - the log's own name
    run: Run | None = None
    summary: dict[str, Any] | str | None = None


class State(Struct, frozen=True, gc=False):
    """Where a message of the agent's stands."""

    type: str = ""
    stopReason: str | None = None  # noqa: N815


class Line(Struct, frozen=True, gc=False):
    """One line that `render` makes."""

    type: str = ""
    id: str = ""
    created: float | None = None
    uri: str | dict[str, Any] | None = None
    repository: str | None = None
    version: str | None = None
    role: str = ""
    messageId: int | str | None = None  # noqa: N815
    content: list[Block] = []
    state: State | None = None
    model: str | None = None
    at: float | str | None = None


_decoder: Final = msgspec.json.Decoder(Line)


class AmpParser(ConversationParser[ConversationMemory, Line]):
    """Reads the lines of one thread."""

    def __init__(self, memory: ConversationMemory) -> None:
        super().__init__(memory, _decoder, Line)
        self._stamp = ""

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one line says."""
        self.span, self.at = span, seconds(record.at)
        self._stamp = str(record.at or f"{self.memory.session.id}/{record.messageId}")
        if record.type == THREAD:
            return self._read_thread(record)
        reader = _READERS.get(record.role) if record.type == MESSAGE else None
        if reader is None:
            self.unknown(record.role or record.type or "(no type)")
            return []
        return reader(self, record)

    def _uid(self, kind: str, text: str) -> str:
        return digest(kind, self._stamp, text)

    def _read_thread(self, thread: Line) -> list[Event]:
        if thread.id:
            self.memory.session = replace(self.memory.session, id=bounded_id(thread.id))
        self.learn(
            cwd=directory(thread.uri),
            model=thread.model or "",
            version=thread.version or "",
            repository=thread.repository or "",
        )
        return []

    def read_prompt(self, message: Line) -> list[Event]:
        """A user's message: results of tools, or what was typed."""
        events: list[Event] = []
        for block in message.content:
            if block.type == "tool_result" and (block.run or Run()).status not in _RUNNING:
                events += self._result(block.toolUseID, block.run or Run())
        texts = [block.text for block in message.content if block.type == "text" and block.text]
        text = "\n".join(texts) or ("[image]" if any(block.type == "image" for block in message.content) else "")
        return events + self.asked(self._uid("user", text), text)

    def read_answer(self, message: Line) -> list[Event]:
        """What the agent said and called, and whether it was stopped."""
        if message.model and message.model != self.memory.session.model:
            self.learn(model=message.model)
        state = message.state or State()
        events: list[Event] = []
        for number, block in enumerate(message.content):
            if block.type == "text":
                uid = self._uid("assistant", f"{number}{block.text}")
                events += self.said(uid, block.text, ends_turn=state.stopReason == "end_turn")
            elif block.type == "tool_use":
                events.append(self.called(bounded_id(block.id), block.id, block.name, bytes(block.input)))
        if state.type == "cancelled":
            events.append(self.interrupted(self._uid("cancelled", str(message.messageId)), "cancelled"))
        elif state.stopReason == "end_turn":
            self.close_turn()
        return events

    def read_info(self, message: Line) -> list[Event]:
        """A summary that stands for what was before."""
        texts = [_summary(block.summary) for block in message.content if block.type == "summary"]
        text = "\n".join(filter(None, texts))
        return [self.event(EventKind.COMPACTION, self._uid("summary", text), text)] if texts else []

    def _result(self, call_id: str, run: Run) -> list[Event]:
        """How a call ended: by itself, or by the user who stopped or refused it."""
        uid = f"{bounded_id(call_id)}:r"
        events = self.returned(uid, call_id, _GIVEN.get(run.status, _given_done)(run))
        if run.status == "cancelled":
            events.append(replace(self.interrupted(f"{uid}:i", run.reason or "cancelled"), call_id=bounded_id(call_id)))
        return events


def _given_done(run: Run) -> Given:
    """A call that ran: shells give output and exit code, readers content, other tools any JSON."""
    result = run.result
    if isinstance(result, dict):
        code, output = result.get("exitCode"), result.get("output", result.get("content"))
        if isinstance(output, str):
            code = code if isinstance(code, int) and not isinstance(code, bool) else None
            return Given(output, bool(code), code)
    return Given(_as_text(result), is_error=False if run.status == "done" else None)


def _given_error(run: Run) -> Given:
    """A call that failed."""
    error = run.error.get("message", run.error) if isinstance(run.error, dict) else run.error
    return Given(_as_text(error), is_error=True)


def _given_cancelled(run: Run) -> Given:
    """A call that was stopped."""
    return Given(run.reason or _as_text(run.result) or "cancelled", is_error=True)


def _given_refused(run: Run) -> Given:
    """A call that the user did not let run."""
    return Given(run.reason or "rejected by user", is_error=True, refused=True, feedback=run.reason or "")


_GIVEN: Final[dict[str, Callable[[Run], Given]]] = {
    "error": _given_error,
    "cancelled": _given_cancelled,
    "rejected-by-user": _given_refused,
}


def _as_text(value: object) -> str:
    """A result as text: what is no text is JSON."""
    if isinstance(value, str):
        return value
    return line_of(value).line.decode() if value is not None else ""


def _summary(summary: dict[str, Any] | str | None) -> str:
    """The words of a summary."""
    if isinstance(summary, dict):
        words = summary.get("summary") or summary.get("thread")
        return words if isinstance(words, str) else ""
    return summary or ""


def directory(uri: str | dict[str, Any] | None) -> str:
    """Return the path that a tree's address names: percent-encoded `file://`, an editor's object, or a plain path."""
    if isinstance(uri, dict):
        named = uri.get("fsPath") or uri.get("path")
        return named if isinstance(named, str) else ""
    if not uri or not uri.startswith("file:"):
        return uri if uri is not None and uri.startswith("/") else ""
    try:
        return unquote(urlsplit(uri).path)
    except ValueError:  # a host in brackets that is none
        return ""


_READERS: Final[dict[str, Callable[[AmpParser, Line], list[Event]]]] = {
    "user": AmpParser.read_prompt,
    "assistant": AmpParser.read_answer,
    "info": AmpParser.read_info,
}

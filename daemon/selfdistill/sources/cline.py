"""Cline, Roo Code and Kilo Code: task directories of the editor extensions, sessions of the new Cline (formats.md 8).

Read from their sources: cline/cline `src/core/{storage/disk,prompts/responses}.ts` and `sdk/packages/core/src/session`,
RooCodeInc/Roo-Code `src/core/{task-persistence,prompts,tools}`. A task's messages are one JSON document, rewritten at
each step. Messages of a task have no times (they come from `ui_messages.json`), and those of old versions no ids: a
call stands as XML in the text, its result as text that names the tool, so they are paired by name and order. Cline says
no exit codes, Roo Code and Kilo do. What the editor only shows (`ui_messages.json`: costs, checkpoints, retried
requests) is not read, for all that was said and done stands in the messages too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Final

from selfdistill.layouts import Document, Files, Rendered
from selfdistill.model import Session
from selfdistill.sources.base import Facts, remembered
from selfdistill.sources.cline_messages import ClineMemory, ClineParser
from selfdistill.sources.decoding import bounded_id
from selfdistill.sources.documents import document_in, line_of, undecodable

TASK_LOG: Final = "api_conversation_history.json"
SESSION_LOG: Final = ".messages.json"
EXTENSIONS: Final = ("saoudrizwan.claude-dev", "rooveterinaryinc.roo-cline", "kilocode.kilo-code")
EDITORS: Final = ("Code", "Code - Insiders", "VSCodium", "Cursor", "Windsurf")
_ENDED: Final = ("completed", "failed", "cancelled")  # tuples: what a log holds may be unhashable
_KEPT: Final = ("role", "id", "ts", "type", "isSummary", "isTruncationMarker")  # what is never changed later
_HEAVY: Final = ("image", "image_url", "file", "media", "thinking", "redacted_thinking", "reasoning")
_OWN_WORDS: Final = (b"<environment_details>", b'"<task>', b"<user_input mode=")


class Cline:
    """Tasks of Cline, Roo Code and Kilo Code."""

    name: Final = "cline"
    variables: Final = ("CLINE_DATA_DIR", "CLINE_DIR", "XDG_CONFIG_HOME")
    facts: Final = Facts(
        agent="Cline, Roo Code, Kilo Code (VS Code, Insiders, VSCodium, Cursor, Windsurf, VS Code Server; Cline CLI)",
        versions="Cline 3.x and its SDK sessions, Roo Code 3.x: known from their sources",
        where="`globalStorage/<extension>/tasks` of the editors, `~/.cline/data/sessions`, `~/.cline/data/tasks`",
        read="tasks, feedback and answers, tools in XML and native form with results, denials, interrupts, resumptions",
        left_out="reasoning, images, `ui_messages.json` but for its times, exit codes where Cline does not say them",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the task directories of every extension in every editor, and those of Cline's own home."""
        configured = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
        bases = [base / editor for base in (configured, home / "Library/Application Support") for editor in EDITORS]
        storages = [base / "User/globalStorage" for base in (*bases, home / ".vscode-server/data")]
        named = environment.get("CLINE_DATA_DIR") or Path(environment.get("CLINE_DIR") or home / ".cline") / "data"
        tasks = [storage / extension / "tasks" for storage in storages for extension in EXTENSIONS]
        return (*tasks, Path(named) / "sessions", Path(named) / "tasks")

    def owns(self, path: PurePath) -> bool:
        """Tell by name: the messages of a task, of a session, or of a sub-agent in its directory."""
        return path.name == TASK_LOG or path.name.endswith(SESSION_LOG)

    def session_hint(self, path: PurePath) -> str:
        """Return the task's or session's directory."""
        return path.parent.name

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by the names, or by a list of messages that holds what only these agents write."""
        listed = head.lstrip()[:1] in (b"[", b"{") and b'"role"' in head[:4096]
        told = path.name.endswith(SESSION_LOG) or any(words in head for words in _OWN_WORDS)
        return path.name == TASK_LOG or (listed and told)

    def layout(self, _path: PurePath) -> Document:
        """Return how the messages are rendered; whatever changes in the directory is a change of the log."""
        return Document(render=rendered, companions=lambda path: (path.parent,))

    def open(self, path: PurePath, state: bytes | None) -> ClineParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, ClineMemory, path)
        return ClineParser(memory or ClineMemory(session=Session(id=bounded_id(_session_id(path)))))


def _session_id(path: PurePath) -> str:
    """The id that the place says: a task's is its directory, a session's or sub-agent's its file."""
    return path.parent.name if path.name == TASK_LOG else path.name.removesuffix(SESSION_LOG)


def rendered(path: PurePath, files: Files) -> Iterator[Rendered]:
    """Return a line for the session, one for each message, one for the end where the log says it. Never raises.

    The end is taken back when somebody resumes a session: the log is then another generation.
    """
    data = files.read(path)
    document = document_in(data)
    messages = document.get("messages") if isinstance(document, dict) else document
    if not isinstance(messages, list):
        if data.strip():
            yield undecodable(data)
        return
    told = document_in(files.read(path.parent / _about(path)))
    told = told if isinstance(told, dict) else {}
    yield line_of({name: value for name, value in _head(path, told).items() if value is not None})
    times = _times(document_in(files.read(path.parent / "ui_messages.json"))) if path.name == TASK_LOG else {}
    at: float | None = None
    for number, message in enumerate(messages):
        at = times.get(number - 1, at)
        yield line_of(_message(message, at))
    if told.get("ended_at") and told.get("status") in _ENDED and path.stem.startswith(path.parent.name):
        yield line_of({"type": "ended", "status": told["status"], "ts": told["ended_at"]})


def _about(path: PurePath) -> str:
    """The file that tells about a session: Roo Code's item of its history, or the manifest of the new Cline."""
    return "history_item.json" if path.name == TASK_LOG else f"{path.parent.name}.json"


def _head(path: PurePath, told: dict[str, Any]) -> dict[str, Any]:
    """The session's own record: what is known when it begins and stays as it is."""
    if path.name == TASK_LOG:
        return {"type": "session", "cwd": told.get("workspace"), "parent": told.get("parentTaskId")}
    agent = path.name.removesuffix(SESSION_LOG)
    return {
        "type": "session",
        "cwd": told.get("cwd"),
        "model": told.get("model"),
        "spoken": True,
        "headless": told.get("interactive") is False,
        "parent": path.parent.name if agent != path.parent.name else None,
        "ts": told.get("started_at"),
    }


def _times(shown: Any) -> dict[int, float]:  # noqa: ANN401 - any JSON
    """When the editor first showed something after so many messages: that never changes once the next one is there."""
    times: dict[int, float] = {}
    for each in shown if isinstance(shown, list) else ():
        number, at = (each.get("conversationHistoryIndex"), each.get("ts")) if isinstance(each, dict) else (None, None)
        if isinstance(number, int) and isinstance(at, int | float):
            times.setdefault(number, at)
    return times


def _message(message: Any, at: float | None) -> Any:  # noqa: ANN401 - any JSON
    """A message without what is heavy or may change; what is none stays as it is."""
    if not isinstance(message, dict):
        return {"role": f"({type(message).__name__})"}
    made = {name: message[name] for name in _KEPT if message.get(name) is not None}
    made.setdefault("ts", at)
    told = message.get("modelInfo")
    made["model"] = (told.get("id") or told.get("modelId")) if isinstance(told, dict) else None
    content = message.get("content")
    made["content"] = [_slim(part) for part in content] if isinstance(content, list) else content
    return {name: value for name, value in made.items() if value is not None}


def _slim(part: Any, depth: int = 2) -> Any:  # noqa: ANN401 - any JSON
    """A part of a message without pictures and thoughts; a result has parts too."""
    if not isinstance(part, dict):
        return part
    if part.get("type") in _HEAVY:
        return {"type": part["type"]}
    inner = part.get("content")
    if not depth or not isinstance(inner, list):
        return part
    return {**part, "content": [_slim(each, depth - 1) for each in inner]}

"""Whose log is it, and what does a record mean: one source for each agent, lines in, events out."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from msgspec import Raw, Struct, field

from selfdistill.sources.base import Parser, Source
from selfdistill.sources.claude_code import ClaudeCode
from selfdistill.sources.claude_records import STATE_RECORDS
from selfdistill.sources.codex import Codex
from selfdistill.sources.decoding import coerce, read_tolerantly
from selfdistill.sources.role_content import RoleContent

__all__ = ["SOURCES", "Parser", "Source", "for_path"]

_CLAUDE: Final = ClaudeCode()
_CODEX: Final = Codex()
_ROLE_CONTENT: Final = RoleContent()

SOURCES: Final[tuple[Source, ...]] = (_CLAUDE, _CODEX, _ROLE_CONTENT)

_CODEX_TYPES: Final = frozenset({"session_meta", "response_item", "event_msg", "turn_context", "compacted"})
_CLAUDE_TYPES: Final = frozenset({"user", "assistant", "system", "attachment", "progress", "queue-operation"})


class _Glance(Struct):
    """What tells the kinds of logs apart."""

    type: str | None = None
    uuid: str | None = None
    sessionId: str | None = None  # noqa: N815 - the log's own name
    role: str | None = None
    payload: Raw = field(default_factory=Raw)
    message: Raw = field(default_factory=Raw)
    instructions: Raw = field(default_factory=Raw)
    record_type: str | None = None


def for_path(path: PurePath, first_lines: bytes) -> Source | None:
    """Return the source of a file that a person names, None where it is nobody's.

    By place and name where these say it, else by the first lines, of which the last may be cut.
    """
    return _by_place(path) or _by_content(first_lines)


def _by_place(path: PurePath) -> Source | None:
    """The source whose name or directory the path carries."""
    if _ROLE_CONTENT.owns(path):
        return _ROLE_CONTENT
    if _CODEX.owns(path):
        return _CODEX
    parts = path.parts
    below_claude = "projects" in parts and bool({".claude", "claude"} & set(parts))
    return _CLAUDE if below_claude and _CLAUDE.owns(path) else None


def _by_content(first_lines: bytes) -> Source | None:
    """The source that the first telling record belongs to."""
    for line in first_lines.split(b"\n"):
        for found in read_tolerantly(line)[0]:
            if isinstance(found.value, dict) and (source := _by_record(coerce(found.value, _Glance))):
                return source
    return None


def _by_record(record: _Glance) -> Source | None:
    """The source that one record belongs to."""
    if (record.type in _CODEX_TYPES and bytes(record.payload)) or record.record_type or bytes(record.instructions):
        return _CODEX
    if record.sessionId or (record.uuid and record.type in _CLAUDE_TYPES) or record.type in STATE_RECORDS:
        return _CLAUDE
    if record.role or (record.type in {"user", "assistant", "human", "tool_call"} or bytes(record.message)):
        return _ROLE_CONTENT
    return None

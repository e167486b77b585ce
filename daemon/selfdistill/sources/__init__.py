"""Whose log is it, and what does a record mean: one source for each agent, lines in, events out."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from selfdistill.sources.base import Parser, Source
from selfdistill.sources.claude_code import ClaudeCode
from selfdistill.sources.codex import Codex
from selfdistill.sources.role_content import RoleContent

__all__ = ["SOURCES", "Parser", "Source", "for_path"]

SOURCES: Final[tuple[Source, ...]] = (ClaudeCode(), Codex(), RoleContent())

# Who takes the least for its own is asked first: many write what Claude Code writes too, and a role has everybody.
_ASKED: Final = (*SOURCES[2:-1], SOURCES[1], SOURCES[0], SOURCES[-1])


def for_path(path: PurePath, head: bytes) -> Source | None:
    """Return the source of a file that a person names, None where it is nobody's: by its place or its first bytes."""
    return next((source for source in _ASKED if source.claims(path, head)), None)

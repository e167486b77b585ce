"""Whose log is it, and what does a record mean: one source for each agent, lines in, events out."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from selfdistill.sources.aider import Aider
from selfdistill.sources.amp import Amp
from selfdistill.sources.antigravity import Antigravity
from selfdistill.sources.base import Parser, Source
from selfdistill.sources.claude_code import ClaudeCode
from selfdistill.sources.cline import Cline
from selfdistill.sources.codex import Codex
from selfdistill.sources.copilot_cli import CopilotCli
from selfdistill.sources.crush import Crush
from selfdistill.sources.cursor import Cursor
from selfdistill.sources.droid import Droid
from selfdistill.sources.gemini_cli import GeminiCli
from selfdistill.sources.goose import Goose
from selfdistill.sources.grok import Grok
from selfdistill.sources.kimi import Kimi
from selfdistill.sources.opencode import OpenCode
from selfdistill.sources.pi import OhMyPi, OpenClaw, Pi
from selfdistill.sources.qwen_code import QwenCode
from selfdistill.sources.role_content import RoleContent

__all__ = ["SOURCES", "Parser", "Source", "for_path"]

SOURCES: Final[tuple[Source, ...]] = (
    ClaudeCode(),
    Codex(),
    GeminiCli(),
    QwenCode(),
    OpenCode(),
    CopilotCli(),
    Cline(),
    Cursor(),
    Aider(),
    Goose(),
    Amp(),
    Droid(),
    Crush(),
    Pi(),
    OhMyPi(),
    OpenClaw(),
    Kimi(),
    Grok(),
    Antigravity(),
    RoleContent(),
)

# Who takes the least for its own is asked first: many write what Claude Code writes too, and a role has everybody.
_ASKED: Final = (*SOURCES[2:-1], SOURCES[1], SOURCES[0], SOURCES[-1])


def for_path(path: PurePath, head: bytes) -> Source | None:
    """Return the source of a file that a person names, None where it is nobody's: by its place or its first bytes."""
    return next((source for source in _ASKED if source.claims(path, head)), None)

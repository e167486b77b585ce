"""Who wrote a user record of Claude Code: a person, or one of the many programs that speak as the user."""

from __future__ import annotations

import re
from typing import Final

from selfdistill.sources.claude_records import Record

INTERRUPT: Final = "[Request interrupted by user"
_PROGRAM: Final = (
    "<task-notification",
    "<agent-notification",
    "<command-",
    "<local-command-",
    "<bash-",
    "<teammate-message",
    "<cross-session-message",
    "<channel",
    "<tick",
    "<mcp-",
    "<fork-",
    "<retrieval_status",
    "<user-memory-input",
    "<remote-",
    "<system-reminder",
    "<ide_",
    "Caveat:",
    "This session is being continued from a previous conversation",
    "Stop hook feedback:",
    "Base directory for this skill:",
    "[SUGGESTION MODE",
    "API Error",
    "Unknown skill:",
    "Unknown slash command:",
    "Operation stopped by hook",
)
_HUMAN_ORIGINS: Final = frozenset({"human", "cli", "user"})
_COMMAND: Final = re.compile(r"<command-name>\s*/?(.*?)\s*</command-name>", re.DOTALL)
_ARGUMENTS: Final = re.compile(r"<command-args>\s*(.*?)\s*</command-args>", re.DOTALL)
_SLASH: Final = re.compile(r"/[\w:.-]+(\s|$)")
_PLAN: Final = "Implement the following plan:"


def written_by_program(record: Record) -> bool:
    """Whether the record's own marks say that no person typed it."""
    origin = record.origin
    return bool(
        record.isMeta
        or record.isVisibleInTranscriptOnly
        or record.promptSource == "sdk"
        or (origin is not None and origin.kind and origin.kind not in _HUMAN_ORIGINS)
    )


def text_of_program(text: str) -> bool:
    """Whether a user's text is one of those that programs write (formats.md 2.5)."""
    return text.lstrip().startswith(_PROGRAM)


def accepted_plan(record: Record, text: str) -> bool:
    """Whether the text is a plan the agent wrote and the user accepted with one key: a prompt nobody typed."""
    return record.planContent is not None and text.startswith(_PLAN)


def queued_by_program(text: str) -> bool:
    """Whether a queued text is no prompt: a notification, or a slash command such as /model."""
    return text_of_program(text) or bool(_SLASH.match(text.lstrip()))


def slash_command(text: str) -> tuple[str, str] | None:
    """Return name and arguments of a slash command's record, None where it is none."""
    name = _COMMAND.search(text) if "<command-name>" in text else None
    if name is None:
        return None
    arguments = _ARGUMENTS.search(text)
    return name[1], arguments[1] if arguments else ""

"""What a tool result of Claude Code says beside its text: exit code, refusal by a person, refusal by a rule."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

from selfdistill.sources.claude_records import Part
from selfdistill.sources.decoding import exit_status

_EXIT_CODE: Final = re.compile(r"Exit code (\d{1,10})(?:\r?\n|$)")
_TOOL_ERROR: Final = "<tool_use_error>"
_REJECTED: Final = (
    "The user doesn't want to proceed with this tool use",
    "The user doesn't want to take this action right now",
    "User rejected tool use",
    "Error: User rejected tool use",
    "The tool use was rejected",
    "The user rejected this tool use",
)
_DENIED: Final = re.compile(
    r"Permission to use .{1,2000}? has been denied|Claude requested permissions? to .{1,2000}? haven't granted it"
    r"|Permission for this action has been denied|.{0,40}blocked by (?:a )?(?:hook|policy|permission)",
    re.DOTALL,
)
_FEEDBACK: Final = re.compile(
    r"(?:the user said:|provided the following reason for the rejection:)\s*(.*?)"
    r"(?:\s*Note: The user's next message may contain a correction.*)?\Z",
    re.DOTALL | re.IGNORECASE,
)


class Refusal(Enum):
    """Who kept a call from running."""

    NONE = 0
    PERSON = 1
    RULE = 2


class Outcome(NamedTuple):
    """A tool result without its wrapping."""

    text: str
    exit_code: int | None
    refusal: Refusal
    feedback: str  # PERSON: what the user said about it, "" for nothing


def result_text(content: str | list[Part] | None) -> str:
    """Return the text parts of a result joined by newlines; pictures are left out."""
    if isinstance(content, str):
        return content
    return "\n".join(part.text for part in content if part.text) if content else ""


def failed(text: str, denial: str, feedback: str) -> Outcome:
    """Return what a result says that the log marks as an error; `denial` and `feedback` are the record's own fields."""
    if denial == "user-rejected" or (not denial and text.startswith(_REJECTED)):
        found = _FEEDBACK.search(text)
        return Outcome(text, None, Refusal.PERSON, feedback or (found[1].strip() if found else ""))
    if denial or _DENIED.match(text):
        return Outcome(text, None, Refusal.RULE, "")
    if text.startswith(_TOOL_ERROR):
        return Outcome(_unwrapped(text), None, Refusal.NONE, "")
    code = _EXIT_CODE.match(text)
    if code:
        return Outcome(text[code.end() :], exit_status(int(code[1])), Refusal.NONE, "")
    return Outcome(text, None, Refusal.NONE, "")


def _unwrapped(text: str) -> str:
    """The words of a harness error without the tag around them."""
    return text.removeprefix(_TOOL_ERROR).rstrip().removesuffix("</tool_use_error>").strip()

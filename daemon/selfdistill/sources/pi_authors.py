"""Which text of a pi or OpenClaw user message a person typed: the rest is put there by expansions and channels."""

from __future__ import annotations

import re
from typing import Final

_EXPANDED: Final = re.compile(r"<(skill|file) name=\"[^\n>]*>.*?</\1>", re.DOTALL)
# OpenClaw: JSON about the sender, then the channel and time in brackets, before what was typed.
_METADATA: Final = re.compile(r"\A\s*[^\n]{1,80}\(untrusted[^\n)]{0,60}\):\s*```json\n.*?\n```\s*", re.DOTALL)
_ENVELOPE: Final = re.compile(
    r"\A\s*\[(?:[^\]\n]{0,120}\s)?(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d{4}-\d\d-\d\d[^\]\n]{0,40}\]\s*"
)
_NOTE: Final = re.compile(r"^\[(?:media attached|message_id|reply_to_current)[^\]\n]*\]\s*$", re.MULTILINE)
_PROGRAMS: Final = (
    "Read HEARTBEAT.md if it exists",
    "[cron:",
    "System: [",
    "[Subagent Context]",
    "[Subagent Task]",
    "A new session was started via /new or /reset",
    "Pre-compaction memory flush",
    "[Inter-session message]",
)


def typed_text(text: str) -> str:
    """Return what a person typed of a user's message, "" where a program wrote all of it."""
    typed = _EXPANDED.sub("", text) if "</" in text else text
    while "(untrusted" in typed[:100] and (found := _METADATA.match(typed)):
        typed = typed[found.end() :]
    typed = _ENVELOPE.sub("", typed, count=1)
    if typed.lstrip().startswith(_PROGRAMS):
        return ""
    return _NOTE.sub("", typed) if "[m" in typed or "[r" in typed else typed

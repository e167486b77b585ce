"""Text made fit for SQLite and terminals."""

from __future__ import annotations

import re
from typing import Final

# A whole escape sequence first (CSI; then strings such as OSC up to BEL, ST or the end of the line; then short ones),
# then what is left of control characters. C1 controls (0x80-0x9f) act as escapes on some terminals.
_SCRUBBED: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*+(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*+[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def scrub(text: str) -> str:
    """The text without escape sequences and control characters but newline and tab; lone surrogates become U+FFFD.

    Linear in the length of the text; the same text comes back when there is nothing to do.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _SCRUBBED.sub("", text)
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)

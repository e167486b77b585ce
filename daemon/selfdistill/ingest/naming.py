"""Paths as text for people."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePath

FIRST_ESCAPED_BYTE = 0xDC80  # PEP 383: an undecodable byte 0x80..0xFF becomes U+DC80..U+DCFF
LAST_ESCAPED_BYTE = 0xDCFF


def printable(path: PurePath | str) -> str:
    r"""A path on one line, safe to print and to encode: control characters, bidi marks and bad bytes as escapes.

    A newline shows as `\n`, a byte that is not UTF-8 as `\xNN`, a backslash as `\\`, so two paths never look alike.
    """
    text = os.fspath(path)
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    code = ord(character)
    if FIRST_ESCAPED_BYTE <= code <= LAST_ESCAPED_BYTE:
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable() and character != "\\":
        return character
    return character.encode("unicode_escape").decode("ascii")

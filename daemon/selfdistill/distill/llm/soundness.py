"""Whether a text of the model is fit to be kept and shown to agents and people; says what is wrong with it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from selfdistill.distill.llm.excerpts import INVISIBLE


class Refusal(StrEnum):
    """Why an operation of the model is not applied."""

    SHAPE = "shape"
    TOO_MANY = "too_many"
    EMPTY = "empty"
    TOO_LONG = "too_long"
    CONFIDENCE = "confidence"
    CONTROL_CHARACTERS = "control_characters"
    INVISIBLE_CHARACTERS = "invisible_characters"
    MARKUP = "markup"
    HOME_PATH = "home_path"
    SECRET = "secret"  # noqa: S105 - a reason, not a secret
    NO_QUOTE = "no_quote"
    QUOTE_TOO_SHORT = "quote_too_short"
    UNKNOWN_RECORD = "unknown_record"
    QUOTE_NOT_FOUND = "quote_not_found"
    UNKNOWN_LESSON = "unknown_lesson"
    UNTRUSTED = "untrusted"
    DUPLICATE = "duplicate"
    CONFLICTING = "conflicting"


# Line breaks and tabs are white space and get folded; everything else below blank, DEL, C1, and lone surrogates.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_CODE: Final = re.compile(r"`[^`]*`")
# What closes or opens a block wherever it stands, also in code: the text may be put inside tags of ours.
_ALWAYS_MARKUP: Final = re.compile(
    r"</|<!|<\?|```|~~~|\]\(|<\s*(?:script|style|iframe|img|svg|system|selfdistill)\b", re.IGNORECASE
)
_MARKUP: Final = re.compile(r"<[A-Za-z]|&(?:#\w+|[A-Za-z]+);|!\[|^\s*(?:#{1,6}\s|>|[-*+]\s|\|)|\[[^\]]*\]:")
_HOME: Final = re.compile(r"(?:/home/|/Users/|/root/|\b[A-Za-z]:[\\/]+Users[\\/])[^\s`'\"]", re.IGNORECASE)


def unprintable(text: str) -> Refusal | None:
    """Characters that a terminal obeys or a reader does not see."""
    if _CONTROL.search(text):
        return Refusal.CONTROL_CHARACTERS
    return Refusal.INVISIBLE_CHARACTERS if INVISIBLE.search(text) else None


def unsound(text: str, limit: int) -> Refusal | None:
    """What is wrong with a lesson's text, white space folded already; None if nothing is."""
    if len(text) > limit:
        return Refusal.TOO_LONG
    if bad := unprintable(text):
        return bad
    if _ALWAYS_MARKUP.search(text) or text.count("`") % 2 or _MARKUP.search(_CODE.sub("", text)):
        return Refusal.MARKUP
    return Refusal.HOME_PATH if _HOME.search(text) else None

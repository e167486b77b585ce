"""Commands and errors as people read them in a lesson: the general form, not the instance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

MAX_COMMAND: Final = 160

_PLACEHOLDERS: Final = (
    (re.compile(r"https?://\S+"), "<url>"),
    (re.compile(r"(?=[0-9a-f]*\d)[0-9a-f]{7,40}"), "<hash>"),
    (re.compile(r"#?\d+"), "<n>"),
)
_LONG_QUOTED: Final = re.compile(r"""(?P<head>[\w-]*=?)(?P<quote>["']).{40,}(?P=quote)""", re.DOTALL)


def code(text: str) -> str:
    """Text as inline code on one line."""
    flat = " ".join(text.split())
    return f"`{flat}`" if "`" not in flat else f"`` {flat} ``"


def general_words(words: Sequence[str], keep: Collection[str] = ()) -> str:
    """A command with its instance-specific words (long texts, numbers, hashes, URLs) as placeholders.

    Words in `keep`, the ones that matter, stay as they are.
    """
    shown = [word if word in keep else general_word(word) for word in words]
    text = " ".join(shown)
    return text if len(text) <= MAX_COMMAND else text[: MAX_COMMAND - 2].rsplit(" ", 1)[0] + " …"


def general_word(word: str) -> str:
    """One word in its general form."""
    long_text = _LONG_QUOTED.fullmatch(word)
    if long_text:
        return f"{long_text['head']}<text>"
    for expression, placeholder in _PLACEHOLDERS:
        if expression.fullmatch(word):
            return placeholder
    return word


def sentence(text: str) -> str:
    """Text as one sentence: white space folded, a capital first, a full stop last."""
    flat = " ".join(text.split()).strip()
    if not flat:
        return ""
    flat = flat[0].upper() + flat[1:]
    return flat if flat[-1] in ".!?`" else f"{flat}."


def merge_key(rule: str, *parts: str) -> str:
    """What makes findings one lesson: the rule and what it is about, never the wording."""
    return "\x1f".join((rule, *parts))


def folded(text: str) -> str:
    """Text for merge keys: case, punctuation and white space folded; numbers and negations kept."""
    return " ".join(re.sub(r"[^\w'/@.+-]+", " ", text.casefold()).split()).strip(".")

"""Commands and errors as people read them in a lesson: the general form, not the instance."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

MAX_COMMAND: Final = 160

_PLACEHOLDERS: Final = (
    (re.compile(r"https?://\S+"), "<url>"),
    (re.compile(r"(?=[0-9a-f]*\d)[0-9a-f]{7,40}"), "<hash>"),
    (re.compile(r"#?\d+"), "<n>"),
    (
        re.compile(r"[\"']?(?:~|/Users/|/home/|/root/|/private/|/tmp/|/var/folders/|/mnt/|[A-Za-z]:[\\/])[^\s]*"),
        "<path>",
    ),
)
_NUMBER_IN_PATH: Final = re.compile(r"(?<=/)\d+(?=[/?]|$)")
_LITTER: Final = (
    (re.compile(r"(?<![\w.])(?:~|/Users|/home|/root|/private|/tmp|/var/folders|/mnt)(?:/[\w.@+-]+)*/(?=[\w.@+-])"), ""),
    (re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{7,40}\b"), "<hash>"),
    (re.compile(r"(?<=line )\d+|(?<=\w:)\d+(?::\d+)?(?=:|$)"), "<n>"),
    (_NUMBER_IN_PATH, "<n>"),
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
    shown = [_NUMBER_IN_PATH.sub("<n>", word) if word in keep else general_word(word) for word in words]
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
    return _NUMBER_IN_PATH.sub("<n>", word)


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


def message(line: str) -> str:
    """An error line as a lesson quotes it: on one line, places and hashes of this one session left out."""
    flat = " ".join(line.split())
    for expression, placeholder in _LITTER:
        flat = expression.sub(placeholder, flat)
    return flat[:MAX_COMMAND]


def within(path: str, cwd: str, root: str) -> str:
    """A path as seen from the project's root, "" if it lies elsewhere: a home or a temporary file is no fact about it.

    `root` is the topmost directory that the session has worked in; in a git worktree the directory counts instead.
    """
    if path.startswith(("~", "$")) or "\\" in path:
        return ""
    base = cwd if not root or "worktrees/" in cwd else root
    full = posixpath.normpath(posixpath.join(cwd, path))
    return full[len(base) + 1 :] if len(base) > 1 and full.startswith(f"{base}/") else ""

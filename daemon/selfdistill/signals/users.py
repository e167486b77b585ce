"""The rules of work that people state: "use X, not Y", "never ...", "always ...". English only."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct


class StatedRule(Struct, frozen=True):
    """A rule of work in a person's words: the sentence, and what to use in place of what where it says so.

    `durable`: the sentence states its own scope ("in this repo", "from now on"), so one telling is enough.
    """

    sentence: str
    use: str = ""
    instead_of: str = ""
    durable: bool = False


_MAY_STATE: Final = re.compile(
    r"\b(?:use|uses|prefer|always|never|ever|make sure|we (?:don'?t|do not)|remember)\b", re.IGNORECASE
)
_SENTENCE: Final = re.compile(r"[^.!?\n]+(?:\.(?=\S)[^.!?\n]+)*[.!?]?")
_WORD: Final = r"[\"'`]?(?P<{}>[\w@./+-]+(?: (?!instead|rather|not|for|to|when|in|because)[\w@./+-]+){{0,2}})[\"'`]?"
_SUBSTITUTIONS: Final = (
    re.compile(rf"\buse {_WORD.format('use')},? (?:instead of|rather than|and not|not|over) {_WORD.format('old')}", re.IGNORECASE),
    re.compile(rf"\b(?:do not|don'?t|never) use {_WORD.format('old')}[,;:. -]+(?:please )?use {_WORD.format('use')}", re.IGNORECASE),
    re.compile(rf"\bprefer {_WORD.format('use')} (?:over|to|instead of) {_WORD.format('old')}", re.IGNORECASE),
    re.compile(rf"^(?:no|nope|stop|wait)[,.!]* (?:please )?use {_WORD.format('use')}(?:$|[.!,]| instead)", re.IGNORECASE),
    re.compile(rf"\b(?:we|this (?:repo|project|codebase)) uses? {_WORD.format('use')},? not {_WORD.format('old')}", re.IGNORECASE),
    re.compile(rf"\bthis (?:repo|project|codebase) uses {_WORD.format('use')}", re.IGNORECASE),
)  # fmt: skip
_SCOPE: Final = re.compile(
    r"\b(?:from now on|going forward|in (?:this|our) (?:repo|repository|project|codebase|code base|team)|"
    r"for (?:this|all) (?:repo|project|future)|as a (?:general )?rule|(?:this|our) (?:repo|project|codebase) (?:uses?|always|never)|"
    r"every time|remember(?: that| to|:)|in (?:the )?future)\b",
    re.IGNORECASE,
)
_IMPERATIVE: Final = re.compile(
    r"\b(?:always|never|don'?t ever|make sure (?:to|you|that you) (?:always|never)?|we (?:always|never|prefer|(?:don'?t|do not) (?:use|want|do|put|commit|push|write|add|allow)))\b",
    re.IGNORECASE,
)
_MANNERS: Final = re.compile(
    r"^\W*(?:ok(?:ay)?|yes|yeah|no|also|and|so|but|please|hm+|ah|oh|btw|well|thanks?)\b[\s,.!:-]*", re.IGNORECASE
)
_TYPED: Final = 2_000  # longer turns are pasted
_LONGEST: Final = 220
_SHORTEST: Final = 12


@lru_cache(maxsize=8)  # asked for the rules themselves, and to see whether they are followed
def stated_rules(text: str) -> tuple[StatedRule, ...]:
    """The rules of work that a person's turn states: few, because "always" in a sentence is no evidence by itself.

    Pasted text (code fences, lists, long turns) and questions state none.
    """
    if len(text) > _TYPED or "```" in text or not _MAY_STATE.search(text):
        return ()
    return tuple(rule for match in _SENTENCE.finditer(text) if (rule := _rule(match.group().strip())))


def _rule(sentence: str) -> StatedRule | None:
    """The rule in one sentence, or None."""
    if (
        not _SHORTEST <= len(sentence) <= _LONGEST
        or sentence.endswith("?")
        or sentence.startswith(("-", "*", ">", "#", "|"))
    ):
        return None
    plain = _MANNERS.sub("", sentence).strip()
    durable = bool(_SCOPE.search(sentence))
    for expression in _SUBSTITUTIONS:
        found = expression.search(sentence)
        if found:
            groups = found.groupdict()
            return StatedRule(plain, use=_bare(groups.get("use")), instead_of=_bare(groups.get("old")), durable=durable)
    if _IMPERATIVE.search(sentence) and (
        durable or re.match(r"(?:always|never|don'?t ever|we |make sure)", plain, re.IGNORECASE)
    ):
        return StatedRule(plain, durable=durable)
    return None


def _bare(words: str | None) -> str:
    """A program's name as it was said, without the end of the sentence."""
    return (words or "").strip(" .,;:!")

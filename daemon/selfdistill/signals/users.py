"""What a person's turn says about the work before it, and the rules of work that people state.

English only: a text without the English words looked for stays NEUTRAL, so that other languages abstain.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from selfdistill.signals.steps import TurnKind

_HEAD: Final = 400  # characters: people say what they think of the work at the beginning

# For text in lower case: that is twice as fast as telling the expressions to ignore case.
_PRAISE: Final = re.compile(
    r"^\W*(?:(?:that'?s |this is |it'?s |looks? |works? |very |really |so )*"
    r"(?:great|perfect|awesome|excellent|amazing|fantastic|brilliant|beautiful|nice|love it|well done|good job|wonderful))\b",
)
_APPROVAL: Final = re.compile(
    r"^\W*(?:yes|yep|yeah|yup|ok|okay|sure|sounds good|looks good|lgtm|go ahead|go for it|proceed|continue|do it|"
    r"please do|please proceed|approved?|correct|exactly|agreed?|ship it|commit(?: this| it| and push)?|push(?: it)?|"
    r"let'?s (?:do|go|commit|push|proceed|continue|start|implement)|works(?: now| great| well)?|"
    r"that works|it works|implement (?:it|this|the plan)|merge it|thanks|thank you|ty)\b",
)
_CORRECTION: Final = re.compile(
    r"^\W*(?:no[,.! ]|nope|not (?:quite|what|that|like)|wrong|stop\b|don'?t\b|do not\b|wait[,. ]|hold on|actually[, ]|"
    r"revert\b|undo\b|that'?s (?:not|wrong|incorrect)|this is (?:not|wrong|incorrect)|it'?s not\b|why (?:did|are|do|would) you\b|"
    r"you (?:should(?:n'?t| not)|forgot|missed|didn'?t|broke|removed|deleted|changed|are wrong|misunderstood)|"
    r"i (?:said|meant|told you|asked|didn'?t (?:ask|say|want)|don'?t (?:want|like|think))|"
    r"instead of\b|we (?:don'?t|shouldn'?t|should not|already)\b|hm+,? (?:no|i)\b|nah\b|please don'?t\b)",
)
_CONTRADICTION: Final = re.compile(
    r"\b(?:you (?:forgot|missed|broke|misunderstood|removed|were supposed|should have|shouldn'?t have)|"
    r"that'?s (?:not (?:right|correct|what|true|how)|wrong|incorrect)|"
    r"(?:is|was|are|were) (?:not (?:what|correct|right)|wrong|incorrect)|not what i (?:meant|asked|wanted)|"
    r"i (?:meant|said|told you)|i would have expected|please (?:revert|undo)|don'?t (?:do|change|touch|add|remove|use|need)|"
    r"use .{2,40} instead|instead of\b|should(?:n'?t| not) (?:be|have|do|use|need)|no need (?:to|for))\b",
)
_FAILURE: Final = re.compile(
    r"\b(?:(?:still|does ?n[o']?t|doesn'?t|did ?n[o']?t|isn'?t|not|never|no longer|stopped) work(?:s|ing|ed)?\b|"
    r"still (?:fail|broken|see|get|happen|not|the same|an? |there|have|seeing|getting|failing|wrong|show)\w*|"
    r"(?:it|this|that|build|tests?|lint|ci|pipeline|linter|job|check)s? (?:is |are |was |were )?(?:now |still )?"
    r"(?:fail(?:s|ed|ing)?|broken|broke|crash(?:es|ed|ing)?|errors?(?: out)?|erroring|red|hang(?:s|ing)?|hung)\b|"
    r"(?:i(?:'m| am)?|we(?:'re| are)?) (?:get(?:ting)?|got|see(?:ing)?|saw|hit(?:ting)?) (?:an?|the|this|these|some|lots of)?\s*"
    r"(?:\w+ ){0,3}(?:error|errors|failure|failures|exception|warning|warnings|issue)|"
    r"nothing (?:happens|happened|changed|works)|same (?:error|issue|problem|result)|there(?:'s| is| are) (?:still|an? error|a bug))",
)
_PASTED_ERROR: Final = re.compile(
    r"^(?:Traceback \(most recent|\s*(?:error|fatal|panic|FAIL|ERROR|E  )[:\[ ]|--- FAIL|npm ERR|\S+:\d+(?::\d+)?: )",
    re.MULTILINE,
)
_FINDING: Final = re.compile(
    r"(?:\b(?:bugbot|copilot|coderabbit|reviewer|review comment|code review|PR (?:comment|feedback|review))\b|"
    r"^#{1,4} .{0,80}\n|\b(?:severity|suggestion|recommendation|nitpick|potential issue)\b:?)",
    re.IGNORECASE | re.MULTILINE,
)
_QUESTION: Final = re.compile(
    r"^\W*(?:why|what|how|where|when|which|who|is|are|do|does|did|can|could|should|would|will|have|has|was|were|so )\b",
)


def read_turn(text: str, *, first: bool, interrupted: bool, rejected: bool) -> TurnKind:
    """What a turn says of the work before it.

    `first`: nothing came before, so nothing can be corrected. `rejected`: the words with which a call was refused.
    """
    head = text.strip()[:_HEAD].lower()
    if not head or first:
        return TurnKind.NEUTRAL
    if _CORRECTION.match(head):
        return TurnKind.CORRECTION
    if _FAILURE.search(head) or (_PASTED_ERROR.search(text[:2000]) and len(text) > 2 * len(head.splitlines()[0])):
        return TurnKind.FAILURE_REPORT
    if len(text) > _HEAD and _FINDING.search(text[:1000]):
        return TurnKind.FINDING
    return _milder(head, interrupted=interrupted, rejected=rejected)


def _milder(head: str, *, interrupted: bool, rejected: bool) -> TurnKind:
    """The turns that contradict nothing outright."""
    if _CONTRADICTION.search(head):
        return TurnKind.CORRECTION
    if _PRAISE.match(head):
        return TurnKind.PRAISE
    if _APPROVAL.match(head) and not rejected:
        return TurnKind.APPROVAL
    if _QUESTION.match(head) or head.endswith("?"):
        return TurnKind.QUESTION
    return TurnKind.REFINEMENT if rejected or interrupted else TurnKind.NEUTRAL


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

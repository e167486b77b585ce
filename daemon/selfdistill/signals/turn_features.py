"""The marks of a person's turn: cues in the own words, traits of what was pasted, and what stood before it.

A mark is there or not, so that its weight in `turn_weights.py` is the log-odds that it adds.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from selfdistill.signals.turn_cues import CUES
from selfdistill.signals.turn_parts import Parts, analyses_code, holds_error, is_impersonal, parts

HEAD: Final = 600  # characters of the own words: people say what they think of the work at the beginning
BEFORE: Final = 600  # of the agent's last words: what it claims and asks stands at their end
ENDING: Final = 240  # where a question or an offer is the last thing that was said
BRIEF: Final = 25  # characters: "yes", "commit and push"
SHORT: Final = 80
LONG: Final = 400


class TurnContext(Struct, frozen=True, omit_defaults=True):
    """What stood before a turn: the end of the agent's last text, and what the person had just done.

    `first`: the turn opens the session. `rejected`: the turn is the words with which a call was refused.
    """

    before: str = ""
    first: bool = False
    interrupted: bool = False
    rejected: bool = False


# For lower case.
_ASKED: Final = re.compile(
    r"\?|\b(?:let me know|(?:shall|should) (?:i|we)\b|want me to|would you (?:like|prefer)|ready (?:to|for|when)|"
    r"if you(?:'d)? (?:want|like|prefer|approve|agree)|say (?:the word|go|yes)|waiting for|approve|"
    r"your (?:call|choice|approval))",
)
_WANTS_OUTPUT: Final = re.compile(
    r"\b(?:paste|share|send me|show me|what (?:do you see|does it (?:say|show|print))|let(?:'s| me) (?:see|know what)|"
    r"(?:run|try) (?:it|this|that|the \w+|again|\S+ again)|tell me (?:what|if)|can you (?:run|try|check|share)|"
    r"please run|output of)",
)
_CLAIMED: Final = re.compile(
    r"\b(?:done|fixed|completed?|implemented|success(?:ful|fully)?|resolved|should now|now (?:works?|correctly|"
    r"properly|passes|passing|uses?|shows?|handles?|supports?)|pass(?:es|ed|ing)?|all (?:tests|checks|green|set)|added|"
    r"updated|removed|refactored|created|committed|pushed|ready)\b|[✅✓]",
)
_SUPPOSED: Final = re.compile(r"\b(?:if|unless|whether|in case|once|so that|make sure|ensure|until)\b[^.,;:?!\n)]*")

# What these say must be said to be so: "if it does not work" reports nothing.
_REPORTS: Final = frozenset({
    *("not_working", "failing", "met_error", "absence", "regression"),
    *("wrongness", "taking_back", "unwanted", "negation", "expectation", "disappointment"),
})  # fmt: skip
# What asks the agent for something or answers it; any other turn tells how things are.
_ADDRESSED: Final = frozenset({
    *("request", "later_request", "repair_order", "asking", "asking_why", "ends_asking", "document"),
    *("yes", "go", "lets", "deliver", "choice", "praise", "thanks", "works"),
})  # fmt: skip
_DISSENT: Final = frozenset({
    *("denial", "halt", "however", "blame", "wrongness", "not_working", "failing", "still", "met_error"),
})  # fmt: skip
_ASSENT: Final = frozenset({"yes", "go", "praise", "thanks", "works"})
_JUDGING: Final = frozenset({
    *("advice", "analysis", "review", "severity", "negation", "substitution", "expectation", "complaint", "however"),
}) | _DISSENT  # fmt: skip
# What a person says who stops the agent to send it another way, rather than to add something.
_REDIRECTION: Final = frozenset({
    *("halt", "substitution", "denial", "however", "taking_back", "unwanted", "wrongness", "surprise"),
})  # fmt: skip


def marks(text: str, context: TurnContext) -> frozenset[str]:
    """The names of the marks that a turn has."""
    return marks_of(text, parts(text), context)


def marks_of(text: str, taken_apart: Parts, context: TurnContext) -> frozenset[str]:
    """The same for a turn that has been taken apart."""
    words, pasted = taken_apart
    found = _cues(words[:HEAD]) | _traits(text, words, pasted) | _situation(context)
    if "denial" in found and "asked" in found:  # an answer to a question contradicts nobody
        found.remove("denial")
        found.add("denial_as_answer")
    if "impersonal" not in found:  # a reviewer's voice is nobody's
        found.discard("advice")
    if not found & _JUDGING:  # nobody's voice that judges nothing is a paste
        found.discard("impersonal")
    if words and not found & _ADDRESSED:
        found.add("statement")
        if "asked" in found and not found & _DISSENT and "negation" not in found:
            found.add("answer")
    if "broke_in" in found and found & _REDIRECTION:
        found.add("redirected")
    if {"asked", "request"} <= found and not found & {"ends_asking", "asking"}:
        found.add("task_when_asked")
    if found & _DISSENT and found & _ASSENT:
        found.add("mixed")
    return frozenset(found)


def _cues(words: str) -> set[str]:
    """The cues in the words; reports only in what is not a supposition."""
    asserted = _SUPPOSED.sub(" ", words)
    found = set()
    for name, stems, is_there in CUES:
        for stem in stems:
            if stem in words:
                break
        else:
            if stems:
                continue
        if is_there(asserted if name in _REPORTS else words):
            found.add(name)
    return found


def _traits(text: str, words: str, pasted: str) -> set[str]:
    """What a turn is made of: how long, what was pasted, and in whose voice."""
    length = len(words)
    found = {"brief" if length <= BRIEF else "short" if length <= SHORT else "long" if length > LONG else "medium"}
    if pasted:
        found.add("pasted")
    if holds_error(text, words):
        found.add("pasted_error")
        if length <= SHORT:
            found.add("error_alone")
    if analyses_code(text, words):
        found.add("analysis")
    if length > SHORT and is_impersonal(words):
        found.add("impersonal")
    return found


def _situation(context: TurnContext) -> set[str]:
    """What stood before the turn."""
    found = set()
    before = context.before[-BEFORE:].lower()
    ending = before[-ENDING:]
    if _ASKED.search(ending):
        found.add("asked")
    if _WANTS_OUTPUT.search(ending):
        found.add("output_wanted")
    if _CLAIMED.search(before):
        found.add("claimed")
    if context.interrupted or context.rejected:
        found.add("broke_in")
    return found

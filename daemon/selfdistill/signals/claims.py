"""Claims of the agent that a check passes, and whether the log contradicts them.

"All tests pass" said while the last run failed is the commonest inaccurate self-report of coding agents (signals.md,
S7). Hedged, conditional and planned sentences claim nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from selfdistill.signals.faults import holds_any

if TYPE_CHECKING:
    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import Statement, Step

_CUES: Final = ("pass", "Pass", "PASS", "green", "clean", "succe", "no lint", "No lint")  # no claim goes without
_READ: Final = 4_000  # characters of a statement
_SENTENCE: Final = re.compile(r"[^.!?\n]+[.!?]?")
# For text in lower case: what is claimed, a word that is in every claim, words of which one is, and the claim.
_CLAIMS: Final = (
    (
        "test",
        "test",
        ("pass", "green"),
        re.compile(
            r"\b(?:all|every|the|full) (?:[\w-]+ ){0,3}tests?(?: suite)? (?:are |is |have |now |all |still |also )*"
            r"(?:pass(?:es|ed|ing)?|green)\b|\btests all pass|\ball (?:\d+ )?(?:tests? )?pass"
            r"|^(?:the )?tests? (?:now )?pass(?:es)?\b"
        ),
    ),
    (
        "lint",
        "lint",
        ("pass", "green", "clean", "no "),
        re.compile(
            r"\blint(?:er|ing)?s? (?:is |are |now |all |also )*(?:clean|pass(?:es|ed|ing)?|green)\b"
            r"|\bno (?:more )?lint(?:er|ing)? (?:errors|issues|warnings|problems)"
        ),
    ),
    (
        "build",
        "build",
        ("succe", "pass", "green", "clean"),
        re.compile(r"\bbuild (?:is |now |also )*(?:succeeds|succeeded|successful|passes|passed|green|clean)\b"),
    ),
    (
        "typecheck",
        "type",
        ("pass", "clean"),
        re.compile(r"\btype[- ]?check(?:s|ing)? (?:is |now |also )*(?:clean|pass(?:es|ed|ing)?)\b"),
    ),
)
_HEDGED: Final = re.compile(
    r"\b(?:if|once|until|when|whether|should|would|could|will|make sure|ensure|verify|confirm|check|let me|let's|need|"
    r"before|"
    r"except|but|other than|apart from|pre-?existing|unrelated|not|n't|only|so that|after|expect|hopefully|to see|"
    r"fail\w*|was|were|previously|earlier|assum\w+|goal|plan|todo|step \d)\b|\?$|^\s*(?:[-*] )?(?:\d+\.|\#|\[ ?\])",
    re.IGNORECASE,
)


@lru_cache(maxsize=4)  # the same statement is asked about for its signal and by two rules
def claimed_checks(text: str) -> tuple[tuple[str, str], ...]:
    """The kinds of checks that a text claims to pass, each with the sentence that claims it."""
    if not holds_any(text, _CUES):
        return ()
    lowered = text[:_READ].lower()
    likely = [
        (kind, claim)
        for kind, word, verdicts, claim in _CLAIMS
        if word in lowered and holds_any(lowered, verdicts) and claim.search(lowered)
    ]
    claims: list[tuple[str, str]] = []
    for found in _SENTENCE.finditer(text[:_READ]) if likely else ():
        sentence = found.group().strip(" *`_✅-")
        kinds = [kind for kind, claim in likely if claim.search(sentence.lower())]
        if kinds and not _HEDGED.search(sentence):
            claims += [(kind, sentence) for kind in kinds]
    return tuple(claims)


def contradicted(memory: Memory, statement: Statement) -> tuple[str, str, Step | None]:
    """The check that a statement claims to pass, its sentence, and the last run if that failed; ("", "", None) else.

    For `SignalKind.UNVERIFIED_CLAIM`: a kind without a run means that nothing has checked the last edits.
    """
    unchecked = ("", "", None)
    for kind, sentence in claimed_checks(statement.text):
        run = memory.failing.get(kind)
        if run is not None:
            return kind, sentence, run
        if kind not in memory.ran and memory.edited and not unchecked[0]:
            unchecked = (kind, sentence, None)
    return unchecked

"""A person's turn taken apart: the own words, what was pasted, and how a paste looks that holds an error or a finding."""
# ruff: noqa: E501, RUF001 - expressions are read in one piece; terminals do write these signs

from __future__ import annotations

import re
from typing import Final, NamedTuple

from selfdistill.signals.faults import holds_any

LONGEST: Final = 6_000  # characters that are read of a turn: longer ones are documents
_READ: Final = 2_000  # of those, where findings are looked for
_PARAGRAPH: Final = 120


class Parts(NamedTuple):
    """A turn taken apart: what the person wrote (lower case, plain apostrophes), and what was pasted."""

    words: str
    pasted: str


_FENCE: Final = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_OUTPUT_LINE: Final = re.compile(
    r"\s*(?:[$%|+@│├└─═┌┐✓✔✗✘×❌⚠●⎿❯]|\d{1,2}:\d\d|\d{4}-\d\d-\d\d|\[\w|at \S+[ (]|File \"|Traceback|--- |={3,}|"
    r"(?:\w+\.)*\w*(?:Error|Exception|Warning)\b|(?:error|fatal|panic|warning|info|debug|fail|failed|pass|ok|note|hint)\b\S*[:\[\t]|"
    r"(?:FAIL|PASS|ERROR|WARN|INFO|DEBUG|RUN)\b|(?:npm|make|go|cargo|gcc|bash|zsh|sh)(?:\[\d+\])?: |\S+:\d+(?::\d+)?:?(?:\s|$)|"
    r"[\w./~-]+[#$%] |\d+ \||[{}\[\]();]+\s*$|.*[{;]\s*$|\S+\(\)\s*$)",
)
_ERROR: Final = re.compile(
    r"Traceback \(most recent|^\s*(?:\w+\.)*\w*(?:Error|Exception)\b[:( ]|\b(?:error|fatal|panic|Error|ERROR|FATAL)(?:\[\w+\])?: |"
    r"--- FAIL|^\s*FAIL\b|\bFAILED\b|npm ERR|exit(?:ed with)? (?:code|status):? [1-9]|[✗✘❌]|command not found|No such file|"
    r"[Ss]egmentation fault|undefined(?: reference)?: |cannot find|not found\b|Permission denied|make: \*\*\*|"
    r"^\S+\.\w+:\d+(?::\d+)?:? |\b\d+ (?:failed|failures?|errors?|problems?)\b|[Ww]arning: |timed out|refused\b|"
    r"HTTP(?:/\S+)? [45]\d\d|status(?: code)?:? [45]\d\d",
    re.MULTILINE,
)
_COMPILER: Final = re.compile(
    r"\b(?:cannot (?:use|find (?:module|name|symbol|package)|borrow|assign|convert|infer|read propert)|undefined: |undeclared|unexpected token|"
    r"is not (?:assignable|defined|a function|a valid|callable|subscriptable)|has no (?:attribute|field|member|method)|no such file|"
    r"mismatched types|unresolved (?:import|reference)|syntax ?error|\w+error: |missing return|no module named|unused (?:variable|import)s?:?|"
    r"permission denied|command not found|exit(?:ed with)? (?:code|status) [1-9]|segfault|segmentation fault|null ?pointer|nil pointer)"
)
# One of these is in whatever matches; most turns hold none.
_OF_COMPILERS: Final = (
    "cannot ", "undef", "undecl", "unexpected", "is not ", "has no ", "no such", "mismatch", "unresolved", "syntax",
    "error: ", "missing return", "no module", "unused ", "denied", "not found", "exit", "seg", "pointer",
)  # fmt: skip
_FINDING_WORDS: Final = re.compile(
    r"\b(?:missing|incorrect(?:ly)?|inconsistent(?:ly)?|could|may|might|can (?:cause|lead|result|fail)|fails? to|does(?:n't| not)|leaks?|"
    r"race|bug|unhandled|silently|never|instead|should|unused|dead code|duplicated?|stale|wrong|breaks?|ignores?|"
    r"ignored|unsafe|vulnerab\w+|regression|without|because|however|causing|causes|leads? to|results? in)\b"
)
_CODE_NAMES: Final = re.compile(
    r"`[^`\n]+`|\b\w+\(\)|\b[\w-]+/[\w./-]+|\b\w+\.(?:go|py|rs|ts|tsx|js|jsx|java|rb|c|cpp|md|ya?ml|toml|sh)\b|\b[a-z]+[A-Z]\w+|\b[A-Z][a-z]+[A-Z]\w+|\b[a-z]+_\w+"
)
_PERSONAL: Final = re.compile(r"\b(?:i|i'm|i'd|i've|you|your|we|let's|please|can|me|my)\b")


def parts(text: str) -> Parts:
    """Set the person's words apart from fences, quotes, and lines that look like output or code."""
    text = text[:LONGEST].replace("\u2019", "'").replace("\u2018", "'")
    pasted: list[str] = []
    if "```" in text:
        pasted.extend(_FENCE.findall(text))
        text = _FENCE.sub("\n", text)
    own: list[str] = []
    in_output = False
    for line in text.split("\n"):
        quoted = line.startswith(">")
        in_output = not quoted and bool(_OUTPUT_LINE.match(line) or (in_output and not _PERSONAL.search(line.lower())))
        (pasted if in_output or quoted else own).append(line)
    return Parts("\n".join(own).strip().lower(), "\n".join(pasted).strip())


def holds_error(text: str, words: str) -> bool:
    """Whether a turn shows a program's or a compiler's error message, pasted in lines or in a sentence."""
    shown = ("\n" in text or not words) and _ERROR.search(text[:LONGEST])
    said = words[:_READ]
    return bool(shown or (holds_any(said, _OF_COMPILERS) and _COMPILER.search(said)))


def analyses_code(text: str, words: str) -> bool:
    """Whether a paragraph names code and says what is or could go wrong there, as review findings do."""
    return (
        len(text) > _PARAGRAPH
        and len(_FINDING_WORDS.findall(words[:_READ])) > 1
        and len(_CODE_NAMES.findall(text[:_READ])) > 1
    )


def is_impersonal(words: str) -> bool:
    """Whether nobody speaks in a text and nobody is spoken to."""
    return not _PERSONAL.search(words[:_READ])

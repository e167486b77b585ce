"""The words of diagnostics without what changes from one place to the next, and what makes two of them one cause."""

from __future__ import annotations

import re
from typing import Final

from selfdistill.signals.programs import names_in
from selfdistill.signals.steps import Diagnostic

MAX_MESSAGE: Final = 240
MAX_SUBJECT: Final = 80
UNNAMED: Final = "\u2026"  # stands for a name

_SEPARATOR: Final = "\x1f"

# Rules that stand for many causes: only with the message does one of their findings tell what to do. Every other
# rule checks one thing, so that its code says it all, however the message is worded by this or that version.
_WIDE: Final = names_in(
    """
    noctx forbidigo depguard gomodguard gomoddirectives usetesting usestdlibvars gocritic revive govet staticcheck gosec
    stylecheck gosimple testifylint modernize perfsprint intrange misc syntax TID251 B950 no-restricted-imports
    no-restricted-syntax no-restricted-globals no-restricted-properties clippy::disallowed_methods
    clippy::disallowed_types clippy::disallowed_macros clippy::disallowed_names deprecated deprecation
    @typescript-eslint/no-restricted-imports @typescript-eslint/no-deprecated reportGeneralTypeIssues compilation
    """
)
# Rules whose message names the interface to leave and the one to take: the names are the cause.
_TELLS_CURE: Final = names_in(
    """
    noctx forbidigo depguard gomodguard usetesting usestdlibvars TID251 no-restricted-imports no-restricted-syntax
    no-restricted-globals no-restricted-properties clippy::disallowed_methods clippy::disallowed_types
    clippy::disallowed_macros @typescript-eslint/no-restricted-imports @typescript-eslint/no-deprecated
    """
)

_QUOTED: Final = re.compile(
    r"`([^`\n]{1,300})`|(?<!\w)'([^'\n]{1,300})'(?!\w)|\"([^\"\n]{1,300})\"|[\u2018\u201c]([^\u2019\u201d\n]{1,300})[\u2019\u201d]"
)
# Names that stand unquoted, told by the words around them; the messages are those of Go, Java, C and golangci-lint.
_IN_TEST: Final = re.compile(r" in (?P<name>(?:Test|Benchmark|Fuzz)\w*)$")
_PLACED: Final = (
    (re.compile(r": sig: (?:func )?(?P<name>[^\s(]*(?:\([^)]*\)[.\w]*)?).*"), ""),  # wrapcheck: what was called
    (_IN_TEST, ""),
    (
        re.compile(
            r"\b(undefined(?: name)?|declared and not used|[uU]nresolved reference|undeclared name): (?P<name>\S.*)"
        ),
        r"\1: …",
    ),
    (
        re.compile(
            r"^(?P<name>\S+) (redeclared|undefined|is not a type|declared and not used|is not in std|returns)\b"
        ),
        r"… \2",
    ),
    (re.compile(r"\bin call to (?P<name>[^\s:]+)"), "in call to …"),
    (re.compile(r"^cannot use (?P<name>.+?) as .+? value in (\w+).*"), r"cannot use … as … value in \2"),
    (re.compile(r"\bprovides package (?P<name>\S+?);.*"), "provides package …"),
    (re.compile(r"^could not import (?P<name>\S+).*"), "could not import …"),
    (re.compile(r"^assignment mismatch: .*? (?:but|and) (?P<name>\S+).*"), "assignment mismatch"),
    (
        re.compile(
            r"^(invalid operation|cannot infer \w+|missing cases in [a-z ]+?)(?: of type|:) (?P<name>[^\s:]+).*"
        ),
        r"\1",
    ),
    (re.compile(r"\bno field or method (?P<name>\w+)"), "no field or method …"),
    (re.compile(r"\btype (?P<name>\*?[A-Z]\w*)(?=[\s)]|$)"), "type …"),
)
_PATH: Final = re.compile(
    r"(?<![\w./\u2026])(?:(?:~|\.{1,2})?/[\w.@+~-]+(?:/[\w.@+~-]+)*+/?|[\w.@-]+(?:/[\w.@-]+)*+/[\w@-]+\.[a-z]{1,5}\b)"
)
_NUMBER: Final = re.compile(r"(?<![\w.\u2026-])\d[\d.,_]*+(?:-\d+)?(?!\w)")
_IDENTIFIER: Final = re.compile(
    r"(?<![\w./\u2026])[*&]?(?:[\w.@-]+/)*+(?:"
    r"(?:\w+\.)*+(?:[a-z]+[A-Z]\w*|[A-Za-z]*_\w+|[A-Z][a-z0-9]+[A-Z]\w*)(?![\w.])|[A-Za-z_]\w+(?:\.[A-Za-z_]\w*)++"
    r")(?:\(\))?"
)
_BLANKS: Final = re.compile(r"\s+")
_FOLDED: Final = re.compile(r"[^\w/.…]+")


def normalised(code: str, message: str) -> tuple[str, str]:
    """A message with its changing names as `…` and its numbers and paths as placeholders; and the first such name.

    The names that a rule's message tells to leave and to take stay, since they are what the rule is about.
    """
    text = _BLANKS.sub(" ", message).strip()[: 2 * MAX_MESSAGE]
    subjects: list[str] = []
    text = _IN_TEST.sub("", text) if code in _TELLS_CURE else _without_names(text, subjects)
    text = _NUMBER.sub("<n>", _PATH.sub("<path>", text))
    return text[:MAX_MESSAGE].rstrip(), next((name for name in subjects if name), "")[:MAX_SUBJECT]


def diagnostic_cause(diagnostic: Diagnostic) -> str:
    """The key by which recurrence is told: the rule, and the message where the rule alone does not say what is wrong.

    The tool counts only where there is no code, so that `make lint` and a direct run agree.
    """
    if diagnostic.code and diagnostic.code not in _WIDE:
        return _SEPARATOR.join(("diagnostic", diagnostic.code))
    message = " ".join(_FOLDED.sub(" ", diagnostic.message.casefold()).split())
    return _SEPARATOR.join(("diagnostic", diagnostic.code or diagnostic.tool, message))


def tells_cure(code: str) -> bool:
    """Whether this rule's message names what to use instead."""
    return code in _TELLS_CURE


def _without_names(text: str, subjects: list[str]) -> str:
    """The text with `…` for every name; the names are appended to `subjects`."""

    def take(found: re.Match[str]) -> str:
        subjects.append(next(filter(None, found.groups()), "") if found.re is _QUOTED else found[0])
        return f"`{UNNAMED}`" if found.re is _QUOTED else UNNAMED

    if any(map(text.__contains__, "`'\"\u2018\u201c")):
        text = _QUOTED.sub(take, text)
    for expression, replacement in _PLACED:
        found = expression.search(text)
        if found:
            subjects.append(found["name"])
            text = expression.sub(replacement, text)
    return _IDENTIFIER.sub(take, text)

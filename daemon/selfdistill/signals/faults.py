"""How programs word that they were used wrongly: a table of messages, and the word that each names.

Messages of getopt, argparse, click, cobra, clap, yargs, git, gh, npm, go, make and the shells.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from selfdistill.signals.steps import Fault

LINE_LENGTH: Final = 300


def find_fault(text: str) -> tuple[Fault, str, str]:
    """The kind of wrong usage that a message words, the word it names, and its line; Fault.NONE if it words none."""
    lowered = text.lower()
    for pattern in _PATTERNS:
        if not holds_any(lowered, pattern.anchors):
            continue
        found = pattern.expression.search(text)
        if found:
            line = line_around(text, found)
            return pattern.fault, (found["named"] or "").strip("'\"`.,:;"), line
    return Fault.NONE, "", ""


def line_around(text: str, found: re.Match[str]) -> str:
    """The whole lines that a match lies in."""
    start = text.rfind("\n", 0, found.start()) + 1
    end = text.find("\n", found.end())
    return text[start : end if end >= 0 else len(text)].strip()[:LINE_LENGTH]


def holds_any(text: str, parts: tuple[str, ...]) -> bool:
    """Whether a text holds one of these parts; 30 times cheaper than a regular expression of as many words."""
    return any(map(text.__contains__, parts))


class _Pattern(Struct, frozen=True):
    """How a kind of fault words itself; the group `named` is the word at fault.

    `anchors`: one of these (lower case) is in every text that matches, so that most texts need no expression.
    """

    fault: Fault
    anchors: tuple[str, ...]
    expression: re.Pattern[str]


_Q: Final = r"[\"'`‘’“”]"  # noqa: RUF001 - programs quote with all of these


def _pattern(fault: Fault, anchors: str, expression: str) -> _Pattern:
    return _Pattern(fault, tuple(anchors.split("|")), re.compile(expression, re.MULTILINE))


# Messages of getopt, argparse, click, cobra, clap, yargs, git, gh, npm, the shells ...;
_PATTERNS: Final = (
    _pattern(Fault.GLOB, "no matches found", r"no matches found: (?P<named>\S+)"),
    _pattern(
        Fault.UNKNOWN_OPTION,
        "unknown ",
        rf"unknown (?:flag|switch|option|shorthand flag)s?:?\s+{_Q}?(?P<named>[\w=-]+)",
    ),
    _pattern(
        Fault.UNKNOWN_OPTION,
        "unrecogni",
        rf"unrecogni[sz]ed (?:arguments?|options?|flags?):?\s+{_Q}?(?P<named>--?[\w-]+)",
    ),
    _pattern(
        Fault.UNKNOWN_OPTION, " option", rf"(?:invalid|illegal|bad|no such) option:? (?:-- ?)?{_Q}?(?P<named>[\w-]+)"
    ),
    _pattern(Fault.UNKNOWN_OPTION, "no such option", rf"No such option:? {_Q}?(?P<named>--?[\w-]+)"),
    _pattern(
        Fault.UNKNOWN_OPTION,
        " argument|unknown option",
        rf"(?:unexpected argument|Found argument|Unknown arguments?|Unknown option|unknown arguments?):?\s+{_Q}?(?P<named>--?[\w-]+)",
    ),
    _pattern(Fault.UNKNOWN_OPTION, "but not defined", r"flag provided but not defined: (?P<named>-[\w-]+)"),
    _pattern(Fault.UNKNOWN_FIELD, "unknown json field", rf"Unknown JSON field:? {_Q}(?P<named>[\w.]+)"),
    _pattern(
        Fault.UNKNOWN_COMMAND,
        " script",
        rf"(?:Missing script|unknown script|Script not found):? {_Q}?(?P<named>[\w:.-]+)",
    ),
    _pattern(
        Fault.UNKNOWN_COMMAND,
        "command",
        rf"(?:unknown|unrecogni[sz]ed|invalid|no such) (?:sub-?)?command:? {_Q}?(?P<named>[\w:.-]+)",
    ),
    _pattern(Fault.UNKNOWN_COMMAND, " command", rf"{_Q}(?P<named>[\w-]+){_Q} is not a \w+ command"),
    _pattern(
        Fault.UNKNOWN_COMMAND,
        "no task|contain recipe",
        rf"(?:no task|does not contain recipe) {_Q}?(?P<named>[\w:.-]+)",
    ),
    _pattern(Fault.UNKNOWN_COMMAND, "no rule to make", rf"No rule to make target {_Q}(?P<named>[^'\"`]+){_Q}"),
    _pattern(
        Fault.UNKNOWN_COMMAND,
        " not found| does not exist",
        rf"(?:[Tt]ask|Recipe|[Tt]arget) {_Q}?(?P<named>[\w:.-]+){_Q}?(?: not found| does not exist)",
    ),
    _pattern(Fault.PROGRAM_MISSING, "command not found", r"command not found: (?P<named>[\w.+/-]+)"),
    _pattern(
        Fault.PROGRAM_MISSING,
        "not found",
        r"^(?:[^\n]*?(?:line \d+|sh|\d): )?(?P<named>[\w.+/-]+): (?:command )?not found$",
    ),
    _pattern(Fault.PROGRAM_MISSING, "env: ", rf"^(?:/usr/bin/)?env: {_Q}?(?P<named>[\w.+-]+){_Q}?: No such"),
    _pattern(Fault.MODULE_MISSING, "no module named", rf"No module named {_Q}?(?P<named>[\w.]+)"),
    _pattern(Fault.PUSH_REJECTED, "[rejected]", r"! \[rejected\][^\n]*\((?P<named>non-fast-forward|fetch first)\)"),
    _pattern(Fault.PREREQUISITE, "to update it", r"to update it:\s+(?P<named>go mod tidy)"),
    _pattern(
        Fault.PREREQUISITE,
        "run ",
        rf"(?:[Pp]lease r|[Tt]ry r|[Yy]ou (?:need to|must|should|may need to) r|^\s*[Rr])un(?:ning)?:? {_Q}(?P<named>[^`'\"\n]{{4,60}}){_Q}",
    ),
    _pattern(Fault.PREREQUISITE, "--set-upstream", r"^\s+(?P<named>git push --set-upstream \S+ \S+)"),
    _pattern(
        Fault.UNKNOWN_REVISION, "did not match any", rf"pathspec {_Q}(?P<named>[^'\"]+){_Q} did not match any file"
    ),
    _pattern(
        Fault.UNKNOWN_REVISION, "unknown revision", rf"ambiguous argument {_Q}(?P<named>[^'\"]+){_Q}: unknown revision"
    ),
    _pattern(
        Fault.PATH_MISSING,
        "no such file|cannot find|can't open file",
        rf"(?:[Nn]o such file or directory|[Cc]annot find (?:the )?(?:path|module)|can't open file):?,? {_Q}?(?P<named>[\w~./@+-]*[/.][\w~./@+-]*)",
    ),
    _pattern(
        Fault.PATH_MISSING,
        "no such file",
        rf"(?:^|: |access |stat |open |cd: )(?:{_Q})?(?P<named>[\w~./@+-]+){_Q}?: [Nn]o such file or directory",
    ),
    _pattern(Fault.PATH_MISSING, "directory not found", r"file or directory not found: (?P<named>\S+)"),
    _pattern(
        Fault.PATH_MISSING,
        "package.json",
        rf"Could not read package\.json[^\n]*{_Q}(?P<named>[^'\"\n]+package\.json){_Q}",
    ),
    _pattern(
        Fault.ARGUMENT_MISSING,
        "the following",
        r"the following (?:required )?arguments (?:are required|were not provided):\s+(?P<named>\S+)",
    ),
    _pattern(
        Fault.ARGUMENT_MISSING,
        "required flag|missing ",
        rf"(?:required flag|[Mm]issing (?:required )?(?:argument|option|parameter|flag))s?(?:\(s\))?:? {_Q}?(?P<named>-*[\w-]+)",
    ),
    _pattern(Fault.ARGUMENT_MISSING, "requires an argument", r"option requires an argument -- '?(?P<named>\w+)"),
    _pattern(
        Fault.BAD_VALUE,
        "invalid |is not a ",
        rf"(?:invalid (?:value|choice|argument)|is not a valid|is not a permitted key)[^\n]{{0,20}}{_Q}(?P<named>[^'\"`\n]{{1,60}}){_Q}",
    ),
    _pattern(
        Fault.QUOTING,
        "parse error near|syntax error near|unexpected eof",
        r"(?:parse error near|syntax error near unexpected token|unexpected EOF while looking for matching) [`'\"](?P<named>[^'\n]{1,20})'",
    ),
    _pattern(Fault.QUOTING, "shell quoting", r"jq: error:[^\n]*(?P<named>Unix shell quoting issues)"),
)

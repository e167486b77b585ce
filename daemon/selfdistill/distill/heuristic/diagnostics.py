"""What a project's linters and compilers keep rejecting: the rule, and what to write so that it holds.

One sighting is an accident, so that two sessions must show a lint rule and three a type error. What every edit in
progress meets (an undefined name, an unused import, a syntax error) teaches nothing by itself (see habits.py).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.distill.heuristic.cures import CURES, FORMATTERS
from selfdistill.distill.heuristic.evidence import answered, called
from selfdistill.distill.heuristic.wording import code, merge_key
from selfdistill.model import Action, ActionType, Finding, Polarity, Trigger, TriggerType
from selfdistill.signals.diagnostic_words import tells_cure
from selfdistill.signals.diagnostics import diagnostic_cause
from selfdistill.signals.invocations import invocations
from selfdistill.signals.programs import names_in
from selfdistill.signals.runs import is_check_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import Diagnostic, Step

MAX_SHOWN: Final = 160


class Worth(Struct, frozen=True):
    """How much one sighting says, and how many sessions must show it before it is told."""

    strength: float
    needs: int


RULE: Final = Worth(0.6, 2)  # a rule with a known cure
UNCURED: Final = Worth(0.4, 2)
TYPES: Final = Worth(0.35, 3)  # depends on the types at hand more than on habit
IN_PROGRESS: Final = Worth(0.0, 0)  # no lesson of its own

# Names, imports and syntax: wrong for a moment in any work, and right at the next edit.
_IN_PROGRESS: Final = names_in(
    """
    F821 F822 F823 E902 E999 E0001 E0602 E0401 E0611 invalid-syntax SyntaxError syntax name-defined import-not-found
    no-redef unresolved-import unresolved-reference unresolved-attribute reportUndefinedVariable reportMissingImports
    no-undef no-redeclare import/no-unresolved TS1002 TS1003 TS1005 TS1109 TS1128 TS1136
    TS1160 TS1161 TS1381 TS1382 TS2300 TS2304 TS2305 TS2307 TS2451 TS2503 TS2552 TS2613 TS2614 TS2724 TS17002 TS17008
    E0412 E0422 E0423 E0425 E0428 E0432 E0433 E0405 E0407 E0437 E0438 E0463 E0560 E0583 CS0103 CS0246 CS0234 CS1002
    CS1513 CS1003 CS1061 typecheck -Wimplicit-function-declaration SC1009 SC1072 SC1073 Lint/Syntax compilation
    undefined_identifier undefined_method uri_does_not_exist missing_identifier expected_token
    """
)
_TYPE_TOOLS: Final = frozenset({"tsc", "mypy", "pyright", "ty", "rustc", "dotnet"})
# Rules of compilers that are a matter of habit, not of the types at hand.
_LINTS_OF_COMPILERS: Final = re.compile(
    r"TS6\d+|TS70\d+|[a-z]+(?:_[a-z]+)+|no-untyped-\w+|no-any-return|type-arg|var-annotated|unused-ignore|import-untyped"
)

_FINDERS: Final = ("lint", "typecheck", "build", "test", "format")  # of several checks on a line the likeliest finder

_LANGUAGES: Final = {
    **dict.fromkeys(("golangci-lint", "go", "staticcheck"), "Go"),
    **dict.fromkeys(("ruff", "flake8", "pylint", "mypy", "pyright", "ty", "bandit", "black"), "Python"),
    **dict.fromkeys(("eslint", "biome", "oxlint", "javascript"), "JavaScript or TypeScript"),
    **dict.fromkeys(("rustc", "clippy", "rustfmt"), "Rust"),
    **dict.fromkeys(("kotlinc", "ktlint", "detekt"), "Kotlin"),
    **dict.fromkeys(("javac", "checkstyle"), "Java"),
    **dict.fromkeys(("C compiler", "clang-tidy", "cppcheck"), "C or C++"),
    **dict.fromkeys(("swiftc", "swiftlint"), "Swift"),
    "tsc": "TypeScript", "shellcheck": "shell", "rubocop": "Ruby", "dotnet": "C#", "dart": "Dart",
    "hadolint": "Dockerfile", "markdownlint": "Markdown", "yamllint": "YAML", "stylelint": "CSS",
}  # fmt: skip

_CURE_WORDS: Final = re.compile(
    r"\b(?:[Uu]se|[Pp]refer|instead|rewrite|replaced? (?:by|with)|can be|could be|should|must|consider|remove|avoid|"
    r"missing|convert|omit|add)\b"
)
_USE: Final = re.compile(r"^(?P<old>\S+) must not be called\. use (?P<new>.+)$")
_REPLACED: Final = re.compile(r"^(?P<old>\S+) (?:could|can|should) be replaced (?:by|with) (?P<new>\S+)")
_FORBIDDEN: Final = re.compile(r"^use of `(?P<old>[^`]+)` forbidden(?: because \"(?P<why>[^\"]+)\")?")
_HEAD: Final = re.compile(
    r"^(?:.*?\.\w{1,10}(?::\d+(?::\d+)?|\(\d+(?:,\d+)?\)):?(?: -)? +|\s*\d+:\d+:? +)?"
    r"(?:(?:fatal )?(?:error|warning|Error|Warning)(?:\[\w+\]| [A-Z]+\d+)?:? +|[CWEFR]: )?"
)
_TAIL: Final = re.compile(r" +[\[(][\w@:/.,=+-]+[\])]$| {2,}[\w@/.-]+$")
_LITTER: Final = re.compile(r"(?:^|[\s('\"`])(?:~|\.{0,2})/[\w.]|\bline \d+|[0-9a-f]{12,}|:\d+:\d+")
_INTERFACE: Final = re.compile(r"[\w./*()-]*[A-Za-z)]\.[A-Z]\w*")  # `os.Chdir`: a name that other code shares


def recurring_diagnostics(_memory: Memory, newest: Step) -> Iterator[Finding]:
    """One finding for each distinct diagnostic of a check, by rule and, where that is not enough, by message."""
    if newest.diagnostics:
        command = check_run(newest)
        for diagnostic in newest.diagnostics:
            if worth_of(diagnostic) is not IN_PROGRESS:
                yield _finding(diagnostic, newest, command)


def _finding(diagnostic: Diagnostic, step: Step, command: str) -> Finding:
    """A diagnostic as a finding, with the run and the line that showed it as evidence."""
    worth = worth_of(diagnostic)
    cause = diagnostic_cause(diagnostic)
    return Finding(
        rule="recurring_diagnostic",
        merge_key=merge_key("recurring_diagnostic", cause),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(_condition(diagnostic), TriggerType.IMPLEMENTATION),
        action=Action(ActionType.DO, _advice(diagnostic)),
        rationale=f"{_reporter(diagnostic)} failed a check here with it, so the rule is in force.",
        strength=worth.strength,
        needs=worth.needs,
        tags=tuple(dict.fromkeys(filter(None, (diagnostic.code, diagnostic.tool, command)))),
        cwd=step.cwd,
        covers=(cause,),
        evidence=(
            called(step, "check run"),
            answered(step, "diagnostic", diagnostic.quote),
        ),
    )


def worth_of(diagnostic: Diagnostic) -> Worth:
    """How informative a diagnostic is."""
    rule = diagnostic.code
    if not rule or rule in _IN_PROGRESS:
        return IN_PROGRESS
    if diagnostic.tool in _TYPE_TOOLS and not _LINTS_OF_COMPILERS.fullmatch(rule):
        return TYPES if rule in CURES else IN_PROGRESS
    return RULE if rule in CURES or rule == "unformatted" or tells_cure(rule) else UNCURED


def _condition(diagnostic: Diagnostic) -> str:
    """When the lesson applies."""
    if diagnostic.code == "unformatted":
        return f"About to commit or check code that {code(diagnostic.tool)} formats"
    shown = diagnostic.message[:MAX_SHOWN].rstrip(" .")
    language = _LANGUAGES.get(diagnostic.tool, "")
    subject = f"{language} code" if language else "code"
    return f"Writing {subject} that {_reporter(diagnostic)} checks with {code(diagnostic.code)}: {shown}"


def _advice(diagnostic: Diagnostic) -> str:
    """What to write: the message's own cure, the rule's known cure, or at least what is rejected."""
    if diagnostic.code == "unformatted":
        formatter = FORMATTERS.get(diagnostic.tool, "")
        return f"Run {code(formatter) if formatter else 'the formatter'} (or the project's task for it) first."
    own = _own_cure(diagnostic.message)
    if own:
        return own
    known = CURES.get(diagnostic.code, "")
    if known:
        return f"{known}.{_seen_with(diagnostic)}"
    told = _told(diagnostic)
    if _CURE_WORDS.search(told):
        return f"Write it as {_reporter(diagnostic)} asks: {_sentence(told)}"
    return f"Expect {code(diagnostic.code)} to reject this, and keep to the rule from the start: {_sentence(told)}"


def _own_cure(message: str) -> str:
    """The cure that a message names by the interface to use, "" if it names none."""
    found = _USE.match(message) or _REPLACED.match(message)
    if found:
        return f"Use {code(found['new'].rstrip('.'))} in place of {code(found['old'])}."
    forbidden = _FORBIDDEN.match(message)
    if forbidden and forbidden["why"]:
        return f"Keep {code(forbidden['old'])} out: {_sentence(forbidden['why'])}"
    return ""


def _told(diagnostic: Diagnostic) -> str:
    """The message as the tool worded it, without place and rule; the normalised one where that holds litter."""
    told = _TAIL.sub("", _HEAD.sub("", diagnostic.quote))
    told = told.removeprefix(f"{diagnostic.code.rpartition('/')[2]}: ").removeprefix(f"{diagnostic.code} ")
    if told == diagnostic.quote or len(told) > MAX_SHOWN or _LITTER.search(told):
        return diagnostic.message[:MAX_SHOWN]
    return told


def _seen_with(diagnostic: Diagnostic) -> str:
    """The interface it was about this time, where other code shares it."""
    name = diagnostic.subject
    return f" Seen with {code(name)}." if len(name) <= 60 and _INTERFACE.fullmatch(name) else ""  # noqa: PLR2004


def _reporter(diagnostic: Diagnostic) -> str:
    """Who found it."""
    return code(diagnostic.tool) if diagnostic.tool and " " not in diagnostic.tool else diagnostic.tool or "the check"


def check_run(step: Step) -> str:
    """The command that found it, as it is known: `mise run lint`, `npm run build`."""
    kinds = [(is_check_command(" ".join(one.words)), one.key) for one in invocations(step.command)]
    return next((key for wanted in _FINDERS for kind, key in kinds if kind == wanted), "")


def _sentence(text: str) -> str:
    """Text as a sentence; a name at its start keeps its case."""
    first = text.split(" ", maxsplit=1)[0]
    start = text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text
    return f"{start.rstrip(' .:;,')}."

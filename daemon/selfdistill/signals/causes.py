"""Why a call failed, as a stable key: what a lesson covers, and what a later failure is compared by.

The same failure with other paths, numbers or hashes has the same cause; another flag, another missing program, another
rule of the linter is another one. Where the log does not say why, there is no cause: silence is better than a match by
tool alone (shared/labelled/README.md: a lesson covers a failure "when its trigger matches the cause, not merely the
tool").
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from selfdistill.model import FailureClass, ToolKind
from selfdistill.signals.diagnostic_words import diagnostic_cause
from selfdistill.signals.invocations import Invocation, invocations, unquoted
from selfdistill.signals.signatures import cause_signature, signature
from selfdistill.signals.steps import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from selfdistill.signals.runs import TestRun
    from selfdistill.signals.steps import Failure, Step

SEPARATOR: Final = "\x1f"
KEPT_PARTS: Final = 2  # of a path: what stands before differs between homes, worktrees and working directories

_LEAST_PARTS: Final = {"refused": 3, "diagnostic": 2}  # tool and kind of refusal; the rule
_TEACHES_NOTHING: Final = frozenset({FailureClass.EXPECTED, FailureClass.ENVIRONMENT, FailureClass.HUMAN})
_FAMILIES: Final = {ToolKind.WRITE: "edit", ToolKind.EDIT: "edit"}  # the harness guards both in the same words

# How harnesses refuse a call (Claude Code, Codex); the group is what a lesson can be about beside the kind of refusal.
_REFUSALS: Final = tuple(
    (kind, re.compile(expression, re.IGNORECASE))
    for kind, expression in (
        ("ambiguous", r"Found \d+ matches of the string"),
        ("unread", r"has not been read"),
        ("stale", r"modified since read"),
        ("unchanged", r"No changes to make"),
        (
            "not found",
            r"String to replace not found|String not found in file|old_str\w* (?:was )?not found|No match found",
        ),
        ("too large", r"exceeds maximum allowed|file is too large"),
        ("directory", r"EISDIR"),
        ("exists", r"File already exists"),
        ("context", r"Failed to find (?:expected lines|context)|apply_patch verification failed"),
        ("bad patch", r"Invalid patch|valid hunk header"),
        ("unknown skill", r"Unknown skill:? (\S+)"),
        ("no skill", r"Skill (\S+) is not a prompt-based skill"),
        ("unknown tool", r"No such tool available:? (\S+)"),
        ("unknown agent", r"Agent type '([^']+)' not found"),
        ("bad input", r"InputValidationError:?\s*(?:\w+ failed due to the following issues?:?)?\s*(?:The )?(.*)"),
        ("bad input", r"Invalid (?:tool )?(?:parameters|input):?\s*(.*)"),
    )
)
_ABOUT_A_PLACE: Final = frozenset({"too large", "directory"})
_MISSING: Final = re.compile(r"(?:File|Path|Directory) does not exist|no such file or directory", re.IGNORECASE)

_HOME: Final = re.compile(r"^(?:/(?:Users|home)/[^/]+|~|/root|[A-Za-z]:\\Users\\[^\\]+)(?=[/\\]|$)")
_TEMPORARY: Final = re.compile(r"^/(?:private/)?(?:tmp|var/folders/\w+/\w+/T)(?=/|$)")
_CHANGING: Final = re.compile(r"(?=[\w-]*\d)[0-9a-f-]{7,}|\d+")
_GO_TEST: Final = re.compile(r"(?:Test|Example|Fuzz|Benchmark)\w*")


def causes(step: Step) -> tuple[str, ...]:
    """The causes of a failed call, each once; () for failures that teach nothing and where the log does not say why.

    A failing check has one for each distinct diagnostic and each failing test.
    """
    failure = step.failure
    if failure is not None and failure.blame in _TEACHES_NOTHING:
        return ()
    if failure is not None and failure.blame is FailureClass.USAGE:
        return (_joined("usage", failure.fault, *_usage(step, failure)),)
    found = dict.fromkeys((*map(diagnostic_cause, step.diagnostics), *_of_tests(step.run)))
    if found or failure is None:
        return tuple(found)
    if step.kind is not ToolKind.SHELL:
        return _refusal(step, failure)
    said = cause_signature(failure.line) if _is_message(failure.line) else ""
    return (_joined("failure", _only_key(step.command), said),) if said else ()


def known_under(cause: str) -> tuple[str, ...]:
    """The keys under which a cause may be covered: itself, and the more general ones that it is a case of.

    "No file strategy/clean.go" is a case of "a file that is not there": a lesson about guessed paths covers it, one
    about another path does not.
    """
    parts = cause.split(SEPARATOR)
    least = _LEAST_PARTS.get(parts[0], len(parts))
    return tuple(SEPARATOR.join(parts[:count]) for count in range(len(parts), min(least, len(parts)) - 1, -1))


def is_covered(found: Iterable[str], covers: Iterable[str]) -> bool:
    """Whether a lesson that covers these causes is about a failure with those."""
    known = {key for cause in found for key in known_under(cause)}
    return not known.isdisjoint(covers)


def general_path(path: str, cwd: str = "") -> str:
    """The last parts of a path, numbers and hashes aside: what stays the same in another home, worktree or week.

    What lies in the working directory is named from there, so that the checkout's own name does not matter.
    """
    path = unquoted(path).rstrip("/\\")
    if cwd and path.startswith(f"{cwd.rstrip('/')}/"):
        path = path[len(cwd.rstrip("/")) + 1 :]
    path = _TEMPORARY.sub("", _HOME.sub("", path))
    parts = [part for part in re.split(r"[/\\]", path) if part not in {"", ".", ".."}]
    return "/".join(_CHANGING.sub("<n>", part) for part in parts[-KEPT_PARTS:])


def _joined(*parts: str) -> str:
    return SEPARATOR.join(parts)


def _usage(step: Step, failure: Failure) -> tuple[str, ...]:
    """What a message about wrong usage is about: the command at fault and the word it names, in general form."""
    named, fault = failure.named, failure.fault
    if fault in {Fault.PATH_MISSING, Fault.UNKNOWN_REVISION}:
        return (general_path(named, step.cwd),)
    if fault in _ABOUT_NO_COMMAND:
        return _ABOUT_NO_COMMAND[fault](named)
    culprit = culprit_of(step)
    word = named.partition("=")[0].lstrip("-") if fault is Fault.UNKNOWN_OPTION else signature(named)
    if fault is Fault.UNKNOWN_COMMAND:
        return (culprit.program if culprit else "", word)
    return (culprit.key if culprit else "", word)


def _asked_for(named: str) -> tuple[str]:
    """The command that a message asks for, without names; of `git push --set-upstream origin topic` not the branch."""
    words = [word for word in signature(named).split() if not word.startswith("<")]
    return (" ".join(words[:3] if words[:2] == ["git", "push"] else words),)


_ABOUT_NO_COMMAND: Final[dict[Fault, Callable[[str], tuple[str, ...]]]] = {
    Fault.PUSH_REJECTED: lambda _: (),  # "fetch first" and "non-fast-forward" are one cause
    Fault.GLOB: lambda named: ("".join(letter for letter in "?*[]{}" if letter in named),),  # the shell's doing
    Fault.PROGRAM_MISSING: lambda named: (named.rpartition("/")[2],),
    Fault.MODULE_MISSING: lambda named: (named.partition(".")[0],),
    Fault.PREREQUISITE: _asked_for,
}


def culprit_of(step: Step) -> Invocation | None:
    """The simple command that a usage message means: the one it is signed by, else that holds the word it names.

    None where several commands of a line may be meant.
    """
    failure = step.failure
    commands = [one for one in invocations(step.command) if one.program not in {"cd", "export", "set"}]
    if failure is None or not commands:
        return None
    signed = [one for one in commands if failure.line.startswith((f"{one.program}: ", f"{one.key}: "))]
    holding = [one for one in commands if any(_holds(word, failure.named) for word in one.arguments)]
    for meant in (signed, holding, commands):
        if meant and len({one.key for one in meant}) == 1:
            return meant[0]
    return None


def _holds(word: str, named: str) -> bool:
    """Whether a word is, or gives a value with, the one that a message names; letters of `-abc` count."""
    bare, given = named.lstrip("-"), unquoted(word)
    if len(bare) == 1:
        return given.startswith("-") and not given.startswith("--") and bare in given
    return bare in re.split(r"[^\w./:-]+", given.lstrip("-")) or given.lstrip("-").partition("=")[0] == bare


def _of_tests(run: TestRun | None) -> Iterable[str]:
    """One cause for each failing test; a test that fails because its parts fail is left out."""
    names = run.failing if run is not None and run.failed + run.errors else ()
    go = run is not None and "go" in run.runner.split()
    for name in names:
        if go and not _GO_TEST.match(name):
            continue  # a package: that something in it fails is no cause
        if not any(other.startswith((f"{name}/", f"{name}::", f"{name} >")) for other in names):
            yield _joined("test", _CHANGING.sub("<n>", general_test(name)) if " " in name else general_test(name))


def general_test(name: str) -> str:
    """The name of a test without the directories before its file."""
    head, separator, rest = name.partition("::")
    return f"{general_path(head)}{separator}{rest}" if separator else name


def _refusal(step: Step, failure: Failure) -> tuple[str, ...]:
    """The cause of a call that the harness refused: which tool, what kind of refusal, and what it is about."""
    family = _FAMILIES.get(step.kind, step.kind.value if step.kind is not ToolKind.OTHER else step.tool)
    for kind, expression in _REFUSALS:
        found = expression.search(failure.line)
        if found:
            about = signature(found[1]).casefold() if found.groups() else ""
            if kind in _ABOUT_A_PLACE:
                about = general_path(step.path, step.cwd)
            return (_joined("refused", family, kind, *filter(None, (about,))),)
    if _MISSING.search(failure.line):
        return (_joined("refused", family, "missing", general_path(step.path, step.cwd)),)
    if failure.blame is FailureClass.GUARDRAIL and family == "edit":
        return (_joined("refused", family, "not found"),)  # only this refusal repeats the text it was asked to replace
    said = cause_signature(failure.line) if _is_message(failure.line) else ""
    return (_joined("refused", family, said),) if said else ()


def _is_message(line: str) -> bool:
    """Whether a line is a message, not a program's banner, heading or echo of code."""
    return not line.startswith(("=== ", "# ", "==> ", "$ ", "> ", "+ ")) and not line.rstrip().endswith(
        ("{", ";", "=>")
    )


def _only_key(command: str) -> str:
    """The command of a line that runs a single one, beside changing the directory; else ""."""
    keys = {one.key for one in invocations(command) if one.program not in {"cd", "export", "set", "head", "tail"}}
    return keys.pop() if len(keys) == 1 else ""

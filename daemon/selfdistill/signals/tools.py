"""Failed tool calls: whose fault they are and what the message names (shared/lessons.md, "whose fault is it?").

The order of the questions matters: refusals and the environment first, then the harness' own guards, then what was
meant to fail, then wrong usage of a command, and only then checks that did their work and found something.
"""

from __future__ import annotations

import re
from typing import Final

from selfdistill.model import FailureClass, ToolKind
from selfdistill.signals.faults import LINE_LENGTH, find_fault, holds_any, line_around
from selfdistill.signals.invocations import Invocation, invocations
from selfdistill.signals.runs import is_check_command
from selfdistill.signals.signatures import signature
from selfdistill.signals.steps import Failure, Fault

_SEARCHED: Final = 4_000  # characters of a result in which an error line is looked for, half from either end

# Plain substrings: most failures contain none of them, and an expression of as many words costs 30 times as much.
_ENVIRONMENT: Final = (
    "Sibling tool call errored", "Cancelled: parallel tool call", "API Error", "overloaded_error", "rate limited",
    "rate limit exceeded", "rate_limit_error", "Could not resolve host", "Temporary failure in name resolution",
    "Name or service not known", "getaddrinfo", "Connection refused", "Connection reset", "Connection timed out",
    "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENOTFOUND", "Network is unreachable", "No space left on device",
    "Disk quota exceeded", "Cannot allocate memory", "ENOMEM", "Too many open files", "SSL certificate problem",
    "TLS handshake", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway", "index.lock': File exists",
    "fatal: unable to read", "could not get object info", "timed out after", "ommand timed out", "Killed: 9",
    "Segmentation fault", "has been denied", "ermission to use", "failed in sandbox", "sandbox denied",
    "Operation not permitted", "posix_spawn '",
)  # fmt: skip
_REFUSED: Final = re.compile(
    r"doesn't want to (?:proceed|take this action)|rejected by user|Request interrupted by user|aborted by user"
    r"|User rejected|user declined|ermission for this tool use was denied",
)
_GUARDRAIL: Final = re.compile(
    r"String to replace not found|has not been read yet|File has not been read|has been modified since read"
    r"|Found \d+ matches of the string|File does not exist|exceeds maximum allowed (?:tokens|size)|file is too large"
    r"|InputValidationError|No such tool available|Unknown skill|No changes to make|EISDIR|File already exists"
    r"|Failed to find (?:expected lines|context)|apply_patch verification failed|Invalid patch"
    r"|Invalid (?:tool )?(?:parameters|input)|Path does not exist|Agent type '[^'\n]*' not found"
    r"|is not a prompt-based skill|invalid hunk at line",
    re.IGNORECASE,
)
_NO_FILE: Final = re.compile(
    r"^\W*(?:<tool_use_error>)?(?:File|Path|Directory) (?:does not exist|not found)\b|no such file", re.IGNORECASE
)
# What a repository, a merge or a hook answers when the command was right.
_CONFLICT: Final = (
    "Automatic merge failed",
    "error: could not apply ",
    "CONFLICT (",
    "nothing to commit",
    "nothing added to commit",
)
_HOOK: Final = ("hook: pre-commit", "hook: pre-push", "pre-commit hook", "husky - ", "hook id: ", "lint-staged")
_PROBES: Final = frozenset(
    {"grep", "rg", "egrep", "fgrep", "ag", "diff", "cmp", "test", "[", "[[", "which", "type", "pgrep", "pidof", "ls",
     "false", "kill", "pkill", "cat", "head", "tail", "find", "stat", "file", "readlink", "wc", "sort", "jq"}
)  # fmt: skip


_HARMLESS: Final = frozenset({"echo", "cd", "true", "printf", "pwd", "command"})


_SAYS_WHAT: Final = re.compile(
    r"\b[Ee]rror\b|ERROR|fatal:|FATAL|[Nn]ot found|No such|denied|[Uu]nknown|[Ii]nvalid|[Ff]ailed|panic:|Exception"
)
_WORDS: Final = re.compile(r"[A-Za-z]{3}")  # no frame, rule or progress bar
# A result that claims success can hide a failed command behind a pipe; only what a shell or program says of itself
# at the start of a line counts, since most "errors" in a successful result are contents (signals.md, finding 5).
_MASKED: Final = ("unknown flag", "unknown option", "command not found", "unrecognized arguments", "no matches found",
                  "unknown command", "Unknown JSON field", "illegal option", "unknown shorthand", "Missing script",
                  "go mod tidy", "[rejected]")  # fmt: skip
_JOINTS: Final = ("|", ";", "&", "\n")
_MASKED_LINE: Final = re.compile(
    r"^(?:error: |fatal: |Error: |npm (?:error|ERR!) |go: |usage: |"
    r"(?:\(eval\)|zsh|bash|sh)[:\w ]*: | ! |[\w.-]{2,20}: )?"
    r"(?:unknown|unrecognized|illegal|invalid|command not found|no matches|Unknown|Missing|updates to go\.mod"
    r"|\[rejected\])"
)


def read_failure(kind: ToolKind, command: str, text: str, *, flagged: bool) -> Failure | None:
    """Why a call failed, or None if it did not.

    Given the redacted result; `flagged` is what the log says (error flag, exit code). A result that claims success is
    only doubted for a shell command whose own error message stands at the start of a line.
    """
    if not flagged:
        return _masked_failure(command, text) if kind is ToolKind.SHELL and holds_any(text, _MASKED) else None
    searched = text if len(text) <= _SEARCHED else text[: _SEARCHED // 2] + "\n" + text[-_SEARCHED // 2 :]
    line = key_line(searched)
    blame = _blame_outside(kind, searched)
    if blame is FailureClass.GUARDRAIL and (refusal := _GUARDRAIL.search(searched)):
        line = line_around(searched, refusal)  # the first "error" may stand in the text that was to be replaced
    if blame or kind is not ToolKind.SHELL:
        missing = blame is FailureClass.GUARDRAIL and _NO_FILE.search(searched[:500])
        return _failure(blame, Fault.PATH_MISSING if missing else Fault.NONE, "", line)
    if holds_any(searched, _CONFLICT):
        return _failure(FailureClass.EXPECTED, Fault.NONE, "", line)
    fault, named, where = find_fault(searched)
    if _is_probe(command, fault):
        return _failure(FailureClass.EXPECTED, Fault.NONE, "", line)
    if fault:
        return _failure(FailureClass.USAGE, fault, named, where)
    checked = is_check_command(command) or ("git" in command and holds_any(searched, _HOOK))
    return _failure(FailureClass.CHECK if checked else None, Fault.NONE, "", line)


def may_hide_failure(command: str, text: str) -> bool:
    """Whether a result that claims success is worth a closer look.

    It holds the words of a command's own error, and the exit status may be that of another command of the line.
    """
    return holds_any(command, _JOINTS) and holds_any(text, _MASKED)


def says_what(line: str) -> bool:
    """Whether a line has the words of an error, so that it can stand for one."""
    return bool(_SAYS_WHAT.search(line))


def key_line(text: str) -> str:
    """The line of a result that says what is wrong: the first that names an error, else the first with words."""
    found = _SAYS_WHAT.search(text)
    line = line_around(text, found) if found else next((row for row in text.splitlines() if _WORDS.search(row)), "")
    return line.strip()[:LINE_LENGTH]


def _failure(blame: FailureClass | None, fault: Fault, named: str, line: str) -> Failure:
    return Failure(blame=blame, fault=fault, named=named, line=line, signature=signature(line))


def _blame_outside(kind: ToolKind, text: str) -> FailureClass | None:
    """Whether somebody else than the command is to blame: a person, the environment, the harness."""
    head = text[:2000]
    if _REFUSED.search(head):
        return FailureClass.HUMAN
    if holds_any(head, _ENVIRONMENT) or (len(text) > len(head) and holds_any(text[-1000:], _ENVIRONMENT)):
        return FailureClass.ENVIRONMENT
    if kind is not ToolKind.SHELL and _GUARDRAIL.search(head):
        return FailureClass.GUARDRAIL
    return None


def _is_probe(command: str, fault: Fault) -> bool:
    """Whether the command only looks around, so that finding nothing is an answer and teaches nothing."""
    if fault not in {Fault.NONE, Fault.PATH_MISSING, Fault.UNKNOWN_REVISION}:
        return False
    commands = invocations(command)
    return bool(commands) and all(
        invocation.program in _PROBES or invocation.program in _HARMLESS or _only_prints(invocation)
        for invocation in commands
    )


def _only_prints(invocation: Invocation) -> bool:
    """Whether a command that can change something merely prints: `sed` without `-i`, `git config KEY`."""
    if invocation.program == "sed":
        return not any(word.startswith("-i") for word in invocation.arguments)
    if invocation.key != "git config":
        return False
    given = invocation.words[invocation.words.index("config") + 1 :]
    return sum(not word.startswith("-") for word in given) == 1


def _masked_failure(command: str, text: str) -> Failure | None:
    """A failure behind a pipe, `|| true` or a background task."""
    commands = invocations(command)
    if not commands or commands[0].program in _PROBES or commands[0].key in {"git log", "git show", "git diff"}:
        return None
    lines = text.splitlines()
    for line in (*lines[:3], *lines[-5:]):
        if _MASKED_LINE.match(line):
            fault, named, where = find_fault(line)
            if fault:
                return _failure(FailureClass.USAGE, fault, named, where)
    return None

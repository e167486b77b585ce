"""Whether a tool call failed, from its result's text alone: for logs without an error field.

What a harness says of a call stands at a known place: before the output, after it, or instead of it. The output itself
is contents, and contents may hold any word ("error" in a file that was read is no failure: 92 % of the false alarms of
keyword rules, signals.md finding 5). So only a harness' own words, a shell's, and a program's last or first words on
itself count; the latter only where the status of the line is that program's.
"""

from __future__ import annotations

import re
from typing import Final

from selfdistill.model import ToolKind
from selfdistill.signals.commands import is_check_command
from selfdistill.signals.programs import PRINTERS
from selfdistill.signals.runs import read_test_run
from selfdistill.signals.shell import split

_HEAD: Final = 600  # characters in which a harness has told how a call ended
_TAIL: Final = 300
_VERDICT: Final = 400  # a tool that fails says so in a sentence or two; what is longer is contents
_CONTENTS: Final = frozenset({ToolKind.READ, ToolKind.SEARCH, ToolKind.WEB})

# An exit status as harnesses put it before the output: Claude Code, Codex (three shapes), Droid, mini-SWE-agent, Roo.
_STATUS_BEFORE: Final = re.compile(
    r"(?:Error: |ERROR: )?(?:Exit code:? |Command (?:failed|exited|finished|completed) "
    r"(?:with (?:exit )?code |\(exit code: ))"
    r"(-?\d{1,10})\b"
    r"|(?:(?:Chunk ID|Wall time|Original token count|Total output lines|Session ID)[^\n]*\n){0,6}"
    r"(?:Process exited with code|Exit code:) ?(-?\d{1,10})\b"
    r"|<returncode>(-?\d{1,10})</returncode>"
    r"|failed in sandbox[^\n]{0,120}?exit code: (-?\d{1,10})\b"
)
# ... and after it: Gemini CLI, Copilot, OpenHands, pi, Roo; a text that says "none" ended well.
_STATUS_AFTER: Final = re.compile(
    r"(?:^|\n)(?:Exit [Cc]ode: (-?\d{1,10})(?:\n(?:Error|Signal|Background PIDs|Process Group PGID)[^\n]*)*"
    r"|\[(?:The )?[Cc]ommand (?:completed|finished|exited) with (?:exit )?code (-?\d{1,10})\.?\][^\n]*"
    r"|<(?:(?:shellId|command with id): ?\S+ )?(?:completed |exited )with exit code (-?\d{1,10})>"
    r"|Command exited with code (-?\d{1,10})"
    r"|<returncode>(-?\d{1,10})</returncode>[^\n]*)\s*\Z"
)
_STATUS_JSON: Final = re.compile(r'"(?:exit_code|exitCode|returncode)": ?(-?\d{1,10})\b')

# How harnesses begin the result of a call that they refused or could not run.
_REFUSAL: Final = re.compile(
    r"<(?:tool_use_error|tool_error|error)>|\[Request interrupted|Error: Request interrupted|InputValidationError\b"
    r"|The user (?:doesn't want to (?:proceed|take this action)|rejected this tool)|(?:Error: )?User rejected tool use"
    r"|Permission (?:to use .{1,200}? has been|for this (?:action|tool use)(?: has been| was)?) denied"
    r"|Claude requested permissions? |failed in sandbox |sandbox denied|apply_patch verification failed"
    r"|failed to parse function arguments|unsupported call|(?:exec command|patch) rejected|execution error"
    r"|(?:Error (?:executing|calling|running|invoking) tool|Tool execution (?:failed|error)|MCP error -?\d"
    r"|Unknown tool\b|No such tool\b|Tool \S{1,80} not found|Invalid tool (?:parameters|input|call))"
    r"|(?:Total output lines: \d+\n+)?[Cc]ommand timed out|Agent type \S+ not found"
    r"|(?:API|Argument Validation|Validation) Error\b|Script (?:failed|error)\n",
)

# What tools that are no shells say instead of a result, at its very start.
_NO_RESULT: Final = re.compile(
    r"(?:Error|ERROR|error)(?::|\s*\Z| (?:reading|writing|editing|opening|accessing|searching|fetching|finding)\b)"
    r"|E(?:NOENT|ISDIR|ACCES|PERM|EXIST|NOTDIR|MFILE)\b|(?:Operation|Tool call) (?:failed|timed out)"
    r"|(?:Failed|Unable) to |(?:Could not|Couldn't|Cannot|Can't) (?:read|open|find|access|write|edit)\b"
    r"|(?:File|Path|Directory|Folder)[^\n]{0,200}? (?:does not exist|not found|is (?:not a file|a directory|too large))"
    r"|File content \(|[^\n]{0,200}exceeds (?:the )?maximum (?:allowed )?(?:size|tokens|length)"
    r"|No such file|Permission denied|Access denied|Request failed with status|Unknown skill|(?:Unknown|Invalid) "
    r"|(?:Task|Skill|Resource|Symbol|Project|Issue)\b[^\n]{0,80} not (?:found|a prompt-based skill)"
    r"|[^\n]{0,120} is not a function\s*\Z|rg: |grep: |regex parse error|Traceback \(most recent call last\)"
)
# What an editing tool says when it changed nothing.
_NO_EDIT: Final = re.compile(
    r"String to replace not found|has not been read yet|has been (?:unexpectedly )?modified since|Found \d+ matches"
    r"|No changes (?:to make|made to)|old_str(?:ing)? (?:and new_str(?:ing)? are|not found|is not unique|was not found)"
    r"|No (?:replacement was performed|match(?:es|ing)?\b|occurrences?\b)|[Mm]ultiple (?:occurrences|matches)"
    r"|did not (?:appear|match|apply|find)|(?:does not|doesn't) (?:exist|match|contain|appear)|not (?:found|unique)\b"
    r"|already exists|[Ff]ailed to (?:find|apply|edit|write|replace|match)|[Ii]nvalid (?:patch|hunk|context|line|range)"
    r"|[Cc]ould not (?:find|apply|edit|locate)|invalid hunk|would be a no-op|0 (?:occurrences|replacements)"
)
_EDITED: Final = re.compile(
    r"The file .{1,300}? has been (?:updated|edited|created|overwritten)|File (?:created|written|updated|saved)"
    r"|Success|Successfully|Applied|Edited|Updated|Wrote|Done|\{\"success\": ?true|OK\b"
)

# The shell could not even read the line, whatever its parts would have done.
_NOT_PARSED: Final = re.compile(
    r"(?:\(eval\):\d+|(?:/bin/)?(?:ba|z|da)?sh(?:: -c| -c)?(?:: line \d+)?:?(?:\d+:)?) ?:? ?"
    r"(?:parse error|syntax error|unexpected EOF|[Uu]nterminated quoted string|Syntax error|unmatched)"
)
# A shell, or the program whose status is the line's, on why it gave up.
_GAVE_UP: Final = re.compile(
    r"(?:fatal|error|ERROR|Error|FATAL|FAILED|panic|abort|usage|Usage)(?:\[\w+\])?: \S"
    r"|(?:\(eval\):\d+|(?:/\S*/)?(?:ba|z|da)?sh(?:: line \d+)?|\S+\.sh): ?(?:line )?\d*:? ?\S"
    r"|\S{1,60}: (?:(?:line )?\d+: )?[^\n]{0,200}(?:command not found|No such file or directory|Permission denied"
    r"|not found|Is a directory|Operation not permitted|cannot (?:access|open|stat|create|overwrite|remove|find))"
    r"|\S{1,40}: (?:error|fatal|cannot|can't|invalid|illegal|unknown|unrecognized|missing|no such|option requires)\b"
    r"|npm (?:ERR!|error) |go: (?:updates to|cannot|errors)|exit status [1-9]"
    r"|Aborting\b|Killed\b|Terminated\b|Segmentation fault|gh: .*\(HTTP [45]\d\d\)"
    r"|[\w.]*(?:Error|Exception|Interrupt)(?:: .*)?\Z|FAIL(?:ED)?(?:\t|\Z)|Error\Z"
    r"|(?:command not found|no matches found|no such file or directory|unknown (?:flag|option|command)): "
    r"|no such (?:file|option|command)|unknown (?:flag|option|shorthand flag|command)\b"
)
# A program on itself, its name before it: the only thing that counts where contents are printed, or in a pipe.
_ON_ITSELF: Final = re.compile(
    r"(?P<program>[\w.-]+): (?:\d+: )?(?:cannot|can't|error: |[^\n]{1,300}: (?:No such file|Is a directory|Permission)"
    r"|[^\n]{0,80}(?:invalid|illegal|unrecognized|unknown) (?:option|argument)|No such file|command not found)"
)
# git and gh, asked to print something, on why they print nothing.
_NOTHING_TO_PRINT: Final = re.compile(
    r"(?:fatal|error|usage): |unknown (?:flag|command|shorthand flag)|gh: .*\(HTTP \d"
)
# Words that stand anywhere in the output of git, npm, make or a task runner when they give up.
_GAVE_UP_BEFORE: Final = re.compile(
    r"^(?: ! \[(?:remote )?rejected\]|error: failed to push|fatal: \S|CONFLICT \(|Automatic merge failed|npm ERR! "
    r"|Could not apply [0-9a-f]{7}|make(?:\[\d+\])?: \*\*\* |\[\S+\] ERROR task failed)",
    re.MULTILINE,
)
_TASK_FAILED: Final = re.compile(r"^(?:make(?:\[\d+\])?: \*\*\* |\[\S+\] ERROR task failed)", re.MULTILINE)
_ENDED_WELL: Final = re.compile(r".*\b(?:success(?:ful|fully)?|[Dd]one|completed)\b[^\n]{0,20}\Z|[\u2713\u2714\u2705]")
_QUOTED: Final = re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"")
# What linters, compilers and type checkers put below what they found.
_FOUND: Final = re.compile(
    r"^(?:\[\S+\] ERROR task failed|\d+ issues?:|\* \w+: \d+|Found [1-9]\d* errors?\b.*|\S+\(\d+,\d+\): error .*"
    r"|.{0,4}[1-9]\d* problems? \([1-9]\d* errors?.*|error(?:\[E\d+\])?: .*|\S+?:\d+:\d+: (?:error|fatal error): .*"
    r"|# [\w./-]+\n\S+\.go:\d+:\d+: .*|[1-9]\d* files? would be reformatted.*|BUILD FAILED.*|\[ERROR\] .*"
    r"|vet: .*|\S+:\d+: error: .*)$",
    re.MULTILINE,
)


def fails_by_text(kind: ToolKind, command: str, text: str) -> bool:
    """Whether the result's own words say that the call failed; for results whose log has no error field at all.

    `command` is the shell line ("" for other tools). A silent failure (`grep` that finds nothing) is not seen.
    """
    start = text[: _HEAD + 100].lstrip()[:_HEAD]
    if not start:
        return False
    if kind not in _CONTENTS:
        status = _stated_status(start, command, text)
        if status is not None:
            return status != 0
    if _REFUSAL.match(start):
        return True
    return _line_fails(command, text) if kind is ToolKind.SHELL else _tool_fails(kind, start, text)


def _stated_status(start: str, command: str, text: str) -> int | None:
    """The exit status that the harness put before or after the output; None without one."""
    found = _STATUS_BEFORE.match(start)
    if found is None and start.startswith("{"):
        found = _STATUS_JSON.search(text[-_TAIL:]) or _STATUS_JSON.search(start)
    if found is None and "$?" not in command:  # `; echo "exit code: $?"` says it itself, and has ended well
        found = _STATUS_AFTER.search(text[-_TAIL:])
    return int(next(filter(None, found.groups()))) if found else None


def _tool_fails(kind: ToolKind, start: str, text: str) -> bool:
    """Whether a tool that is no shell gives an error instead of a result: the error is all it gives."""
    if kind in {ToolKind.EDIT, ToolKind.WRITE}:
        return not _EDITED.match(start) and any(map(_says_no_edit, _ends_of_edit(text)))
    if len(text) > _VERDICT or (kind is ToolKind.SEARCH and start.count("\n") > 1):
        return False  # contents, or lines that match
    return bool(_NO_RESULT.match(start))


def _ends_of_edit(text: str) -> tuple[str, ...]:
    """The first and the last line of what an editing tool says: between them it may quote what it did not find."""
    lines = [line for line in text.strip().splitlines() if "here-document" not in line]
    return (lines[0], lines[-1]) if lines else ()


def _says_no_edit(line: str) -> bool:
    return bool(_NO_EDIT.search(line) or _NO_RESULT.match(line))


def _line_fails(command: str, text: str) -> bool:
    """Whether a shell line failed, by what the shell or the program that decides its status says at either end."""
    ends = [line for line in (*text[:_HEAD].splitlines()[:2], *text[-_HEAD:].splitlines()[-3:]) if line.strip()]
    if any(map(_NOT_PARSED.match, ends)):
        return True
    commands = split(command)
    printing = _prints(commands)
    masked = _is_masked(command, commands)
    if masked or printing:
        deciding = commands[-1:] if masked else commands
        return _say_so(ends, {words[0].rpartition("/")[2] for words, _ in deciding if words})
    check = is_check_command(command)
    run = read_test_run(command, text) if check == "test" else None
    if run is not None:
        return run.failed + run.errors > 0 or bool(_TASK_FAILED.search(text))
    if (check and _FOUND.search(text)) or _GAVE_UP_BEFORE.search(text):
        return True
    return any(map(_GAVE_UP.match, ends)) and not (ends and _ENDED_WELL.match(ends[-1]))


def _say_so(lines: list[str], programs: set[str]) -> bool:
    """Whether one of these programs says of itself that it could not do its work."""
    if not programs.isdisjoint({"git", "gh"}) and any(map(_NOTHING_TO_PRINT.match, lines[:1])):
        return True
    return any((found := _ON_ITSELF.match(line)) and found["program"] in programs for line in lines)


def _is_masked(command: str, commands: list[tuple[list[str], bool]]) -> bool:
    """Whether the line's status may be that of another command than the one that failed: pipes, `||`, a last `echo`."""
    if "||" in command and "||" in _QUOTED.sub("", command):
        return True
    if not commands:
        return False
    last, piped = commands[-1]
    return piped or (len(commands) > 1 and last[0] in {"echo", "true", "printf", "exit"})


def _prints(commands: list[tuple[list[str], bool]]) -> bool:
    """Whether every command of the line hands on contents."""
    return bool(commands) and all(
        words[0].rpartition("/")[2] in PRINTERS or words[:2] in (["git", "log"], ["git", "show"], ["git", "diff"])
        for words, _ in commands
    )

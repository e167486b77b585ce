"""How agents write commands and patches: shell argument lists, `apply_patch` texts, JavaScript that calls tools."""

from __future__ import annotations

import re
import shlex
from typing import Final

import msgspec

from selfdistill.model import ToolInput

_SHELLS: Final = frozenset({"bash", "sh", "zsh", "dash", "fish", "ksh", "pwsh", "powershell", "cmd"})
_COMMAND_FLAG: Final = re.compile(r"-[a-z]*c|-[Cc]ommand|/c")
_PATCH_BEGIN: Final = "*** Begin Patch"
_PATCH_FILE: Final = re.compile(r"^\*\*\* (?:Update|Add|Delete) File: (.+?)\s*$", re.MULTILINE)
_PATCH_CHANGE: Final = re.compile(r"^([-+])(.*)$", re.MULTILINE)
_STRING: Final = r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`)"
_SEARCH: Final = re.compile(r"(?:<{5,9}|-{5,9}) (?:SEARCH|ORIGINAL)>?\s*")
_DIVIDER: Final = re.compile(r"={5,9}\s*")
_REPLACED: Final = re.compile(r"(?:>{5,9}|\+{5,9}) (?:REPLACE|UPDATED)\s*")
_HINTS: Final = re.compile(r":(?:start|end)_line:.*|-{7}\s*")  # Roo Code says first where the text should stand
_JS_COMMAND: Final = re.compile(r"exec_command\s*\(\s*\{(?:[^{}]*?[,\s])?[\"']?cmd[\"']?\s*:\s*" + _STRING, re.DOTALL)
_JS_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\n": ""}


def command_line(command: str | list[str]) -> str:
    """Return what the shell runs: `["bash", "-lc", "make test"]` is `make test`."""
    if isinstance(command, str):
        return command
    if len(command) > 2 and _program(command[0]) in _SHELLS and _COMMAND_FLAG.fullmatch(command[1]):  # noqa: PLR2004
        return command[2] if len(command) == 3 else " ".join(command[2:])  # noqa: PLR2004 - argv of `sh -c COMMAND`
    return shlex.join(command)


def _program(path: str) -> str:
    """The bare name of a program."""
    return path.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".exe")


def patch_in(command: str | list[str]) -> str:
    """Return the patch that a command hands to `apply_patch`, "" where it does something else."""
    if isinstance(command, list) and command and _program(command[0]) in {"apply_patch", "applypatch"}:
        return command[1] if len(command) > 1 else ""
    line = command_line(command)
    if line.lstrip().startswith(("apply_patch", "applypatch")) and _PATCH_BEGIN in line:
        return line[line.index(_PATCH_BEGIN) :]
    return ""


def patch_input(patch: str) -> ToolInput:
    """Return a patch as an edit: its first file, the lines it takes away and puts there; several files in `text`."""
    files = _PATCH_FILE.findall(patch)
    changes = _PATCH_CHANGE.findall(patch)
    return ToolInput(
        path=files[0] if files else "",
        old="\n".join(line for sign, line in changes if sign == "-"),
        new="\n".join(line for sign, line in changes if sign == "+"),
        text="\n".join(files) if len(files) > 1 else "" if files else patch,
    )


def javascript_commands(script: str) -> list[str]:
    """Return the shell commands of a code-mode script, as far as they stand there as plain strings.

    Codex runs JavaScript that calls `tools.exec_command({cmd: "..."})`: 2,272 of 6,509 real shell calls.
    """
    return [_unquoted(match) for match in _JS_COMMAND.findall(script)]


def _unquoted(literal: str) -> str:
    """The text of a JavaScript string literal; `${...}` stays as written."""
    if literal.startswith('"'):
        try:
            return msgspec.json.decode(literal, type=str)
        except (msgspec.DecodeError, ValueError):
            pass  # not JSON, e.g. an escaped quote of the other kind: read it as JavaScript below
    return _JS_ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), literal[1:-1])


def has_patch(script: str) -> bool:
    """Whether a text holds an `apply_patch` patch."""
    return _PATCH_BEGIN in script


def replacements(text: str) -> list[tuple[str, str]]:
    """Return the (old, new) texts of the SEARCH/REPLACE blocks of a text, in order; a block without its end is none.

    Aider, Cline, Roo Code and Kilo write `<<<<<<< SEARCH`, `=======`, `>>>>>>> REPLACE`; Cline also with `-` and `+`.
    """
    found: list[tuple[str, str]] = []
    old: list[str] | None = None
    new: list[str] | None = None
    for line in text.split("\n") if "REPLACE" in text or "UPDATED" in text else ():
        if _SEARCH.fullmatch(line):
            old, new = [], None
        elif old is not None and new is not None and _REPLACED.fullmatch(line):
            found.append(("\n".join(old), "\n".join(new)))
            old = new = None
        elif old is not None and new is None and _DIVIDER.fullmatch(line):
            new = []
        elif new is not None:
            new.append(line)
        elif old is not None and (old or not _HINTS.fullmatch(line)):
            old.append(line)
    return found

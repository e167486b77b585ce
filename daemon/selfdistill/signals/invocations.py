"""Simple commands as they are compared with each other: words as written, program, subcommand."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from selfdistill.signals.shell import split

MAX_COMMAND: Final = 1000

_ASSIGNMENT: Final = re.compile(r"[A-Za-z_]\w*=")
_SUBCOMMAND: Final = re.compile(r"[a-z][a-z0-9_:.-]*\Z")

# How many words after the program name what it does; everything else is a program without subcommands.
_DEPTH: Final = {
    "gh": 2, "kubectl": 1, "docker": 1, "git": 1, "go": 1, "cargo": 1, "npm": 1, "pnpm": 1, "yarn": 1, "bun": 1,
    "uv": 1, "poetry": 1, "pip": 1, "pip3": 1, "brew": 1, "apt": 1, "apt-get": 1, "systemctl": 1, "terraform": 1,
    "aws": 2, "gcloud": 3, "az": 2, "mise": 1, "just": 1, "make": 1, "task": 1, "rustup": 1, "dotnet": 1, "swift": 1,
    "helm": 1, "flyctl": 1, "fly": 1, "supabase": 2, "vercel": 1, "npx": 1, "uvx": 1, "bunx": 1, "conda": 1, "deno": 1,
    "golangci-lint": 1, "gradle": 1, "mvn": 1, "composer": 1, "bundle": 1, "rails": 1, "mix": 1, "jj": 1, "hg": 1,
}  # fmt: skip
_RUNNERS: Final = frozenset({"run", "exec"})  # `npm run build`, `mise run lint`: the task's name is part of the command
_WRAPPERS: Final = frozenset(
    {"sudo", "time", "nohup", "command", "env", "exec", "stdbuf", "nice", "builtin", "timeout"}
)
_KEYWORDS: Final = frozenset({"(", "{", "!", "then", "do", "else", "if", "while"})
_VALUE_OPTIONS: Final = frozenset({"-C", "-c", "--git-dir", "--work-tree", "-R", "--repo", "-n", "--namespace"})


class Invocation(Struct, frozen=True):
    """One simple command: its words as written (quotes kept), its program, and what it is asked to do."""

    words: tuple[str, ...]
    program: str
    key: str  # program and subcommand, e.g. "gh pr diff"

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words after the program."""
        return self.words[1:]


@lru_cache(maxsize=512)  # every rule asks it of the same few commands
def invocations(command: str) -> tuple[Invocation, ...]:
    """The simple commands of a command line, in order; at most its first 1,000 characters are looked at."""
    return tuple(_invocation(words) for words, _ in split(command[:MAX_COMMAND]))


def programs(command: str) -> frozenset[str]:
    """The programs a command line starts."""
    return frozenset(invocation.program for invocation in invocations(command))


def unquoted(word: str) -> str:
    """A word without the quotes around it or around its value (`--x="y"` -> `--x=y`)."""
    return word.replace('"', "").replace("'", "")


def _invocation(words: list[str]) -> Invocation:
    """Words as a command, assignments and wrappers before the program left out."""
    start = 0
    while start < len(words) - 1 and _is_prefix(words, start):
        start += 1
    rest = [word for word in words[start:] if word]
    program = unquoted(rest[0]).rsplit("/", 1)[-1] if rest else ""
    return Invocation(words=tuple(rest), program=program, key=" ".join([program, *_subcommand(program, rest[1:])]))


def _is_prefix(words: list[str], index: int) -> bool:
    """Whether the word stands before the program: an assignment, a wrapper, `timeout 60`, a loop's keyword."""
    word = words[index]
    if _ASSIGNMENT.match(word) or word in _WRAPPERS or word in _KEYWORDS:
        return True
    return index > 0 and words[index - 1] == "timeout"


def _subcommand(program: str, arguments: list[str]) -> list[str]:
    """The words that say what a program with subcommands does."""
    depth = _DEPTH.get(program, 0)
    found: list[str] = []
    skip = False
    for word in arguments:
        if len(found) >= depth:
            break
        if skip or word.startswith("-"):
            skip = not skip and word in _VALUE_OPTIONS
            continue
        if not _SUBCOMMAND.match(word):
            break
        found.append(word)
        if word in _RUNNERS:
            depth += 1
    return found

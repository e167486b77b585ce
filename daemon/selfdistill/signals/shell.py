"""A shell command line taken apart into its simple commands, well enough to know which programs it runs.

Not a shell: no expansion, no control flow. Quoted text stays one word, here-documents and comments vanish,
keywords (`if`, `do`, `then` ...) count as separators. Never raises; work is linear in the length of the line.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

MAX_CHARACTERS: Final = 4096  # longer lines are scripts in a here-document or a patch; their head says what they are

_MAX_HERE_DOCUMENTS: Final = 32
_HERE_DOCUMENT: Final = re.compile(r"(?<!<)<<-?[ \t]*['\"\\]?([A-Za-z_]\w*)['\"]?")
_TOKEN: Final = re.compile(
    r"""
    [ \t\r]++ | \\\n                                                     # blanks
    | (?<![^\s;&|(])\#[^\n]*+                                            # comment
    | \d*(?:&>>?|>>?[&|]?|<<<|<)[ \t]*(?:"[^"]*"|'[^']*'|[^\s;&|()"'])*+ # redirection
    | (&&|\|\||\|&|[;&|\n()`])                                           # separator
    | ((?:[^\s;&|()`'"\\<>]|\\.|'[^']*'|"(?:[^"\\]|\\.)*+")++)           # word
    | .                                                                  # a quote without its partner
    """,
    re.VERBOSE | re.DOTALL,
)
_KEYWORDS: Final = frozenset(
    {"if", "then", "elif", "else", "while", "until", "do", "!", "{", "}", "fi", "done", "esac"}
)


class SimpleCommand(Struct, frozen=True, gc=False):
    """One program with its arguments, unquoted. `piped` when it reads the output of the command before it."""

    words: tuple[str, ...]
    piped: bool = False


def simple_commands(line: str) -> tuple[SimpleCommand, ...]:
    """Every simple command of a shell line, in order, without quotes; empty for an empty line."""
    return tuple(SimpleCommand(tuple([_unquoted(word) for word in words]), piped) for words, piped in split(line))


def split(line: str) -> list[tuple[list[str], bool]]:
    """The words of every simple command as they are written, and whether it reads the output of the one before it."""
    if "<<" in line:
        line = _without_here_documents(line)
    commands: list[tuple[list[str], bool]] = []
    words: list[str] = []
    piped = False
    for separator, word in _TOKEN.findall(line[:MAX_CHARACTERS]):
        if word:
            if words or word not in _KEYWORDS:
                words.append(word)
        elif separator:
            if words:
                commands.append((words, piped))
                words = []
            piped = separator in {"|", "|&"} or (piped and separator == "\n" and not words)
    if words:
        commands.append((words, piped))
    return commands


def _without_here_documents(line: str) -> str:
    """The line without the bodies of its here-documents; one that is never closed is no here-document (`1 << n`)."""
    parts: list[str] = []
    position = 0
    for _ in range(_MAX_HERE_DOCUMENTS):
        opening = _HERE_DOCUMENT.search(line, position)
        if opening is None:
            break
        body = line.find("\n", opening.end())
        closing = _closing(line, body, opening[1]) if body >= 0 else -1
        parts.append(line[position : opening.start()])
        position = opening.end()
        if closing >= 0:
            parts.append(line[position : body + 1])
            position = closing
    parts.append(line[position:])
    return "".join(parts)


def _closing(line: str, start: int, delimiter: str) -> int:
    """Where the text after the here-document's delimiter, alone on its line, begins; -1 without one."""
    closing = re.compile(rf"\n[ \t]*+{delimiter}(?=[\n\r)]|\Z)").search(line, start)
    return -1 if closing is None else closing.end()


def _unquoted(word: str) -> str:
    """The word without its quotes; escapes are left alone, they do not occur in names of programs."""
    if '"' in word or "'" in word:
        return word.replace('"', "").replace("'", "")
    return word

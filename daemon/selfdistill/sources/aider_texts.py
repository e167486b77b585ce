"""How Aider writes a session's facts, outcomes and edits into its chat history (aider/io.py, aider/coders)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct, field

from selfdistill.sources.decoding import digest
from selfdistill.sources.patches import replacements

STARTED: Final = re.compile(r"# aider chat started at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\s*")
FENCES: Final = ("```", "~~~", "<source>", "</source>")
PROGRAM: Final = ("# Fix any errors below", "I ran this command:", "<blank>", "I added these files to the chat")
SPOKEN: Final = ("ask", "code", "architect", "help", "context")  # what follows the command is for the model
EXITS: Final = frozenset({"/ex", "/exi", "/exit", "/quit", "/q", "/qui"})
UNDO: Final = "/undo"  # of all commands the one that judges the work
RUNS: Final = re.compile(r"(?:/(?:run|test|lint)\b|!)\s*(.*)", re.DOTALL)
MATCHLESS: Final = re.compile(r"## \w+: This SEARCH block failed to exactly match lines in (.+)")
APPLIED: Final = re.compile(r"Applied edit to (.+)")
LINTED: Final = re.compile(r"## Running: (.+)")
RAN: Final = re.compile(r"Running (.+)")
MODEL: Final = re.compile(r"(?:Main model|Models?): (\S+)")
TOKENS: Final = "Tokens:"  # what an answer has cost: the model is done
VERSION: Final = re.compile(r"Aider (v\d\S*)")
DIRECTORY: Final = re.compile(r"Git working dir: (/.+)")
REFUSED: Final = re.compile(r"Run shell commands?(?:\(s\))?\? (?:.*\s)?(?:n|no|s|d)")
GOES_ON: Final = re.compile(  # what makes aider ask the model again by itself
    r"(?:Attempt to fix \w+ errors|Fix lint errors in .*|Edit the files|Add .* to the chat)\? (?:.*\s)?[yYaA]\w*"
)
MESSAGE: Final = re.compile(r"\S*aider\S*(?: .*)? (?:--message(?:-file)?|--msg|-m|-f)\b")
NOTICES: Final = ("Unexpected error", "litellm.", "Retrying in", "The LLM did not conform", "No changes made to")

LONGEST_BLOCK: Final = 14 * 1024  # characters of a block that are remembered: at most 56 KiB in UTF-8
_KEPT_OF_LONG: Final = 5 * 1024  # characters of the beginning, and of the end, of a longer output or prompt


class Block(Struct):
    """The lines that were read of a record which may go on: of a person, of aider, or of the model."""

    kind: str = ""
    offset: int = 0
    length: int = 0  # up to the last line's end, without its newline
    lines: list[str] = field(default_factory=list)
    size: int = 0  # characters of the lines
    fenced: bool = False  # the model's text is inside a code fence
    raw: bool = False  # output of several lines, up to the one with two spaces
    told: bool = False  # a line of it has given events already

    def add(self, words: str, end: int) -> None:
        """Add a line; of what grows too long the beginning and the end are kept."""
        self.lines.append(words)
        self.size += len(words) + 1
        self.length = end - self.offset
        if self.size > LONGEST_BLOCK:
            text = "\n".join(self.lines)
            self.lines = [text[:_KEPT_OF_LONG], text[-_KEPT_OF_LONG:]]
            self.size = 2 * _KEPT_OF_LONG


class Edit(Struct, array_like=True):
    """An edit that the model proposed: its file, and what stands for the text it replaces."""

    path: str
    old: str


def edits_in(text: str) -> Iterator[tuple[str, str, str]]:
    """Return (path, old, new) of each SEARCH/REPLACE block: its file is named on the line before its fence or mark."""
    path = ""
    for piece in re.split(r"(?m)^(?=<{5,9} (?:SEARCH|ORIGINAL))", text):
        for old, new in replacements(piece)[:1]:
            yield path, old, new
        path = _named(piece) or path


def _named(text: str) -> str:
    """The file that the last lines before a block name, "" where they name none."""
    for line in reversed(text.rstrip("\n").split("\n")[-3:]):
        words = line.strip().strip("`*:#").strip()
        if line.startswith(">>>>>"):
            break  # what is above belongs to the block before
        if words and not line.lstrip().startswith(FENCES) and " " not in words:
            return words
    return ""


def outline(text: str) -> str:
    """What stands for a text that is quoted with other spaces."""
    return digest("".join(text.split()))


def local_time(started: str) -> float | None:
    """A time that the log tells in the machine's own zone."""
    try:
        return datetime.fromisoformat(started).timestamp()
    except (ValueError, OverflowError, OSError):
        return None

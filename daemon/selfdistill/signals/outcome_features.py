"""What a session's course says about its end, as shares and marks between 0 and 1: never counts, never length.

More steps go with failure across tasks, but not within one task (shared/signals.md, finding 11), so nothing in here
grows with a session's length by itself: shares of calls, the largest edit, the last state. Each reading has a reason
that a person can check in the log.
"""

from __future__ import annotations

import re
from math import log
from typing import Final
from zlib import crc32

from msgspec import Struct, field

from selfdistill.model import ToolInput, ToolKind

MAX_NAMES: Final = 40  # of a request: 80 or 200 tell no more (AUC .65 against .64)
MAX_REQUESTS: Final = 8
MAX_FILES: Final = 16
REPEATS: Final = 3  # P(session fails | identical call three times in a row) is .92-1.00 (signals.md, finding 10)
ENOUGH_SEARCHES: Final = 4
LARGEST: Final = 64  # lines; a larger edit is no worse sign than this
_FIRST_LINE: Final = 400
_TELLING: Final = 1_000  # characters that tell one call from another
_READ: Final = 8_000  # characters of a request in which names are looked for
_SHORTEST_NAME: Final = 4
_MIN_SHARED: Final = 200  # characters: shorter requests ("continue", "yes") are repeated without meaning anything

_TOKEN: Final = re.compile(r"[A-Za-z_][\w./]*\(?")
_TOKEN_PARTS: Final = re.compile(r"[./(]")
_LONGEST_WORD: Final = 120  # longer ones are data
_INNER: Final = re.compile(r"[a-z0-9][A-Z]|\w_\w")
_TEST_PATH: Final = re.compile(
    r"(?:^|/)(?:tests?|testing|spec|__tests__)/|(?:^|/)(?:test_|conftest)|[._]test\.|\.spec\.|repro"
)
_HEDGES: Final = ("might ", "maybe ", "perhaps ", "possibly ", "could be ", "appears to ")
_SHELL_EDIT_MARKS: Final = ("sed -", "<<", ".write", "write_text", "git apply", "patch -", "perl -")
_SHELL_EDIT: Final = re.compile(
    r"\bsed (?:-[a-zA-Z]+ )*(?:-i|--in-place)|\bperl -\w*i|\bgit apply\b|\bpatch -|\.write\(|\bwrite_text\("
    r"|\bcat\s*>>?\s*[^\s<]+\s*<<|\bcat\s*<<-?\s*\S+\s*>>?\s*\S|\btee\s+(?:-a\s+)?\S+[^\n]*<<"
)
_FILE_WORD: Final = re.compile(r"(?<![\w.])[\w./~-]*\w\.\w{1,5}\b")


class Change(Struct, frozen=True, array_like=True, omit_defaults=True):
    """What an edit would change, before it is known whether it succeeds.

    `file_named`, `code_named`: whether the request names the file, or anything in the code that is replaced; None
    where the request names nothing or the log does not say what is replaced.
    """

    path: int = 0  # CRC-32, 0 where the log does not say
    lines: int = 0
    is_test: bool = False
    file_named: bool | None = None
    code_named: bool | None = None


class Watch(Struct, omit_defaults=True):
    """What must be remembered to judge the next call: the names in the request, earlier requests, the latest call."""

    heard: bool = False  # a request, or what stands for it
    names: list[str] = field(default_factory=list)  # redacted
    asked: list[int] = field(default_factory=list)  # CRC-32 of the latest long requests
    last: int = 0  # CRC-32 of the latest call
    times: int = 0  # that it was made in a row; an edit that is applied begins anew

    def learn(self, text: str) -> None:
        """Remember what a (redacted) request names; one that names nothing ("go on") leaves what was named before."""
        self.heard = True
        self.names = names_in(text) or self.names

    def again(self, text: str, *, by_person: bool) -> bool:
        """Whether a text is a person's earlier request, word for word; a harness may be who says it again."""
        if len(text) < _MIN_SHARED:
            return False
        mark = crc32(text.encode("utf-8", "replace"))
        if mark in self.asked:
            return True
        if by_person:
            self.asked.append(mark)
            del self.asked[:-MAX_REQUESTS]
        return False

    def change(self, kind: ToolKind, given: ToolInput) -> Change | None:
        """What a call would change; None if it changes nothing."""
        if kind is ToolKind.SHELL:
            if not changes_files(given.command):
                return None
            text = given.command
            path = _written_path(text)
        elif kind is ToolKind.EDIT or kind is ToolKind.WRITE:
            text, path = given.new or given.old, given.path
        else:
            return None
        replaced = given.old or text
        return Change(
            path=crc32(path.encode("utf-8", "replace")) if path else 0,
            lines=text.count("\n") + 1 if text else 0,
            is_test=bool(_TEST_PATH.search(path)),
            file_named=_file_named(path, self.names) if path and self.names else None,
            code_named=any(map(replaced.__contains__, self.names)) if replaced and self.names else None,
        )

    def repeats(self, tool: str, given: ToolInput) -> bool:
        """Take in a call; whether it is the third in a row that is the same, with no edit applied in between."""
        said = given.command or f"{given.path}\0{given.old}\0{given.text}"
        mark = crc32(f"{tool}\0{said[:_TELLING]}".encode("utf-8", "replace"))
        self.times = self.times + 1 if mark == self.last else 1
        self.last = mark
        return self.times >= REPEATS


class Course(Struct, omit_defaults=True):
    """How the work of an episode or a session went so far: a fold, the same in any number of pieces."""

    requests: int = 0
    requests_again: int = 0
    calls: int = 0
    failed_calls: int = 0
    searches: int = 0  # before the first change, at most ENOUGH_SEARCHES
    edits: int = 0  # applied
    failed_edits: int = 0
    code_edits: int = 0  # applied, of files other than tests
    files_judged: int = 0  # applied edits of files other than tests where the request names something
    files_named: int = 0
    code_judged: int = 0
    code_named: int = 0
    largest: int = 0  # lines of the largest applied edit, tests left out
    files: dict[int, int] = field(default_factory=dict)  # applied edits per file
    runs: int = 0
    failed_runs: int = 0
    said: int = 0
    hedged: int = 0
    repeated: bool = False
    cut_off: bool = False  # the last thing in the log is a call that was no edit, or that failed

    def ask(self, *, again: bool) -> None:
        """Count a request."""
        self.requests += 1
        self.requests_again += again

    def say(self, *, hedged: bool) -> None:
        """Count a statement of the agent."""
        self.said += 1
        self.hedged += hedged
        self.cut_off = False

    def call(self, kind: ToolKind, *, failed: bool, changed: Change | None) -> None:
        """Count a finished call."""
        self.calls += 1
        self.failed_calls += failed
        self.cut_off = failed or changed is None
        if changed is None:
            if kind is ToolKind.SEARCH and not self.edits and self.searches < ENOUGH_SEARCHES:
                self.searches += 1
        elif failed:
            self.failed_edits += kind is not ToolKind.SHELL
        else:
            self.edits += 1
            self._applied(changed)

    def run(self, *, failed: bool) -> None:
        """Count a run of the tests."""
        self.runs += 1
        self.failed_runs += failed

    def _applied(self, changed: Change) -> None:
        """Count an edit of code; what tests need is seldom in a request."""
        if changed.is_test:
            return
        self.code_edits += 1
        self.largest = max(self.largest, min(changed.lines, LARGEST))
        if changed.path and (changed.path in self.files or len(self.files) < MAX_FILES):
            self.files[changed.path] = self.files.get(changed.path, 0) + 1
        if changed.file_named is not None:
            self.files_judged += 1
            self.files_named += changed.file_named
        if changed.code_named is not None:
            self.code_judged += 1
            self.code_named += changed.code_named


def readings(course: Course) -> dict[str, float]:
    """What the course of the work says, each between 0 and 1, only where the log tells; more is worse."""
    read: dict[str, float] = {}
    if course.requests:
        read["asked_again"] = course.requests_again / course.requests
    if course.calls:
        read["failed_calls"] = course.failed_calls / course.calls
        read["long_search"] = course.searches / ENOUGH_SEARCHES
        read["repeated_call"] = float(course.repeated)
        read["cut_off"] = float(course.cut_off)
        tried = course.edits > 0 or course.failed_edits > 0 or course.cut_off  # else it was a question
        read["no_code_changed"] = float(tried and not course.code_edits)
    if course.edits + course.failed_edits:
        read["failed_edits"] = course.failed_edits / (course.edits + course.failed_edits)
    if course.files:
        read["scattered_edits"] = 1 - max(course.files.values()) / sum(course.files.values())
    if course.largest:
        read["large_edit"] = log(course.largest) / log(LARGEST)
    if course.files_judged:
        read["unnamed_files"] = 1 - course.files_named / course.files_judged
    if course.code_judged:
        read["unnamed_code"] = 1 - course.code_named / course.code_judged
    if course.runs:
        read["failing_runs"] = course.failed_runs / course.runs
    if course.said:
        read["hedging"] = course.hedged / course.said
    return read


def names_in(text: str) -> list[str]:
    """The code-like names in a text, in order, at most 40: what a change that answers it would touch.

    Paths and dotted names by their parts, calls, words with an underscore or a capital inside, from 4 characters.
    """
    found: dict[str, None] = {}
    for word in text[:_READ].split():
        if (word.isalpha() and (word.islower() or word[1:].islower())) or len(word) > _LONGEST_WORD:
            continue  # nine of ten words, before any regular expression
        for token in _TOKEN.findall(word):
            parts = _TOKEN_PARTS.split(token.rstrip("./"))
            if len(parts) > 1 or _INNER.search(token):
                found.update(dict.fromkeys(part for part in parts if len(part) >= _SHORTEST_NAME))
        if len(found) >= MAX_NAMES:
            break
    return list(found)[:MAX_NAMES]


def hedges(text: str) -> bool:
    """Whether the agent is unsure of what it says."""
    return any(map(text.__contains__, _HEDGES))


def changes_files(command: str) -> bool:
    """Whether a shell line writes into files: `sed -i`, `cat > FILE <<EOF`, `git apply`, a script that writes."""
    return any(map(command.__contains__, _SHELL_EDIT_MARKS)) and bool(_SHELL_EDIT.search(command))


def _written_path(command: str) -> str:
    """The file that a shell line most likely writes: the last one named in its first line."""
    words = _FILE_WORD.findall(command.partition("\n")[0][:_FIRST_LINE])
    return words[-1] if words else ""


def _file_named(path: str, names: list[str]) -> bool:
    """Whether a file's name, without its ending, is among the names."""
    return path.replace("\\", "/").rpartition("/")[2].partition(".")[0] in names

"""What an interactive agent's notes tell of: edits applied or refused, linters and tests that its harness ran."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Final

from bench.quality.actions import Action
from msgspec import Struct

from selfdistill.model import ToolInput, ToolKind
from selfdistill.signals.runs import read_test_run

_NOTE: Final = re.compile(
    r"^(?:"
    r"Applied edit to (?P<applied>.+)"
    r"|(?:## )?(?P<refused>(?:SearchReplaceNoExactMatch|UnifiedDiffNoMatch|The LLM did not conform to the edit format"
    r"|Malformed edit)\b.*)"
    r"|(?:## )?Running: (?P<linted>\S.*)"
    r"|(?:Test Script|Test command|Running tests): ?(?P<tested>.+)"
    r"|Running (?P<counted>\d+) tests? in\b.*"
    r"|Attempt to fix (?P<fixing>test|lint) errors?\?.*"
    r")$",
    re.MULTILINE,
)
_HARNESS_TESTS: Final = "pytest"  # a harness that runs the tests itself does not say how
_HARNESS_SUMMARY: Final = re.compile(r"^(\d+) passed\. (\d+) failed\. (\d+) errors\.", re.MULTILINE)


class Noted(Struct, frozen=True):
    """A call that a note tells of, its output, and whether it failed."""

    action: Action
    output: str
    failed: bool


def notes_in(text: str) -> Iterator[Noted]:
    """The calls that a note tells of, in order; most tell of none."""
    marks = list(_NOTE.finditer(text))
    refused = False
    for mark, following in zip_longest(marks, marks[1:]):
        output = text[mark.end() : following.start() if following else len(text)].strip()
        asked = following is not None and following["fixing"] is not None
        if mark["applied"]:
            yield Noted(_edit(mark["applied"]), "", failed=False)
        elif mark["refused"] and not refused:
            refused = True  # one answer may be refused in several blocks and sentences: it is one edit
            yield Noted(_edit(""), mark["refused"], failed=True)
        elif mark["linted"]:
            yield Noted(_shell(mark["linted"]), output, failed=True)  # linters are told of only when they complain
        elif mark["tested"]:
            yield Noted(_shell(mark["tested"]), output, failed=asked or _failing(output))
        elif mark["counted"]:
            output = _HARNESS_SUMMARY.sub(_as_runner_says, output)
            yield Noted(_shell(_HARNESS_TESTS), output, failed=_failing(output))


def _as_runner_says(summary: re.Match[str]) -> str:
    """A harness' own summary of a test run in the words of the runner that it stands for."""
    words = ("passed", "failed", "errors")
    counted = [f"{count} {word}" for count, word in zip(summary.groups(), words, strict=True) if count != "0"]
    return f"===== {', '.join(counted) or 'no tests ran'} in 0.00s ====="


def _failing(output: str) -> bool:
    """Whether a test run's own summary says that it failed."""
    run = read_test_run(_HARNESS_TESTS, output)
    return run is not None and not run.ok


def _edit(path: str) -> Action:
    return Action("edit", ToolKind.EDIT, ToolInput(path=path.strip()))


def _shell(command: str) -> Action:
    return Action("bash", ToolKind.SHELL, ToolInput(command=command.strip()))

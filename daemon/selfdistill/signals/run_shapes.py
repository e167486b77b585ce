"""The summaries of test runners that one regular expression can read, as a table, and the reader of such a table.

The shapes are those of the runners' own sources and documentation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_FAILING: Final = 20
MAX_NAME_CHARACTERS: Final = 200


class TestRun(Struct, frozen=True, gc=False):
    """How a run of tests ended. `complete`: a summary was seen; without one "no failure" proves nothing.

    Counts are of tests; where a runner does not count them (`go test` without `-v`) of packages; 0 where it counts
    nothing. `errors` are tests or files that could not be run. `failing` holds at most 20 names of failed tests or
    files, each at most 200 characters, in the order of the output.
    """

    __test__ = False  # pytest: not a class of tests

    runner: str
    passed: int = 0
    failed: int = 0
    errors: int = 0
    skipped: int = 0
    failing: tuple[str, ...] = ()
    complete: bool = True

    @property
    def ok(self) -> bool:
        """Whether the run is known to have ended without a failure."""
        return self.complete and not self.failed and not self.errors


class Shape(Struct, frozen=True):
    """One runner's summary: `summary` matches its lines, their counts are `12 failed` or, `word_first`, `failed: 12`.

    `marks`: each such line holds one of these. `failing` finds names in its last group, in lines that hold one of
    `failing_marks`; `certain` when such a line proves a failed test even where the summary was cut off. `last`: only
    the last summary counts, because it repeats those before it. `also`: a text without this is another program's.
    """

    runner: str
    marks: tuple[str, ...]
    summary: re.Pattern[str]
    failing_marks: tuple[str, ...] = ()
    failing: re.Pattern[str] | None = None
    word_first: bool = False
    certain: bool = False
    last: bool = False
    also: str = ""


_FIELDS: Final = {
    **dict.fromkeys(("passed", "pass", "passing", "succeeded", "xpassed"), "passed"),
    **dict.fromkeys(("failed", "fail", "failing", "failure", "failures", "issue", "issues", "successes"), "failed"),
    **dict.fromkeys(("error", "errors", "cancelled"), "errors"),
    **dict.fromkeys(("skipped", "skips", "pending", "ignored", "todo", "xfailed", "disabled", "incomplete"), "skipped"),
    **dict.fromkeys(("tests", "test", "examples", "example", "runs", "run", "total", "completed"), "total"),
}
_NUMBER_WORD: Final = re.compile(r"(?P<count>\d{1,9}) (?P<word>[A-Za-z]+)")
_WORD_NUMBER: Final = re.compile(r"(?P<word>[A-Za-z]+)[:= ] *(?P<count>\d{1,9})")


def lines_with(text: str, marks: Sequence[str]) -> list[str]:
    """The lines that hold one of the marks, in order: many times faster than a pattern tried at every line."""
    starts: set[int] = set()
    for mark in marks:
        found = text.find(mark)
        while found >= 0:
            starts.add(text.rfind("\n", 0, found) + 1)
            end = text.find("\n", found)
            found = text.find(mark, end) if end >= 0 else -1
    return [text[start:end] if (end := text.find("\n", start)) >= 0 else text[start:] for start in sorted(starts)]


def names_by(pattern: re.Pattern[str], lines: Iterable[str]) -> tuple[str, ...]:
    """The first names that the pattern's last group finds, each once, cut to what is kept."""
    unique: dict[str, None] = {}
    for line in lines:
        match = pattern.match(line)
        if match is not None and (name := match[match.lastindex or 0].strip()[:MAX_NAME_CHARACTERS]):
            unique[name] = None
            if len(unique) == MAX_FAILING:
                break
    return tuple(unique)


def counts_in(summary: str, *, word_first: bool = False) -> dict[str, int]:
    """The counts of summaries by field of `TestRun`; `passed` is what the total leaves where it is not told."""
    counts: dict[str, int] = {}
    for match in (_WORD_NUMBER if word_first else _NUMBER_WORD).finditer(summary):
        name = _FIELDS.get(match["word"].casefold())
        if name is not None:
            counts[name] = counts.get(name, 0) + int(match["count"])
    total = counts.pop("total", None)
    if total is not None and "passed" not in counts:
        counts["passed"] = max(0, total - sum(counts.values()))
    return counts


def counted(runner: str, counts: dict[str, int], failing: tuple[str, ...], *, complete: bool = True) -> TestRun:
    """A run of these counts."""
    return TestRun(
        runner,
        passed=counts.get("passed", 0),
        failed=counts.get("failed", 0),
        errors=counts.get("errors", 0),
        skipped=counts.get("skipped", 0),
        failing=failing,
        complete=complete,
    )


def read_shape(shape: Shape, text: str) -> TestRun | None:
    """What the text says in this shape; None when it says nothing."""
    if shape.also not in text:
        return None
    marks = [mark for mark in shape.marks if mark in text]  # nearly always none: `in` costs a tenth of `lines_with`
    summaries = [line for line in lines_with(text, marks) if shape.summary.match(line)] if marks else []
    if not summaries and not shape.certain:
        return None
    failing = names_by(shape.failing, lines_with(text, shape.failing_marks)) if shape.failing else ()
    if summaries:
        told = summaries[-1] if shape.last else "\n".join(summaries)
        return counted(shape.runner, counts_in(told, word_first=shape.word_first), failing)
    return counted(shape.runner, {"failed": len(failing)}, failing, complete=False) if failing else None


# A task runner (mise, turbo, docker compose) may put its task's name before each line.
_PREFIX: Final = r"(?:\[[^\]]{1,60}\] |\S{1,40} *\| )?"

SHAPES: Final = (
    Shape(
        "pytest",
        (" in ",),
        re.compile(
            _PREFIX + r"=*+ ?(?:(?:\d+ (?:failed|passed|skipped|deselected|xfailed|xpassed|warnings?|errors?|rerun|"
            r"subtests passed)(?:, )?)++|no tests (?:ran|collected).{0,40}?) in [\d.:]+ ?s"
        ),
        ("FAILED ", "ERROR "),
        re.compile(
            r"(?:\[[\w:-]+\] )?(?:FAILED|ERROR) (?:collecting )?(\S+?\.py(?:::.*?)?)(?: - .*)?$"
            r"|(\S+?\.py::.*?) (?:FAILED|ERROR) +\[ *\d+%\]$"
        ),
        certain=True,
    ),
    Shape(
        "mocha",
        (" passing", " failing", " pending"),
        re.compile(r" +\d+ (?:passing \(\d+(?:\.\d+)?(?:ms|s|m)\)|failing$|pending$)"),
        (") ",),
        re.compile(r" +\d+\) (.+)$"),
    ),
    Shape(
        "playwright",
        (" passed", " failed", " skipped", " flaky"),
        re.compile(r" {2}\d+ (?:passed \(\d+(?:\.\d+)?(?:ms|s|m)\)|failed$|skipped$|flaky$)"),
        (" \u203a ",),
        re.compile(r" +\d+\) (\[.+?\] \u203a .+?)(?: \u2500+)?$"),
    ),
    Shape(
        "bun",
        (" pass", " fail", " skip", " todo"),
        re.compile(r" *\d+ (?:pass|fail|skip|todo)$"),
        ("(fail) ", "\u2717 "),
        re.compile(r"(?:\(fail\)|\u2717) (.+?)(?: \[[\d.]+m?s\])?$"),
        also=" across ",
    ),
    Shape(
        "cargo",
        ("test result: ",),
        re.compile(r"test result: (?:ok|FAILED)\. "),
        (" ... FAILED",),
        re.compile(r"test (\S.*?) \.\.\. FAILED$"),
        certain=True,
    ),
    Shape(
        "nextest",
        ("Summary [",),
        re.compile(r" *Summary \[ *[\d.]+s\] "),
        ("FAIL [", "TIMEOUT [", "SIGABRT [", "SIGSEGV ["),
        re.compile(r" *(?:FAIL|TIMEOUT|SIGABRT|SIGSEGV) \[[ \d.>]+s\] (?:\( *\d+/\d+\) )?(.+)$"),
        also=" run: ",
    ),
    Shape(
        "rspec",
        (" examples, ", " example, "),
        re.compile(r"\d+ examples?, \d+ failures?"),
        ("rspec ./",),
        re.compile(r"rspec (\./\S+)"),
    ),
    Shape(
        "minitest",
        (" assertions, ",),
        re.compile(r"\d+ (?:runs|tests), \d+ assertions, \d+ failures, \d+ errors"),
        ("#test_",),
        re.compile(r"(\S+#test_\w+)"),
    ),
    Shape(
        "phpunit",
        ("Assertions: ",),
        re.compile(r"Tests: \d+, Assertions: "),
        (") ",),
        re.compile(r"\d+\) (\S+::.+)$"),
        word_first=True,
    ),
    Shape("phpunit", ("OK (",), re.compile(r"OK \(\d+ tests?, \d+ assertions?\)$")),
    Shape(
        "exunit",
        (" failure",),
        re.compile(r"(?:\d+ (?:doctests?|properties|property), )*\d+ tests?, \d+ failures?(?:[, (]|$)"),
        (") test ", " \u2717 "),
        re.compile(r"(?: +\d+\) test | \u2717 )(.+)$"),
    ),
    Shape(
        "dotnet",
        ("Failed: ", "Test summary: "),
        re.compile(r"\s*(?:Passed|Failed|Skipped)! +- Failed: |\s*Test summary: total: "),
        (" Failed ",),
        re.compile(r" +Failed (\S+.*?) \[[<\d].*\]$"),
        word_first=True,
    ),
    Shape(
        "dotnet",
        ("Total tests: ", " Passed: ", " Failed: ", " Skipped: "),
        re.compile(r"Total tests: \d+$| +(?:Passed|Failed|Skipped): \d+$"),
        (" Failed ",),
        re.compile(r" +Failed (\S+.*?) \[[<\d].*\]$"),
        word_first=True,
        also="Total tests: ",
    ),
    Shape(
        "maven",
        ("Tests run: ",),
        re.compile(r"(?:\[\w+\] +)?Tests run: \d+, Failures: \d+, Errors: \d+(?!.*Time elapsed)"),
        ("<<< ",),
        re.compile(r"\[ERROR\] +(\w[\w.$]*[.:]\S+).*<<< (?:FAILURE|ERROR)!"),
        word_first=True,
    ),
    Shape(
        "gradle",
        (" completed, ",),
        re.compile(r"\d+ tests? completed, \d+ failed"),
        (" FAILED",),
        re.compile(r"(\S+ > .+) FAILED$"),
    ),
    Shape(
        "xctest",
        ("Executed ", "Test run with "),
        re.compile(r"\s*Executed \d+ tests?, with .*?\d+ failures?|.{0,4}Test run with \d+ tests? "),
        ("-[", " Test "),
        re.compile(r".*error: -\[(.+?)\]|. Test (?!run )(\S+) failed after"),
        last=True,
    ),
    Shape(
        "deno",
        (" passed | ",),
        re.compile(r"(?:ok|FAILED) \| \d+ passed"),
        (" ... FAILED",),
        re.compile(r"(\S.*?) \.\.\. FAILED"),
    ),
    Shape(
        "node",
        ("# ", "\u2139 "),
        re.compile(r"(?:#|\u2139) (?:tests|pass|fail|cancelled|skipped|todo) \d+$"),
        ("not ok ", "\u2716 "),
        re.compile(r"(?: *not ok \d+ - |\s*\u2716 )(.+?)(?: \([\d.]+ms\)| # .*)?$"),
        word_first=True,
    ),
    Shape(
        "gotestsum",
        ("DONE ",),
        re.compile(r"DONE \d+ tests?"),
        ("--- FAIL: ", "=== FAIL: "),
        re.compile(r" *(?:--- FAIL: (\S+)|=== FAIL: (\S+ \S+))"),
    ),
)

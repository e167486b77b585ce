"""Failing test runs that the log reports as successes: pipes into `tail`, `|| true`, code mode, background tasks.

The truth comes from a reader of our own that knows nothing of the product: a shell line that starts a test runner (by
its own words or by a task's name), and the line with which the runner sums up a failure in that call's output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.quality.data import Log, Reader, events, real_logs, say
from bench.quality.metric import Metric, bootstrap
from msgspec import Struct
from msgspec.structs import replace

from selfdistill.model import Event, EventKind, ToolKind
from selfdistill.signals.observing import Observer
from selfdistill.signals.steps import Moment, Step

_RUNNER: Final = (
    r"go test|gotestsum|(?:python[\d.]* -m )?(?:pytest|unittest)|py\.test|tox|nox|cargo (?:\+\S+ )?(?:test|nextest)"
    r"|(?:npm|pnpm|yarn|bun)(?: run| exec)?(?: -\S+)* (?:test\S*|t\b|jest|vitest|mocha)"
    r"|(?:npx |bunx )?(?:jest|vitest|mocha)|deno test|node --test|rspec|phpunit|mix test|swift test|dotnet test|ctest"
    r"|(?:rails|rake) test"
    r"|(?:mise|just|task|make|invoke|hatch|poe|nx|turbo)(?: run| r)?(?: -\S+)* \S*test\S*"
    r"|(?:\./)?(?:mvnw?|gradlew?)\b[^;&|\n]* \S*[tT]est\S*|\S*\btests?\.sh"
)
# At the start of a simple command, behind assignments, `timeout 60`, `uv run`, `bundle exec` and the like.
_RUNS_TESTS: Final = re.compile(
    rf"(?:^|[;&|(\n'\"]|\b(?:do|then|time)\s)\s*(?:\w+=\S*\s+|timeout\s+\S+\s+|time\s+|env\s+|sudo\s+"
    rf"|(?:uv|poetry|pdm|pipenv|hatch)\s+run\s+|bundle\s+exec\s+|\S*/bin/|\./)*(?:{_RUNNER})(?=\s|$|[;&|)'\"])"
)
_ONLY_LISTS: Final = re.compile(r"--(?:collect-only|list(?:Tests)?|no-run|help|version)\b|\bgo test\b[^;&|\n]* -list\b")
_TASK: Final = r"^[ \t]*(?:\[[^\]\n]{1,60}\] |\S{1,40} +\| )?"  # a task runner may put its task's name before a line
_SUMMARIES: Final = (
    r"=* ?(?:\d+ [a-z]+, )*[1-9]\d* (?:failed|errors?)(?:, \d+ [a-z ]+)* in [\d.:]+ ?s\b.*",  # pytest
    r"--- FAIL: \S+ \([\d.]+s\)|FAIL\t\S+.*|FAIL",  # go
    r"test result: FAILED\. .*",  # cargo
    r"Tests:? +(?:\d+ \w+,? [|]? ?)*[1-9]\d* failed\b.*",  # Jest, Vitest
    r"Test (?:Suites:|Files) +[1-9]\d* failed\b.*",
    r"[1-9]\d* failing",  # Mocha
    r"\d+ (?:examples?|tests?), [1-9]\d* failures?\b.*",  # RSpec, ExUnit
    r"FAILED \((?:[a-z ]+=\d+(?:, )?)+\)",  # unittest
    r"(?:#|\u2139) fail [1-9]\d*|not ok \d+ .*(?<!# TODO)(?<!# SKIP)",  # node, TAP
    r"[1-9]\d* fail",  # bun
    r"(?:\[\w+\] )?Tests run: \d+, (?:Failures: [1-9]\d*, Errors: \d+|Failures: 0, Errors: [1-9]\d*).*",  # Maven
    r"\d+ tests? completed, [1-9]\d* failed.*",  # Gradle
    r"FAILURES!|Failed! +- Failed: +[1-9]\d*,.*",  # PHPUnit, dotnet
    r"\d+% tests passed, [1-9]\d* tests? failed out of \d+",  # CTest
    r"Executed \d+ tests?, with (?:\d+ tests? skipped and )?[1-9]\d* failures?\b.*",  # XCTest
)
_FAILED: Final = re.compile(rf"{_TASK}(?:{'|'.join(_SUMMARIES)})[ \t]*\r?$", re.MULTILINE)
_QUOTED: Final = re.compile(r"(?<!c )(?:'[^']*'|\"(?:[^\"\\]|\\.)*\")")  # `bash -c "..."` is a line of its own
_COLOURS: Final = re.compile(r"\x1b\[[\d;]*m")


class Runs(Struct):
    """The failing runs of one session that its log calls successes, and which of them the product sees."""

    project: str
    found: int = 0
    missed: int = 0
    product_alone: int = 0  # the product sees a failing run where the reader here sees none


def measure(data: Path) -> list[Metric]:
    """Recall of failing runs reported as successes, over all real sessions; nothing where there are none."""
    reader = Reader()
    cases: list[Runs] = []
    for log in real_logs(data):
        runs = Runs(log.project)
        for step, result in _shell_steps(reader, log):
            _count(runs, step, result)
        if runs != Runs(log.project):
            cases.append(runs)
    reader.tell("masked test failures")
    metric = bootstrap("masked_test_failure_recall", cases, recall, baseline=0.0)
    if metric is None:
        say("masked test failures: no failing test run that its log reports as a success.")
        return []
    failing = sum(one.found + one.missed for one in cases)
    note = (
        f"in {sum(bool(one.found + one.missed) for one in cases)} sessions; "
        f"{sum(one.product_alone for one in cases)} more that only the product sees; the exit status alone finds none"
    )
    return [replace(metric, n=failing, note=note)]


def recall(cases: Sequence[Runs]) -> float | None:
    """The share of failing runs that the product sees; None without one."""
    failing = sum(one.found + one.missed for one in cases)
    return sum(one.found for one in cases) / failing if failing else None


def shows_failed_run(command: str, output: str) -> bool:
    """Whether this line starts a test runner, and the output has a runner's line that sums up a failure."""
    line = _QUOTED.sub('""', command)
    if not _RUNS_TESTS.search(line) or _ONLY_LISTS.search(line):
        return False
    return _FAILED.search(_COLOURS.sub("", output)) is not None


def _count(runs: Runs, step: Step, result: Event) -> None:
    """One result that the log calls a success."""
    product = step.run is not None and step.run.failed + step.run.errors > 0
    if not shows_failed_run(step.command, result.text):
        runs.product_alone += product
    elif product and step.failed:
        runs.found += 1
    else:
        runs.missed += 1


def _shell_steps(reader: Reader, log: Log) -> Iterator[tuple[Step, Event]]:
    """Every shell call that the log reports as a success, as the product's observer sees it, with its result."""
    source = reader.source(log)
    if source is None:
        return
    observer = Observer(None, lambda text: text, human=lambda: False)
    for _, event in events(source, log):
        steps: list[Step] = []

        def see(moment: Moment, steps: list[Step] = steps) -> None:
            if isinstance(moment.happened, Step):
                steps.append(moment.happened)

        observer.observe(event, see)
        if event.kind is not EventKind.TOOL_RESULT or event.is_error or event.exit_code not in {None, 0}:
            continue
        for step in steps:
            if step.kind is ToolKind.SHELL and reader.is_new(event):
                yield step, event

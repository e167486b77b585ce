"""The status of a test run, read from its output, because the exit status does not tell it.

59 % of failing runs in Claude Code's real logs (173 of 294) are reported as successes: pipes into `tail`, `|| true`,
background tasks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from selfdistill.signals import runners
from selfdistill.signals.commands import is_check_command, is_test_command, purpose
from selfdistill.signals.run_shapes import MAX_FAILING, SHAPES, TestRun, read_shape

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TestRun", "is_check_command", "is_test_command", "read_test_run"]

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])|\r(?=\n)")

# One of these is in every summary. A search costs about 1 us per KB; all further work waits for a hit.
_SIGNS: Final = ("ass", "ail", "FAIL", "PASS", "ests", "OK", "ok ", "xamples", "BUILD", "error", "%]")

_SPECIAL: Final[tuple[tuple[tuple[str, ...], Callable[[str], TestRun | None]], ...]] = (
    (("Ran ", "FAILED (", "FAIL: ", "ERROR: "), runners.unittest),
    (("Tests", "Test Suites:", "Test Files"), runners.javascript),
    (("--- ", "FAIL\t", "ok  ", '"Action":"'), runners.go),
    (("1..",), runners.tap),
    (("% tests passed",), runners.ctest),
    (("tests passed!", "tests failed."), runners.dart),
)

_MARKS: Final = tuple(dict.fromkeys(mark for shape in SHAPES for mark in shape.marks))
_NO_TESTS: Final = frozenset({"lint", "format", "typecheck"})  # a line that also tests counts as a test

# Summaries that already count what another reader finds in the same output.
_RETOLD: Final = {"node": {"tap"}, "gotestsum": {"go test"}}

# What is left of a run whose own summary is not shown: Go's last line, or the word of the task runner or compiler.
_BARE_FAIL: Final = re.compile(r"^(?:\[[^\]\n]{1,60}\] )?FAIL$", re.MULTILINE)
_TASK_FAILED: Final = re.compile(
    r"^(?:\[[\w:.-]*test[\w:.-]*\] ERROR task failed|make(?:\[\d+\])?: \*\*\* \[.*\btest.*\] Error \d+"
    r"|npm ERR! Test failed\.|.*ELIFECYCLE.*Test failed\..*|error: Recipe `[\w-]*test[\w-]*` failed.*"
    r"|error: could not compile .*|.*There were failing tests\..*|BUILD FAILED.*|\[INFO\] BUILD FAILURE)$",
    re.MULTILINE,
)
_TASK_PASSED: Final = re.compile(r"^(?:BUILD SUCCESSFUL.*|\[INFO\] BUILD SUCCESS)$", re.MULTILINE)


def read_test_run(command: str, output: str) -> TestRun | None:
    """How the test run that this command line started ended; None when the output does not tell (unknown, not success).

    Several runs in one output are added up. A line that merely prints text (`cat`, `grep`, `git diff`) ran no test,
    whatever its output looks like. `command` may be "" where it is not known.
    """
    if not any(map(output.__contains__, _SIGNS)):
        return None
    meaning = purpose(command)
    if meaning.prints or meaning.check in _NO_TESTS:
        return None
    text = _ESCAPES.sub("", output) if "\x1b" in output or "\r" in output else output
    run = _combined(_runs_in(text))
    if meaning.check == "test":
        return run or next(filter(None, (read(text) for read in _LAST_RESORTS)), None)
    return run if run is not None and (run.complete or not command) else None


def _runs_in(text: str) -> list[TestRun]:
    """What each runner's reader finds, without what another one has counted already."""
    present = {mark for mark in _MARKS if mark in text}
    likely = [shape for shape in SHAPES if shape.certain or not present.isdisjoint(shape.marks)]
    runs = [read_shape(shape, text) for shape in likely]
    runs += [read(text) for marks, read in _SPECIAL if any(map(text.__contains__, marks))]
    found = [run for run in runs if run is not None]
    retold = {name for run in found for name in _RETOLD.get(run.runner, ())}
    return [run for run in found if run.runner not in retold]


def _combined(runs: list[TestRun]) -> TestRun | None:
    """One run out of several; runs with a summary silence fragments without one."""
    told = [run for run in runs if run.complete] or runs
    if len(told) <= 1:
        return told[0] if told else None
    return TestRun(
        "+".join(dict.fromkeys(run.runner for run in told)),
        passed=sum(run.passed for run in told),
        failed=sum(run.failed for run in told),
        errors=sum(run.errors for run in told),
        skipped=sum(run.skipped for run in told),
        failing=tuple(dict.fromkeys(name for run in told for name in run.failing))[:MAX_FAILING],
        complete=told[0].complete,
    )


def _task_run(text: str) -> TestRun | None:
    """What is left of a test run whose own summary is not shown."""
    if _BARE_FAIL.search(text):
        return TestRun("go test", failed=1)
    if _TASK_FAILED.search(text):
        return TestRun("task", errors=1)
    return TestRun("task") if _TASK_PASSED.search(text) else None


# Tried only where the command says that tests ran, because their shapes occur elsewhere, too.
_LAST_RESORTS: Final = (runners.tap, runners.pytest_progress, runners.script, _task_run)

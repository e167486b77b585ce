"""Readers of the test runners whose output takes more than one pattern: unittest, JavaScript's, Go's, TAP, CTest, Dart.

Each takes a text without escape codes and gives what the run says, or None when it says nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from selfdistill.signals.run_shapes import TestRun, counted, counts_in, lines_with, names_by

if TYPE_CHECKING:
    from collections.abc import Iterable

# --- pytest -qq, and scripts that count

_PROGRESS: Final = re.compile(r"([.FEsxXR]+) +\[ *(\d+)%\]$")
_SCRIPT: Final = re.compile(r".{0,40}?\bPassed: (\d+)[,;]? +Failed: (\d+)", re.IGNORECASE)


def pytest_progress(text: str) -> TestRun | None:
    """The letters of `..F.s [100%]`, where pytest was told to leave out its summary."""
    found = [match for line in lines_with(text, ("%]",)) if (match := _PROGRESS.match(line))]
    letters = "".join(match[1] for match in found)
    counts = {"failed": letters.count("F"), "errors": letters.count("E"), "passed": sum(map(letters.count, ".X"))}
    counts["skipped"] = sum(map(letters.count, "sx"))
    return counted("pytest", counts, (), complete=found[-1][2] == "100") if found else None


def script(text: str) -> TestRun | None:
    """`Passed: 89, Failed: 1` of a project's own script around its tests."""
    found = [match for line in lines_with(text, ("assed: ", "ASSED: ")) if (match := _SCRIPT.match(line))]
    counts = {"passed": sum(int(match[1]) for match in found), "failed": sum(int(match[2]) for match in found)}
    return counted("script", counts, ()) if found else None


# --- Python's unittest (also Django's and Twisted's trial)

_RAN: Final = re.compile(r"Ran (\d+) tests? in [\d.]+s")
_VERDICT: Final = re.compile(r"(OK|FAILED)(?: \(((?:[a-z ]+=\d+(?:, )?)++)\))?$")
_UNITTEST_FAILING: Final = re.compile(r"(?:FAIL|ERROR): (\w+ \([\w.]+\)(?: .*)?)$")


def unittest(text: str) -> TestRun | None:
    """`Ran 3 tests in 0.1s` with `OK (skipped=1)` or `FAILED (failures=1)`."""
    ran = [int(match[1]) for line in lines_with(text, ("Ran ",)) if (match := _RAN.match(line))]
    found = [match for line in lines_with(text, ("OK", "FAILED (")) if (match := _VERDICT.match(line))]
    verdicts = [match[2] or "" for match in found if ran or match[1] == "FAILED"]
    failing = names_by(_UNITTEST_FAILING, lines_with(text, ("FAIL: ", "ERROR: ")))
    if not verdicts:
        return TestRun("unittest", failed=len(failing), failing=failing, complete=False) if ran or failing else None
    told = ", ".join(verdicts).replace("expected failures", "skipped").replace("unskipped", "failures")
    counts = counts_in(told.replace("unexpected successes", "failures"), word_first=True)
    counts["passed"] = max(0, sum(ran) - sum(counts.values()))
    return counted("unittest", counts, failing)


# --- Jest, Vitest, Pest

_TESTS: Final = re.compile(r" *Tests:? +((?:\d+ \w+(?:, | \| )?)++.*|no tests)$")
_SUITES: Final = re.compile(r" *(?:Test (?:Suites:|Files)|Errors) +(\d.*)$")
_JAVASCRIPT_FAILING: Final = re.compile(r" *(?:FAIL +(?:\|.*?\| +)?(\S+\.\w+.*?)|\u25cf (.+ \u203a .+))$")


def javascript(text: str) -> TestRun | None:
    """`Tests: 1 failed, 2 passed, 3 total` (Jest), `Tests  1 failed | 2 passed (3)` (Vitest), and unloadable files."""
    tests = [match[1] for line in lines_with(text, ("Tests",)) if (match := _TESTS.match(line))]
    suites = [match[1] for line in lines_with(text, ("Test ", "Errors ")) if (match := _SUITES.match(line))]
    if not tests and not suites:
        return None
    counts = counts_in("\n".join(tests))
    if not counts.get("failed"):
        broken = counts_in("\n".join(suites))
        counts["errors"] = broken.get("failed", 0) + broken.get("errors", 0)
    failing = names_by(_JAVASCRIPT_FAILING, lines_with(text, ("FAIL ", "\u25cf ")))
    return counted("jest" if "Tests: " in text or "Test Suites: " in text else "vitest", counts, failing)


# --- Go

_GO_TEST: Final = re.compile(r" *--- (PASS|FAIL|SKIP): (\S+)")
_GO_PACKAGE: Final = re.compile(r"(?:\[[^\]]{1,60}\] )?(ok  |FAIL)[ \t]+([^\s\[\]()]\S*)(?:[ \t]+(.*))?$")
_GO_END: Final = re.compile(r"(?:\[[^\]]{1,60}\] )?(PASS|FAIL)$")
_GO_JSON: Final = re.compile(r'\{"Time":"[^"]*","Action":"(pass|fail|skip)","Package":"([^"]*)"(?:,"Test":"([^"]*)")?')
_WHOLE: Final = re.compile(r"(.+)")


def go(text: str) -> TestRun | None:
    """`go test`, plain, with `-v` and with `-json`."""
    if '"Action":"' in text and (run := _go_json(text)):
        return run
    tests = [(match[1], match[2]) for line in lines_with(text, ("--- ",)) if (match := _GO_TEST.match(line))]
    packages: list[tuple[str, str, str]] = []
    ends: set[str] = set()
    for line in lines_with(text, ("ok  ", "FAIL", "PASS")):
        if match := _GO_PACKAGE.match(line):
            packages.append((match[1], match[2], match[3] or ""))
        elif match := _GO_END.match(line):
            ends.add(match[1])
    return _go_run(tests, packages, ends) if tests or packages else None


def _go_run(tests: list[tuple[str, str]], packages: list[tuple[str, str, str]], ends: set[str]) -> TestRun:
    """Top-level tests, else packages; a package that failed without a failed test crashed or timed out."""
    failing = [name for word, name in tests if word == "FAIL"]
    bad = [(name, note) for word, name, note in packages if word == "FAIL"]
    unbuilt = sum("failed]" in note for _, note in bad)
    good = sum(word == "ok  " and "[no tests to run]" not in note for word, _, note in packages)
    failed = _top_level(failing) or len(bad) - unbuilt
    return TestRun(
        "go test",
        passed=_top_level(name for word, name in tests if word == "PASS") or good,
        failed=failed if failed or unbuilt or "FAIL" not in ends else 1,
        errors=unbuilt,
        skipped=_top_level(name for word, name in tests if word == "SKIP"),
        failing=names_by(_WHOLE, failing or [name for name, _ in bad]),
        complete=bool(packages or ends),
    )


def _go_json(text: str) -> TestRun | None:
    """The events of `go test -json`: one per test, one per package."""
    events = [match.groups() for line in lines_with(text, ('"Action":"',)) if (match := _GO_JSON.match(line))]
    if not events:
        return None
    tests = [(action.upper(), test) for action, _, test in events if test]
    word = {"pass": "ok  ", "fail": "FAIL", "skip": "?"}
    packages = [(word[action], package, "") for action, package, test in events if not test]
    return _go_run(tests, packages, set())


def _top_level(names: Iterable[str]) -> int:
    """How many of the tests are no subtests (`TestX/case`)."""
    return sum("/" not in name for name in names)


# --- TAP (bats and prove print it); CTest; Dart

_TAP: Final = re.compile(r"(ok|not ok) (\d+)(?: (?:- )?(.*))?$")
_TAP_PLAN: Final = re.compile(r"1\.\.(\d+)")
_TAP_EXCUSED: Final = re.compile(r"# (?:skip|todo)", re.IGNORECASE)


def tap(text: str) -> TestRun | None:
    """Lines `ok 1 - name` and `not ok 2 - name`; complete when the plan `1..N` is there and all N were seen."""
    found = [match.groups() for line in lines_with(text, ("ok ",)) if (match := _TAP.match(line))]
    if not found:
        return None
    plan = next((match for line in lines_with(text, ("1..",)) if (match := _TAP_PLAN.match(line))), None)
    excused = sum(bool(_TAP_EXCUSED.search(name or "")) for _, _, name in found)
    failing = [name or number for word, number, name in found if word == "not ok"]
    failing = [name for name in failing if not _TAP_EXCUSED.search(name)]
    counts = {"passed": len(found) - len(failing) - excused, "failed": len(failing), "skipped": excused}
    complete = plan is not None and len(found) >= int(plan[1])
    return counted("tap", counts, names_by(_WHOLE, failing), complete=complete)


_CTEST: Final = re.compile(r"\d+% tests passed, (\d+) tests? failed out of (\d+)")
_CTEST_FAILING: Final = re.compile(r"\s*\d+ - (\S.*?) \((?:Failed|Timeout|SEGFAULT|Subprocess aborted|Not Run)\)")


def ctest(text: str) -> TestRun | None:
    """`67% tests passed, 1 tests failed out of 3`."""
    match = next((found for line in lines_with(text, ("% tests passed",)) if (found := _CTEST.match(line))), None)
    if match is None:
        return None
    failed, total = int(match[1]), int(match[2])
    return counted(
        "ctest", {"passed": total - failed, "failed": failed}, names_by(_CTEST_FAILING, lines_with(text, (" - ",)))
    )


_DART: Final = re.compile(
    r"\d\d:\d\d \+(\d+)(?: ~(\d+))?(?: -(\d+))?: (?:All tests passed!|Some tests failed\.|All tests skipped\.)"
)
_DART_FAILING: Final = re.compile(r"\d\d:\d\d \+\d+(?: ~\d+)? -\d+: (\S.*?) \[E\]")


def dart(text: str) -> TestRun | None:
    """`00:01 +3 -1: Some tests failed.` of `dart test` and `flutter test`."""
    match = _DART.search(text)
    if match is None:
        return None
    passed, skipped, failed = (int(number or 0) for number in match.groups())
    failing = names_by(_DART_FAILING, lines_with(text, ("[E]",)))
    return counted("dart", {"passed": passed, "failed": failed, "skipped": skipped}, failing)

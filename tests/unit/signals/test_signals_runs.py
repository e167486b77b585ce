"""Test runs read from output, for every runner we know; the outputs are invented in the shape of the real ones."""

from __future__ import annotations

import time

import pytest

from selfdistill.signals import runs
from selfdistill.signals.runs import read_test_run

GO = "=== RUN   TestA\n--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/case (0.00s)\n--- PASS: TestB (0.00s)\nFAIL\n"

# id: (command, output, (runner, passed, failed, errors, skipped, complete), one failing name)
OUTPUTS: dict[str, tuple[str, str, tuple[str, int, int, int, int, bool], str]] = {
    "pytest": (
        "pytest",
        "FAILED tests/a.py::test_x - assert 0\n=== 1 failed, 2 passed, 3 skipped in 0.12s ===\n",
        ("pytest", 2, 1, 0, 3, True),
        "tests/a.py::test_x",
    ),
    "pytest quiet": ("pytest -q", "..\n5 passed, 1 warning in 0.48s\n", ("pytest", 5, 0, 0, 0, True), ""),
    "pytest long": ("pytest", "==== 12 passed in 75.31s (0:01:15) ====", ("pytest", 12, 0, 0, 0, True), ""),
    "pytest nothing ran": ("pytest", "==== no tests ran in 0.01s ====", ("pytest", 0, 0, 0, 0, True), ""),
    "pytest collection": (
        "pytest",
        "ERROR tests/a.py - ImportError: x\n!!! Interrupted: 1 error !!!\n==== 1 error in 0.3s ====",
        ("pytest", 0, 0, 1, 0, True),
        "tests/a.py",
    ),
    "pytest xdist, head only": (
        "pytest -n 4 -v | head -20",
        "[gw0] [ 50%] PASSED tests/a.py::test_a\nFAILED tests/a.py::test_b - x\n",
        ("pytest", 0, 1, 0, 0, False),
        "tests/a.py::test_b",
    ),
    "pytest twice": ("pytest a; pytest b", "1 passed in 0.1s\n2 failed in 0.1s", ("pytest", 1, 2, 0, 0, True), ""),
    "pytest very quiet": ("pytest -qq", "..F.s  [100%]\n", ("pytest", 3, 1, 0, 1, True), ""),
    "pytest very quiet, cut": ("pytest -qq", "....  [ 50%]\n", ("pytest", 4, 0, 0, 0, False), ""),
    "a script's own summary": (
        "go test -json . | ./sum.py",
        "Passed: 89, Failed: 1\n",
        ("script", 89, 1, 0, 0, True),
        "",
    ),
    "pytest coloured": (
        "pytest",
        "\x1b[31m==== \x1b[1m1 failed\x1b[0m in 0.10s ====\x1b[0m\r\n",
        ("pytest", 0, 1, 0, 0, True),
        "",
    ),
    "unittest": (
        "python -m unittest",
        "FAIL: test_x (a.b.Case)\nRan 3 tests in 0.001s\n\nFAILED (failures=1, errors=1)\n",
        ("unittest", 1, 1, 1, 0, True),
        "test_x (a.b.Case)",
    ),
    "unittest ok": (
        "python -m unittest",
        "Ran 3 tests in 0.001s\n\nOK (skipped=1)\n",
        ("unittest", 2, 0, 0, 1, True),
        "",
    ),
    "unittest cut": ("python -m unittest | head", "Ran 3 tests in 0.001s\n", ("unittest", 0, 0, 0, 0, False), ""),
    "jest": (
        "npx jest",
        "FAIL src/a.test.ts\n  ● suite \u203a adds\n\nTest Suites: 1 failed\nTests: 1 failed, 2 passed, 3 total\n",
        ("jest", 2, 1, 0, 0, True),
        "suite \u203a adds",
    ),
    "jest suite does not load": (
        "npm test",
        "FAIL src/a.test.ts\nTest Suites: 1 failed, 1 total\nTests:       0 total\n",
        ("jest", 0, 0, 1, 0, True),
        "src/a.test.ts",
    ),
    "vitest": (
        "npx vitest run",
        " FAIL  src/a.test.ts > adds\n Test Files  1 failed | 3 passed (4)\n      Tests  1 failed | 2 passed (3)\n",
        ("vitest", 2, 1, 0, 0, True),
        "src/a.test.ts > adds",
    ),
    "mocha": (
        "npm test",
        "  2 passing (12ms)\n  1 failing\n\n  1) suite adds:\n",
        ("mocha", 2, 1, 0, 0, True),
        "suite adds:",
    ),
    "node": (
        "node --test",
        "ok 1 - a\nnot ok 2 - b\n1..2\n# tests 2\n# pass 1\n# fail 1\n# cancelled 0\n# skipped 0\n# todo 0\n",
        ("node", 1, 1, 0, 0, True),
        "b",
    ),
    "tap": ("prove t", "1..3\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP later\n", ("tap", 1, 1, 0, 1, True), "b"),
    "bats, tail only": ("bats t | tail -2", "ok 8 x\nnot ok 9 y\n", ("tap", 1, 1, 0, 0, False), "y"),
    "bats pretty": ("bats t", " ✗ adds\n\n3 tests, 1 failure\n", ("exunit", 2, 1, 0, 0, True), "adds"),
    "go": ("go test ./...", GO + "FAIL\tx/y\t0.1s\nok  \tx/z\t0.2s\nFAIL\n", ("go test", 1, 1, 0, 0, True), "TestA"),
    "go quiet": ("make test", "ok  \tx/y\t0.1s\nok  \tx/z\t(cached)\n", ("go test", 2, 0, 0, 0, True), ""),
    "go does not build": (
        "go test ./...",
        "a.go:1:2: undefined: b\nFAIL\tx/y [build failed]\nFAIL\n",
        ("go test", 0, 0, 1, 0, True),
        "x/y",
    ),
    "go panics": ("go test .", "panic: boom\nFAIL\tx/y\t0.1s\nFAIL\n", ("go test", 0, 1, 0, 0, True), "x/y"),
    "go, last line only": ("go test ./... | tail -1", "FAIL\n", ("go test", 0, 1, 0, 0, True), ""),
    "go no tests match": ("go test -run X .", "ok  \tx/y\t0.1s [no tests to run]\n", ("go test", 0, 0, 0, 0, True), ""),
    "go json": (
        "go test -json .",
        (
            '{"Time":"2026-01-01T00:00:00Z","Action":"fail","Package":"x/y","Test":"TestA","Elapsed":0}\n'
            '{"Time":"2026-01-01T00:00:00Z","Action":"fail","Package":"x/y","Elapsed":0.1}\n'
        ),
        ("go test", 0, 1, 0, 0, True),
        "TestA",
    ),
    "gotestsum": (
        "gotestsum",
        "=== FAIL: pkg TestA (0.00s)\nFAIL\tx/y\t1s\nDONE 12 tests, 1 skipped, 2 failures, 1 error in 0.5s\n",
        ("gotestsum", 8, 2, 1, 1, True),
        "pkg TestA",
    ),
    "cargo": (
        "cargo test",
        (
            "test a::b ... FAILED\ntest result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; finished in 0.0s\n"
            "test result: ok. 3 passed; 0 failed; 2 ignored; 0 measured; finished in 0.0s\n"
        ),
        ("cargo", 4, 1, 0, 2, True),
        "a::b",
    ),
    "cargo does not compile": (
        "cargo test",
        "error: could not compile `x` (lib) due to 1 previous error\n",
        ("task", 0, 0, 1, 0, True),
        "",
    ),
    "nextest": (
        "cargo nextest run",
        "   FAIL [   0.005s] x a::b\n  Summary [   0.123s] 3 tests run: 2 passed (1 slow), 1 failed, 4 skipped\n",
        ("nextest", 2, 1, 0, 4, True),
        "x a::b",
    ),
    "maven": (
        "mvn test",
        (
            "[INFO] Tests run: 2, Failures: 0, Errors: 0, Time elapsed: 0.1 s\n"
            "[ERROR] a.FooTest.bar -- Time elapsed: 0.01 s <<< FAILURE!\n"
            "[ERROR] Tests run: 5, Failures: 1, Errors: 1, Skipped: 1\n[INFO] BUILD FAILURE\n"
        ),
        ("maven", 2, 1, 1, 1, True),
        "a.FooTest.bar",
    ),
    "gradle": (
        "./gradlew test",
        "FooTest > bar() FAILED\n3 tests completed, 1 failed, 1 skipped\nBUILD FAILED in 2s\n",
        ("gradle", 1, 1, 0, 1, True),
        "FooTest > bar()",
    ),
    "gradle ok": ("./gradlew test", "BUILD SUCCESSFUL in 2s\n", ("task", 0, 0, 0, 0, True), ""),
    "rspec": (
        "bundle exec rspec",
        "3 examples, 1 failure, 1 pending\n\nrspec ./spec/a_spec.rb:3 # x\n",
        ("rspec", 1, 1, 0, 1, True),
        "./spec/a_spec.rb:3",
    ),
    "minitest": (
        "rails test",
        "3 runs, 5 assertions, 1 failures, 1 errors, 0 skips\n",
        ("minitest", 1, 1, 1, 0, True),
        "",
    ),
    "phpunit ok": ("vendor/bin/phpunit", "OK (3 tests, 4 assertions)\n", ("phpunit", 3, 0, 0, 0, True), ""),
    "phpunit": (
        "vendor/bin/phpunit",
        "1) FooTest::testBar\nTests: 4, Assertions: 4, Errors: 1, Failures: 1, Skipped: 1.\n",
        ("phpunit", 1, 1, 1, 1, True),
        "FooTest::testBar",
    ),
    "dotnet": (
        "dotnet test",
        "  Failed A.B.C [12 ms]\nFailed!  - Failed:     1, Passed:     2, Skipped:     0, Total:     3\n",
        ("dotnet", 2, 1, 0, 0, True),
        "A.B.C",
    ),
    "dotnet long": (
        "dotnet test",
        "Total tests: 3\n     Passed: 2\n     Failed: 1\n",
        ("dotnet", 2, 1, 0, 0, True),
        "",
    ),
    "swift": (
        "swift test",
        (
            "a: error: -[ATests.A testB] : x\nExecuted 3 tests, with 1 failure (0 unexpected) in 0.1 (0.2) seconds\n"
            "\t Executed 3 tests, with 1 failure (0 unexpected) in 0.1 (0.2) seconds\n"
        ),
        ("xctest", 2, 1, 0, 0, True),
        "ATests.A testB",
    ),
    "ctest": (
        "ctest",
        "67% tests passed, 1 tests failed out of 3\n\nThe following tests FAILED:\n\t  2 - io (Failed)\n",
        ("ctest", 2, 1, 0, 0, True),
        "io",
    ),
    "deno": (
        "deno test",
        "adds ... FAILED (1ms)\n\nFAILED | 2 passed | 1 failed (12ms)\n",
        ("deno", 2, 1, 0, 0, True),
        "adds",
    ),
    "bun": (
        "bun test",
        "(fail) adds [0.1ms]\n\n 2 pass\n 1 fail\nRan 3 tests across 1 file. [9.00ms]\n",
        ("bun", 2, 1, 0, 0, True),
        "adds",
    ),
    "dart": (
        "dart test",
        "00:01 +3 -1: adds [E]\n00:01 +3 -1: Some tests failed.\n",
        ("dart", 3, 1, 0, 0, True),
        "adds",
    ),
    "task runner only": ("mise run test | tail -1", "[test] ERROR task failed\n", ("task", 0, 0, 1, 0, True), ""),
    "two runners": ("make test", "2 passed in 0.1s\nok  \tx/y\t0.1s\n", ("pytest+go test", 3, 0, 0, 0, True), ""),
    "unknown command": ("", "=== 1 failed in 0.1s ===", ("pytest", 0, 1, 0, 0, True), ""),
    "masked exit status": (
        "pytest -q 2>&1 | tail -1 || true",
        "1 failed, 2 passed in 0.12s",
        ("pytest", 2, 1, 0, 0, True),
        "",
    ),
    "hook of a commit": ("git commit -m x", "==== 3 failed in 0.1s ====", ("pytest", 0, 3, 0, 0, True), ""),
    "background task": ("tail -5 /tmp/x/tasks/b1.output", "3 failed in 0.1s", ("pytest", 0, 3, 0, 0, True), ""),
}


@pytest.mark.parametrize(("command", "output", "expected", "failing"), OUTPUTS.values(), ids=OUTPUTS.keys())
def test_summary_gives_its_counts(
    command: str, output: str, expected: tuple[str, int, int, int, int, bool], failing: str
) -> None:
    """The counts of a summary arrive as printed, with the name of what failed."""
    run = read_test_run(command, output)
    assert run is not None
    assert (run.runner, run.passed, run.failed, run.errors, run.skipped, run.complete) == expected
    if failing:
        assert failing in run.failing


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("cat out.txt", "=== 1 failed in 0.1s ==="),
        ("cd x && grep -rn FAIL . | head", "--- FAIL: TestA (0.00s)\nFAIL\tx/y\t0.1s"),
        ("git diff HEAD~1", "--- a/x\n+++ b/x\n1 failed in 0.1s"),
        ("sed -n 1,9p ci.log; echo done", "Tests: 1 failed, 1 total"),
        ("gh run view 1 --log", "ok  \tx/y\t0.1s"),
        ("cat > notes.md <<'EOF'\npytest\nEOF", "1 failed in 0.1s"),
        ("ls", "passed"),
        ("python3 report.py", "--- FAIL: TestA (0.00s)"),
        ("pytest -q", "usage: pytest [options]\nerror: unrecognised arguments"),
        ("pytest", ""),
        ("go vet ./...", "FAIL"),
        ("npm install", "added 3 packages, all tests are OK\nok then"),
    ],
)
def test_printed_text_is_no_run(command: str, output: str) -> None:
    """What a reader of files prints, and what has no summary, is unknown."""
    assert read_test_run(command, output) is None


def test_ok_needs_a_summary() -> None:
    """A run whose summary was cut off is not known to have passed."""
    assert runs.TestRun("x", passed=3).ok
    assert not runs.TestRun("x", passed=3, complete=False).ok
    assert not runs.TestRun("x", passed=3, errors=1).ok


def test_names_are_bounded() -> None:
    """At most 20 names of at most 200 characters are kept."""
    lines = "".join(f"FAILED tests/a.py::test_{'x' * 300}{number} - no\n" for number in range(50))
    run = read_test_run("pytest", f"{lines}=== 50 failed in 1.0s ===")
    assert run is not None
    assert run.failed == 50
    assert len(run.failing) <= 20
    assert max(map(len, run.failing)) <= 200


@pytest.mark.parametrize(
    "unit", ["1 failed, ", "--- FAIL: ", "FAILED x.py", " in 1", "Tests: 1 x, ", "ok 1 ", "\x1b[", "\n ", "[a] "]
)
def test_hostile_output_takes_linear_time(unit: str) -> None:
    """A megabyte of any repeated fragment is read within two seconds."""
    output = unit * (1_000_000 // len(unit)) + "\nFAIL"
    start = time.process_time()
    read_test_run("pytest", output)
    read_test_run("pytest", output.replace(" ", "\n"))
    assert time.process_time() - start < 10

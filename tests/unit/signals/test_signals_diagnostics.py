"""Diagnostics read from output, for every tool we know; the outputs are invented in the shape of the real ones."""

# ruff: noqa: E501 - outputs stand as they are printed

from __future__ import annotations

import time

import pytest

from selfdistill.signals.diagnostic_words import normalised
from selfdistill.signals.diagnostics import MAX_DIAGNOSTICS, diagnostic_cause, read_diagnostics
from selfdistill.signals.steps import Diagnostic

# id: (command, output, [(tool, code, normalised message)])
OUTPUTS: dict[str, tuple[str, str, list[tuple[str, str, str]]]] = {
    "ruff concise": (
        "ruff check --output-format concise .",
        "kettle/boil.py:3:8: F401 [*] `os` imported but unused\nkettle/boil.py:9:101: E501 Line too long (130 > 100)\n",
        [("ruff", "F401", "`…` imported but unused"), ("ruff", "E501", "Line too long (<n> > <n>)")],
    ),
    "ruff full": (
        "ruff check",
        "F401 [*] `os` imported but unused\n --> kettle/boil.py:3:8\n  |\n3 | import os\n  |        ^^\nFound 1 error.\n",
        [("ruff", "F401", "`…` imported but unused")],
    ),
    "ruff grouped": (
        "ruff check --output-format grouped",
        "kettle/boil.py:\n  3:8 F401 [*] `os` imported but unused\n\nFound 1 error.\n",
        [("ruff", "F401", "`…` imported but unused")],
    ),
    "flake8": (
        "flake8",
        "./kettle/boil.py:9:80: E501 line too long (130 > 79 characters)\n",
        [("flake8", "E501", "line too long (<n> > <n> characters)")],
    ),
    "mypy": (
        "mypy .",
        (
            'kettle/boil.py:12: error: Argument 1 to "heat" has incompatible type "str"; expected "int"  [arg-type]\n'
            "kettle/boil.py:12: note: See the docs\nFound 1 error in 1 file (checked 3 source files)\n"
        ),
        [("mypy", "arg-type", "Argument <n> to `…` has incompatible type `…`; expected `…`")],
    ),
    "pyright": (
        "pyright",
        (
            '/home/mara/kettle/boil.py\n  /home/mara/kettle/boil.py:4:9 - error: "heat" is not a known attribute of "None" '
            "(reportOptionalMemberAccess)\n1 error, 0 warnings\n"
        ),
        [("pyright", "reportOptionalMemberAccess", "`…` is not a known attribute of `…`")],
    ),
    "pylint": (
        "pylint kettle",
        "************* Module kettle.boil\nkettle/boil.py:1:0: C0114: Missing module docstring (missing-module-docstring)\n",
        [("pylint", "C0114", "Missing module docstring")],
    ),
    "bandit": (
        "bandit -r .",
        ">> Issue: [B101:assert_used] Use of assert detected.\n   Location: ./boil.py:3:0\n",
        [("bandit", "B101", "Use of assert detected.")],
    ),
    "eslint": (
        "npx eslint .",
        (
            "\n/home/mara/src/boil.ts\n   3:7   error    'heat' is assigned a value but never used  no-unused-vars\n"
            "  12:1   warning  Unexpected console statement   no-console\n\n✖ 2 problems (1 error, 1 warning)\n"
        ),
        [("eslint", "no-unused-vars", "`…` is assigned a value but never used")],
    ),
    "eslint unix": (
        "eslint -f unix .",
        "/home/mara/src/boil.js:3:7: 'heat' is defined but never used. [Error/no-unused-vars]\n\n1 problem\n",
        [("eslint", "no-unused-vars", "`…` is defined but never used.")],
    ),
    "eslint behind turbo": (
        "turbo run lint",
        "web:lint: /home/mara/src/boil.ts\nweb:lint:   3:7  error  'heat' is defined but never used  no-unused-vars\n",
        [("eslint", "no-unused-vars", "`…` is defined but never used")],
    ),
    "next": (
        "next build",
        "Failed to compile.\n\n./src/boil.tsx\n12:5  Error: 'heat' is never used.  no-unused-vars\n",
        [("eslint", "no-unused-vars", "`…` is never used.")],
    ),
    "tsc": (
        "npx tsc --noEmit",
        "src/boil.ts(3,5): error TS2339: Property 'heat' does not exist on type 'Kettle'.\n",
        [("tsc", "TS2339", "Property `…` does not exist on type `…`.")],
    ),
    "tsc pretty": (
        "npx tsc",
        (
            "\x1b[96msrc/boil.ts\x1b[0m:\x1b[93m3\x1b[0m:\x1b[93m5\x1b[0m - \x1b[91merror\x1b[0m\x1b[90m TS2339: \x1b[0m"
            "Property 'heat' does not exist on type 'Kettle'.\r\n\n3   kettle.heat()\n           ~~~~\n"
        ),
        [("tsc", "TS2339", "Property `…` does not exist on type `…`.")],
    ),
    "biome": (
        "npx biome check src",
        "src/boil.ts:3:7 lint/style/useConst  FIXABLE  ━━━━\n\n  \u00d7 This let is only assigned once.\n\n    > 3 │ let x = 1\n",
        [("biome", "lint/style/useConst", "This let is only assigned once.")],
    ),
    "oxlint names rules as eslint does": (
        "oxlint",
        "\n  \u00d7 typescript-eslint(no-explicit-any): Unexpected any.\n   ╭─[src/boil.ts:3:7]\n 3 │ x: any\n   ╰────\n",
        [("oxlint", "@typescript-eslint/no-explicit-any", "Unexpected any.")],
    ),
    "golangci-lint": (
        "make lint",
        (
            "boil.go:12:9: Error return value of `k.Close` is not checked (errcheck)\n\tk.Close()\n\t       ^\n"
            "boil.go:20:3: ifElseChain: rewrite if-else to switch statement (gocritic)\n"
            "boil.go:30:3: SA4006: this value of `x` is never used (staticcheck)\n3 issues:\n* errcheck: 1\n"
        ),
        [
            ("golangci-lint", "errcheck", "Error return value of `…` is not checked"),
            ("golangci-lint", "gocritic/ifElseChain", "rewrite if-else to switch statement"),
            ("golangci-lint", "SA4006", "this value of `…` is never used"),
        ],
    ),
    "golangci-lint behind a task runner": (
        "mise run lint",
        (
            "[lint] boil.go:12:9: error returned from external package is unwrapped: sig: func os.Open(name string) "
            "(*os.File, error) (wrapcheck)\n"
        ),
        [("golangci-lint", "wrapcheck", "error returned from external package is unwrapped")],
    ),
    "golangci-lint quotes a line break": (
        "golangci-lint run",
        "boil.go:32:13: string `hot\n` has 3 occurrences, make it a constant (goconst)\n\tcontent := `hot\n",
        [("golangci-lint", "goconst", "string `…` has <n> occurrences, make it a constant")],
    ),
    "golangci-lint's typecheck is the compiler's": (
        "golangci-lint run",
        "boil.go:32:13: undefined: heat (typecheck)\n",
        [("go", "", "undefined: …")],
    ),
    "staticcheck": (
        "staticcheck ./...",
        "boil.go:12:2: this value of `err` is never used (SA4006)\n",
        [("staticcheck", "SA4006", "this value of `…` is never used")],
    ),
    "go vet": ("go vet ./...", "# kettle\nvet: ./boil.go:3:5: undefined: heat\n", [("go", "", "undefined: …")]),
    "go build": (
        "go build ./...",
        (
            '# example.com/kettle\n./boil.go:3:5: undefined: heat\n./boil.go:4:2: "os" imported and not used\n'
            "./boil.go:9:4: k.heat undefined (type *Kettle has no field or method heat)\n"
            "./boil.go:9:9: not enough arguments in call to boil.Run\n\thave ()\n\twant (int)\n./boil.go:9:9: too many errors\n"
        ),
        [
            ("go", "", "undefined: …"),
            ("go", "", "`…` imported and not used"),
            ("go", "", "… undefined (type … has no field or method …)"),
            ("go", "", "not enough arguments in call to …"),
        ],
    ),
    "rustc": (
        "cargo build",
        (
            "error[E0382]: borrow of moved value: `water`\n --> src/main.rs:4:20\n  |\n3 |     heat(water);\n\n"
            "warning: unused variable: `x`\n --> src/main.rs:9:9\n  |\n  = note: `#[warn(unused_variables)]` on by default\n\n"
            "error: aborting due to 1 previous error; 1 warning emitted\n"
        ),
        [("rustc", "E0382", "borrow of moved value: `…`")],
    ),
    "rustc warns only": (
        "cargo build",
        "warning: unused variable: `x`\n --> src/main.rs:9:9\n  |\n  = note: `#[warn(unused_variables)]` on by default\n\n",
        [("rustc", "unused_variables", "unused variable: `…`")],
    ),
    "clippy": (
        "cargo clippy -- -D warnings",
        (
            "error: unneeded `return` statement\n --> src/main.rs:4:5\n  |\n4 |     return x;\n  |\n"
            "  = help: for further information visit https://rust-lang.github.io/rust-clippy/master/index.html#needless_return\n"
        ),
        [("clippy", "clippy::needless_return", "unneeded `…` statement")],
    ),
    "shellcheck": (
        "shellcheck boil.sh",
        (
            "\nIn boil.sh line 3:\necho $water\n     ^----^ SC2086 (info): Double quote to prevent globbing.\n\n"
            "For more information:\n  https://www.shellcheck.net/wiki/SC2086 -- Double quote to prevent globbing.\n"
        ),
        [("shellcheck", "SC2086", "Double quote to prevent globbing.")],
    ),
    "shellcheck gcc": (
        "shellcheck -f gcc boil.sh",
        "boil.sh:3:6: note: Double quote to prevent globbing. [SC2086]\n",
        [("shellcheck", "SC2086", "Double quote to prevent globbing.")],
    ),
    "hadolint": (
        "hadolint Dockerfile",
        "Dockerfile:3 DL3008 warning: Pin versions in apt get install.\n",
        [("hadolint", "DL3008", "Pin versions in apt get install.")],
    ),
    "rubocop": (
        "bundle exec rubocop",
        (
            "Inspecting 1 file\nC\n\nOffenses:\n\nlib/boil.rb:3:8: C: [Correctable] Style/StringLiterals: Prefer single-quoted "
            'strings when you don\'t need symbols.\nputs "hot"\n     ^^^^^\n'
        ),
        [("rubocop", "Style/StringLiterals", "Prefer single-quoted strings when you don't need symbols.")],
    ),
    "javac": (
        "javac Boil.java",
        "Boil.java:3: error: cannot find symbol\n        heat(1);\n        ^\n  symbol:   method heat(int)\n1 error\n",
        [("javac", "", "cannot find symbol")],
    ),
    "maven": (
        "mvn compile",
        "[ERROR] COMPILATION ERROR : \n[ERROR] /home/mara/kettle/src/main/java/Boil.java:[3,9] cannot find symbol\n",
        [("javac", "", "cannot find symbol")],
    ),
    "checkstyle": (
        "mvn checkstyle:check",
        "[ERROR] src/main/java/Boil.java:[3,9] (javadoc) MissingJavadocMethod: Missing a Javadoc comment.\n",
        [("checkstyle", "MissingJavadocMethod", "Missing a Javadoc comment.")],
    ),
    "kotlinc": (
        "./gradlew build",
        (
            "> Task :compileKotlin FAILED\ne: file:///home/mara/Boil.kt:3:5 Unresolved reference: heat\n"
            "e: /home/mara/Boil.kt: (9, 5): Unresolved reference: cool\nw: file:///home/mara/Boil.kt:9:5 Never used\n"
        ),
        [("kotlinc", "", "Unresolved reference: …")],
    ),
    "detekt": (
        "./gradlew detekt",
        "/home/mara/Boil.kt:3:1: The function heat is too long (70). [LongMethod]\n",
        [("detekt", "LongMethod", "The function heat is too long (<n>).")],
    ),
    "ktlint": (
        "ktlint",
        "/home/mara/Boil.kt:3:1: Wildcard import (standard:no-wildcard-imports)\n",
        [("ktlint", "standard:no-wildcard-imports", "Wildcard import")],
    ),
    "gcc": (
        "make",
        (
            "gcc -c boil.c\nboil.c:3:5: error: unused variable 'x' [-Werror=unused-variable]\n"
            "boil.c:9:9: warning: unused parameter 'y' [-Wunused-parameter]\nboil.c:10:9: error: expected ';' before 'return'\n"
        ),
        [("C compiler", "-Wunused-variable", "unused variable `…`"), ("C compiler", "", "expected `…` before `…`")],
    ),
    "clang-tidy": (
        "clang-tidy boil.cpp",
        "/home/mara/boil.cpp:3:5: warning: narrowing conversion [bugprone-narrowing-conversions,-warnings-as-errors]\n",
        [("clang-tidy", "bugprone-narrowing-conversions", "narrowing conversion")],
    ),
    "swiftlint": (
        "swiftlint",
        "/home/mara/Boil.swift:3:1: warning: Line Length Violation: currently it has 140 characters (line_length)\n",
        [("swiftlint", "line_length", "Line Length Violation: currently it has <n> characters")],
    ),
    "dotnet": (
        "dotnet build",
        "/home/mara/Boil.cs(3,5): error CS0103: The name 'Heat' does not exist [/home/mara/Kettle.csproj]\n",
        [("dotnet", "CS0103", "The name `…` does not exist")],
    ),
    "dart": (
        "dart analyze",
        "  error - lib/boil.dart:3:5 - Undefined name 'heat'. - undefined_identifier\n",
        [("dart", "undefined_identifier", "Undefined name `…`.")],
    ),
    "flutter": (
        "flutter analyze",
        "  info • Don't invoke 'print' in production code • lib/boil.dart:9:5 • avoid_print\n",
        [("dart", "avoid_print", "Don't invoke `…` in production code")],
    ),
    "markdownlint": (
        "markdownlint-cli2 .",
        "README.md:3:81 error MD013/line-length Line length [Expected: 80; Actual: 120]\n",
        [("markdownlint", "MD013", "Line length [Expected: <n>; Actual: <n>]")],
    ),
    "yamllint": (
        "yamllint .",
        "./boil.yml\n  3:81      error    line too long (90 > 80 characters)  (line-length)\n",
        [("yamllint", "line-length", "line too long (<n> > <n> characters)")],
    ),
    "actionlint": (
        "actionlint",
        '.github/workflows/ci.yml:3:5: unexpected key "heat" for "job" section [syntax-check]\n',
        [("actionlint", "syntax-check", "unexpected key `…` for `…` section")],
    ),
    "a formatter": (
        "prettier --check .",
        "[warn] src/boil.ts\n[warn] Code style issues found in the above file. Run Prettier with --write to fix.\n",
        [("prettier", "unformatted", "a file is not formatted")],
    ),
    "a git hook": (
        "git commit -m 'boil earlier'",
        "ruff....Failed\n- hook id: ruff\n\nkettle/boil.py:3:8: F401 [*] `os` imported but unused\n",
        [("ruff", "F401", "`…` imported but unused")],
    ),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_tool_is_read(name: str) -> None:
    """Tool, rule and normalised message of what a tool prints by default, errors before warnings."""
    command, output, expected = OUTPUTS[name]
    assert [(one.tool, one.code, one.message) for one in read_diagnostics(command, output)] == expected


LINT_LINE = "boil.go:12:9: Error return value of `k.Close` is not checked (errcheck)\n"
NOTHING: dict[str, tuple[str, str]] = {
    "a printed log": ("cat lint.txt", LINT_LINE),
    "a search": ("grep -rn Close . | head", LINT_LINE),
    "a search beside a check": (
        "grep -rn heat . ; go test ./...",
        "boil.go:12:\theat() // see (errcheck)\nboil.go:13:error: heat (unused)\nboil.py:3:    error: no [arg-type]\n",
    ),
    "a test's own log": ("go test ./...", "    boil_test.go:155:20: kettle is cold\nboil_test.go:15: cold\nFAIL\n"),
    "a traceback": ("pytest", 'tests/test_boil.py:12: AssertionError\n  File "boil.py", line 3, in heat\n'),
    "a program's log": ("./kettle run", "2026/01/02 10:00:00 main.go:12: error: cold\nboil.go:3:5: undefined: x\n"),
    "a clean run": ("golangci-lint run", "0 issues.\n"),
    "times and ports": ("npm start", "10:15:30 listening on http://localhost:3000 (error: none)\n"),
    "a program's table": ("./kettle report", "boil\n  3:7  error  too cold  no-tea\n"),
    "a warning without a rule": ("cargo build", "warning: field is cold\n --> src/main.rs:9:9\n  |\n"),
    "an empty output": ("ruff check", ""),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_only_looks_alike_gives_nothing(name: str) -> None:
    """Printed, searched and logged lines are no diagnostics, and neither is a clean run."""
    command, output = NOTHING[name]
    assert read_diagnostics(command, output) == ()


def test_each_cause_comes_once_with_name_and_line() -> None:
    """One diagnostic for each cause, with the name it was about first and the line as it stood."""
    (only,) = read_diagnostics("golangci-lint run", LINT_LINE + LINT_LINE.replace("k.Close", "os.Chdir"))
    assert only.subject == "k.Close"
    assert only.quote == LINT_LINE.strip()


def test_warnings_count_only_where_they_are_asked_for() -> None:
    """A run that passed with warnings has passed: without `warnings` they are left out."""
    output = "boil.c:9:9: warning: unused variable 'x' [-Wunused-variable]\n"
    assert len(read_diagnostics("make", output)) == 1
    assert read_diagnostics("make", output, warnings=False) == ()


def test_an_output_gives_at_most_twenty() -> None:
    """A flood of distinct diagnostics is bounded, and so are their lines."""
    for level in ("error", "warning"):
        output = "".join(f"boil.cs({n},1): {level} CS{n}: {'x' * 2000}\n" for n in range(1000, 1100))
        found = read_diagnostics("dotnet build", output)
        assert len(found) == MAX_DIAGNOSTICS
        assert all(len(one.quote) <= 300 and len(one.message) <= 240 for one in found)


def _cause(tool: str, code: str, message: str) -> str:
    return diagnostic_cause(Diagnostic(tool, code, normalised(code, message)[0]))


def test_the_rule_is_the_cause_whoever_found_it() -> None:
    """Two tools, two wordings, one rule: one cause; another rule is another cause."""
    ruff = _cause("ruff", "E501", "Line too long (130 > 100)")
    assert ruff == _cause("flake8", "E501", "line too long (81 > 79 characters)")
    assert ruff != _cause("ruff", "W505", "Line too long (130 > 100)")


def test_rules_that_stand_for_many_causes_are_told_apart() -> None:
    """The interface that a message forbids, or what a compiler misses, is part of the cause; changing names are not."""
    command = _cause("golangci-lint", "noctx", "os/exec.Command must not be called. use os/exec.CommandContext")
    get = _cause("golangci-lint", "noctx", "net/http.Get must not be called. use net/http.NewRequestWithContext")
    assert command != get
    assert _cause("go", "", "undefined: heat") == _cause("go", "", "undefined: cool.Down")
    assert _cause("go", "", "undefined: heat") != _cause("go", "", '"os" imported and not used')
    assert _cause("go", "", "undefined: heat") != _cause("zig", "", "undefined: heat")


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("ok  \texample.com/kettle/boil\t0.412s\n" * 2700, 60),
        ("boil.go:12:\theat() and more of it\n" * 2900, 120),
        ("a.b.c.d.e.f:1" * 8000, 120),
        (" " * 100_000, 60),
        ("error " * 17_000, 120),
        ("x.go:1:1: " + "`" * 90_000, 120),
        ("src/a.ts(1,1): error TS1: " + "'a.b_c/" * 14_000, 120),
        ("--> a.rs:1:1\n" * 7700, 300),
    ],
)
def test_a_long_output_is_read_in_no_time(text: str, milliseconds: int) -> None:
    """100 KB cost milliseconds, whatever they hold; the limits are ten times what is measured."""
    started = time.process_time()
    read_diagnostics("make check", text)
    assert (time.process_time() - started) * 1000 < milliseconds

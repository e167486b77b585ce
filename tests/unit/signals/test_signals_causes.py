"""Causes of failures: the same failure has the same key wherever it happens, another failure has another one."""

from __future__ import annotations

import pytest

from selfdistill.model import FailureClass, Span, ToolKind
from selfdistill.signals.causes import causes, general_path, is_covered, known_under
from selfdistill.signals.runs import TestRun
from selfdistill.signals.signatures import cause_signature, signature
from selfdistill.signals.steps import Diagnostic, Step
from selfdistill.signals.tools import read_failure

NOWHERE = Span(0, 0)
HASHES = ("9d754fb", "1dc1c5f")


def failed(
    text: str, *, command: str = "", path: str = "", tool: str = "Bash", kind: ToolKind = ToolKind.SHELL
) -> Step:
    """A failed call as the observer makes it."""
    failure = read_failure(kind, command, text, flagged=True)
    return Step("c", "r", NOWHERE, NOWHERE, tool, kind, command=command, path=path, failed=True, failure=failure)


def refused(text: str, path: str = "/home/mara/kettle/src/boil.py", kind: ToolKind = ToolKind.EDIT) -> Step:
    """A call that the harness refused."""
    return failed(f"<tool_use_error>{text}</tool_use_error>", path=path, tool=kind.value.title(), kind=kind)


def shell(command: str, text: str) -> Step:
    """A failed shell call."""
    return failed(f"Exit code 1\n{text}", command=command)


SAME = [
    pytest.param(
        shell("gh pr diff 12 --stat", "unknown flag: --stat"),
        shell("cd /tmp && gh pr diff 9 --stat | head", "unknown flag: --stat\n\nUsage: gh pr diff"),
        id="the flag of a sub-command",
    ),
    pytest.param(
        shell("cat src/a.py | cat -A", "cat: illegal option -- A"),
        shell("cat -A b.py", "cat: illegal option -- A"),
        id="a letter option, signed by its program",
    ),
    pytest.param(
        shell("ruff check /home/mara/kettle/nope/x.py", "/home/mara/kettle/nope/x.py: No such file or directory"),
        shell("ruff check /Users/noa/w/nope/x.py", "/Users/noa/w/nope/x.py: No such file or directory"),
        id="a path in another home",
    ),
    pytest.param(
        shell("git push", " ! [rejected]  main -> main (fetch first)"),
        shell("git push origin topic", " ! [rejected]  topic -> topic (non-fast-forward)"),
        id="a push behind its remote",
    ),
    pytest.param(
        shell("kettle sync", "sync: error: lock of 9d754fb held for 12s by '/run/a.pid'"),
        shell("kettle sync", "sync: error: lock of 1dc1c5f held for 340s by '/run/b/c.pid'"),
        id="numbers, hashes and quoted names of an unclassed message",
    ),
    pytest.param(
        refused("String to replace not found in file.\nString: a"),
        refused('String to replace not found in file.\nString: raise Error("failed")', "/w/other.go"),
        id="an edit whose text is not there",
    ),
    pytest.param(
        refused("File does not exist.", "/home/mara/kettle/src/steam.py", ToolKind.READ),
        refused("File does not exist.", "/Users/noa/w/kettle-2/src/steam.py", ToolKind.READ),
        id="a missing file in another worktree",
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_failure_elsewhere_has_the_same_cause(one: Step, other: Step) -> None:
    """Paths, numbers, hashes and arguments beside the point do not matter."""
    assert causes(one)
    assert causes(one) == causes(other)


DIFFERENT = [
    (shell("gh pr diff --stat", "unknown flag: --stat"), shell("gh pr diff --wide", "unknown flag: --wide")),
    (shell("gh pr diff --stat", "unknown flag: --stat"), shell("gh run list --stat", "unknown flag: --stat")),
    (shell("rg x", "bash: line 1: rg: command not found"), shell("fd x", "bash: line 1: fd: command not found")),
    (shell("gh pr view --json a", 'Unknown JSON field: "a"'), shell("gh pr view --json b", 'Unknown JSON field: "b"')),
    (refused("File has not been read yet."), refused("File has been modified since read, either by the user or ...")),
    (refused("Unknown skill: brew", kind=ToolKind.OTHER), refused("Unknown skill: pour", kind=ToolKind.OTHER)),
    (
        refused("File does not exist.", "/w/src/steam.py", ToolKind.READ),
        refused("File does not exist.", "/w/src/brew.py", ToolKind.READ),
    ),
    (shell("kettle sync", "sync: error: lock is held"), shell("kettle sync", "sync: error: lid is open")),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_failure_has_another_cause(one: Step, other: Step) -> None:
    """What the message names tells causes apart, though the tool is the same."""
    assert causes(one)
    assert set(causes(one)).isdisjoint(causes(other))


@pytest.mark.parametrize(
    "step",
    [
        shell("grep -rn foo src", ""),
        shell("curl https://x", "curl: (6) Could not resolve host: x"),
        failed("The user doesn't want to proceed with this tool use.", command="rm -r build"),
        shell("mise run lint", "[lint] ERROR task failed"),
        shell("make test", "make: *** [test] Error 2"),
        shell("go build ./...", "# kettle.example/kettle"),
        failed("Exit code 1", command="kettle pour"),
    ],
)
def test_a_failure_that_teaches_nothing_or_says_nothing_has_no_cause(step: Step) -> None:
    """Probes, the network, a person's refusal, and lines that only say that something failed."""
    assert step.failure is not None
    assert causes(step) == ()


def test_a_failing_check_has_one_cause_for_each_diagnostic_and_test() -> None:
    """A rule found twice counts once; a test that fails because its parts fail, and a Go package, count for nothing."""
    step = shell("make check", "make: *** [check] Error 1")
    step.diagnostics = (
        Diagnostic("golangci-lint", "errcheck", "unchecked", "os.Chdir"),
        Diagnostic("golangci-lint", "errcheck", "unchecked", "os.Remove"),
        Diagnostic("golangci-lint", "nilerr", "error is not nil"),
    )
    failing = ("TestBoil", "TestBoil/cold", "TestPour", "kettle.example/kettle/steam")
    step.run = TestRun("go test", failed=3, failing=failing)
    found = causes(step)
    assert [cause.split("\x1f")[:2] for cause in found] == [
        ["diagnostic", "errcheck"],
        ["diagnostic", "nilerr"],
        ["test", "TestBoil/cold"],
        ["test", "TestPour"],
    ]


def test_a_pytest_name_is_the_same_from_another_directory() -> None:
    """What stands before the file's own directory does not matter."""
    one = Step("c", "r", NOWHERE, NOWHERE, "Bash", ToolKind.SHELL, failed=True)
    one.run = TestRun("pytest", failed=1, failing=("tests/unit/test_lid.py::test_shuts",))
    other = Step("c", "r", NOWHERE, NOWHERE, "Bash", ToolKind.SHELL, failed=True)
    other.run = TestRun("pytest", failed=1, failing=("kettle/tests/unit/test_lid.py::test_shuts",))
    assert causes(one) == causes(other) != ()


def test_a_lesson_about_the_kind_covers_the_case_and_not_the_other_way_round() -> None:
    """Guessed paths in general cover a missing file; a lesson about one file does not cover another."""
    (found,) = causes(refused("File does not exist.", "/w/src/steam.py", ToolKind.READ))
    kind = known_under(found)[-1]
    (other,) = causes(refused("File does not exist.", "/w/src/brew.py", ToolKind.READ))
    assert is_covered([found], [found])
    assert is_covered([found], [kind])
    assert not is_covered([found], [other])
    assert not is_covered([kind], [found])


def test_the_kind_of_a_usage_failure_covers_nothing() -> None:
    """Only refusals and diagnostics have a kind that one lesson can be about."""
    (found,) = causes(shell("gh pr diff --stat", "unknown flag: --stat"))
    assert known_under(found) == (found,)


def test_the_class_decides_before_the_words() -> None:
    """A message of wrong usage inside a failed check stays a usage failure."""
    step = shell("golangci-lint run --out-format=x", "Error: unknown flag: --out-format")
    assert step.failure is not None
    assert step.failure.blame is FailureClass.USAGE
    assert causes(step) == ("usage\x1funknown_option\x1fgolangci-lint run\x1fout-format",)


@pytest.mark.parametrize(
    ("path", "general"),
    [
        ("/home/mara/kettle/src/boil.py", "src/boil.py"),
        ("~/kettle/src/boil.py", "src/boil.py"),
        ("./src/boil.py", "src/boil.py"),
        ("/tmp/run-8812/out.log", "run-<n>/out.log"),  # noqa: S108 - a path in a log
        ("C:\\Users\\Mara\\kettle\\lid.cs", "kettle/lid.cs"),
        ("", ""),
    ],
)
def test_a_general_path_keeps_its_last_parts(path: str, general: str) -> None:
    """Home, worktree and numbers go."""
    assert general_path(path) == general


def test_a_path_in_the_working_directory_is_named_from_there() -> None:
    """The name of a checkout does not tell one project file from another."""
    assert general_path("/w/kettle/lint.yml", "/w/kettle") == general_path("/w/kettle-2/lint.yml", "/w/kettle-2/")


def test_a_signature_keeps_the_words_and_bare_names() -> None:
    """Quoted names, times and sizes go; a symbol that stands bare tells causes apart."""
    assert (
        signature("2026-11-03T10:00:01Z lid 'a' open for 12.5s in /w/x.py:41")
        == "<time> lid <name> open for <n> in <path>:<n>"
    )
    assert signature("undefined: boil") != signature("undefined: pour")
    assert [signature(f"could not apply {commit}") for commit in HASHES] == ["could not apply <hash>"] * 2


@pytest.mark.parametrize(
    "line", ["Exit code 1", "exit status 2", "FAILED", "npm ERR! code 1", "Error: Process completed"]
)
def test_a_line_that_only_says_failure_is_no_signature_of_a_cause(line: str) -> None:
    """That something failed is no reason why."""
    assert cause_signature(line) == ""

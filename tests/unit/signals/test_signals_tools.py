"""Failed calls: whose fault they are, and what their message names."""

from __future__ import annotations

import pytest

from selfdistill.model import FailureClass, ToolKind
from selfdistill.signals.signatures import signature
from selfdistill.signals.steps import Fault
from selfdistill.signals.tools import key_line, read_failure

FAULTS = [
    ("gh pr diff --stat", "unknown flag: --stat", Fault.UNKNOWN_OPTION, "--stat"),
    ("git gc --dry-run", "error: unknown option `dry-run'\nusage: git gc", Fault.UNKNOWN_OPTION, "dry-run"),
    ("cat -A x", "cat: illegal option -- A", Fault.UNKNOWN_OPTION, "A"),
    ("app --colour", "app: error: unrecognized arguments: --colour", Fault.UNKNOWN_OPTION, "--colour"),
    ("cargo b --fast", "error: unexpected argument '--fast' found", Fault.UNKNOWN_OPTION, "--fast"),
    ("flask --bad", "Error: No such option: --bad", Fault.UNKNOWN_OPTION, "--bad"),
    ("npm run tests", 'npm error Missing script: "tests"', Fault.UNKNOWN_COMMAND, "tests"),
    ("git chekout", "git: 'chekout' is not a git command. See 'git --help'.", Fault.UNKNOWN_COMMAND, "chekout"),
    ("make tset", "make: *** No rule to make target 'tset'.  Stop.", Fault.UNKNOWN_COMMAND, "tset"),
    ("python x.py", "zsh:1: command not found: python", Fault.PROGRAM_MISSING, "python"),
    ("rg x", "bash: line 1: rg: command not found", Fault.PROGRAM_MISSING, "rg"),
    ("python -m kettle", "python: No module named kettle", Fault.MODULE_MISSING, "kettle"),
    ("ls a?b", "zsh: no matches found: a?b", Fault.GLOB, "a?b"),
    ("git add web/x.ts", "fatal: pathspec 'web/x.ts' did not match any files", Fault.UNKNOWN_REVISION, "web/x.ts"),
    ("pytest tests/nope.py", "ERROR: file or directory not found: tests/nope.py", Fault.PATH_MISSING, "tests/nope.py"),
    ("go test ./...", "go: updates to go.mod needed; to update it:\n\tgo mod tidy", Fault.PREREQUISITE, "go mod tidy"),
    ("gh pr view --json x", 'Unknown JSON field: "x"', Fault.UNKNOWN_FIELD, "x"),
    ("app run", "app: error: the following arguments are required: --name", Fault.ARGUMENT_MISSING, "--name"),
]


@pytest.mark.parametrize(("command", "message", "fault", "named"), FAULTS)
def test_a_wrong_command_is_named_by_its_message(command: str, message: str, fault: Fault, named: str) -> None:
    """A usage failure tells its kind and the word at fault."""
    failure = read_failure(ToolKind.SHELL, command, f"Exit code 1\n{message}", flagged=True)
    assert failure is not None
    assert (failure.blame, failure.fault, failure.named) == (FailureClass.USAGE, fault, named)


BLAMES = [
    (ToolKind.SHELL, "mise run lint", "[lint] ERROR task failed\na.go:1:2: unchecked (errcheck)", FailureClass.CHECK),
    (ToolKind.SHELL, "curl https://x", "curl: (6) Could not resolve host: x", FailureClass.ENVIRONMENT),
    (ToolKind.SHELL, "cat x", "<tool_use_error>Sibling tool call errored</tool_use_error>", FailureClass.ENVIRONMENT),
    (ToolKind.SHELL, "rm x", "The user doesn't want to proceed with this tool use.", FailureClass.HUMAN),
    (
        ToolKind.EDIT,
        "",
        "<tool_use_error>String to replace not found in file.</tool_use_error>",
        FailureClass.GUARDRAIL,
    ),
    (ToolKind.READ, "", "File does not exist.", FailureClass.GUARDRAIL),
    (ToolKind.SHELL, "grep -rn foo src | head", "", FailureClass.EXPECTED),
    (ToolKind.SHELL, "git merge main", "Automatic merge failed; fix conflicts and commit", FailureClass.EXPECTED),
    (ToolKind.SHELL, "git commit -m lid", "nothing to commit, working tree clean", FailureClass.EXPECTED),
    (ToolKind.SHELL, "git commit -m lid", "hook: pre-commit\nlid.ts: 1 error", FailureClass.CHECK),
    (ToolKind.SHELL, "git config core.lid", "", FailureClass.EXPECTED),
    (ToolKind.SHELL, "sed -n 1,9p lid.md", "sed: can't read lid.md: No such file or directory", FailureClass.EXPECTED),
    (ToolKind.SHELL, "git status", "command timed out after 1000 milliseconds", FailureClass.ENVIRONMENT),
    (ToolKind.EDIT, "", "error: invalid hunk at line 4, '' is not a valid hunk header.", FailureClass.GUARDRAIL),
    (ToolKind.SEARCH, "", "Path does not exist: lids", FailureClass.GUARDRAIL),
    (ToolKind.AGENT, "", "Agent type 'cook' not found. Available agents: Plan", FailureClass.GUARDRAIL),
    (ToolKind.SEARCH, "", "ENOENT: no such file or directory, posix_spawn '/opt/x'", FailureClass.ENVIRONMENT),
    (ToolKind.READ, "", "Permission for this tool use was denied. The user said: no", FailureClass.HUMAN),
    (ToolKind.SHELL, "which rg; ls nowhere", "ls: nowhere: No such file or directory", FailureClass.EXPECTED),
]


@pytest.mark.parametrize(("kind", "command", "text", "blame"), BLAMES)
def test_a_failure_is_blamed_on_whom_it_belongs_to(
    kind: ToolKind, command: str, text: str, blame: FailureClass
) -> None:
    """Checks, probes, the harness, people and the environment are no wrong commands."""
    failure = read_failure(kind, command, text, flagged=True)
    assert failure is not None
    assert failure.blame is blame


def test_a_refused_edit_is_told_by_the_refusal() -> None:
    """The text that was to be replaced may hold the words of an error."""
    refusal = "Found 2 matches of the string to replace.\nString: raise Error('lid not found')"
    failure = read_failure(ToolKind.EDIT, "", refusal, flagged=True)
    assert failure is not None
    assert failure.line == "Found 2 matches of the string to replace."


def test_a_missing_file_is_a_missing_path() -> None:
    """A tool that reads or searches says so in its own words."""
    failure = read_failure(ToolKind.READ, "", "File does not exist.", flagged=True)
    assert failure is not None
    assert failure.fault is Fault.PATH_MISSING


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("cat errors.txt", "unknown flag: --stat"),
        ("git log -3", "fix: unknown flag: --stat"),
        ("make build", "note: pass --stat; unknown flag names are listed in docs"),
    ],
)
def test_a_success_is_not_doubted_for_what_it_prints(command: str, text: str) -> None:
    """The words of an error inside contents are no failure."""
    assert read_failure(ToolKind.SHELL, command, text, flagged=False) is None


def test_reading_tools_never_fail_by_their_contents() -> None:
    """Only a flag makes a Read fail."""
    assert read_failure(ToolKind.READ, "", "error: unknown flag: --stat", flagged=False) is None


def test_a_signature_forgets_what_changes() -> None:
    """Paths, numbers and hashes do not make two errors different."""
    one = signature("error: could not apply 9d754fb in /home/mara/kettle/boil.py:41")
    assert one == signature("error: could not apply 1dc1c5f in /home/noa/pot/brew.py:7")


def test_the_key_line_has_words() -> None:
    """Frames and rules are no message."""
    assert key_line("╭─────╮\n│ hook │\n") == "│ hook │"

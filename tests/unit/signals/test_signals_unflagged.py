"""Whether a call failed, from the words of its result alone."""

from __future__ import annotations

import pytest

from selfdistill.model import ToolKind
from selfdistill.signals.unflagged import fails_by_text

LISTING = "\n".join(f"{number}\tkettle.log(error)" for number in range(1, 60))

FAILED = [
    # what harnesses say before, after and instead of an output
    (ToolKind.SHELL, "./brew", "Exit code 1\nlukewarm"),
    (ToolKind.SHELL, "./brew", "Chunk ID: a1\nWall time: 0.1 seconds\nProcess exited with code 2\nOutput:\nlukewarm"),
    (ToolKind.SHELL, "./brew", '{"output":"lukewarm","metadata":{"exit_code":3,"duration_seconds":0.1}}'),
    (ToolKind.SHELL, "./brew", "lukewarm\n\nCommand exited with code 1"),
    (ToolKind.SHELL, "./brew", "lukewarm\n[The command completed with exit code 4.]"),
    (ToolKind.SHELL, "./brew", "lukewarm\n<exited with exit code 1>"),
    (ToolKind.OTHER, "", "Command: ./brew\nOutput: lukewarm\nExit Code: 1\nSignal: 0"),
    (ToolKind.SHELL, "./brew", "<returncode>1</returncode>\n<output>\nlukewarm\n</output>"),
    (ToolKind.SHELL, "./brew", "Error: Command failed (exit code: 1)\nlukewarm"),
    (ToolKind.SHELL, "sleep 9", "command timed out after 1000 milliseconds"),
    (ToolKind.READ, "", "<tool_use_error>File does not exist.</tool_use_error>"),
    (ToolKind.READ, "", "EISDIR: illegal operation on a directory, read"),
    (ToolKind.READ, "", "Error: ENOENT: no such file or directory, open 'tea.txt'"),
    (ToolKind.READ, "", "File content (30000 tokens) exceeds maximum allowed tokens (25000)."),
    (ToolKind.SEARCH, "", "Path does not exist: web/kettle"),
    (ToolKind.WEB, "", "Request failed with status code 403"),
    (ToolKind.AGENT, "", "Agent type 'brewer' not found. Available agents: " + "Plan, " * 200),
    (ToolKind.EDIT, "", "String to replace not found in file.\nString: seconds = 99"),
    (ToolKind.EDIT, "", "No replacement was performed, old_str `x` did not appear verbatim in a.py."),
    (ToolKind.EDIT, "", "String 'def boil():\n    pass' not found in kettle.py.\n\ndef boil' does not match"),
    (ToolKind.EDIT, "", "apply_patch verification failed: Failed to find expected lines in kettle.py"),
    # what a shell, or the program whose status is the line's, says of itself
    (ToolKind.SHELL, "gh pr diff 12 --stat", "unknown flag: --stat\n\nUsage: gh pr diff [flags]"),
    (
        ToolKind.SHELL,
        "git push",
        "To example.org:kettle.git\n ! [rejected] main -> main (fetch first)\nhint: pull first",
    ),
    (ToolKind.SHELL, "git show --fast", "fatal: unrecognized argument: --fast"),
    (ToolKind.SHELL, "python brew.py", "bash: line 1: python: command not found"),
    (ToolKind.SHELL, "ls pots", "ls: cannot access 'pots': No such file or directory"),
    (ToolKind.SHELL, "cat a.txt | grep --wet x", "grep: unrecognized option '--wet'\nusage: grep [-c] [pattern]"),
    (ToolKind.SHELL, "echo 'x | wc", "bash: -c: line 1: unexpected EOF while looking for matching `''"),
    (ToolKind.SHELL, "python brew.py", 'Traceback (most recent call last):\n  File "brew.py"\nValueError: too hot'),
    (
        ToolKind.SHELL,
        "git merge main",
        "Auto-merging a.py\nCONFLICT (content): Merge conflict in a.py\nresolve it first",
    ),
    # what a check found
    (ToolKind.SHELL, "pytest -q", "FAILED tests/test_timer.py::test_boils\n1 failed, 4 passed in 0.12s"),
    (ToolKind.SHELL, "golangci-lint run", "a.go:3:1: unchecked (errcheck)\n1 issues:\n* errcheck: 1"),
    (ToolKind.SHELL, "npx tsc", "web/timer.ts(3,9): error TS2322: Type 'string' is not assignable."),
]

WENT_WELL = [
    # contents
    (ToolKind.READ, "", "Error: the first line of a long text\n" + LISTING),
    (ToolKind.READ, "", "Exit code 1\n" + LISTING),
    (ToolKind.READ, "", "     1\tFile does not exist."),
    (ToolKind.SEARCH, "", "web/timer.ts:3: throw new Error('too hot')\nweb/pot.ts:9: Error\nweb/cup.ts:1: Error"),
    (ToolKind.SEARCH, "", "No matches found"),
    (ToolKind.AGENT, "", "The error handling in kettle.py is sound: a missing file is not found silently."),
    (ToolKind.SHELL, "cat run.log", "fatal: the kettle is gone\nerror: the pot, too"),
    (ToolKind.SHELL, "grep -rn error src", "src/a.py:3: error: no such kettle"),
    (ToolKind.SHELL, "git log --oneline", "3af4a87 fatal: no more\n84d5729 Error: mended"),
    (ToolKind.EDIT, "", "The file kettle.py has been updated. Here's a snippet:\n    raise Error('not found')"),
    (ToolKind.WRITE, "", "File created successfully at: errors/not_found.py"),
    # the status is another command's, or the line says it itself
    (ToolKind.SHELL, "pytest -q | tail -3", "1 failed, 4 passed in 0.12s"),
    (ToolKind.SHELL, "git pull || true", "fatal: no such remote"),
    (ToolKind.SHELL, "./brew; echo done", "error: lukewarm\ndone"),
    (ToolKind.SHELL, './brew; echo "Exit code: $?"', "lukewarm\nExit code: 1"),
    (ToolKind.SHELL, "cat pots | head", "cat: pots: No such file or directory"),
    # it ended well
    (ToolKind.SHELL, "./brew", "Chunk ID: a1\nProcess exited with code 0\nOutput:\nerror: none of them"),
    (ToolKind.OTHER, "", "Command: ./brew\nOutput: hot\nExit Code: (none)\nSignal: (none)"),
    (ToolKind.SHELL, "cargo test", "fatal: a log line\ntest result: ok. 4 passed; 0 failed; 0 ignored"),
    (ToolKind.SHELL, "./deploy", "error: the first try\nretrying\nDeployed successfully"),
    (ToolKind.SHELL, "grep -c kettle notes.txt", ""),
]


@pytest.mark.parametrize(("kind", "command", "text"), FAILED)
def test_a_failure_shows_in_the_words_of_harness_shell_or_program(kind: ToolKind, command: str, text: str) -> None:
    """Words at a known place tell that the call failed."""
    assert fails_by_text(kind, command, text)


@pytest.mark.parametrize(("kind", "command", "text"), WENT_WELL)
def test_contents_are_no_failures(kind: ToolKind, command: str, text: str) -> None:
    """Neither the word "error" in what was read or printed, nor a status that is another command's, is a failure."""
    assert not fails_by_text(kind, command, text)


def test_a_long_output_costs_no_more_than_its_ends() -> None:
    """Two megabytes of contents are judged by what stands at their ends."""
    assert not fails_by_text(ToolKind.READ, "", "error: x\n" * 200_000)
    assert fails_by_text(ToolKind.SHELL, "./brew", "hot\n" * 500_000 + "Command exited with code 1")

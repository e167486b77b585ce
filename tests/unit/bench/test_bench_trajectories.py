"""Trajectories as events: the same work told in many agents' ways comes out as the same calls."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from bench.quality.trajectories import Message, Trajectory, events_of, trajectories

from selfdistill.model import Author, Event, EventKind, ToolKind


def events(*messages: Message) -> list[Event]:
    """The events of a trajectory of these messages."""
    return list(events_of(Trajectory(id="t", dataset="set", task="task", fail=True, msgs=messages)))


def calls(found: list[Event]) -> list[tuple[ToolKind, str, bool]]:
    """What was called, with the command or path, and whether it failed."""
    results = {event.call_id: event for event in found if event.kind is EventKind.TOOL_RESULT}
    called = [event for event in found if event.kind is EventKind.TOOL_CALL and event.input]
    return [
        (
            call.tool_kind,
            (call.input.command or call.input.path) if call.input else "",
            bool(results[call.call_id].is_error) or results[call.call_id].exit_code not in {None, 0},
        )
        for call in called
    ]


FENCED = "Let me look at the failing test first.\n\n```bash\npytest tests/test_kettle.py\n```\n"
BARE = "DISCUSSION\nI look at the failing test first.\n```\npytest tests/test_kettle.py\n```"
XML = "I look.\n<function=execute_bash>\n<parameter=command>pytest tests/test_kettle.py</parameter>\n</function>"
TAGGED = "I look.\n<execute_bash>\npytest tests/test_kettle.py\n</execute_bash>"
JSON = json.dumps({"analysis": "A test fails.", "commands": [{"keystrokes": "pytest tests/test_kettle.py\n"}]})
CRASH = 'Traceback (most recent call last):\n  File "kettle.py", line 3, in boil\nValueError: water is missing'


@pytest.mark.parametrize("said", [FENCED, BARE, XML, TAGGED, JSON])
@pytest.mark.parametrize("role", ["user", "tool", "observation"])
def test_an_action_in_the_text_is_answered_by_the_next_message(said: str, role: str) -> None:
    """Whatever the form of the action and whoever the answer is said to come from."""
    found = events(
        Message("user", "The kettle does not boil."), Message("assistant", said), Message(role, "1 failed", rc=1)
    )
    assert calls(found) == [(ToolKind.SHELL, "pytest tests/test_kettle.py", True)]
    assert [event.kind for event in found if event.kind is EventKind.USER] == [EventKind.USER]


def test_a_tool_message_may_hold_call_and_result() -> None:
    """Name, arguments and result in one message; what the assistant's text shows is then no second call."""
    arguments = json.dumps({"command": "str_replace", "path": "kettle.py", "old_str": "a", "new_str": "b"})
    found = events(
        Message("assistant", FENCED), Message("tool", "Edited.", tool="TextEditor", input=arguments, is_error=False)
    )
    assert calls(found) == [(ToolKind.EDIT, "kettle.py", False)]
    assert found[1].input is not None
    assert (found[1].input.old, found[1].input.new) == ("a", "b")


@pytest.mark.parametrize(
    ("tool", "given", "kind"),
    [
        ("str_replace_editor", '{"command": "view", "path": "kettle.py"}', ToolKind.READ),
        ("str_replace_editor", '{"command": "create", "path": "kettle.py", "file_text": "x"}', ToolKind.WRITE),
        ("EditArguments", '{"command": "view", "path": "kettle.py", "view_range": [1', ToolKind.READ),
        ("FindFunction", '{"function_name": "boil"}', ToolKind.SEARCH),
        ("execute_bash", '{"command": "ls"}', ToolKind.SHELL),
        ("bash", "ls -la", ToolKind.SHELL),
        ("", "open kettle.py 12", ToolKind.READ),
        ("", "edit 3:4\nboil()\nend_of_edit", ToolKind.EDIT),
        ("", "search_dir boil", ToolKind.SEARCH),
        ("", {"command": "make test"}, ToolKind.SHELL),
    ],
)
def test_what_a_tool_does_is_read_off_its_name_and_arguments(tool: str, given: object, kind: ToolKind) -> None:
    """No list of agents' tools: the words of the name, the subcommand, the command itself."""
    found = events(Message("tool", "done", tool=tool, input=given))
    assert [event.tool_kind for event in found if event.kind is EventKind.TOOL_CALL] == [kind]


@pytest.mark.parametrize(
    ("output", "failed"),
    [
        ("<returncode>1</returncode>\n<output>\nx\n</output>", True),
        ("<returncode>0</returncode>\n<output>\nerror: none\n</output>", False),
        ("x\n[Command finished with exit code 2]", True),
        (CRASH, True),
        (CRASH + "\n(Open file: kettle.py)\n(Current directory: /work)\nbash-$", True),
        ("bash: boil: command not found", True),
        ("def boil():\n    raise ValueError('no water')\n", False),
        ("", False),
    ],
)
def test_a_failure_that_no_field_shows_is_read_off_both_ends_of_the_text(output: str, failed: bool) -> None:
    """A stated exit status wins; contents that speak of errors are none."""
    found = events(Message("assistant", "```bash\npython kettle.py\n```"), Message("user", output))
    assert calls(found) == [(ToolKind.SHELL, "python kettle.py", failed)]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Done.\n```bash\necho COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT\n```", Message("user", "diff --git a b")),
        ("Done.\n```\nsubmit\n```", Message("user", "diff --git a b")),
        ("Done.", Message("tool", "Fixed.", tool="Finish", input='{"finish_reason": "Fixed."}')),
    ],
)
def test_handing_the_work_in_is_the_agents_last_word(said: str, answer: Message) -> None:
    """No call: the log does not end in the midst of the work."""
    found = events(Message("assistant", said), answer)
    assert calls(found) == []
    assert found[-1].kind is EventKind.ASSISTANT
    assert found[-1].ends_turn


def test_a_chats_notes_tell_of_edits_linters_and_tests() -> None:
    """An edit has the text that the agent proposed; what was refused several times over in one note is one failure."""
    proposed = "shop/kettle.py\n```python\n<<<<<<< SEARCH\nwater = 1\n=======\nwater = 2\n>>>>>>> REPLACE\n```\n"
    refused = "# 1 SEARCH/REPLACE block failed to match!\n\n## SearchReplaceNoExactMatch: This block\n" * 2
    checks = (
        "Applied edit to shop/kettle.py\n\n"
        "## Running: flake8 shop/kettle.py\n\nshop/kettle.py:1:1: F821 undefined name\n"
        "Test Script: pytest tests\n\n==== 1 failed, 3 passed in 0.10s ====\nAttempt to fix test errors? yes\n"
    )
    found = events(
        Message("user", "Boil more water."), Message("assistant", proposed), Message("tool", refused),
        Message("assistant", proposed), Message("tool", checks),
    )  # fmt: skip
    assert calls(found) == [
        (ToolKind.EDIT, "", True),
        (ToolKind.EDIT, "shop/kettle.py", False),
        (ToolKind.SHELL, "flake8 shop/kettle.py", True),
        (ToolKind.SHELL, "pytest tests", True),
    ]
    applied = [event.input for event in found if event.input and event.input.path]
    assert (applied[0].old, applied[0].new) == ("water = 1\n", "water = 2\n")


@pytest.mark.parametrize(
    ("summary", "failed"), [("5 passed. 0 failed. 0 errors.", False), ("4 passed. 1 failed. 0 errors.", True)]
)
def test_tests_that_a_harness_runs_after_an_edit_are_a_run_of_their_own(summary: str, failed: bool) -> None:
    """The edit stays an edit; its result also tells how the tests went."""
    ran = "Running 5 tests in the following files:\n * tests/test_kettle.py"
    result = f"The file kettle.py has been edited.\n\n{ran}\n\n{summary}\n"
    given = {"path": "kettle.py", "old_str": "a", "new_str": "b"}
    found = events(Message("tool", result, tool="edit", input=given, is_error=False))
    assert [(kind, bad) for kind, _, bad in calls(found)] == [(ToolKind.EDIT, False), (ToolKind.SHELL, failed)]


def test_code_that_an_answer_shows_is_no_action() -> None:
    """An example with a language, or in the midst of the text, is followed by what a person says."""
    found = events(
        Message("assistant", "Use it so:\n```python\nboil()\n```\nand so on:\n```\nboil()\n```\nDone."),
        Message("user", "Thanks!"),
    )
    assert calls(found) == []
    assert [event.author for event in found if event.kind is EventKind.USER] == [Author.HUMAN]


def test_the_same_prompt_again_comes_from_a_harness() -> None:
    """Word for word a second time: a program started over, so it is nobody's opinion of the work before."""
    found = events(Message("user", "Fix it."), Message("assistant", "Done."), Message("user", "Fix it."))
    assert [event.author for event in found if event.kind is EventKind.USER] == [Author.HUMAN, Author.PROGRAM]


@pytest.mark.parametrize("name", ["some_agent.jsonl", "some_agent.dev.jsonl.gz"])
def test_trajectories_are_found_whatever_their_file_is_called(tmp_path: Path, name: str) -> None:
    """Labelled turns in the same directory are none."""
    (tmp_path / "labelled").mkdir()
    row = {"id": "1", "dataset": "d", "task": "t", "model": "m", "fail": True, "msgs": [{"role": "user", "text": "Hi"}]}
    content = json.dumps(row).encode() + b"\n"
    (tmp_path / "labelled" / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (tmp_path / "labelled" / "user_turns.jsonl").write_text(json.dumps({"text": "Hi", "label": "N"}) + "\n")
    assert [(row.task, row.fail, len(row.msgs)) for row in trajectories(tmp_path)] == [("t", True, 1)]


def test_nothing_to_measure_is_nothing(tmp_path: Path) -> None:
    """Without a directory there is no trajectory and no error."""
    assert trajectories(tmp_path) == []

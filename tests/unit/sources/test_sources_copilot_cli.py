"""Promises of the GitHub Copilot CLI source, one by one."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import pytest

from selfdistill.model import Author, Event, EventKind, Turn
from selfdistill.sources.copilot_cli import CopilotCli
from selfdistill.sources.copilot_texts import with_exit_code

SOURCE = CopilotCli()
LOG = PurePath("/home/mara/.copilot/session-state/c0911070-0000-4000-8000-000000000900/events.jsonl")


def parsed(*records: dict[str, Any]) -> tuple[list[Event], Any]:
    parser = SOURCE.open(LOG, None)
    return [event for record in records for event in parser.feed(json.dumps(record).encode(), 0)], parser


def event(kind: str, **data: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"type": kind, "id": f"{kind}-{len(str(data))}", "timestamp": "2026-02-03T09:00:00Z", "data": data}


def asked(name: str = "bash", identity: str = "c1") -> dict[str, Any]:
    request = {"toolCallId": identity, "name": name, "arguments": {"command": "ls"}}
    return event("assistant.message", content="", toolRequests=[request])


def turn_after(*records: dict[str, Any]) -> Turn:
    return Turn(parsed(*records)[1].turn)


def test_roots() -> None:
    """Sessions are looked for below the home, or below COPILOT_HOME where that is set."""
    assert SOURCE.roots(Path("/h"), {}) == (Path("/h/.copilot/session-state"),)
    assert SOURCE.roots(Path("/h"), {"COPILOT_HOME": "/c"}) == (Path("/c/session-state"),)


@pytest.mark.parametrize(
    ("name", "owned", "hint"),
    [
        ("abc/events.jsonl", True, "abc"),
        ("abc.jsonl", True, "abc"),
        ("abc/workspace.yaml", False, ""),
        ("abc/files/data.jsonl", False, ""),
    ],
)
def test_events_of_both_layouts_are_logs(name: str, owned: bool, hint: str) -> None:
    """Sessions in directories and the flat files before 1.0 are read, the session's other files are not."""
    path = PurePath("/h/.copilot/session-state") / name
    assert SOURCE.owns(path) is owned
    assert not owned or SOURCE.session_hint(path) == hint


@pytest.mark.parametrize(
    ("text", "output", "code"),
    [
        ("a\n<exited with exit code 0>", "a", 0),
        ("a\n<shellId: my-tests completed with exit code 2>", "a", 2),
        ("a\n<command with id: 7 exited with exit code 101>", "a", 101),
        ("<exited with exit code -1>\n", "", -1),
        ("<exited with exit code 1>\nis what it printed", "<exited with exit code 1>\nis what it printed", None),
        ("<exited with exit code 99999999999>", "<exited with exit code 99999999999>", None),
    ],
)
def test_exit_codes(text: str, output: str, code: int | None) -> None:
    """The exit code is the last line of a command's output, and nothing else is."""
    assert with_exit_code(text) == (output, code)


@pytest.mark.parametrize(
    ("data", "typed"),
    [
        ({"content": "go"}, "go"),
        ({"content": "go", "source": "user"}, "go"),
        ({"content": "go", "source": "skill-pdf"}, None),
        ({"content": "go", "isAutopilotContinuation": True}, None),
        ({"content": "go", "inputOrigin": "authenticated-cross-session"}, None),
        ({"content": "go", "agentMode": "autopilot"}, "go"),
        ({"content": "go", "agentMode": "shell"}, None),
        ({"content": "/plan it"}, None),
        ({"content": "", "transformedContent": "<current_datetime>x</current_datetime>\n\ngo"}, "go"),
        ({"content": "", "transformedContent": "You have not yet marked the task as complete"}, None),
    ],
)
def test_only_people_are_people(data: dict[str, Any], typed: str | None) -> None:
    """What the program says as the user is a program's, in any version."""
    events, _ = parsed(event("user.message", **data))
    assert [each.text for each in events if each.author is Author.HUMAN] == ([typed] if typed else [])


def test_turn_ends_with_an_answer_that_asks_for_nothing() -> None:
    """`turn_end` after tool requests leaves the turn open; after a last word it closes it."""
    asking = (event("user.message", content="go"), asked(), event("assistant.turn_end", turnId="0"))
    answered = (
        event("tool.execution_complete", toolCallId="c1", success=True),
        event("assistant.turn_end", turnId="1"),
    )
    last = (event("assistant.message", content="Done."), event("assistant.turn_end", turnId="2"))
    assert turn_after(*asking) is Turn.OPEN_CALL
    assert turn_after(*asking, *answered) is Turn.OPEN
    assert turn_after(*asking, *answered, *last) is Turn.CLOSED


def test_session_goes_on_after_its_end() -> None:
    """A shutdown ends the session; whoever resumes it finds it closed, not ended, and no call open."""
    ended = (event("user.message", content="go"), asked(), event("session.shutdown", shutdownType="routine"))
    assert turn_after(*ended) is Turn.ENDED
    assert turn_after(*ended, event("session.resume", context={"cwd": "/x"})) is Turn.CLOSED


def test_refusal_is_told_once() -> None:
    """The refused permission and the failed call that follows are one rejection, with the person's words."""
    verdict = {"kind": "denied-interactively-by-user", "feedback": "not that one"}
    failed = {"message": "The user rejected this tool call.", "code": "rejected"}
    events, _ = parsed(
        asked(),
        event("permission.completed", toolCallId="c1", result=verdict),
        event("tool.execution_complete", toolCallId="c1", success=False, error=failed),
    )
    rejections = [each for each in events if each.kind is EventKind.REJECTION]
    assert [(each.text, each.tool, each.author) for each in rejections] == [("not that one", "bash", Author.HUMAN)]


def test_subagents_do_not_name_the_model() -> None:
    """The session's model is that of its own answers."""
    _, parser = parsed(
        event("assistant.message", content="a", model="large"),
        event("assistant.message", content="b", model="small", parentToolCallId="c1"),
        event("tool.execution_complete", toolCallId="c2", model="small", parentToolCallId="c1", success=True),
    )
    assert parser.session.model == "large"


def test_detached_session_is_a_programs() -> None:
    """A session that another one has spawned counts under that one, and nobody types in it."""
    events, parser = parsed(
        event("session.start", sessionId="child", detachedFromSpawningParentSessionId="parent"),
        event("user.message", content="review"),
    )
    assert (parser.session.parent, parser.session.machine_run, events[0].author) == ("parent", True, Author.PROGRAM)

"""Promises of the Gemini CLI source, one by one."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

import msgspec
import pytest

from agent_logs import FIXTURES, lines_of, rendered, text_of
from selfdistill.model import Author, Event, EventKind, Turn
from selfdistill.sources.documents import line_of
from selfdistill.sources.gemini_cli import GeminiCli
from selfdistill.sources.gemini_texts import Ending, outcome, typed_text

SOURCE = GeminiCli()
PLACE = FIXTURES / "gemini_cli"
DOCUMENT = PLACE / "session-2026-02-03T09-00-7e11a000.json"
CHAT = PurePath("/home/mara/.gemini/tmp/kettle/chats/session-2026-02-03T09-00-7e11a000.jsonl")


def parsed(*lines: Any, path: PurePath = CHAT) -> tuple[list[Event], Any]:  # noqa: ANN401 - any JSON
    parser = SOURCE.open(path, None)
    return [event for line in lines for event in parser.feed(json.dumps(line).encode(), 0)], parser


def fixture_events(name: str) -> list[Event]:
    path = PLACE / name
    parser = SOURCE.open(path, None)
    return [event for line in text_of(SOURCE, path).split(b"\n") for event in parser.feed(line, 0)]


def said(kind: str, text: str, identity: str = "11111111-0000-4000-8000-000000000001", **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"id": identity, "type": kind, "timestamp": "2026-02-03T09:00:00Z", "content": text, **fields}


def test_roots() -> None:
    """Projects are looked for below the home, or where GEMINI_CLI_HOME says that it is."""
    assert SOURCE.roots(Path("/h"), {}) == (Path("/h/.gemini/tmp"), Path("/h/.cache/.gemini/tmp"))
    assert SOURCE.roots(Path("/h"), {"GEMINI_CLI_HOME": "/g"})[0] == Path("/g/.gemini/tmp")


@pytest.mark.parametrize(
    ("name", "owned"),
    [
        ("k/chats/session-2026-02-03T09-00-7e11a000.json", True),
        ("k/chats/7e11a000-0000/sub.jsonl", True),
        ("k/logs.json", False),
        ("k/checkpoints/x.json", False),
        ("k/chats/notes.txt", False),
    ],
)
def test_only_chats_are_logs(name: str, owned: bool) -> None:
    """Chats and those of sub-agents are read; prompts, checkpoints and shell histories are left alone."""
    assert SOURCE.owns(PurePath("/r") / name) is owned


def test_one_session_in_either_format() -> None:
    """A document, the event log that it became and a sub-agent's log are one session before any is read."""
    chats = PurePath("/r/k/chats")
    names = ("session-2026-02-03T09-00-7e11a000.json", "session-2026-02-03T09-00-7e11a000.jsonl", "7e11a000-11/s.jsonl")
    assert {SOURCE.session_hint(chats / name) for name in names} == {"7e11a000"}


def test_document_and_event_log_share_uids() -> None:
    """A session that was resumed by a newer version is written anew with the same uids."""
    first, second = ({event.uid for event in fixture_events(name)} for name in (DOCUMENT.name, "resumed.jsonl"))
    assert first < second


def test_last_answer_is_held_back() -> None:
    """Only the last message of a document can change, and only if it is the agent's."""
    finished = [line.finished for line in rendered(SOURCE, DOCUMENT, DOCUMENT.read_bytes())]
    assert finished == [True] * (len(finished) - 1) + [False]


def test_growing_document_only_grows() -> None:
    """Lines of a document that gets messages, a summary and another end stay as they were."""
    document = json.loads(DOCUMENT.read_text("utf-8"))
    before = lines_of(SOURCE, DOCUMENT, json.dumps({**document, "messages": document["messages"][:4]}).encode())
    later = {"summary": "s", **document, "lastUpdated": "later"}
    assert lines_of(SOURCE, DOCUMENT, json.dumps(later, indent=1).encode()).startswith(before + b"\n")


@pytest.mark.parametrize("odd", ["1" + "0" * 30, "NaN", '"\\ud83d"', "[[[[1]]]]"])
def test_odd_values_cost_nothing_else(odd: str) -> None:
    """Figures beyond 64 bits, NaN and halves of characters in a document leave its messages readable."""
    good = json.dumps(said("user", "fill it"))
    data = f'{{"sessionId": "s", "messages": [{{"id": "a", "type": "user", "content": {odd}}}, {good}]}}'.encode()
    parser = SOURCE.open(DOCUMENT, None)
    events = [event for line in lines_of(SOURCE, DOCUMENT, data).split(b"\n") for event in parser.feed(line, 0)]
    assert events[-1].text == "fill it"


def test_bottomless_value_is_a_line() -> None:
    """A value that no writer can follow to its end is one line of JSON all the same."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    assert isinstance(json.loads(line_of(value).line), str)


@pytest.mark.parametrize("named", ["kettle", sha256(b"/home/mara/kettle").hexdigest()])
def test_project_is_found_in_the_registry(tmp_path: Path, named: str) -> None:
    """A short name or a hash of the path is looked up among Gemini CLI's own projects."""
    chat = tmp_path / "tmp" / named / "chats" / "session-x.jsonl"
    chat.parent.mkdir(parents=True)
    (tmp_path / "projects.json").write_text(json.dumps({"projects": {"/home/mara/kettle": "kettle", "/x": ["odd"]}}))
    assert SOURCE.open(chat, None).session.cwd == "/home/mara/kettle"


def test_marker_tells_the_project(tmp_path: Path) -> None:
    """The marker beside the chats wins; its directory is that of every event."""
    chat = tmp_path / "tmp" / "kettle" / "chats" / "parent-id" / "sub.jsonl"
    chat.parent.mkdir(parents=True)
    (tmp_path / "tmp" / "kettle" / ".project_root").write_text("/home/mara/kettle\n")
    events, parser = parsed(said("user", "x"), path=chat)
    assert (events[0].cwd, parser.session.cwd, parser.session.parent) == ("/home/mara/kettle",) * 2 + ("parent-id",)
    assert events[0].author is Author.PROGRAM


def test_history_told_again_is_not_read_again() -> None:
    """However long a history is, what it repeats gives no event, and what it adds does."""
    messages = [said("user", f"prompt {number}", f"11111111-0000-4000-8000-{number:012d}") for number in range(300)]
    events, _ = parsed(*messages, {"$set": {"messages": [*messages, said("gemini", "new", "n")]}})
    assert [event.text for event in events[300:]] == ["new"]


def test_running_call_keeps_the_turn_open() -> None:
    """A call that is written before it has ended is open; its result closes it."""
    call = {"id": "call-1", "name": "run_shell_command", "args": {"command": "ls"}, "status": "executing"}
    running = said("gemini", "", toolCalls=[call])
    events, parser = parsed(said("user", "go", "u"), running)
    assert parser.turn is Turn.OPEN_CALL
    done = {
        **call,
        "status": "success",
        "result": [{"functionResponse": {"id": "call-1", "response": {"output": "a"}}}],
    }
    (result,) = parser.feed(json.dumps({**running, "toolCalls": [done]}).encode(), 0)
    assert (result.kind, result.call_id, parser.turn) == (EventKind.TOOL_RESULT, events[1].call_id, Turn.OPEN)


SHELL = [
    ("Command: ls\nDirectory: (root)\nStdout: a\nStderr: (empty)\nError: (none)\nExit Code: 0\nSignal: (none)", "a", 0),
    ("Command: a\nb\nDirectory: /x\nOutput: (empty)\nError: (none)\nExit Code: 127\nSignal: 0", "", 127),
    ("Output: a\nExit Code: 3\nProcess Group PGID: 1", "a", 3),
    ("Output: a", "a", 0),
    ("Output: a\nError: spawn failed\nProcess Group PGID: 1", "a\nspawn failed", None),
    ("Output: a\nSignal: 9\nProcess Group PGID: 1", "a", None),
    ("Output: Exit Code: 5\nis what it printed", "Exit Code: 5\nis what it printed", 0),
    ("Command moved to background (PID: 3).", "Command moved to background (PID: 3).", None),
    ("<untrusted_context>\nOutput: a\nExit Code: 4\n</untrusted_context>", "a", 4),
]  # fmt: skip


@pytest.mark.parametrize(("output", "text", "code"), SHELL)
def test_shell_output_is_unwrapped(output: str, text: str, code: int | None) -> None:
    """A command's own output and its exit code are found in what every version writes around them."""
    got = outcome("success", msgspec.Raw(msgspec.json.encode({"output": output})), command=True)
    assert (got.text, got.exit_code, got.is_error) == (text, code, False)


@pytest.mark.parametrize(
    ("status", "reason", "ending"),
    [
        ("cancelled", "User did not allow tool call", Ending.REFUSED),
        ("cancelled", "use another name", Ending.REFUSED),
        ("cancelled", "User cancelled tool execution.", Ending.STOPPED),
        ("cancelled", "", Ending.STOPPED),
        ("error", "no such file", Ending.DONE),
    ],
)
def test_endings_of_calls(status: str, reason: str, ending: Ending) -> None:
    """A call that a person did not allow is told from one that was interrupted and from one that failed."""
    error = f"[Operation Cancelled] Reason: {reason}" if status == "cancelled" else reason
    got = outcome(status, msgspec.Raw(msgspec.json.encode({"error": error})), command=False)
    assert (got.ending, got.is_error) == (ending, True)


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("fix it", "fix it"),
        ("see @a\n--- Content from referenced files ---\nsecret", "see @a"),
        ("Please continue.", ""),
        ("System: Please continue.", ""),
        ("/memory show", ""),
        ("/home/mara/kettle leaks", "/home/mara/kettle leaks"),
        ("<session_context>\nx\n</session_context>", ""),
        ("I ran the following shell command:\n```sh\nls\n```", ""),
        ("<system-reminder>x</system-reminder> and this", "and this"),
    ],
)
def test_typed_text(text: str, typed: str) -> None:
    """Only what a person typed is a person's."""
    assert typed_text([text]) == typed


def test_own_sessions_are_left_out() -> None:
    """A session of our own distiller is none to learn from, by its place or by its first prompt."""
    _, placed = parsed({"sessionId": "s", "projectHash": "h", "directories": ["/h/.local/state/selfdistill"]})
    _, prompted = parsed(said("user", "<selfdistill>lessons</selfdistill> Distill this."))
    assert placed.session.ignored == prompted.session.ignored == "selfdistill"

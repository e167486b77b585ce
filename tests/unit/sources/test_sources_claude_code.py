"""Promises of the Claude Code source, one by one."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import pytest

from selfdistill.errors import InternalError
from selfdistill.model import Author, Event, EventKind, Turn
from selfdistill.sources.claude_code import ClaudeCode
from selfdistill.sources.claude_results import Refusal, failed

SOURCE = ClaudeCode()
LOG = PurePath("/home/mara/.claude/projects/-home-mara-kettle/aaaaaaaa-1111-4111-8111-000000000001.jsonl")
FIXTURES = Path(__file__).parents[2] / "fixtures" / "claude_code"


def record(kind: str, **fields: Any) -> bytes:  # noqa: ANN401 - any JSON
    return json.dumps({"type": kind, "sessionId": LOG.stem, "cwd": "/home/mara/kettle", **fields}).encode()


def user(text: str, uuid: str = "u1", **fields: Any) -> bytes:  # noqa: ANN401
    return record("user", uuid=uuid, message={"role": "user", "content": text}, **fields)


def assistant(uuid: str, *blocks: dict[str, Any], stop: str | None = None) -> bytes:
    return record("assistant", uuid=uuid, message={"content": list(blocks), "stop_reason": stop, "model": "m"})


def call(identity: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": identity, "name": "Bash", "input": {"command": "ls"}}


def result(identity: str) -> bytes:
    content = [{"type": "tool_result", "tool_use_id": identity, "content": "ok"}]
    return record("user", uuid=f"r-{identity}", message={"role": "user", "content": content})


def read(*lines: bytes, path: PurePath = LOG) -> list[Event]:
    parser = SOURCE.open(path, None)
    return [event for number, line in enumerate(lines) for event in parser.feed(line, number * 1000)]


def turn_after(*lines: bytes) -> Turn:
    parser = SOURCE.open(LOG, None)
    for line in lines:
        list(parser.feed(line, 0))
    return parser.turn


def uids(name: str) -> set[str]:
    lines = (FIXTURES / name).read_bytes().split(b"\n")
    return {event.uid for event in read(*lines, path=PurePath(name))}


def test_default_roots() -> None:
    """Without a variable both places are looked at where Claude Code has kept projects."""
    home = Path("/home/mara")
    assert SOURCE.roots(home, {}) == (home / ".claude/projects", home / ".config/claude/projects")


@pytest.mark.parametrize("separator", [",", ":", " , "])
def test_config_variable_replaces_defaults(separator: str) -> None:
    """CLAUDE_CONFIG_DIR names one directory or a list, and then nothing else is read."""
    roots = SOURCE.roots(Path("/home/mara"), {"CLAUDE_CONFIG_DIR": f"/a{separator}/b"})
    assert roots == (Path("/a/projects"), Path("/b/projects"))


@pytest.mark.parametrize(
    ("name", "owned"),
    [
        ("k/aaaa.jsonl", True),
        ("k/agent-a1.jsonl", True),
        ("k/aaaa/subagents/agent-a1.jsonl", True),
        ("k/aaaa/subagents/workflows/wf_1/agent-a1.jsonl", True),
        ("k/aaaa/subagents/workflows/wf_1/journal.jsonl", False),
        ("k/aaaa/tool-results/x.jsonl", False),
        ("k/conversation-log.jsonl", False),
        ("k/agent-a1.meta.json", False),
        ("k/notes.txt", False),
    ],
)
def test_owned_files(name: str, *, owned: bool) -> None:
    """Sessions and sub-agents are logs; metadata, tool results and the original tool's log are not."""
    assert SOURCE.owns(PurePath("/r") / name) is owned


def test_subagents_are_grouped_with_their_session() -> None:
    """A log below <session>/subagents has the hint of the session's own log."""
    below = LOG.with_suffix("") / "subagents" / "agent-a1.jsonl"
    assert SOURCE.session_hint(below) == SOURCE.session_hint(LOG) == LOG.stem


def test_fork_shares_uids() -> None:
    """A forked log repeats its history under the same uids, and its own records are new."""
    shared = uids("normal.jsonl") & uids("forked.jsonl")
    assert len(shared) == 10
    assert len(uids("forked.jsonl") - shared) == 1


def test_embedded_subagent_shares_uids_with_its_log() -> None:
    """What a parent's progress records tell of a sub-agent has the uids of the sub-agent's own log."""
    assert uids("agent-a77.jsonl") & uids("parent.jsonl") == {
        "aaaaaaaa-0000-4000-8000-000000000001",
        "toolu_s1",
        "toolu_s1:r",
    }


def test_compaction_worker_is_skipped() -> None:
    """The log of a compaction worker says that it is ignored before it is read."""
    assert SOURCE.open(PurePath("/r/k/agent-acompact-1.jsonl"), None).session.ignored == "compaction worker"


def test_own_distiller_session_is_skipped() -> None:
    """A session that begins with our own marked prompt is ignored; a mere injection of lessons does not make it so."""
    own, told = SOURCE.open(LOG, None), SOURCE.open(LOG, None)
    list(own.feed(user("<selfdistill task='distill'>rules</selfdistill> Distill this log."), 0))
    list(told.feed(user("<selfdistill>Use python3.</selfdistill>"), 0))
    assert own.session.ignored == "selfdistill"
    assert told.session.ignored == ""


@pytest.mark.parametrize(
    ("wrapped", "left"),
    [
        ("a <selfdistill x='1'>lesson</selfdistill> b", "a  b"),
        ("a <selfdistill>cut off", "a"),
        ("a <!-- selfdistill: two lessons --> b", "a  b"),
        ("a <!-- selfdistill:begin -->x<!-- y --><!-- selfdistill:end --> b", "a  b"),
        ("the selfdistill repository", "the selfdistill repository"),
    ],
)
def test_own_text_is_taken_out(wrapped: str, left: str) -> None:
    """Text that selfdistill injected is never part of an event; its mere name is."""
    assert [event.text for event in read(user(wrapped))] == [left]


def test_own_text_is_taken_out_of_tool_inputs() -> None:
    """An edit of a file that holds our block shows the edit without it."""
    block = {"type": "tool_use", "id": "t1", "name": "Write", "input": {"file_path": "a", "content": "x<selfdistill>y"}}
    (event,) = read(assistant("a1", block))
    assert event.input is not None
    assert event.input.new == "x"


def test_turn_follows_the_conversation() -> None:
    """A prompt opens, a call waits, its result goes on, a last text closes, /exit ends."""
    prompt, called, answer = user("go"), assistant("a1", call("t1")), assistant("a2", {"type": "text", "text": "done"})
    exit_command = user("<command-name>/exit</command-name>", "u9")
    assert turn_after() is Turn.CLOSED
    assert turn_after(prompt) is Turn.OPEN
    assert turn_after(prompt, called) is Turn.OPEN_CALL
    assert turn_after(prompt, called, result("t1")) is Turn.OPEN
    assert turn_after(prompt, called, result("t1"), answer) is Turn.CLOSED
    assert turn_after(prompt, called, result("t1"), answer, exit_command) is Turn.ENDED
    assert turn_after(prompt, called, result("t1"), answer, exit_command, user("again", "u2")) is Turn.OPEN


def test_text_between_calls_closes_nothing() -> None:
    """A text while a call is open leaves the turn to the call."""
    assert turn_after(user("go"), assistant("a1", call("t1"), {"type": "text", "text": "x"})) is Turn.OPEN_CALL


def test_interrupt_closes_and_prompt_forgets_calls() -> None:
    """After an interrupt or a new prompt nobody waits for the old call."""
    interrupt = user("[Request interrupted by user]", "u2")
    assert turn_after(user("go"), assistant("a1", call("t1")), interrupt) is Turn.CLOSED
    assert turn_after(user("go"), assistant("a1", call("t1")), user("other", "u3")) is Turn.OPEN


def test_background_work_keeps_the_turn_open() -> None:
    """turn_duration closes the turn unless agents still work in the background."""
    done = record("system", subtype="turn_duration", uuid="s1")
    busy = record("system", subtype="turn_duration", uuid="s1", pendingBackgroundAgentCount=1)
    assert turn_after(user("go"), done) is Turn.CLOSED
    assert turn_after(user("go"), busy) is Turn.OPEN


def test_more_open_calls_than_remembered() -> None:
    """Of very many open calls the oldest are forgotten, so that the state stays small."""
    parser = SOURCE.open(LOG, None)
    for number in range(500):
        list(parser.feed(assistant(f"a{number}", call(f"toolu_{number}")), 0))
    assert parser.turn is Turn.OPEN_CALL
    assert len(parser.state()) < 65536


def test_hostile_ids_keep_the_state_small() -> None:
    """Ids, names and paths of any length and alphabet do not make the state grow past 64 KiB."""
    parser = SOURCE.open(LOG, None)
    for number in range(300):
        long = chr(0x1F600) * 3000 + str(number)
        block = {"type": "tool_use", "id": long, "name": long, "input": {}}
        line = {"type": "assistant", "uuid": long, "sessionId": long, "cwd": long, "version": long}
        message = {"content": [block], "model": long}
        queued = {"type": "queue-operation", "operation": "enqueue", "content": chr(0x1F600) * 499 + str(number)}
        list(parser.feed(json.dumps({**line, "message": message}).encode(), 0))
        list(parser.feed(json.dumps(queued).encode(), 0))
    assert len(parser.state()) <= 65536


def test_broken_state_is_named() -> None:
    """A parser state that is none gives an error that says which log and what to do."""
    with pytest.raises(InternalError, match="aaaaaaaa-1111") as raised:
        SOURCE.open(LOG, b"\xff\x00nonsense")
    assert "--again" in raised.value.advice


def test_exit_code_and_tag_are_taken_off() -> None:
    """The first line with the exit code and the harness's tag leave the text, the facts stay."""
    assert failed("Exit code 127\nno such file", "", "")[:2] == ("no such file", 127)
    assert failed("<tool_use_error>File does not exist.</tool_use_error>", "", "").text == "File does not exist."
    assert failed("Exit code 1", "", "")[:2] == ("", 1)


@pytest.mark.parametrize(
    ("tail", "feedback"),
    [
        (" STOP what you are doing and wait for the user to tell you how to proceed.", ""),
        (
            " To go on, the user said:\nuse make\n\nNote: The user's next message may contain a correction.",
            "use make",
        ),
        (" The user provided the following reason for the rejection:  use make", "use make"),
    ],
)
def test_rejection_wordings(tail: str, feedback: str) -> None:
    """Whatever the wording, a rejection is the user's, with the user's own words alone."""
    found = failed("The user doesn't want to proceed with this tool use. The tool use was rejected." + tail, "", "")
    assert (found.refusal, found.feedback) == (Refusal.PERSON, feedback)


def test_file_that_quotes_a_rejection_is_none() -> None:
    """A successful result that holds the words of a rejection is only a result."""
    text = "The user doesn't want to proceed with this tool use."
    content = [{"type": "tool_result", "tool_use_id": "t1", "content": text}]
    line = record("user", uuid="u1", message={"role": "user", "content": content})
    assert [event.kind for event in read(line)] == [EventKind.TOOL_RESULT]


def test_headless_sessions_have_no_person() -> None:
    """In a session that the SDK drives nobody types, rejects or interrupts."""
    events = read(user("go", entrypoint="sdk-cli"), user("[Request interrupted by user]", "u2", entrypoint="sdk-cli"))
    assert {event.author for event in events} == {Author.PROGRAM}


def test_sidechain_record_in_a_main_log_is_a_programs() -> None:
    """The first user message of an inlined sub-agent is its parent's prompt."""
    (event,) = read(user("Search the code.", isSidechain=True))
    assert (event.author, event.sidechain) == (Author.PROGRAM, True)


def test_repeated_uuid_counts_once() -> None:
    """A record that stands in the file twice gives its events once."""
    assert len(read(user("go"), user("go"))) == 1


def test_time_without_zone_is_utc() -> None:
    """Times are seconds since the epoch in UTC, None where the log has none."""
    events = read(user("a", "u1", timestamp="1970-01-01T00:00:10"), user("b", "u2", timestamp="soon"), user("c", "u3"))
    assert [event.at for event in events] == [10.0, None, None]


def test_session_id_comes_from_the_records() -> None:
    """The id in the records wins over the file name; a record of the file's own session over an earlier one."""
    other = user("go", sessionId="11111111-0000-4000-8000-000000000000")
    copied, own = SOURCE.open(PurePath("/r/k/abc-1.jsonl"), None), SOURCE.open(LOG, None)
    list(copied.feed(user("go"), 0))
    for line in (other, user("on", "u2")):
        list(own.feed(line, 0))
    assert copied.session.id == LOG.stem
    assert own.session.id == LOG.stem


@pytest.mark.parametrize(("flag", "told"), [({}, False), ({"is_error": False}, False), ({"is_error": True}, True)])
def test_a_result_without_the_error_flag_is_one_that_worked(flag: dict[str, bool], *, told: bool) -> None:
    """Claude Code leaves `is_error` out of most results that worked, so its absence is an answer, not a gap."""
    content = [{"type": "tool_result", "tool_use_id": "t1", "content": "error: unknown option", **flag}]
    lines = assistant("a1", call("t1")), record("user", uuid="r1", message={"role": "user", "content": content})
    (found,) = (event for event in read(*lines) if event.kind is EventKind.TOOL_RESULT)
    assert found.is_error is told

"""Promises of the Codex source, one by one."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import pytest

from selfdistill.model import Author, Event, EventKind, ToolKind, Turn
from selfdistill.sources.codex import Codex
from selfdistill.sources.codex_outputs import outcome
from selfdistill.sources.codex_records import Part

SOURCE = Codex()
UUID = "0199aaaa-0000-7000-8000-000000000001"
LOG = PurePath(f"/home/mara/.codex/sessions/2026/04/01/rollout-2026-04-01T08-00-00-{UUID}.jsonl")
FIXTURES = Path(__file__).parents[2] / "fixtures" / "codex"


def line(kind: str, **payload: Any) -> bytes:  # noqa: ANN401 - any JSON
    return json.dumps({"timestamp": "2026-04-01T08:00:00.000Z", "type": kind, "payload": payload}).encode()


def item(role: str, text: str, **fields: Any) -> bytes:  # noqa: ANN401
    return line("response_item", type="message", role=role, content=[{"type": "input_text", "text": text}], **fields)


def said(text: str) -> bytes:
    return line("event_msg", type="user_message", message=text)


def called(identity: str, command: str = "ls") -> bytes:
    arguments = json.dumps({"cmd": command})
    return line("response_item", type="function_call", name="exec_command", arguments=arguments, call_id=identity)


def returned(identity: str, output: str = "ok") -> bytes:
    return line("response_item", type="function_call_output", call_id=identity, output=output)


def read(*lines: bytes, path: PurePath = LOG) -> list[Event]:
    parser = SOURCE.open(path, None)
    return [event for number, each in enumerate(lines) for event in parser.feed(each, number * 1000)]


def turn_after(*lines: bytes) -> Turn:
    parser = SOURCE.open(LOG, None)
    for each in lines:
        list(parser.feed(each, 0))
    return parser.turn


def uids(name: str) -> list[str]:
    lines = (FIXTURES / name).read_bytes().split(b"\n")
    return [event.uid for event in read(*lines, path=PurePath(name))]


def test_roots() -> None:
    """Running and archived sessions are looked for, below CODEX_HOME where that is set."""
    assert SOURCE.roots(Path("/h"), {}) == (Path("/h/.codex/sessions"), Path("/h/.codex/archived_sessions"))
    assert SOURCE.roots(Path("/h"), {"CODEX_HOME": "/c"}) == (Path("/c/sessions"), Path("/c/archived_sessions"))


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.zst"])
def test_one_session_whatever_happened_to_the_file(suffix: str) -> None:
    """A rollout that is compressed or archived keeps its session hint."""
    moved = PurePath("/h/.codex/archived_sessions") / (LOG.name.removesuffix(".jsonl") + suffix)
    assert SOURCE.owns(moved)
    assert SOURCE.session_hint(moved) == UUID


@pytest.mark.parametrize("name", ["history.jsonl", "session_index.jsonl", "rollout-x.jsonl.tmp", "auth.json"])
def test_other_files_are_left_alone(name: str) -> None:
    """Whatever is no rollout is not read."""
    assert not SOURCE.owns(PurePath("/h/.codex/sessions") / name)


def test_copied_history_shares_uids() -> None:
    """A resumed rollout repeats its history under the same uids although times and session id differ."""
    original, copy = uids("normal.jsonl"), uids("copied.jsonl")
    assert copy[: len(original)] == original
    assert len(copy) == len(original) + 1


def test_sessions_with_the_same_beginning_differ() -> None:
    """Two sessions that start with the same words share no uid."""
    assert not set(uids("normal.jsonl")) & set(uids("same_start.jsonl"))


@pytest.mark.parametrize("lines", [(item("user", "go"), said("go")), (said("go"), item("user", "go"))])
def test_prompt_counts_once(lines: tuple[bytes, ...]) -> None:
    """A prompt that stands in the log as item and as event is one event, in whichever order."""
    assert [(event.kind, event.author) for event in read(*lines)] == [(EventKind.USER, Author.HUMAN)]


def test_same_prompt_twice_counts_twice() -> None:
    """A person who says the same thing again has said it twice."""
    again = (item("user", "continue"), said("continue")) * 2
    events = read(*again)
    assert len(events) == 2
    assert events[0].uid != events[1].uid


@pytest.mark.parametrize(
    "text",
    ["<environment_context>\n<cwd>/x</cwd>", "# AGENTS.md instructions for /x\n\n<INSTRUCTIONS>", "<turn_aborted>\nx",
     "\n## User Input\n\n```text\n\n```\n\nYou **MUST** consider the user input before proceeding"],
)  # fmt: skip
def test_injected_messages_are_programs(text: str) -> None:
    """What Codex or a prompt file puts in the user's mouth was typed by nobody."""
    assert [event.author for event in read(item("user", text))] == [Author.PROGRAM]


def test_known_kinds_of_pieces_are_believed() -> None:
    """Where the log says which pieces of a message were typed, those are the prompt."""
    content = [{"type": "input_text", "text": "attached"}, {"type": "input_text", "text": "go"}]
    kinds = {"content_item_kinds": ["user.attachment", "user.text"]}
    message = {"type": "message", "role": "user", "content": content}
    (event,) = read(line("response_item", **message, internal_chat_message_metadata_passthrough=kinds))
    assert (event.text, event.author) == ("go", Author.HUMAN)


def test_old_versions_close_with_the_last_text() -> None:
    """Up to 0.4x nothing marks the end of a turn: a text without an open call does."""
    assert turn_after(said("go"), called("c1")) is Turn.OPEN_CALL
    assert turn_after(said("go"), called("c1"), returned("c1")) is Turn.OPEN
    assert turn_after(said("go"), called("c1"), returned("c1"), item("assistant", "done")) is Turn.CLOSED


def test_new_versions_close_with_task_complete() -> None:
    """Where the log tells turns, a commentary closes nothing."""
    started, comment = line("event_msg", type="task_started"), item("assistant", "working on it")
    assert turn_after(started, said("go"), comment) is Turn.OPEN
    assert turn_after(started, said("go"), comment, line("event_msg", type="task_complete")) is Turn.CLOSED


@pytest.mark.parametrize(
    ("output", "text", "code", "is_error"),
    [
        ('{"output":"x","metadata":{"exit_code":1,"duration_seconds":0.3}}', "x", 1, None),
        ('{ "metadata": {"exit_code": 0}, "output": "y" }', "y", 0, None),
        ('{"output":"a file that looks like it"}', '{"output":"a file that looks like it"}', None, None),
        ("Chunk ID: 1\nWall time: 0.1 seconds\nProcess exited with code 2\nOutput:\nz", "z", 2, None),
        ("Exit code: 0\nWall time: 0 seconds\nOutput:\nSuccess.", "Success.", 0, None),
        ("failed in sandbox None with execution error: command timed out", "command timed out", None, True),
        ("apply_patch verification failed: no lines", "apply_patch verification failed: no lines", None, True),
        ("plain", "plain", None, None),
    ],
)
def test_output_shapes(output: str, text: str, code: int | None, *, is_error: bool | None) -> None:
    """Every shape of a tool output gives its bare text, exit code and error mark."""
    assert outcome(output)[:3] == (text, code, is_error)


def test_script_verdict_hides_no_exit_code() -> None:
    """Code mode says "completed" although the inner command failed: the inner code is found."""
    parts = [Part("input_text", "Script completed\nWall time 0.1 seconds\nOutput:\n"),
             Part("input_text", '{"exit_code":0}\n{"exit_code":101}')]  # fmt: skip
    assert outcome(parts).exit_code == 101
    assert outcome([Part("input_text", "Script failed\nReferenceError")]).is_error


def test_refusal_in_a_file_is_none() -> None:
    """Only a short harness message is a refusal, not a text that contains the words."""
    assert outcome("exec command rejected by user").by_user
    assert not outcome("docs: exec command rejected by user").by_user
    assert not outcome("error: " + "x" * 500 + " patch rejected by user").by_user


def test_code_mode_shows_inner_commands() -> None:
    """A script that runs commands is a shell call with those commands."""
    script = "await tools.exec_command({workdir: '/x', cmd: 'make \\'all\\''}); await tools.exec_command({cmd:\"ls\"})"
    (event,) = read(line("response_item", type="custom_tool_call", name="exec", input=script, call_id="c1"))
    assert event.tool_kind is ToolKind.SHELL
    assert event.input is not None
    assert event.input.command == "make 'all'\nls"


def test_patch_names_all_files() -> None:
    """A patch of several files shows the first as path and all of them in the text."""
    patch = "*** Begin Patch\n*** Update File: a\n-x\n+y\n*** Add File: b\n+z\n*** End Patch"
    (event,) = read(line("response_item", type="custom_tool_call", name="apply_patch", input=patch, call_id="c1"))
    assert event.input is not None
    assert (event.input.path, event.input.old, event.input.new, event.input.text) == ("a", "x", "y\nz", "a\nb")


def test_copied_ancestor_does_not_rename_the_session() -> None:
    """A second session_meta with another id is copied history; the session keeps its id."""
    parser = SOURCE.open(LOG, None)
    list(parser.feed(line("session_meta", id=UUID, cwd="/own"), 0))
    list(parser.feed(line("session_meta", id="other", cwd="/other"), 0))
    assert (parser.session.id, parser.session.cwd) == (UUID, "/own")


def test_workdir_of_a_call_is_where_it_ran() -> None:
    """A call that names its directory ran there, any other in the turn's."""
    context = line("turn_context", cwd="/a", model="m")
    arguments = json.dumps({"cmd": "ls", "workdir": "/b"})
    named = line("response_item", type="function_call", name="exec_command", arguments=arguments, call_id="c2")
    assert [event.cwd for event in read(context, called("c1"), named)] == ["/a", "/b"]


def test_hostile_rollout_keeps_the_state_small() -> None:
    """Ids, names and paths of any length do not make the state grow past 64 KiB."""
    parser = SOURCE.open(LOG, None)
    for number in range(300):
        long = chr(0x1F600) * 3000 + str(number)
        list(parser.feed(line("session_meta", id=long, cwd=long, cli_version=long, git={"repository_url": long}), 0))
        list(parser.feed(line("turn_context", cwd=long, model=long), 0))
        list(parser.feed(line("response_item", type="function_call", name=long, arguments="{}", call_id=long), 0))
        list(parser.feed(item("user", long, id=long), 0))
        list(parser.feed(line("event_msg", type="patch_apply_end", call_id=long, success=False), 0))
    assert len(parser.state()) <= 65536

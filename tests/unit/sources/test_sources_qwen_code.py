"""Promises of the Qwen Code source, one by one."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import pytest

from agent_logs import FIXTURES
from selfdistill.model import Author, Event, EventKind, Turn
from selfdistill.sources.qwen_code import QwenCode

SOURCE = QwenCode()
PLACE = FIXTURES / "qwen_code"
LOG = PurePath("/home/mara/.qwen/projects/-home-mara-kettle/chats/5a11b000-0000-4000-8000-000000000900.jsonl")


def parsed(*lines: dict[str, Any], path: PurePath = LOG) -> tuple[list[Event], Any]:
    parser = SOURCE.open(path, None)
    return [event for line in lines for event in parser.feed(json.dumps(line).encode(), 0)], parser


def prompt(text: str = "go", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    return {"uuid": "u1", "type": "user", "message": {"role": "user", "parts": [{"text": text}]}, **fields}


def uids(name: str) -> set[str]:
    lines = (PLACE / name).read_bytes().split(b"\n")
    parser = SOURCE.open(PurePath(name), None)
    return {event.uid for line in lines for event in parser.feed(line, 0)}


@pytest.mark.parametrize(
    ("environment", "root"),
    [
        ({}, "/h/.qwen/projects"),
        ({"QWEN_HOME": "/q"}, "/q/projects"),
        ({"QWEN_HOME": "/q", "QWEN_RUNTIME_DIR": "/r"}, "/r/projects"),
    ],
)
def test_roots(environment: dict[str, str], root: str) -> None:
    """Projects are looked for where Qwen Code itself would put them."""
    assert SOURCE.roots(Path("/h"), environment) == (Path(root),)


@pytest.mark.parametrize(
    ("name", "owned"),
    [
        ("k/chats/s.jsonl", True),
        ("k/chats/archive/s.jsonl", True),
        ("k/subagents/s/agent-explore-1.jsonl", True),
        ("k/subagents/s/agent-explore-1.jsonl.stream", False),
        ("k/chats/s.ledger.jsonl", False),
        ("k/chats/s.runtime.json", False),
    ],
)
def test_only_conversations_are_logs(name: str, owned: bool) -> None:
    """Sessions, archived or not, and sub-agents' transcripts are read; sidecars are not."""
    assert SOURCE.owns(PurePath("/r") / name) is owned


def test_fork_shares_uids() -> None:
    """A forked session repeats its parent's records under another session id with the same uids."""
    assert len(uids("forked.jsonl") & uids("5a11b000-0000-4000-8000-000000000900.jsonl")) == 4


def test_subagent_counts_under_its_session() -> None:
    """A sub-agent's log belongs to the session in whose directory it lies; its prompts are an agent's."""
    log = PurePath("/r/k/subagents/parent-id/agent-explore-1.jsonl")
    events, parser = parsed(prompt(sessionId="parent-id", isSidechain=True), path=log)
    assert (parser.session.id, parser.session.parent, parser.session.machine_run) == ("parent-id", "parent-id", True)
    assert (events[0].author, SOURCE.session_hint(log)) == (Author.PROGRAM, "parent-id")


@pytest.mark.parametrize(
    ("fields", "author"),
    [
        ({"provenance": "real_user"}, Author.HUMAN),
        ({}, Author.HUMAN),
        ({"subtype": "mid_turn_user_message"}, Author.HUMAN),
        ({"subtype": "realtime_message"}, Author.HUMAN),
        ({"subtype": "notification"}, Author.PROGRAM),
        ({"subtype": "cron", "provenance": "system"}, Author.PROGRAM),
        ({"provenance": "goal_runtime"}, Author.PROGRAM),
        ({"externalInputKind": "message"}, Author.PROGRAM),
        ({"isSidechain": True}, Author.PROGRAM),
    ],
)
def test_only_people_are_people(fields: dict[str, Any], author: Author) -> None:
    """Of the many records of type user only those that a person has typed are a person's."""
    events, _ = parsed(prompt(**fields))
    assert [event.author for event in events] == [author]


def test_shown_text_is_what_was_typed() -> None:
    """What the prompt looked like wins over what hooks and named files made of it."""
    events, _ = parsed(prompt("expanded", systemPayload={"displayText": "typed", "hookContext": "from a hook"}))
    assert [event.text for event in events] == ["typed"]


def test_prompt_in_between_closes_no_call() -> None:
    """A prompt that is typed while a call runs leaves it open."""
    call = {"functionCall": {"id": "c", "name": "run_shell_command", "args": {}}}
    _, parser = parsed(
        prompt(),
        {"uuid": "u2", "type": "assistant", "message": {"parts": [call]}},
        prompt(uuid="u3", subtype="mid_turn_user_message"),
    )
    assert parser.turn is Turn.OPEN_CALL


def test_called_twice_under_one_id() -> None:
    """Local models number their calls anew: equal call ids in two records are two calls with their results."""
    call = {"functionCall": {"id": "call_0", "name": "edit", "args": {}}}
    answer = {"functionResponse": {"id": "call_0", "name": "edit", "response": {"output": "x"}}}
    records = [
        {"uuid": f"{kind}-{number}", "type": kind, "message": {"parts": [part]}}
        for number in (1, 2)
        for kind, part in (("assistant", call), ("tool_result", answer))
    ]
    events, _ = parsed(*records)
    assert [event.kind for event in events] == [EventKind.TOOL_CALL, EventKind.TOOL_RESULT] * 2


@pytest.mark.parametrize(
    "record",
    [
        {"type": "user", "uuid": "u", "sessionId": "s", "message": {"role": "user", "content": "claude"}},
        {"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": "claude"}]}},
    ],
)
def test_claude_codes_records_are_not_claimed(record: dict[str, Any]) -> None:
    """Claude Code's records look much the same; they stay Claude Code's."""
    assert not SOURCE.claims(PurePath("/x/y.jsonl"), json.dumps(record).encode())

"""Promises that hold for all sources: whose log is it, plain role/content logs, the tolerant reader."""

from __future__ import annotations

import json
import sys
from pathlib import Path, PurePath
from typing import Any

import pytest

from agent_logs import Log, fixtures
from selfdistill.model import Event
from selfdistill.sources import SOURCES, Source, for_path
from selfdistill.sources.codex import Codex
from selfdistill.sources.decoding import read_tolerantly, seconds
from selfdistill.sources.role_content import RoleContent

FILES = [log for log in fixtures() if not log.path.parent.is_file()]
# What begins with nothing that only its agent writes: known by its place, and elsewhere at most by its roles.
NAMELESS = {
    ("aider", "drifted/.aider.chat.history.md"): "",
    ("aider", "truncated/.aider.chat.history.md"): "",
    ("cline", "sessions/1767225606000_ab12c/agent_7.messages.json"): "",
    ("cline", "tasks/1767225604000/api_conversation_history.json"): "",  # cut
    ("cline", "tasks/1767225605000/api_conversation_history.json"): "",
    ("opencode", "storage/session/info/ses_first.json"): "",
    ("opencode", "storage/session/prj/ses_legacy.json"): "",
}
ROLE_CONTENT = RoleContent()


def read(*lines: dict[str, Any]) -> list[Event]:
    parser = ROLE_CONTENT.open(PurePath("/x/log.jsonl"), None)
    return [event for line in lines for event in parser.feed(json.dumps(line).encode(), 0)]


@pytest.mark.parametrize("log", FILES, ids=repr)
def test_named_file_is_known_by_its_content(log: Log) -> None:
    """A log that lies anywhere under any name is given to the right source."""
    source = for_path(PurePath("/elsewhere/some.log"), log.path.read_bytes()[:65536])
    told = NAMELESS.get((log.source.name, log.name), log.source.name)
    nameless = log.source.name == "cursor" and log.path.stem in {"0b0b0b0b-0000-4000-8000-000000000002", "drifted"}
    assert (source.name if source else "") == ("role_content" if nameless else told)


def test_place_and_name_decide_first() -> None:
    """Where place or name say whose log it is, the content is not asked."""
    named = {
        "/h/.claude/projects/k/conversation-log.jsonl": "role_content",
        "/h/.claude/projects/k/abc.jsonl": "claude_code",
        "/h/.config/claude/projects/k/abc.jsonl": "claude_code",
        "/h/.codex/sessions/rollout-2026-04-01T08-00-00-x.jsonl.zst": "codex",
    }
    found = {path: source.name for path in named if (source := for_path(PurePath(path), b""))}
    assert found == named


@pytest.mark.parametrize("content", [b"", b"hello", b"{}", b'[{"role":"user"}]', b'{"a":1}\n{"type":3}', b"\xff\xfe"])
def test_strange_file_is_nobodys(content: bytes) -> None:
    """A file that no agent wrote belongs to no source, and asking raises nothing."""
    assert for_path(PurePath("/x/y.jsonl"), content) is None


def test_no_file_has_two_owners() -> None:
    """Where the roots of several sources hold a file, one of them owns it at most."""
    home = Path("/h")
    places = [(root, source) for source in SOURCES for root in source.roots(home, {})]
    names = {log.path.name for log in fixtures()} | {
        "k/s/subagents/agent-1.jsonl",
        "2026/rollout-1.jsonl.zst",
        "k/x.jsonl",
    }
    for root, _ in places:
        near = {source.name: source for other, source in places if root.is_relative_to(other)}
        for name in sorted(names):
            assert sum(source.owns(root / name) for source in near.values()) <= 1, (root, name)


def test_cumulative_log_counts_once() -> None:
    """A log that writes its whole history again before each new message gives each message once."""
    first, second, third = ({"role": "user", "content": text} for text in ("a", "b", "c"))
    assert [event.text for event in read(first, first, second, first, second, third)] == ["a", "b", "c"]


def test_same_words_later_are_another_message() -> None:
    """The same answer at another place in the conversation is another event."""
    lines = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "ok"}, {"role": "user", "content": "b"}]
    events = read(*lines, {"role": "assistant", "content": "ok"})
    assert len({event.uid for event in events}) == 4


def test_unnamed_result_answers_the_oldest_call() -> None:
    """A result without an id belongs to the call that waits longest."""
    call = {"type": "tool_call", "function": {"name": "bash"}, "arguments": {"command": "ls"}}
    events = read(call, {"type": "tool_result", "name": "bash", "result": "a"})
    assert events[1].call_id == events[0].call_id
    assert events[0].input is not None
    assert events[0].input.command == "ls"


def test_tolerant_reader_names_places() -> None:
    """Objects on one line are found at their bytes, with what is no JSON left over."""
    line = '{"a":"ü"} {"b":NaN}xx'.encode()
    found, complete = read_tolerantly(line)
    assert not complete
    assert [line[each.start : each.start + each.length] for each in found] == ['{"a":"ü"}'.encode(), b'{"b":NaN}']


def test_tolerant_reader_gives_valid_unicode() -> None:
    """Lone surrogates and invalid bytes become text that can be stored."""
    found, complete = read_tolerantly(b'["\\ud83d", "\xff"]')
    assert complete
    assert [text.encode() for text in found[0].value] == [b"?", b"?"]


def test_bottomless_nesting_is_refused() -> None:
    """A line nested deeper than any reader follows is left over, not an exception."""
    assert read_tolerantly(b"[" * 100_000) == ([], False)


@pytest.mark.parametrize(
    ("source", "record"),
    [
        (Codex(), '{"type":"function_call","name":"x","arguments":{"a":DEEP},"call_id":"c"}'),
        (Codex(), '{"type":"custom_tool_call","name":"x","input":{"a":DEEP},"call_id":"c"}'),
        (ROLE_CONTENT, '{"type":"tool_call","function":{"name":"x"},"arguments":{"a":DEEP}}'),
        (ROLE_CONTENT, '{"role":"tool","result":{"a":DEEP}}'),
    ],
)
def test_value_too_deep_to_be_written_is_read(source: Source, record: str) -> None:
    """Values that are nested as deep as a reader just follows cannot be written further up the stack: no exception."""
    limit = sys.getrecursionlimit()
    for depth in range(limit - 150, limit):
        line = record.replace("DEEP", '{"a":' * depth + "1" + "}" * depth).encode()
        for text in (line, b'{"type":"response_item","payload":' + line + b"}"):
            source.open(PurePath("/x/rollout-1.jsonl"), None).feed(text, 0)


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [("1970-01-01T00:00:01Z", 1.0), (1_700_000_000, 1.7e9), (1_700_000_000_000, 1.7e9), ("", None), (-5, None),
     (float("inf"), None), (float("nan"), None), ("9999-99-99", None), (None, None)],
)  # fmt: skip
def test_times(stamp: str | float | None, expected: float | None) -> None:
    """Times in any of the ways that logs write are seconds since the epoch; anything else is no time."""
    assert seconds(stamp) == expected

"""Promises that hold for all sources: whose log is it, plain role/content logs, the tolerant reader."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import pytest

from rendering import fixtures
from selfdistill.model import Event
from selfdistill.sources import SOURCES, for_path
from selfdistill.sources.decoding import read_tolerantly, seconds
from selfdistill.sources.role_content import RoleContent

NAMED = [path for source, path in fixtures() if source in SOURCES and path.suffix == ".jsonl"]
ROLE_CONTENT = RoleContent()


def read(*lines: dict[str, Any]) -> list[Event]:
    parser = ROLE_CONTENT.open(PurePath("/x/log.jsonl"), None)
    return [event for line in lines for event in parser.feed(json.dumps(line).encode(), 0)]


@pytest.mark.parametrize("path", NAMED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_named_file_is_known_by_its_content(path: Path) -> None:
    """A log that lies anywhere under any name is given to the right source."""
    source = for_path(PurePath("/elsewhere/some.log"), path.read_bytes())
    assert source is not None
    assert source.name == path.parent.name


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
    """Below a root every file is owned by one source at most."""
    names = ["k/a.jsonl", "k/conversation-log.jsonl", "rollout-1.jsonl.zst", "k/s/subagents/agent-1.jsonl"]
    assert [sum(source.owns(PurePath("/r") / name) for source in SOURCES) for name in names] == [1, 1, 1, 1]


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
    ("stamp", "expected"),
    [("1970-01-01T00:00:01Z", 1.0), (1_700_000_000, 1.7e9), (1_700_000_000_000, 1.7e9), ("", None), (-5, None),
     (float("inf"), None), (float("nan"), None), ("9999-99-99", None), (None, None)],
)  # fmt: skip
def test_times(stamp: str | float | None, expected: float | None) -> None:
    """Times in any of the ways that logs write are seconds since the epoch; anything else is no time."""
    assert seconds(stamp) == expected

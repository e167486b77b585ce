"""Whatever a database's rows or a document's bytes hold, rendering and parsing raise nothing and can be interrupted."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rendering import HeldFiles
from selfdistill.layouts import Database, Document, Rendered
from selfdistill.model import Event
from selfdistill.sources import Parser, Source
from selfdistill.sources.opencode import OpenCode
from stores import FIXTURES, STORES, Store, stores

LOGS = stores()
NAMES = [f"{log.source.name}-{log.name}" for log in LOGS]
DOCUMENTS = [
    FIXTURES / "opencode" / "export.json",
    FIXTURES / "opencode" / "storage" / "session" / "prj" / "ses_legacy.json",
]


def feed(parser: Parser, lines: list[bytes], offset: int = 0) -> list[Event]:
    events: list[Event] = []
    for line in lines:
        events.extend(parser.feed(line, offset))
        offset += len(line) + 1
    return events


@pytest.mark.parametrize("log", LOGS, ids=NAMES)
def test_two_parts_of_a_store_are_the_whole(log: Store) -> None:
    """A parser that stops after any line and goes on from its state gives the events, facts and turn of one reading."""
    lines = log.data.split(b"\n")
    parser = log.source.open(log.path, None)
    expected = (feed(parser, lines), parser.session, parser.turn)
    for cut in range(len(lines) + 1):
        first = log.source.open(log.path, None)
        events = feed(first, lines[:cut])
        second = log.source.open(log.path, first.state())
        events += feed(second, lines[cut:], sum(len(line) + 1 for line in lines[:cut]))
        assert (events, second.session, second.turn) == expected
        assert first.records.total + second.records.total == parser.records.total


@given(st.sampled_from(LOGS), st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_lines_raise_nothing(log: Store, data: st.DataObject) -> None:
    """Bytes that turned into others, and an end that is missing, give odd records at worst; texts can be encoded."""
    content = bytearray(log.data[: data.draw(st.integers(1, len(log.data)))])
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    parser = log.source.open(log.path, None)
    for event in feed(parser, bytes(content).split(b"\n")):
        event.text.encode()
    parser.state()


@given(st.sampled_from(DOCUMENTS), st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_documents_raise_nothing(path: Path, data: st.DataObject) -> None:
    """A document that is cut, or of which bytes turned into others, is rendered and parsed as far as it goes."""
    content = bytearray(path.read_bytes())
    del content[data.draw(st.integers(1, len(content))) :]
    for _ in range(data.draw(st.integers(0, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    layout = OpenCode().layout(path)
    assert isinstance(layout, Document)
    lines = [each.line for each in layout.render(path, HeldFiles(path, bytes(content)))]
    assert all(b"\n" not in line for line in lines)
    feed(OpenCode().open(path, None), lines)


VALUE: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 1.5, 10**30, "", "x", "\n", "1770000000", [], [None], {}, {"type": 7}, {"text": ["x"]}]
)
COLUMNS = {
    "opencode": ("kind id data role created completed model cwd finish error summary running closing parent", "data"),
    "crush": ("role id parts model created summary parent", "parts"),
    "goose": ("id working_dir session_type parent_session_id model role content created shown", "content"),
}
ROWS = {
    "opencode": ("kind", ["session", "part", "message", "end"]),
    "crush": ("role", ["session", "assistant", "user"]),
}
PIECES = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["text", "tool", "tool_call", "tool_result", "finish", "toolRequest", "toolResponse", "x"]
        )
    },
    optional=dict.fromkeys(("text", "state", "data", "toolCall", "toolResult", "content", "time", "id"), VALUE),
)


@given(st.sampled_from(STORES), st.data())
@settings(max_examples=120, deadline=None)
def test_odd_rows_raise_nothing(source: Source, data: st.DataObject) -> None:
    """Columns and their JSON may hold any value: the row gives lines without newlines, or itself."""
    names, content = COLUMNS[source.name]
    row: dict[str, Any] = {name: data.draw(VALUE) for name in names.split()}
    kind, kinds = ROWS.get(source.name, ("role", ["user", "assistant"]))
    row[kind] = data.draw(st.sampled_from(kinds))
    made = data.draw(PIECES | st.lists(PIECES, max_size=4))
    row[content] = data.draw(st.sampled_from([json.dumps(made), json.dumps(made, indent=1), "{", "\n", ""]))
    layout = source.layout(PurePath("/x/sessions.db"))
    assert isinstance(layout, Database)
    assert layout.rendered is not None
    line = Rendered(json.dumps(row).encode(), data.draw(st.booleans()))
    lines = [each.line for each in layout.rendered(line)]
    assert all(b"\n" not in each for each in lines)
    feed(source.open(PurePath("/x/sessions.db/key"), None), lines)

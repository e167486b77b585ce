"""Whatever happens to a log of Aider, Cline or Cursor, reading raises nothing; it may stop and go on at any line."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from editor_logs import FIXTURES, SOURCES, Log, document_lines, logs
from selfdistill.layouts import Database, Document, Rendered
from selfdistill.model import Event
from selfdistill.sources import Parser, Source
from selfdistill.sources.cline import Cline
from selfdistill.sources.cursor import Cursor

LOGS = logs()
NAMES = [f"{log.source.name}-{log.name}" for log in LOGS]
DOCUMENTS = sorted((FIXTURES / "cline").glob("*/*/*messages.json")) + sorted(
    (FIXTURES / "cline").glob("*/*/api_*.json")
)


def feed(parser: Parser, lines: list[bytes], offset: int = 0) -> list[Event]:
    events: list[Event] = []
    for line in lines:
        events.extend(parser.feed(line, offset))
        offset += len(line) + 1
    return events


def survive(source: Source, path: PurePath, data: bytes) -> None:
    parser = source.open(path, None)
    for event in feed(parser, data.split(b"\n")):
        event.text.encode()
    assert len(parser.state()) <= 65536


@pytest.mark.parametrize("log", LOGS, ids=NAMES)
def test_two_halves_are_the_whole(log: Log) -> None:
    """A parser that goes on from a stored state gives the events, facts, turn and counts of one reading."""
    lines = log.data.split(b"\n")
    whole = log.source.open(log.path, None)
    expected = feed(whole, lines)
    for cut in range(len(lines) + 1):
        first = log.source.open(log.path, None)
        events = feed(first, lines[:cut])
        second = log.source.open(log.path, first.state())
        events += feed(second, lines[cut:], sum(len(line) + 1 for line in lines[:cut]))
        assert (events, second.session, second.turn) == (expected, whole.session, whole.turn)
        assert first.records.total + second.records.total == whole.records.total
        assert first.records.known + second.records.known == whole.records.known


@given(st.sampled_from(LOGS), st.data())
@settings(max_examples=150, deadline=None)
def test_truncation_raises_nothing(log: Log, data: st.DataObject) -> None:
    """A log cut at any byte is read as far as it goes."""
    survive(log.source, log.path, log.data[: data.draw(st.integers(0, len(log.data)))])


@given(st.sampled_from(LOGS), st.data())
@settings(max_examples=150, deadline=None)
def test_flipped_bytes_raise_nothing(log: Log, data: st.DataObject) -> None:
    """Bytes that turned into others give odd records at worst, and every text can be encoded."""
    content = bytearray(log.data)
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    survive(log.source, log.path, bytes(content))


@given(st.sampled_from(DOCUMENTS), st.data())
@settings(max_examples=150, deadline=None)
def test_broken_documents_are_lines_all_the_same(path: Path, data: st.DataObject) -> None:
    """A document cut or changed at any byte is rendered: as its messages, or as one line that is counted."""
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    kept = bytes(content[: data.draw(st.integers(1, len(content)))])
    lines = [each.line for each in document_lines(Cline(), path, kept)]
    assert not any(b"\n" in line for line in lines)
    survive(Cline(), path, b"\n".join(lines))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from([log for log in LOGS if log.source.name != "aider"]), st.data())
@settings(max_examples=100, deadline=None)
def test_odd_values_raise_nothing(log: Log, data: st.DataObject) -> None:
    """A field that suddenly holds another type of value costs that field at most."""
    lines = log.data.split(b"\n")
    number = data.draw(st.integers(0, len(lines) - 1))
    lines[number] = _with_odd_value(lines[number], data)
    survive(log.source, log.path, b"\n".join(lines))


@given(JSON)
@settings(max_examples=60, deadline=None)
def test_odd_documents_raise_nothing(value: object) -> None:
    """Any JSON in a task's file, or in a row of the editor's database, is rendered and read."""
    path = PurePath("/h/tasks/1/api_conversation_history.json")
    for document in (value, [value], {"messages": [value, {"role": "user", "content": value}]}):
        layout = Cline().layout(path)
        assert isinstance(layout, Document)
        lines = [each.line for each in document_lines(Cline(), path, json.dumps(document).encode())]
        survive(Cline(), path, b"\n".join(lines))
    database = Cursor().layout(PurePath("/h/state.vscdb"))
    assert isinstance(database, Database)
    assert database.rendered is not None
    for made in (value, {"toolFormerData": value, "modelInfo": value, "type": 2}):
        for record in ("bubble", "composer"):
            row = Rendered(json.dumps({"record": record, "value": json.dumps(made)}).encode())
            survive(Cursor(), PurePath("/h/state.vscdb/k"), b"\n".join(each.line for each in database.rendered(row)))


@given(st.sampled_from(SOURCES), st.lists(st.binary(max_size=200), max_size=5))
@settings(max_examples=100, deadline=None)
def test_any_bytes_raise_nothing(source: Source, lines: list[bytes]) -> None:
    """Lines that are no records at all are counted."""
    survive(source, PurePath("/x/a.jsonl"), b"\n".join(lines))


def _with_odd_value(line: bytes, data: st.DataObject) -> bytes:
    """The record with one of its values, at any depth, replaced by any JSON value."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    place = record
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    return json.dumps(record).encode()

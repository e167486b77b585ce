"""Whatever happens to a log's bytes, reading raises nothing; and it may stop and go on at any line."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_logs import DATABASES, Log, feed, fixtures, home, lines_in, read, rows_of, text_of
from selfdistill.errors import LogProblem
from selfdistill.ingest.members import key_of
from selfdistill.layouts import Database, Document, Rendered
from selfdistill.sources import SOURCES, Source
from support.examples import examples

LOGS = fixtures()
TEXTS = {log: text_of(log.source, log.path) for log in LOGS}
JSON_LOGS = [log for log in LOGS if log.source.name != "aider"]
DOCUMENTS = [log for log in LOGS if isinstance(log.source.layout(log.path), Document)]
BASES = [source for source in SOURCES if source.name in DATABASES]
STATE_BYTES = 65_536
# Chosen, not made up: building values takes Hypothesis longer than reading logs.
NUMBERS: list[Any] = [None, True, 0, -1, 1.5, 10**30, -(2**63), float("nan"), float("inf")]
TEXT_VALUES: list[Any] = ["", "x", "\n", "\ud800", "1770000000", "2026-13-45T99:00:00Z", "{", "[1]", "/a\0b"]
NESTED: list[Any] = [[], [None], [[]], [{}], {}, {"": None}, {"type": 7}, {"type": []}, {"text": ["x"]}, {"id": {}}]
JSON = st.sampled_from([*NUMBERS, *TEXT_VALUES, *NESTED])


def survive(source: Source, place: PurePath, text: bytes) -> None:
    """Read a text: no exception, texts that can be stored, a small state from which reading can go on."""
    events, parser = read(source, place, text)
    for event in events:
        event.text.encode()
    state = parser.state()
    assert len(state) <= STATE_BYTES
    source.open(place, state)


def damaged(content: bytes, data: st.DataObject) -> bytes:
    """The bytes cut anywhere, or not at all, and some of them turned into others."""
    made = bytearray(content)
    if data.draw(st.booleans()):
        del made[data.draw(st.integers(0, len(made))) :]
    for _ in range(data.draw(st.integers(0, 8)) if made else 0):
        made[data.draw(st.integers(0, len(made) - 1))] = data.draw(st.integers(0, 255))
    return bytes(made)


def with_odd_value(text: bytes, data: st.DataObject) -> bytes:
    """The JSON with one of its values, at any depth, replaced by any other; JSON inside a text counts as depth."""
    try:
        record = json.loads(text)
    except ValueError:
        return text
    place = record
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        value = place[key]
        if isinstance(value, str) and value[:1] in {"{", "["} and data.draw(st.booleans()):
            place[key] = with_odd_value(value.encode(), data).decode()
            break
        if not isinstance(value, dict | list) or not value or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = value
    return json.dumps(record).encode()


def replaced(path: Path, content: bytes, log: Log) -> bytes:
    """The text of a log while one of its files holds other bytes; nothing if that is told to be no log any more."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        return text_of(log.source, log.path)
    except LogProblem:
        return b""
    finally:
        path.write_bytes(before)


@cache
def rows(name: str) -> list[bytes]:
    """All rows that a source is given of its invented databases."""
    (source,) = (one for one in BASES if one.name == name)
    return [row for path in sorted((home() / name).glob(f"*/{DATABASES[name]}")) for row in rows_of(source, path)]


@pytest.mark.parametrize("log", LOGS, ids=repr)
def test_two_parts_are_the_whole(log: Log) -> None:
    """A parser that stops after any line and goes on from its state gives events, facts, turn and counts of one."""
    lines = lines_in(TEXTS[log])
    expected, whole = read(log.source, log.place, TEXTS[log])
    for cut in range(len(lines) + 1):
        first = log.source.open(log.place, None)
        events = feed(first, lines[:cut])
        second = log.source.open(log.place, first.state())
        events += feed(second, lines[cut:])
        assert (events, second.session, second.turn) == (expected, whole.session, whole.turn)
        assert first.records.total + second.records.total == whole.records.total
        assert first.records.known + second.records.known == whole.records.known


@given(st.sampled_from(LOGS), st.data())
@examples(100)
def test_damage_raises_nothing(log: Log, data: st.DataObject) -> None:
    """A log cut at any byte, or with bytes that turned into others, is read as far as it goes."""
    survive(log.source, log.place, damaged(TEXTS[log], data))


@given(st.sampled_from(DOCUMENTS), st.data())
@examples(50)
def test_damaged_documents_raise_nothing(log: Log, data: st.DataObject) -> None:
    """A document whose own bytes are cut or changed is rendered: as its records, or as a line that is counted."""
    survive(log.source, log.place, replaced(log.path, damaged(log.path.read_bytes(), data), log))


@given(st.sampled_from([log for log in LOGS if log.path.parent.is_file()]), st.data())
@examples(20)
def test_damaged_databases_raise_nothing(log: Log, data: st.DataObject) -> None:
    """A database whose bytes are cut or changed gives what it still holds, or is told to be damaged."""
    file = log.path.parent
    survive(log.source, log.place, replaced(file, damaged(file.read_bytes(), data), log))


@given(st.sampled_from(JSON_LOGS), st.data())
@examples(60)
def test_odd_values_raise_nothing(log: Log, data: st.DataObject) -> None:
    """A field that suddenly holds another type of value costs that field at most."""
    lines = TEXTS[log].split(b"\n")
    number = data.draw(st.integers(0, len(lines) - 1))
    lines[number] = with_odd_value(lines[number], data)
    survive(log.source, log.place, b"\n".join(lines))


@given(st.sampled_from(DOCUMENTS), st.data())
@examples(60)
def test_odd_documents_raise_nothing(log: Log, data: st.DataObject) -> None:
    """Any JSON in a document or in a file that belongs to it, in a message or in place of it, is rendered and read."""
    layout = log.source.layout(log.path)
    assert isinstance(layout, Document)
    places = {log.path, *(Path(place) for place in layout.companions(log.path))}
    files = sorted(file for place in places for file in ([place] if place.is_file() else place.glob("*.json")))
    path, value = data.draw(st.sampled_from(files)), data.draw(JSON)
    odd: list[Any] = [value, [value], {"messages": [value, {"role": "user", "content": value}]}]
    made = [with_odd_value(path.read_bytes(), data), *(json.dumps(one).encode() for one in odd)]
    survive(log.source, log.place, replaced(path, data.draw(st.sampled_from(made)), log))


@given(st.sampled_from(BASES), st.data())
@examples(50)
def test_odd_rows_raise_nothing(source: Source, data: st.DataObject) -> None:
    """Columns and the JSON in them may hold any value: a row gives lines without newlines, or itself."""
    layout = source.layout(PurePath(DATABASES[source.name]))
    assert isinstance(layout, Database)
    assert layout.rendered is not None
    row = with_odd_value(data.draw(st.sampled_from(rows(source.name))), data)
    lines = [each.line for each in layout.rendered(Rendered(row, data.draw(st.booleans())))]
    assert all(b"\n" not in line for line in lines)
    survive(source, PurePath("/x", DATABASES[source.name], "key"), b"\n".join(lines))


@given(st.sampled_from(SOURCES), st.lists(st.binary(max_size=200), max_size=5))
@examples(40)
def test_any_bytes_raise_nothing(source: Source, lines: list[bytes]) -> None:
    """Lines that are no records at all are counted."""
    survive(source, PurePath("/x/rollout-1.jsonl"), b"\n".join(lines))


def test_keys_of_databases_are_undone() -> None:
    """The names of sessions in databases are those that expected.json gives."""
    for log in LOGS:
        if log.path.parent.is_file():
            assert log.name.endswith(f"/{key_of(log.path)}")

"""Whatever happens to a log's bytes, parsing raises nothing; and it may stop and go on at any line."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rendering import EVERY, fixture_name, fixtures, lines_of
from selfdistill.model import Event, Session, Turn
from selfdistill.sources import Parser, Source

LOGS = fixtures()
NAMES = [fixture_name(log) for log in LOGS]
DATA = {path: path.read_bytes() for _, path in LOGS}  # as the agent wrote them
LINES = {path: lines_of(source, path) for source, path in LOGS}


def feed(parser: Parser, lines: list[bytes], offset: int = 0) -> list[Event]:
    events: list[Event] = []
    for line in lines:
        events.extend(parser.feed(line, offset))
        offset += len(line) + 1
    return events


def whole(source: Source, path: Path, data: bytes) -> tuple[list[Event], Session, Turn]:
    parser = source.open(PurePath(path), None)
    return feed(parser, lines_of(source, path, data).split(b"\n")), parser.session, parser.turn


@pytest.mark.parametrize(("source", "path"), LOGS, ids=NAMES)
def test_two_halves_are_the_whole(source: Source, path: Path) -> None:
    """A parser that stops after any line and goes on from its state gives the events, facts and turn of one reading."""
    lines = LINES[path].split(b"\n")
    expected = whole(source, path, DATA[path])
    for cut in range(len(lines) + 1):
        first = source.open(PurePath(path), None)
        events = feed(first, lines[:cut])
        second = source.open(PurePath(path), first.state())
        events += feed(second, lines[cut:], sum(len(line) + 1 for line in lines[:cut]))
        assert (events, second.session, second.turn) == expected


@pytest.mark.parametrize(("source", "path"), LOGS, ids=NAMES)
def test_counts_of_two_halves_add_up(source: Source, path: Path) -> None:
    """Records are counted since a parser was opened: the halves' counts add up to the whole's."""
    lines = LINES[path].split(b"\n")
    total = source.open(PurePath(path), None)
    feed(total, lines)
    first = source.open(PurePath(path), None)
    feed(first, lines[: len(lines) // 2])
    second = source.open(PurePath(path), first.state())
    feed(second, lines[len(lines) // 2 :])
    assert first.records.total + second.records.total == total.records.total
    assert first.records.known + second.records.known == total.records.known


@given(st.sampled_from(LOGS), st.data())
@settings(max_examples=150, deadline=None)
def test_truncation_raises_nothing(log: tuple[Source, Path], data: st.DataObject) -> None:
    """A log cut at any byte is read as far as it goes."""
    source, path = log
    kept = DATA[path][: data.draw(st.integers(0, len(DATA[path])))]
    whole(source, path, kept)


@given(st.sampled_from(LOGS), st.data())
@settings(max_examples=300, deadline=None)
def test_flipped_bytes_raise_nothing(log: tuple[Source, Path], data: st.DataObject) -> None:
    """Bytes that turned into others give odd records at worst, and every text can be encoded."""
    source, path = log
    content = bytearray(DATA[path])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    events, _, _ = whole(source, path, bytes(content))
    for event in events:
        event.text.encode()


@given(st.sampled_from(EVERY), st.lists(st.binary(max_size=200), max_size=5))
@settings(max_examples=100, deadline=None)
def test_any_bytes_raise_nothing(source: Source, lines: list[bytes]) -> None:
    """Lines that are no records at all are counted."""
    parser = source.open(PurePath("/x/rollout-1.jsonl"), None)
    feed(parser, lines)
    source.open(PurePath("/x/rollout-1.jsonl"), parser.state())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(LOGS), st.data())
@settings(max_examples=200, deadline=None)
def test_odd_values_raise_nothing(log: tuple[Source, Path], data: st.DataObject) -> None:
    """A field that suddenly holds another type of value costs that field at most."""
    source, path = log
    lines = LINES[path].split(b"\n")
    number = data.draw(st.integers(0, len(lines) - 1))
    lines[number] = _with_odd_value(lines[number], data)
    parser = source.open(PurePath(path), None)
    feed(parser, lines)
    parser.state()


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

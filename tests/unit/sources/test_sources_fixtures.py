"""Every invented log gives exactly the events, facts and counts that its expected.json lists."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import Any

import pytest

from rendering import EVERY, EXPECTED, FIXTURES, fixture_name, fixtures, forgotten, lines_of
from selfdistill.model import Event, Records
from selfdistill.sources import Parser, Source

LOGS = fixtures()
NAMES = [fixture_name(log) for log in LOGS]


def feed_all(parser: Parser, data: bytes) -> list[Event]:
    events: list[Event] = []
    offset = 0
    for line in data.split(b"\n"):
        events.extend(parser.feed(line, offset))
        offset += len(line) + 1
    return events


def listed(event: Event) -> dict[str, Any]:
    """An event as expected.json writes it: absent values are absent keys, texts are cut."""
    made: dict[str, Any] = {
        "kind": event.kind.value,
        "author": event.author.value,
        "uid": event.uid,
        "text": event.text[:80],
        "tool": f"{event.tool}/{event.tool_kind.value}" if event.tool else None,
        "input": _present(event.input) if event.input else None,
        "call": event.call_id or None,
        "is_error": event.is_error,
        "exit_code": event.exit_code,
        "sidechain": event.sidechain or None,
        "ends_turn": event.ends_turn or None,
    }
    return {key: value for key, value in made.items() if value is not None}


def counted(records: Records) -> dict[str, Any]:
    return {
        "total": records.total,
        "known": records.known,
        "ignored": records.ignored,
        "undecodable": records.undecodable,
        "unknown_types": records.unknown_types,
    }


def _present(struct: Any) -> dict[str, Any]:  # noqa: ANN401 - any of our structs
    return {name: value for name in struct.__struct_fields__ if (value := getattr(struct, name))}


@pytest.mark.parametrize(("source", "path"), LOGS, ids=NAMES)
def test_log_gives_what_is_expected(source: Source, path: Path) -> None:
    """Events, session, turn and record counts are those that were read and judged by hand."""
    place = FIXTURES / source.name
    expected = json.loads((place / EXPECTED).read_text("utf-8"))[str(path.relative_to(place))]
    parser = source.open(PurePath(path), None)
    events = feed_all(parser, lines_of(source, path))
    assert [listed(event) for event in events] == expected["events"]
    assert _present(parser.session) == expected["session"]
    assert parser.turn.value == expected["turn"]
    assert counted(parser.records) == expected["records"]


@pytest.mark.parametrize(("source", "path"), LOGS, ids=NAMES)
def test_span_is_the_whole_record(source: Source, path: Path) -> None:
    """The bytes that an event's span names are one whole JSON object of the log."""
    data = lines_of(source, path)
    for event in feed_all(source.open(PurePath(path), None), data):
        record = data[event.span.offset : event.span.offset + event.span.length]
        assert record.startswith(b"{")
        assert record.endswith(b"}")
        json.loads(record)


@pytest.mark.parametrize(("source", "path"), LOGS, ids=NAMES)
def test_records_add_up(source: Source, path: Path) -> None:
    """Every record is known, ignored, unknown or undecodable, and counted once."""
    parser = source.open(PurePath(path), None)
    feed_all(parser, lines_of(source, path))
    records = parser.records
    assert records.total == records.known + records.ignored + records.unknown + records.undecodable
    assert sum(records.unknown_types.values()) == records.unknown


def test_every_source_has_fixtures() -> None:
    """A source without an invented log is not tested, and neither is a log that nobody expects anything of."""
    assert {source.name for source, _ in LOGS} == {source.name for source in EVERY}
    assert forgotten() == []

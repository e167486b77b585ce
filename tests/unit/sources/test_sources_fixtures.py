"""Every invented log gives exactly the events, facts and counts that its expected.json lists."""

from __future__ import annotations

import json
from functools import cache

import pytest

from agent_logs import Log, expected, fixtures, forgotten, read, text_of, told
from selfdistill.model import Event, EventKind
from selfdistill.sources import SOURCES, Parser

LOGS = fixtures()
ORPHANS = {"claude_code-damaged.jsonl": 1, "grok-drifted.jsonl": 1}  # results whose calls could not be read


@cache
def reading(log: Log) -> tuple[bytes, list[Event], Parser]:
    text = text_of(log.source, log.path)
    return text, *read(log.source, log.place, text)


@pytest.mark.parametrize("log", LOGS, ids=repr)
def test_log_gives_what_is_expected(log: Log) -> None:
    """Events, session, turn and record counts are those that were read and judged by hand."""
    assert told(log) == expected(log.source)[log.name]


@pytest.mark.parametrize("log", LOGS, ids=repr)
def test_span_is_the_whole_record(log: Log) -> None:
    """The bytes that an event's span names are one whole JSON object of the log, or whole lines of a text."""
    text, events, _ = reading(log)
    for span in (event.span for event in events):
        end = span.offset + span.length
        if log.source.name == "aider":
            assert span.offset == 0 or text[span.offset - 1 : span.offset] == b"\n"
            assert text[end : end + 1] in {b"\n", b""}
        else:
            assert isinstance(json.loads(text[span.offset : end]), dict)


@pytest.mark.parametrize("log", LOGS, ids=repr)
def test_counts_ids_and_times_are_sound(log: Log) -> None:
    """Each record is counted once, each uid stands once, a result has its call before it, a time is one of our days."""
    _, events, parser = reading(log)
    records = parser.records
    assert records.total == records.known + records.ignored + records.unknown + records.undecodable
    assert sum(records.unknown_types.values()) == records.unknown
    assert len({event.uid for event in events}) == len(events)
    assert {event.at is None or event.at > 1e9 for event in events} <= {True}
    calls: set[str] = set()
    orphans = 0
    for event in events:
        if event.kind is EventKind.TOOL_CALL:
            calls.add(event.call_id)
        orphans += event.kind is EventKind.TOOL_RESULT and event.call_id not in calls
    assert orphans == ORPHANS.get(repr(log), 0)


def test_every_source_has_fixtures() -> None:
    """A source without an invented log is not tested, and neither is a log that nobody expects anything of."""
    assert {log.source.name for log in LOGS} == {source.name for source in SOURCES}
    assert forgotten() == []

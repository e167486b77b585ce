"""Aider, Cline and Cursor against real logs (private, beside the repository): skipped loudly where these are absent."""

from __future__ import annotations

import csv
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import pytest

from editor_logs import SOURCES, database_lines, document_lines, sessions_of
from selfdistill.layouts import Document
from selfdistill.model import Author, Event, EventKind, Records
from selfdistill.sources import Source

SHARED = Path(os.environ.get("SELFDISTILL_SHARED", Path(__file__).parents[4] / "shared"))
pytestmark = pytest.mark.skipif(not (SHARED / "corpus").is_dir(), reason=f"REAL LOGS ABSENT: no corpus in {SHARED}")
AGENTS = {"aider": SOURCES[0], "cline": SOURCES[1], "cline-roo-kilo": SOURCES[1], "cursor": SOURCES[2]}
# Agents' files that are no logs of ours: indexes, manifests, the CLI's graph of blobs.
LEFT_OUT = ("taskHistory.json", "history_item.json", "session_synthetic_01.json", "store.db")


class Log(NamedTuple):
    """One parsed log."""

    source: str
    name: str
    genuine: bool
    events: list[Event]
    records: Records
    state_size: int


def texts() -> Iterator[tuple[Source, PurePath, bool, bytes]]:
    """Every log of the corpus as its parser gets it."""
    with (SHARED / "corpus" / "INDEX.tsv").open(encoding="utf-8") as index:
        rows = [row for row in csv.DictReader(index, delimiter="\t") if row["agent"] in AGENTS]
    for row in rows:
        source, path = AGENTS[row["agent"]], SHARED / "corpus" / row["file"]
        genuine = row["genuine"] == "yes"
        if path.name.endswith(LEFT_OUT):
            continue
        if path.suffix == ".vscdb":
            database = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
            database.row_factory = sqlite3.Row
            for key, _, _ in sessions_of(source, database):
                lines = [each.line for each in database_lines(source, database, key)]
                yield source, PurePath("/h/state.vscdb") / key, genuine, b"\n".join(lines)
            database.close()
            continue
        name = path.name.rpartition("1767225600000_")[2] if path.suffix == ".json" else path.name
        layout = source.layout(path)
        data = path.read_bytes()
        if isinstance(layout, Document):
            data = b"\n".join(each.line for each in document_lines(source, path, data))
        yield source, PurePath("/h") / name, genuine, data


@pytest.fixture(scope="module")
def logs() -> list[Log]:
    """All of them, parsed."""
    parsed = []
    for source, path, genuine, data in texts():
        parser = source.open(path, None)
        events: list[Event] = []
        largest = offset = 0
        for number, line in enumerate(data.split(b"\n")):
            events.extend(parser.feed(line, offset))
            offset += len(line) + 1
            largest = max(largest, len(parser.state())) if number % 500 == 0 else largest
        parsed.append(Log(source.name, path.name, genuine, events, parser.records, largest))
    return parsed


def test_nearly_all_records_are_understood(logs: list[Log]) -> None:
    """Of the genuine records at least 99 in 100 are known or left out on purpose, and none is undecodable."""
    genuine = [log for log in logs if log.genuine]
    total = sum(log.records.total for log in genuine)
    assert total > 6_500
    assert sum(log.records.unknown for log in genuine) <= total / 100
    assert sum(log.records.undecodable for log in genuine) == 0
    assert {log.source for log in logs} == {"aider", "cline", "cursor"}


def test_drift_is_seen_and_hides_nothing(logs: list[Log]) -> None:
    """The synthetic log of a changed Cursor has unknown types, and its known parts are events all the same."""
    (drifted,) = (log for log in logs if "schema_drift" in log.name)
    assert set(drifted.records.unknown_types) == {"assistant/tool_call", "user/tool-result"}
    assert [event.kind for event in drifted.events] == [EventKind.USER, EventKind.ASSISTANT]


def test_results_follow_their_calls(logs: list[Log]) -> None:
    """Every result has its call before it in the same log."""
    results = 0
    for log in logs:
        calls: set[str] = set()
        for event in log.events:
            if event.kind is EventKind.TOOL_CALL:
                calls.add(event.call_id)
            elif event.kind is EventKind.TOOL_RESULT:
                results += 1
                assert event.call_id in calls
    assert results > 700


def test_real_history_of_aider(logs: list[Log]) -> None:
    """The history of aider's own repository: all sessions, people and programs apart, edits with their outcome."""
    (history,) = (log for log in logs if log.name == "tests_fixtures_chat-history.md")
    kinds = Counter(event.kind for event in history.events)
    assert kinds[EventKind.SESSION_START] == 1_133
    authors = Counter(event.author for event in history.events if event.kind is EventKind.USER)
    assert authors[Author.HUMAN] > 800
    outcomes = Counter(event.is_error for event in history.events if event.tool == "edit")
    assert outcomes[True] == 53
    assert outcomes[False] > 500
    assert history.state_size <= 65_536


def test_no_event_repeats_in_a_log(logs: list[Log]) -> None:
    """Within one log every uid stands once."""
    for log in logs:
        assert len({event.uid for event in log.events}) == len(log.events), log.name

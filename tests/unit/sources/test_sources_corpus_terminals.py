"""The sources of pi, Factory Droid, Kimi, Grok and Antigravity against the logs of others (private; skipped loudly).

Genuine logs there are of pi only; of the others the corpus has what the makers of readers invented or captured.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path, PurePath
from typing import NamedTuple

import pytest

from rendering import lines_of
from selfdistill.model import Author, Event, EventKind, Records
from selfdistill.sources import Source
from selfdistill.sources.antigravity import Antigravity
from selfdistill.sources.droid import Droid
from selfdistill.sources.grok import Grok
from selfdistill.sources.kimi import Kimi
from selfdistill.sources.pi import OhMyPi, OpenClaw, Pi

SHARED = Path(os.environ.get("SELFDISTILL_SHARED", Path(__file__).parents[4] / "shared"))
pytestmark = pytest.mark.skipif(not (SHARED / "corpus").is_dir(), reason=f"REAL LOGS ABSENT: no corpus in {SHARED}")
SOURCES: dict[str, Source] = {
    "pi-agent": Pi(),
    "omp": OhMyPi(),
    "openclaw": OpenClaw(),
    "droid": Droid(),
    "kimi": Kimi(),
    "grok": Grok(),
    "antigravity": Antigravity(),
}
# Invented to hold an unknown type each ("schema_drift"), or no log (OpenClaw's checkpoint, Grok's model context).
DRIFTED = {"openclaw": 1, "antigravity": 1}
NO_LOGS = ("checkpoint", "chat_history")


class Log(NamedTuple):
    """One parsed log."""

    agent: str
    genuine: bool
    name: str
    events: list[Event]
    records: Records


@pytest.fixture(scope="module")
def logs() -> list[Log]:
    """All logs of these agents, parsed."""
    parsed = []
    with (SHARED / "corpus" / "INDEX.tsv").open(encoding="utf-8") as index:
        rows = [row for row in csv.DictReader(index, delimiter="\t") if row["agent"] in SOURCES]
    for row in rows:
        path = SHARED / "corpus" / row["file"]
        if path.suffix != ".jsonl" or any(word in path.name for word in NO_LOGS):
            continue
        source = SOURCES[row["agent"]]
        parser = source.open(PurePath(path), None)
        events = [event for line in lines_of(source, path).split(b"\n") for event in parser.feed(line, 0)]
        parsed.append(Log(row["agent"], row["genuine"] == "yes", path.name, events, parser.records))
    return parsed


def test_every_record_is_understood(logs: list[Log]) -> None:
    """Of all records none is undecodable, and none unknown but those that were invented to be."""
    unknown = Counter({log.agent: 0 for log in logs})
    for log in logs:
        unknown[log.agent] += log.records.unknown
        assert log.records.undecodable == 0, log.name
    assert +unknown == Counter(DRIFTED)
    assert sum(log.records.total for log in logs if log.genuine) > 2000


def test_results_follow_their_calls(logs: list[Log]) -> None:
    """A result has its call before it; one invented transcript of Antigravity shows six results without their calls."""
    orphans: Counter[str] = Counter()
    for log in logs:
        calls: set[str] = set()
        for event in log.events:
            if event.kind is EventKind.TOOL_CALL:
                calls.add(event.call_id)
            elif event.kind is EventKind.TOOL_RESULT:
                orphans[log.agent] += event.call_id not in calls
    assert +orphans == Counter({"antigravity": 6})


def test_genuine_sessions_of_pi(logs: list[Log]) -> None:
    """The two genuine logs show people, stops, exit codes and failed edits, and no event twice."""
    genuine = [log for log in logs if log.genuine]
    events = [event for log in genuine for event in log.events]
    kinds = Counter((event.kind, event.author) for event in events)
    assert len(genuine) == 2
    assert kinds[EventKind.USER, Author.HUMAN] == 143
    assert kinds[EventKind.INTERRUPT, Author.HUMAN] == 39
    results = [event for event in events if event.kind is EventKind.TOOL_RESULT]
    assert sum(bool(event.is_error) for event in results) == 31
    assert sum(bool(event.exit_code) for event in results) == 23
    assert len({event.uid for event in events}) == len(events)

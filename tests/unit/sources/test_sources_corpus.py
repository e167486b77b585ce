"""The sources against real logs (private, beside the repository): skipped loudly where these are absent."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import pytest

from rendering import lines_of
from selfdistill.model import Author, Event, EventKind, Records
from selfdistill.sources import Source
from selfdistill.sources.claude_code import ClaudeCode
from selfdistill.sources.codex import Codex
from selfdistill.sources.copilot_cli import CopilotCli
from selfdistill.sources.gemini_cli import GeminiCli
from selfdistill.sources.qwen_code import QwenCode

SHARED = Path(os.environ.get("SELFDISTILL_SHARED", Path(__file__).parents[4] / "shared"))
pytestmark = pytest.mark.skipif(not (SHARED / "corpus").is_dir(), reason=f"REAL LOGS ABSENT: no corpus in {SHARED}")


class Log(NamedTuple):
    """One parsed real log."""

    source: str
    name: str
    events: list[Event]
    records: Records
    state_size: int


def real_logs() -> Iterator[tuple[Source, PurePath, bytes]]:
    """Every genuine log of the corpus whose agent is known here, and of the project in time order."""
    sources: dict[str, Source] = {
        "claude-code": ClaudeCode(),
        "codex": Codex(),
        "copilot-cli": CopilotCli(),
        "gemini-cli": GeminiCli(),
        "qwen-code": QwenCode(),
    }
    with (SHARED / "corpus" / "INDEX.tsv").open(encoding="utf-8") as index:
        for row in csv.DictReader(index, delimiter="\t"):
            path = SHARED / "corpus" / row["file"]
            if row["agent"] in sources and row["genuine"] == "yes" and path.suffix in {".jsonl", ".json"}:
                yield sources[row["agent"]], PurePath(path), lines_of(sources[row["agent"]], PurePath(path))
    with gzip.open(SHARED / "projects" / "entireio__cli.jsonl.gz", "rt", encoding="utf-8") as rows:
        for row_text in rows:
            session = json.loads(row_text)
            if '"sessionId"' in session["log"][:20000]:
                yield sources["claude-code"], PurePath(f"{session['session_id']}.jsonl"), session["log"].encode()


@pytest.fixture(scope="module")
def logs() -> list[Log]:
    """All real logs, parsed."""
    parsed = []
    for source, path, data in real_logs():
        parser = source.open(path, None)
        events: list[Event] = []
        offset = 0
        for line in data.split(b"\n"):
            events.extend(parser.feed(line, offset))
            offset += len(line) + 1
        parsed.append(Log(source.name, path.name, events, parser.records, len(parser.state())))
    return parsed


def test_nearly_all_records_are_understood(logs: list[Log]) -> None:
    """Of each agent's genuine records at least 99 in 100 are known or left out on purpose, and none is undecodable."""
    total: Counter[str] = Counter()
    unknown: Counter[tuple[str, str]] = Counter()
    for log in logs:
        total[log.source] += log.records.total
        unknown.update({(log.source, name): count for name, count in log.records.unknown_types.items()})
    assert total.total() > 40_000
    for source, records in total.items():
        drifted = {name: count for (of, name), count in unknown.items() if of == source}
        assert sum(drifted.values()) <= records / 100, (source, drifted)
    assert sum(log.records.undecodable for log in logs) == 0


def test_results_follow_their_calls(logs: list[Log]) -> None:
    """A result has its call before it in the same log; only Claude Code's sub-agents seen from outside may lack it."""
    orphans: Counter[str] = Counter()
    results = 0
    for log in logs:
        calls: set[str] = set()
        for event in log.events:
            if event.kind is EventKind.TOOL_CALL:
                calls.add(event.call_id)
            elif event.kind is EventKind.TOOL_RESULT:
                results += 1
                orphans[log.source] += event.call_id not in calls
    assert results > 10_000
    assert orphans["claude_code"] + orphans["codex"] <= results / 1000, orphans
    assert orphans["copilot_cli"] + orphans["gemini_cli"] + orphans["qwen_code"] == 0


def test_people_are_found_and_programs_are_not_people(logs: list[Log]) -> None:
    """Human turns are there, are no wrapped text, and are fewer than all user texts."""
    turns = Counter((log.source, event.author) for log in logs for event in log.events if event.kind is EventKind.USER)
    print(turns)  # noqa: T201 - shown by pytest -rP
    for log in logs:
        for event in log.events:
            if event.kind is EventKind.USER and event.author is Author.HUMAN:
                assert not event.text.lstrip().startswith(
                    ("<command-", "<task-", "<local-", "<environment_", "Caveat:")
                )
    assert turns["claude_code", Author.HUMAN] > 500
    assert turns["codex", Author.HUMAN] > 50
    assert turns["claude_code", Author.PROGRAM] > 100
    assert (turns["copilot_cli", Author.HUMAN], turns["copilot_cli", Author.PROGRAM]) == (15, 7)
    assert (turns["gemini_cli", Author.HUMAN], turns["gemini_cli", Author.PROGRAM]) == (4, 1)


def test_no_event_repeats_in_a_log(logs: list[Log]) -> None:
    """Within one log every uid stands once."""
    for log in logs:
        assert len({event.uid for event in log.events}) == len(log.events), log.name


def test_copied_rollout_shares_its_calls(logs: list[Log]) -> None:
    """The real resumed rollout repeats all calls of the session it continues, and nearly all messages."""
    pair = [log for log in logs if log.name.startswith("codex_sessions_2025_09_16")]
    first, second = ({event.uid for event in log.events} for log in pair)
    assert len(first & second) > 0.95 * len(first)


def test_real_states_are_small(logs: list[Log]) -> None:
    """What a parser remembers of a real log is at most 16 KiB."""
    assert max(log.state_size for log in logs) <= 16384

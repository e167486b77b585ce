"""The sources against real logs (private, beside the repository): skipped loudly where these are absent."""

from __future__ import annotations

import csv
import gzip
import json
import resource
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from bench.agents import OTHER_NAMES, SHARED, Read, genuine, logs_in, read, unpaired

from selfdistill.model import Author, EventKind
from selfdistill.service.recognising import source_of
from selfdistill.sources import SOURCES, Source

pytestmark = pytest.mark.skipif(not (SHARED / "corpus").is_dir(), reason=f"REAL LOGS ABSENT: no corpus in {SHARED}")
MEBIBYTE = 1024 * 1024
# What the makers of readers invented: types that no agent writes, and results without their calls.
INVENTED_UNKNOWN = {"antigravity": 1, "claude_code": 6, "codex": 13, "cursor": 4, "gemini_cli": 3, "openclaw": 1}
INVENTED_UNPAIRED = {"antigravity": 6, "claude_code": 1, "codex": 1, "copilot_cli": 2}
# Of their files those that are no logs: indexes, manifests, OpenCode's storage without its directories.
NO_LOGS = ("taskHistory.json", "history_item.json", "_01.json", ".db", ".meta.json", "state.json", "summary.json")
NO_LOGS_EITHER = ("checkpoint", "chat_history", "_storage_", "sessions.json", "tests_sample_session.json")
NAMES = {source.name: source for source in SOURCES}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> list[Read]:
    """All genuine logs, read as the program does: those of the corpus, and of the project in time order."""
    directory = tmp_path_factory.mktemp("logs")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = [*genuine(), *project(directory)]
    made = [read(source, log, states=True) for source, path in found for log in logs_in(source, path)]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
    # The events of all logs are held here, their texts too; a parser that kept what it reads would double that.
    assert grown < 3 * sum(log.text_bytes for log in made) + 64 * MEBIBYTE
    return made


def project(directory: Path) -> Iterator[tuple[Source, Path]]:
    """The logs of Claude Code in the history of one project, as files."""
    with gzip.open(SHARED / "projects" / "entireio__cli.jsonl.gz", "rt", encoding="utf-8") as rows:
        for number, row in enumerate(rows):
            session = json.loads(row)
            if '"sessionId"' in session["log"][:20000]:
                path = directory / f"{number}" / f"{session['session_id']}.jsonl"
                path.parent.mkdir()
                path.write_text(session["log"], "utf-8")
                yield NAMES["claude_code"], path


def invented(directory: Path) -> Iterator[tuple[Source, Path]]:
    """Every log of the corpus that somebody made up; scripts are made to databases."""
    with (SHARED / "corpus" / "INDEX.tsv").open(encoding="utf-8") as index:
        rows = [row for row in csv.DictReader(index, delimiter="\t") if row["genuine"] != "yes"]
    for row in rows:
        path = SHARED / "corpus" / row["file"]
        source = NAMES.get(OTHER_NAMES.get(row["agent"], row["agent"].replace("-", "_")))
        if not source or path.name.endswith(NO_LOGS) or any(word in row["file"] for word in NO_LOGS_EITHER):
            continue
        if path.suffix == ".sql":
            made = directory / f"{source.name}.db"
            with closing(sqlite3.connect(made)) as database:
                database.executescript(path.read_text("utf-8"))
            path = made
        yield source, path


def of_agent(logs: list[Read], name: str) -> list[Read]:
    return [log for log in logs if log.source.name == name]


def test_nearly_all_records_are_understood(logs: list[Read]) -> None:
    """Of each agent's genuine records at least 99 in 100 are known or left out on purpose, and none is undecodable."""
    total: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for log in logs:
        total[log.source.name] += log.records.total
        unknown[log.source.name] += log.records.unknown
    assert total.total() > 50_000
    assert len(total) == 10
    assert {name: count for name, count in unknown.items() if count > total[name] / 100} == {}
    assert sum(log.records.undecodable for log in logs) == 0


def test_results_follow_their_calls(logs: list[Read]) -> None:
    """A result has its call before it in the same log; only Claude Code's sub-agents seen from outside may lack it."""
    orphans = Counter({log.source.name: 0 for log in logs})
    for log in logs:
        orphans[log.source.name] += unpaired(log.events)
    results = sum(event.kind is EventKind.TOOL_RESULT for log in logs for event in log.events)
    assert results > 12_000
    assert orphans.pop("claude_code") <= results / 1000
    assert +orphans == Counter()


def test_no_event_repeats_in_a_log(logs: list[Read]) -> None:
    """Within one log every uid stands once."""
    for log in logs:
        assert len({event.uid for event in log.events}) == len(log.events), log.path.name


def test_real_states_are_small(logs: list[Read]) -> None:
    """What a parser remembers of a real log is at most 16 KiB; of Aider's blocks, which wait for their end, 64."""
    largest = {log.source.name: max(one.largest_state for one in of_agent(logs, log.source.name)) for log in logs}
    assert largest.pop("aider") <= 65_536
    assert max(largest.values()) <= 16_384, largest


def test_people_are_found_and_programs_are_not_people(logs: list[Read]) -> None:
    """Human turns are there, are no wrapped text, and are fewer than all user texts."""
    turns: Counter[tuple[str, Author]] = Counter()
    wrapped = ("<command-", "<task-", "<local-", "<environment_", "Caveat:")
    for log in logs:
        for event in (event for event in log.events if event.kind is EventKind.USER):
            turns[log.source.name, event.author] += 1
            assert event.author is Author.PROGRAM or not event.text.lstrip().startswith(wrapped)
    assert turns["claude_code", Author.HUMAN] > 500
    assert turns["codex", Author.HUMAN] > 50
    assert turns["claude_code", Author.PROGRAM] > 100
    assert (turns["copilot_cli", Author.HUMAN], turns["copilot_cli", Author.PROGRAM]) == (15, 7)
    assert (turns["gemini_cli", Author.HUMAN], turns["gemini_cli", Author.PROGRAM]) == (4, 1)
    assert turns["pi", Author.HUMAN] == 143
    assert turns["aider", Author.HUMAN] > 800


def test_copied_rollout_shares_its_calls(logs: list[Read]) -> None:
    """The real resumed rollout repeats all calls of the session it continues, and nearly all messages."""
    pair = [log for log in logs if log.path.name.startswith("codex_sessions_2025_09_16")]
    first, second = ({event.uid for event in log.events} for log in pair)
    assert len(first & second) > 0.95 * len(first)


def test_real_history_of_aider(logs: list[Read]) -> None:
    """The history of aider's own repository: all sessions, and edits with their outcome."""
    (history,) = (log for log in logs if log.path.name == "tests_fixtures_chat-history.md")
    assert sum(event.kind is EventKind.SESSION_START for event in history.events) == 1_133
    outcomes = Counter(event.is_error for event in history.events if event.tool == "edit")
    assert outcomes[True] == 53
    assert outcomes[False] > 500


def test_stops_and_failures_are_seen(logs: list[Read]) -> None:
    """Genuine logs of pi and Crush show stops, refusals, exit codes and failed calls."""
    kinds = {
        name: Counter(event.kind.value for log in of_agent(logs, name) for event in log.events)
        for name in ("pi", "crush")
    }
    assert kinds["pi"]["interrupt"] == 39
    results = [event for log in of_agent(logs, "pi") for event in log.events if event.kind is EventKind.TOOL_RESULT]
    assert sum(bool(event.is_error) for event in results) == 31
    assert sum(bool(event.exit_code) for event in results) == 23
    assert kinds["crush"]["tool_call"] == kinds["crush"]["tool_result"] == 41
    assert (kinds["crush"]["rejection"], kinds["crush"]["interrupt"]) == (3, 1)


def test_genuine_files_are_known_by_their_content() -> None:
    """A genuine log that was moved away and renamed is given to its source; four of Aider's have lost their header."""
    wrong = [path.name for source, path in genuine() if source.name != "aider" and source_of(path) != source]
    assert wrong == []
    assert sum(source.name == "aider" for source, _ in genuine()) == 5


def test_invented_logs_of_others_are_read(tmp_path: Path) -> None:
    """What others made up is understood but for the types that they invented; its prompts and answers are told."""
    unknown: Counter[str] = Counter()
    orphans: Counter[str] = Counter()
    events: Counter[str] = Counter()
    for source, path in invented(tmp_path):
        for log in (read(source, one) for one in logs_in(source, path)):
            unknown[source.name] += log.records.unknown
            orphans[source.name] += unpaired(log.events)
            events[source.name] += len(log.events)
            assert log.records.undecodable == 0, path
    assert +unknown == Counter(INVENTED_UNKNOWN)
    assert +orphans == Counter(INVENTED_UNPAIRED)
    assert events.keys() == NAMES.keys() - {"crush", "amp"}
    assert min(events.values()) > 0
    assert (events["opencode"], events["goose"]) == (2, 4)

"""The catalogue: logs seen, renamed, skipped, missed; the ledger and the census."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from selfdistill.model import Cursor, Finding, Records, Session, Skip, Stat, Turn
from selfdistill.store import Commit, Store

if TYPE_CHECKING:
    from unit.store.conftest import Desk

DIRECTORY = "/home/mara/.agent/logs"


def test_a_log_is_known_as_it_was_seen(store: Store, make_stat: Callable[..., Stat]) -> None:
    """A log comes back under its name with everything that was noted."""
    path = Path(DIRECTORY) / "s1.jsonl"
    log_id = store.see("codex", "s1", path, make_stat(7), changed_at=5.0, pending_since=6.0)
    known = store.known(DIRECTORY)["s1.jsonl"]
    assert (known.id, known.source, known.path, known.session_hint) == (log_id, "codex", path, "s1")
    assert (known.stat, known.changed_at, known.pending_since, known.turn) == (make_stat(7), 5.0, 6.0, None)
    assert store.log_at(path) == known
    assert store.path(log_id) == path
    assert store.log_at(Path(DIRECTORY) / "s2.jsonl") is None


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.jsonl", b"line\nbreak.jsonl", b"-rf", "Grüße 🍵".encode(), b"n" * 255, b"quote'\".jsonl"]
)
def test_any_name_is_kept(store: Store, make_stat: Callable[..., Stat], name: bytes) -> None:
    """File names are bytes: whatever the file system allows comes back the same."""
    path = Path(os.fsdecode(os.fsencode(DIRECTORY) + b"/" + name))
    log_id = store.see("codex", os.fsdecode(name), path, make_stat(1), changed_at=1.0, pending_since=1.0)
    assert store.path(log_id) == path
    assert list(store.known(DIRECTORY)) == [os.fsdecode(name)]
    assert store.pending()[0].path == path


def test_huge_inodes_fit(store: Store) -> None:
    """Inodes and devices beyond 2**63 come back as they are and are found again."""
    huge = Stat(dev=2**64 - 1, ino=2**63 + 5, size=1, mtime_ns=1, ctime_ns=1)
    store.see("codex", "s1", Path(DIRECTORY) / "s1", huge, changed_at=1.0, pending_since=None)
    assert store.known(DIRECTORY)["s1"].stat == huge
    assert len(store.moved_candidates("codex", "", 2**64 - 1, 2**63 + 5)) == 1


def test_seeing_again_keeps_the_wait_and_forgets_the_turn(store: Store, make_stat: Callable[..., Stat]) -> None:
    """A log keeps its id and the time of its first undistilled byte; only an unchanged one keeps its turn."""
    path = Path(DIRECTORY) / "s1.jsonl"
    log_id = store.see("codex", "s1", path, make_stat(1), changed_at=1.0, pending_since=1.0)
    store.note_turn(log_id, Turn.OPEN_CALL)
    assert store.see("codex", "s1", path, make_stat(1), changed_at=1.0, pending_since=None) == log_id
    assert store.pending()[0].turn is Turn.OPEN_CALL
    assert store.see("codex", "s1", path, make_stat(1, size=2000), changed_at=9.0, pending_since=9.0) == log_id
    waiting = store.pending()[0]
    assert (waiting.turn, waiting.pending_since, waiting.changed_at, waiting.stat.size) == (None, 1.0, 9.0, 2000)


def test_pending_is_newest_first(store: Store, make_stat: Callable[..., Stat]) -> None:
    """What changed last is distilled first, and a limit cuts the oldest."""
    for number, changed in ((1, 20), (2, 30), (3, 10)):
        path = Path(DIRECTORY) / f"s{number}"
        store.see("codex", f"s{number}", path, make_stat(number, changed=changed), changed_at=1.0, pending_since=1.0)
    store.see("codex", "s4", Path(DIRECTORY) / "s4", make_stat(4, changed=99), changed_at=1.0, pending_since=None)
    assert [log.session_hint for log in store.pending()] == ["s2", "s1", "s3"]
    assert [log.session_hint for log in store.pending(2)] == ["s2", "s1"]
    assert [log.session_hint for log in store.present()] == ["s4", "s2", "s1", "s3"]


def test_a_log_is_gone_after_two_scans_in_a_row(store: Store, desk: Desk) -> None:
    """One scan that misses a log proves nothing; the second one does, and what it owed is in the ledger."""
    log_id = desk.log(store, "s1.jsonl")
    assert not store.missing(log_id)
    desk.log(store, "s1.jsonl")  # there again
    assert not store.missing(log_id)
    assert store.pending()
    assert store.missing(log_id)
    assert store.pending() == []
    assert store.present() == []
    assert store.ledger() == {"claude_code": {"gone": 1}}
    assert store.directories("claude_code") == {}
    assert desk.log(store, "s1.jsonl") == log_id
    assert store.ledger() == {}
    assert len(store.pending()) == 1


def test_a_finished_log_that_goes_owes_nothing(store: Store, desk: Desk) -> None:
    """A log that was distilled whole before it went is no entry in the ledger."""
    log_id = desk.log(store, "s1.jsonl")
    desk.commit(store, log_id)
    store.missing(log_id)
    store.missing(log_id)
    assert store.ledger() == {}
    assert store.census()["claude_code"].gone == 1


def test_the_ledger_counts_by_word(store: Store, desk: Desk) -> None:
    """Every skipped log is counted under its source and word; some words leave it waiting."""
    logs = [desk.log(store, f"s{number}.jsonl") for number in range(4)]
    store.skip(logs[0], Skip.NO_CONVERSATION)
    store.skip(logs[1], Skip.NO_CONVERSATION)
    store.skip(logs[2], Skip.UNREADABLE, "Permission denied")
    assert store.ledger() == {"claude_code": {"no_conversation": 2, "unreadable": 1}}
    assert {log.id for log in store.pending()} == {logs[2], logs[3]}
    store.skip(logs[2], None)
    assert store.ledger() == {"claude_code": {"no_conversation": 2}}


def test_growth_voids_a_skip_but_no_quarantine(store: Store, desk: Desk) -> None:
    """A log that grows is looked at again, unless it is quarantined: that needs `retry`."""
    empty, poison = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    store.skip(empty, Skip.EMPTY)
    store.fail(poison, "heuristic", "broke three times", not_before=500.0)
    store.skip(poison, Skip.QUARANTINED, "broke three times")
    desk.log(store, "s1.jsonl")
    desk.log(store, "s2.jsonl")
    assert {(log.id, log.skip) for log in store.pending()} == {(empty, None), (poison, Skip.QUARANTINED)}
    assert store.retry("s2") == 1
    assert {(log.id, log.skip, log.attempts) for log in store.pending()} == {(empty, None, 0), (poison, None, 0)}


def test_a_moved_log_keeps_its_history(store: Store, desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """A renamed log keeps id, cursor and findings, even if a scan has already seen the new name."""
    log_id = desk.log(store, "s1.jsonl", number=7)
    desk.commit(store, log_id, make_finding("a", "u1"))
    found = store.moved_candidates("claude_code", "s1", 1, 7)
    assert [log.id for log in found] == [log_id]
    desk.log(store, "archive.jsonl", number=7)
    assert store.rename(log_id, Path(DIRECTORY) / "archive.jsonl")
    assert [log.id for log in store.known(DIRECTORY).values()] == [log_id]
    assert store.cursor(log_id, "heuristic") == desk.after[log_id, "heuristic"]


def test_a_log_with_a_history_is_not_overwritten(
    store: Store, desk: Desk, make_finding: Callable[..., Finding]
) -> None:
    """No log takes the path of another one that has a history of its own."""
    one, other = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    desk.commit(store, other, make_finding("a", "u1"))
    assert not store.rename(one, Path(DIRECTORY) / "s2.jsonl")
    assert set(store.known(DIRECTORY)) == {"s1.jsonl", "s2.jsonl"}


def test_the_census_adds_up(store: Store, desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """The census tells for each source what was seen, is tracked, is behind and was not understood."""
    done, waiting = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    desk.commit(store, done, make_finding("a", "u1"), session="session-1")
    desk.commit(store, done, session="session-1")
    census = store.census()["claude_code"]
    assert (census.logs, census.tracked, census.sessions, census.gone) == (2, 1, 2, 0)
    assert (census.bytes_behind, census.oldest_pending_since) == (1000, 1.0)
    assert census.records == Records(total=4, known=2, unknown=2, unknown_types={"novelty": 2})
    assert census.last_success == desk.clock.now
    assert store.directories("claude_code") == {DIRECTORY: 2}
    assert [log.id for log in store.pending()] == [waiting]


def test_what_came_while_reading_still_waits(
    store: Store, make_stat: Callable[..., Stat], make_cursor: Callable[..., Cursor]
) -> None:
    """A log that was seen to grow after it was opened for distilling stays pending, since that growth."""
    path = Path(DIRECTORY) / "s1.jsonl"
    log_id = store.see("codex", "s1", path, make_stat(1), changed_at=1.0, pending_since=1.0)
    grown = make_stat(1, size=5000, changed=2)
    store.see("codex", "s1", path, grown, changed_at=8.0, pending_since=8.0)
    commit_of = Commit(log_id, "heuristic", 1, None, make_cursor(1000), Session(), Records(), make_stat(1))
    store.commit(commit_of)
    (waiting,) = store.pending()
    assert (waiting.pending_since, waiting.stat, waiting.distilled_size) == (8.0, grown, 1000)


def test_a_part_of_a_log_leaves_the_rest_waiting(
    store: Store, desk: Desk, make_stat: Callable[..., Stat], make_cursor: Callable[..., Cursor]
) -> None:
    """A commit that did not read to the end leaves the log pending and counts the bytes that are left."""
    log_id = desk.log(store, "s1.jsonl")
    work = Commit(log_id, "heuristic", 1, None, make_cursor(400), Session(), Records(), make_stat(1), complete=False)
    store.commit(work)
    assert store.census()["claude_code"].bytes_behind == 600


def test_a_hundred_thousand_logs_stay_cheap(store: Store, make_stat: Callable[..., Stat]) -> None:
    """With 20,000 logs known, what the daemon asks each time it wakes stays within milliseconds."""
    with store.transaction():
        for number in range(20_000):
            path = Path(f"/home/mara/p{number % 400}/s{number}")
            store.see("codex", f"s{number}", path, make_stat(number), changed_at=1.0, pending_since=None)
    start = time.perf_counter()
    for number in range(50):
        assert len(store.known(f"/home/mara/p{number}")) == 50
        assert len(store.moved_candidates("codex", f"s{number}", 1, number)) == 1
        assert store.pending() == []
    assert time.perf_counter() - start < 0.5

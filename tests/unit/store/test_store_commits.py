"""Commits: one transaction for findings, cursor and lessons, whoever comes first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from selfdistill.errors import CursorMoved, InternalError
from selfdistill.model import (
    Cursor,
    Evidence,
    Finding,
    Outcome,
    Polarity,
    Records,
    Session,
    Sighting,
    Span,
    Stat,
)
from selfdistill.store import Commit, ProjectRef, Store

if TYPE_CHECKING:
    from unit.store.conftest import Desk

MakeFinding = Callable[..., Finding]


def sightings(store: Store) -> set[tuple[str, int]]:
    """(session, log) of everything that was seen."""
    lessons = store.lessons(None, everywhere=True, state=None)
    return {
        (sighting.session, sighting.log_id)
        for lesson in lessons
        for found in store.evidence(lesson.id)
        for sighting in found.sightings
    }


def test_a_commit_stores_all_of_it(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """Cursor, finding, sighting and lesson are there after a commit, and say what was put in."""
    log_id = desk.log(store, "s1.jsonl")
    found = make_finding("a", "u1", "u2", at=500)
    done = desk.commit(store, log_id, found, session="session-1")
    assert ([lesson.merge_key for lesson in done.created], done.merged, done.removed) == (["a"], [], 0)
    assert store.cursor(log_id, "heuristic") == desk.after[log_id, "heuristic"]
    assert store.lessons("kettle") == done.created
    (stored,) = store.evidence(done.created[0].id)
    assert stored.sightings == (Sighting(log_id, 0, "session-1", (Span(500, 90), Span(600, 90)), (1500.0, 1500.0)),)
    bare = tuple(Evidence(item.uid, Span(0, 0), item.quote, item.role) for item in found.evidence)
    assert stored.finding == msgspec.structs.replace(found, evidence=bare)
    assert (stored.distiller, stored.version, stored.project, stored.remote) == (
        "heuristic",
        1,
        "kettle",
        "git@example.org:mara/kettle.git",
    )


@pytest.mark.parametrize("difference", ["missing", "offset", "tail", "generation", "version"])
def test_work_from_another_place_is_dropped(
    store: Store, desk: Desk, make_finding: MakeFinding, make_cursor: Callable[..., Cursor], difference: str
) -> None:
    """If the stored cursor is not the one that the work started from, nothing at all is written."""
    log_id = desk.log(store, "s1.jsonl")
    desk.commit(store, log_id, make_finding("a", "u1"))
    stored = desk.after[log_id, "heuristic"]
    before = {
        "missing": None,
        "offset": make_cursor(7),
        "tail": msgspec.structs.replace(stored, proof=msgspec.structs.replace(stored.proof, tail=b"other")),
        "generation": msgspec.structs.replace(stored, generation=5),
        "version": msgspec.structs.replace(stored, version=5),
    }[difference]
    if before is None:
        del desk.after[log_id, "heuristic"]
    else:
        desk.after[log_id, "heuristic"] = before
    with pytest.raises(CursorMoved):
        desk.commit(store, log_id, make_finding("b", "u2"))
    assert store.cursor(log_id, "heuristic") == stored
    assert [lesson.merge_key for lesson in store.lessons("kettle")] == ["a"]


def test_of_two_processes_the_second_is_dropped(desk: Desk, make_finding: MakeFinding) -> None:
    """Two processes that distill the same bytes leave one result."""
    daemon, run = desk.open(), desk.open()
    log_id = desk.log(daemon, "s1.jsonl")
    desk.commit(daemon, log_id, make_finding("a", "u1"))
    del desk.after[log_id, "heuristic"]
    with pytest.raises(CursorMoved):
        desk.commit(run, log_id, make_finding("a", "u1"))
    assert [lesson.support for lesson in run.lessons("kettle")] == [1]


def test_in_a_batch_only_the_moved_one_is_dropped(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """Commits batched into one transaction fall one by one."""
    one, other = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    desk.commit(store, one, make_finding("a", "u1"))
    with store.transaction():
        desk.commit(store, other, make_finding("b", "u2"))
        desk.after[one, "heuristic"] = desk.after[other, "heuristic"]
        desk.commit(store, one)
        desk.after.pop((one, "heuristic"))
        with pytest.raises(CursorMoved):
            desk.commit(store, one, make_finding("c", "u3"))
        desk.commit(store, other, make_finding("d", "u4"))
    assert {lesson.merge_key for lesson in store.lessons("kettle")} == {"a", "b", "d"}


def test_a_derivation_that_fails_takes_only_its_own_commit_along(desk: Desk, make_finding: MakeFinding) -> None:
    """A lesson derived for another key is a bug: its commit is undone, its neighbours in the batch stay right."""
    plain = desk.derive
    desk.derive = lambda findings, verdict: (
        (lesson := plain(findings, verdict))
        and msgspec.structs.replace(lesson, merge_key="x" if lesson.merge_key == "bad" else lesson.merge_key)
    )
    store = desk.open()
    one, other = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    with store.transaction():
        desk.commit(store, one, make_finding("a", "u1"))
        with pytest.raises(InternalError, match="another key"):
            desk.commit(store, other, make_finding("a", "u2"), make_finding("bad", "u3"))
        desk.commit(store, other, make_finding("a", "u4"))
    assert [(lesson.merge_key, lesson.support) for lesson in store.lessons("kettle")] == [("a", 2)]
    assert store.cursor(other, "heuristic") is not None


def test_provisional_findings_are_replaced(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """What an open episode seemed to show is replaced by the next commit of that log, and by nothing else."""
    log_id, other = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    desk.commit(store, log_id, make_finding("closed", "u1"))
    desk.commit(store, log_id, make_finding("open", "u2"), make_finding("still", "u3"), provisional=True)
    desk.commit(store, other, make_finding("elsewhere", "u4"))
    desk.commit(store, log_id, distiller="model")
    assert {lesson.merge_key for lesson in store.lessons("kettle")} == {"closed", "open", "still", "elsewhere"}
    done = desk.commit(store, log_id, make_finding("still", "u3"))
    assert (done.created, done.merged, done.removed) == ([], [], 1)
    assert {lesson.merge_key for lesson in store.lessons("kettle")} == {"closed", "still", "elsewhere"}
    assert desk.commit(store, log_id).removed == 0


def test_copies_share_one_finding(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """A finding seen in two logs is one finding with two sightings, and goes with the last of them."""
    one, copy = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    created = desk.commit(store, one, make_finding("a", "u1", "u2")).created
    merged = desk.commit(store, copy, make_finding("a", "u1", "u2", at=900)).merged
    assert (len(created), len(merged)) == (1, 1)
    (found,) = store.evidence(merged[0].id)
    assert {sighting.log_id for sighting in found.sightings} == {one, copy}
    desk.commit(store, one, restart=True)
    assert len(store.lessons("kettle")) == 1
    assert desk.commit(store, copy, restart=True).removed == 1
    assert store._database.rows("SELECT * FROM findings") == []


def test_again_replaces_what_an_older_version_found(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """`run --again` drops a log's old findings with the new commit; the same finding takes the new version's words."""
    log_id = desk.log(store, "s1.jsonl")
    desk.commit(store, log_id, make_finding("kept", "u1", action="old words"), make_finding("dropped", "u2"))
    assert store.outdated("heuristic", 2) == 1
    done = desk.commit(store, log_id, make_finding("kept", "u1", action="new"), version=2, restart=True)
    assert ([lesson.action.description for lesson in done.merged], done.removed) == (["new"], 1)
    assert store.outdated("heuristic", 2) == 0
    assert store.census()["claude_code"].records.total == 2


def test_versions_of_a_copy_do_not_depend_on_who_was_first(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """Where copies say different things the newest version speaks, as long as it is there."""
    old, new = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    desk.commit(store, new, make_finding("a", "u1", action="newer"), version=2)
    desk.commit(store, old, make_finding("a", "u1", action="older"), version=1)
    assert store.lessons("kettle")[0].action.description == "newer"
    desk.commit(store, new, version=2, restart=True)
    assert store.lessons("kettle")[0].action.description == "older"
    desk.commit(store, new, make_finding("a", "u1", action="newer"), version=2)
    assert store.lessons("kettle")[0].action.description == "newer"


def test_a_double_in_one_log_counts_once(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """A finding that a log shows twice is one sighting, the earliest, whether in one commit or in two."""
    log_id, other = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    early, late = make_finding("a", "u1", at=100), make_finding("a", "u1", at=900)
    desk.commit(store, log_id, late, early)
    desk.commit(store, other, early)
    desk.commit(store, other, late)
    (found,) = store.evidence(store.lessons("kettle")[0].id)
    assert [sighting.spans for sighting in found.sightings] == [(Span(100, 90),)] * 2


def test_a_sub_agent_counts_for_its_session(
    store: Store,
    desk: Desk,
    make_finding: MakeFinding,
    make_cursor: Callable[..., Cursor],
    make_stat: Callable[..., Stat],
) -> None:
    """A machine run counts for the session that spawned it; a log that names no session counts for its own."""
    sub, nameless = desk.log(store, "agent-7.jsonl"), desk.log(store, "s2.jsonl")
    session = Session(id="child", parent="parent", machine_run=True)
    found = [(ProjectRef("kettle"), make_finding("a", "u1"), False)]
    store.commit(Commit(sub, "heuristic", 1, None, make_cursor(9), session, Records(), make_stat(1), found))
    desk.commit(store, nameless, make_finding("a", "u2"))
    assert sightings(store) == {("parent", sub), ("s2", nameless)}


def test_failures_are_counted_until_a_commit(store: Store, desk: Desk) -> None:
    """Failures add up for one distiller and log, hold it back, and are forgotten when it works."""
    log_id = desk.log(store, "s1.jsonl")
    assert store.fail(log_id, "heuristic", "no \ud800 luck", not_before=50.0) == 1
    assert store.fail(log_id, "heuristic", "again", not_before=90.0) == 2
    assert [(log.attempts, log.not_before) for log in store.pending()] == [(2, 90.0)]
    assert store.cursor(log_id, "heuristic") is None
    desk.commit(store, log_id)
    desk.log(store, "s1.jsonl")
    assert [(log.attempts, log.not_before) for log in store.pending()] == [(0, None)]
    assert store.retry() == 0


def test_half_characters_are_stored(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """Lone surrogates, which kill an INSERT, reach the store as question marks."""
    log_id = desk.log(store, "s1.jsonl")
    found = make_finding("key \ud800", "u\ud801", condition="when \udfff")
    desk.commit(store, log_id, found, project=ProjectRef("kettle\udc80", "r\udc81"), session="s\udc82")
    (lesson,) = store.lessons("kettle?")
    assert (lesson.merge_key, lesson.trigger.condition) == ("key ?", "when ?")
    store.remember_project("/home/\udc80", "key", "/home", "")
    assert store.project("/home/\udc80") == ("key", "/home", "")


def test_the_first_decision_on_a_directory_holds(desk: Desk) -> None:
    """A working directory belongs to the project that was decided first, in whichever process."""
    one, other = desk.open(), desk.open()
    assert one.project("/home/mara/kettle") is None
    assert one.remember_project("/home/mara/kettle", "k1", "/home/mara/kettle", "r1") == (
        "k1",
        "/home/mara/kettle",
        "r1",
    )
    assert other.remember_project("/home/mara/kettle", "k2", "/home/mara", "r2")[0] == "k1"
    assert other.known_roots() == {"/home/mara/kettle": ("k1", "r1")}


def test_the_outcome_is_kept(
    store: Store, desk: Desk, make_cursor: Callable[..., Cursor], make_stat: Callable[..., Stat]
) -> None:
    """How a session went is stored with its log."""
    log_id = desk.log(store, "s1.jsonl")
    outcome = Outcome(Polarity.NEGATIVE, 0.75)
    store.commit(
        Commit(log_id, "heuristic", 1, None, make_cursor(9), Session(), Records(), make_stat(1), outcome=outcome)
    )
    assert store._database.row("SELECT outcome, failure_probability FROM logs") == ("negative", 0.75)


def test_a_log_that_is_gone_from_the_catalogue_drops_its_work(store: Store, desk: Desk) -> None:
    """Work for a log that the catalogue no longer has, because another one took its path, is dropped."""
    moved, shadow = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    desk.commit(store, moved)
    assert store.rename(moved, Path("/home/mara/.agent/logs/s2.jsonl"))
    with pytest.raises(CursorMoved):
        desk.commit(store, shadow)


def test_of_many_works_at_once_only_the_moved_one_is_dropped(
    store: Store,
    desk: Desk,
    make_finding: MakeFinding,
    make_cursor: Callable[..., Cursor],
    make_stat: Callable[..., Stat],
) -> None:
    """`commit_all` says which works were written, and its lessons are derived from those alone."""

    def work(log_id: int, key: str, before: Cursor | None) -> Commit:
        found = [(ProjectRef("kettle"), make_finding(key, f"{key}-{log_id}"), False)]
        after = make_cursor(500)
        return Commit(log_id, "heuristic", 1, before, after, Session(), Records(total=1), make_stat(log_id), found)

    one, other = desk.log(store, "s1.jsonl", 1), desk.log(store, "s2.jsonl", 2)
    stale = work(one, "lost", make_cursor(77))
    written, changed = store.commit_all([work(other, "kept", None), stale, work(one, "kept", None)])
    assert written == [True, False, True]
    assert [lesson.merge_key for lesson in changed.created] == ["kept"]
    assert [(lesson.merge_key, lesson.support) for lesson in store.lessons("kettle")] == [("kept", 2)]

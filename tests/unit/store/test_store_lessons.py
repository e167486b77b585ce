"""Lessons: who may read them, what people decide, when they become global, how they are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from selfdistill.errors import StoreCorrupt, UsageError
from selfdistill.manifest import Manifest, Usage
from selfdistill.model import Finding, LessonState, Scope
from selfdistill.store import ProjectRef, Store, VerdictKind

if TYPE_CHECKING:
    from unit.store.conftest import Desk

MakeFinding = Callable[..., Finding]


def keys(store: Store, project: str | None, *, everywhere: bool = False) -> list[str]:
    """The merge keys of what may be told in a project."""
    return sorted(f"{lesson.project}/{lesson.merge_key}" for lesson in store.lessons(project, everywhere=everywhere))


def whole_index(store: Store) -> None:
    """Raise unless the search index says exactly what the lessons say."""
    store._database.run("INSERT INTO lessons_index(lessons_index, rank) VALUES ('integrity-check', 1)")


def test_a_lesson_stays_in_its_project(store: Store, desk: Desk, make_finding: MakeFinding, teapot: ProjectRef) -> None:
    """Another project's lesson is told nowhere else, whichever way one asks, unless one asks for everywhere."""
    log_id = desk.log(store, "s1.jsonl")
    desk.commit(store, log_id, make_finding("a", "u1"))
    desk.commit(store, log_id, make_finding("b", "u2"), project=teapot)
    assert keys(store, "kettle") == ["kettle/a"]
    assert keys(store, "teapot") == ["teapot/b"]
    assert keys(store, None) == []
    assert keys(store, None, everywhere=True) == ["kettle/a", "teapot/b"]
    assert [lesson.merge_key for lesson in store.search("repair fails", "kettle")] == ["a"]
    assert store.search("repair fails", None) == []
    assert len(store.search("repair fails", None, everywhere=True)) == 2


def test_two_remotes_make_a_lesson_global(
    store: Store, desk: Desk, make_finding: MakeFinding, teapot: ProjectRef
) -> None:
    """The same lesson from two projects with two remotes is told everywhere, once, until one of them falls away."""
    one, other = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    desk.commit(store, one, make_finding("a", "u1"))
    done = desk.commit(store, other, make_finding("a", "u2"), project=teapot)
    assert ([lesson.project for lesson in done.created], [lesson.project for lesson in done.merged]) == (
        ["teapot"],
        ["kettle"],
    )
    assert {lesson.scope for lesson in store.lessons(None, everywhere=True)} == {Scope.GLOBAL}
    assert keys(store, "kettle") == ["kettle/a"]
    assert len(keys(store, "elsewhere")) == len(keys(store, None)) == 1
    assert len(store.search("repair", "elsewhere")) == 1
    desk.commit(store, other, restart=True)
    assert [lesson.scope for lesson in store.lessons(None, everywhere=True)] == [Scope.PROJECT]
    assert keys(store, "elsewhere") == []


@pytest.mark.parametrize("why_not", ["same remote", "no remote", "same evidence", "same project", "a copy"])
def test_less_than_two_remotes_make_nothing_global(
    store: Store, desk: Desk, make_finding: MakeFinding, kettle: ProjectRef, why_not: str
) -> None:
    """A fork of the repository, a project without remote, or a copied log does not make a lesson global."""
    second = {
        "same remote": ProjectRef("fork", kettle.remote),
        "no remote": ProjectRef("fork", ""),
        "same evidence": ProjectRef("fork", "git@example.org:mara/fork.git"),
        "a copy": ProjectRef("fork", kettle.remote),
        "same project": ProjectRef(kettle.key, "git@example.org:mara/fork.git"),
    }[why_not]
    one, other = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    desk.commit(store, one, make_finding("a", "u1", "u2"))
    desk.commit(store, other, make_finding("a", "u2" if why_not == "same evidence" else "u3"), project=second)
    if why_not == "a copy":
        desk.commit(store, other, make_finding("a", "u1"), project=ProjectRef("fork", "git@example.org:mara/fork.git"))
    assert {lesson.scope for lesson in store.lessons(None, everywhere=True)} == {Scope.PROJECT}


def test_ones_own_rejection_hides_a_global_lesson(
    store: Store, desk: Desk, make_finding: MakeFinding, teapot: ProjectRef
) -> None:
    """A project that rejected a lesson does not get it told by another project's row."""
    one, other = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    desk.commit(store, one, make_finding("a", "u1"))
    desk.commit(store, other, make_finding("a", "u2"), project=teapot)
    own = next(lesson for lesson in store.lessons("kettle"))
    store.decide(own.id, VerdictKind.REJECT)
    assert keys(store, "kettle") == []
    assert store.search("repair", "kettle") == []
    assert keys(store, "teapot") == keys(store, "elsewhere") == ["teapot/a"]


def test_a_rejection_is_a_tombstone(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """A rejected lesson stays rejected when it is found again, when its findings go, and when they come back."""
    log_id = desk.log(store, "s1.jsonl")
    (lesson,) = desk.commit(store, log_id, make_finding("a", "u1")).created
    rejected = store.decide(lesson.id, VerdictKind.REJECT, "nonsense")
    assert rejected is not None
    assert rejected.state is LessonState.REJECTED

    def state() -> LessonState:
        return store.lesson(lesson.id).state

    desk.commit(store, log_id, make_finding("a", "u2"))
    assert state() is LessonState.REJECTED
    assert desk.commit(store, log_id, restart=True, version=2).removed == 0
    assert state() is LessonState.REJECTED
    assert store.evidence(lesson.id) == []
    desk.commit(store, log_id, make_finding("a", "u3"))
    assert state() is LessonState.REJECTED
    assert store.lessons("kettle") == []
    assert store.totals().lessons == 0


def test_the_last_verdict_wins_and_restore_takes_back(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """Approve, reject and archive set the state, the last one wins, and restore gives it back to the evidence."""
    log_id = desk.log(store, "s1.jsonl")
    (lesson,) = desk.commit(store, log_id, make_finding("a", "u1")).created
    for kind, state in (
        (VerdictKind.ARCHIVE, LessonState.ARCHIVED),
        (VerdictKind.REJECT, LessonState.REJECTED),
        (VerdictKind.APPROVE, LessonState.ACTIVE),
        (VerdictKind.REJECT, LessonState.REJECTED),
        (VerdictKind.RESTORE, LessonState.ACTIVE),
    ):
        decided = store.decide(lesson.id, kind)
        assert decided is not None
        assert decided.state is state
        assert store.lesson(lesson.id) == decided


def test_an_archived_lesson_comes_back_archived(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """A verdict outlives the lesson's row: findings that come back meet it again."""
    log_id = desk.log(store, "s1.jsonl")
    (lesson,) = desk.commit(store, log_id, make_finding("a", "u1")).created
    store.decide(lesson.id, VerdictKind.ARCHIVE)
    assert desk.commit(store, log_id, restart=True).removed == 1
    (again,) = desk.commit(store, log_id, make_finding("a", "u1")).created
    assert (again.id, again.state) == (lesson.id, LessonState.ARCHIVED)


def test_restoring_an_unsupported_tombstone_ends_it(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """A tombstone without findings that is restored has nothing to stand on, and goes."""
    log_id = desk.log(store, "s1.jsonl")
    (lesson,) = desk.commit(store, log_id, make_finding("a", "u1")).created
    store.decide(lesson.id, VerdictKind.REJECT)
    desk.commit(store, log_id, restart=True)
    assert store.decide(lesson.id, VerdictKind.RESTORE) is None
    whole_index(store)


def test_a_person_decides_the_scope(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """A lesson made global by hand is told everywhere, made local by hand nowhere else; its state is another matter."""
    log_id = desk.log(store, "s1.jsonl")
    (lesson,) = desk.commit(store, log_id, make_finding("a", "u1")).created
    store.decide(lesson.id, VerdictKind.ARCHIVE)
    store.decide(lesson.id, VerdictKind.GLOBAL)
    store.decide(lesson.id, VerdictKind.RESTORE)
    desk.commit(store, log_id, make_finding("a", "u2"))
    assert keys(store, "elsewhere") == ["kettle/a"]
    store.decide(lesson.id, VerdictKind.LOCAL)
    assert keys(store, "elsewhere") == []


def test_unknown_and_ambiguous_ids_are_told(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """A lesson is found by the beginning of its id; several are listed, none is said."""
    log_id = desk.log(store, "s1.jsonl")
    created = desk.commit(store, log_id, *[make_finding(f"k{number}", f"u{number}") for number in range(40)]).created
    first = created[0]
    assert store.lesson(first.id) == first
    assert store.lesson(first.id[:12]) == first
    crowded = next(digit for digit in "0123456789abcdef" if sum(item.id[0] == digit for item in created) > 1)
    with pytest.raises(UsageError, match="Several") as caught:
        store.lesson(crowded)
    listed = [item.id for item in created if item.id in caught.value.message]
    assert len(listed) > 1
    for wrong in ("", "%", "_", "zz", "'; --"):
        with pytest.raises(UsageError, match="No lesson"):
            store.lesson(wrong)
    with pytest.raises(UsageError, match="no lesson"):
        store.decide("zz", VerdictKind.APPROVE)


def test_search_finds_words_and_ranks_them(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """Whatever shares words is found, best first: flags as phrases, parts of flags, other forms of a word."""
    log_id = desk.log(store, "s1.jsonl")
    desk.commit(
        store,
        log_id,
        make_finding("verify", "u1", condition="git commit refuses", action="never pass --no-verify"),
        make_finding(
            "stat", "u2", condition="gh pr diff has no --stat", action="use --name-only", tags=("gh", "verify")
        ),
        make_finding("other", "u3", condition="the kettle leaks", action="solder it"),
    )

    def found(query: str) -> list[str]:
        return [lesson.merge_key for lesson in store.search(query, "kettle")]

    assert found("--no-verify") == ["verify"]
    assert found("verify") == ["stat", "verify"] or found("verify") == ["verify", "stat"]
    assert found("stat") == ["stat"]
    assert found("commits") == ["verify"]
    assert found("kettle leaks commit")[0] == "other"
    assert len(store.search("kettle verify stat", "kettle", limit=2)) == 2
    assert found("") == found("  ") == found("---") == found('"') == found("\0") == []


def test_the_index_follows_every_change(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """After many changes, removals and returns the search index holds exactly the words of the lessons."""
    log_id = desk.log(store, "s1.jsonl")
    for turn in range(30):
        findings = [
            make_finding(f"k{number}", f"u{number}", action=f"words of turn {turn % 3 * number}")
            for number in range(turn % 7, 15)
        ]
        desk.commit(store, log_id, *findings, version=turn, restart=True)
        whole_index(store)
    assert [lesson.merge_key for lesson in store.search("leftovers", "kettle")] == []
    store._database.run("INSERT INTO lessons_index(lessons_index) VALUES ('delete-all')")
    with pytest.raises(StoreCorrupt):
        whole_index(store)


def test_states_are_filtered(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """Only active lessons are told unless one asks for others."""
    log_id = desk.log(store, "s1.jsonl")
    created = desk.commit(store, log_id, make_finding("a", "u1"), make_finding("b", "u2")).created
    store.decide(created[0].id, VerdictKind.ARCHIVE)
    assert keys(store, "kettle") == ["kettle/b"]
    assert [lesson.merge_key for lesson in store.lessons("kettle", state=LessonState.ARCHIVED)] == ["a"]
    assert len(store.lessons("kettle", state=None)) == 2
    assert len(store.lessons("kettle", state=None, limit=1)) == 1


def test_everything_can_be_derived_anew(desk: Desk, make_finding: MakeFinding) -> None:
    """When the way of deriving changes, all lessons follow without reading a log, and verdicts hold."""
    store = desk.open()
    log_id = desk.log(store, "s1.jsonl")
    created = desk.commit(store, log_id, make_finding("a", "u1"), make_finding("b", "u2")).created
    store.decide(created[0].id, VerdictKind.REJECT)
    assert store.rederive().merged == []
    store.close()
    desk.derive = lambda *_: None
    changed = desk.open()
    assert changed.rederive().removed == 1
    assert [lesson.state for lesson in changed.lessons("kettle", state=None)] == [LessonState.REJECTED]
    whole_index(changed)


def test_times_tell_when_a_lesson_changed(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """A lesson keeps its birthday; `updated_at` moves only when something about it changed."""
    one, other = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    born = desk.clock.now
    desk.commit(store, one, make_finding("a", "u1"))
    desk.clock.now += 10
    desk.commit(store, one, make_finding("a", "u2"))
    assert [(lesson.created_at, lesson.updated_at) for lesson in store.lessons("kettle")] == [(born, born)]
    desk.commit(store, other, make_finding("a", "u3"))
    assert [(lesson.created_at, lesson.updated_at) for lesson in store.lessons("kettle")] == [(born, born + 10)]


def test_runs_add_up(store: Store, desk: Desk, make_finding: MakeFinding) -> None:
    """Totals count sessions, lessons and runs, and give the last manifest as it was put in."""
    assert (store.totals().runs, store.totals().last) == (0, None)
    log_id, copy = desk.log(store, "s1.jsonl"), desk.log(store, "s2.jsonl")
    desk.commit(store, log_id, make_finding("a", "u1"), session="same")
    desk.commit(store, copy, make_finding("a", "u1"), session="same")
    desk.log(store, "s3.jsonl")
    for number in (1, 2):
        manifest = Manifest(
            f"run-{number}",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:01Z",
            dry_run=False,
            analysis_mode="heuristic",
            sessions_processed=1,
            sessions_skipped={"unsettled": 2},
            sessions_failed=0,
            lessons_generated=1,
            lessons_merged=0,
            log_paths=("/home/mara/s1.jsonl",),
            lessons=(),
            usage=Usage(),
        )
        store.add_run(manifest)
    totals = store.totals()
    assert (store.sessions(), totals.lessons, totals.runs, totals.last) == (1, 1, 2, manifest)

"""What people and agents say of lessons, and lessons from elsewhere: kept whatever is derived after it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest
from msgspec.structs import replace

from selfdistill.distill.merging import derive
from selfdistill.errors import UsageError
from selfdistill.model import Finding, Lesson, LessonState, Span
from selfdistill.store import ProjectRef, Store, VerdictKind, Words
from selfdistill.store.imports import Abroad, Foreign

if TYPE_CHECKING:
    from unit.store.conftest import Desk

Make = Callable[..., Finding]


@pytest.fixture
def desk(desk: Desk) -> Desk:
    """The desk with the way of deriving that counts."""
    desk.derive = derive
    return desk


def number_of(session: str) -> int:
    """An inode for the session's log."""
    return crc32(session.encode())


def learned(desk: Desk, store: Store, *findings: Finding, session: str, project: ProjectRef | None = None) -> None:
    """Commit findings as a session's."""
    more: dict[str, Any] = {"project": project} if project else {}
    desk.commit(store, desk.log(store, f"{session}.jsonl", number_of(session)), *findings, session=session, **more)


def by_key(store: Store) -> dict[str, Lesson]:
    """All lessons by their merge keys."""
    return {lesson.merge_key: lesson for lesson in store.lessons(None, state=None, everywhere=True)}


def unchanging(store: Store) -> list[Lesson]:
    """All lessons without our own times."""
    return [replace(one, created_at=None, updated_at=None) for one in by_key(store).values()]


class TestEdits:
    """A person's wording."""

    def test_an_edited_wording_stays(self, desk: Desk, store: Store, make_finding: Make) -> None:
        """Whatever is learned or derived later, an edited lesson says what the person wrote, and is found by it."""
        learned(desk, store, make_finding("a", "u1"), session="s1")
        lesson = by_key(store)["a"]
        edited = store.edit(lesson.id, Words(action="boil it thrice"))
        assert edited is not None
        assert (edited.action.description, edited.trigger, edited.id) == ("boil it thrice", lesson.trigger, lesson.id)
        learned(desk, store, replace(make_finding("a", "u2"), strength=0.9), session="s2")
        store.rederive()
        now = by_key(store)["a"]
        assert (now.action.description, now.support) == ("boil it thrice", 2)
        assert [one.id for one in store.search("thrice", lesson.project)] == [lesson.id]
        assert store.search("repair", lesson.project) == []
        back = store.edit(lesson.id, Words())
        assert back is not None
        assert back.action == lesson.action

    def test_wording_and_state_are_two_things(self, desk: Desk, store: Store, make_finding: Make) -> None:
        """An approval leaves the wording, `restore` takes back the state alone."""
        learned(desk, store, make_finding("a", "u1"), session="s1")
        name = by_key(store)["a"].id
        store.edit(name, Words(condition="always"))
        store.decide(name, VerdictKind.REJECT)
        assert by_key(store)["a"].trigger.condition == "always"
        store.decide(name, VerdictKind.RESTORE)
        assert (by_key(store)["a"].state, by_key(store)["a"].trigger.condition) == (LessonState.ACTIVE, "always")


class TestUndo:
    """Taking back."""

    @pytest.mark.parametrize("kind", [kind for kind in VerdictKind if kind is not VerdictKind.UNDO])
    def test_undo_takes_back_the_last_word(
        self, desk: Desk, store: Store, make_finding: Make, kind: VerdictKind
    ) -> None:
        """After any decision `undo` leaves the lessons as they were before it, and then undoes the one before."""
        learned(desk, store, make_finding("a", "u1"), make_finding("b", "u2"), session="s1")
        name, other = by_key(store)["a"].id, by_key(store)["b"].id
        store.decide(name, VerdictKind.ARCHIVE)
        before = unchanging(store)
        if kind is VerdictKind.EDIT:
            store.edit(name, Words(action="other"))
        elif kind is VerdictKind.MERGE:
            store.merge(name, other)
        else:
            store.decide(name, kind)
        store.decide(name, VerdictKind.UNDO)
        assert unchanging(store) == before
        store.decide(name, VerdictKind.UNDO)
        assert by_key(store)["a"].state is LessonState.ACTIVE
        with pytest.raises(UsageError):
            store.decide(name, VerdictKind.UNDO)


class TestMerges:
    """Two lessons that a person calls one."""

    def test_in_any_order(self, desk: Desk, make_finding: Make) -> None:
        """Whether sessions are met before or after the merge: their findings count for the lesson that was kept."""
        stores = []
        kept = replace(make_finding("kept", "u1", action="the kept words"), needs=3)
        gone = replace(make_finding("gone", "u2", tags=("extra",)), strength=0.9, needs=3)
        again = replace(make_finding("gone", "u3"), strength=0.9, needs=3)
        for number, order in enumerate(permutations([("s2", gone), ("s3", again)])):
            for merged_after in range(3):
                desk.path = desk.path.with_name(f"{number}-{merged_after}.db")
                desk.after.clear()
                store = desk.open()
                # A sighting of both, so that the merge can be said at any moment.
                learned(desk, store, kept, make_finding("gone", "u0"), session="s1")
                for step in range(3):
                    if step == merged_after:
                        store.merge(by_key(store)["gone"].id, by_key(store)["kept"].id)
                    if step < 2:
                        learned(desk, store, order[step][1], session=order[step][0])
                stores.append(unchanging(store))
                store.rederive()
                assert unchanging(store) == stores[-1]
        assert all(one == stores[0] for one in stores)
        found = {one.merge_key: one for one in stores[0]}
        assert found["gone"].state is LessonState.ARCHIVED
        assert found["kept"].support == 3
        assert found["kept"].state is LessonState.ACTIVE
        assert found["kept"].action.description == "the kept words"
        assert "extra" in found["kept"].tags

    def test_evidence_and_way_back(self, desk: Desk, store: Store, make_finding: Make) -> None:
        """The kept lesson shows the other's evidence too; `restore` parts them again."""
        learned(desk, store, make_finding("a", "u1"), make_finding("b", "u2"), session="s1")
        before = unchanging(store)
        a, b = by_key(store)["a"], by_key(store)["b"]
        after = store.merge(a.id, b.id)
        assert after is not None
        assert after.id == b.id
        assert {e.uid for stored in store.evidence(b.id) for e in stored.finding.evidence} == {"u1", "u2"}
        store.decide(a.id, VerdictKind.RESTORE)
        assert unchanging(store) == before

    def test_chains_and_circles(self, desk: Desk, store: Store, make_finding: Make, teapot: ProjectRef) -> None:
        """A lesson merged into a merged one counts for the last; circles and other projects are refused."""
        learned(desk, store, *(make_finding(key, f"u{key}") for key in "abc"), session="s1")
        learned(desk, store, make_finding("d", "u9"), session="s9", project=teapot)
        ids = {key: lesson.id for key, lesson in by_key(store).items()}
        store.merge(ids["a"], ids["b"])
        store.merge(ids["b"], ids["c"])
        assert len(store.evidence(ids["c"])) == 3
        before = unchanging(store)
        for other in ("a", "b", "c", "d"):
            with pytest.raises(UsageError):
                store.merge(ids["c"], ids[other])
        with pytest.raises(UsageError):
            store.merge(ids["c"], "no such id")
        assert unchanging(store) == before
        # A circle by way of undo: b's merge was overruled, c was merged into a, then b's overruling is taken back.
        store.decide(ids["b"], VerdictKind.APPROVE)
        store.merge(ids["c"], ids["a"])
        with pytest.raises(UsageError):
            store.decide(ids["b"], VerdictKind.UNDO)
        assert by_key(store)["b"].state is LessonState.ACTIVE


class TestFeedback:
    """What agents say."""

    def test_one_word_for_a_session_and_no_verdict(self, desk: Desk, store: Store, make_finding: Make) -> None:
        """A session's last word counts once; however many dislike a lesson, its state stays; it outlives the row."""
        learned(desk, store, make_finding("a", "u1"), session="s1")
        name = by_key(store)["a"].id
        for _ in range(3):
            assert store.say(name, "x", helpful=False, note="did not apply").feedback == -1
        assert store.say(name, "x", helpful=True).feedback == 1
        for session in range(20):
            store.say(name, f"y{session}", helpful=False)
        lesson = by_key(store)["a"]
        assert (lesson.feedback, lesson.state) == (-19, LessonState.ACTIVE)
        assert len(store.opinions(lesson)) == 21
        assert not store.is_judged(lesson)
        log = desk.log(store, "s1.jsonl", number_of("s1"))
        desk.commit(store, log, restart=True, session="s1")
        assert by_key(store) == {}
        learned(desk, store, make_finding("a", "u1"), session="s2")
        assert by_key(store)["a"].feedback == -19
        with pytest.raises(UsageError):
            store.say("no such id", "x", helpful=True)


def foreign(finding: Finding, *sessions: str, project: str = "kettle") -> Foreign:
    """A finding from elsewhere, seen in these sessions."""
    spans = tuple(Span(7, 8) for _ in finding.evidence)
    times = tuple(5.0 for _ in finding.evidence)
    seen = tuple(Abroad(f"/home/lea/{session}.jsonl", session, 0, spans, times) for session in sessions)
    return Foreign(project, finding, 3, seen)


class TestImports:
    """Lessons from elsewhere."""

    def test_they_wait_and_stay(self, desk: Desk, store: Store, make_finding: Make) -> None:
        """An imported lesson waits for a person however many sessions it claims, survives deriving, and counts once."""
        for _ in range(2):
            store.take_in([foreign(make_finding("a", "f1"), "f1", "f2"), foreign(make_finding("a", "f3"), "f3")])
        store.rederive()
        lesson = by_key(store)["a"]
        assert (lesson.state, lesson.support, lesson.distiller) == (LessonState.PENDING, 2, "import")
        logs = [store.path(seen.log_id) for stored in store.evidence(lesson.id) for seen in stored.sightings]
        assert {str(log) for log in logs} == {f"import:/home/lea/f{number}.jsonl" for number in (1, 2, 3)}
        store.decide(lesson.id, VerdictKind.APPROVE)
        assert by_key(store)["a"].state is LessonState.ACTIVE
        assert store.present() == []
        del desk

    def test_they_add_nothing_but_evidence_to_what_is_known(self, desk: Desk, store: Store, make_finding: Make) -> None:
        """A file cannot make a lesson of this machine active, surer or other; nor wake a tombstone; in either order."""
        own = replace(make_finding("a", "u1"), needs=2)
        loud = replace(make_finding("a", "f1", action="SHOUT"), strength=1.0)
        learned(desk, store, own, session="s1")
        before = by_key(store)["a"]
        store.take_in([foreign(loud, "f1", "f2", "f3")])
        assert by_key(store)["a"] == before
        assert len(store.evidence(before.id)) == 2
        store.take_in([foreign(replace(loud, merge_key="b"), "f1", "f2", "f3")])
        learned(desk, store, replace(own, merge_key="b"), session="s2")
        assert by_key(store)["b"].action == before.action
        store.decide(before.id, VerdictKind.REJECT)
        store.take_in([foreign(make_finding("a", "f9"), "f9")])
        assert by_key(store)["a"].state is LessonState.REJECTED

    def test_they_are_never_global(self, desk: Desk, store: Store, make_finding: Make) -> None:
        """A file that tells of two projects makes nothing global."""
        store.take_in([foreign(make_finding("a", "f1"), "f1"), foreign(make_finding("a", "f2"), "f2", project="urn")])
        assert {one.scope for one in store.lessons(None, state=None, everywhere=True)} == {"project"}
        del desk

"""Deliveries: taken in once, judged by stored facts, and what follows for a lesson that is ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from zlib import crc32

from msgspec.structs import replace

from selfdistill.model import Cursor, Finding, Lesson, LessonState, Mishap, Stat
from selfdistill.recall.effects import ignored
from selfdistill.store import WEEK_SECONDS, Absorbed, Delivery, Store, Telling, VerdictKind
from selfdistill.store.database import Database, connect
from selfdistill.store.migrations import MIGRATIONS, migrate

if TYPE_CHECKING:
    from unit.store.conftest import Desk

MakeFinding = Callable[..., Finding]
CAUSE = "unknown_option kettle --boil"


def judging(desk: Desk) -> Store:
    """An open store that archives what is ignored, as the program's own does."""
    store = Store.open(desk.path, derive=desk.derive, clock=desk.clock, ignored=ignored)
    desk.stores.append(store)
    return store


def learn(desk: Desk, store: Store, make_finding: MakeFinding) -> str:
    """Learn the only lesson in session "first", at 1,000 s; its id."""
    known = replace(make_finding("kettle --boil", "u1"), covers=(CAUSE,))
    desk.commit(store, desk.log(store, "first.jsonl", 1), known, session="first")
    return the_lesson(store).id


def the_lesson(store: Store) -> Lesson:
    """The only lesson, in whatever state."""
    (lesson,) = store.lessons(None, state=None, everywhere=True)
    return lesson


def absorb(store: Store, lesson: str, *sessions: str, at: float = 1_500.0) -> Absorbed:
    """The lesson was told in these sessions."""
    return store.absorb([Delivery(lesson, session, at) for session in sessions], [], "heuristic")


def fail(desk: Desk, store: Store, session: str, began: float = 1_999.0) -> None:
    """A session in which the lesson's failure comes."""
    log = desk.log(store, f"{session}.jsonl", crc32(session.encode()))
    desk.commit(store, log, session=session, mishaps=[Mishap(f"m {session}", CAUSE, 2_000.0, began=began)])


def stat_at(ended: float) -> Stat:
    """What stat says of a log that changed last at this time (seconds)."""
    return Stat(dev=1, ino=int(ended), size=1_000, mtime_ns=int(ended * 1e9), ctime_ns=1)


def test_a_line_is_taken_in_once(desk: Desk, store: Store, make_finding: MakeFinding) -> None:
    """A process killed before it deleted the file takes the same lines in again: nothing changes."""
    lesson = learn(desk, store, make_finding)
    lines = [Delivery(lesson, "s", 5.0), Delivery("feedbeef", "s", 5.0), Delivery(lesson, "t", 5.0)]
    assert store.absorb(lines, [b"{broken"], "heuristic") == Absorbed(new=2, known=0, unknown=1, damaged=1)
    assert store.absorb(lines, [b"{broken"], "heuristic") == Absorbed(new=0, known=3, unknown=0, damaged=0)
    assert store.spoiled_lines() == {"damaged line": 1, "unknown lesson": 1}
    assert store.telling() == Telling(deliveries=2)


def test_of_two_tellings_in_a_session_the_first_counts(desk: Desk, store: Store, make_finding: MakeFinding) -> None:
    """Also when it is taken in last: what failed between the two came although the lesson had been told."""
    lesson = learn(desk, store, make_finding)
    fail(desk, store, "s", began=1_999.0)
    absorb(store, lesson, "s", at=2_500.0)
    assert the_lesson(store).recurred_told == 0
    absorb(store, lesson, "s", at=1_500.0)
    assert the_lesson(store).recurred_told == 1


def test_only_failures_that_the_lesson_covers_speak_against_it(
    desk: Desk, store: Store, make_finding: MakeFinding
) -> None:
    """A session that fails for another reason, or was never told, blames nobody."""
    lesson = learn(desk, store, make_finding)
    absorb(store, lesson, "other reason")
    log = desk.log(store, "other.jsonl", 7)
    desk.commit(store, log, session="other reason", mishaps=[Mishap("x", "another cause", 2_000.0, began=1_999.0)])
    fail(desk, store, "untold")
    found = the_lesson(store)
    assert (found.helped, found.recurred_told, found.recurred) == (0, 0, 1)


def test_a_call_that_went_well_is_what_helps(desk: Desk, store: Store, make_finding: MakeFinding) -> None:
    """Any log of the session may show it; pieces of a log add up; without an opportunity nothing can be told."""
    lesson = learn(desk, store, make_finding)
    absorb(store, lesson, "s", "t", "u")
    told = {session: store.told_in(session)[0].number for session in "stu"}
    quiet, busy, helper = (desk.log(store, name, number) for number, name in enumerate(("q", "b", "h"), 20))
    desk.commit(store, quiet, session="s", chances={told["s"]: 0})
    desk.commit(store, busy, session="t", chances={told["t"]: 0})
    assert the_lesson(store).helped == 0
    desk.commit(store, helper, session="t", chances={told["t"]: 2})
    desk.commit(store, busy, session="t", chances={told["t"]: 1})
    assert the_lesson(store).helped == 1
    desk.commit(store, helper, session="t", restart=True, chances={told["t"]: 0})
    assert the_lesson(store).helped == 1, "the other log still shows it"
    desk.commit(store, busy, session="t", restart=True, chances={told["t"]: 0})
    assert the_lesson(store).helped == 0
    assert store.telling() == Telling(deliveries=3)


def test_a_log_that_was_read_too_early_owes_a_look_back(
    desk: Desk, store: Store, make_finding: MakeFinding, make_cursor: Callable[[int], Cursor]
) -> None:
    """Also where the delivery came in between reading and committing; what cannot be read again is left unknown."""
    lesson = learn(desk, store, make_finding)
    early, between = desk.log(store, "early.jsonl", 20), desk.log(store, "between.jsonl", 21)
    desk.commit(store, early, session="s")
    assert store.to_look_back() == []
    absorb(store, lesson, "s", at=desk.clock.now - 1)
    desk.commit(store, between, session="s", chances={})  # its reader did not know of the delivery
    assert [log.id for log in store.to_look_back()] == [early, between]
    number = store.told_in("s")[0].number
    assert not store.looked_back(early, "heuristic", make_cursor(777), {number: 3}), "it was distilled meanwhile"
    assert the_lesson(store).helped == 0
    assert store.looked_back(early, "heuristic", desk.after[early, "heuristic"], {number: 3})
    assert the_lesson(store).helped == 1
    assert store.looked_back(between, "heuristic", None, {})
    assert store.to_look_back() == []


def test_a_lesson_that_is_ignored_is_archived_with_the_reason(desk: Desk, make_finding: MakeFinding) -> None:
    """Told in three sessions, failed in all three: it is told no more, and says why."""
    store = judging(desk)
    lesson = learn(desk, store, make_finding)
    absorb(store, lesson, "a", "b", "c")
    fail(desk, store, "a")
    fail(desk, store, "b")
    assert (the_lesson(store).state, the_lesson(store).reason) == (LessonState.ACTIVE, "")
    fail(desk, store, "c")
    found = the_lesson(store)
    assert (found.state, found.recurred_told) == (LessonState.ARCHIVED, 3)
    assert found.reason == "told in 3 sessions where its failure could come, it came in 3 all the same"
    assert store.telling().ignored == 1


def test_a_person_who_restores_it_has_the_last_word(desk: Desk, make_finding: MakeFinding) -> None:
    """Whatever comes later: it is never archived of itself again, unless that word is taken back."""
    store = judging(desk)
    lesson = learn(desk, store, make_finding)
    absorb(store, lesson, "a", "b", "c", "d")
    for session in "abc":
        fail(desk, store, session)
    restored = store.decide(lesson, VerdictKind.RESTORE)
    assert restored is not None
    assert (restored.state, restored.reason) == (LessonState.ACTIVE, "")
    fail(desk, store, "d")
    assert (the_lesson(store).state, the_lesson(store).recurred_told) == (LessonState.ACTIVE, 4)
    store.decide(lesson, VerdictKind.UNDO)
    assert the_lesson(store).state is LessonState.ARCHIVED


def test_a_persons_approval_goes_before_figures(desk: Desk, make_finding: MakeFinding) -> None:
    """What a person made active stays so; what a person rejected is no ignored lesson."""
    store = judging(desk)
    lesson = learn(desk, store, make_finding)
    store.decide(lesson, VerdictKind.APPROVE)
    absorb(store, lesson, "a", "b", "c")
    for session in "abc":
        fail(desk, store, session)
    assert the_lesson(store).state is LessonState.ACTIVE
    store.decide(lesson, VerdictKind.REJECT)
    assert (the_lesson(store).state, the_lesson(store).reason) == (LessonState.REJECTED, "")


def test_a_told_lesson_is_held_against_the_sessions_that_did_not_hear_it(
    desk: Desk, store: Store, make_finding: MakeFinding
) -> None:
    """Sessions of its project before it was learned and later ones; neither the first one nor those that were told."""
    lesson = learn(desk, store, make_finding)
    absorb(store, lesson, "told")
    fail(desk, store, "told")
    for name, ended, fails in (
        ("old", 500, True),
        ("older", 400, False),
        ("new", 3_000, True),
        ("newer", 4_000, False),
    ):
        log = store.see("codex", name, desk.path / name, stat_at(ended), changed_at=1.0, pending_since=1.0)
        mishaps = [Mishap(f"m {name}", CAUSE, float(ended))] if fails else []
        desk.commit(store, log, session=name, mishaps=mishaps, looked=stat_at(ended))
    (use,) = store.uses()
    assert (use.lesson.id, use.told, use.before, use.untold) == (lesson, 1, (1, 2), (1, 2))
    assert store.uses("another project") == []


def test_failures_are_counted_by_week(desk: Desk, store: Store, make_finding: MakeFinding) -> None:
    """A copy counts once; what had come in another session is a repeat, and known if a lesson covered it by then."""
    learn(desk, store, make_finding)
    later = 1_000.0 + WEEK_SECONDS
    for name, cause, at in (
        ("a", CAUSE, later),
        ("copy of a", CAUSE, later + 1),
        ("b", CAUSE, later + 5),
        ("c", "new", later + WEEK_SECONDS),
    ):
        uid = f"m {name.removeprefix('copy of ')}"
        desk.commit(store, desk.log(store, f"{name}.jsonl", crc32(name.encode())), session=name,
                    mishaps=[Mishap(uid, cause, at)])  # fmt: skip
    weeks = store.weeks(1_000.0, 4)
    assert [(week.failures, week.again, week.known) for week in weeks] == [(0, 0, 0), (2, 1, 2), (1, 0, 0), (0, 0, 0)]
    assert weeks[1].start == later
    assert not any(week.failures for week in store.weeks(1_000.0, 4, "another project"))


def test_an_older_store_learns_whose_logs_it_knows(desk: Desk) -> None:
    """The migration fills in what every log counts for, and its project where findings or failures tell it."""
    database = Database(connect(desk.path, busy_seconds=1, options="mode=rwc"), desk.path)
    migrate(database, desk.clock, MIGRATIONS[:4])
    for log, (session, parent, machine_run) in enumerate((("s", "", 0), ("agent", "s", 1), ("", "", 0)), 1):
        database.run(
            "INSERT INTO logs(source, directory, name, session_hint, session, parent_session, machine_run, dev, ino,"
            " size, mtime_ns, ctime_ns, changed_at) VALUES ('codex', x'00', ?, 'hint', ?, ?, ?, 1, 1, 1, 1, 1, 1)",
            (b"%d" % log, session, parent, machine_run),
        )
    database.run("INSERT INTO mishaps VALUES ('kettle', 'c', 'u', 1, 'heuristic', 0, 's', 5.0)")
    migrate(database, desk.clock, MIGRATIONS[:5])
    rows = database.rows("SELECT counts_for, project FROM logs ORDER BY id")
    assert rows == [("s", "kettle"), ("s", ""), ("hint", "")]
    assert database.rows("SELECT coalesce(began, at) FROM mishaps") == [(5.0,)]
    database.close()

"""Failures that come again although a lesson knows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from selfdistill.model import Finding, Mishap

if TYPE_CHECKING:
    from selfdistill.store import Store
    from unit.store.conftest import Desk

MakeFinding = Callable[..., Finding]


def recurred(store: Store) -> int:
    """How often the only lesson's failure came again."""
    (lesson,) = store.lessons(None, state=None, everywhere=True)
    return lesson.recurred


def test_a_lesson_counts_the_later_sessions_that_failed_again(
    desk: Desk, store: Store, make_finding: MakeFinding
) -> None:
    """Only other sessions, only later failures, only causes the lesson covers, and a session counts once."""
    known = replace(make_finding("kettle --boil", "u1"), covers=("unknown_option kettle --boil",))
    first, second, third = (desk.log(store, f"s{number}.jsonl", number) for number in (1, 2, 3))
    again = [Mishap(f"v{at}", "unknown_option kettle --boil", float(at)) for at in (1500, 1600)]
    desk.commit(store, second, session="second", mishaps=[*again, Mishap("v9", "another cause", 1700.0)])
    desk.commit(
        store, first, known, session="first", mishaps=[Mishap("u1", "unknown_option kettle --boil", 1000.0), again[0]]
    )
    assert recurred(store) == 1, "met before the lesson was, and counted all the same"
    desk.commit(store, third, session="third", mishaps=[Mishap("w", "unknown_option kettle --boil", 900.0)])
    assert recurred(store) == 1, "it failed before the lesson was known"
    desk.commit(store, third, session="third", mishaps=[Mishap("w2", "unknown_option kettle --boil", 2000.0)])
    assert recurred(store) == 2


def test_a_copied_failure_came_once(desk: Desk, store: Store, make_finding: MakeFinding) -> None:
    """A resumed log repeats the failures of the log it was resumed from: they came once."""
    known = replace(make_finding("kettle --boil", "u1"), covers=("c",))
    desk.commit(store, desk.log(store, "s1.jsonl", 1), known, session="first")
    for number in (2, 3):
        log = desk.log(store, f"s{number}.jsonl", number)
        desk.commit(store, log, session=f"copy {number}", mishaps=[Mishap("v", "c", 2000.0)])
    assert recurred(store) == 1


def test_a_log_read_anew_brings_its_failures_anew(desk: Desk, store: Store, make_finding: MakeFinding) -> None:
    """`run --again` replaces what an older version of the rules saw."""
    known = replace(make_finding("kettle --boil", "u1"), covers=("c",))
    desk.commit(store, desk.log(store, "s1.jsonl", 1), known, session="first")
    second = desk.log(store, "s2.jsonl", 2)
    desk.commit(store, second, session="second", mishaps=[Mishap("v", "c", 2000.0)])
    assert recurred(store) == 1
    desk.commit(store, second, session="second", restart=True, version=2)
    assert recurred(store) == 0


def test_lessons_that_choose_the_other_way_round_contradict(
    desk: Desk, store: Store, make_finding: MakeFinding
) -> None:
    """Opposites are told to whoever looks at either of them; a rejected one contradicts nothing."""
    log = desk.log(store, "s1.jsonl", 1)
    one = replace(make_finding("use kettle", "u1"), prefers="kettle", over="pot")
    other = replace(make_finding("use pot", "u2"), prefers="pot", over="kettle")
    desk.commit(store, log, one, other, replace(make_finding("use tea", "u3"), prefers="tea", over="pot"))
    lessons = {lesson.prefers: lesson for lesson in store.lessons(None, state=None, everywhere=True)}
    assert store.contradicting(lessons["kettle"]) == [lessons["pot"]]
    assert store.contradicting(lessons["pot"]) == [lessons["kettle"]]
    assert store.contradicting(lessons["tea"]) == []


def test_similar_lessons_are_linked_not_merged(desk: Desk, store: Store, make_finding: MakeFinding) -> None:
    """Two keys with nearly the same words stay two lessons that name each other."""
    log = desk.log(store, "s1.jsonl", 1)
    said = "never boil the kettle dry in this kitchen"
    desk.commit(
        store,
        log,
        make_finding("k1", "u1", condition="about to boil water", action=said),
        make_finding("k2", "u2", condition="about to boil the water", action=f"please {said}"),
        make_finding("k3", "u3", condition="about to wash up", action="use the left sink"),
    )
    lessons = {lesson.merge_key: lesson for lesson in store.lessons(None, state=None, everywhere=True)}
    assert store.similar(lessons["k1"]) == [lessons["k2"]]
    assert store.similar(lessons["k3"]) == []

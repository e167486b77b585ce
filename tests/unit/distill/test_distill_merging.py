"""Lessons out of findings: the same whatever the order, and a copy never confirms itself."""

from __future__ import annotations

import itertools
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from selfdistill.distill.merging import CERTAINTY, MOST_POINTS, confidence, derive, independent_sessions, lesson_id
from selfdistill.model import (
    Action,
    ActionType,
    Evidence,
    Finding,
    LessonState,
    Point,
    Polarity,
    Sighting,
    Span,
    StoredFinding,
    Trigger,
    TriggerType,
)


def stored(
    number: int,
    sessions: tuple[str, ...],
    uids: tuple[str, ...],
    *,
    strength: float = 0.5,
    needs: int = 2,
    points: str = "",
    covers: tuple[str, ...] = (),
) -> StoredFinding:
    """A finding as the store keeps it; each letter of `points` is one point's cause."""
    finding = Finding(
        rule="command_repair",
        merge_key="key",
        signal=Polarity.NEGATIVE,
        trigger=Trigger(f"condition {number}", TriggerType.ERROR_REPORT),
        action=Action(ActionType.DO, f"action {number}"),
        evidence=tuple(Evidence(uid, Span(0, 1), "quote", "error") for uid in uids),
        strength=strength,
        needs=needs,
        tags=(f"tag{number}",),
        covers=covers,
        points=tuple(Point(cause, f"text of {cause}") for cause in points),
    )
    sightings = tuple(
        Sighting(index, 0, session, (Span(0, 1),) * len(uids), (float(number),) * len(uids))
        for index, session in enumerate(sessions)
    )
    return StoredFinding(f"id{number}", "heuristic", 1, "/p", "", finding, sightings)


def test_no_findings_make_no_lesson() -> None:
    """A lesson that nothing supports does not exist."""
    assert derive([]) is None


def test_the_order_of_findings_never_shows() -> None:
    """Every permutation gives the same lesson; the strongest finding words it."""
    findings = [
        stored(1, ("a",), ("u1",)),
        stored(2, ("b",), ("u2",), strength=0.7),
        stored(3, ("c",), ("u3",), strength=0.7),
    ]
    lessons = {repr(derive(order)) for order in itertools.permutations(findings)}
    assert len(lessons) == 1
    lesson = derive(findings)
    assert lesson is not None
    assert lesson.action.description == "action 2"
    assert (lesson.first_seen, lesson.last_seen) == (1.0, 3.0)
    assert lesson.tags == ("tag1", "tag2", "tag3")


def test_the_model_is_that_of_the_strongest_finding_that_has_one() -> None:
    """Whatever the order, a lesson names the model that told it best, also where a rule of ours words it."""
    told = [
        replace(one, distiller="llm", finding=replace(one.finding, model=model))
        for one, model in (
            (stored(1, ("a",), ("u1",), strength=0.3), "claude-a"),
            (stored(2, ("b",), ("u2",), strength=0.6), "claude-c"),
            (stored(3, ("c",), ("u3",), strength=0.6), "claude-b"),
        )
    ]
    ruled = stored(4, ("d",), ("u4",), strength=0.9)
    for order in itertools.permutations((*told, ruled)):
        lesson = derive(order)
        assert lesson is not None
        assert (lesson.model, lesson.distiller) == ("claude-c", "heuristic")
    alone, without = derive(told), derive([ruled])
    assert alone is not None
    assert without is not None
    assert (alone.model, alone.distiller, without.model) == ("claude-c", "llm", "")


def test_two_sessions_make_a_waiting_lesson_active() -> None:
    """What needs two independent sessions waits for the second."""
    one, two = stored(1, ("a",), ("u1",)), stored(2, ("b",), ("u2",))
    alone, both = derive([one]), derive([one, two])
    assert alone is not None
    assert both is not None
    assert (alone.state, alone.support) == (LessonState.PENDING, 1)
    assert (both.state, both.support) == (LessonState.ACTIVE, 2)


def test_a_copy_never_confirms_itself() -> None:
    """A finding seen in a fork of its session, or sharing a record with another session's, counts once."""
    assert independent_sessions([stored(1, ("a", "fork of a"), ("u1",))]) == 1
    assert independent_sessions([stored(1, ("a",), ("u1", "u2")), stored(2, ("b",), ("u2", "u3"))]) == 1
    assert independent_sessions([stored(1, ("a",), ("u1",)), stored(2, ("b",), ("u3",))]) == 2


def test_one_session_counts_once_however_often_it_errs() -> None:
    """Ten findings of one session are one session's support."""
    assert independent_sessions([stored(number, ("a",), (f"u{number}",)) for number in range(10)]) == 1


@given(st.floats(0, 0.99), st.integers(1, 50))
def test_confidence_grows_with_support_and_never_reaches_certainty(strength: float, support: int) -> None:
    """More independent sessions make a lesson surer, none makes it certain."""
    here, more = confidence(strength, support), confidence(strength, support + 1)
    assert 0 <= here <= more <= CERTAINTY


def test_identity_is_project_and_key_never_wording() -> None:
    """The id depends on nothing but project and merge key."""
    one, other = derive([stored(1, ("a",), ("u1",))]), derive([stored(9, ("z",), ("u9",), strength=0.9)])
    assert one is not None
    assert other is not None
    assert one.id == other.id == lesson_id("/p", "key")
    assert lesson_id("/p", "key") != lesson_id("/q", "key")


def described(findings: list[StoredFinding]) -> str:
    """What the lesson of these findings says to do."""
    lesson = derive(findings)
    assert lesson is not None
    return lesson.action.description


def test_points_are_listed_by_the_sessions_that_showed_them() -> None:
    """Most sessions first, ties by cause; a number stands only where more than one session counts."""
    findings = [
        stored(1, ("a",), ("u1",), points="zb"),
        stored(2, ("b",), ("u2",), points="z"),
        stored(3, ("c",), ("u3",), points="za"),
    ]
    assert described(findings) == "action 1 text of z, 3 sessions; text of a; text of b."


def test_a_copy_of_a_session_raises_no_point() -> None:
    """A fork, and a session that shares a record, count once, for each point alone."""
    copies = [
        stored(1, ("a", "fork of a"), ("u1", "u2"), points="xy"),
        stored(2, ("resumed a",), ("u2", "u3"), points="x"),
        stored(3, ("b",), ("u4",), points="y"),
    ]
    assert described(copies) == "action 1 text of y, 2 sessions; text of x."


def test_the_list_is_short_and_covers_what_it_lists() -> None:
    """At most six points; what the findings cover and what is listed is covered, what is left out is not."""
    lesson = derive([stored(1, ("a",), ("u1",), points="hgfedcba", covers=("q",))])
    assert lesson is not None
    assert lesson.covers == (*"abcdef", "q")
    assert len(lesson.covers) == MOST_POINTS + 1
    assert lesson.action.description == f"action 1 {'; '.join(f'text of {cause}' for cause in 'abcdef')}."


def test_a_point_is_worded_the_same_in_any_order() -> None:
    """Two wordings of one cause are one point, and which of them stands does not hang on the order."""
    one, other = (
        replace(each, finding=replace(each.finding, points=(Point("x", text),)))
        for each, text in ((stored(1, ("a",), ("u1",)), "worded so"), (stored(2, ("b",), ("u2",)), "or so"))
    )
    assert described([one, other]) == described([other, one]) == "action 1 or so, 2 sessions."


def test_findings_without_points_change_no_words() -> None:
    """An action without a list stands as it was found."""
    assert described([stored(1, ("a",), ("u1",))]) == "action 1"


@st.composite
def listing_findings(draw: st.DrawFn) -> list[StoredFinding]:
    """Findings of sessions that may be copies of each other, each with some points."""
    made = []
    for number in range(draw(st.integers(1, 7))):
        sessions = tuple(draw(st.lists(st.sampled_from("stuv"), min_size=1, max_size=2, unique=True)))
        uids = tuple(draw(st.lists(st.sampled_from("123456"), min_size=1, max_size=2, unique=True)))
        points = "".join(draw(st.lists(st.sampled_from("abcdefgh"), max_size=4, unique=True)))
        made.append(stored(number, sessions, uids, points=points))
    return made


@given(listing_findings(), st.randoms(use_true_random=False))
def test_the_list_is_the_same_in_any_order_and_counts_each_session_once(
    findings: list[StoredFinding], random: Random
) -> None:
    """Permutations and repeated sightings change nothing, and each number is that of independent sessions."""
    lesson = derive(findings)
    shuffled = [*findings, *findings[:2]]
    random.shuffle(shuffled)
    assert derive(shuffled) == lesson
    assert lesson is not None
    shown = {
        cause: independent_sessions([one for one in findings if cause in {point.cause for point in one.finding.points}])
        for one in findings
        for cause in (point.cause for point in one.finding.points)
    }
    best = sorted(shown, key=lambda cause: (-shown[cause], cause))[:MOST_POINTS]
    assert lesson.covers == tuple(sorted(best))
    counted = [f"text of {cause}" + (f", {shown[cause]} sessions" if shown[cause] > 1 else "") for cause in best]
    _, _, told = lesson.action.description.removeprefix("action ").partition(" ")
    assert told == (f"{'; '.join(counted)}." if best else "")

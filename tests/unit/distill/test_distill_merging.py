"""Lessons out of findings: the same whatever the order, and a copy never confirms itself."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from selfdistill.distill.merging import CERTAINTY, confidence, derive, independent_sessions, lesson_id
from selfdistill.model import (
    Action,
    ActionType,
    Evidence,
    Finding,
    LessonState,
    Polarity,
    Sighting,
    Span,
    StoredFinding,
    Trigger,
    TriggerType,
)


def stored(
    number: int, sessions: tuple[str, ...], uids: tuple[str, ...], *, strength: float = 0.5, needs: int = 2
) -> StoredFinding:
    """A finding as the store keeps it."""
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

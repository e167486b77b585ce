"""Whether a lesson helps: the rule, against the figures of a table and of dice."""

from __future__ import annotations

import random

import pytest

from selfdistill.recall.effects import Share, Standing, effect, ignored, mostly_fails, probability_less

NOTHING = Share()


@pytest.mark.parametrize(
    ("failed", "sessions", "mostly"),
    [(0, 0, False), (2, 2, False), (3, 3, True), (3, 4, False), (4, 4, True), (4, 5, False), (5, 6, True)],
)
def test_few_failures_are_no_habit(failed: int, sessions: int, mostly: bool) -> None:
    """More than half of the sessions must fail with a probability of 0.9; two of two could be an accident."""
    assert mostly_fails(Share(failed, sessions)) is mostly
    assert bool(ignored(sessions - failed, failed)) is mostly


def test_why_a_lesson_is_ignored_is_said_in_figures() -> None:
    """The reason names both counts."""
    assert ignored(1, 6) == "told in 7 sessions where its failure could come, it came in 6 all the same"


@pytest.mark.parametrize(
    ("one", "other"), [(Share(0, 10), Share(8, 40)), (Share(3, 4), Share(1, 9)), (Share(), Share())]
)
def test_the_probability_is_that_of_two_beta_distributions(one: Share, other: Share) -> None:
    """The finite sum gives what drawing from both distributions gives, and both orders together are certain."""
    dice = random.Random(6)  # noqa: S311 - no secret
    draws = 40_000
    less = sum(
        dice.betavariate(one.failed + 1, one.sessions - one.failed + 1)
        < dice.betavariate(other.failed + 1, other.sessions - other.failed + 1)
        for _ in range(draws)
    )
    assert probability_less(one, other) == pytest.approx(less / draws, abs=0.01)
    assert probability_less(one, other) + probability_less(other, one) == pytest.approx(1.0)


def test_a_lesson_helps_where_told_sessions_fail_less() -> None:
    """Sessions before it was learned and later ones that did not hear it are the measure, together."""
    assert effect(Share(8, 20), Share(8, 20), Share(0, 10)).standing is Standing.HELPING
    assert effect(Share(8, 20), NOTHING, Share(0, 3)).standing is Standing.UNPROVEN
    assert effect(NOTHING, NOTHING, Share(0, 50)).standing is Standing.UNPROVEN, "there is nothing to compare with"


def test_a_lesson_is_not_blamed_for_a_share_that_others_have_too() -> None:
    """Only failing in more than half of the sessions that could heed it counts against it, unless others do worse."""
    assert effect(Share(1, 30), NOTHING, Share(2, 8)).standing is Standing.UNPROVEN
    assert effect(Share(1, 30), NOTHING, Share(6, 7)).standing is Standing.NOT_HELPING
    assert effect(Share(30, 30), NOTHING, Share(14, 20)).standing is Standing.HELPING


def test_many_sessions_are_no_trouble() -> None:
    """Counts of years stay numbers."""
    assert effect(Share(3_000, 10_000), Share(4_000, 9_000), Share(500, 4_000)).standing is Standing.HELPING

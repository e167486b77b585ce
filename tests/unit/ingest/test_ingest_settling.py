"""Settling: what is due, and when to look again."""

from __future__ import annotations

import pytest

from selfdistill.config import Settling
from selfdistill.ingest.settling import Pending, due_at, first_sight, grown, is_due, looked_at, next_wake
from selfdistill.model import Turn

SETTINGS = Settling(settle_seconds=120, max_wait_minutes=30, open_call_hours=6)


@pytest.mark.parametrize(
    ("turn", "due"),
    [
        (Turn.ENDED, 0),
        (Turn.CLOSED, 120),
        (None, 120),
        (Turn.OPEN, 1800),
        (Turn.OPEN_CALL, 6 * 3600),
    ],
)
def test_quiet_time_depends_on_the_turn(turn: Turn | None, due: float) -> None:
    """Each way a turn can stand has its own quiet time."""
    pending = Pending(changed_at=0, pending_since=0, turn=turn)
    assert due_at(pending, SETTINGS) == due
    assert is_due(pending, SETTINGS, due)
    assert not is_due(pending, SETTINGS, due - 0.001) or turn is Turn.ENDED


@pytest.mark.parametrize("turn", [None, Turn.CLOSED, Turn.OPEN, Turn.OPEN_CALL])
def test_a_log_that_never_rests_is_due_at_the_longest_wait(turn: Turn | None) -> None:
    """Still growing when `max_wait_minutes` have passed since the first undistilled byte: due then, never starved."""
    assert due_at(Pending(changed_at=1795, pending_since=0, turn=turn), SETTINGS) == 1800


def test_the_longest_wait_does_not_cut_the_quiet_of_an_open_call_short() -> None:
    """A log that was already quiet at the longest wait waits on for its call."""
    assert due_at(Pending(changed_at=1000, pending_since=0, turn=Turn.OPEN_CALL), SETTINGS) == 1000 + 6 * 3600


def test_growing_forgets_the_turn_and_keeps_the_first_byte() -> None:
    """New bytes restart the quiet time, not the longest wait."""
    pending = grown(looked_at(first_sight(0, 50, 100), Turn.OPEN_CALL), 130)
    assert pending == Pending(changed_at=130, pending_since=50, turn=None)


def test_first_sight_counts_quiet_from_the_modification_time() -> None:
    """A log that lay still for a day when first met is due at once."""
    assert is_due(first_sight(modified=1_000_000, wall=1_086_400, now=5), SETTINGS, now=5)


def test_a_modification_time_in_the_future_is_now() -> None:
    """A forged or skewed time neither hastens nor delays."""
    assert first_sight(modified=9_999_999, wall=1000, now=5) == Pending(changed_at=5, pending_since=5)


def test_a_clock_set_back_and_forth_does_not_hasten() -> None:
    """The last change never moves back in time."""
    pending = grown(grown(Pending(changed_at=100, pending_since=100), 50), 110)
    assert due_at(pending, SETTINGS) == 230


def test_next_wake_is_the_earliest_of_all() -> None:
    """Due logs and retry times share one alarm; nothing pending needs none."""
    open_turn = Pending(changed_at=0, pending_since=0, turn=Turn.OPEN)
    assert next_wake([], [], SETTINGS, 10) is None
    assert next_wake([open_turn], [], SETTINGS, 10) == 1800
    assert next_wake([open_turn], [700, 900], SETTINGS, 10) == 700
    assert next_wake([open_turn], [5], SETTINGS, 10) == 10
    assert next_wake([looked_at(open_turn, Turn.ENDED)], [], SETTINGS, 10) == 10

"""Backoff, circuit breaker and blocked state, under a simulated clock."""

from __future__ import annotations

import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfdistill.distill.llm.patience import (
    BREAKER_CAP_SECONDS,
    CAP_SECONDS,
    Patience,
    Readiness,
    after_block,
    after_failure,
    after_rejection,
    after_success,
    is_open,
    readiness,
    retry_after_seconds,
    seconds_to_wait,
)

NOW = 1_795_000_000.0
HOUR = 3600
chances = st.floats(0, 1)


def outage(chance: float, retry_after: float | None = None) -> int:
    """How many calls an hour sees in which every call fails, looked at each second."""
    patience, calls = Patience(), 0
    for second in range(HOUR):
        if readiness(patience, NOW + second, "f") in {Readiness.READY, Readiness.PROBE}:
            calls += 1
            patience = after_failure(patience, NOW + second, chance, "529", retry_after=retry_after)
            patience = msgspec.json.decode(msgspec.json.encode(patience), type=Patience)  # as the store keeps it
    return calls


@pytest.mark.parametrize("chance", [0.0, 0.001, 0.5, 0.999])
def test_an_hour_of_outage_sees_few_calls(chance: float) -> None:
    """No luck of the dice makes more than 20 calls in an hour of outage; some are made."""
    assert 5 <= outage(chance) <= 20


def test_the_service_can_ask_for_an_hour() -> None:
    """`retry-after: 3600` is kept: one call."""
    assert outage(0.0, retry_after=3600) == 1


@given(st.lists(chances, min_size=1, max_size=60))
def test_waits_are_bounded(dice: list[float]) -> None:
    """Each failure waits at least a second and at most an hour, however many there were."""
    patience = Patience()
    for chance in dice:
        patience = after_failure(patience, NOW, chance, "down")
        assert 1 <= seconds_to_wait(patience, NOW) <= CAP_SECONDS


def test_many_failures_do_not_overflow() -> None:
    """After a weekend of failures a service that is back is noticed within 20 minutes."""
    patience = after_failure(Patience(failures=10_000), NOW, 0.3, "down")
    assert 600 <= seconds_to_wait(patience, NOW) <= BREAKER_CAP_SECONDS


def test_jitter_spreads_the_first_retries() -> None:
    """The wait after the first failures is any part of a growing time, so that many machines do not come at once."""
    dice = random.Random(7)  # noqa: S311 - a test
    waits = [seconds_to_wait(after_failure(Patience(failures=2), NOW, dice.random(), "x"), NOW) for _ in range(200)]
    assert min(waits) < 20
    assert max(waits) > 100


def test_breaker_lets_one_probe_through() -> None:
    """After five failures in a row the breaker is open; when its time is over one probe decides."""
    patience = Patience()
    for _ in range(5):
        assert not is_open(patience)
        patience = after_failure(patience, NOW, 0.0, "down")
    assert readiness(patience, NOW + 299, "f") is Readiness.WAITING
    assert readiness(patience, NOW + 301, "f") is Readiness.PROBE
    assert readiness(after_success(patience), NOW, "f") is Readiness.READY
    assert readiness(after_failure(patience, NOW + 301, 0.0, "down"), NOW + 301 + 599, "f") is Readiness.WAITING


def test_blocked_until_something_changes() -> None:
    """A wrong key blocks every call until key, model or address changes, but for one look an hour."""
    patience = after_block(Patience(), NOW, "old", "the key is not valid")
    assert readiness(patience, NOW + 3599, "old") is Readiness.BLOCKED
    assert readiness(patience, NOW + 1, "new") is Readiness.READY
    assert readiness(patience, NOW + 3601, "old") is Readiness.PROBE
    assert patience.blocked_by == "the key is not valid"


def test_refusals_of_single_requests_do_not_wait() -> None:
    """One request that is refused holds up nobody; five in a row show that what we send is wrong."""
    patience = Patience()
    for _ in range(4):
        patience = after_rejection(patience, NOW, 0.5, "400")
        assert readiness(patience, NOW, "f") is Readiness.READY
    assert readiness(after_rejection(patience, NOW, 0.5, "400"), NOW, "f") is Readiness.WAITING


@given(st.floats(allow_nan=True), chances)
def test_no_wish_silences_us_for_long(wish: float, chance: float) -> None:
    """Whatever `retry-after` says, the next call is at most an hour away."""
    patience = after_failure(Patience(), NOW, chance, "429", retry_after=wish)
    assert 0 < seconds_to_wait(patience, NOW) <= CAP_SECONDS
    assert math.isfinite(patience.not_before)


def test_clock_set_back_does_not_wait_for_ever() -> None:
    """A wait that would last longer than any we set is over."""
    patience = after_failure(Patience(), NOW, 0.9, "down")
    assert seconds_to_wait(patience, NOW - 86_400) == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1", 1.0),
        ("3600", 3600.0),
        ("0.5", 0.5),
        ("1000000000000", 1e12),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("Wed, 18 Nov 2026 09:06:50 GMT", 10.0),
        ("Wed, 18 Nov 2026 09:06:30 GMT", 0.0),
        ("Wed, 99 Nov 2026 09:06:30 GMT", None),
        ("Wed, 21 Oct", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str, seconds: float | None) -> None:
    """Seconds and dates are understood; nonsense is no wish."""
    assert retry_after_seconds(value, 1_794_992_800.0) == seconds

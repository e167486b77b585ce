"""The clock is set forth and back while a model is used: no second budget, no wait for a date that was wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from llm_homes import Kitchen, boiling, kitchen
from support.messages_server import Misbehaviour, Reply

DAY_SECONDS = 86_400.0
YEAR_SECONDS = 365 * DAY_SECONDS


@pytest.fixture
def place() -> Iterator[Kitchen]:
    """A HOME with one session and a model."""
    with kitchen() as made:
        yield made


def test_clock_set_back_gives_no_second_budget(place: Kitchen) -> None:
    """With the day's money spent, a clock that is set back gives none, and `status` says so; the days go on from it."""
    place.configure(daily_usd=0.02)
    place.server.otherwise = Reply(output_tokens=39_500)
    calls = []
    for seed, later_days in (("c1", 0), ("c2", -1), ("c3", -1), ("c4", 0), ("c5", 1), ("c6", 1)):
        place.later_seconds = later_days * DAY_SECONDS
        boiling(seed).write(place.home)
        place.manifest()
        calls.append(len(place.server.calls()))
        assert place.model()["state"] == "over_cap"
        assert ("before it was set back" in place.model()["reason"]) == (later_days < 0)
    assert calls == [1, 1, 1, 1, 2, 2]


def test_clock_that_ran_ahead_stops_nobody_for_long(place: Kitchen) -> None:
    """What was put off under a clock a year ahead is done once the clock is right."""
    place.later_seconds = YEAR_SECONDS
    place.server.script(Misbehaviour.BROKEN)
    place.manifest()
    assert place.model()["state"] == "waiting"
    place.later_seconds = 0.0
    assert place.manifest()["analysis_mode"] == "llm"
    assert len(place.server.calls()) == 2


def test_session_from_the_future_is_asked_about(place: Kitchen) -> None:
    """A session that was written under a clock a year ahead does not wait a year to have been quiet for long enough."""
    place.configure(mode="off")
    place.later_seconds = YEAR_SECONDS
    boiling("d1").write(place.home, at=time.time() + YEAR_SECONDS - 1800)
    place.manifest()
    place.configure()
    place.later_seconds = 0.0
    place.manifest()
    assert (len(place.server.calls()), place.model()["owed_sessions"]) == (2, 0)

"""A fork, a resumed log or a copy: what it repeats is not sent to the model, and not paid, again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from invented import LONG_AGO, Claude
from llm_homes import LESSON, WORDS, Kitchen, boiling, kitchen
from support.messages_server import Misbehaviour

NEW = "Now pour milk into the cup."


@pytest.fixture
def place() -> Iterator[Kitchen]:
    """A HOME with one session and a model."""
    with kitchen() as made:
        yield made


def fork(place: Kitchen, *, more: bool = True, at: float = LONG_AGO + 60) -> Claude:
    """A second log that begins with all of the first, under a session id of its own."""
    story = boiling()
    story.session = "f0rk0000-aaaa-4bbb-8ccc-000000000000"
    if more:
        story.say(NEW).sh("make milk", "white").answer("Milk is in.")
    story.write(place.home, at=at)
    return story


def asked(place: Kitchen) -> list[str]:
    """What the model was told, call by call."""
    return [call.json()["messages"][0]["content"] for call in place.server.calls()]


def test_fork_is_asked_about_from_where_it_parts(place: Kitchen) -> None:
    """Of a fork the model sees what is new, with what came before in a few words."""
    place.server.script(LESSON)
    place.manifest()
    fork(place)
    place.manifest()
    first, second = asked(place)
    assert "make pour" in first
    assert NEW in second
    assert "make pour" not in second
    assert f"The last request was: {WORDS}" in second


def test_copy_is_not_asked_about(place: Kitchen) -> None:
    """A copy has nothing new, and what follows in it later is new."""
    place.manifest()
    fork(place, more=False)
    place.manifest()
    assert len(asked(place)) == 1
    fork(place, at=LONG_AGO + 120)
    place.manifest()
    assert NEW in asked(place)[1]
    assert f"The last request was: {WORDS}" in asked(place)[1]
    assert "make pour" not in asked(place)[1]


def test_original_is_not_asked_about_after_its_fork(place: Kitchen) -> None:
    """The newest log is asked about first, so that its older beginning needs no call."""
    fork(place)
    place.manifest()
    assert len(asked(place)) == 1
    assert "make pour" in asked(place)[0]
    assert place.model()["owed_sessions"] == 0


def test_forks_in_one_batch_are_sent_once(place: Kitchen) -> None:
    """A batch holds what two logs share once, though no answer is there when the second question is made."""
    fork(place, at=LONG_AGO - 60)
    place.run("run", "--backfill")
    (batch,) = place.server.batches.values()
    texts = [request["params"]["messages"][0]["content"] for request in batch.requests]
    assert sorted("make pour" in text for text in texts) == [False, True]


def test_estimate_counts_what_logs_share_once(place: Kitchen) -> None:
    """What would be sent is estimated as it would be sent."""
    fork(place)
    assert json.loads(place.run("run", "--estimate", "--json"))["sessions"] == 1


def test_what_was_refused_was_not_shown(place: Kitchen) -> None:
    """A beginning whose question failed is sent with the other log, in the same run."""
    fork(place)
    place.server.script(Misbehaviour.BAD, Misbehaviour.BAD)
    place.manifest()
    assert [NEW in text for text in asked(place)] == [True, True, False]
    assert "make pour" in asked(place)[-1]

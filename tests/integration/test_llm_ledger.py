"""What the store, `status` and `--estimate` tell of the model: who found a lesson, and what it cost."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from invented import LONG_AGO, Claude, mended, run, state_of
from llm_homes import LESSON, Kitchen, boiling, kitchen
from selfdistill.distill.llm.prices import DEFAULT_MODEL
from support.messages_server import Misbehaviour, Reply

CHEAP = 3000 * 0.10e-6 + 200 * 0.50e-6  # what LESSON costs
DEAR = Reply(input_tokens=50_000, output_tokens=100, cache_creation_input_tokens=1000, cache_read_input_tokens=2000)
DEAR_COST = 50_000 * 0.10e-6 + 100 * 0.50e-6 + 1000 * 0.125e-6 + 2000 * 0.01e-6


@pytest.fixture
def place() -> Iterator[Kitchen]:
    """A HOME with one session and a model."""
    with kitchen() as made:
        yield made


def lessons(place: Kitchen) -> list[dict[str, Any]]:
    """All lessons as `lessons list --json` gives them."""
    listed: list[dict[str, Any]] = json.loads(place.run("lessons", "list", "--all", "--state", "any", "--json"))
    return listed


class TestModelOfALesson:
    """A lesson names the model that was asked for it."""

    def test_everywhere_it_is_told(self, place: Kitchen) -> None:
        """List, show (JSON and text) and the store's row: distiller and model."""
        place.server.script(LESSON)
        place.manifest()
        (listed,) = lessons(place)
        shown = json.loads(place.run("lessons", "show", listed["id"], "--json"))["lesson"]
        assert {(one["distiller"], one["model"]) for one in (listed, shown)} == {("llm", DEFAULT_MODEL)}
        assert f"llm {listed['version']} · {DEFAULT_MODEL}" in place.run("lessons", "show", listed["id"])
        with place.store() as store:
            assert store.lesson(listed["id"]).model == DEFAULT_MODEL

    def test_chosen_model(self, place: Kitchen) -> None:
        """With `--model` it is that one, also in a batch that another process collects."""
        place.manifest("--model", "claude-sonnet-5-5", "--backfill")
        (batch,) = place.server.batches.values()
        batch.results = {batch.requests[0]["custom_id"]: LESSON}
        place.server.end_batches()
        place.manifest()
        assert [one["model"] for one in lessons(place)] == ["claude-sonnet-5-5"]

    def test_rules_have_none(self, place: Kitchen) -> None:
        """A lesson of our own rules names no model, asked or not."""
        mended("m1").write(place.home)
        place.manifest()
        assert {(one["distiller"], "model" in one) for one in lessons(place)} == {("heuristic", False)}


def test_reinforcing_never_makes_a_waiting_lesson_easier(place: Kitchen) -> None:
    """A lesson that needs a second session by its findings still does after it was disputed and shown again."""
    mended("m1").write(place.home)
    place.manifest()
    (before,) = lessons(place)
    assert (before["state"], before["support"]) == ("pending", 1)
    operation = {"id": before["id"], "rationale": "It says so.", "confidence": 0.9}
    for seed, kind in (("n1", "contradict"), ("n2", "contradict"), ("m1", "reinforce")):
        words = f"About {seed}: the timer test fails, mend it. {before['action']['description']}"
        story = mended("m1").say(words).answer("Yes.") if seed == "m1" else Claude(seed).say(words).answer("Yes.")
        story.write(place.home, at=LONG_AGO + 60)
        quotes = [{"record": "e1", "text": f"About {seed}: the timer test fails"}]
        place.server.script(Reply(json.dumps({"operations": [{**operation, "op": kind, "quotes": quotes}]})))
        place.manifest()
    with place.store() as store:
        stored = {one.finding.rule: one.finding.needs for one in store.evidence(before["id"])}
    assert stored["llm"] == 2
    assert stored["llm-contradiction"] == 1


class TestMoney:
    """Tokens and dollars by call, session, run and day."""

    def test_status_tells(self, place: Kitchen) -> None:
        """The status file tells the last call, the dearest sessions, what a session costs, and the last run's usage."""
        boiling("b2").write(place.home, at=LONG_AGO - 60)
        place.server.script(LESSON, DEAR)
        made = place.manifest()
        told = place.model()
        total = pytest.approx(CHEAP + DEAR_COST)
        assert (told["calls_today"], told["input_tokens_today"], told["output_tokens_today"]) == (2, 56_000, 300)
        assert told["spent_today_usd"] == total
        assert list(told["spent_by_day_usd"].values()) == [total]
        assert told["last_call"].pop("at") is not None
        assert told["last_call"] == {
            "session": boiling("b2").session,
            "model": DEFAULT_MODEL,
            "state": "applied",
            "input_tokens": 53_000,
            "output_tokens": 100,
            "cost_usd": pytest.approx(DEAR_COST),
        }
        dearest = [(one["session"], one["calls"], one["cost_usd"]) for one in told["dearest_today"]]
        assert dearest == [
            (boiling("b2").session, 1, pytest.approx(DEAR_COST)),
            (boiling().session, 1, pytest.approx(CHEAP)),
        ]
        assert (told["session_p50_usd"], told["session_p95_usd"]) == (pytest.approx(CHEAP), pytest.approx(DEAR_COST))
        whole = tomllib.loads((state_of(place.home) / "status.toml").read_text())
        assert whole["last_usage"] == made["usage"]
        assert whole["last_usage"]["cost_usd"] == total

    def test_screen_and_json(self, place: Kitchen) -> None:
        """`status` shows it to people, `status --json` to machines."""
        place.server.script(LESSON)
        place.manifest()
        screen = run(place.home, "status").stdout
        cost = f"${CHEAP:.4f}"
        assert f"1 calls today: 3,000 + 200 tokens · a session {cost} (p50), {cost} (p95) · last call" in screen
        assert f"llm · 1 sessions, 1 lessons · 3,000 + 200 tokens, {cost} · " in screen
        table = json.loads(run(place.home, "status", "--json").stdout)
        assert table["model"]["last_call"]["cost_usd"] == pytest.approx(CHEAP)

    def test_session_adds_up(self, place: Kitchen) -> None:
        """A session that was asked about twice, once in vain, costs the sum; the store tells each of its calls."""
        place.server.script(LESSON)
        place.manifest()
        boiling().say("Now pour milk.").answer("Poured.").write(place.home, at=LONG_AGO + 60)
        place.server.script(Misbehaviour.HTML)
        place.manifest()
        with place.store() as store:
            calls = store.last_calls(9, boiling().session)
            (one,) = store.dearest_sessions(calls[0].at)
            assert store.last_calls(9, "another") == []
        assert [call.state for call in calls] == ["failed", "applied"]
        assert one.spend.calls == 2
        assert one.spend.cost_usd == sum(call.cost_usd or 0 for call in calls)

    def test_unknown_model(self, place: Kitchen) -> None:
        """Of a model without a known price only tokens are told."""
        place.server.script(LESSON)
        place.manifest("--model", "kettle-7b")
        told = place.model()
        assert (told["last_call"]["input_tokens"], "cost_usd" in told["last_call"]) == (3000, False)
        assert "session_p50_usd" not in told
        assert "3,000 + 200 tokens" in run(place.home, "status").stdout


class TestEstimate:
    """`run --estimate`."""

    def test_sessions_are_told_apart(self, place: Kitchen) -> None:
        """Besides the sum, it says what half of the sessions and 95 in 100 would take at most."""
        long = Claude("long")
        for number in range(40):
            long.say(f"Step {number}: {'stir the tea slowly ' * 20}").answer("Stirred.")
        long.write(place.home)
        boiling("b2").write(place.home)
        told = json.loads(place.run("run", "--estimate", "--json"))
        small, large = told["session_tokens"]["p50"], told["session_tokens"]["p95"]
        assert told["input_tokens"] == pytest.approx(2 * small + large, abs=20)
        assert 3 * small < large
        assert told["session_usd"]["p95"] > told["session_usd"]["p50"] > 0
        assert "95 in 100" in place.run("run", "--estimate")

    def test_cache_is_counted_where_there_is_one(self, place: Kitchen) -> None:
        """What is the same in each prompt is written to the cache once and read then, if the model caches so little."""
        for number in range(5):
            boiling(f"c{number}").write(place.home)
        told = {
            model: json.loads(place.run("run", "--estimate", "--json", "--model", model))
            for model in ("claude-haiku-5-5", "claude-haiku-4-5")
        }
        assert told["claude-haiku-5-5"]["cached_tokens"] > 5 * 500
        assert told["claude-haiku-4-5"]["cached_tokens"] == 0
        per_token = {model: one["likely_usd"] / one["input_tokens"] for model, one in told.items()}
        assert per_token["claude-haiku-5-5"] * 10 < per_token["claude-haiku-4-5"]

    def test_unknown_model(self, place: Kitchen) -> None:
        """Without a price tokens are told all the same."""
        told = json.loads(place.run("run", "--estimate", "--json", "--model", "kettle-7b"))
        assert told["session_tokens"]["p50"] == told["input_tokens"] > 0
        assert (told["likely_usd"], told["session_usd"]) == (None, None)

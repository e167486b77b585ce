"""The daemon with a model: asked in its own thread, told in the status, never in the way."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from homes import AT_ONCE, SCANS_ONLY, Home, until
from invented import LONG_AGO
from llm_homes import LESSON, boiling
from support.messages_server import MessagesServer, Misbehaviour, Reply


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    """The model's service."""
    with MessagesServer() as made:
        yield made


def home_with_model(path: Path, server: MessagesServer, **llm: float) -> Home:
    """A HOME with one session and this model, asked as soon as a session is distilled."""
    home = Home(path)
    options = {"base_url": server.url, "settle_minutes": 0, **llm}
    lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
    home.configure(AT_ONCE, SCANS_ONLY, more="\n".join(["[llm]", *lines]))
    boiling().write(home.path, at=LONG_AGO)
    return home


def model_of(home: Home) -> dict[str, object]:
    """What the status file says of the model."""
    told: dict[str, object] = home.status().get("model", {})
    return told


def test_daemon_asks_and_tells(tmp_path: Path, server: MessagesServer) -> None:
    """The daemon asks about a session once it is distilled, learns, and the status file says so."""
    server.script(LESSON)
    home = home_with_model(tmp_path, server)
    with home.daemon():
        until(lambda: home.status().get("last_analysis_mode") == "llm", "a run of the model")
        until(lambda: model_of(home).get("owed_sessions") == 0, "nothing owed")
        assert model_of(home)["state"] == "ready"
        assert float(str(model_of(home)["spent_today_usd"])) > 0
    assert "llm" in {lesson["distiller"] for lesson in home.lessons()}
    assert len(server.calls()) == 1


def test_refused_key_does_not_stop_the_heuristics(tmp_path: Path, server: MessagesServer) -> None:
    """A key that is refused blocks the model, the status says why, and heuristics go on with what comes."""
    server.otherwise = Misbehaviour.UNAUTHORISED
    home = home_with_model(tmp_path, server)
    with home.daemon():
        until(lambda: model_of(home).get("state") == "blocked", "a blocked model")
        assert "api_key_file" in str(model_of(home)["reason"])
        home.fill()
        until(lambda: home.status()["total_sessions"] == 5, "five sessions")
        assert home.status()["state"] == "watching"
    assert len(server.calls()) == 1


def test_sigterm_ends_a_call_in_time(tmp_path: Path, server: MessagesServer) -> None:
    """SIGTERM while the model is silent: the daemon is gone within five seconds, and the session stays owed."""
    server.script(Reply(latency_seconds=60.0))
    home = home_with_model(tmp_path, server)
    with home.daemon() as daemon:
        until(server.calls, "a call")
        begun = time.monotonic()
        daemon.send(signal.SIGTERM)
        assert daemon.process.wait(10) == 0, daemon.log()
        assert time.monotonic() - begun < 5.0
    assert "asker_failed" not in daemon.log()

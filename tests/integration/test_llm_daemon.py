"""The daemon with a model: asked in its own thread, told in the status, never in the way."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from homes import AT_ONCE, SCANS_ONLY, Home, until
from invented import LONG_AGO, put
from llm_homes import KEY, LESSON, boiling
from support.messages_server import MessagesServer, Misbehaviour, Reply

IMPORT_SECONDS = 60.0  # the SDK takes 3 s of a processor that others may want, too


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    """The model's service."""
    with MessagesServer() as made:
        yield made


def home_with_model(path: Path, server: MessagesServer) -> Home:
    """A HOME with one session, this model, asked as soon as a session is distilled, and a key in a file."""
    home = Home(path)
    options = {"base_url": server.url, "settle_minutes": 0, "api_key_file": "~/key"}
    lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
    home.configure(AT_ONCE, SCANS_ONLY, more="\n".join(["[llm]", *lines]))
    write_key(home, KEY)
    boiling().write(home.path, at=LONG_AGO)
    return home


def write_key(home: Home, key: str) -> None:
    """The key's file."""
    put(home.path / "key", key.encode()).chmod(0o600)


def model_of(home: Home) -> dict[str, object]:
    """What the status file says of the model."""
    told: dict[str, object] = home.status().get("model", {})
    return told


def test_daemon_with_a_model(tmp_path: Path, server: MessagesServer) -> None:
    """A day of one daemon, for each takes three seconds to import the SDK.

    A key that is refused blocks the model, the status says why, and heuristics go on with what comes. A new key lifts
    that without a restart: what is owed is asked about, learned from and told. SIGTERM while the model is silent: the
    daemon is gone within five seconds.
    """
    server.otherwise = Misbehaviour.UNAUTHORISED
    home = home_with_model(tmp_path, server)
    with home.daemon() as daemon:
        until(lambda: model_of(home).get("state") == "blocked", "a blocked model", IMPORT_SECONDS)
        assert "api_key_file" in str(model_of(home)["reason"])
        home.fill()
        until(lambda: home.status()["total_sessions"] == 5, "five sessions")
        assert home.status()["state"] == "watching"
        assert len(server.calls()) == 1

        server.otherwise = LESSON
        write_key(home, KEY[::-1])
        boiling("b2").write(home.path, at=LONG_AGO + 1)
        until(lambda: home.status().get("last_analysis_mode") == "llm", "a run of the model")
        until(lambda: model_of(home).get("owed_sessions") == 0, "nothing owed")
        assert model_of(home)["state"] == "ready"
        assert float(str(model_of(home)["spent_today_usd"])) > 0
        assert "llm" in {lesson["distiller"] for lesson in home.lessons()}
        asked = len(server.calls())
        assert asked == 1 + 6

        server.otherwise = Reply(latency_seconds=60.0)
        boiling("b3").write(home.path, at=LONG_AGO + 2)
        until(lambda: len(server.calls()) > asked, "a call without an answer")
        begun = time.monotonic()
        daemon.send(signal.SIGTERM)
        assert daemon.process.wait(10) == 0, daemon.log()
        assert time.monotonic() - begun < 5.0
    assert "asker_failed" not in daemon.log()
    assert home.status()["model"]["owed_sessions"] == 1

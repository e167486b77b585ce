"""When the status file says what: news at once, figures of a large catalogue a moment later."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from homes import CLAUDE, SESSIONS, Home, until
from selfdistill.ingest.hints import Health, Mode
from selfdistill.service import telling
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection
from selfdistill.service.status import State
from selfdistill.service.telling import Teller, Work

if TYPE_CHECKING:
    import pytest

WATCHING = (Health(Mode.EVENTS), 0)
NO_WORK = Work(0, 0, 0.0)


def test_news_do_not_wait_for_figures_that_take_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lessons stand in the status at once, what the catalogue adds up to with the next writing that is due."""
    monkeypatch.setattr(telling, "QUICK_SECONDS", -1.0)  # any catalogue is large
    monkeypatch.setattr(telling, "STATUS_SECONDS", 0.1)
    monkeypatch.setattr(telling, "FIGURES_LAST", 0)
    home = Home(tmp_path)
    with home.assembly() as made:
        teller = Teller(made, structlog.get_logger(), lambda _: None, made.clock)
        teller.write(State.WATCHING, "", "", WATCHING, NO_WORK)
        for name in CLAUDE:
            (home.claude / name).write_bytes(SESSIONS[name])
        one_pass(made, Selection(limit=0))
        teller.write(State.WATCHING, "", "", WATCHING, NO_WORK)
        told = home.status()
        assert told["total_lessons"] > 0
        assert told["sources"]["claude_code"]["logs_seen"] == 0
        until(lambda: teller.has_news(State.WATCHING, ""), "the moment to count anew")
        teller.write(State.WATCHING, "", "", WATCHING, NO_WORK)
        assert home.source()["logs_seen"] == len(CLAUDE)
        assert not teller.has_news(State.WATCHING, "")

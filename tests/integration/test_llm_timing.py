"""When the model is asked about a session: on a clock of the test's own, with the model's answer an empty list."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from invented import LONG_AGO, MEMORY, Claude
from selfdistill.config import Config, Llm, Places
from selfdistill.distill.llm.asking import Answer, Request, Stop, Usage
from selfdistill.service.asking import Asking
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.service.model_access import model_access, owed_logs
from selfdistill.service.one_pass import one_pass
from selfdistill.service.questions import Questions
from selfdistill.service.running import Selection
from selfdistill.sources import SOURCES

MINUTE: Final = 60.0
HOUR: Final = 3600.0
LOCAL: Final = Llm(base_url="http://127.0.0.1:9")


class Watched:
    """A HOME with a session that grows, distilled and asked about as the daemon does, at the times the test says."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.now = LONG_AGO
        self.asked: list[tuple[float, str]] = []  # hours since the beginning, what the model was told
        self.story = Claude("t1")
        config = Config(llm=Llm(mode="off"))  # `one_pass` is the worker's part alone
        places = Places(config=home / "none.toml", state=home / "state")
        self.assembly: Assembly = assemble(config, places, home, {}, clock=lambda: self.now)

    def write(self) -> None:
        """The log as the story stands."""
        self.story.write(self.home, at=self.now)

    def look(self) -> None:
        """What the daemon does when it wakes: distill what has settled, ask about what is due."""
        one_pass(self.assembly, Selection(limit=0))
        store = self.assembly.store
        due, _ = owed_logs(store, LOCAL, self.now)
        sources = {source.name: source for source in SOURCES}
        asking = Asking(
            store,
            Questions(store, sources, self.assembly.config, self.assembly.redact),
            model_access(LOCAL, {}),
            self.answer,
            self.assembly.redact,
            clock=lambda: self.now,
        )
        asking.process(due)

    def answer(self, request: Request) -> Answer:
        """Nothing to learn."""
        self.asked.append(((self.now - LONG_AGO) / HOUR, request.user))
        return Answer('{"operations": []}', Stop.COMPLETE, Usage(100, 10), request.model)

    def next_due(self) -> float | None:
        """When the model will be asked next, if nothing more is written; hours since the beginning."""
        due, later = owed_logs(self.assembly.store, LOCAL, self.now)
        if due:
            return (self.now - LONG_AGO) / HOUR
        return None if later is None else (later - LONG_AGO) / HOUR


@pytest.fixture
def watched() -> Iterator[Watched]:
    """An empty HOME."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        made = Watched(Path(directory))
        with made.assembly.store:
            yield made


def test_quiet_is_waited_for(watched: Watched) -> None:
    """The heuristics take a settled session at once; the model is asked after half an hour of quiet, once."""
    watched.story.say("Boil water.").answer("Boiled.")
    watched.write()
    watched.now += 5 * MINUTE
    watched.look()
    assert watched.assembly.store.sessions() == 1
    assert (watched.asked, watched.next_due()) == ([], 0.5)
    for _ in range(20):
        watched.now += 5 * MINUTE
        watched.look()
    assert [round(when, 2) for when, _ in watched.asked] == [0.5]
    assert watched.next_due() is None


def test_log_that_never_rests_is_asked_about(watched: Watched) -> None:
    """Ten hours of work without a pause: a call every two hours, each about the new part, with what came before."""
    for number in range(120):
        watched.story.say(f"Step {number:03} please.").answer(f"Did {number:03}.")
        watched.write()
        watched.look()
        watched.now += 5 * MINUTE
    hours = [when for when, _ in watched.asked]
    assert len(hours) == 4
    assert all(2.0 <= later - earlier <= 2.5 for earlier, later in zip([0.0, *hours], hours, strict=False))
    for (_, earlier), (_, later) in zip(watched.asked, watched.asked[1:], strict=False):
        steps = {number for number in range(120) if f"Step {number:03}" in earlier}
        told_again = {number for number in steps if f"Step {number:03}" in later}
        assert told_again == {max(steps)}, "the last request, in the summary of what came before"
        assert f"The last request was: Step {max(steps):03} please." in later
        assert f"The agent last said: Did {max(steps):03}." in later


def test_wait_begins_anew_with_what_was_not_shown(watched: Watched) -> None:
    """A session that goes on a day later is not asked about at once: the wait counts from its new part."""
    watched.story.say("Boil water.").answer("Boiled.")
    watched.write()
    watched.now += HOUR
    watched.look()
    assert len(watched.asked) == 1
    watched.now += 24 * HOUR
    for _ in range(12):
        watched.story.say("And more.").answer("More.")
        watched.write()
        watched.look()
        watched.now += 5 * MINUTE
    assert len(watched.asked) == 1
    assert watched.next_due() == pytest.approx(25 + 55 / 60 + 0.5)


def test_ended_session_is_asked_about_at_once(watched: Watched) -> None:
    """A session that says that it is over is asked about as soon as it is distilled."""
    leave = "<command-name>/exit</command-name>\n<command-message>exit</command-message>\n<command-args></command-args>"
    watched.story.say("Boil water.").answer("Boiled.").say(leave)
    watched.write()
    watched.now += 3 * MINUTE
    watched.look()
    assert [when for when, _ in watched.asked] == [0.05]

"""However spool and logs take turns, however often a log is read, each delivery comes to the same."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from invented import AT_ONCE, LONG_AGO, MEMORY, Claude, repaired
from selfdistill.config import Places
from selfdistill.model import Lesson
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection
from support.examples import examples

UNKNOWN_FLAG = "unknown flag: --stat\n\nUsage: gh pr diff"
READ, AGAIN, TELL = "read", "again", "tell"
Turn = tuple[str, int]  # what happens, and how many more lines are there, or which delivery is absorbed


def story() -> Claude:
    """A session with harmless calls, three that could fail, and one that does, each line a second after the other."""
    made = Claude("2", begins=LONG_AGO + 10_000).say("What is in PR 40?").sh("ls", "web")
    made.sh("gh pr diff 40", "+1").sh("cat a.ts", "x").sh("gh pr diff 40 --name-only", "a.ts")
    return made.sh("gh pr diff 41 --stat", UNKNOWN_FLAG, error=True).sh("gh pr diff 41 --name-only", "b.ts").answer("!")


STORY = story()
# When the lesson is told, in seconds of the session: before all, between calls, while the one that fails is running
# (it was made at 9 and had failed at 10), and after the end.
TOLD = (0.5, 4.5, 6.5, 9.5, 30.0)


class World:
    """One user's home, whose clock shows the time of the newest thing that has happened."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.now = LONG_AGO + 5_000
        self.lines = 0
        repaired("1").write(home)
        self.places = Places(config=home / "config.toml", state=home / "state")
        self.assembly: Assembly = assemble(AT_ONCE, self.places, home, {}, clock=lambda: self.now)

    def learn(self) -> str:
        """Read the first session; the id of its lesson."""
        one_pass(self.assembly, Selection(limit=0))
        return self._lesson().id

    def turn(self, kind: str, number: int, lesson: str) -> None:
        """Let one thing happen, then a pass."""
        if kind == TELL:
            at = STORY.begins + TOLD[number]
            self.now = max(self.now, at)
            line = {"v": 1, "lesson": lesson, "session": STORY.session, "at": at, "event": "x", "agent": "claude_code"}
            self.places.spool.mkdir(exist_ok=True)
            with (self.places.spool / "deliveries-2.jsonl").open("a") as spool:
                spool.write(json.dumps(line) + "\n")
        else:
            self.lines = min(len(STORY.lines), self.lines + number)
            self.now = max(self.now, STORY.begins + self.lines)
            if self.lines:
                STORY.write(self.home, lines=self.lines, at=self.now)
        one_pass(self.assembly, Selection(limit=0, again=kind == AGAIN))

    def outcome(self) -> tuple[Any, ...]:
        """What the delivery has come to, all of it."""
        database = self.assembly.store._database
        found = self._lesson()
        chances = database.rows("SELECT sum(opportunities), max(owed) FROM chances")
        return found.helped, found.recurred_told, database.rows("SELECT session, at FROM deliveries"), chances

    def _lesson(self) -> Lesson:
        return next(one for one in self.assembly.store.lessons(None, everywhere=True) if one.covers)


def come_to(turns: Sequence[Turn]) -> tuple[Any, ...]:
    """What the delivery comes to if these things happen in this order, and then the rest of the log is read."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        world = World(Path(directory))
        with world.assembly.store:
            lesson = world.learn()
            for kind, number in turns:
                world.turn(kind, number, lesson)
            world.turn(READ, len(STORY.lines), lesson)
            return world.outcome()


readings = st.lists(st.tuples(st.sampled_from([READ, READ, AGAIN]), st.integers(0, 9)), max_size=4)
tellings = st.lists(st.sampled_from(range(len(TOLD))), min_size=1, max_size=2, unique=True)


@examples(6)
@example(data=None, read=[(READ, 20), (AGAIN, 0)], told=[1])
@example(data=None, read=[(READ, 3), (READ, 4)], told=[3, 0])
@example(data=None, read=[(READ, 20)], told=[4])
@given(data=st.data(), read=readings, told=tellings)
def test_the_order_of_spool_and_logs_leaves_no_trace(
    data: st.DataObject | None, read: list[Turn], told: list[int]
) -> None:
    """Told before, while or after a log is read, in pieces or again: the same opportunities, counted once."""
    turns = [(TELL, number) for number in told]
    wanted = come_to(turns)
    mixed = data.draw(st.permutations([*turns, *read])) if data else [*read, *turns]
    assert come_to(mixed) == wanted


@pytest.mark.parametrize(
    ("told", "helped", "recurred", "opportunities"), [(0, 0, 1, 3), (2, 0, 1, 2), (3, 1, 0, 1), (4, 0, 0, None)]
)
def test_what_comes_before_a_telling_says_nothing_of_it(
    told: int, helped: int, recurred: int, opportunities: int | None
) -> None:
    """Only calls made later count: those that went well, and those that failed for this reason when told in time."""
    found = come_to([(TELL, told)])
    assert (found[0], found[1], found[3][0][0]) == (helped, recurred, opportunities)

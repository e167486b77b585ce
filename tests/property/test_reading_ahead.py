"""Who reads a log, this process or another, changes nothing in what is learned; and no helper outlives its parent."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from invented import CLAUDE, MEMORY, Claude, distil, environment_of, fill, mended, parts, put, repaired, rows, state_of
from selfdistill.service.backfill import ahead_for
from selfdistill.service.one_pass import one_pass
from selfdistill.service.pipeline import Stopped
from selfdistill.service.reading_ahead import ReadAhead, reading_ahead
from selfdistill.service.running import Run, Selection
from selfdistill.store import Delivery, Store

HELPERS = 2
MIB = 1024 * 1024
KILLS = 2
EVERYTHING = Selection(limit=0)
_PROGRAM = """
import sys, pathlib
sys.path.insert(0, sys.argv[2])
from invented import parts, state_of
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection
home = pathlib.Path(sys.argv[1])
assembly = parts(home, state_of(home))
with assembly.store:
    one_pass(assembly, Selection(limit=0), lambda _: print(flush=True), processes_from=0)
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) == 1, reason="ONE CORE, OR NO /proc: NOT TESTED HERE"
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory in memory."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        yield Path(directory)


def many(home: Path) -> None:
    """Logs that share lessons: the invented ones, and sessions that confirm each other."""
    fill(home)
    for number in range(30):
        mended(f"m{number}").write(home, at=1e9 + number)
        repaired(f"r{number}", cwd=f"/home/mara/kettle-{number % 7}").write(home, at=2e9 - 1e9 * (number % 2))


def together(
    home: Path, state: Path, selection: Selection = EVERYTHING, upon: Callable[[ReadAhead], None] = lambda _: None
) -> ReadAhead:
    """All logs, read by helpers; `upon` happens after each log."""
    assembly = parts(home, state)
    with assembly.store, reading_ahead(assembly.store, assembly.pipeline, assembly.config, HELPERS) as ahead:
        assembly.survey.full_pass()
        run = Run(assembly.store, assembly.pipeline, assembly.config.settling, assembly.clock, ahead)
        logs = assembly.store.present() if selection.again else assembly.store.pending()
        run.process(logs, selection, lambda _: upon(ahead))
    return ahead


def helpers_of(ahead: ReadAhead) -> list[int]:
    """The numbers of the processes that read."""
    return [helper.pid for helper in ahead._helpers]


class TestSameResult:
    """Several processes learn what one does."""

    def test_same_rows_as_one_process(self, place: Path) -> None:
        """Helpers give the same rows, as new logs, as logs that have grown and read again; nothing is read twice."""
        home = place / "home"
        many(home)
        growing = repaired("grows")
        growing.write(home, lines=3)
        steps: list[tuple[Selection, Callable[[], object]]] = [
            (EVERYTHING, lambda: growing.write(home)),
            (EVERYTHING, lambda: None),
            (Selection(limit=0, again=True), lambda: None),
        ]
        for selection, then in steps:
            distil(home, place / "one", selection)
            assert together(home, place / "many", selection).read_here == 0
            assert rows(place / "many") == rows(place / "one")
            then()
        assert len(rows(place / "one")["lessons"]) >= 10

    def test_a_run_uses_them(self, place: Path) -> None:
        """A pass over enough logs is read by other processes, a pass over little is not, and both say the same."""
        home = place / "home"
        many(home)
        made = []
        for name, least in (("one", 10**12), ("many", 0)):
            assembly = parts(home, place / name)
            with assembly.store:
                with ahead_for(assembly, assembly.store.pending(), least_bytes=least) as ahead:
                    assert ahead is None, "there is nothing to read yet"
                made.append(one_pass(assembly, EVERYTHING, processes_from=least).manifest)
        assert rows(place / "many") == rows(place / "one")
        assert made[0].lessons == made[1].lessons
        assert made[0].log_paths == made[1].log_paths

    def test_huge_log_in_pieces(self, place: Path) -> None:
        """A log of several pieces of 64 MiB is read ahead as a whole, and what spans two pieces is learned."""
        home = place / "home"
        story = Claude("huge").say("Show me what changed in PR 12.")
        story.sh("gh pr diff 12 --stat", "unknown flag: --stat\n\nUsage: gh pr diff", error=True)
        short = len(story.lines)
        story.answer("x" * (22 * MIB)).answer("y" * (22 * MIB)).answer("z" * (22 * MIB))
        story.sh("gh pr diff 12 --name-only", "web/timer.ts").answer("One file.")
        assert sum(map(len, story.lines[short:])) > 64 * MIB
        story.write(home)
        repaired("other").write(home)
        assert together(home, place / "many").read_here == 0
        distil(home, place / "one")
        assert rows(place / "many") == rows(place / "one")


class TestDoubt:
    """What does not fit is read by the process that commits."""

    def test_killed_helpers(self, place: Path) -> None:
        """Helpers that are killed on the way change nothing: what they owed is read here."""
        home = place / "home"
        many(home)
        distil(home, place / "one")
        seen = []

        def kill_one(ahead: ReadAhead) -> None:
            seen.append(1)
            if len(seen) % 5 == 0 and helpers_of(ahead):
                os.kill(helpers_of(ahead)[0], signal.SIGKILL)

        ahead = together(home, place / "many", upon=kill_one)
        assert not helpers_of(ahead)
        assert rows(place / "many") == rows(place / "one")

    def test_told_session_is_judged(self, place: Path) -> None:
        """A log of a session that a lesson was told in is read where the deliveries are known."""
        home = place / "home"
        repaired("a").write(home)
        for name in ("one", "many"):
            distil(home, place / name)
            assembly = parts(home, place / name)
            with assembly.store:
                (lesson,) = assembly.store.lessons(None, everywhere=True)
                told = Delivery(lesson.id, repaired("b").session, 0.0)
                assembly.store.absorb([told], (), assembly.distiller.name)
        repaired("b").write(home)
        mended("c").write(home)
        distil(home, place / "one")
        assert together(home, place / "many").read_here == 1
        assert chances(place / "many") == chances(place / "one") != []

    def test_project_decided_meanwhile(self, place: Path) -> None:
        """A directory that another process gave a project while we read keeps that project."""
        home = place / "home"
        for number in range(20):
            repaired(f"p{number}", cwd=f"/home/mara/place-{number}").write(home)
        assembly = parts(home, place / "s")
        with assembly.store, reading_ahead(assembly.store, assembly.pipeline, assembly.config, HELPERS) as ahead:
            assembly.survey.full_pass()
            for number in range(20):
                assembly.store.remember_project(f"/home/mara/place-{number}", "/elsewhere", "/elsewhere", "")
            run = Run(assembly.store, assembly.pipeline, assembly.config.settling, assembly.clock, ahead)
            run.process(assembly.store.pending(), EVERYTHING)
            assert {lesson.project for lesson in assembly.store.lessons(None, everywhere=True)} == {"/elsewhere"}


def chances(state: Path) -> list[object]:
    """What the store has counted of deliveries."""
    store = Store.open_read_only(state / "lessons.db")
    assert store is not None
    with store:
        return [tuple(row) for row in store._database.rows("SELECT delivery, opportunities, owed FROM chances")]


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_there(pid: int) -> bool:
    """Whether a process is alive, and not only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(happened: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


class TestEnding:
    """Nothing is left behind."""

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_ended_at_any_moment(self, place: Path, number: signal.Signals) -> None:
        """A pass that is ended at any moment loses and doubles nothing, and its helpers are gone with it."""
        home = place / "home"
        many(home)
        distil(home, place / "one")
        dice = random.Random(7)  # noqa: S311 - moments, not secrets
        started: list[int] = []
        for _ in range(KILLS):
            process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(home), str(Path(__file__).parents[1])],
                env=environment_of(home),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert process.stdout is not None
            for _ in range(dice.randrange(20)):
                process.stdout.readline()
            started += (found := children_of(process.pid))
            process.send_signal(number)
            process.wait()
            process.stdout.close()
            assert wait_until(lambda found=found: not any(map(is_there, found)))  # type: ignore[misc]
        assert started, "helpers were caught at work"
        together(home, state_of(home))
        assert rows(state_of(home)) == rows(place / "one")

    def test_stopped(self, place: Path) -> None:
        """Asked to end, reading ahead raises Stopped instead of waiting for a helper, and ends its processes."""
        home = place / "home"
        put(home / CLAUDE / "big.jsonl", b"".join(repaired("big").lines) + b"{}\n" * 1_000_000)
        assembly = parts(home, place / "s")
        stop = (assembly.store, assembly.pipeline, assembly.config, HELPERS, lambda: True)
        with assembly.store, reading_ahead(*stop) as ahead:
            assembly.survey.full_pass()
            found = helpers_of(ahead)
            run = Run(assembly.store, assembly.pipeline, assembly.config.settling, assembly.clock, ahead)
            with pytest.raises(Stopped):
                run.process(assembly.store.pending(), EVERYTHING)
        assert len(found) == HELPERS
        assert not any(map(is_there, found))

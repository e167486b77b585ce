"""What an append costs, counted and not timed: bytes read and written, lines parsed; none grows with history."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from invented import CLAUDE, MEMORY, Claude, mended, parts, repaired
from selfdistill.service.assembly import Assembly
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Run, Selection

MIB = 1024 * 1024
EVERYTHING = Selection(limit=0)
MOST_READ_BYTES = 64 * 1024  # head and tail as proofs, and pages of the database; measured: 8 KiB
MOST_SHARED_BYTES = 512 * 1024  # where 300 sessions share one lesson, all its findings are looked up again
MOST_WRITTEN_BYTES = 256 * 1024  # measured: 121 KiB, the journal's pages
LARGE_BYTES = 50 * MIB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="NO /proc/self/io: WORK IS NOT COUNTED HERE")


class Work(Struct, frozen=True):
    """Bytes that this process read and wrote by system calls, cached or not, and the lines that were parsed."""

    read: int
    written: int
    lines: int


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory in memory."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        yield Path(directory)


def counted(assembly: Assembly) -> tuple[int, int, int]:
    """(bytes read, bytes written, lines parsed) so far; proc(5): rchar and wchar."""
    told = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    lines = assembly.store._database.rows("SELECT coalesce(sum(records_total), 0) FROM logs")[0][0]
    return int(told["rchar"]), int(told["wchar"]), lines


def of_a_round(assembly: Assembly) -> Work:
    """The work of looking at all logs and distilling what is due, as the daemon does it."""
    before = counted(assembly)
    assembly.survey.full_pass()
    run = Run(assembly.store, assembly.pipeline, assembly.config.settling, assembly.clock)
    run.process(assembly.store.pending(), EVERYTHING)
    return Work(*(now - then for now, then in zip(counted(assembly), before, strict=True)))


def large(size: int) -> Claude:
    """A session whose log has about that many bytes, in lines of 1 MiB and a few small ones."""
    story = repaired("large")
    for _ in range(size // MIB):
        story.answer("x" * MIB)
    return story


def grown(story: Claude, home: Path) -> int:
    """Append a failing and a working call to a log; how many lines."""
    before = len(story.lines)
    story.sh("gh pr view 12 --stat", "unknown flag: --stat", error=True).sh("gh pr view 12", "web/timer.ts")
    path = home / CLAUDE / f"{story.session}.jsonl"
    with path.open("ab") as file:
        file.write(b"".join(story.lines[before:]))
    return len(story.lines) - before


class TestAppend:
    """An append costs what is new."""

    @pytest.mark.parametrize("size", [MIB, LARGE_BYTES])
    def test_costs_what_is_new(self, place: Path, size: int) -> None:
        """A kilobyte at the end of a log, small or of 50 MiB, costs the same few bytes read, written and parsed."""
        story = large(size)
        story.write(place)
        assembly = parts(place, place / "s")
        with assembly.store:
            first = of_a_round(assembly)
            assert first.read >= size
            new = grown(story, place)
            second = of_a_round(assembly)
        assert second.lines == new
        assert second.read <= MOST_READ_BYTES
        assert second.written <= MOST_WRITTEN_BYTES

    def test_does_not_read_the_neighbours(self, place: Path) -> None:
        """With 300 other logs known, an append to one of them reads none of the others."""
        stories = [mended(f"n{number}") for number in range(300)]
        for story in stories:
            story.answer("y" * 10_000).write(place)
        assembly = parts(place, place / "s")
        with assembly.store:
            assert of_a_round(assembly).read >= 300 * 10_000
            new = grown(stories[7], place)
            second = of_a_round(assembly)
            assert second.lines == new
            assert second.read <= MOST_SHARED_BYTES


class TestNothingNew:
    """Nothing new costs next to nothing."""

    def test_reads_no_log_and_writes_nothing(self, place: Path) -> None:
        """A look at logs that have not changed reads none of them, parses nothing and writes nothing."""
        for number in range(50):
            mended(f"n{number}").answer("y" * 100_000).write(place)
        assembly = parts(place, place / "s")
        with assembly.store:
            one_pass(assembly, EVERYTHING)
            of_a_round(assembly)
            idle = of_a_round(assembly)
        assert (idle.lines, idle.written) == (0, 0)
        assert idle.read <= MOST_READ_BYTES

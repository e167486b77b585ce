"""How fast `run --limit 0` is on a HOME full of logs: against a bare read, `json.loads` and `orjson`, in one go.

Yardsticks and program take turns, so that all meet one load: rows tell the fastest of each, the ratio is the median
over the rounds, without the time that a start on one empty log takes.
"""

from __future__ import annotations

import cProfile
import importlib
import json
import os
import pstats
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from bench.measuring import MEGABYTE, PROGRAM, Life, Row, Target, environment, live, skipped, store_kib

from selfdistill.cli.main import main as selfdistill

BLOCK_BYTES: Final = 1 << 20
LEAST_MB_PER_S: Final = Target(83.3, at_least=True)  # 10 GB in 120 s, on two cores
MOST_RATIO: Final = Target(1.5)
MOST_RSS_MIB: Final = Target(150)
MOST_AGAIN_S: Final = Target(2.0)
Parse = Callable[[bytes], object]


def parsers() -> dict[str, Parse]:
    """The yardsticks that parse, by name; `orjson` where it is installed: it is not among our dependencies."""
    found: dict[str, Parse] = {"json.loads": json.loads}
    with suppress(ImportError):  # a row says so
        found["orjson"] = importlib.import_module("orjson").loads
    return found


def bare_read(logs: Sequence[Path]) -> float:
    """Seconds that it takes to read every byte."""
    started = time.perf_counter()
    for path in logs:
        with path.open("rb", buffering=0) as file:
            while file.read(BLOCK_BYTES):
                pass
    return time.perf_counter() - started


def parsed(logs: Sequence[Path], parse: Parse) -> tuple[float, int]:
    """Seconds that it takes to parse every line, and how many are no JSON."""
    refused = 0
    started = time.perf_counter()
    for path in logs:
        with path.open("rb") as file:
            for line in file:
                try:
                    parse(line)
                except ValueError:
                    refused += 1
    return time.perf_counter() - started, refused


class Round:
    """One turn of everything: the yardsticks, start-up, a first run, and the same run again."""

    def __init__(self, work: Path, home: Path, logs: Sequence[Path], number: int) -> None:
        self.bare_seconds = bare_read(logs)
        self.parsed = {name: parsed(logs, parse) for name, parse in parsers().items()}
        state = work / f"state-{number}"
        self.start_up = _run(work / "empty", work / f"state-empty-{number}")
        self.first = _run(home, state)
        self.second = _run(home, state)
        self.store_kib = store_kib(state) - store_kib(work / f"state-empty-{number}")

    @property
    def ratio(self) -> float:
        """The time of a run without start-up, against that of `json.loads`."""
        return (self.first.wall_s - self.start_up.wall_s) / self.parsed["json.loads"][0]


def _run(home: Path, state: Path) -> Life:
    variables = environment(home, SELFDISTILL_STATE_DIR=str(state))
    return live([*PROGRAM, "run", "--limit", "0", "--json"], variables)


def rows(work: Path, home: Path, logs: Sequence[Path], rounds: int) -> Iterator[Row]:
    """The figures for the logs of a HOME, which is only read."""
    empty = work / "empty" / ".claude" / "projects" / "p" / "0.jsonl"
    empty.parent.mkdir(parents=True)
    empty.touch()
    bare_read(logs)  # the first pass fills the page cache
    size = sum(path.stat().st_size for path in logs)
    done = [Round(work, home, logs, number) for number in range(rounds)]
    yield from _yardsticks(done, size)
    yield from _runs(done, size)


def _yardsticks(done: Sequence[Round], size: int) -> Iterator[Row]:
    """How fast the same bytes are read and parsed by others."""
    bare = [one.bare_seconds for one in done]
    yield Row("bare read", size / MEGABYTE / min(bare), "MB/s", f"the same bytes, in blocks of 1 MiB; {_each(bare)}")
    for name in parsers():
        taken = [one.parsed[name][0] for one in done]
        how = f"each line of the same bytes, {done[0].parsed[name][1]} of them no JSON; {_each(taken)}"
        yield Row(name, size / MEGABYTE / min(taken), "MB/s", how)
    if "orjson" not in parsers():
        yield skipped("orjson", "`pip install orjson` first")


def _runs(done: Sequence[Round], size: int) -> Iterator[Row]:
    """How fast we are, and what is left of it."""
    walls = [one.first.wall_s for one in done]
    best = min(done, key=lambda one: one.first.wall_s)
    yield Row("start-up", min(one.start_up.wall_s for one in done), "s", "`run --limit 0` on one empty log")
    yield Row(
        "run --limit 0", size / MEGABYTE / min(walls), "MB/s", f"{counts(best.first)}; {_each(walls)}", LEAST_MB_PER_S
    )
    yield Row("run --limit 0, CPU", best.first.cpu_s, "s", "all its processes, in sum")
    ratios = [one.ratio for one in done]
    how = f"without start-up; each round: {' '.join(f'{one:.2f}' for one in ratios)}"
    yield Row("run against json.loads", statistics.median(ratios), "x", how, MOST_RATIO)
    peak = max(one.first.peak_rss_mib for one in done)
    yield Row("run --limit 0, peak RSS", peak, "MiB", "all its processes, in sum", MOST_RSS_MIB)
    again = [one.second.wall_s for one in done]
    how = f"{counts(done[-1].second)}; {_each(again)}"
    yield Row("the same run again", min(again), "s", how, MOST_AGAIN_S)
    yield Row("store growth", best.store_kib / (size / MEGABYTE), "KiB/MB", "its pages beyond those of an empty store")


def counts(life: Life) -> str:
    """What a run says that it did."""
    manifest: dict[str, Any] = json.loads(life.output)
    left = {**manifest["sessions_skipped"], "failed": manifest["sessions_failed"]}
    told = [f"{number} {reason.replace('_', ' ')}" for reason, number in left.items() if number]
    done = f"{manifest['sessions_processed']} sessions, {manifest['lessons_generated']} lessons"
    return ", ".join([done, *told])


def _each(seconds: Sequence[float]) -> str:
    return f"each round: {' '.join(f'{one:.2f}' for one in seconds)} s"


def profile(home: Path, state: Path) -> None:
    """Where the time of a run goes, inside this process."""
    os.environ["HOME"] = str(home)
    profiler = cProfile.Profile()
    profiler.enable()
    selfdistill(["--state-dir", str(state), "run", "--limit", "0", "--json"])
    profiler.disable()
    pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(40)

"""How long it takes to find a lesson by words among 1,000, 10,000 and 100,000: in process, as a command, in a hook.

Usage: python -m bench.searching [--lessons 1000 10000 100000] [--searches 200] [--hook-rounds 10]

The lessons are those of `bench.hook_latency`. Searches are what a person or an agent asks: an error, a command, a test,
a few words that most lessons have and one that few have. In process they go through `Store.search`, as `lessons search`
does; the command and the hook are processes, from start to exit.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench import hook_latency
from bench.hook_latency import MEDIAN_AT_MOST, P95_AT_MOST, PROJECTS
from bench.measuring import PROGRAM, Row, Target, compile_program, environment, live, percentile, table

from selfdistill.config import Places
from selfdistill.store import Store

COMMANDS: Final = 5  # searches as commands
LIMIT: Final = 50  # lessons, the default of `lessons search`
_TEXTS: Final = (
    "word{number}: lid is open",
    "kettle boil{verb} --word{number} fails: unknown option",
    "tests of boil{verb}",
    "Please boil the water with the kettle, close the lid of word{number} first",
    "golangci-lint word{number}",
)


def texts(searches: int, lessons: int) -> Iterator[str]:
    """What is searched for, the same each time."""
    chance = random.Random(lessons)  # noqa: S311 - repeatable on purpose
    for number in range(searches):
        yield _TEXTS[number % len(_TEXTS)].format(number=chance.randrange(lessons), verb=chance.randrange(97))


def in_process(state: Path, lessons: int, searches: int, *, everywhere: bool) -> list[float]:
    """Seconds of each search, in one project or in all."""
    store = Store.open_read_only(Places(config=state / "config.toml", state=state).database)
    assert store
    taken = []
    with store:
        for number, text in enumerate(texts(searches, lessons)):
            project = None if everywhere else f"/home/mara/project-{number % PROJECTS}"
            begun = time.perf_counter()
            store.search(text, project, LIMIT, everywhere=everywhere)
            taken.append(time.perf_counter() - begun)
    return taken


def as_command(state: Path, lessons: int) -> list[float]:
    """Seconds of each `lessons search`, from start to exit."""
    variables = environment(state, SELFDISTILL_STATE_DIR=str(state))
    words = ("lessons", "search", "--all", "--json", "--")
    return [live([*PROGRAM, *words, text], variables).wall_s for text in texts(COMMANDS, lessons)]


def rows(lessons: int, searches: int, rounds: int) -> Iterator[Row]:
    """The figures for so many lessons."""
    with tempfile.TemporaryDirectory(prefix="selfdistill-searching-") as directory:
        state = Path(directory) / "state"
        state.mkdir(mode=0o700)
        active = hook_latency.plant(state, lessons)
        for everywhere in (False, True):
            taken = in_process(state, lessons, searches, everywhere=everywhere)
            where = "in every project" if everywhere else f"in one of {PROJECTS} projects"
            how = f"{searches} searches in process {where}, {active} active lessons"
            yield Row(f"search, {lessons} lessons, {where}, p50", statistics.median(taken) * 1000, "ms", how)
            yield Row(f"search, {lessons} lessons, {where}, p95", percentile(taken, 0.95) * 1000, "ms", how)
        taken = as_command(state, lessons)
        how = f"`lessons search --all`, start to exit, {len(taken)} times"
        yield Row(f"search, {lessons} lessons, as a command, p50", statistics.median(taken) * 1000, "ms", how)
        yield from hook_rows(state, lessons, rounds)


def hook_rows(state: Path, lessons: int, rounds: int) -> Iterator[Row]:
    """The slowest event of a hook, against an interpreter that does nothing."""
    found = hook_latency.figures(hook_latency.measure(state, rounds))
    for share, limit in (("p50", MEDIAN_AT_MOST), ("p95", P95_AT_MOST)):
        slowest = max(hook_latency.events(), key=lambda event: found[event][f"{share}_ratio"])
        how = f"slowest event: {slowest}, {found[slowest][f'{share}_ms']:.1f} ms start to exit, {rounds} rounds"
        value = found[slowest][f"{share}_ratio"]
        yield Row(f"hook, {lessons} lessons, {share}", value, "x `python -c pass`", how, Target(limit))


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how much is searched."""
    parser.add_argument("--lessons", type=int, nargs="+", default=[1_000, 10_000, 100_000], metavar="N")
    parser.add_argument("--searches", type=int, default=200, metavar="N", help="at each number of lessons (200)")
    parser.add_argument("--hook-rounds", type=int, default=10, metavar="N", help="of each event of the hook (10)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    chosen = parser.parse_args()
    compile_program()
    print(table(row for lessons in chosen.lessons for row in rows(lessons, chosen.searches, chosen.hook_rounds)))


if __name__ == "__main__":
    main()

"""All that the product promises of speed and size, measured in one go: one table of figures against their targets.

Usage: python -m bench.speed [--home DIR] [--rounds N] [--profile] [--only PART ...] [sizes]

Without `--home` a HOME is invented (`bench.invented_home`); DIR is only read: its logs are copied, times kept. All of
it happens in a temporary directory (TMPDIR), with room for the logs and, for the peer, twice that. The parts:

* throughput  `run --limit 0` against a bare read, `json.loads` and `orjson` (`pip install orjson`), and the same again
* one_log     time and peak memory against the size of one log, drawn where matplotlib is installed
* daemon      first start, warm restart, idling, from an append to its lesson with other sessions active
* search      among 1,000, 10,000 and 100,000 lessons: in process, as a command, in a hook
* peers       agentsview, from PyPI, on the same HOME: sync, no-op rescan, idling, search

The targets are those of the full size: --megabytes 10000 --logs 100000 --directories 2000 --one-log 10 100 1000 2000
--active 1000 --idle-seconds 600 --rounds 1. Results are kept in `bench/results/speed.csv` and `.png`, or below `--out`.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench import idle, invented_home, one_log, peers, searching, throughput
from bench.measuring import MEGABYTE, RESULTS, Row, compile_program, load, machine, skipped, table, write_table

PLACES: Final = (".claude/projects", ".config/claude/projects", ".codex/sessions", ".codex/archived_sessions")
PARTS: Final = ("throughput", "one_log", "daemon", "search", "peers")
ON_A_HOME: Final = frozenset({"throughput", "daemon", "peers"})


def copied(given: Path, home: Path) -> list[Path]:
    """A copy of the plain logs of a HOME."""
    for place in PLACES:
        if (given / place).is_dir():
            shutil.copytree(given / place, home / place)  # copy2: times are kept
    return [path for place in PLACES for path in sorted((home / place).rglob("*.jsonl"))]


def measured(work: Path, chosen: argparse.Namespace, told: str) -> Iterator[Row]:
    """The rows of all chosen parts."""
    if not ON_A_HOME.isdisjoint(chosen.only) or chosen.profile:
        yield from on_a_home(work, chosen)
    if "one_log" in chosen.only:
        points = list(one_log.points(work, chosen.one_log))
        yield from one_log.rows(points)
        if not one_log.draw(points, chosen.out / "speed.png", told):
            yield skipped("speed.png", "`pip install matplotlib` first")
    if "search" in chosen.only:
        for lessons in chosen.lessons:
            yield from searching.rows(lessons, chosen.searches, chosen.hook_rounds)


def on_a_home(work: Path, chosen: argparse.Namespace) -> Iterator[Row]:
    """The rows of those parts that need many logs. The daemon comes last: its part appends to the logs."""
    home = work / "home"
    logs = copied(chosen.home, home) if chosen.home else invented_home.lay_out(home, invented_home.shape_of(chosen))
    size = sum(path.stat().st_size for path in logs)
    yield Row("logs", size / MEGABYTE, "MB", f"{len(logs)} logs, {'copied' if chosen.home else 'invented'}")
    if "throughput" in chosen.only:
        yield from throughput.rows(work, home, logs, chosen.rounds)
    if chosen.profile:
        throughput.profile(home, work / "state-profile")
    if "peers" in chosen.only:
        yield from peers.rows(work, home, size, chosen.agentsview, chosen.idle_seconds)
    if "daemon" in chosen.only:
        yield from idle.rows(
            home, logs, idle_seconds=chosen.idle_seconds, appends=chosen.appends, active_sessions=chosen.active
        )
    shutil.rmtree(home)


def options() -> argparse.ArgumentParser:
    """What may be chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, metavar="DIR", help="a HOME with agents' logs instead of an invented one")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="(all parts)")
    parser.add_argument("--rounds", type=int, default=3, help="how often the throughput is measured (3)")
    parser.add_argument("--profile", action="store_true", help="also profile a run, to standard error")
    invented_home.add_options(parser)
    sizes = [10, 100, 1000]
    parser.add_argument("--one-log", type=int, nargs="+", default=sizes, metavar="MB", help="sizes (10 100 1000)")
    parser.add_argument("--idle-seconds", type=float, default=20.0, help="how long idling is watched (20)")
    parser.add_argument("--appends", type=int, default=30, help="how many appends are waited for (30)")
    parser.add_argument("--active", type=int, default=20, help="other sessions that are appended to meanwhile (20)")
    searching.add_options(parser)
    parser.add_argument("--agentsview", default=peers.REQUIREMENT, metavar="REQUIREMENT", help="or a wheel, for pip")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results are kept (bench/results)")
    return parser


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print and keep the table. Rows are told as they come, to standard error."""
    chosen = options().parse_args(words)
    told = machine()
    compile_program()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="selfdistill-speed-") as directory:
        for row in measured(Path(directory), chosen, told):
            print("  ".join(row.texts()), file=sys.stderr, flush=True)
            rows.append(row)
    told += f", load {load()} at the end"
    command = shlex.join(["python", "-m", "bench.speed", *(sys.argv[1:] if words is None else words)])
    print(f"{told}\n{command}\n\n{table(rows)}")
    write_table(chosen.out / "speed.csv", rows, told, command)


if __name__ == "__main__":
    main()

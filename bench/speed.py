"""How fast `run --limit 0` is on a HOME full of logs, against `json.loads` over the same lines, in one go.

Usage: python -m bench.speed --home DIR [--rounds N] [--profile]

DIR is only read: its logs are copied, times kept, and each state directory is a fresh one. Yardstick and program take
turns, so that both meet one load: the table shows the fastest of each, the ratio is the median over the rounds.
Aim: as fast as `json.loads`; must: 1.5 times that plus start-up; peak RSS below 120 MB; a second run adds no lesson
and takes less than 2 s.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from selfdistill.cli.main import main as selfdistill

MEGABYTE = 1e6
PROGRAM = [sys.executable, "-c", "import sys; from selfdistill.cli.main import main; sys.exit(main())"]
PLACES = (".claude/projects", ".config/claude/projects", ".codex/sessions", ".codex/archived_sessions")


class Measured:
    """One life of the program: wall and processor seconds, peak memory, manifest."""

    def __init__(self, home: Path, state: Path, *words: str) -> None:
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "SELFDISTILL_STATE_DIR": str(state)}
        output = state.with_suffix(".json")
        started = time.perf_counter()
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        actions = [(os.POSIX_SPAWN_OPEN, 1, str(output), flags, 0o600)]
        pid = os.posix_spawn(sys.executable, [*PROGRAM, *words], environment, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        self.seconds = time.perf_counter() - started
        self.processor_seconds = usage.ru_utime + usage.ru_stime
        self.peak_megabytes = usage.ru_maxrss / (1 if sys.platform == "darwin" else 1024) * 1.048576
        self.exit_code = os.waitstatus_to_exitcode(status)
        text = output.read_text()
        self.manifest: dict[str, Any] = json.loads(text) if text.startswith("{") else {}

    def line(self, name: str, size: int) -> str:
        """One line of the table; `size` in bytes."""
        speed = f"{size / MEGABYTE / self.seconds:7.1f}" if size else "      -"
        made = self.manifest
        figures = f"{made.get('sessions_processed', 0):8} {made.get('lessons_generated', 0):8}"
        return (
            f"{name:30} {self.seconds:8.2f} {self.processor_seconds:8.2f} {speed} {self.peak_megabytes:8.1f} {figures}"
        )


def logs_of(home: Path) -> list[Path]:
    """Every plain log of a HOME."""
    return [path for place in PLACES for path in sorted((home / place).rglob("*.jsonl"))]


def yardstick(logs: list[Path]) -> tuple[float, int, int]:
    """Seconds that `json.loads` takes over every line, the bytes, and the lines that are no JSON."""
    size = refused = 0
    started = time.perf_counter()
    for path in logs:
        with path.open("rb") as file:
            for line in file:
                size += len(line)
                try:
                    json.loads(line)
                except ValueError:
                    refused += 1
    return time.perf_counter() - started, size, refused


class Round:
    """One turn of everything: the yardstick, start-up, a first run, and the same run again."""

    def __init__(self, work: Path, home: Path, logs: list[Path], number: int) -> None:
        self.yardstick_seconds, self.size, self.refused = yardstick(logs)
        state = work / f"state-{number}"
        self.start_up = Measured(work / "empty", work / "state-empty", "run", "--json")
        self.first = Measured(home, state, "run", "--limit", "0", "--json")
        self.second = Measured(home, state, "run", "--limit", "0", "--json")


def report(logs: list[Path], rounds: list[Round]) -> None:
    """Print the table: the fastest of each, then every round's figures."""
    size = rounds[0].size
    seconds = min(one.yardstick_seconds for one in rounds)
    start_up = min((one.start_up for one in rounds), key=lambda one: one.seconds)
    first = min((one.first for one in rounds), key=lambda one: one.seconds)
    second = min((one.second for one in rounds), key=lambda one: one.seconds)
    print(f"{len(logs)} logs, {size / MEGABYTE:.1f} MB, {rounds[0].refused} lines that are no JSON\n")
    print(f"{'':30} {'wall s':>8} {'cpu s':>8} {'MB/s':>7} {'RSS MB':>8} {'sessions':>8} {'lessons':>8}")
    print(f"{'json.loads over the lines':30} {seconds:8.2f} {'':8} {size / MEGABYTE / seconds:7.1f}")
    print(start_up.line("start-up (one empty log)", 0))
    print(first.line("run --limit 0", size))
    print(second.line("the same again", size))
    ratios = [(one.first.seconds - one.start_up.seconds) / one.yardstick_seconds for one in rounds]
    print(f"\nratio to json.loads, without start-up: {statistics.median(ratios):.2f}")
    print(f"skipped: {first.manifest.get('sessions_skipped')}, failed: {first.manifest.get('sessions_failed')}")
    print("json.loads, each round:", *(f"{one.yardstick_seconds:.2f}" for one in rounds))
    print("run, each round:       ", *(f"{one.first.seconds:.2f}" for one in rounds))
    print("ratio, each round:     ", *(f"{ratio:.2f}" for ratio in ratios))
    codes = {made.exit_code for one in rounds for made in (one.start_up, one.first, one.second)}
    print("exit codes:            ", *sorted(codes))


def profile(home: Path, state: Path) -> None:
    """Where the time of a run goes, inside this process."""
    os.environ["HOME"] = str(home)
    profiler = cProfile.Profile()
    profiler.enable()
    selfdistill(["--state-dir", str(state), "run", "--limit", "0", "--json"])
    profiler.disable()
    pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True, help="a HOME with agents' logs; it is only read")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--profile", action="store_true", help="also profile a run, to standard error")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        home = work / "home"
        for place in PLACES:
            if (arguments.home / place).is_dir():
                shutil.copytree(arguments.home / place, home / place)  # copy2: times are kept
        (work / "empty" / ".claude" / "projects" / "p").mkdir(parents=True)
        (work / "empty" / ".claude" / "projects" / "p" / "0.jsonl").touch()
        logs = logs_of(home)
        yardstick(logs)  # the first pass fills the page cache
        Measured(work / "empty", work / "state-empty", "run", "--json")  # the first run may compile
        report(logs, [Round(work, home, logs, number) for number in range(arguments.rounds)])
        if arguments.profile:
            profile(home, work / "state-profile")


if __name__ == "__main__":
    main()

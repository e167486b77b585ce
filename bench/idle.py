"""What the daemon costs while nothing happens, how soon it has started, and how soon it tells when something happens.

Usage: python -m bench.idle [--logs 10000] [--directories 200] [--hot 50] [--seconds 300] [--appends 50] [--active 0]

Lays out that many small invented logs, in which there is nothing to learn, in a temporary home (`--hot` of them changed
within the last day), lets a daemon with default settings catch up, starts it anew and measures its memory, CPU time and
wake-ups over `--seconds`. Then, with `settle_seconds = 0`, appends a session to one log after the other and waits for
its lesson: in the database, and in the status file; `--active` other logs grow meanwhile. `bench.speed` does the same
on a HOME with logs in which there is something to learn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.daemons import DAY_SECONDS, SESSION, Start, active, configure, daemon, idle, is_copied, latencies, wait
from bench.measuring import Row, Target, compile_program, machine, memory_mib, percentile, table

DEFAULT_SETTLE_SECONDS: Final = 120
AFTER_START_SECONDS: Final = 3  # what it does after its start is no idling
COPY_WITHIN_SECONDS: Final = 300
FEW_LOGS: Final = 1_000


def lay_out(home: Path, count: int, directories: int, hot: int) -> list[Path]:
    """The logs: a prompt and its answer each, last written at any time of the last year."""
    lines = SESSION.splitlines(keepends=True)
    small = lines[0] + lines[-1]
    now = time.time()
    made = []
    for number in range(count):
        directory = home / ".claude" / "projects" / f"-home-mara-project-{number % directories}"
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{number:08x}-7d14-4f0a-9c55-0e2b6a1d7711.jsonl"
        path.write_bytes(
            small.replace(b"5f0c1e52-7d14", b"%08x-7d14" % number).replace(b'"uuid": "', b'"uuid": "%d-' % number)
        )
        age = 600 + number * 80_000 / hot if number < hot else (2 + 363 * number / count) * DAY_SECONDS
        os.utime(path, (now - age, now - age))
        made.append(path)
    return made


def rows(home: Path, logs: Sequence[Path], *, idle_seconds: float, appends: int, active_sessions: int) -> Iterator[Row]:
    """The figures of three lives: on a HOME that it does not know, on one that it knows, and with settling at once."""
    configure(home, DEFAULT_SETTLE_SECONDS)
    with daemon(home, len(logs)) as start:
        peak = memory_mib(start.pid, "VmHWM")
        wait(lambda: is_copied(home), COPY_WITHIN_SECONDS, pause=1)  # the daily copy is no idling
    yield from _first_start(start, peak, len(logs))
    with daemon(home, len(logs)) as start:
        time.sleep(AFTER_START_SECONDS)
        found = idle(start.pid, idle_seconds)
    yield from _restart(start)
    yield from _idling(found, len(logs), f"over {idle_seconds:g} s, {len(logs)} logs known")
    configure(home, 0)
    claude = [path for path in logs if not path.name.startswith("rollout-")]
    met, busy = claude[-appends:], claude[:-appends][:active_sessions]
    with daemon(home), active(busy):
        time.sleep(1)
        stored, told = latencies(home, met)
    yield from _latency(stored, told, f"{len(met)} appends, no settling, {len(busy)} other sessions active")


def _first_start(start: Start, peak_mib: float, logs: int) -> Iterator[Row]:
    how = f"{logs} logs, page cache warm, from start to "
    yield Row("first start, READY", start.ready_s, "s", f"{how}READY=1", Target(5))
    yield Row("first start, catalogue", start.catalogue_s, "s", f"{how}all logs known", Target(30))
    yield Row("first start, at rest", start.rest_s, "s", f"{how}all distilled: {start.cpu_s:.2f} s CPU")
    yield Row("first start, peak RSS", peak_mib, "MiB", "of the daemon's own process", Target(150))


def _restart(start: Start) -> Iterator[Row]:
    how = "nothing has changed, from start to "
    yield Row("warm restart, READY", start.ready_s, "s", f"{how}READY=1", Target(1))
    yield Row("warm restart, at rest", start.rest_s, "s", f"{how}all looked at")
    yield Row("warm restart, CPU", start.cpu_s, "s", f"{how}all looked at", Target(2))
    yield Row("SIGTERM to exit", start.exit_s, "s", "while idle", Target(5))


def _idling(found: dict[str, float], logs: int, how: str) -> Iterator[Row]:
    yield Row("idle RSS", found["RSS idle, MiB"], "MiB", how, Target(40))
    share = Target(0.02 if logs <= FEW_LOGS else 0.1)
    yield Row("idle CPU", found["CPU idle, % of a core"], "% of a core", how, share)
    yield Row("idle wake-ups", found["wake-ups a minute"], "/min", how, Target(4))
    yield Row("idle writes", found["written idle, MB/h"], "MB/h", how, Target(1))
    yield Row("open files", found["open files"], "", how, Target(24))


def _latency(stored: Sequence[float], told: Sequence[float], how: str) -> Iterator[Row]:
    for place, taken in (("database", stored), ("status", told)):
        yield Row(f"append to lesson in {place}, p50", statistics.median(taken) * 1000, "ms", how, Target(50))
        yield Row(f"append to lesson in {place}, p99", percentile(taken, 0.99) * 1000, "ms", how, Target(250))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = {"logs": 10_000, "directories": 200, "hot": 50, "seconds": 300, "appends": 50, "active": 0}
    for name, default in usual.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args()
    compile_program()
    with tempfile.TemporaryDirectory(prefix="selfdistill-idle-") as directory:
        home = Path(directory) / "home"
        logs = lay_out(home, chosen.logs, chosen.directories, chosen.hot)
        found = rows(home, logs, idle_seconds=chosen.seconds, appends=chosen.appends, active_sessions=chosen.active)
        print(f"{machine()}\n\n{table(found)}")


if __name__ == "__main__":
    main()

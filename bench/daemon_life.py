"""What the daemon costs on a HOME: first start, warm restart, idling, and how soon an append becomes a lesson."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from bench.idle import Start, active, configure, daemon, idle, latencies, memory_mib
from bench.measuring import Row, Target, percentile

DEFAULT_SETTLE_SECONDS: Final = 120
AFTER_START_SECONDS: Final = 3  # what it does after its start is no idling
FEW_LOGS: Final = 1_000


def rows(home: Path, logs: Sequence[Path], *, idle_seconds: float, appends: int, active_sessions: int) -> Iterator[Row]:
    """The figures of three lives: on a HOME that it does not know, on one that it knows, and with settling at once."""
    configure(home, DEFAULT_SETTLE_SECONDS)
    with daemon(home, len(logs)) as start:
        peak = memory_mib(start.pid, "VmHWM")
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

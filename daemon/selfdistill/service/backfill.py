"""Whether several processes are worth their start, and if so, the reading ahead that they do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from selfdistill.service.pipeline import BYTES_PER_MIB

if TYPE_CHECKING:
    from selfdistill.service.assembly import Assembly
    from selfdistill.service.reading_ahead import ReadAhead
    from selfdistill.store import PendingLog

PROCESSES_FROM_BYTES: Final = 256 * BYTES_PER_MIB  # some seconds; on a busy machine a process takes 2 s to start
MOST_PROCESSES: Final = 2  # 45 MiB each: with the one that commits they stay below 150 MiB in sum


@contextmanager
def ahead_for(
    assembly: Assembly,
    logs: Sequence[PendingLog],
    stopped: Callable[[], bool] = lambda: False,
    *,
    again: bool = False,
    least_bytes: int = PROCESSES_FROM_BYTES,
) -> Iterator[ReadAhead | None]:
    """Processes that read these logs ahead, if that is worth it; None, and this process reads, if not."""
    processes = _processes_worth(logs, again=again, least_bytes=least_bytes)
    if not processes:
        yield None
        return
    # 2 MiB that a daemon at rest does not need.
    from selfdistill.service.reading_ahead import reading_ahead  # noqa: PLC0415

    with reading_ahead(assembly.store, assembly.pipeline, assembly.config, processes, stopped) as ahead:
        yield ahead


def is_plain(log: PendingLog) -> bool:
    """Whether a log is a file of lines: what is rendered from databases and documents is read where it is committed."""
    return log.path.suffix == ".jsonl"


def _processes_worth(logs: Sequence[PendingLog], *, again: bool, least_bytes: int) -> int:
    """How many processes to start: none for one log, for little work, or on one core."""
    plain = [log for log in logs if is_plain(log)]
    due = sum(log.stat.size - (0 if again else min(log.distilled_size, log.stat.size)) for log in plain)
    return min(MOST_PROCESSES, _cores()) if due >= least_bytes and len(plain) > 1 and _cores() > 1 else 0


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1

"""Which logs are due, which belong to the newest sessions, and which come last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from selfdistill.ingest.settling import Pending, is_due

if TYPE_CHECKING:
    from selfdistill.config import Settling
    from selfdistill.store import PendingLog

SUSPECT_DEATHS: Final = 2  # of processes over one log, in a row; one may be anybody's `kill -9`, or the power


def due_logs(logs: Iterable[PendingLog], settling: Settling, now: float) -> tuple[list[PendingLog], list[PendingLog]]:
    """The logs whose time has come, and those that have not settled or failed lately; both in the order given."""
    due = []
    waiting = []
    for log in logs:
        pending = Pending(min(log.changed_at, now), min(log.pending_since or now, now), log.turn)
        if is_due(pending, settling, now) and (log.not_before is None or log.not_before <= now):
            due.append(log)
        else:
            waiting.append(log)
    return due, waiting


def suspects_last(logs: Sequence[PendingLog]) -> list[PendingLog]:
    """The logs over which no process has died, then the others: should one of those take us along, all else is done."""
    return sorted(logs, key=lambda log: log.deaths > 0)


def rounds(logs: Sequence[PendingLog], most: int) -> Iterator[list[PendingLog]]:
    """These logs a few at a time, at most so many; suspects last and each alone, so that nobody waits for one."""
    others = [log for log in logs if log.deaths < SUSPECT_DEATHS]
    yield from (others[start : start + most] for start in range(0, len(others), most))
    yield from ([log] for log in logs if log.deaths >= SUSPECT_DEATHS)


def newest_sessions(logs: Sequence[PendingLog], limit: int) -> tuple[list[PendingLog], int]:
    """The logs of the `limit` newest sessions (0: all), and how many sessions are left for later."""
    sessions: dict[tuple[str, str], list[PendingLog]] = {}
    for log in logs:
        sessions.setdefault(session_of(log), []).append(log)
    ordered = sorted(sessions.values(), key=lambda group: -max(log.stat.mtime_ns for log in group))
    taken = ordered if limit <= 0 else ordered[:limit]
    return [log for group in taken for log in group], len(ordered) - len(taken)


def session_of(log: PendingLog) -> tuple[str, str]:
    """What groups the logs of one session before they are read."""
    return log.source, log.session or log.session_hint or str(log.path)

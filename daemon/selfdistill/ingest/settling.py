"""When is a session settled? Pure; all times are seconds on one clock of the caller's choice (monotonic in the daemon).

Rules (rulings.md, "Settling"): an end mark, at once; a closed turn, `settle_seconds` of quiet; an open turn,
`max_wait_minutes`; an open call, `open_call_hours`; a log that never rests, `max_wait_minutes` after its first
undistilled byte. Without that last rule a busy log starves (maestral waits for quiet without any limit).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from selfdistill.model import Turn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfdistill.config import Settling


class Pending(Struct, frozen=True, gc=False):
    """A log with undistilled bytes. `turn` is None until somebody has looked at its last record."""

    changed_at: float  # when its size last changed, as far as we know
    pending_since: float  # when its first undistilled byte was seen
    turn: Turn | None = None
    over: bool = False  # its agent said, elsewhere than in the log, that the session is over


def first_sight(modified: float, wall: float, now: float) -> Pending:
    """A log met with undistilled bytes: quiet counts from its modification time if that is in the past.

    `modified` and `wall` are on the wall clock, `now` on the caller's. A time in the future counts as now.
    """
    changed_at = now - max(0.0, wall - modified)
    return Pending(changed_at=changed_at, pending_since=changed_at)


def grown(pending: Pending, now: float) -> Pending:
    """The same log after its size has changed; how its turn stands must be looked at again."""
    # Not simply `now`: on a clock set back and then forward again the quiet time would look longer than it was.
    return Pending(changed_at=max(pending.changed_at, now), pending_since=pending.pending_since)


def looked_at(pending: Pending, turn: Turn) -> Pending:
    """The same log, now that its last record has told how its turn stands."""
    return Pending(pending.changed_at, pending.pending_since, turn, pending.over)


def ended(pending: Pending) -> Pending:
    """The same log, now that its agent has said that the session is over; what grows afterwards is not."""
    return Pending(pending.changed_at, pending.pending_since, pending.turn, over=True)


def due_at(pending: Pending, settings: Settling) -> float:
    """When this log is to be distilled if nothing more is written to it."""
    if pending.over or pending.turn is Turn.ENDED:
        return pending.pending_since
    longest_wait = pending.pending_since + settings.max_wait_minutes * 60
    if longest_wait < pending.changed_at + settings.settle_seconds:  # still growing then
        return longest_wait
    return pending.changed_at + _quiet_seconds(pending.turn, settings)


def is_due(pending: Pending, settings: Settling, now: float) -> bool:
    """Whether this log is to be distilled now."""
    return pending.over or pending.turn is Turn.ENDED or now >= due_at(pending, settings)


def next_wake(pending: Iterable[Pending], not_before: Iterable[float], settings: Settling, now: float) -> float | None:
    """When there will be something to do: `now` if there is already, None if nothing waits.

    `not_before` are the retry times of logs that failed; such a log is not among `pending` until its time has come.
    """
    times = [now if is_due(one, settings, now) else due_at(one, settings) for one in pending]
    times.extend(not_before)
    return max(now, min(times)) if times else None


def _quiet_seconds(turn: Turn | None, settings: Settling) -> float:
    """The quiet time that this turn needs; an open one never less than a closed one, whatever the settings."""
    if turn is Turn.OPEN:
        return max(settings.settle_seconds, settings.max_wait_minutes * 60)
    if turn is Turn.OPEN_CALL:
        return max(settings.settle_seconds, settings.open_call_hours * 3600)
    return settings.settle_seconds

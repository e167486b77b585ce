"""When the next call may be made, after failures: backoff, circuit breaker, blocked. Pure; the state is stored.

Full jitter (a random part of a growing wait) is from AWS' "Exponential Backoff And Jitter"; the breaker is Nygard's
("Release It!"): closed, open after failures in a row, half-open for a single probe.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct, structs

BASE_SECONDS: Final = 30.0
CAP_SECONDS: Final = 3600.0
"""No wait is longer, whatever a service asks for: a typing error there must not silence us for a day."""

BREAKER_FAILURES: Final = 5
BREAKER_SECONDS: Final = 600.0
"""First wait of an open breaker; doubled by a failed probe, at least half of it is kept. With no luck at all an hour of
outage sees 5 calls and 6 probes."""

BREAKER_CAP_SECONDS: Final = 1200.0
"""Longest wait of an open breaker: a service that is back is noticed so soon, however long it was away."""

BLOCKED_SECONDS: Final = 3600.0
"""One call an hour while blocked: an account that was topped up, or a key that was allowed, changes nothing here."""

_SHORTEST_SECONDS: Final = 1.0


class Patience(Struct, frozen=True, omit_defaults=True):
    """What is known of the service's health; the default is "all is well". Times are seconds since the epoch, UTC.

    `blocked_by` is the reason in words, "" if nothing blocks; it holds for `fingerprint` (key, model and address) only.
    """

    failures: int = 0
    not_before: float = 0.0
    last_error: str = ""
    blocked_by: str = ""
    fingerprint: str = ""


class Readiness(StrEnum):
    """Whether a call may be made now."""

    READY = "ready"
    PROBE = "probe"  # one call, to see whether the service is back
    WAITING = "waiting"
    BLOCKED = "blocked"


def readiness(patience: Patience, now: float, fingerprint: str) -> Readiness:
    """Whether a call may be made at this time, with this key, model and address."""
    if patience.blocked_by and patience.fingerprint != fingerprint:
        return Readiness.READY
    if seconds_to_wait(patience, now) > 0:
        return Readiness.BLOCKED if patience.blocked_by else Readiness.WAITING
    return Readiness.PROBE if patience.blocked_by or is_open(patience) else Readiness.READY


def is_open(patience: Patience) -> bool:
    """Whether the circuit breaker is open: the last calls failed, whatever they were about."""
    return patience.failures >= BREAKER_FAILURES


def seconds_to_wait(patience: Patience, now: float) -> float:
    """Seconds until the next call may be made; 0 if it may be made now.

    A wait longer than any we ever set means that the clock was set back: it is over.
    """
    left = patience.not_before - now
    return left if 0 < left <= CAP_SECONDS else 0.0


def after_success(patience: Patience) -> Patience:
    """The state after an answer: all is well."""
    del patience
    return Patience()


def after_failure(
    patience: Patience, now: float, chance: float, error: str, *, retry_after: float | None = None
) -> Patience:
    """The state after a call that may succeed later. `chance` is random, 0 to 1; `retry_after` the service's wish."""
    failures = patience.failures + 1
    wait = max(_backoff(failures, chance), _wish(retry_after))
    return Patience(failures=failures, not_before=now + wait, last_error=error)


def after_rejection(patience: Patience, now: float, chance: float, error: str) -> Patience:
    """The state after a request that was refused for itself (400, 413): others may pass, so nothing waits.

    Refusals in a row open the breaker like other failures: then not the session is at fault, but what we send.
    """
    failures = patience.failures + 1
    if failures >= BREAKER_FAILURES:
        return after_failure(patience, now, chance, error)
    return structs.replace(patience, failures=failures, last_error=error)


def after_block(patience: Patience, now: float, fingerprint: str, reason: str) -> Patience:
    """The state after a call that shows key, account, model or address to be wrong."""
    return Patience(
        failures=patience.failures + 1,
        not_before=now + BLOCKED_SECONDS,
        last_error=reason,
        blocked_by=reason,
        fingerprint=fingerprint,
    )


def retry_after_seconds(value: str, now: float) -> float | None:
    """What a `retry-after` header asks for (RFC 9110, 10.2.3: seconds or a date), in seconds; None for nonsense."""
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value, now)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _seconds_until(date: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (aware - datetime.fromtimestamp(now, UTC)).total_seconds())
    except (ValueError, OverflowError, OSError):
        return None


def _backoff(failures: int, chance: float) -> float:
    if failures < BREAKER_FAILURES:
        ceiling = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** (failures - 1))
        return max(_SHORTEST_SECONDS, ceiling * chance)
    # The exponent is bounded: after a weekend of failures 2.0 ** n would overflow.
    ceiling = min(BREAKER_CAP_SECONDS, BREAKER_SECONDS * 2.0 ** min(failures - BREAKER_FAILURES, 10))
    return ceiling * (0.5 + 0.5 * chance)


def _wish(retry_after: float | None) -> float:
    if retry_after is None or not math.isfinite(retry_after):
        return 0.0
    return min(max(retry_after, 0.0), CAP_SECONDS)

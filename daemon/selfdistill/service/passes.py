"""When the periodic passes over the logs are due: the directories, the logs that changed lately, everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from selfdistill.service.telling import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfdistill.config import Scanning

SLACK_SECONDS: Final = 1.0  # passes that are due within so little time of each other share one wake-up


class Passes:
    """The next time of each pass, on the monotonic clock."""

    def __init__(self, scanning: Scanning) -> None:
        self._periods = {
            "directories": scanning.directories_every_seconds,
            "hot": scanning.hot_every_seconds,
            "full": scanning.full_every_minutes * 60,
        }
        if scanning.watch:
            self._periods["canary"] = scanning.canary_every_seconds
        self._next: dict[str, float] = {}

    @property
    def longest_sleep(self) -> float:
        """How long may go by between two passes, in seconds."""
        return min(period for name, period in self._periods.items() if name != "hot")

    def begin(self, now: float) -> None:
        """The full one is due at once, the others when their time has come."""
        self._next = {name: now + period for name, period in self._periods.items()} | {"full": now}

    def put(self, name: str, when: float) -> None:
        """The next time of one of them."""
        self._next[name] = when

    def is_due(self, name: str, now: float, *, hurry: bool = False) -> bool:
        """Whether a pass is due, or wanted in a hurry; if so its next time is set."""
        if name not in self._periods:
            return False
        period = self._periods[name]
        if not hurry and now + min(SLACK_SECONDS, period / 10) < self._next.get(name, NEVER):
            return False
        self._next[name] = now + period
        return True

    def times(self, *, without: Iterable[str] = ()) -> list[float]:
        """When they are due."""
        return [when for name, when in self._next.items() if name not in without]

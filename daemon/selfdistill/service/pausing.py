"""When distilling rests: the disk is too full, or the store cannot be used for now. Nothing is lost meanwhile."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

BYTES_PER_MIB: Final = 1024 * 1024
PAUSE_SECONDS: Final = 60.0


class Pause:
    """Whether distilling rests, why, and until when (monotonic seconds)."""

    def __init__(self, log: FilteringBoundLogger, state: Path, min_free_mib: float) -> None:
        self._log = log
        self._state = state
        self._min_free_mib = min_free_mib
        self.reason = ""
        self.advice = ""
        self.until = 0.0

    def begin(self, message: str, advice: str) -> None:
        """Rest for a while from now on."""
        if not self.reason:
            self._log.warning("paused", reason=message)
        self.reason, self.advice, self.until = message, advice, time.monotonic() + PAUSE_SECONDS

    def is_over(self) -> bool:
        """Whether there is no pause, or it has come to its end and there is room; too little room is a new one."""
        if time.monotonic() < self.until:
            return False
        free = shutil.disk_usage(self._state).free
        if free < self._min_free_mib * BYTES_PER_MIB:
            self.begin(
                f"Only {free // BYTES_PER_MIB} MiB are free on the disk of {self._state}.",
                "Free some space, or lower `limits.min_free_mib`; distilling goes on by itself.",
            )
            return False
        if self.reason:
            self.reason = self.advice = ""
            self._log.info("resumed")
        return True

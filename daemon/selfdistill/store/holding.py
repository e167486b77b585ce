"""Who has the store open: everybody who writes shares a lock on a file beside it; replacing the store needs it alone.

SQLite's own locks cannot say that: they end with each transaction, and a database that is moved away under an open
connection takes what is written after it (sqlite.org/howtocorrupt.html, 4.2). The kernel frees it with its holder.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING, Final, Self

from selfdistill.errors import StoreBusy
from selfdistill.store.database import translate_system

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_RETRY_SECONDS: Final = 0.01
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class Hold:
    """One holder's lock on the store at `path`; `close` lets it go. Holders of one process are apart, too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.alone = False
        try:
            self._descriptor = os.open(path.with_name(f"{path.name}.lock"), _FLAGS, 0o600)
        except OSError as error:
            raise translate_system(error, path) from error

    def take(self, patience_seconds: float, *, alone_if: Callable[[], bool]) -> None:
        """Hold the store: alone where nobody else does, else with others, unless `alone_if` says that this will not do.

        Raises StoreBusy after `patience_seconds`.
        """
        give_up_at = time.monotonic() + patience_seconds
        while not self.try_alone():
            if not alone_if() and self._lock(fcntl.LOCK_SH):
                return
            if time.monotonic() >= give_up_at:
                raise StoreBusy(
                    f"The store {self.path} must be put right, but another process still has it open.",
                    "It is tried again later. `selfdistill status` shows the daemon; other commands end by themselves.",
                )
            time.sleep(_RETRY_SECONDS)

    def try_alone(self) -> bool:
        """Hold the store alone from now on, if nobody else holds it."""
        self.alone = self._lock(fcntl.LOCK_EX)
        return self.alone

    def share(self) -> None:
        """Let others in. For a moment nobody holds the lock, so nothing may be open then."""
        self.alone = False
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def close(self) -> None:
        """Let go; again does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self, kind: int) -> bool:
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

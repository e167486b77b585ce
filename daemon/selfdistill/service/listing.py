"""When a database is to be listed: not while nothing was committed to it, nor more often than its size allows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from selfdistill.errors import LogProblem
from selfdistill.ingest.sessions import sessions
from selfdistill.model import Skip, Stat

if TYPE_CHECKING:
    from pathlib import Path

    from selfdistill.layouts import Database
    from selfdistill.store import KnownLog

REST: Final = 30  # times as long as the last listing took: 3 % of a core for a database that is written to all the time
CHEAP_SECONDS: Final = 0.05  # a listing that takes no longer may follow every hint: they come once a second
RACY_NS: Final = 2_000_000_000  # a file written so lately may change again without a new time or size
_NEVER: Final = Stat(0, 0, -1, 0, 0)


class Listings:
    """What the last listing of each database was made of. For one thread."""

    def __init__(self) -> None:
        self._listed: dict[Path, Stat] = {}
        self._rests_until: dict[Path, float] = {}
        self.present: set[Path] = set()  # databases that were met since `begin`

    def begin(self) -> None:
        """A full pass begins; databases that it did not meet twice in a row are forgotten."""
        for path in self._listed.keys() - self.present:
            del self._listed[path]
        self._rests_until.clear()
        self.present.clear()

    def note_present(self, path: Path) -> None:
        """A database is there, whether it can be read or not."""
        self.present.add(path)

    def is_known(self, path: Path, seen: Stat) -> bool:
        """Whether nothing was committed since the last listing."""
        return self._listed.get(path) == seen

    def is_too_soon(self, path: Path) -> bool:
        """Whether the last listing was so dear that a mere hint is not worth another; a pass finds it later."""
        return time.monotonic() < self._rests_until.get(path, 0.0)

    def list(self, path: Path, layout: Database, seen: Stat) -> dict[Path, Stat]:
        """The sessions; `seen` is what the database looked like before. Raises LogProblem."""
        begun = time.monotonic()
        young = time.time_ns() - seen.mtime_ns < RACY_NS
        self._listed[path] = msgspec.structs.replace(seen, size=-1) if young else seen
        try:
            return sessions(path, layout)
        except LogProblem as problem:
            if problem.reason == Skip.UNSETTLED:
                self.doubt(path)
            raise
        finally:
            now = time.monotonic()
            if now - begun > CHEAP_SECONDS:
                self._rests_until[path] = now + REST * (now - begun)

    def doubt(self, path: Path) -> None:
        """List it again at the next pass, whether it changes or not."""
        self._listed[path] = msgspec.structs.replace(self.known(path), size=-1)

    def known(self, path: Path) -> Stat:
        """What the database looked like when it was listed; like none at all where that is in doubt."""
        return self._listed.get(path, _NEVER)


def same_state(seen: Stat, known: KnownLog | None, database: Stat) -> Stat:
    """A session's stat; the known one if that is of the same state: some sessions have no time of their own.

    What has moved since the last listing was written to just now, whatever the session says of its time.
    """
    if known is None:
        return seen
    if (known.stat.ctime_ns, known.stat.size) == (seen.ctime_ns, seen.size):
        return known.stat
    return msgspec.structs.replace(seen, mtime_ns=max(seen.mtime_ns, database.mtime_ns))

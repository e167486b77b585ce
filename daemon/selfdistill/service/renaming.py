"""Logs that have another name now: archived, compressed, brought to another disk. They are not read twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfdistill.errors import LogProblem
from selfdistill.ingest.identity import Vanished, origin, same_bytes
from selfdistill.ingest.reading import open_log
from selfdistill.ingest.scanning import stat_logs
from selfdistill.model import Skip, Stat

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from selfdistill.sources.base import Source
    from selfdistill.store import KnownLog, Store


class Renaming:
    """Finds what a new path held before; `distiller` is the one whose cursors say how far a log was read."""

    def __init__(self, store: Store, distiller: str) -> None:
        self._store = store
        self._distiller = distiller

    def earlier(self, source: Source, path: Path, seen: Stat, *, session: bool) -> KnownLog | None:
        """The log that this new path held under a name that is gone: renamed in the catalogue, cursor and all.

        The same inode, size and time need no proof (reading asks for one anyway); else the bytes must be those that
        its cursor has read. `session`: the log lives in a database, whose sessions all have its inode: only the one
        with this key may have moved with it.
        """
        known = self._store.moved_candidates(source.name, source.session_hint(path), seen.dev, seen.ino)
        if session:
            known = [log for log in known if log.path.name == path.name]
        gone = {str(log.id): log for log in known if next(iter(stat_logs([log.path])))[1] is Skip.GONE}
        found = next((log for log in gone.values() if same_bytes(log.stat, seen)), None)
        if gone and found is None:
            found = gone.get(self._origin(gone, path, seen, source))
        return found if found is not None and self._store.rename(found.id, path) else None

    def _origin(self, gone: Mapping[str, KnownLog], path: Path, seen: Stat, source: Source) -> str:
        """Which of the vanished logs' cursors fits the bytes at this path; "" for none."""
        cursors = {key: self._store.cursor(log.id, self._distiller) for key, log in gone.items()}
        vanished = [Vanished(key, gone[key].stat, cursor.proof) for key, cursor in cursors.items() if cursor]
        if not vanished:
            return ""
        try:
            with open_log(path, source.layout) as opened:
                found = origin(vanished, seen, opened.proof)
        except LogProblem:  # whoever distills it meets the same problem, and the ledger tells it then
            return ""
        return found.key if found else ""

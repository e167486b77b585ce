"""Sessions that an agent's hook says are over: the files in `hints/`, taken in, and which logs are theirs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote

REMEMBERED_SECONDS: Final = 60.0  # an agent may write its last records, and the news of them come, after its hook ran
_SHORTEST: Final = 8  # a session's id; less than this is in many paths


class SessionEnds:
    """The sessions that have ended lately; times are on the caller's clock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ended: dict[str, float] = {}  # session -> until when it is remembered

    def take(self, now: float) -> bool:
        """Take in what lies there; whether there was anything. A file is gone once its session is known."""
        self._ended = {session: until for session, until in self._ended.items() if until > now}
        found = False
        for name in self._names():
            session = unquote(name)
            if len(session) >= _SHORTEST:
                self._ended[session] = now + REMEMBERED_SECONDS
                found = True
            (self._directory / name).unlink(missing_ok=True)
        return found

    def _names(self) -> list[str]:
        """What lies there but the canary and half a hint; nothing if somebody has deleted the directory."""
        try:
            with os.scandir(self._directory) as entries:
                return [entry.name for entry in entries if not entry.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def cover(self, path: Path) -> bool:
        """Whether a log belongs to one of these sessions: agents name logs, or a log's directory, by the session."""
        return any(session in part for session in self._ended for part in path.parts[-3:])

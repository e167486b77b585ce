"""Directories in which nothing has happened since they were compared with the catalogue: a glance is enough there.

To compare 100,000 logs one by one takes seconds, to see that they are what they were takes a `stat` each.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfdistill.ingest.scanning import Directory


class Still(Struct, frozen=True):
    """A directory as it was when the catalogue agreed with it: its `mark`, its own time, the directories in it."""

    mark: int
    mtime_ns: int
    directories: tuple[Path, ...]


class Mark:
    """One number for what a directory holds, entry by entry in the order of its listing; for this process only."""

    def __init__(self) -> None:
        self._number: int | None = 0

    def directory(self, name: str) -> None:
        """A directory, which has a mark of its own."""
        self._number = hash((self._number, name))

    def file(self, name: str, seen: os.stat_result) -> None:
        """Anything else: whatever happens to it shows in these figures."""
        if self._number is not None:
            figures = (seen.st_mode, seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
            self._number = hash((self._number, name, figures))

    def spoil(self) -> None:
        """An entry that nobody could look at: this listing is like no other."""
        self._number = None

    @property
    def number(self) -> int | None:
        """The mark; None for a listing that cannot be compared."""
        return self._number


def mark_of(path: Path) -> int | None:
    """The mark of a directory as it is now; None if it cannot be listed."""
    mark = Mark()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    mark.directory(entry.name)
                else:
                    mark.file(entry.name, entry.stat(follow_symlinks=False))
    except OSError:
        return None
    return mark.number


class Stillness:
    """The directories that agreed with the catalogue when they were compared last. Not for several threads."""

    def __init__(self) -> None:
        self._version: int | None = None
        self._still: dict[Path, Still] = {}
        self._unlike: set[Path] = set()  # directories of which a part did not agree in this pass

    def begin(self, version: int) -> None:
        """A pass over everything begins; another `version` of the catalogue than before agrees with nothing yet."""
        if version != self._version:
            self._still.clear()
        self._version = version
        self._unlike.clear()

    def of(self, path: Path) -> Still | None:
        """The directory as it was when it agreed; None: compare it."""
        return self._still.get(path)

    def compared(self, directory: Directory, *, agrees: bool) -> None:
        """A part of a directory was compared with the catalogue."""
        if not agrees or directory.problems:
            self.doubt([directory.path])
        elif directory.complete and directory.still is not None and directory.path not in self._unlike:
            self._still[directory.path] = directory.still

    def doubt(self, directories: Iterable[Path]) -> None:
        """Compare these again: the catalogue has changed there, or should."""
        for path in directories:
            self._still.pop(path, None)
            self._unlike.add(path)

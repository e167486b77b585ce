"""Which projects the user wants left alone: by a glob in the configuration, or by a file in the project itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

MARK: Final = ".selfdistillignore"


def is_excluded(directories: Iterable[str], globs: Sequence[str]) -> bool:
    """Whether any of these working directories lies in a project that is to be left alone.

    A glob or a mark counts for a directory and all below it. Looked up anew each time: whoever puts the mark there
    must not have to restart anything.
    """
    return any(_is_one(Path(directory), globs) for directory in directories if directory.startswith("/"))


def _is_one(directory: Path, globs: Sequence[str]) -> bool:
    for place in (directory, *directory.parents):
        if any(fnmatchcase(str(place), glob.rstrip("/") or glob) for glob in globs) or _is_marked(place):
            return True
    return False


def _is_marked(place: Path) -> bool:
    """Whether the mark is there; where nobody may look, nobody of this user has put one."""
    try:
        return (place / MARK).exists()
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return False

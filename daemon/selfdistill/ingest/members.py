"""The files that make up one log, where that is not a single file of lines: their stats as one, and their names.

A database's sessions are logs named `FILE/KEY`: no such path exists (FILE is no directory), so none can be mistaken.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from selfdistill.ingest.identity import stat_of
from selfdistill.model import Skip, Stat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path, PurePath

MOST_COMPANIONS: Final = 20_000  # files beside one document that are looked at; 1.5 us each
SIDE_SUFFIXES: Final = ("-wal", "-shm", "-journal")  # what SQLite puts beside a database


def session_path(database: Path, key: str) -> Path:
    """The name of a session as a log; `key_of` undoes it."""
    quoted = quote(key, safe="")
    return database / (quoted.replace(".", "%2E") if key in {".", ".."} else quoted)


def key_of(path: PurePath) -> str:
    """The key of a session in its database."""
    return unquote(path.name)


def database_of(path: Path) -> Path | None:
    """The database that one of SQLite's side files belongs to; None for any other name."""
    suffix = next((suffix for suffix in SIDE_SUFFIXES if path.name.endswith(suffix)), "")
    return path.with_name(path.name.removesuffix(suffix)) if suffix and path.name != suffix else None


def stat_of_file(path: Path) -> Stat | Skip:
    """What a file looks like, or why it is no log; GONE is one sighting and does not confirm a deletion."""
    try:
        result = os.lstat(path)
    except FileNotFoundError:
        return Skip.GONE
    except OSError:
        return Skip.UNREADABLE
    return stat_of(result) if stat.S_ISREG(result.st_mode) else Skip.NOT_REGULAR


def stat_of_document(path: Path, companions: Iterable[PurePath]) -> Stat | Skip:
    """A document and the files in its companion directories as one: sizes added up, the latest of the times.

    The files are looked at, not only the directories: a file that is rewritten in place leaves no mark there.
    """
    seen = stat_of_file(path)
    if isinstance(seen, Skip):
        return seen
    size, mtime_ns, ctime_ns = seen.size, seen.mtime_ns, seen.ctime_ns
    left = MOST_COMPANIONS
    for directory in companions:
        for result in _stats_in(directory, left):
            left -= 1
            if (result.st_dev, result.st_ino) == (seen.dev, seen.ino):
                continue  # the document's own directory is a companion: itself counts once
            size += result.st_size if stat.S_ISREG(result.st_mode) else 0
            mtime_ns, ctime_ns = max(mtime_ns, result.st_mtime_ns), max(ctime_ns, result.st_ctime_ns)
    return Stat(seen.dev, seen.ino, size, mtime_ns, ctime_ns)


def stat_of_database(path: Path) -> Stat | Skip:
    """A database and its write-ahead log as one: both grow, or have a new time, when something is committed.

    The change time of the write-ahead log does not count: SQLite, run as root, sets its owner whenever it opens it.
    """
    seen = stat_of_file(path)
    ahead = stat_of_file(path.with_name(f"{path.name}-wal"))
    if isinstance(seen, Skip) or isinstance(ahead, Skip):
        return seen
    return Stat(seen.dev, seen.ino, seen.size + ahead.size, max(seen.mtime_ns, ahead.mtime_ns), seen.ctime_ns)


def _stats_in(directory: PurePath, most: int) -> Iterator[os.stat_result]:
    """The directory and what is in it, links not followed; nothing where it is not there or cannot be listed."""
    try:
        yield os.lstat(directory)
        with os.scandir(directory) as entries:
            for _, entry in zip(range(most), entries, strict=False):
                yield entry.stat(follow_symlinks=False)
    except OSError:  # whoever renders the document meets it too, and says so
        return

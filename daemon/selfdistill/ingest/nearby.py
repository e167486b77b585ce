"""The files beside a document, as its source may read them: bounded, and nothing outside the log's own tree."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from selfdistill.ingest.problems import log_problem, problem_of
from selfdistill.model import Skip

if TYPE_CHECKING:
    from pathlib import Path, PurePath

    from selfdistill.errors import LogProblem

LARGEST_FILE: Final = 128 * 1024 * 1024  # bytes; a document is decoded as a whole, which takes a multiple of that
MOST_BYTES: Final = 512 * 1024 * 1024  # of one log, over all its files
MOST_NAMES: Final = 100_000
LEVELS_UP: Final = 2  # directories above the log's own that hold what belongs to it (OpenCode: storage/session/PROJECT)
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_THERE: Final = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENAMETOOLONG}
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class NearbyFiles:
    """The files of one log, `layouts.Files`. Each step of a path is opened by itself, links not followed.

    What lies outside the tree (two directories up from the log's own), or is reached by `..`, counts as not there: such
    names come from what a log says.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        up = log.parents[min(LEVELS_UP, len(log.parents) - 1)]
        self._top = up if up.parent != up else log.parent  # never the root of the file system
        self._left = MOST_BYTES

    def names(self, directory: PurePath) -> list[str]:
        """Return the names in a directory, sorted; empty where there is none. Raises LogProblem."""
        descriptor = self._open(directory, _DIRECTORY)
        if descriptor is None:
            return []
        try:
            with os.scandir(descriptor) as entries:
                found = sorted(entry.name for _, entry in zip(range(MOST_NAMES + 1), entries, strict=False))
        except OSError as problem:
            raise problem_of(self._log, problem) from problem
        finally:
            os.close(descriptor)
        if len(found) > MOST_NAMES:
            raise self._too_large(f"more than {MOST_NAMES:,} files belong to it")
        return found

    def read(self, path: PurePath) -> bytes:
        """Return a file's bytes; b"" where there is none. Raises LogProblem if it cannot be read or is too large."""
        descriptor = self._open(path, _FILE)
        if descriptor is None:
            return b""
        try:
            result = os.fstat(descriptor)
            if not stat.S_ISREG(result.st_mode):
                return b""
            if result.st_size > LARGEST_FILE:
                raise self._too_large(f"a file of {result.st_size // 2**20:,} MiB belongs to it")
            data = _read_all(descriptor, LARGEST_FILE)
        except OSError as problem:
            raise problem_of(self._log, problem) from problem
        finally:
            os.close(descriptor)
        self._left -= len(data)
        if self._left < 0:
            raise self._too_large(f"its files have more than {MOST_BYTES // 2**20} MiB together")
        return data

    def _open(self, path: PurePath, flags: int) -> int | None:
        """A descriptor for a path in the tree; None where there is nothing of that kind."""
        try:
            return self._descend(path, flags)
        except OSError as problem:
            if problem.errno in _NOT_THERE:
                return None
            raise problem_of(self._log, problem) from problem

    def _descend(self, path: PurePath, flags: int) -> int | None:
        """Open a path step by step from the top of the tree."""
        try:
            steps = path.relative_to(self._top).parts
        except ValueError:
            return None
        if ".." in steps or any("\0" in step for step in steps):
            return None
        here = os.open(self._top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for position, step in enumerate(steps):
            last = position == len(steps) - 1
            try:
                below = os.open(step, flags if last else _DIRECTORY, dir_fd=here)
            finally:
                os.close(here)
            here = below
        return here

    def _too_large(self, what: str) -> LogProblem:
        advice = "Nothing to do: it is left alone, so that it cannot fill the memory; exclude it to have it uncounted."
        return log_problem(self._log, Skip.UNREADABLE, what, advice)


def _read_all(descriptor: int, most: int) -> bytes:
    """A file from its start, at most so many bytes."""
    pieces, offset = [], 0
    while offset < most and (piece := os.pread(descriptor, most - offset, offset)):
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)

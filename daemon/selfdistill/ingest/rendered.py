"""A session that is no file of lines, as the lines its source renders: spooled once, then read like any other text.

Rendering goes through a file without a name that stays in memory while it is small. So a database is held open for a
moment only, reads may go anywhere, and what was read is one consistent state of what the agent had written.
"""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Final, Protocol

from selfdistill.ingest.members import stat_of_document
from selfdistill.ingest.nearby import NearbyFiles
from selfdistill.ingest.problems import log_problem
from selfdistill.model import Skip, Stat

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from selfdistill.layouts import Document, Rendered

IN_MEMORY: Final = 8 * 1024 * 1024  # bytes of text; larger ones go to an unnamed file in the temporary directory
LONGEST_TEXT: Final = 1024 * 1024 * 1024
ATTEMPTS: Final = 2  # to find the files unchanged while they are read


class Rendering(Protocol):
    """How the text of one log is made."""

    def render(self, spool: Spool) -> Stat:
        """Write the records and return the stat they belong to. Raises LogProblem."""


class Spool:
    """Takes records and keeps them as a text: lines, each with its newline but a last one that is unfinished."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by its owner
        self._open_end = False

    def take(self, records: Iterable[Rendered]) -> None:
        """Add records at the end. Raises LogProblem where there is no room for them."""
        write = self._file.write
        try:
            for line, finished in records:
                if self._open_end:
                    write(b"\n")
                write(line.replace(b"\n", b" ") if b"\n" in line else line)
                if finished:
                    write(b"\n")
                self._open_end = not finished
                if self._file.tell() > LONGEST_TEXT:
                    raise log_problem(self._path, Skip.UNREADABLE, f"it has more than {LONGEST_TEXT // 2**20} MiB")
        except OSError as problem:
            advice = "Make room in the temporary directory (TMPDIR)."
            what = f"its text cannot be kept: {problem.strerror}"
            raise log_problem(self._path, Skip.UNREADABLE, what, advice) from problem

    def begin_anew(self) -> None:
        """Forget what was taken."""
        self._file.seek(0)
        self._file.truncate()
        self._open_end = False

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes of the text from `offset`."""
        self._file.seek(offset)
        return self._file.read(length)

    def close(self) -> None:
        """Let go of the text."""
        self._file.close()


class RenderedText:
    """The text of a rendered log, made when it is first asked for; what is read then does not change any more."""

    proven = True  # rendering has seen to it that nothing changed meanwhile

    def __init__(self, path: Path, rendering: Rendering) -> None:
        self._path = path
        self._rendering = rendering
        self._spool: Spool | None = None
        self._stat: Stat | None = None

    @property
    def stat(self) -> Stat:
        """What the log looked like when it was rendered. Raises LogProblem."""
        self._rendered()
        assert self._stat is not None  # noqa: S101 - for the type checker: rendering has set it
        return self._stat

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only where the text ends. Raises LogProblem."""
        return self._rendered().read_at(offset, length)

    def close(self) -> None:
        """Let go of the text."""
        if self._spool is not None:
            self._spool.close()

    def _rendered(self) -> Spool:
        if self._spool is None:
            spool = Spool(self._path)
            try:
                self._stat = self._rendering.render(spool)
            except BaseException:
                spool.close()
                raise
            self._spool = spool
        return self._spool


class DocumentRendering:
    """One document as its source tells it."""

    def __init__(self, path: Path, layout: Document) -> None:
        self._path = path
        self._layout = layout

    def render(self, spool: Spool) -> Stat:
        """Write the records; once more if a file changed meanwhile. Raises LogProblem, UNSETTLED if it did again."""
        before = self._look()
        for _ in range(ATTEMPTS):
            spool.begin_anew()
            spool.take(self._layout.render(self._path, NearbyFiles(self._path)))
            after = self._look()
            if after == before:
                return after
            before = after
        raise log_problem(self._path, Skip.UNSETTLED, "it was rewritten while it was read")

    def _look(self) -> Stat:
        seen = stat_of_document(self._path, self._layout.companions(self._path))
        if isinstance(seen, Stat):
            return seen
        what = {Skip.GONE: "it is not there any more", Skip.NOT_REGULAR: "it is not a regular file"}
        raise log_problem(self._path, seen, what.get(seen, "it cannot be looked at"))

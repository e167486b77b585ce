"""Open a log safely and read it as whole lines, in bounded memory, whatever its size.

Logs belong to the agents: they are opened for reading only, never locked, and nothing but regular files is opened.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final, Protocol, Self

from selfdistill.ingest.compressed import Damaged, Decompressed
from selfdistill.ingest.framing import Framer
from selfdistill.ingest.identity import HEAD_BYTES, TAIL_BYTES, digest, proof_of, stat_of
from selfdistill.ingest.naming import printable
from selfdistill.ingest.problems import log_problem, problem_of
from selfdistill.ingest.rendered import DocumentRendering, RenderedText
from selfdistill.ingest.sessions import SessionRendering
from selfdistill.layouts import Database, Document, Layout
from selfdistill.model import Proof, Skip, Span, Stat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path, PurePath

CHUNK_BYTES: Final = 1024 * 1024
LONGEST_LINE: Final = 32 * 1024 * 1024  # bytes
BEGINNING: Final = Proof()
COMPRESSED_SUFFIX: Final = ".zst"
# Nothing of these blocks (O_NONBLOCK: a FIFO without a writer) or leads elsewhere (O_NOFOLLOW).
OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Text(Protocol):
    """What a log says, whatever form it has on disk."""

    @property
    def proven(self) -> bool:
        """Whether what was read is known to be of one moment; else the bytes must be compared again."""

    @property
    def stat(self) -> Stat:
        """What the log looked like when it was opened, or rendered."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""

    def close(self) -> None:
        """Let go of it."""


class OpenLog:
    """A log held open. Offsets mean bytes of its text: decompressed where it is a `.zst`, as rendered where it is that.

    `stat` is of the moment of opening; of a rendered log, of its rendering, and raises LogProblem where that fails.
    Close it, or use it in a `with` statement.
    """

    def __init__(self, path: Path, text: Text) -> None:
        self.path = path
        self._text = text

    @property
    def stat(self) -> Stat:
        """What it looked like."""
        return self._text.stat

    @property
    def size(self) -> int:
        """Bytes on disk when it was opened (of a compressed log: the compressed ones)."""
        return self.stat.size

    @property
    def text_size(self) -> int | None:
        """Bytes of text when it was opened; None for a log that does not say: compressed or rendered."""
        return self.size if isinstance(self._text, _Plain) else None

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only where the log ends. Raises LogProblem."""
        try:
            return self._text.read_at(offset, length)
        except OSError as problem:
            raise log_problem(self.path, Skip.UNREADABLE, f"reading failed: {problem.strerror}") from problem
        except Damaged as problem:
            what = f"its compressed data is damaged: {problem}"
            raise log_problem(self.path, Skip.UNREADABLE, what) from problem

    def confirm(self, proof: Proof) -> None:
        """Raise LogProblem (UNSETTLED) if the log no longer holds what a proof was made of."""
        if not self._text.proven and proof != self.proof(proof.offset):
            raise log_problem(self.path, Skip.UNSETTLED, "it was rewritten while it was read")

    def proof(self, offset: int) -> Proof:
        """The proof for `offset`, from what the file holds now; unequal to any cursor's if it is shorter than that."""
        head = self.read_at(0, min(HEAD_BYTES, offset))
        tail_length = min(TAIL_BYTES, offset)
        return proof_of(offset, head, self.read_at(offset - tail_length, tail_length))

    def tail(self, length: int) -> bytes:
        """The last `length` bytes of text (fewer if there are fewer); reads a compressed log from the start."""
        if self.text_size is not None:
            return self.read_at(max(0, self.text_size - length), min(length, self.text_size))
        offset, tail = 0, b""
        while piece := self.read_at(offset, CHUNK_BYTES):
            offset += len(piece)
            tail = (tail + piece)[-length:]
        return tail

    def close(self) -> None:
        """Let go of it; later reads fail."""
        self._text.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Plain:
    """The bytes of an open file as they are."""

    proven = False

    def __init__(self, descriptor: int, seen: Stat) -> None:
        self._descriptor = descriptor
        self.stat = seen

    def read_at(self, offset: int, length: int) -> bytes:
        """Bytes of the file, whole: a short read is taken up again, an I/O error tried once more."""
        data = piece = _pread(self._descriptor, length, offset)
        while piece and len(data) < length:
            piece = _pread(self._descriptor, length - len(data), offset + len(data))
            data += piece
        return data

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _Packed:
    """The bytes that a compressed file holds."""

    proven = False

    def __init__(self, file: _Plain) -> None:
        self._file = file
        self.stat = file.stat
        self.read_at = Decompressed(file.read_at).read_at

    def close(self) -> None:
        self._file.close()


class Lines:
    """The whole lines of an open log from `start` on, as (offset, line); ends where the log ended at opening.

    `start` is a proof that the log has just been judged by (or BEGINNING). At any moment `offset`
    and `proof` are those just past the last line delivered, made of the bytes that were really read: compare with
    `log.proof(offset)` before committing. Holds `chunk` + `longest_line` bytes at most. Iterating raises LogProblem.
    """

    def __init__(
        self, log: OpenLog, start: Proof = BEGINNING, *, chunk: int = CHUNK_BYTES, longest_line: int = LONGEST_LINE
    ) -> None:
        self._log = log
        self._chunk_bytes = chunk
        self._framer = Framer(start.offset, longest_line)
        tail_length = min(TAIL_BYTES, start.offset)
        # A head of full length never changes; a shorter one grows with the offset, so its bytes are needed.
        self._full_head = start.head if start.head_length == HEAD_BYTES else b""
        self._head = b"" if self._full_head else log.read_at(0, start.offset)
        self._read_before = log.read_at(start.offset - tail_length, tail_length)  # last bytes before the chunk
        self._tail_at_chunk = self._read_before  # last bytes before `offset` when the chunk was begun
        self._chunk = b""
        self._chunk_start = start.offset
        self._lines = self._read()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self._lines

    @property
    def offset(self) -> int:
        """Just past the last line that was delivered or skipped."""
        return self._framer.offset

    @property
    def rest(self) -> bytes:
        """When all lines were taken: the unterminated last line."""
        return self._framer.rest

    @property
    def rest_length(self) -> int:
        """When all lines were taken: the bytes after the last newline, held or not."""
        return self._framer.rest_length

    @property
    def oversized(self) -> list[Span]:
        """The first 100 lines that were too long and therefore skipped."""
        return self._framer.oversized

    @property
    def oversized_count(self) -> int:
        """How many lines were too long."""
        return self._framer.oversized_count

    @property
    def proof(self) -> Proof:
        """The proof for `offset`, from the bytes that were read."""
        offset = self.offset
        tail = self._tail()
        if self._full_head:
            return Proof(offset, HEAD_BYTES, self._full_head, len(tail), digest(tail))
        return proof_of(offset, self._head[: min(HEAD_BYTES, offset)], tail)

    def take_rest(self) -> tuple[int, bytes] | None:
        """Consume the unterminated last line: (its offset, its bytes), or None if there is none that is short enough.

        Only when all lines were taken, and when the caller has decided that the line is complete and quiet.
        """
        return self._framer.take_rest()

    def _read(self) -> Iterator[tuple[int, bytes]]:
        end = self._log.text_size
        while True:
            position = self._chunk_start + len(self._chunk)
            wanted = self._chunk_bytes if end is None else min(self._chunk_bytes, end - position)
            chunk = self._log.read_at(position, wanted) if wanted > 0 else b""
            if not chunk:
                return
            self._begin_chunk(chunk)
            yield from self._framer.feed(chunk)

    def _begin_chunk(self, chunk: bytes) -> None:
        """Put the next chunk in the place of the last one, keeping of it what a proof may need."""
        self._tail_at_chunk = self._tail()
        self._read_before = (self._read_before + self._chunk[-TAIL_BYTES:])[-TAIL_BYTES:]
        self._chunk_start += len(self._chunk)
        self._chunk = chunk
        if not self._full_head and len(self._head) < HEAD_BYTES:
            self._head += chunk[: HEAD_BYTES - len(self._head)]

    def _tail(self) -> bytes:
        """The last bytes before `offset`."""
        inside = self._framer.offset - self._chunk_start
        if inside <= 0:  # nothing of this chunk has been delivered: a long line is under way
            return self._tail_at_chunk
        if inside >= TAIL_BYTES:
            return self._chunk[inside - TAIL_BYTES : inside]
        return (self._read_before + self._chunk[:inside])[-TAIL_BYTES:]


def lines_only(_path: PurePath) -> Layout | None:
    """The layout of whatever is read as lines: none."""
    return None


def open_log(path: Path, layout_of: Callable[[PurePath], Layout | None] = lines_only) -> OpenLog:
    """Open a log for reading; `layout_of` is its source's `layout`. Never blocks.

    Raises LogProblem with reason GONE, NOT_REGULAR or UNREADABLE. What is rendered is rendered at the first read.
    """
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except NotADirectoryError as problem:
        layout = layout_of(path.parent)
        if not isinstance(layout, Database):
            raise problem_of(path, problem) from problem
        return OpenLog(path, RenderedText(path, SessionRendering(path, layout)))
    except OSError as problem:
        raise problem_of(path, problem) from problem
    try:
        result = os.fstat(descriptor)
    except OSError as problem:
        os.close(descriptor)
        raise problem_of(path, problem) from problem
    if not stat.S_ISREG(result.st_mode):
        os.close(descriptor)
        raise log_problem(path, Skip.NOT_REGULAR, "it is not a regular file")
    return OpenLog(path, _text_of(path, _Plain(descriptor, stat_of(result)), layout_of(path)))


def _text_of(path: Path, file: _Plain, layout: Layout | None) -> Text:
    """The text of an open file."""
    if layout is None:
        return _Packed(file) if path.suffix == COMPRESSED_SUFFIX else file
    file.close()
    if isinstance(layout, Document):
        return RenderedText(path, DocumentRendering(path, layout))
    what = "it is a database of many sessions"
    raise log_problem(path, Skip.NOT_REGULAR, what, f"Name one of them: {printable(path)}/SESSION.")


def _pread(descriptor: int, length: int, offset: int) -> bytes:
    try:
        return os.pread(descriptor, length, offset)
    except OSError as problem:
        if problem.errno != errno.EIO:
            raise
    return os.pread(descriptor, length, offset)

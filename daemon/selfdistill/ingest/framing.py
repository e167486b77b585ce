r"""Bytes to whole lines: `b"\n"` is the only separator, and a line that is too long is never held.

`str.splitlines` would split inside JSON strings (U+2028, U+0085), `bytes.splitlines` at a carriage return.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from selfdistill.model import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_SPANS: Final = 100  # of oversized lines that are remembered; the others are counted


class Framer:
    """Cuts a stream that begins at `offset` into lines of at most `max_line` bytes; holds no more than one line.

    `offset` is just past the last newline that was delivered or skipped. Lines of white space only are skipped.
    A longer line is skipped whole: `oversized` has the spans of the first 100 (newline included),
    `oversized_count` how many there were.
    """

    def __init__(self, offset: int, max_line: int) -> None:
        self.offset = offset
        self.oversized: list[Span] = []
        self.oversized_count = 0
        self._max_line = max_line
        # The unterminated tail in pieces: joined once, so that a line over many chunks costs linear time.
        self._pieces: list[bytes] = []
        self._held = 0  # bytes of the unterminated tail, kept or not
        self._skipping = False

    @property
    def rest(self) -> bytes:
        """The unterminated last line, empty if there is none or if it is already longer than `max_line`."""
        return b"".join(self._pieces)

    @property
    def rest_length(self) -> int:
        """Bytes after `offset` that have been fed, whether they are held or not."""
        return self._held

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        r"""Each line that ends in `chunk` as (its offset, its bytes without `b"\n"`), oldest first.

        Take all of it before feeding more. A trailing carriage return stays.
        """
        first, newline, others = chunk.partition(b"\n")
        self._hold(first)
        if not newline:
            return
        yield from self._finish_held()
        max_line = self._max_line
        find = others.find  # memchr, which `split` does not use: 8 % of a whole run over real logs
        position = 0
        while (end := find(b"\n", position)) >= 0:
            start = self.offset
            length = end - position
            self.offset = start + length + 1
            if length > max_line:
                self._note_oversized(start, length)
            else:
                line = others[position:end]
                if line and not line.isspace():  # looks at one byte of a line of JSON
                    yield start, line
            position = end + 1
        self._hold(others[position:])

    def take_rest(self) -> tuple[int, bytes] | None:
        """The unterminated last line as if it had ended; None if there is none or if it is too long."""
        rest = self.rest
        if not rest:
            return None
        start = self.offset
        self.offset += len(rest)
        self._forget_held()
        return start, rest

    def _hold(self, piece: bytes) -> None:
        """Add to the unterminated tail, or only to its length once it is too long."""
        self._held += len(piece)
        if self._held > self._max_line:
            self._skipping = True
            self._pieces.clear()
        elif piece:
            self._pieces.append(piece)

    def _finish_held(self) -> Iterator[tuple[int, bytes]]:
        """The held line, now that its newline has come."""
        start = self.offset
        self.offset += self._held + 1
        if self._skipping:
            self._note_oversized(start, self._held)
        line = self.rest
        self._forget_held()
        if line and not line.isspace():
            yield start, line

    def _forget_held(self) -> None:
        self._pieces.clear()
        self._held = 0
        self._skipping = False

    def _note_oversized(self, start: int, length: int) -> None:
        self.oversized_count += 1
        if len(self.oversized) < MOST_SPANS:
            self.oversized.append(Span(start, length + 1))

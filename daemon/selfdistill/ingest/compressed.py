"""A zstandard file as the bytes it decompresses to, read forward in bounded memory."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_WINDOW: Final = 128 * 1024 * 1024  # bytes; `zstd --long=27`, the most its command line unpacks by default
INPUT_BYTES: Final = 128 * 1024
KEPT_BEHIND: Final = 4096  # bytes before the position that can be read again without starting over: head and tail


class Damaged(Exception):
    """The compressed bytes make no sense; the text says how."""


class _Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Decompressed:
    """Random reads over the decompressed bytes; cheap when they go forward, else from the start again.

    `read_raw(offset, length)` gives the compressed bytes. A frame that was cut off ends where its bytes end; several
    frames follow each other. Raises `Damaged` where the bytes make no sense.
    """

    def __init__(self, read_raw: Callable[[int, int], bytes]) -> None:
        self._read_raw = read_raw
        self._position = 0
        self._behind = b""
        self._reader = self._begin()

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer only at the end."""
        if offset < self._position - len(self._behind):
            self._position, self._behind, self._reader = 0, b"", self._begin()
        self._skip_to(offset)
        start = len(self._behind) - (self._position - offset)
        pieces = [self._behind[start : start + length]] if offset < self._position else []
        missing = length - sum(map(len, pieces))
        if offset <= self._position:
            while missing and (piece := self._next(missing)):
                pieces.append(piece)
                missing -= len(piece)
        return b"".join(pieces)

    def _skip_to(self, offset: int) -> None:
        while self._position < offset and self._next(min(offset - self._position, INPUT_BYTES)):
            pass

    def _next(self, length: int) -> bytes:
        """Some bytes from the position on, at most `length`; empty at the end."""
        import zstandard  # noqa: PLC0415 - 32 ms and 2 MiB, and most homes have no compressed log

        try:
            piece = self._reader.read(length)
        except zstandard.ZstdError as problem:
            raise Damaged(str(problem)) from problem
        self._position += len(piece)
        self._behind = (self._behind + piece[-KEPT_BEHIND:])[-KEPT_BEHIND:]
        return piece

    def _begin(self) -> _Reader:
        import zstandard  # noqa: PLC0415 - as above

        # A reader, not a decompressobj: that returns whatever one input expands to, 4 GiB for 128 KiB at worst.
        decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        source = cast("IO[bytes]", _Source(self._read_raw))  # of a file it only asks for `read`
        return decompressor.stream_reader(source, read_size=INPUT_BYTES, read_across_frames=True)


class _Source:
    """The compressed bytes as a file object for zstandard."""

    def __init__(self, read_raw: Callable[[int, int], bytes]) -> None:
        self._read_raw = read_raw
        self._offset = 0

    def read(self, size: int, /) -> bytes:
        data = self._read_raw(self._offset, size)
        self._offset += len(data)
        return data

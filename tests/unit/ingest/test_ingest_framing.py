"""Framing: bytes to whole lines."""

from __future__ import annotations

from selfdistill.ingest.framing import MOST_SPANS, Framer
from selfdistill.model import Span


def test_lines_come_with_their_offsets() -> None:
    """Each line comes without its newline, at the offset of its first byte."""
    framer = Framer(10, 100)
    assert list(framer.feed(b"ab\ncd\n")) == [(10, b"ab"), (13, b"cd")]
    assert framer.offset == 16


def test_half_a_line_waits_for_its_other_half() -> None:
    """A line without newline is not delivered, and the offset stays before it."""
    framer = Framer(0, 100)
    assert list(framer.feed(b"one\nha")) == [(0, b"one")]
    assert (framer.offset, framer.rest, framer.rest_length) == (4, b"ha", 2)
    assert list(framer.feed(b"lf\n")) == [(4, b"half")]
    assert (framer.offset, framer.rest) == (9, b"")


def test_only_a_newline_ends_a_line() -> None:
    """Carriage return, NEL, U+2028 and vertical tab are text."""
    line = "a\rb\u2028c\u0085d\v".encode()
    assert list(Framer(0, 100).feed(line + b"\r\n")) == [(0, line + b"\r")]


def test_blank_lines_are_skipped_but_counted_in_offsets() -> None:
    """White space between newlines is no line; what follows has its true offset."""
    framer = Framer(0, 100)
    assert list(framer.feed(b"\n\r\n  \nx\n")) == [(6, b"x")]
    assert framer.offset == 8


def test_a_line_of_the_longest_length_is_delivered() -> None:
    """The bound is inclusive, within one chunk and over several."""
    framer = Framer(0, 3)
    assert list(framer.feed(b"a\nabc\n")) == [(0, b"a"), (2, b"abc")]
    assert list(framer.feed(b"de")) == []
    assert list(framer.feed(b"f\n")) == [(6, b"def")]
    assert framer.oversized_count == 0


def test_a_longer_line_is_skipped_and_its_neighbours_are_not() -> None:
    """A line over the bound costs itself only, and its span is told."""
    framer = Framer(0, 3)
    assert list(framer.feed(b"ab\nabcd\nef\n")) == [(0, b"ab"), (8, b"ef")]
    assert framer.oversized == [Span(3, 5)]


def test_an_endless_line_is_never_held() -> None:
    """However long the line, nothing of it is kept once it is over the bound."""
    framer = Framer(0, 1000)
    for _ in range(50):
        assert list(framer.feed(b"x" * 999)) == []
        assert len(framer.rest) <= 1000
    assert (framer.offset, framer.rest_length, framer.take_rest()) == (0, 49_950, None)
    assert list(framer.feed(b"\nok\n")) == [(49_951, b"ok")]
    assert (framer.oversized, framer.oversized_count) == ([Span(0, 49_951)], 1)


def test_spans_of_oversized_lines_are_bounded() -> None:
    """A log full of long lines fills a counter, not memory."""
    framer = Framer(0, 1)
    assert list(framer.feed(b"xx\n" * 1000)) == []
    assert (len(framer.oversized), framer.oversized_count, framer.offset) == (MOST_SPANS, 1000, 3000)


def test_take_rest_consumes_the_unterminated_line() -> None:
    """The last line without newline can be taken once; the newline that comes later is no line of its own."""
    framer = Framer(0, 100)
    assert list(framer.feed(b"a\nbc")) == [(0, b"a")]
    assert framer.take_rest() == (2, b"bc")
    assert framer.take_rest() is None
    assert framer.offset == 4
    assert list(framer.feed(b"\nd\n")) == [(5, b"d")]

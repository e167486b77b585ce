"""JSON documents that agents rewrite in place, as lines: for the sources whose logs are no files of lines."""

from __future__ import annotations

from typing import Any

import msgspec

from selfdistill.layouts import Rendered
from selfdistill.sources.decoding import read_tolerantly


def document_in(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the JSON value that a file holds, None where it is none. Never raises.

    What strict readers refuse (lone surrogates, NaN) is read tolerantly; strings are valid Unicode.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        found, complete = read_tolerantly(data)
        return found[0].value if complete and len(found) == 1 else None


def line_of(value: object, *, finished: bool = True) -> Rendered:
    """Return a value as one line of compact JSON; what is nested too deep to be written is a text that says so."""
    try:
        return Rendered(msgspec.json.encode(value), finished)
    except RecursionError:
        return Rendered(b'"nested too deep"', finished)


def undecodable(data: bytes) -> Rendered:
    """Return what is no JSON as one line, so that the parser counts it."""
    return Rendered(data.replace(b"\r", b" ").replace(b"\n", b" "))

"""A cheap look at the end of a log: does it say that the session is over? Then nobody need wait for quiet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from selfdistill.errors import LogProblem
from selfdistill.ingest.reading import open_log
from selfdistill.model import Turn

if TYPE_CHECKING:
    from selfdistill.sources.base import Source

END_BYTES: Final = 4096


def has_ended(path: Path, source: Source) -> bool:
    """Whether the last 4 KiB hold an end mark and nothing of the conversation behind it; never raises for the log.

    A hint, no more: whoever then reads the log from its cursor judges by all of it. Packed and rendered logs are not
    looked at, for their end cannot be had without the rest.
    """
    try:
        with open_log(path, source.layout) as opened:
            if opened.text_size is None:
                return False
            begins_inside = opened.text_size > END_BYTES
            end = opened.tail(END_BYTES)
    except LogProblem:  # the reader meets it again, and enters it in the ledger
        return False
    lines = end.split(b"\n")[:-1]
    parser = source.open(path, None)
    for line in lines[1:] if begins_inside else lines:
        parser.feed(line, 0)
    return parser.turn is Turn.ENDED

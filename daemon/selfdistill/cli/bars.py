"""Numbers as a row of small bars, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_NONE: Final = "·"


def bars(counts: Sequence[int]) -> str:
    """One character for each count, the highest for the greatest; a dot for none."""
    most = max(counts, default=0)
    return "".join(_BLOCKS[(count * len(_BLOCKS) - 1) // most] if count > 0 else _NONE for count in counts)

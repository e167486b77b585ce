"""The middle and the far end of some figures, for people: an average would hide what a long session costs."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Generic, TypeVar

from msgspec import Struct

Figure = TypeVar("Figure")


class Spread(Struct, Generic[Figure], frozen=True):
    """Half of the figures are no greater than `p50`, 95 in 100 no greater than `p95`."""

    p50: Figure
    p95: Figure


def spread(figures: Sequence[Figure]) -> Spread[Figure] | None:
    """The nearest-rank percentiles, so each is one of the figures; None without any."""
    if not figures:
        return None
    ordered = sorted(figures)  # type: ignore[type-var]  # whatever has an order
    return Spread(*(ordered[ceil(share * len(ordered)) - 1] for share in (0.5, 0.95)))

"""What every measurement here gives: a value with its number of cases and a 95 % bootstrap interval."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from msgspec import Struct

ROUNDS: Final = 1000
SEED: Final = 20261123

Case = TypeVar("Case")


class Metric(Struct, frozen=True, omit_defaults=True):
    """One row of the table. `baseline` is what a guess without looking gets (the majority class, or the base rate)."""

    key: str
    value: float
    n: int
    low: float
    high: float
    baseline: float | None = None
    note: str = ""


def bootstrap(
    key: str,
    cases: Sequence[Case],
    value_of: Callable[[Sequence[Case]], float | None],
    *,
    baseline: float | None = None,
    note: str = "",
) -> Metric | None:
    """A metric with its interval (percentiles of resampled cases); None where there is nothing to measure.

    A case is what is independent: resample sessions or tasks where single calls of one session are alike. `value_of`
    returns None where a resample holds nothing to measure (no positive case, for example).
    """
    value = value_of(cases)
    if value is None:
        return None
    chance = random.Random(SEED)  # noqa: S311 - resampling, not secrets
    values = sorted(
        drawn
        for _ in range(ROUNDS)
        if (drawn := value_of([cases[chance.randrange(len(cases))] for _ in cases])) is not None
    )
    low, high = (values[int(len(values) * 0.025)], values[int(len(values) * 0.975)]) if values else (value, value)
    return Metric(key, value, len(cases), low, high, baseline=baseline, note=note)

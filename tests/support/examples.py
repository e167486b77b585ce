"""How often a property is tried with other data: a little in each run, far more in `tests/run full`."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings

TIMES: Final = int(os.environ.get("SELFDISTILL_TESTS_EXAMPLES_TIMES", "1"))  # `tests/run full` sets it


def examples(count: int) -> settings:
    """So many examples, or TIMES as many; each may take as long as files and SQLite do."""
    return settings(max_examples=count * TIMES, deadline=None)

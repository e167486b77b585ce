"""A model's service that is out for an hour: a part of the bench of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.llm_outage import MOST_CALLS, REFUSED, measure

from invented import MEMORY


def test_outage_is_waited_out() -> None:
    """An hour without the service sees 20 calls at most; once it is back, all is asked by itself."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        told = measure(Path(directory), ["529", REFUSED], 1)
    for (way,) in told.values():
        assert 3 < way["calls"] <= MOST_CALLS
        assert way["first_answer_s"] <= 1260
        assert way["owed_then"] == 0

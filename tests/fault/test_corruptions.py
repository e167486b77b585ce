"""A damaged store is put right by the next start, without a human and without a lesson less."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.corruptions import run


@pytest.mark.parametrize("count", [6, pytest.param(200, marks=pytest.mark.full)])
def test_damaged_stores_come_back_whole(tmp_path: Path, count: int) -> None:
    """Whatever harms the database or its journal, the next run knows exactly what an unharmed store does (case 48)."""
    result = run(tmp_path, count=count, seed=7)
    assert result["failed"] == {}
    assert result["recovered"] == count

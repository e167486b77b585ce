"""A damaged store is put right by the next start, without a human and without a lesson less."""

from __future__ import annotations

from pathlib import Path

from bench.corruptions import run


def test_damaged_stores_come_back_whole(tmp_path: Path) -> None:
    """Whatever harms the database or its journal, the next run knows exactly what an unharmed store does (case 48)."""
    result = run(tmp_path, count=6, seed=7)
    assert result["failed"] == {}
    assert result["recovered"] == 6

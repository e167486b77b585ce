"""The daemon's worker is killed at random instants while agents write: the bench of 2,000 kills, a few of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

KILLS = 40
BENCH = Path(__file__).parents[2] / "bench" / "kills.py"


def test_kills_lose_and_double_nothing() -> None:
    """After 40 kills findings, sightings, lessons, cursors and record counts are those of one undisturbed pass."""
    command = [sys.executable, str(BENCH), "--kills", str(KILLS), "--life-ms", "400", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert told["lost"] == told["doubled"] == {}
    assert told["integrity_check"] == "ok"
    assert done.returncode == 0
    assert told["kills"] == KILLS
    assert told["runs_between_kills"] > KILLS / 10, "the lives were too short to prove anything"
    assert told["rows"]["findings"] > 20

"""The program is killed while it asks a model: the bench of 200 kills, a few of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.examples import TIMES

KILLS = 5 * TIMES
ROOT = Path(__file__).parents[2]


def test_kill_costs_one_call_at_most() -> None:
    """A kill in flight costs one extra call at most, the ledger has all of them, and each lesson is learned once."""
    command = [sys.executable, "-m", "bench.llm_kills", "--kills", str(KILLS), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60 + 10 * KILLS, cwd=ROOT)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert told["lost"] == told["doubled"] == {}
    assert told["most_extra_calls_by_one_kill"] <= 1
    assert told["calls_at_the_service"] <= told["calls_in_the_ledger"]
    assert told["billed_usd"] <= told["ledger_usd"]
    assert done.returncode == 0
    assert told["kills_after_a_call"] > KILLS / 2, "the lives were too short to prove anything"

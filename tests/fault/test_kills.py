"""Faults 1 to 3: killed at any instant, at any system call, or with the power cut, nothing is lost, nothing doubled.

The killing is done by `bench/kills.py` and `bench/sweep.py`; here are a few of their rounds, in `tests/run full` all.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hindrances import needs_strace
from homes import AT_ONCE_ANYWHERE, SCANS_ONLY, SESSIONS, Home, comparable
from selfdistill.config import Config
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection

ROOT = Path(__file__).parents[2]
SECTOR = 512  # bytes that a disk writes whole or not at all


def bench(name: str, *words: str, seconds: float) -> dict[str, Any]:
    """What a bench of ours tells; it must have found nothing wrong."""
    command = [sys.executable, "-m", f"bench.{name}", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds, cwd=ROOT)
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, told
    return told


@pytest.mark.parametrize("kills", [30, pytest.param(10_000, marks=pytest.mark.full)])
def test_case_01_kills_at_random(kills: int) -> None:
    """After many kills findings, sightings, lessons, cursors and record counts are those of one undisturbed pass."""
    told = bench("kills", "--kills", str(kills), "--life-ms", "400", seconds=120 + kills)
    assert told["lost"] == told["doubled"] == {}
    assert told["integrity_check"] == "ok"
    assert told["kills"] == kills
    assert told["runs_between_kills"] > kills / 4, "the lives were too short to prove anything"
    assert told["rows"]["findings"] > 20


@pytest.mark.parametrize(
    "sample", [1, pytest.param(12, marks=pytest.mark.full), pytest.param(0, marks=pytest.mark.full)]
)
def test_case_02_kill_at_every_writing_call(sample: int) -> None:
    """Killed at each call that writes, syncs, renames or removes, the next pass makes up for it, row by row."""
    needs_strace()
    told = bench("sweep", "--sample", str(sample), seconds=7200)
    assert told["wrong"] == []
    assert {"pwrite64", "fsync", "fdatasync", "rename", "link", "unlink", "ftruncate"} <= told["by_call"].keys()
    assert told["kills"] > (12 if sample else 300)


class TestPowerCut:
    """Case 3: what was not yet on the platter is cut, torn or gone."""

    @pytest.fixture
    def cut_off(self, tmp_path: Path) -> Home:
        """A HOME whose last pass was killed behind its commits: all of it is still in the journal."""
        home = Home(tmp_path, AT_ONCE_ANYWHERE, SCANS_ONLY)
        home.command("config", "path")
        with home.daemon() as daemon:
            home.fill()
            home.waits_for(len(_expected(tmp_path)))
            daemon.process.kill()
            assert daemon.process.wait(10) == -signal.SIGKILL
        return home

    @pytest.mark.parametrize("states", [12, pytest.param(1000, marks=pytest.mark.full)])
    def test_case_03_journal_cut_or_torn(self, cut_off: Home, tmp_path: Path, states: int) -> None:
        """Whatever of the journal is missing or torn: the database is sound, and another pass brings the rest back."""
        chance = random.Random(3)  # noqa: S311 - repeatable on purpose
        expected = _expected(tmp_path)
        kept = cut_off.state.rename(tmp_path / "kept")
        journal = (kept / "lessons.db-wal").read_bytes()
        assert len(journal) > 20 * SECTOR
        for number in range(states):
            shutil.copytree(kept, cut_off.state)
            (cut_off.state / "lessons.db-shm").unlink()
            (cut_off.state / "lessons.db-wal").write_bytes(damaged(journal, chance))
            if number % 2:
                (cut_off.state / "status.toml").write_bytes(b"")
            assert learned(cut_off) == expected
            shutil.rmtree(cut_off.state)


def damaged(journal: bytes, chance: random.Random) -> bytes:
    """A journal as a power cut may leave it: cut at any byte, then some of its last sectors never written."""
    cut = bytearray(journal[: chance.randrange(len(journal))])
    for _ in range(chance.randrange(4)):
        if len(cut) > SECTOR:
            start = chance.randrange(len(cut) // 2, len(cut)) // SECTOR * SECTOR
            cut[start : start + SECTOR] = bytes(len(cut[start : start + SECTOR]))
    return bytes(cut)


def learned(home: Home) -> list[dict[str, Any]]:
    """What a pass over everything leaves in the store."""
    with home.assembly(Config(settling=AT_ONCE_ANYWHERE)) as assembly:
        one_pass(assembly, Selection(limit=0))
        assembly.store._database.check()
    return home.lessons()


def _expected(tmp_path: Path) -> list[dict[str, Any]]:
    """What the invented sessions teach without any accident."""
    quiet = Home(tmp_path / "quiet", AT_ONCE_ANYWHERE)
    quiet.fill()
    assert len(SESSIONS) > 2
    return comparable(learned(quiet))

"""Faults 42 and 43: clocks that jump make nothing due too early or never, and no time in the status negative."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from homes import CLAUDE, PROGRAM, SESSIONS, Home, until
from selfdistill import logs
from selfdistill.config import Config, Scanning, Settling
from selfdistill.service.assembly import assemble
from selfdistill.service.worker import Worker

NAME = CLAUDE[0]
DAY = 86_400.0
Y1970, Y2106 = 1_000.0, 4_294_967_290.0
# Where the clock of the system is moved to, seen from now.
JUMPS = {"a day back": -DAY, "a day ahead": DAY, "to 1970": Y1970 - time.time(), "to 2106": Y2106 - time.time()}
SETTLE_SECONDS = 1.2


@pytest.mark.parametrize("jump", JUMPS)
def test_case_42_wall_clock_jumps(tmp_path: Path, jump: str) -> None:
    """When the clock jumps while a log settles it is distilled neither early nor late, and so is what comes after."""
    home = Home(tmp_path)
    skew = [0.0]
    settings = Config(
        settling=Settling(settle_seconds=SETTLE_SECONDS),
        scanning=Scanning(directories_every_seconds=0.3, hot_every_seconds=0.3),
    )
    made = assemble(settings, home.places(), home.path, {}, clock=lambda: time.time() + skew[0])
    with made.store:
        worker = Worker(made, logs.logger("test"), wall=lambda: time.time() + skew[0])
        thread = threading.Thread(target=worker.run, args=(lambda: None,))
        thread.start()
        try:
            for number, moved in enumerate((JUMPS[jump], 0.0)):
                path = home.claude / CLAUDE[number]
                path.write_bytes(SESSIONS[CLAUDE[number]])
                os.utime(path, (time.time() + skew[0],) * 2)  # as the system itself would have it
                written = time.monotonic()
                until(lambda: worker._pending, "a log that settles")
                skew[0] = moved
                known = home.status()["total_lessons"]
                until(lambda known=known: home.status()["total_lessons"] > known, "its lessons")  # type: ignore[misc]
                assert time.monotonic() - written >= SETTLE_SECONDS
                assert time.monotonic() - written < 10 * SETTLE_SECONDS
        finally:
            worker.stop()
            thread.join(10)


def test_case_42_status_of_the_future(tmp_path: Path) -> None:
    """A status file from a clock that ran ahead is shown without negative ages."""
    home = Home(tmp_path)
    with home.daemon():
        text = (home.state / "status.toml").read_text()
    year = datetime.now(UTC).year
    (home.state / "status.toml").write_text(text.replace(f"{year}-", f"{year + 30}-"))
    assert not re.search(r"-\d+ (s|min|h|d)\b", home.command("status", expect=3))


def test_case_43_monotonic_clock_elsewhere(tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    """On a machine whose monotonic clock stands at ten years, and whose suspended time at twenty, all is the same."""
    offsets = ["--monotonic", "315000000", "--boottime", "630000000"]
    clocks = ["unshare", "-UrT", *offsets]
    if subprocess.run([*clocks, "true"], capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: this system allows no time namespaces")
    home = Home(tmp_path, Settling(settle_seconds=SETTLE_SECONDS))
    home.fill()
    with (
        (tmp_path / "daemon.log").open("wb") as log,
        subprocess.Popen([*clocks, "--kill-child", *PROGRAM, "daemon"], env=home.environment(), stderr=log) as daemon,
    ):
        try:
            home.waits_for(len(expected))
            begun = time.monotonic()
            (home.claude / "one-more.jsonl").write_bytes(SESSIONS[NAME])
            until(lambda: home.source()["logs_seen"] > len(CLAUDE) and not home.status()["backlog"], "one log more")
            assert time.monotonic() - begun >= SETTLE_SECONDS
        finally:
            daemon.kill()  # unshare itself ignores SIGTERM

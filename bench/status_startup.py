"""How long `selfdistill status` takes against `python -c pass`: medians of 30, interleaved so that both meet one load.

Usage: python bench/status_startup.py    (aim: at most 3.5 times)
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from selfdistill.service import processes, status

ROUNDS = 30


def wall_seconds(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def compiled(directory: str) -> dict[str, str]:
    """The variables under which Python keeps bytecode, as pip leaves it on installing; a source tree may have none."""
    return {"PYTHONPYCACHEPREFIX": str(Path(directory) / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}


def busy_status() -> status.Status:
    """A status as a daemon with three agents writes it."""
    source = status.Source(logs_seen=208, tracked=190, skipped={"empty": 4, "machine_run": 14})
    return status.Status(
        state=status.State.WATCHING,
        version="bench",
        pid=os.getpid(),
        process=processes.identity(os.getpid()),
        started_at=datetime.now(UTC),
        sources=dict.fromkeys(("claude_code", "codex", "role_content"), source),
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        status.write(busy_status(), Path(directory) / "status.toml")
        environment = {**os.environ, "SELFDISTILL_STATE_DIR": directory, **compiled(directory)}
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "selfdistill status": [str(Path(sys.executable).with_name("selfdistill")), "status"],
            "selfdistill status --json": [str(Path(sys.executable).with_name("selfdistill")), "status", "--json"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for command in commands.values():
            wall_seconds(command, environment)  # the first run compiles
        for _ in range(ROUNDS):
            for name, command in commands.items():
                times[name].append(wall_seconds(command, environment))
    bare = statistics.median(times["python -c pass"])
    for name, measured in times.items():
        middle = statistics.median(measured)
        print(f"{name:28} {middle * 1000:6.1f} ms  {middle / bare:4.2f} x")


if __name__ == "__main__":
    main()

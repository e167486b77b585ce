"""A peer beside us: agentsview, which also reads agents' logs into SQLite, on the same HOME in the same run.

It stores whole conversations and shows them, we store what follows from them: what both do is to find the logs, read
them all once, notice what is new and search. It is installed from PyPI into an environment that goes with the run.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.daemons import idle, wait
from bench.measuring import MEGABYTE, Row, environment, live, percentile, skipped

REQUIREMENT: Final = "agentsview==0.46.1"
INSTALL_SECONDS: Final = 300
SEARCHES: Final = 20
_LISTENING: Final = "listening at "
_TEXTS: Final = ("unknown option", "command not found pytest", "kettle boil water", "Missing script bundle")


def rows(work: Path, home: Path, size: int, requirement: str, idle_seconds: float) -> Iterator[Row]:
    """The figures of agentsview on a HOME with so many bytes of logs; one that says why there are none."""
    program = installed(work / "agentsview-environment", requirement)
    if program is None:
        yield skipped("agentsview", f"`pip install {requirement}` failed")
        return
    name = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout.split()
    peer = f"agentsview {name[1] if len(name) > 1 else ''}".strip()
    data = work / "agentsview"
    # Read from a temporary HOME, nothing leaves the machine: no telemetry, no look for updates.
    variables = environment(home, AGENTSVIEW_DATA_DIR=str(data), AGENTSVIEW_TELEMETRY_ENABLED="0")
    first, again = (live([program, "sync"], {**variables, "AGENTSVIEW_NO_DAEMON": "1"}) for _ in range(2))
    how = "`agentsview sync` without a daemon, on the same HOME"
    yield Row(f"{peer}: sync", size / MEGABYTE / first.wall_s, "MB/s", f"{how}: {first.wall_s:.2f} s wall")
    yield Row(f"{peer}: sync, CPU", first.cpu_s, "s", how)
    yield Row(f"{peer}: sync, peak RSS", first.peak_rss_mib, "MiB", how)
    kib = sum(path.stat().st_size for path in data.glob("sessions.db*")) / 1024
    yield Row(f"{peer}: store growth", kib / (size / MEGABYTE), "KiB/MB", "its database against the bytes of the logs")
    yield Row(f"{peer}: no-op rescan", again.wall_s, "s", f"the same again: {again.cpu_s:.2f} s CPU")
    yield from served(peer, program, variables, data, idle_seconds)


def served(peer: str, program: str, variables: dict[str, str], data: Path, idle_seconds: float) -> Iterator[Row]:
    """The figures of its server: memory and CPU while nothing happens, and searches."""
    with server(program, variables, data) as (pid, address):
        found = idle(pid, idle_seconds)
        how = f"`agentsview serve` over {idle_seconds:g} s"
        yield Row(f"{peer}: idle RSS", found["RSS idle, MiB"], "MiB", how)
        yield Row(f"{peer}: idle CPU", found["CPU idle, % of a core"], "% of a core", how)
        yield Row(f"{peer}: idle wake-ups", found["wake-ups a minute"], "/min", how)
        texts = [_TEXTS[number % len(_TEXTS)] for number in range(SEARCHES)]
        asked = [_seconds(f"{address}/api/v1/search?q={urllib.parse.quote(text)}") for text in texts]
        how = f"{len(asked)} searches in messages over HTTP"
        yield Row(f"{peer}: search, p50", statistics.median(asked) * 1000, "ms", how)
        yield Row(f"{peer}: search, p95", percentile(asked, 0.95) * 1000, "ms", how)
        lives = [live([program, "session", "search", "--fts", "--json", text], variables).wall_s for text in _TEXTS]
        how = f"`agentsview session search --fts`, start to exit, {len(lives)} times"
        yield Row(f"{peer}: search as a command, p50", statistics.median(lives) * 1000, "ms", how)


def _seconds(address: str) -> float:
    """How long a request to our own machine takes."""
    begun = time.perf_counter()
    with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 - http to 127.0.0.1
        answer.read()
    return time.perf_counter() - begun


def installed(directory: Path, requirement: str) -> str | None:
    """Install the peer into an environment of its own; the program, None where that fails (said by pip itself)."""
    venv.create(directory, with_pip=True)
    pip = [str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", requirement]
    done = subprocess.run(pip, stdout=sys.stderr, timeout=INSTALL_SECONDS, check=False)
    return str(directory / "bin" / "agentsview") if done.returncode == 0 else None


@contextmanager
def server(program: str, variables: dict[str, str], data: Path) -> Iterator[tuple[int, str]]:
    """Its server at rest: process and address."""
    output = data / "bench-serve.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [program, "serve", "--no-browser", "--no-update-check", "--port", "0"],
            env=variables,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        wait(lambda: _LISTENING in output.read_text(), 300)
        address = output.read_text().partition(_LISTENING)[2].split()[0]
        time.sleep(3)  # what it does after its start is no idling
        yield process.pid, address
    finally:
        os.kill(process.pid, signal.SIGTERM)
        process.wait(30)

"""What the daemon costs while nothing happens, and how soon it tells when something does.

Usage: python bench/idle.py [--logs 10000] [--directories 200] [--hot 50] [--seconds 300] [--appends 50]

Lays out that many small invented logs in a temporary home (`--hot` of them changed within the last day), lets a daemon
with default settings catch up, starts it anew and measures its memory, CPU time and wake-ups over `--seconds`. Then,
with `settle_seconds = 0`, appends a session to one log after the other and waits for its lesson: in the database, and
in the status file.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from selfdistill.service.one_pass import SAMPLE

PROGRAM = [sys.executable, "-c", "import sys; from selfdistill.cli.main import main; sys.exit(main())"]
SESSION = min(SAMPLE.rglob("*.jsonl"), key=lambda path: path.name.replace("rollout", "z")).read_bytes()
DAY_SECONDS = 86400
TARGETS = {
    "RSS idle, MiB": 40,
    "CPU idle, % of a core": 0.1,
    "wake-ups a minute": 4,
    "lesson in the database, p50 ms": 50,
    "lesson in the database, p99 ms": 250,
    "lesson in the status file, p50 ms": 50,
    "lesson in the status file, p99 ms": 250,
}


def lay_out(home: Path, count: int, directories: int, hot: int) -> list[Path]:
    """The logs: a prompt and its answer each, last written at any time of the last year."""
    lines = SESSION.splitlines(keepends=True)
    small = lines[0] + lines[-1]
    now = time.time()
    made = []
    for number in range(count):
        directory = home / ".claude" / "projects" / f"-home-mara-project-{number % directories}"
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{number:08x}-7d14-4f0a-9c55-0e2b6a1d7711.jsonl"
        path.write_bytes(
            small.replace(b"5f0c1e52-7d14", b"%08x-7d14" % number).replace(b'"uuid": "', b'"uuid": "%d-' % number)
        )
        age = 600 + number * 80_000 / hot if number < hot else (2 + 363 * number / count) * DAY_SECONDS
        os.utime(path, (now - age, now - age))
        made.append(path)
    return made


def configure(home: Path, settle_seconds: float) -> None:
    path = home / ".config" / "selfdistill" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"[settling]\nsettle_seconds = {settle_seconds}\n")
    path.chmod(0o600)


@contextmanager
def daemon(home: Path) -> Iterator[int]:
    """A running daemon that has come to rest; its pid."""
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("PYTHON")}
    process = subprocess.Popen([*PROGRAM, "daemon"], env={**kept, "HOME": str(home)}, stderr=subprocess.DEVNULL)
    try:
        wait(lambda: is_at_rest(home, process.pid), 600)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def is_at_rest(home: Path, pid: int) -> bool:
    found = status(home)
    return found.get("pid") == pid and found.get("state") == "watching" and found.get("backlog") == 0


def status(home: Path) -> dict[str, object]:
    try:
        return tomllib.loads((home / ".local/state/selfdistill/status.toml").read_text())
    except FileNotFoundError:
        return {}


def tells(home: Path, lessons: int) -> bool:
    return status(home).get("total_lessons") == lessons


def wait(happened: Callable[[], bool], seconds: float, pause: float = 0.05) -> None:
    end = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > end:
            raise SystemExit(f"nothing happened for {seconds} s")
        time.sleep(pause)


def memory_mib(pid: int, field: str) -> float:
    """VmRSS (now) or VmHWM (the most so far)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def by_thread(pid: int) -> dict[str, tuple[float, int]]:
    """Thread -> (CPU seconds, wake-ups), for each thread of a process."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        cpu = int((task / "schedstat").read_text().split()[0]) / 1e9
        text = (task / "status").read_text().splitlines()
        wakes = next(int(line.split()[1]) for line in text if line.startswith("voluntary_ctxt_switches"))
        found[task.name] = (cpu, wakes)
    return found


def idle(pid: int, seconds: float) -> dict[str, float]:
    """Memory, CPU time and wake-ups of a process over so many seconds."""
    before, begun = by_thread(pid), time.monotonic()
    time.sleep(seconds)
    after, took = by_thread(pid), time.monotonic() - begun
    cpu = sum(one[0] - before.get(name, (0.0, 0))[0] for name, one in after.items())
    wakes = {name: one[1] - before.get(name, (0.0, 0))[1] for name, one in after.items()}
    print("wake-ups by thread:", sorted(wakes.values(), reverse=True))
    return {
        "RSS idle, MiB": memory_mib(pid, "VmRSS"),
        "CPU idle, seconds": cpu,
        "CPU idle, % of a core": 100 * cpu / took,
        "wake-ups a minute": 60 * sum(wakes.values()) / took,
    }


def latencies(home: Path, paths: list[Path]) -> tuple[list[float], list[float]]:
    """Seconds from an append to its lesson in the database and in the status file, for each of these logs."""
    connection = sqlite3.connect(f"file:{home}/.local/state/selfdistill/lessons.db?mode=ro", uri=True, timeout=10)
    stored, told = [], []
    lessons = 0
    for number, path in enumerate(paths):
        content = SESSION.replace(b"/home/mara/kettle", b"/home/mara/kettle-%d" % number)
        content = content.replace(b'"uuid": "', b'"uuid": "n%d-' % number).replace(b"toolu_", b"toolu_%d_" % number)
        with path.open("ab") as file:
            file.write(content)
        begun = time.monotonic()
        before = lessons
        while lessons == before:
            time.sleep(0.0005)
            lessons = connection.execute("SELECT count(*) FROM lessons").fetchone()[0]
            if time.monotonic() - begun > 30:  # noqa: PLR2004 - it will not come any more
                raise SystemExit(f"no lesson from {path}")
        stored.append(time.monotonic() - begun)
        wait(partial(tells, home, lessons), 30, 0.0005)
        told.append(time.monotonic() - begun)
        time.sleep(0.1)
    connection.close()
    return stored, told


def percentile(values: list[float], share: float) -> float:
    """In milliseconds."""
    return sorted(values)[min(len(values) - 1, round(share * (len(values) - 1)))] * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("logs", 10_000), ("directories", 200), ("hot", 50), ("seconds", 300), ("appends", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    table: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="selfdistill-idle-") as directory:
        home = Path(directory)
        paths = lay_out(home, arguments.logs, arguments.directories, arguments.hot)
        configure(home, 120)
        begun = time.monotonic()
        with daemon(home) as pid:
            table["catching up, seconds"] = time.monotonic() - begun
            table["RSS after catching up, MiB"] = memory_mib(pid, "VmRSS")
            table["RSS at most, MiB"] = memory_mib(pid, "VmHWM")
        begun = time.monotonic()
        with daemon(home) as pid:
            table["restart until at rest, seconds"] = time.monotonic() - begun
            time.sleep(3)
            table |= idle(pid, arguments.seconds)
        configure(home, 0)
        with daemon(home) as pid:
            time.sleep(1)
            stored, told = latencies(home, paths[-arguments.appends :])
            table["RSS after the appends, MiB"] = memory_mib(pid, "VmRSS")
        for what, values in (("database", stored), ("status file", told)):
            table[f"lesson in the {what}, p50 ms"] = statistics.median(values) * 1000
            table[f"lesson in the {what}, p99 ms"] = percentile(values, 0.99)
    print(f"{arguments.logs} logs in {arguments.directories} directories, {arguments.hot} of them hot")
    for name, value in table.items():
        target = f"   (target {TARGETS[name]})" if name in TARGETS else ""
        print(f"{name:36} {value:10.3f}{target}")


if __name__ == "__main__":
    main()

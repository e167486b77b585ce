"""What the daemon costs while nothing happens, and how soon it tells when something does.

Usage: python -m bench.idle [--logs 10000] [--directories 200] [--hot 50] [--seconds 300] [--appends 50]

Lays out that many small invented logs in a temporary home (`--hot` of them changed within the last day), lets a daemon
with default settings catch up, starts it anew and measures its memory, CPU time and wake-ups over `--seconds`. Then,
with `settle_seconds = 0`, appends a session to one log after the other and waits for its lesson: in the database, and
in the status file.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from bench.measuring import PROGRAM, compile_program, cpu_seconds, environment, percentile
from msgspec import Struct

from selfdistill.service.one_pass import SAMPLE

SESSION = min(SAMPLE.rglob("*.jsonl"), key=lambda path: path.name.replace("rollout", "z")).read_bytes()
SESSION_ID = b"5f0c1e52-7d14-4f0a-9c55-0e2b6a1d7711"
DAY_SECONDS = 86400
PATIENCE_SECONDS = 3600  # a first start on 10 GB
ACTIVE_EVERY_SECONDS = 10.0  # an agent at work writes a record about so often
TARGETS = {
    "RSS idle, MiB": 40,
    "CPU idle, % of a core": 0.1,
    "wake-ups a minute": 4,
    "written idle, MB/h": 1,
    "open files": 24,
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


class Start(Struct):
    """A daemon that has come to rest, and when it had said READY, known every log and come to rest."""

    pid: int
    ready_s: float
    catalogue_s: float
    rest_s: float
    cpu_s: float
    exit_s: float = 0.0  # from SIGTERM, known afterwards


class Supervisor(threading.Thread):
    """Hears like systemd when a process says that it is ready."""

    def __init__(self, address: Path) -> None:
        super().__init__(daemon=True)
        address.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(os.fspath(address))
        self.ready_at = 0.0
        self.ready = threading.Event()

    def run(self) -> None:
        """Take what comes for as long as this process lives, so that nobody waits for us."""
        while True:
            if b"READY=1" in self._socket.recv(4096):
                self.ready_at = time.monotonic()
                self.ready.set()


@contextmanager
def daemon(home: Path, logs: int = 0) -> Iterator[Start]:
    """A running daemon that knows so many logs and has come to rest."""
    address = home / "notify"
    supervisor = Supervisor(address)
    supervisor.start()
    begun = time.monotonic()
    variables = environment(home, NOTIFY_SOCKET=str(address))
    process = subprocess.Popen([*PROGRAM, "daemon"], env=variables, stderr=subprocess.DEVNULL)
    start = Start(process.pid, 0.0, 0.0, 0.0, 0.0)
    try:
        if not supervisor.ready.wait(60):
            raise SystemExit("the daemon was not ready after 60 s")
        start.ready_s = supervisor.ready_at - begun
        wait(lambda: known_logs(home) >= logs, PATIENCE_SECONDS)
        start.catalogue_s = time.monotonic() - begun
        wait(lambda: is_at_rest(home, process.pid), PATIENCE_SECONDS)
        start.rest_s, start.cpu_s = time.monotonic() - begun, cpu_seconds(process.pid)
        yield start
    finally:
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(10)
        start.exit_s = time.monotonic() - begun


def known_logs(home: Path) -> int:
    """How many logs the store knows; 0 while there is none."""
    try:
        return one_number(home, "SELECT count(*) FROM logs")
    except sqlite3.OperationalError:  # there is no store yet, or no table in it
        return 0


def one_number(home: Path, question: str) -> int:
    """What the store of a daemon answers."""
    database = f"file:{home}/.local/state/selfdistill/lessons.db?mode=ro"
    with closing(sqlite3.connect(database, uri=True, timeout=10)) as connection:
        return int(connection.execute(question).fetchone()[0])


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
    """Memory, CPU time, wake-ups and writes of a process over so many seconds."""
    before, written, begun = by_thread(pid), bytes_written(pid), time.monotonic()
    time.sleep(seconds)
    after, took = by_thread(pid), time.monotonic() - begun
    cpu = sum(one[0] - before.get(name, (0.0, 0))[0] for name, one in after.items())
    wakes = {name: one[1] - before.get(name, (0.0, 0))[1] for name, one in after.items()}
    print("wake-ups by thread:", sorted(wakes.values(), reverse=True), file=sys.stderr)
    return {
        "RSS idle, MiB": memory_mib(pid, "VmRSS"),
        "CPU idle, seconds": cpu,
        "CPU idle, % of a core": 100 * cpu / took,
        "wake-ups a minute": 60 * sum(wakes.values()) / took,
        "written idle, MB/h": (bytes_written(pid) - written) / 1e6 * 3600 / took,
        "open files": float(len(list(Path(f"/proc/{pid}/fd").iterdir()))),
    }


def bytes_written(pid: int) -> int:
    """What a process has caused to be written to disks so far."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))


def latencies(home: Path, paths: list[Path]) -> tuple[list[float], list[float]]:
    """Seconds from an append to its lesson in the database and in the status file, for each of these logs."""
    connection = sqlite3.connect(f"file:{home}/.local/state/selfdistill/lessons.db?mode=ro", uri=True, timeout=10)
    stored, told = [], []
    lessons = one_number(home, "SELECT count(*) FROM lessons")
    for number, path in enumerate(paths):
        content = SESSION.replace(b"/home/mara/kettle", b"/home/mara/kettle-%d" % number)
        content = content.replace(b'"uuid": "', b'"uuid": "n%d-' % number).replace(b"toolu_", b"toolu_%d_" % number)
        with path.open("ab") as file:
            file.write(content.replace(SESSION_ID, path.stem.encode()))
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


@contextmanager
def active(paths: Sequence[Path]) -> Iterator[None]:
    """As long as this is open, each of these logs gets another record every ten seconds, one that teaches nothing."""
    over = threading.Event()
    writer = threading.Thread(target=_keep_writing, args=(paths, over))
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


def _keep_writing(paths: Sequence[Path], over: threading.Event) -> None:
    """One log after the other, in turn. The record ends a turn, so that there is something to distill each time."""
    answer = SESSION.splitlines(keepends=True)[-1]
    number = 0
    while paths and not over.wait(ACTIVE_EVERY_SECONDS / len(paths)):
        path = paths[number % len(paths)]
        content = answer.replace(b'"uuid": "', b'"uuid": "a%d-' % number).replace(SESSION_ID, path.stem.encode())
        with path.open("ab") as file:
            file.write(content)
        number += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("logs", 10_000), ("directories", 200), ("hot", 50), ("seconds", 300), ("appends", 50)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    compile_program()
    table: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="selfdistill-idle-") as directory:
        home = Path(directory) / "home"
        paths = lay_out(home, arguments.logs, arguments.directories, arguments.hot)
        configure(home, 120)
        with daemon(home) as start:
            table["catching up, seconds"] = start.rest_s
            table["RSS after catching up, MiB"] = memory_mib(start.pid, "VmRSS")
            table["RSS at most, MiB"] = memory_mib(start.pid, "VmHWM")
        with daemon(home) as start:
            table["restart until at rest, seconds"] = start.rest_s
            time.sleep(3)
            table |= idle(start.pid, arguments.seconds)
        configure(home, 0)
        with daemon(home) as start:
            time.sleep(1)
            stored, told = latencies(home, paths[-arguments.appends :])
            table["RSS after the appends, MiB"] = memory_mib(start.pid, "VmRSS")
        for what, values in (("database", stored), ("status file", told)):
            table[f"lesson in the {what}, p50 ms"] = statistics.median(values) * 1000
            table[f"lesson in the {what}, p99 ms"] = percentile(values, 0.99) * 1000
    print(f"{arguments.logs} logs in {arguments.directories} directories, {arguments.hot} of them hot")
    for name, value in table.items():
        target = f"   (target {TARGETS[name]})" if name in TARGETS else ""
        print(f"{name:36} {value:10.3f}{target}")


if __name__ == "__main__":
    main()

"""A daemon to be measured: started as systemd does, at rest, idle, and while sessions are written.

What a process costs while nothing happens is asked of any process; the rest knows where our daemon keeps its things.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from bench.measuring import MEGABYTE, PROGRAM, cpu_seconds, environment, memory_mib
from msgspec import Struct

from selfdistill.service.one_pass import SAMPLE

SESSION = min(SAMPLE.rglob("*.jsonl"), key=lambda path: path.name.replace("rollout", "z")).read_bytes()
SESSION_ID = b"5f0c1e52-7d14-4f0a-9c55-0e2b6a1d7711"
DAY_SECONDS = 86400
PATIENCE_SECONDS = 3600  # a first start on 10 GB
ACTIVE_EVERY_SECONDS = 10.0  # an agent at work writes a record about so often


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
        wait(lambda: known_logs(home) >= logs, PATIENCE_SECONDS, 0.1)  # counting 100,000 takes milliseconds
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


def is_copied(home: Path) -> bool:
    """Whether the store's first daily copy is there."""
    return any((home / ".local/state/selfdistill/backups").glob("lessons*"))


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
        "written idle, MB/h": (bytes_written(pid) - written) / MEGABYTE * 3600 / took,
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

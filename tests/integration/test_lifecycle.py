"""Lock, supervisor and signals between real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

STARTERS = 50

# Takes the lock, says so, and holds it until its input closes; exits with our codes otherwise.
HOLD = """
import sys
from pathlib import Path
from selfdistill.errors import SelfdistillError
from selfdistill.service.lifecycle import DaemonLock
try:
    with DaemonLock(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
except SelfdistillError as error:
    print(error.message)
    sys.exit(error.exit_code)
"""

# 50 starters as forks of one process: the same race without 50 interpreters starting on two cores.
RACE = """
import os, sys, time
from pathlib import Path
from selfdistill.errors import AlreadyRunning
from selfdistill.service.lifecycle import DaemonLock
path, starters = Path(sys.argv[1]), int(sys.argv[2])
gate_read, gate_write = os.pipe()
done_read, done_write = os.pipe()
children = []
for _ in range(starters):
    child = os.fork()
    if not child:
        os.close(gate_write)
        os.close(done_write)
        os.read(gate_read, 1)
        started = time.monotonic()
        try:
            DaemonLock(path).acquire()
        except AlreadyRunning:
            os._exit(69 if time.monotonic() - started < 1 else 1)
        os.read(done_read, 1)
        os._exit(0)
    children.append(child)
os.close(gate_write)
losers = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(starters - 1)]
os.close(done_write)
print(losers.count(69), os.waitstatus_to_exitcode(os.wait()[1]))
"""

# Waits as the daemon's main thread does; prints what it saw.
WAIT = """
import sys, time
from selfdistill.service.lifecycle import Signals
signals = Signals()
signals.install()
print("ready", flush=True)
while not signals.wait(60):
    print("reload" if signals.take_reload() else "woken", flush=True)
print("stopping", flush=True)
if len(sys.argv) > 1:
    time.sleep(60)
"""


@contextmanager
def start(program: str, *words: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A running Python program, killed at the end of the block: a broken promise fails and does not hang."""
    command = [sys.executable, "-c", program, *words]
    told = {**os.environ, **(environment or {})}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=told, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_one_of_fifty_starters_wins(tmp_path: Path) -> None:
    """Of 50 daemons started at once exactly one runs; 49 exit 69 in under a second (case 9)."""
    with start(RACE, str(tmp_path / "daemon.lock"), str(STARTERS)) as race:
        output, _ = race.communicate(timeout=20)
    assert output.split() == [str(STARTERS - 1), "0"]


def test_second_process_is_refused_and_told_the_first(tmp_path: Path) -> None:
    """A second daemon process exits 69 and names the first one's pid."""
    lock = tmp_path / "daemon.lock"
    with start(HOLD, str(lock)) as first:
        assert line_of(first) == "held"
        with start(HOLD, str(lock)) as second:
            output, _ = second.communicate(timeout=10)
        first.communicate("")
    assert second.returncode == 69
    assert f"pid {first.pid}" in output


def test_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    """After SIGKILL the next daemon starts at once, whatever pid the file still names (case 11)."""
    lock = tmp_path / "daemon.lock"
    with start(HOLD, str(lock)) as first:
        assert line_of(first) == "held"
        first.kill()
        first.communicate()
    with start(HOLD, str(lock)) as second:
        assert line_of(second) == "held"
        second.communicate("")
    assert second.returncode == 0


def test_child_process_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A program that the daemon started and that outlives it does not hold the lock on."""
    spawn = HOLD.replace('print("held"', 'import subprocess; subprocess.Popen(["sleep", "5"]); print("held"')
    lock = tmp_path / "daemon.lock"
    with start(spawn, str(lock)) as first:
        assert line_of(first) == "held"
        first.kill()
        first.wait()
        with start(HOLD, str(lock)) as second:
            assert line_of(second) == "held"
            second.communicate("")


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_supervisor_hears_another_process(tmp_path: Path, kind: str) -> None:
    """READY and WATCHDOG of a real process arrive at a path socket and at an abstract one (case 62)."""
    if kind == "abstract" and sys.platform != "linux":
        pytest.skip("NOT TESTED: abstract sockets exist on Linux only")
    name = str(tmp_path / "notify") if kind == "path" else f"@selfdistill-test-{os.getpid()}"
    program = (
        "import os; from selfdistill.service.lifecycle import Notifier\n"
        "n = Notifier(os.environ); n.ready(); n.watchdog(); print(n.failures, n.watchdog_interval_seconds)"
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(name if kind == "path" else f"\0{name[1:]}")
        supervisor.settimeout(10)
        with start(program, environment={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000"}) as process:
            received = [supervisor.recv(100), supervisor.recv(100)]
            output, _ = process.communicate(timeout=10)
    assert received == [b"READY=1", b"WATCHDOG=1"]
    assert output.split() == ["0", "1.0"]


def test_full_supervisor_queue_does_not_hang(tmp_path: Path) -> None:
    """A supervisor that does not read costs a second per message at most, and the loss is counted."""
    program = (
        "import os, time; from selfdistill.service.lifecycle import Notifier\n"
        "n = Notifier(os.environ); started = time.monotonic()\n"
        "while not n.failures: n.watchdog()\n"
        "print(time.monotonic() - started < 5)"
    )
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(name)
        with start(program, environment={"NOTIFY_SOCKET": name}) as process:
            output, _ = process.communicate(timeout=20)
    assert output.strip() == "True"


def test_hangup_reloads_and_term_stops() -> None:
    """SIGHUP wakes for a reload and the process lives on; SIGTERM then ends it in good order, at once."""
    with start(WAIT) as process:
        assert line_of(process) == "ready"
        process.send_signal(signal.SIGHUP)
        assert line_of(process) == "reload"
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert line_of(process) == "stopping"
        assert process.wait(timeout=5) == 0
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_second_stop_signal_ends_at_once(second: signal.Signals) -> None:
    """A second stop signal ends a process that hangs in its shutdown, in under half a second (case 5)."""
    with start(WAIT, "hang") as process:
        assert line_of(process) == "ready"
        process.send_signal(signal.SIGTERM)
        assert line_of(process) == "stopping"
        started = time.monotonic()
        process.send_signal(second)
        assert process.wait(timeout=5) == -second
    assert time.monotonic() - started < 0.5


def test_signal_storm_never_hangs_the_wait() -> None:
    """Thousands of SIGHUPs at any instant of the main thread's wait neither kill nor hang it."""
    with start(WAIT.replace('print("reload" if signals.take_reload() else "woken", flush=True)', "pass")) as process:
        assert line_of(process) == "ready"
        for _ in range(3_000):
            process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert line_of(process) == "stopping"
        assert process.wait(timeout=5) == 0

"""What gets in a process' way: namespaces of its own, and system calls that fail, hang or kill it.

Everything here skips loudly where this system does not allow it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

_PATIENCE_SECONDS = 20.0


class Namespace:
    """Users and mounts that only the processes within share; `pid` keeps them alive."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def path(self, inside: Path) -> Path:
        """Where a path of the namespace is seen from outside."""
        return Path(f"/proc/{self.pid}/root{inside}")

    def run(self, command: str) -> None:
        """Let the shell run a command in it."""
        enter = ["nsenter", "-t", str(self.pid), "-U", "-m", "--preserve-credentials", "sh", "-ec", command]
        done = subprocess.run(enter, capture_output=True, text=True, check=False, timeout=30)
        assert not done.returncode, f"{command}: {done.stderr}"


@contextmanager
def namespace(setup: str = ":") -> Iterator[Namespace]:
    """A namespace of its own after the shell has run `setup` in it."""
    if not shutil.which("unshare") or not shutil.which("nsenter"):
        pytest.skip("NOT TESTED: unshare and nsenter are not installed here")
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED: this system allows no user namespaces")
    script = f"{setup}\necho ready\nexec sleep 600"
    holder = subprocess.Popen(["unshare", "-Urm", "sh", "-ec", script], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n", setup
        yield Namespace(holder.pid)
    finally:
        holder.kill()
        holder.communicate()


def mount(path: Path, *, mib: int) -> str:
    """The command that puts a disk of so much room in the place of a directory."""
    return f"mount -t tmpfs -o size={mib}m,mode=0700 tmpfs '{path}'"


@cache
def _may_trace() -> bool:
    """Whether strace may interfere with a process that is not its child."""
    with subprocess.Popen(["sleep", "20"]) as other:
        command = ["strace", "-qq", "-o", os.devnull, "-p", str(other.pid)]
        try:
            with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
                attached = _wait_for_tracer(other.pid, tracer)
                tracer.terminate()
        finally:
            other.kill()
    return attached


def _wait_for_tracer(pid: int, tracer: subprocess.Popen[bytes]) -> bool:
    """Whether the process is traced before the tracer gives up."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end and tracer.poll() is None:
        if "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text():
            return True
        time.sleep(0.005)
    return False


def needs_strace() -> None:
    """Skip where system calls cannot be made to fail."""
    if not shutil.which("strace"):
        pytest.skip("NOT TESTED: strace is not installed here")
    if not _may_trace():
        pytest.skip("NOT TESTED: strace may not attach to processes here")


@contextmanager
def injected(pid: int, *injections: str, path: Path | None = None) -> Iterator[None]:
    """Injections as in strace(1) in a process that waits for SIGCONT, which it then gets; `path`: in calls on it."""
    options = [option for injection in injections for option in ("-e", f"inject={injection}")]
    with _traced(pid, *options, *(("-P", str(path)) if path else ())):
        yield


@contextmanager
def recorded(pid: int, calls: str, record: Path) -> Iterator[None]:
    """These system calls of a process that waits for SIGCONT, which it then gets; a line for each, with its paths."""
    with _traced(pid, "-y", "-e", f"trace={calls}", record=record):
        yield


@contextmanager
def _traced(pid: int, *options: str, record: Path | str = os.devnull) -> Iterator[None]:
    """Have strace at work on a process that waits for SIGCONT, which it then gets."""
    needs_strace()
    command = ["strace", "-f", "-qq", "-o", str(record), "-p", str(pid), *options]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
        try:
            assert _wait_for_tracer(pid, tracer), command
            os.kill(pid, signal.SIGCONT)
            yield
        finally:
            tracer.terminate()

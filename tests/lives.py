"""Real processes of ours without their half a second of imports: forked from one process that has imported everything.

`start` gives a process that runs a command of ours as if from a shell: own environment, own standard streams, own exit.
Only its imports are those of its parent, so tests of what is imported, and of start-up times, start an interpreter.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import gc
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

# What the commands import, heavy or not, but for the model's SDK: it would cost each child 54 MiB.
PRELOADED: Final = (
    *("config_command", "daemon_command", "init_command", "inspect_command", "lessons_command", "run_command"),
    "status_command",
)
_POLL_SECONDS: Final = 0.003


class Life:
    """One process of ours, to be used like `subprocess.Popen`."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self._zygote = zygote
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code (minus the signal that killed it), or None while it lives."""
        if self.returncode is None:
            self.returncode = self._zygote.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code once it has ended; raises subprocess.TimeoutExpired after `timeout` seconds."""
        end = time.monotonic() + timeout if timeout is not None else float("inf")
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(f"pid {self.pid}", timeout or 0.0)
            time.sleep(_POLL_SECONDS)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Zygote:
    """The process that has imported everything, and answers one JSON line with another."""

    def __init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("PYTHON")}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=kept
        )
        atexit.register(self.end)

    def ask(self, **request: Any) -> Any:  # noqa: ANN401 - whatever JSON can say
        """Send a request; its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        """Kill every child that still lives, and the zygote."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(10)


@cache
def zygote() -> Zygote:
    """The one zygote of this test run."""
    return Zygote()


def start(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdout: Path | str = os.devnull,
    stderr: Path | str = os.devnull,
    limits: Mapping[str, int] | None = None,
    within: int = 0,
    stopped: bool = False,
    cwd: Path | None = None,
    umask: int = -1,
) -> Life:
    """Begin a command of ours; its output is appended to the files.

    `limits` are resource limits by name ("RLIMIT_NOFILE"). `within`: it joins the namespaces of this process.
    `stopped`: it waits for SIGCONT before it does anything.
    """
    pid = zygote().ask(
        words=list(words),
        environment=dict(environment),
        stdout=str(stdout),
        stderr=str(stderr),
        limits=dict(limits or {}),
        within=within,
        stopped=stopped,
        cwd=str(cwd or Path.cwd()),
        umask=umask,
    )
    return Life(zygote(), pid)


def run(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    timeout: float = 60.0,
    cwd: Path | None = None,
    umask: int = -1,
) -> subprocess.CompletedProcess[str]:
    """A command of ours from its beginning to its end, as `subprocess.run` would tell of it."""
    with tempfile.TemporaryDirectory() as directory:
        stdout, stderr = Path(directory) / "stdout", Path(directory) / "stderr"
        life = start(words, environment, stdout=stdout, stderr=stderr, cwd=cwd, umask=umask)
        try:
            code = life.wait(timeout)
        finally:
            life.kill()
        return subprocess.CompletedProcess(list(words), code, stdout.read_text(), stderr.read_text())


def _serve() -> list[str]:
    """Fork a child for each request until the input ends; returns only in the children, with their words."""
    children: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        answer: int | None
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            children.discard(pid)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if not answer:
                _become(request)
                words: list[str] = request["words"]
                return words
            children.add(answer)
            if request["stopped"]:  # before it stands still a SIGCONT would be lost, and it would stand still for ever
                os.waitid(os.P_PID, answer, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    os._exit(0)


def _become(request: dict[str, Any]) -> None:
    """Take on the environment, the streams, the limits and the namespaces that were asked for."""
    os.environ.clear()
    os.environ.update(request["environment"])
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [path for path in paths if path and path not in sys.path]  # what is imported from now on
    if first := os.environ.get("SELFDISTILL_TESTS_IMPORT"):  # what an interpreter would import as `sitecustomize`
        __import__(first)
    for stream, path in ((0, os.devnull), (1, request["stdout"]), (2, request["stderr"])):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(descriptor, stream)
        os.close(descriptor)
    faulthandler.enable()  # SIGABRT and crashes show the stacks of all threads
    if request["within"]:
        _join(request["within"])
    os.chdir(request["cwd"])
    if request["umask"] >= 0:
        os.umask(request["umask"])
    for name, limit in request["limits"].items():
        number = getattr(resource, name)
        resource.setrlimit(number, (limit, resource.getrlimit(number)[1]))
    if request["stopped"]:
        os.kill(os.getpid(), signal.SIGSTOP)


def _join(pid: int) -> None:
    """Enter the user namespace of a process, then its mounts (Python 3.11 has no `os.setns`)."""
    libc = ctypes.CDLL(None, use_errno=True)
    namespaces = [os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("user", "mnt")]
    for namespace in namespaces:
        if libc.setns(namespace, 0):
            raise OSError(ctypes.get_errno(), "setns")


if __name__ == "__main__":
    import importlib

    from selfdistill.cli.main import main

    for module in (*(f"selfdistill.cli.{name}" for name in PRELOADED), "watchdog.observers", "zstandard"):
        importlib.import_module(module)
    gc.freeze()  # else each child copies every page when it collects at its end
    sys.argv[1:] = _serve()
    sys.exit(main())

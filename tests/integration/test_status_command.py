"""`selfdistill status` as a process: its exit codes, what it imports, and what it survives."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from selfdistill.cli import status_command
from selfdistill.service import processes, status
from selfdistill.service.status import State, Status

START = [sys.executable, "-c", "import sys; from selfdistill.cli.main import main; sys.exit(main())"]
READS = 1_000

# Ends inside the process, after the command, so that its own imports are all there is to see.
MODULES = """
import sys
from selfdistill.cli.main import main
code = main(["status"])
print(*sorted(sys.modules), sep="\\n", file=sys.stderr)
"""
HEAVY = {
    "argparse",
    "dataclasses",
    "inspect",
    "json",
    "logging",
    "msgspec",
    "pathlib",
    "rich",
    "shutil",
    "sqlite3",
    "structlog",
    "subprocess",
    "tomli_w",
    "watchdog",
}


def environment(directory: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(directory), "PATH": os.environ["PATH"], "SELFDISTILL_STATE_DIR": str(directory), **more}


def run(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*START, "status", *words]
    return subprocess.run(command, env=environment(directory), capture_output=True, text=True, check=False, timeout=20)


def told(state: State = State.WATCHING, pid: int | None = None, alarms: list[str] | None = None) -> Status:
    """What a daemon with this test's pid would say."""
    pid = os.getpid() if pid is None else pid
    process = processes.identity(pid)
    sources = {"codex": status.Source(logs_seen=3, skipped={"empty": 1})}
    return Status(state=state, version="1", pid=pid, process=process, alarms=alarms or [], sources=sources)


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


class TestExitCodes:
    """One exit code for each thing there is to know."""

    def test_healthy(self, tmp_path: Path) -> None:
        """0 while the daemon lives and reports."""
        status.write(told(), tmp_path / "status.toml")
        done = run(tmp_path)
        assert done.returncode == 0, done.stdout
        assert "healthy" in done.stdout
        assert "codex" in done.stdout

    def test_degraded(self, tmp_path: Path) -> None:
        """1 when it says that something is wrong; the sentence stands before everything else."""
        status.write(told(alarms=["58 sessions gave no lesson at all."]), tmp_path / "status.toml")
        done = run(tmp_path)
        assert done.returncode == 1
        assert "58 sessions" in done.stdout.splitlines()[1]

    def test_stale(self, tmp_path: Path) -> None:
        """2 when the process lives but its heartbeat stopped."""
        status.write(told(), tmp_path / "status.toml")
        os.utime(tmp_path / "status.toml", (time.time() - 600,) * 2)
        done = run(tmp_path)
        assert done.returncode == 2
        assert "10 min" in done.stdout

    def test_stopped(self, tmp_path: Path) -> None:
        """3 after a clean end, however fresh the file: `run` writes it so."""
        status.write(told(State.STOPPED), tmp_path / "status.toml")
        assert run(tmp_path).returncode == 3

    def test_killed(self, tmp_path: Path) -> None:
        """3 when the daemon is gone without a word, although its file still says that it watches."""
        status.write(told(pid=dead_pid()), tmp_path / "status.toml")
        done = run(tmp_path)
        assert done.returncode == 3
        assert "without a word" in done.stdout

    def test_never_started(self, tmp_path: Path) -> None:
        """4 where it never ran, with what to do first."""
        done = run(tmp_path / "absent")
        assert done.returncode == 4
        assert "selfdistill run" in done.stdout

    @pytest.mark.parametrize("words", [["--frob"], ["now"], ["--watch=1"]])
    def test_usage(self, tmp_path: Path, words: list[str]) -> None:
        """64 on wrong usage, which no script can take for a verdict."""
        done = run(tmp_path, *words)
        assert (done.returncode, "usage: selfdistill" in done.stderr, done.stdout) == (64, True, "")

    def test_help(self, tmp_path: Path) -> None:
        """--help exits 0 and lists the exit codes."""
        done = run(tmp_path, "--help")
        assert (done.returncode, "4 never started" in done.stdout) == (0, True)


class TestBadFiles:
    """Whatever stands in the file's place, the answer is words and an exit code."""

    @pytest.mark.parametrize("content", [b'state = "wat', b"\xff\xfe\0", b"a = " + b"[" * 50_000, b"<html>"])
    def test_damaged(self, tmp_path: Path, content: bytes) -> None:
        """A damaged file is called damaged, with exit code 2, on the screen and as JSON."""
        (tmp_path / "status.toml").write_bytes(content)
        done = run(tmp_path)
        assert (done.returncode, "damaged" in done.stdout, done.stderr) == (2, True, "")
        found = json.loads(run(tmp_path, "--json").stdout)
        assert (found["verdict"], found["exit_code"]) == ("stale", 2)

    def test_empty(self, tmp_path: Path) -> None:
        """An empty file, as a power cut may leave one of another writer, is a daemon that is not there."""
        (tmp_path / "status.toml").touch()
        assert run(tmp_path).returncode == 3

    @pytest.mark.parametrize("kind", ["directory", "fifo", "link"])
    def test_not_a_file(self, tmp_path: Path, kind: str) -> None:
        """A directory, a FIFO or a link in its place gives exit code 2 at once and is never followed (case 52)."""
        path = tmp_path / "status.toml"
        if kind == "directory":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            status.write(told(), tmp_path / "elsewhere.toml")
            path.symlink_to(tmp_path / "elsewhere.toml")
        done = run(tmp_path)
        assert (done.returncode, str(path) in done.stdout, done.stderr) == (2, True, "")

    def test_newer_schema(self, tmp_path: Path) -> None:
        """A file of a newer version is shown as far as it is understood, and said to be one."""
        newer = told()
        newer.schema = 99
        status.write(newer, tmp_path / "status.toml")
        done = run(tmp_path)
        assert done.returncode == 1
        assert "schema 99" in done.stdout
        assert "codex" in done.stdout

    @pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: dropping to another user needs root")
    def test_unreadable(self, tmp_path: Path) -> None:
        """A file that may not be read is said to be so, with exit code 2."""
        status.write(told(), tmp_path / "status.toml")
        child = os.fork()
        if not child:
            os.setuid(65534)
            found = status_command.read(str(tmp_path / "status.toml"))
            os._exit(0 if "Permission denied" in found.problem else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_json_is_the_file_and_the_verdict(tmp_path: Path) -> None:
    """--json is the status file with verdict and exit code, times as ISO 8601, with the same exit code."""
    now = told()
    now.started_at = status.moment(1_750_000_000)
    status.write(now, tmp_path / "status.toml")
    done = run(tmp_path, "--json")
    found = json.loads(done.stdout)
    assert (found["verdict"], found["exit_code"], done.returncode) == ("healthy", 0, 0)
    assert found["sources"]["codex"]["skipped"] == {"empty": 1}
    assert found["started_at"] == "2025-06-15T15:06:40+00:00"
    assert found["heartbeat_age_seconds"] < 20


def test_works_beside_a_corrupt_store(tmp_path: Path) -> None:
    """A corrupt database and somebody else's lock do not concern `status`: it opens neither, and leaves no trace."""
    (tmp_path / "lessons.db").write_bytes(b"garbage")
    status.write(told(), tmp_path / "status.toml")
    before = sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir())
    assert run(tmp_path).returncode == 0
    assert sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir()) == before


def test_imports_nothing_heavy(tmp_path: Path) -> None:
    """`status` loads tomllib and nothing heavier: argparse, pathlib, json or any dependency would double its time."""
    status.write(told(), tmp_path / "status.toml")
    done = subprocess.run(
        [sys.executable, "-c", MODULES], env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert "tomllib" in loaded
    assert not loaded & HEAVY
    ours = {name for name in loaded if name.startswith("selfdistill.")}
    assert ours == {
        "selfdistill.cli",
        "selfdistill.cli.main",
        "selfdistill.cli.status_command",
        "selfdistill.cli.status_screen",
        "selfdistill.service",
        "selfdistill.service.processes",
    }


def test_no_read_is_ever_torn(tmp_path: Path) -> None:
    """A thousand reads while the file is replaced all the time see a whole file each, and its own heartbeat.

    Case 52 of `tests/fault/README.md`.
    """
    path = tmp_path / "status.toml"
    status.write(told(), path)
    stop, written = threading.Event(), [0]

    def write_all_the_time() -> None:
        while not stop.is_set():
            written[0] += 1
            status.write(told(alarms=[f"number {written[0]}"] * (written[0] % 50)), path)

    writer = threading.Thread(target=write_all_the_time)
    writer.start()
    try:
        found = [status_command.read(str(path)) for _ in range(READS)]
    finally:
        stop.set()
        writer.join()
    assert [snapshot.problem for snapshot in found if snapshot.problem] == []
    tables = [snapshot.table or {} for snapshot in found]
    assert all(set(table) == set(tables[0]) for table in tables)
    assert all(len(set(table["alarms"])) <= 1 for table in tables)
    assert written[0] > 10
    assert all(time.time() - snapshot.heartbeat < 60 for snapshot in found)


class TestWatch:
    """`--watch`, on a terminal and into a pipe."""

    def watch(self, directory: Path, *words: str, terminal: bool, **more: str) -> tuple[int, bytes]:
        """Run `status --watch` until it has drawn, then press Ctrl-C; return exit code and output."""
        reader, writer = pty.openpty() if terminal else os.pipe()
        command = [*START, "status", "--watch", *words]
        with subprocess.Popen(command, env=environment(directory, TERM="xterm", **more), stdout=writer) as process:
            os.close(writer)
            output = b""
            while b"heartbeat" not in output and select.select([reader], [], [], 10)[0]:
                output += os.read(reader, 65536)
            process.send_signal(signal.SIGINT)
            try:
                code = process.wait(timeout=10)
            finally:
                process.kill()
        os.close(reader)
        return code, output

    def test_draws_over_itself_on_a_terminal(self, tmp_path: Path) -> None:
        """On a terminal it goes home and erases behind each line, in colour, and Ctrl-C exits 0."""
        status.write(told(), tmp_path / "status.toml")
        code, output = self.watch(tmp_path, terminal=True)
        assert code == 0
        assert b"\x1b[H" in output
        assert b"\x1b[K" in output
        assert b"\x1b[1m" in output

    def test_no_colour(self, tmp_path: Path) -> None:
        """With NO_COLOR a terminal gets no colours."""
        status.write(told(), tmp_path / "status.toml")
        assert b"\x1b[1m" not in self.watch(tmp_path, terminal=True, NO_COLOR="1")[1]

    def test_plain_text_and_json_into_a_pipe(self, tmp_path: Path) -> None:
        """Into a pipe there are no codes at all; with --json it is one object per line."""
        status.write(told(), tmp_path / "status.toml")
        code, output = self.watch(tmp_path, terminal=False)
        assert (code, b"\x1b" in output) == (0, False)
        code, output = self.watch(tmp_path, "--json", terminal=False)
        assert (code, json.loads(output.splitlines()[0])["verdict"]) == (0, "healthy")

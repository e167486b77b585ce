"""Faults 25 to 44: whatever is done to a log, its whole lines are read once and its neighbours are not held up."""

from __future__ import annotations

import gzip
import json
import mmap
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

import lives
from hindrances import injected
from homes import (
    AT_ONCE_ANYWHERE,
    CLAUDE,
    ROLLOUT,
    SCANS_ONLY,
    SESSIONS,
    Home,
    comparable,
    until,
)
from selfdistill.config import Config, Limits
from selfdistill.model import Records
from selfdistill.service.one_pass import Pass, one_pass
from selfdistill.service.running import Selection
from support.examples import TIMES

NAME = CLAUDE[0]
DATA = SESSIONS[NAME]
LINES = DATA.splitlines(keepends=True)
ANYWHERE = Config(settling=AT_ONCE_ANYWHERE)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty HOME."""
    return Home(tmp_path, AT_ONCE_ANYWHERE, SCANS_ONLY)


def distil(home: Home, config: Config = ANYWHERE) -> Pass:
    """One pass over everything, by a new process as far as the store can tell."""
    with home.assembly(config) as assembly:
        return one_pass(assembly, Selection(limit=0))


def lessons(home: Home) -> list[dict[str, Any]]:
    """All lessons, without their times."""
    with home.assembly() as assembly:
        found = assembly.store.lessons(None, state=None, everywhere=True)
        return comparable([json.loads(json.dumps(one, default=_plain)) for one in found])


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a lesson holds
    return {name: getattr(value, name) for name in value.__struct_fields__}


def records(home: Home) -> int:
    """How many records of Claude Code's logs were read in all."""
    with home.assembly() as assembly:
        return assembly.store.census()["claude_code"].records.total


def ledger(home: Home) -> dict[str, int]:
    """Why which number of Claude Code's logs is not distilled."""
    with home.assembly() as assembly:
        return {str(word): count for word, count in assembly.store.ledger().get("claude_code", {}).items()}


def other_session(number: int, data: bytes = DATA) -> bytes:
    """The same session under other ids, in another project."""
    mark = b"%08x" % number
    data = re.sub(rb'"(uuid|parentUuid)": "[0-9a-f]{8}', b'"\\1": "' + mark, data)
    data = re.sub(rb"toolu_[0-9a-f]{8}", b"toolu_" + mark, data)
    return data.replace(NAME[:8].encode(), mark)


def findings(home: Home) -> int:
    """How many findings are stored, each of them once."""
    with home.assembly() as assembly:
        return int(assembly.store._database.rows("SELECT count(*) FROM findings")[0][0])


def of_whole(directory: Path, data: bytes) -> list[dict[str, Any]]:
    """The lessons of a log with these bytes, read in one go."""
    alone = Home(directory / "whole", AT_ONCE_ANYWHERE)
    (alone.claude / NAME).write_bytes(data)
    distil(alone)
    return lessons(alone)


class TestRewritten:
    """A log that is not what it was: found by its bytes, whatever size and times say."""

    def test_case_25_torn_in_a_character(self, home: Home, tmp_path: Path) -> None:
        """A line torn inside a UTF-8 character waits over restarts and is delivered whole and once."""
        accented = DATA.replace(b"kettle's", "k\u00e9ttle\u2019s \U0001f375".encode())
        path = home.claude / NAME
        for cut in (i for i, byte in enumerate(accented) if byte >= 0x80):
            path.write_bytes(accented[:cut])
            distil(home)
            assert ledger(home).get("no_conversation", 0) <= 1
        path.write_bytes(accented)
        distil(home)
        assert records(home) == len(LINES)
        assert lessons(home) == of_whole(tmp_path, accented)

    @pytest.mark.parametrize("kept", [0, 3], ids=["to nothing", "behind its head"])
    def test_case_26_truncated_and_regrown(self, home: Home, kept: int) -> None:
        """A log that is cut and has grown past the old offset before anybody looked is read from its beginning."""
        path = home.claude / NAME
        path.write_bytes(b"".join(LINES[:6]))
        distil(home)
        regrown = b"".join(LINES[:kept]) + other_session(1, b"".join(LINES[kept:]))
        assert len(b"".join(LINES[:3])) > 1024, "the head of which a cursor knows the hash"
        path.write_bytes(regrown)
        assert distil(home).bytes_read == len(regrown)
        assert lessons(home)

    def test_case_27_copytruncate_with_a_stale_writer(self, home: Home, tmp_path: Path) -> None:
        """After copytruncate a writer without O_APPEND leaves a hole of NULs: one bad line, the rest is read."""
        path = home.claude / NAME
        path.write_bytes(b"".join(LINES[:4]))
        distil(home)
        with path.open("r+b", buffering=0) as writer:
            writer.seek(0, os.SEEK_END)
            os.truncate(path, 0)
            writer.write(other_session(1))
        done = distil(home)
        assert not done.failed
        with home.assembly() as assembly:
            census = assembly.store.census()["claude_code"]
        assert census.records.undecodable <= 1
        assert lessons(home) == of_whole(tmp_path, other_session(1, b"".join(LINES[1:])))

    def test_case_28_rewritten_in_place(self, home: Home) -> None:
        """Same length and other bytes; replaced by more of the same; replaced with size and time forged: noticed."""
        path = home.claude / NAME
        path.write_bytes(DATA)
        distil(home)
        path.write_bytes(other_session(1))
        assert path.stat().st_size == len(DATA)
        assert distil(home).bytes_read == len(DATA)
        longer = home.path / "longer"
        longer.write_bytes(other_session(1) + other_session(2))
        longer.replace(path)
        done = distil(home)
        assert done.bytes_read == len(other_session(2)), "the same prefix is not read again"
        seen = path.stat()
        forged = home.path / "forged"
        forged.write_bytes(other_session(3) + other_session(4))
        os.utime(forged, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        forged.replace(path)
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (seen.st_size, seen.st_mtime_ns)
        assert distil(home).bytes_read == seen.st_size

    def test_case_29_inode_reused(self, home: Home) -> None:
        """A new log in the inode of a deleted one inherits nothing of it: each of many is read from its beginning."""
        for number in range(20 * TIMES):
            path = home.claude / f"{number}.jsonl"
            path.write_bytes(other_session(number, b"".join(LINES[:3])))
            assert distil(home).bytes_read == path.stat().st_size
            path.unlink()

    def test_case_30_two_logs_with_one_beginning(self, home: Home, tmp_path: Path) -> None:
        """A copy that goes on by itself: both are read, and what they share counts once."""
        filler = json.dumps({"type": "summary", "summary": "x" * 66_000}).encode() + b"\n"
        shared = filler + b"".join(LINES[:8])
        one, other = home.claude / NAME, home.claude / "forked.jsonl"
        for piece in (shared, b"".join(LINES[8:])):
            for path in (one, other):
                with path.open("ab") as file:
                    file.write(piece)
            distil(home)
        assert records(home) == 2 * (len(LINES) + 1)
        assert lessons(home) == of_whole(tmp_path, filler + DATA)
        assert findings(home) == findings(Home(tmp_path / "whole", AT_ONCE_ANYWHERE))


class TestNoPlainFile:
    """What bears a log's name and is none is refused at once, counted, and never followed."""

    def test_case_31_links_pipes_and_devices(self, home: Home, tmp_path: Path) -> None:
        """Hard links count once; symbolic links, loops, FIFOs, sockets, devices and directories are not opened."""
        path, secret = home.claude / NAME, tmp_path / "shadow"
        path.write_bytes(DATA)
        (home.claude / "hard.jsonl").hardlink_to(path)
        secret.write_bytes(other_session(7))
        secret.chmod(0)
        (home.claude / "soft.jsonl").symlink_to(secret)
        (home.claude / "loop.jsonl").symlink_to(home.claude / "loop.jsonl")
        (home.claude / "up").symlink_to(home.claude.parent)
        os.mkfifo(home.claude / "pipe.jsonl")
        (home.claude / "directory.jsonl").mkdir()
        with socket.socket(socket.AF_UNIX) as listener:
            os.chdir(home.claude)  # a socket's path must be short
            listener.bind("socket.jsonl")
            os.chdir("/")
        odd = 5
        if not os.getuid():
            os.mknod(home.claude / "device.jsonl", stat.S_IFCHR | 0o600, os.makedev(1, 5))
            odd += 1
        begun = time.monotonic()
        done = distil(home)
        assert time.monotonic() - begun < 10
        assert not done.failed
        assert ledger(home)["not_regular"] == odd
        assert lessons(home) == of_whole(tmp_path, DATA)

    def test_case_32_any_name(self, home: Home) -> None:
        """Names of any bytes are read, a path that is too long for the system is refused, nothing is shown raw."""
        names = [b"\xff\xfe.jsonl", b"a\nb.jsonl", b"-rf.jsonl", "\U0001f375.jsonl".encode(), b"\x1b[31m.jsonl"]
        names += [b"a.jsonl", b"A.jsonl", b"x" * 249 + b".jsonl"]
        for number, name in enumerate(names):
            (home.claude / os.fsdecode(name)).write_bytes(other_session(number))
        deep = home.claude
        for _ in range(15):
            deep /= "d" * 250
            deep.mkdir()
        where = os.open(deep, os.O_RDONLY)
        try:
            os.mkdir("e" * 250, dir_fd=where)
            below = os.open("e" * 250, os.O_RDONLY, dir_fd=where)
            os.close(os.open("far.jsonl", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=below))
            os.close(below)
        finally:
            os.close(where)
        done = distil(home)
        assert not done.failed
        assert done.manifest.sessions_processed == len(names)
        assert records(home) == len(LINES) * len(names)
        shown = home.command("status", expect=3) + home.command("lessons", "list", "--all")
        assert "\x1b" not in shown

    def test_case_33_not_ours_to_read(self, open_to_all: Path) -> None:
        """Logs and directories without permission are in the ledger, hold up nobody, and are read when that changes."""
        if os.getuid() or not shutil.which("setpriv"):
            pytest.skip("NOT TESTED: needs root and setpriv to become another user")
        home = Home(open_to_all, AT_ONCE_ANYWHERE, SCANS_ONLY)
        closed = home.claude.parent / "closed"
        closed.mkdir()
        for number, path in enumerate((home.claude / "mode.jsonl", closed / "below.jsonl", home.claude / NAME)):
            path.write_bytes(other_session(number))
        for path in (open_to_all, *open_to_all.rglob("*")):
            os.chown(path, 65534, 65534)
        os.chown(home.claude / "mode.jsonl", 0, 0)
        (home.claude / "mode.jsonl").chmod(0o600)
        closed.chmod(0o600)
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c"]
        program = "import sys; from selfdistill.cli.main import main; sys.exit(main(['run', '--limit', '0', '--json']))"

        def read() -> int:
            done = subprocess.run([*drop, program], env=home.environment(), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            count: int = json.loads(done.stdout)["sessions_processed"]
            return count

        assert read() == 1
        closed.chmod(0o700)
        os.chown(home.claude / "mode.jsonl", 65534, 65534)
        assert read() == 2


class TestFailingCalls:
    """System calls that fail, as on a bad disk or a network drive that went away."""

    @pytest.mark.parametrize(
        ("injection", "healed"),
        [
            ("pread64:error=EIO:when=1", True),
            ("pread64:error=EIO", False),
            ("openat:error=ESTALE", False),
            ("fstat,newfstatat,statx:error=ESTALE", False),
            ("pread64:error=EINTR:when=1..2", True),
        ],
    )
    def test_case_34_errors_of_one_log(
        self, home: Home, tmp_path: Path, expected: list[dict[str, Any]], injection: str, healed: bool
    ) -> None:
        """A log whose reading fails is told with its name or read at the second try; the others are read; later all."""
        home.fill()
        told = tmp_path / "stderr"
        life = lives.start(["run", "--limit", "0"], home.environment(), stderr=told, stopped=True)
        with injected(life.pid, injection, path=home.claude / NAME):
            assert life.wait(60) == 0, told.read_text()
        if healed:
            assert home.lessons() == expected
        else:
            assert 0 < len(home.lessons()) < len(expected)
        home.command("run", "--limit", "0")
        assert home.lessons() == expected

    def test_case_34_directory_that_cannot_be_listed(
        self, home: Home, tmp_path: Path, expected: list[dict[str, Any]]
    ) -> None:
        """A directory whose listing fails half-way makes no log gone."""
        home.fill()
        home.command("run", "--limit", "0")
        for _ in range(3):
            life = lives.start(["run"], home.environment(), stderr=tmp_path / "stderr", stopped=True)
            with injected(life.pid, "getdents64:error=EIO", path=home.claude):
                assert life.wait(60) == 0, (tmp_path / "stderr").read_text()
        assert "gone" not in home.source().get("skipped", {})
        assert home.lessons() == expected

    def test_case_35_few_descriptors(self, home: Home, expected: list[dict[str, Any]]) -> None:
        """With 40 file descriptors in all, the daemon reads 100 logs, and holds fewer than 30 open."""
        home.fill()
        for number in range(100):
            (home.claude / f"{number}.jsonl").write_bytes(other_session(number, b"".join(LINES[:3])))
        with home.daemon(limits={"RLIMIT_NOFILE": 40}) as daemon:
            until(lambda: home.status()["backlog"] == 0 and home.source()["tracked"] > 100, "all logs")
            assert len(list(Path(f"/proc/{daemon.pid}/fd").iterdir())) < 30
        assert {one["id"] for one in expected} <= {one["id"] for one in home.lessons()}


POISON: dict[str, bytes] = {
    "nulls": b"\0" * 300_000 + b"\n",
    "brackets": b"[" * 100_000 + b"\n",
    "objects": b'{"a":' * 50_000 + b"\n",
    "digits": b'{"type": "user", "n": ' + b"9" * 5_000 + b"}\n",
    "surrogates": b'{"type": "user", "message": {"role": "user", "content": "\\ud800 \\udfff"}}\n',
    "nan": b'{"type": "user", "n": NaN, "m": -Infinity}\n',
    "twice": b'{"type": "user", "type": "assistant", "type": "x"}\n',
    "utf-16": '{"type": "user"}\n'.encode("utf-16"),
    "mark": b"\xef\xbb\xbf" + LINES[0],
    "carriage returns": DATA.replace(b"\n", b"\r\n"),
    "separators": '{"type": "user", "message": {"role": "user", "content": "a\u2028b\x85c\x0bd"}}\n'.encode(),
    "gzip": gzip.compress(DATA * 20),
    "huge numbers": b'{"type": "user", "timestamp": 1e999, "n": 9223372036854775808}\n',
    "wrong types": b'{"type": ["user"], "message": 7, "uuid": {}, "cwd": null, "sessionId": 3.5}\n',
    "scalars": b'null\n0\n"x"\n[]\ntrue\n',
}


class TestPoison:
    """Case 36: bytes that break naive readers cost themselves."""

    @pytest.mark.parametrize("kind", POISON)
    def test_case_36_poison(self, home: Home, tmp_path: Path, kind: str) -> None:
        """Whatever stands between the lines of a log and in logs beside it, its own lines are read."""
        poison = POISON[kind]
        (home.claude / "poison.jsonl").write_bytes(poison)
        (home.claude / NAME).write_bytes(b"".join(LINES[:3]) + poison + (b"" if poison[-1:] == b"\n" else b"\n"))
        distil(home)
        with (home.claude / NAME).open("ab") as file:
            file.write(b"".join(LINES[3:]))
        done = distil(home)
        assert not done.failed, done.failed
        found, wanted = ({one["id"] for one in some} for some in (lessons(home), of_whole(tmp_path, DATA)))
        assert wanted <= found

    def test_case_36_a_line_that_is_too_long_counts(self, home: Home) -> None:
        """A line of over 32 MiB is a record that could not be read: for the store, and for `inspect`."""
        path = home.claude / NAME
        too_long = b"x" * (int(Limits().max_line_mib) * 1024 * 1024 + 1) + b"\n"
        path.write_bytes(b"".join(LINES[:3]) + too_long + b"".join(LINES[3:]))
        distil(home)
        with home.assembly() as assembly:
            kept = assembly.store.census()["claude_code"].records
        told = msgspec.convert(json.loads(home.command("inspect", str(path), "--json"))["records"], Records)
        assert kept == told == Records(total=len(LINES) + 1, known=len(LINES), undecodable=1)

    @pytest.mark.full
    def test_case_36_huge_lines_in_bounded_memory(self, home: Home) -> None:
        """A line of a gigabyte, one of 100 MB and a million empty ones are skipped in 32 MiB lines' worth of memory."""
        path = home.claude / NAME
        with path.open("wb") as file:
            file.write(b"".join(LINES[:3]))
            for mib in (1024, 100):
                for _ in range(mib):
                    file.write(b"x" * 1024 * 1024)
                file.write(b"\n")
            file.write(b"\n" * 1_000_000)
            file.write(b"".join(LINES[3:]))
        program = (  # not ru_maxrss: before exec(2) that is the memory of these tests
            "import re, sys; from selfdistill.cli.main import main; code = main(['run', '--limit', '0']);"
            "told = open('/proc/self/status').read();"
            "print(re.search(r'VmHWM:\\s+(\\d+) kB', told)[1], file=sys.stderr); sys.exit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], env=home.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stderr.splitlines()[-1]) < (60 + 2 * Limits().max_line_mib) * 1024
        assert records(home) == len(LINES) + 2
        assert lessons(home)


def test_case_40_vanishes_while_it_is_scanned(home: Home, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    """A directory whose entries cannot be found any more once they were listed: no error, no deletion, later read."""
    home.fill()
    life = lives.start(["run", "--limit", "0"], home.environment(), stderr=tmp_path / "stderr", stopped=True)
    calls = "stat,lstat,newfstatat,statx,openat"
    with injected(life.pid, f"{calls}:error=ENOENT", path=home.claude / NAME):
        assert life.wait(60) == 0
    assert (tmp_path / "stderr").read_text().count("\n") == 0
    assert 0 < len(home.lessons()) < len(expected)
    home.command("run", "--limit", "0")
    assert home.lessons() == expected


def test_case_41_written_through_memory(home: Home, expected: list[dict[str, Any]]) -> None:
    """A log that is filled through mmap, without events and without being closed, is found by the scans."""
    home.fill()
    (home.claude / NAME).unlink()
    with home.daemon():
        until(lambda: home.status().get("total_lessons"), "the other lessons")
        with (home.claude / NAME).open("w+b", buffering=0) as file:
            file.truncate(len(DATA))
            with mmap.mmap(file.fileno(), len(DATA)) as memory:
                until(lambda: home.source()["logs_seen"] == len(CLAUDE), "the hole")
                memory[:] = DATA
                memory.flush()
                home.waits_for(len(expected))
    assert home.lessons() == expected


def test_case_44_odd_times(home: Home, expected: list[dict[str, Any]]) -> None:
    """Times far in the past and the future, and equal times of unequal contents, neither hide nor delay a log."""
    home.fill()
    moments = [0, 1, 2**31 - 1, 2**32 + 5, 253402300799]
    paths = [*home.claude.iterdir(), home.codex / ROLLOUT]
    for path, when in zip(paths, moments, strict=False):
        os.utime(path, (when, when))
    distil(home)
    assert home.lessons() == expected
    path = home.claude / NAME
    kept = path.stat().st_mtime_ns
    with path.open("ab") as file:
        file.write(other_session(9))
    os.utime(path, ns=(kept, kept))
    assert distil(home).bytes_read == len(DATA)
    path.write_bytes(other_session(10) + other_session(11))
    os.utime(path, ns=(kept, kept))
    assert distil(home).bytes_read == 2 * len(DATA)
    assert home.status()["total_lessons"] >= len(expected)

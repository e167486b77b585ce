"""Reading real files: safely, whole, bounded, and with proof."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import zstandard

from selfdistill.errors import LogProblem
from selfdistill.ingest.identity import Sameness, judge
from selfdistill.ingest.reading import BEGINNING, Lines, OpenLog, open_log
from selfdistill.model import Proof, Skip

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = [b'{"n":%d,"text":"%s"}' % (number, b"x" * (number * 37 % 500)) for number in range(400)]
TEXT = b"".join(record + b"\n" for record in RECORDS)


def write(path: Path, text: bytes) -> Path:
    """A log of these bytes, as its name says: plain or compressed."""
    path.write_bytes(zstandard.compress(text) if path.suffix == ".zst" else text)
    return path


@pytest.fixture(params=["log.jsonl", "log.jsonl.zst"])
def log_path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The path of a log, once plain and once compressed."""
    return tmp_path / str(request.param)


def test_every_line_comes_once_with_its_offset(log_path: Path) -> None:
    """All lines, in order, at offsets of the decompressed text."""
    with open_log(write(log_path, TEXT)) as log:
        lines = list(Lines(log, chunk=1000))
    assert [line for _, line in lines] == RECORDS
    assert all(TEXT[offset : offset + len(line)] == line for offset, line in lines)


@pytest.mark.parametrize("chunk", [1, 7, 255, 256, 257, 1023, 1025, 10**6])
def test_the_proof_while_reading_is_the_proof_of_the_file(log_path: Path, chunk: int) -> None:
    """After each line, the proof made of what was read equals the one recomputed from the file."""
    with open_log(write(log_path, TEXT[:6000])) as log, open_log(log_path) as other:
        lines = Lines(log, chunk=chunk)
        for offset, line in lines:
            assert lines.proof == other.proof(offset + len(line) + 1)
        assert lines.proof == other.proof(lines.offset)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1, 0.9])
def test_a_cursor_continues_where_it_stopped(log_path: Path, share: float) -> None:
    """Read in two goes with a new process between them, a log gives the same lines and proofs as in one."""
    with open_log(write(log_path, TEXT)) as log:
        first = Lines(log, chunk=512)
        head = [next(iter(first)) for _ in range(int(share * len(RECORDS)))]
        cursor = first.proof
    with open_log(log_path) as log:
        assert judge(cursor, log.proof(cursor.offset)) is Sameness.GROWN
        second = Lines(log, cursor, chunk=512)
        tail = list(second)
        assert [line for _, line in head + tail] == RECORDS
        assert second.proof == log.proof(len(TEXT))


def test_a_growing_log_is_read_to_where_it_ended_at_opening(tmp_path: Path) -> None:
    """What is appended meanwhile waits for the next look, so no writer can hold us."""
    path = write(tmp_path / "log.jsonl", TEXT)
    with open_log(path) as log, path.open("ab", buffering=0) as writer:
        lines = Lines(log, chunk=1000)
        for _ in lines:
            writer.write(b"more\n")
        assert lines.offset == len(TEXT) == log.size


def test_the_unterminated_line_is_taken_on_request_only(log_path: Path) -> None:
    """The last line without newline is left alone; once taken, offset and proof have moved past it."""
    with open_log(write(log_path, TEXT + b'{"last":1}')) as log:
        lines = Lines(log, chunk=100)
        assert len(list(lines)) == len(RECORDS)
        assert (lines.offset, lines.rest, lines.rest_length) == (len(TEXT), b'{"last":1}', 10)
        assert lines.take_rest() == (len(TEXT), b'{"last":1}')
        assert lines.take_rest() is None
        assert lines.proof == log.proof(len(TEXT) + 10)


@pytest.mark.parametrize("length", [3, 300, 2000])
def test_the_first_line_may_be_the_rest(log_path: Path, length: int) -> None:
    """A log of one line without newline is taken whole, with the proof of the file."""
    with open_log(write(log_path, b"y" * length)) as log:
        lines = Lines(log, chunk=100)
        assert list(lines) == []
        assert lines.proof == BEGINNING == Proof()
        assert lines.take_rest() == (0, b"y" * length)
        assert lines.proof == log.proof(length)


def test_a_log_shorter_than_the_cursor_never_equals_it(log_path: Path) -> None:
    """Truncation cannot look like the log that was read."""
    with open_log(write(log_path, TEXT)) as log:
        cursors = [log.proof(offset) for offset in (1, 100, 1024, 1300, len(TEXT))]
    for length in (0, 50, 99, 1000, 1023, 1299, len(TEXT) - 1):
        with open_log(write(log_path, TEXT[:length])) as log:
            for cursor in cursors:
                assert (log.proof(cursor.offset) == cursor) == (cursor.offset <= length)


def test_compression_keeps_the_cursor(tmp_path: Path) -> None:
    """A log that is compressed after it was read proves itself with the same proof."""
    with (
        open_log(write(tmp_path / "a.jsonl", TEXT)) as plain,
        open_log(write(tmp_path / "a.jsonl.zst", TEXT)) as packed,
    ):
        assert plain.proof(5000) == packed.proof(5000)
        assert plain.tail(300) == packed.tail(300) == TEXT[-300:]
        assert plain.tail(10**6) == packed.tail(10**6) == TEXT


def test_a_cut_frame_ends_where_its_bytes_end(tmp_path: Path) -> None:
    """A compressed log that is still being written gives the lines that are there, without an error."""
    path = tmp_path / "log.jsonl.zst"
    writer = zstandard.ZstdCompressor().compressobj()
    whole = writer.compress(TEXT[:5000]) + writer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    path.write_bytes(zstandard.compress(TEXT) + whole + writer.compress(TEXT) + writer.flush()[:-40])
    with open_log(path) as log:
        lines = [line for _, line in Lines(log)]
    assert lines[: len(RECORDS)] == RECORDS
    assert lines[len(RECORDS) :] == TEXT[:5000].split(b"\n")[:-1]


def test_damaged_compression_is_a_problem_of_that_log(tmp_path: Path) -> None:
    """Bytes that are no zstandard are told with path and advice."""
    path = tmp_path / "bad.jsonl.zst"
    path.write_bytes(b"plain text under a wrong name\n" * 10)
    with open_log(path) as log, pytest.raises(LogProblem, match=r"bad\.jsonl\.zst.*damaged") as caught:
        list(Lines(log))
    assert caught.value.reason == Skip.UNREADABLE
    assert caught.value.advice


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """A line of 64 MiB is skipped in the memory of a chunk and a longest line; its neighbours are read (case 36)."""
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(b"first\n")
        file.seek(64 * 1024 * 1024, os.SEEK_CUR)  # a hole reads as NUL bytes
        file.write(b"\nlast\n")
    with open_log(path) as log:
        tracemalloc.start()
        lines = Lines(log, chunk=64 * 1024, longest_line=256 * 1024)
        assert [line for _, line in lines] == [b"first", b"last"]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert lines.oversized_count == 1
    assert peak < 1024 * 1024


def test_a_compression_bomb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """A few KiB that expand to 256 MiB cost no more than a chunk."""
    path = tmp_path / "bomb.jsonl.zst"
    packer = zstandard.ZstdCompressor().compressobj()
    packed = b"".join(packer.compress(bytes(1024 * 1024)) for _ in range(256)) + packer.flush()
    path.write_bytes(packed + zstandard.compress(b"\nlast\n"))
    with open_log(path) as log:
        tracemalloc.start()
        lines = Lines(log, chunk=64 * 1024, longest_line=256 * 1024)
        assert [line for _, line in lines] == [b"last"]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 2 * 1024 * 1024


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """Links, FIFOs, sockets, directories and devices are refused at once, without blocking (case 31)."""
    write(tmp_path / "real.jsonl", TEXT)
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    (tmp_path / "directory.jsonl").mkdir()
    (tmp_path / "device.jsonl").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "fifo.jsonl")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(tmp_path / "socket.jsonl"))
        for name in ("link", "loop", "directory", "device", "fifo", "socket"):
            with pytest.raises(LogProblem, match=name) as caught:
                open_log(tmp_path / f"{name}.jsonl")
            assert caught.value.reason == Skip.NOT_REGULAR
    device = next(path for path in ("/dev/null", "/dev/zero") if os.path.exists(path))  # noqa: PTH110
    with pytest.raises(LogProblem):
        open_log(tmp_path.joinpath(device))


def test_only_enoent_means_gone(tmp_path: Path) -> None:
    """A missing file is gone; a path through a file cannot be observed."""
    write(tmp_path / "real.jsonl", TEXT)
    for path, reason in ((tmp_path / "no.jsonl", Skip.GONE), (tmp_path / "real.jsonl" / "x", Skip.UNREADABLE)):
        with pytest.raises(LogProblem) as caught:
            open_log(path)
        assert caught.value.reason == reason
        assert caught.value.advice


def test_an_unreadable_log_says_so(tmp_path: Path) -> None:
    """Mode 000 is a problem with reason, path and advice (as another user: root reads everything)."""
    path = write(tmp_path / "secret.jsonl", TEXT)
    path.chmod(0)
    for directory in (tmp_path, *tmp_path.parents[:3]):
        if os.stat(directory).st_uid == os.getuid() and str(directory).startswith("/tmp/"):  # noqa: S108, PTH116
            directory.chmod(0o755)
    program = (
        "import sys; from pathlib import Path; from selfdistill.ingest.reading import open_log\n"
        "from selfdistill.errors import LogProblem\n"
        "try: open_log(Path(sys.argv[1]))\n"
        "except LogProblem as problem: print(problem.reason, problem.advice)\n"
    )
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    result = subprocess.run(
        [*drop, sys.executable, "-c", program, path], capture_output=True, text=True, check=False, timeout=30
    )
    if "Permission denied" in result.stderr:
        pytest.skip(f"the interpreter or the repository is not readable for another user: {result.stderr[-200:]}")
    assert result.stdout.startswith("unreadable Make it readable"), result.stderr


def test_a_read_error_is_tried_again_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One EIO is survived, two are a problem of that log; short reads are taken up again (case 34)."""
    genuine = os.pread
    faults = [errno.EIO]

    def faulty(descriptor: int, length: int, offset: int) -> bytes:
        if faults:
            raise OSError(faults.pop(), "input/output error")
        return genuine(descriptor, min(length, 700), offset)

    monkeypatch.setattr(os, "pread", faulty)
    with open_log(write(tmp_path / "log.jsonl", TEXT)) as log:
        assert [line for _, line in Lines(log)] == RECORDS
        assert log.read_at(0, len(TEXT)) == TEXT
        faults.extend([errno.EIO, errno.EIO])
        with pytest.raises(LogProblem, match="reading failed") as caught:
            log.proof(10)
    assert caught.value.reason == Skip.UNREADABLE


def test_closing_twice_is_harmless_and_descriptors_do_not_leak(tmp_path: Path) -> None:
    """Whatever happens at opening, no descriptor is left."""
    path = write(tmp_path / "log.jsonl", TEXT)
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0  # noqa: PTH208
    log: OpenLog = open_log(path)
    log.close()
    log.close()
    for _ in range(3):
        with pytest.raises(LogProblem):
            open_log(tmp_path)
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208

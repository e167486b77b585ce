"""Another program's database is read whole and consistent, whatever state it is in, and nothing is left beside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from composed_agents import Ledger, Writer
from selfdistill.errors import LogProblem
from selfdistill.ingest import foreign
from selfdistill.ingest.members import key_of, session_path
from selfdistill.ingest.reading import Lines, open_log
from selfdistill.ingest.sessions import sessions
from selfdistill.model import Skip

LAYOUT = Ledger().layout(Path("x"))
LINES = [b'{"a":1}', b'{"a":2}']
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
# Reads as another program would: the sessions and the text of the first, and says how the directory looked.
READER = """
import os, sys
from pathlib import Path
from composed_agents import Ledger
from selfdistill.ingest.reading import Lines, open_log
from selfdistill.ingest.sessions import sessions
path = Path(sys.argv[1])
def seen():
    found = [(entry.name, *entry.stat()[:2], *entry.stat()[6:7], entry.stat().st_mtime_ns, entry.stat().st_ctime_ns)
             for entry in os.scandir(path.parent)]
    return sorted(found), os.stat(path.parent).st_mtime_ns
before = seen()
found = sessions(path, Ledger().layout(path))
with open_log(next(iter(found)), Ledger().layout) as log:
    print(len(list(Lines(log))), end=" ")
print("same" if seen() == before else f"{before} {seen()}")
"""


def as_nobody(path: Path) -> str:
    """What another user, who may only read, sees."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root and setpriv to become another user")
    done = subprocess.run(
        [*NOBODY, sys.executable, "-c", READER, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout.strip() or done.stderr


def listing(directory: Path) -> list[tuple[str, int, int]]:
    """The directory's files with size and time of content."""
    return sorted((one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in directory.iterdir())


def text_of(path: Path) -> list[bytes]:
    """The whole lines of a log."""
    with open_log(path, Ledger().layout) as log:
        return [line for _, line in Lines(log)]


def crashed(path: Path, writer: Writer) -> Path:
    """The database as its files were copied while the agent held it: a crash leaves the same."""
    target = path.with_name("crashed.ledger")
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(f"{path}{suffix}", f"{target}{suffix}")
    writer.close()
    return target


@pytest.fixture
def path() -> Iterator[Path]:
    """Where a ledger is: not below pytest's own directory, which is closed to other users."""
    umask = os.umask(0o022)  # the program sets a stricter one, in this process too
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory) / "home" / "some.ledger"
    os.umask(umask)


class TestNoTrace:
    """Reading leaves names, sizes and times in the agent's directory as they were."""

    def test_closed(self, path: Path) -> None:
        """A database that was closed in good order is read in a directory where nobody may write."""
        writer = Writer(path)
        writer.write("s", LINES, changed=1)
        writer.close()
        assert [one.name for one in path.parent.iterdir()] == [path.name]
        before = listing(path.parent)
        assert text_of(path / "s") == LINES
        assert listing(path.parent) == before
        assert as_nobody(path) == "2 same"

    def test_live(self, path: Path) -> None:
        """Beside a living agent what was just committed is read; its shared index is not written."""
        writer = Writer(path)
        writer.write("s", LINES, changed=1)
        before = listing(path.parent)
        assert text_of(path / "s") == LINES
        assert listing(path.parent) == before
        assert as_nobody(path) == "2 same"
        writer.write("s", [b'{"a":3}'], changed=2)
        assert len(text_of(path / "s")) == 3
        writer.close()

    @pytest.mark.parametrize("without_index", [False, True], ids=["both", "ahead"])
    def test_crashed(self, path: Path, without_index: bool) -> None:
        """What a crashed agent left in its write-ahead log is read, also without the shared index."""
        writer = Writer(path)
        writer.write("s", LINES, changed=1)
        left = crashed(path, writer)
        if without_index:
            Path(f"{left}-shm").unlink()
        before = listing(path.parent)
        assert text_of(left / "s") == LINES
        assert listing(path.parent) == before
        assert as_nobody(left) == "2 same"
        foreign.let_go()

    def test_rollback_journal(self, path: Path) -> None:
        """While an agent without write-ahead log is in the middle of writing, the state before that is read."""
        writer = Writer(path, "DELETE")
        writer.write("s", LINES, changed=1)
        for _ in range(200):
            writer.run("INSERT INTO records VALUES ('t', 9, ?, 1)", "x" * 3000)
        writer.run("PRAGMA cache_size = 1")
        writer.run("PRAGMA cache_spill = 1")
        writer.run("BEGIN IMMEDIATE")
        writer.run("UPDATE records SET text = 'half'")  # more than the cache holds: it goes to the file before its time
        assert Path(f"{path}-journal").exists()
        before = listing(path.parent)
        assert text_of(path / "s") == LINES
        assert listing(path.parent) == before
        writer.run("ROLLBACK")
        writer.close()
        foreign.let_go()


def test_private_copy_serves_all_sessions_and_leaves_no_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One copy serves all sessions of a database that cannot be opened in place; it has no name while it is used."""
    temporary = path.parent.parent / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    writer = Writer(path)
    for key in "abc":
        writer.write(key, LINES, changed=1)
    left = crashed(path, writer)
    Path(f"{left}-shm").unlink()
    assert len(sessions(left, LAYOUT)) == 3
    kept = foreign._kept.copy.connection
    assert [text_of(left / key) for key in "abc"] == [LINES] * 3
    assert foreign._kept.copy.connection is kept
    assert list(temporary.iterdir()) == []
    foreign.let_go()


def test_change_during_a_reading_without_locks_is_noticed(path: Path) -> None:
    """What was read from a closed database is void if somebody has written to it meanwhile."""
    Writer(path).close()

    def read_beside_a_writer() -> None:
        with foreign.reading(path):
            writer = Writer(path)
            writer.write("s", LINES, changed=1)
            writer.close()

    with pytest.raises(LogProblem) as caught:
        read_beside_a_writer()
    assert caught.value.reason == Skip.UNSETTLED


def test_reading_beside_a_busy_writer_is_consistent(path: Path) -> None:
    """Each look at a session that is written all the time shows whole transactions, none of them half."""
    writer = Writer(path)
    writer.write("s", LINES, changed=1)
    writer.close()
    ended = threading.Event()

    def write() -> None:
        busy = Writer(path)
        while not ended.is_set():
            busy.write("s", LINES, changed=2)
        busy.close()

    thread = threading.Thread(target=write)
    thread.start()
    lengths: list[int] = []
    try:
        while len(lengths) < 30:
            try:
                lengths.append(len(text_of(path / "s")))
            except LogProblem as problem:  # it was opened before the writer was there, and changed
                assert problem.reason == Skip.UNSETTLED  # noqa: PT017
    finally:
        ended.set()
        thread.join()
    assert all(length % 2 == 0 for length in lengths)
    assert lengths == sorted(lengths)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", Skip.NO_CONVERSATION), (b"no database at all" * 100, Skip.UNREADABLE), (None, Skip.GONE)],
    ids=["empty", "other", "gone"],
)
def test_what_is_no_database_of_the_agent(path: Path, content: bytes | None, reason: Skip) -> None:
    """A file that is no database, or another program's, is a problem with a reason, in the listing and in reading."""
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LogProblem) as caught:
        sessions(path, LAYOUT)
    assert caught.value.reason == reason
    assert caught.value.advice


def test_damaged_database(path: Path) -> None:
    """A database whose pages were overwritten is unreadable, with a word for it."""
    writer = Writer(path)
    writer.write("s", [b'{"a":"%s"}' % (b"x" * 500)] * 100, changed=1)
    writer.close()
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = b"\xaa" * (len(data) - 4096 * 2)
    path.write_bytes(data)
    with pytest.raises(LogProblem, match="damaged") as caught:
        text_of(path / "s")
    assert caught.value.reason == Skip.UNREADABLE


def test_slow_question_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that would take for ever ends with a reason."""
    monkeypatch.setattr(foreign, "PATIENCE_SECONDS", 0.05)
    Writer(path).close()
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(LogProblem, match="did not answer"), foreign.reading(path) as database:
        list(database.rows(endless))


def test_nothing_can_be_written(path: Path) -> None:
    """A question that would change something is refused."""
    writer = Writer(path)
    with pytest.raises(LogProblem, match="readonly"), foreign.reading(path) as database:
        list(database.rows("DELETE FROM records"))
    writer.close()


def test_link_is_not_followed(path: Path) -> None:
    """A database that is a symbolic link is none."""
    Writer(path).close()
    link = path.with_name("link.ledger")
    link.symlink_to(path)
    with pytest.raises(LogProblem) as caught:
        sessions(link, LAYOUT)
    assert caught.value.reason == Skip.NOT_REGULAR


@pytest.mark.parametrize("key", ["a", "a/b", "..", ".", "%2F", "ü \n", "../../etc/passwd"])
def test_key_is_one_part_of_a_path(key: str) -> None:
    """Whatever a session's key is, its log is one step below the database, and the key comes back."""
    path = session_path(Path("/x/some.ledger"), key)
    assert path.parent == Path("/x/some.ledger")
    assert path.name not in {"", ".", ".."}
    assert key_of(path) == key


def test_changed_becomes_a_time(path: Path) -> None:
    """Seconds, milliseconds, ISO texts and counters of changes are each taken for what they are."""
    writer = Writer(path)
    values: dict[str, object] = {
        "s": 1_780_000_000,
        "ms": 1_780_000_000_000,
        "iso": "2026-05-28T20:26:40Z",
        "naive": "2026-05-28 20:26:40",
        "more": "1780000000/17/3",
        "other": "2026-05-28 20:26:40/18",
    }
    for key, changed in values.items():
        writer.run("INSERT INTO sessions VALUES (?, ?)", key, changed)
    writer.run("INSERT INTO sessions VALUES ('counter', 7), ('odd', 'v7-x'), ('none', NULL)")
    found = {one.name: stat for one, stat in sessions(path, LAYOUT).items()}
    assert {found[key].mtime_ns for key in values} == {1_780_000_000 * 10**9}
    assert len({found[key].ctime_ns for key in ("s", "more", "other")}) == 3
    assert found["counter"].ctime_ns == 7
    assert len({found[key].ctime_ns for key in ("counter", "odd", "none")}) == 3
    writer.close()

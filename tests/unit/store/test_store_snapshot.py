"""Reading without a trace."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from selfdistill.errors import StoreCorrupt, StoreError, StoreTooNew
from selfdistill.model import Finding
from selfdistill.store import Store
from selfdistill.store.migrations import SCHEMA_VERSION

if TYPE_CHECKING:
    from unit.store.conftest import Desk

Listing = dict[str, tuple[int, int, int, int]]


def listing(directory: Path) -> Listing:
    """Every file with inode, size and times; and the directory itself."""
    paths = [directory, *directory.rglob("*")]
    stats = {str(path): path.stat() for path in paths}
    return {name: (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns) for name, found in stats.items()}


def in_child(act: Callable[[], object], *, then_sleep: bool = False) -> int:
    """Fork a child that acts and then dies by SIGKILL, or sleeps until it gets one; its pid, once it has acted."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        act()
        os.write(writer, b"x")
        if then_sleep:
            time.sleep(60)
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writer)
    assert os.read(reader, 1) == b"x"
    os.close(reader)
    if not then_sleep:
        os.waitpid(pid, 0)
    return pid


def lesson_count(desk: Desk) -> int:
    """How many lessons a reader sees."""
    store = Store.open_read_only(desk.path)
    assert store is not None
    with store:
        return len(store.lessons(None, everywhere=True))


def test_no_store_is_no_error(desk: Desk) -> None:
    """Without a store there is nothing to read, and none is made."""
    before = listing(desk.path.parent)
    assert Store.open_read_only(desk.path) is None
    assert listing(desk.path.parent) == before


def test_a_store_at_rest_is_read_without_a_trace(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """A closed store is read with its directory, files and times as they were."""
    store = desk.open()
    desk.commit(store, desk.log(store, "s1.jsonl"), make_finding("a", "u1"))
    store.close()
    before = listing(desk.path.parent)
    time.sleep(0.02)
    assert lesson_count(desk) == 1
    assert listing(desk.path.parent) == before


@pytest.mark.parametrize("alive", [False, True])
def test_a_journal_is_read_without_a_trace(desk: Desk, make_finding: Callable[..., Finding], alive: bool) -> None:
    """Beside a daemon, or after one was killed, all that it committed is read, and nothing is touched."""

    def work() -> None:
        store = desk.open()
        desk.commit(store, desk.log(store, "s1.jsonl"), make_finding("a", "u1"), make_finding("b", "u2"))

    daemon = in_child(work, then_sleep=alive)
    try:
        before = listing(desk.path.parent)
        assert any(name.endswith("-wal") for name in before)
        time.sleep(0.02)
        assert lesson_count(desk) == 2
        assert listing(desk.path.parent) == before
    finally:
        if alive:
            os.kill(daemon, signal.SIGKILL)
            os.waitpid(daemon, 0)


def test_changes_are_noticed(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """A reader that stays open sees what others commit later, whether they are still at it or not."""
    writer = desk.open()
    desk.commit(writer, desk.log(writer, "s1.jsonl"), make_finding("a", "u1"))
    writer.close()
    reader = Store.open_read_only(desk.path)
    assert reader is not None
    assert len(reader.lessons("kettle")) == 1

    def one_more() -> None:
        store = desk.open()
        desk.commit(store, desk.log(store, "s2.jsonl"), make_finding("b", "u2"))
        store.close()

    in_child(one_more)
    assert len(reader.lessons("kettle")) == 2
    reader.close()


def test_a_directory_of_others_can_be_read(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """A store in a directory that one may not write is read all the same."""
    if os.getuid() != 0:
        pytest.skip("needs root, to become somebody else")
    store = desk.open()
    desk.commit(store, desk.log(store, "s1.jsonl"), make_finding("a", "u1"))
    store.close()
    desk.path.parent.chmod(0o755)
    desk.path.chmod(0o644)
    code = (
        "import sys, pathlib\n"
        "from selfdistill.store import Store\n"
        "print(len(Store.open_read_only(pathlib.Path(sys.argv[1])).lessons('kettle')))\n"
    )
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run([*drop, sys.executable, "-c", code, desk.path], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


@pytest.mark.parametrize("after_a_crash", [False, True])
def test_a_reader_cannot_write(desk: Desk, after_a_crash: bool) -> None:
    """Writing through a reading store fails, and so does deriving: not even its private copy changes."""
    if after_a_crash:
        in_child(lambda: desk.log(desk.open(), "s1.jsonl"))
    else:
        desk.open().close()
    reader = Store.open_read_only(desk.path)
    assert reader is not None
    with reader, pytest.raises(StoreError, match="read-only"):
        desk.log(reader, "s2.jsonl")


def test_other_schemas_are_refused_in_words(desk: Desk) -> None:
    """An older schema asks for one `selfdistill run`, a newer one for an update; another program's is a loss."""
    desk.open().close()
    for version, kind, word in ((SCHEMA_VERSION - 1, StoreError, "older"), (SCHEMA_VERSION + 1, StoreTooNew, "schema")):
        connection = sqlite3.connect(desk.path)
        connection.execute("DELETE FROM migrations")
        connection.execute("INSERT INTO migrations VALUES (?, 'another', 0)", (version,))
        connection.commit()
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        with pytest.raises(kind, match=word) as caught:
            Store.open_read_only(desk.path)
        assert caught.value.advice
    connection = sqlite3.connect(desk.path)
    connection.execute("PRAGMA application_id = 7")
    connection.close()
    with pytest.raises(StoreCorrupt, match="another program"):
        Store.open_read_only(desk.path)


def test_a_rehearsal_changes_nothing_on_disk(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """A dry run works on a full copy in memory; the store stays as it was, byte for byte and second for second."""
    store = desk.open()
    desk.commit(store, desk.log(store, "s1.jsonl"), make_finding("a", "u1"))
    store.close()
    before = listing(desk.path.parent)
    time.sleep(0.02)
    with Store.rehearsal(desk.path, derive=desk.derive, clock=desk.clock) as copy:
        desk.commit(copy, desk.log(copy, "s2.jsonl"), make_finding("b", "u2"))
        assert len(copy.lessons("kettle")) == 2
    assert listing(desk.path.parent) == before


def test_a_rehearsal_needs_no_store(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """A dry run works before there is a store, and makes none."""
    with Store.rehearsal(desk.path, derive=desk.derive, clock=desk.clock) as copy:
        assert len(desk.commit(copy, desk.log(copy, "s1.jsonl"), make_finding("a", "u1")).created) == 1
    assert list(desk.path.parent.iterdir()) == []

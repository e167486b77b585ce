"""Opening and closing: what is ours, what is sound, what happens when the system says no."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from selfdistill.errors import (
    InternalError,
    StoreBusy,
    StoreCorrupt,
    StoreError,
    StoreForeign,
    StoreFull,
    StoreTooNew,
)
from selfdistill.model import Finding
from selfdistill.store import sealing
from selfdistill.store.database import Database, connect
from selfdistill.store.migrations import MIGRATIONS, SCHEMA_VERSION, migrate
from selfdistill.store.opening import APPLICATION_ID, CLEAN_FOR_SECONDS
from selfdistill.store.sealing import marker

if TYPE_CHECKING:
    from selfdistill.store import Store
    from unit.store.conftest import Desk

PAGE = 4096


def in_child(act: Callable[[], None]) -> int:
    """The exit status of a forked child that does this; 99 if it raises."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            act()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def damage(path: Path) -> None:
    """Overwrite one page of findings, which opening the store does not need, with garbage."""
    whole = path.read_bytes()
    page = whole.index(b"quote of u50") // PAGE * PAGE
    path.write_bytes(whole[:page] + b"\xa5" * PAGE + whole[page + PAGE :])


def test_a_new_store_is_private_and_marked(desk: Desk) -> None:
    """A new store and all files beside it can be read by their owner alone, whatever the umask."""
    before = os.umask(0)
    try:
        store = desk.open()
        desk.log(store, "s1.jsonl")
    finally:
        os.umask(before)
    modes = {entry.name: entry.stat().st_mode & 0o777 for entry in os.scandir(desk.path.parent)}
    assert modes == dict.fromkeys(
        ["lessons.db", "lessons.db-wal", "lessons.db-shm", "lessons.db.lock", ".initialised"], 0o600
    )


def test_the_guards_are_on(store: Store) -> None:
    """The connection has every guard of the reliability paper."""
    wanted = {
        "application_id": APPLICATION_ID,
        "user_version": SCHEMA_VERSION,
        "journal_mode": "wal",
        "synchronous": 2,
        "busy_timeout": 5000,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "journal_size_limit": 8 * 1024 * 1024,
        "temp_store": 2,
        "secure_delete": 1,
        "cache_size": -2048,
    }
    database = store._database
    assert {name: (database.row(f"PRAGMA {name}") or ())[0] for name in wanted} == wanted


def test_a_clean_close_leaves_one_file(desk: Desk) -> None:
    """After a clean close the database stands alone, and closing again does nothing."""
    store = desk.open()
    desk.log(store, "s1.jsonl")
    store.close()
    store.close()
    assert sorted(path.name for path in desk.path.parent.iterdir()) == [".initialised", "lessons.db", "lessons.db.lock"]
    with pytest.raises(InternalError, match=r"lessons\.db"):
        store.pending()


def test_a_store_opened_to_others_is_closed_to_them(desk: Desk) -> None:
    """A file whose mode somebody widened gets its own mode back."""
    desk.open().close()
    desk.path.chmod(0o644)
    desk.open()
    assert desk.path.stat().st_mode & 0o777 == 0o600


def test_an_empty_file_is_foreign(desk: Desk) -> None:
    """A zero-length file, which SQLite takes for a new database, is refused."""
    desk.path.touch()
    with pytest.raises(StoreForeign, match="empty"):
        desk.open()
    assert desk.path.stat().st_size == 0


def test_an_empty_file_where_lessons_were_is_a_loss(desk: Desk) -> None:
    """A store that became empty is damaged: nothing is distilled anew behind the user's back (case 48)."""
    desk.open().close()
    desk.path.write_bytes(b"")
    with pytest.raises(StoreCorrupt, match="empty"):
        desk.open()


@pytest.mark.parametrize("kind", ["sqlite", "text"])
def test_another_programs_file_is_left_alone(desk: Desk, kind: str) -> None:
    """A file that is not ours is refused and not changed."""
    if kind == "sqlite":
        other = sqlite3.connect(desk.path)
        other.execute("CREATE TABLE theirs(x)")
        other.commit()
        other.close()
    else:
        desk.path.write_text("a shopping list, long enough to hold a header\n" * 30)
    before = desk.path.read_bytes()
    with pytest.raises(StoreForeign, match="left untouched"):
        desk.open()
    assert desk.path.read_bytes() == before


def test_a_newer_store_is_left_untouched(desk: Desk) -> None:
    """A store of a newer selfdistill is refused, byte for byte as it was (case 49)."""
    desk.open().close()
    newer = sqlite3.connect(desk.path)
    newer.execute("INSERT INTO migrations VALUES (?, 'later', 0)", (SCHEMA_VERSION + 1,))
    newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.commit()
    newer.close()
    before = (desk.path.read_bytes(), desk.path.stat().st_mtime_ns)
    with pytest.raises(StoreTooNew, match="schema"):
        desk.open()
    assert (desk.path.read_bytes(), desk.path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("harm", ["header", "half"])
def test_a_damaged_store_says_so(desk: Desk, make_finding: Callable[..., Finding], harm: str) -> None:
    """A broken header or a lost half is found when the store is opened, with the place and what to do (case 48)."""
    store = desk.open()
    log = desk.log(store, "s1.jsonl")
    desk.commit(store, log, *[make_finding(f"key {number}", f"u{number}") for number in range(100)])
    store.close()
    whole = desk.path.read_bytes()
    desk.path.write_bytes(b"garbage" * 100 + whole[700:] if harm == "header" else whole[: len(whole) // 2])
    with pytest.raises(StoreCorrupt, match=r"lessons\.db") as caught:
        desk.open()
    assert "doctor --repair" in caught.value.advice


def test_pages_are_checked_unless_closed_cleanly_of_late(
    desk: Desk, make_finding: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged page of a big store is found at once after a crash, and a day after a clean close at the latest.

    Case 48 of `tests/fault/README.md`.
    """
    monkeypatch.setattr(sealing, "SEALED_UP_TO_BYTES", 0)
    store = desk.open()
    log = desk.log(store, "s1.jsonl")
    desk.commit(store, log, *[make_finding(f"key {number}", f"u{number}") for number in range(100)])
    store.close()
    damage(desk.path)
    desk.clock.now += CLEAN_FOR_SECONDS - 1
    with pytest.raises(RuntimeError), desk.open():  # clean and recent: not read
        raise RuntimeError  # and this is no clean close
    with pytest.raises(StoreCorrupt, match="damaged"):
        desk.open()


def test_a_clean_mark_grows_old(
    desk: Desk, make_finding: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clean close of a big store counts for one day only, and not at all when the clock went back."""
    monkeypatch.setattr(sealing, "SEALED_UP_TO_BYTES", 0)
    store = desk.open()
    desk.commit(store, desk.log(store, "s1.jsonl"), *[make_finding(f"k{number}", f"u{number}") for number in range(99)])
    store.close()
    damage(desk.path)
    for shift in (CLEAN_FOR_SECONDS + 1, -CLEAN_FOR_SECONDS - 2):
        desk.clock.now += shift
        with pytest.raises(StoreCorrupt):
            desk.open()


@pytest.mark.parametrize(
    ("whole", "broken"),
    [(b"repair k5", b"repair k\x80"), (b"TABLE lesson", b"TABLX lesso\x80")],
    ids=["value", "schema"],
)
def test_bytes_that_are_no_text_are_damage(
    desk: Desk, make_finding: Callable[..., Finding], monkeypatch: pytest.MonkeyPatch, whole: bytes, broken: bytes
) -> None:
    """A text that is no UTF-8 any more, in a row or in the schema, is damage and no failure of ours (case 48)."""
    monkeypatch.setattr(sealing, "SEALED_UP_TO_BYTES", 0)  # a seal would find it before anybody reads
    store = desk.open()
    desk.commit(store, desk.log(store, "s1.jsonl"), *[make_finding(f"k{number}", f"u{number}") for number in range(9)])
    store.close()
    content = desk.path.read_bytes()
    assert whole in content
    desk.path.write_bytes(content.replace(whole, broken))
    with pytest.raises(StoreCorrupt, match="damaged"), desk.open() as opened:
        opened.lessons(None, everywhere=True)


def test_a_journal_without_its_database_is_no_fresh_start(desk: Desk) -> None:
    """A -wal whose database is gone is not played into a new one."""
    desk.path.with_name("lessons.db-wal").write_bytes(b"frames")
    with pytest.raises(StoreCorrupt, match="journal"):
        desk.open()
    assert not desk.path.exists()


def test_a_killed_creator_leaves_no_half_made_store(desk: Desk) -> None:
    """What a creator left half-made is never taken for the store, and goes after an hour."""
    leftover = desk.path.with_name("lessons.db.new-abc")
    leftover.write_bytes(b"")
    os.utime(leftover, (0, 0))
    desk.open()
    assert not leftover.exists()
    assert marker(desk.path).exists()


def test_twenty_starters_share_one_store(desk: Desk) -> None:
    """Processes that start at once on an empty directory all get the same store."""

    def start() -> None:
        store = desk.open()
        desk.log(store, f"{os.getpid()}.jsonl")
        store.close()

    children = []
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                start()
                status = 0
            finally:
                os._exit(status)
        children.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 20
    assert len(desk.open().pending()) == 20


def test_a_held_lock_is_busy_not_broken(desk: Desk) -> None:
    """When another process holds the write lock for too long, nothing is written and the error is temporary.

    Case 50 of `tests/fault/README.md`.
    """
    first, second = desk.open(), desk.open(busy_seconds=0.05)
    with first.transaction():
        assert first.pending() == []  # reading is enough: who begins may also write, whatever others want meanwhile
        with pytest.raises(StoreBusy, match="write lock"):
            desk.log(second, "s2.jsonl")
        desk.log(first, "s1.jsonl")
    assert [log.path.name for log in second.pending()] == ["s1.jsonl"]


def test_a_full_disk_undoes_the_whole_transaction(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """A write that the system refuses undoes everything, stays refused inside that transaction, and heals later.

    Case 45 of `tests/fault/README.md`.
    """
    desk.open().close()

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = desk.open()
        log = desk.log(store, "s1.jsonl")
        findings = [
            make_finding(f"key {number}", *[f"u{number}.{part}" for part in range(50)]) for number in range(900)
        ]
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        with pytest.raises(StoreFull, match=r"lessons\.db"):
            desk.commit(store, log, *findings)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert store.cursor(log, "heuristic") is None
        assert store.lessons(None, everywhere=True) == []
        assert len(desk.commit(store, log, *findings).created) == 900
        store.close()

    assert in_child(fill) == 0
    assert len(desk.open().lessons("kettle")) == 900


def test_a_transaction_that_sqlite_undid_cannot_go_on(store: Store, desk: Desk) -> None:
    """After SQLite rolled back by itself nothing more is written, not even statement by statement."""

    def go_on() -> None:
        with store.transaction():
            store._database._connection.execute("ROLLBACK")
            desk.log(store, "s1.jsonl")

    with pytest.raises(StoreError, match="undone"):
        go_on()
    assert store.pending() == []


def test_a_read_only_directory_is_named(desk: Desk) -> None:
    """Without the right to write the error names file and remedy, and no store appears."""
    desk.path.parent.chmod(0o755)
    code = (
        "import sys, pathlib\n"
        "from selfdistill.errors import PermissionProblem\n"
        "from selfdistill.store import Store\n"
        "try: Store.open(pathlib.Path(sys.argv[1]), derive=lambda findings, verdict: None)\n"
        "except PermissionProblem as error: print(error.message, error.advice)\n"
    )
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.getuid() == 0 else []
    if not drop:
        desk.path.parent.chmod(0o555)
    done = subprocess.run([*drop, sys.executable, "-c", code, desk.path], capture_output=True, text=True, check=True)
    assert "Permission denied" in done.stdout
    assert str(desk.path.parent) in done.stdout
    assert not desk.path.exists()


def test_a_migration_is_backed_up_recorded_and_all_or_nothing(desk: Desk) -> None:
    """A step that fails leaves the old schema; when it works it is recorded, and a checked backup was made before.

    Case 49 of `tests/fault/README.md`.
    """
    store = desk.open()
    desk.log(store, "s1.jsonl")
    store.close()
    database = Database(connect(desk.path, busy_seconds=1, options="mode=rw"), desk.path)

    def break_off(broken: Database) -> None:
        broken.run("CREATE TABLE half(x)")
        raise StoreError("killed here")

    def add_colour(changing: Database) -> None:
        changing.run("ALTER TABLE logs ADD COLUMN colour TEXT")

    with pytest.raises(StoreError, match="killed here"):
        migrate(database, desk.clock, (*MIGRATIONS, break_off))
    assert database.rows("SELECT name FROM sqlite_schema WHERE name = 'half'") == []
    assert database.row("PRAGMA user_version") == (SCHEMA_VERSION,)

    migrate(database, desk.clock, (*MIGRATIONS, add_colour))
    assert database.rows("SELECT version, name FROM migrations")[-1:] == [(len(MIGRATIONS) + 1, "add_colour")]
    database.close()
    backup = sqlite3.connect(desk.path.with_suffix(".bak"))
    assert backup.execute("SELECT name FROM logs").fetchall() == [(b"s1.jsonl",)]
    backup.close()
    assert desk.path.with_suffix(".bak").stat().st_mode & 0o777 == 0o600


def test_a_failed_block_writes_nothing(store: Store, desk: Desk) -> None:
    """What happens inside `transaction()` is all undone when the block fails."""

    def break_off() -> None:
        with store.transaction():
            desk.log(store, "s1.jsonl")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert store.pending() == []
    desk.log(store, "s2.jsonl")
    assert len(store.pending()) == 1


def test_an_error_on_the_way_out_is_not_hidden(desk: Desk) -> None:
    """A store left through an error is closed without a clean mark, so that the next start checks it."""
    with pytest.raises(RuntimeError, match="bug"), desk.open() as store:
        raise RuntimeError("bug")
    with pytest.raises(InternalError):
        store.pending()
    later = desk.open()
    assert later._database.row("SELECT 1 FROM facts") is None

"""Damaged stores are put right without a human, and the daily copies that help with it."""

from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from selfdistill.errors import StoreBusy, StoreCorrupt, StoreForeign, StoreTooNew
from selfdistill.model import Finding
from selfdistill.store import Rescue, Store, VerdictKind, condemn, put_right
from selfdistill.store.backups import EVERY_SECONDS, backups_of
from selfdistill.store.migrations import SCHEMA_VERSION

if TYPE_CHECKING:
    from unit.store.conftest import Desk

KEYS = 60


def fill(desk: Desk, make_finding: Callable[..., Finding], *, back_up: bool = False, log_name: str = "s1.jsonl") -> str:
    """A closed store with a log, its lessons and one rejected lesson, whose id this is."""
    store = desk.open()
    log = desk.log(store, log_name)
    desk.commit(store, log, *[make_finding(f"key {number}", f"u{number}") for number in range(KEYS)])
    if back_up:
        desk.clock.now += 1
        assert store.back_up_if_due() is not None
    desk.clock.now += 1
    lesson = store.lessons("kettle", state=None)[0]
    store.decide(lesson.id, VerdictKind.REJECT, "no")
    store.close()
    return lesson.id


def rescued(desk: Desk) -> tuple[Store, Rescue]:
    """The store, put right."""
    done = put_right(desk.path, desk.clock)
    assert done is not None
    store = desk.open()
    store.rederive()
    return store, done


def overwrite(path: Path, at: int, data: bytes) -> None:
    """Change some bytes of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


HARMS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "header": lambda path: overwrite(path, 0, os.urandom(100)),
    "page": lambda path: overwrite(path, 4096 * 3, os.urandom(4096)),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "version": lambda path: overwrite(path, 60, b"\x00\x00\x77\x77"),
    "text": lambda path: overwrite(path, path.read_bytes().index(b"quote of u50") + 9, b"U"),
    "foreign": lambda path: path.write_bytes(another_program()),
    "schema": lambda path: alter(path, "DROP TABLE mishaps"),
    "gone, its journal left": lambda path: path.rename(path.with_name("lessons.db-wal")),
}


def another_program() -> bytes:
    """A database that is not ours."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE theirs(x)")
    return connection.serialize()


def alter(path: Path, statement: str) -> None:
    """Change a database behind our back."""
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("back_up", [False, True], ids=["anew", "backup"])
def test_a_damaged_store_is_put_right(
    desk: Desk, make_finding: Callable[..., Finding], harm: str, *, back_up: bool
) -> None:
    """The damaged files are kept aside, and the newest backup stands in their place, or an empty store does."""
    fill(desk, make_finding, back_up=back_up)
    HARMS[harm](desk.path)
    before = {path.name: path.read_bytes() for path in desk.path.parent.glob("lessons.db*") if path.suffix != ".lock"}
    store, done = rescued(desk)
    aside = desk.path.parent / done.moved_to
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == before
    assert aside.stat().st_mode & 0o777 == 0o700
    assert len(store.pending()) == 0
    assert len(store.lessons(None, state=None, everywhere=True)) == (KEYS if back_up else 0)
    assert bool(done.restored) is back_up
    assert store.last_rescue() == done
    store.close()
    assert sorted(path.name for path in desk.path.parent.iterdir() if path.name not in {"backups", "corrupt"}) == [
        ".initialised",
        "lessons.db",
        "lessons.db.lock",
    ]
    desk.open()  # it stays right


@pytest.mark.parametrize("back_up", [False, True], ids=["anew", "backup"])
def test_verdicts_outlive_a_damaged_store(desk: Desk, make_finding: Callable[..., Finding], *, back_up: bool) -> None:
    """What a person decided is read from the damaged file and holds for the lesson when it is learned again."""
    rejected = fill(desk, make_finding, back_up=back_up)
    HARMS["text"](desk.path)
    store, done = rescued(desk)
    assert (done.verdicts, done.unsaved) == (1, ())
    if not back_up:
        log = desk.log(store, "s1.jsonl")
        desk.after.clear()
        desk.commit(store, log, *[make_finding(f"key {number}", f"u{number}") for number in range(KEYS)])
    states = {lesson.id: lesson.state for lesson in store.lessons(None, state=None, everywhere=True)}
    assert states.pop(rejected) == "rejected"
    assert set(states.values()) == {"active"}
    assert store._database.rows("SELECT kind, note FROM verdicts") == [("reject", "no")]


def test_what_cannot_be_saved_is_said(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """Where verdicts cannot be read any more the rescue says so."""
    fill(desk, make_finding)
    HARMS["empty"](desk.path)
    _, done = rescued(desk)
    assert "verdicts" in done.sentence()
    assert done.unsaved


def test_money_spent_stays_spent(desk: Desk) -> None:
    """A rescue frees no money: what calls cost is carried over."""
    store = desk.open()
    with store.transaction():
        store._database.run(
            "INSERT INTO calls(key, session, project, model, state, reserved_at)"
            " VALUES ('k', 's', 'p', 'm', 'applied', 1)"
        )
        store._database.run(
            "INSERT INTO charges(key, day, run, reserved, cost, unpriced, at)"
            " VALUES ('k', '2026-11-23', 'r', 9, 5, 0, 1.5)"
        )
    store.close()
    overwrite(desk.path, desk.path.stat().st_size - 1, b"\x01")
    after, _ = rescued(desk)
    assert after._database.rows("SELECT key, cost, at FROM charges") == [("k", 5, 1.5)]
    assert after._database.rows("SELECT key, state FROM calls") == [("k", "failed")]


def test_a_broken_backup_is_passed_over(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """A backup that is damaged itself is not restored: the one before it is."""
    fill(desk, make_finding, back_up=True)
    older = backups_of(desk.path)[0]
    desk.clock.now += EVERY_SECONDS
    fill(desk, make_finding, back_up=True, log_name="s2.jsonl")
    newer = backups_of(desk.path)[0]
    assert newer != older
    HARMS["text"](newer)
    HARMS["header"](desk.path)
    _, done = rescued(desk)
    assert done.restored == older.name


def test_a_newer_store_is_not_rescued(desk: Desk) -> None:
    """A store of a newer selfdistill is refused, never moved."""
    desk.open().close()
    connection = sqlite3.connect(desk.path)
    connection.execute("INSERT INTO migrations VALUES (?, 'later', 0)", (SCHEMA_VERSION + 1,))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.commit()
    connection.close()
    before = desk.path.read_bytes()
    with pytest.raises(StoreTooNew):
        put_right(desk.path, desk.clock)
    assert desk.path.read_bytes() == before
    assert not (desk.path.parent / "corrupt").exists()


def test_a_foreign_file_where_nothing_was_is_not_moved(desk: Desk) -> None:
    """Another program's file in a directory that never held lessons is refused untouched."""
    desk.path.write_bytes(another_program())
    with pytest.raises(StoreForeign):
        put_right(desk.path, desk.clock)
    assert desk.path.read_bytes() == another_program()


def test_nothing_is_moved_under_a_user(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """While another process has the damaged store open it is not replaced: that is tried again later."""
    fill(desk, make_finding)
    user = desk.open()
    desk.log(user, "s9.jsonl")
    HARMS["header"](desk.path)
    with pytest.raises(StoreBusy, match="still has it open"):
        put_right(desk.path, desk.clock, patience_seconds=0.05)
    assert not (desk.path.parent / "corrupt").exists()
    user.abandon()


def test_damage_met_while_running_is_remembered(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """What SQLite finds damaged in the middle of work is put right at the next opening, whatever a check says then."""
    fill(desk, make_finding)
    store = desk.open()
    size = desk.path.stat().st_size
    store._database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    HARMS["page"](desk.path)
    overwrite(desk.path, 4096 * 4, os.urandom(size - 4096 * 4))
    store._database._connection.execute("PRAGMA shrink_memory")
    with pytest.raises(StoreCorrupt):
        store.lessons(None, state=None, everywhere=True)
    store.abandon()
    with pytest.raises(StoreCorrupt, match="damaged"):
        desk.open()
    rescued(desk)


def test_what_a_check_cannot_see_is_believed(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """A store that was found damaged in use is replaced, although every page of it looks sound."""
    fill(desk, make_finding)
    condemn(desk.path, "an index says something else")
    with pytest.raises(StoreCorrupt, match="an index"):
        desk.open()
    _, done = rescued(desk)
    assert "an index says something else" in done.damage


def test_a_rescue_killed_anywhere_is_finished_by_the_next(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """Killed before any renaming of its files, a rescue is begun again; in the end the verdict is there."""
    for moment in range(1, 5):
        desk.after.clear()
        fill(desk, make_finding, log_name=f"s{moment}.jsonl")
        HARMS["text"](desk.path)
        if (pid := os.fork()) == 0:
            try:
                kill_at_rename(desk, moment)
            finally:
                os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in {-signal.SIGKILL, 0}
        put_right(desk.path, desk.clock)
        store = desk.open()
        assert ("reject",) in store._database.rows("SELECT kind FROM verdicts")
        store.close()
        desk.clock.now += 10


def kill_at_rename(desk: Desk, moment: int) -> None:
    """Put the store right, but die before the renaming of this number."""
    renamed = 0
    rename = Path.rename

    def dying(self: Path, target: Path) -> Path:
        nonlocal renamed
        renamed += 1
        if renamed == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    Path.rename = dying  # type: ignore[method-assign, assignment] # in this child alone
    put_right(desk.path, desk.clock)
    os._exit(0)


def test_a_copy_a_day_while_there_is_news(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """A copy is made when a day has gone by and something was learned; it is private, and two are kept."""
    store = desk.open()
    assert store.back_up_if_due() is None  # nothing to keep
    for number in range(4):
        log = desk.log(store, f"s{number}.jsonl")
        desk.commit(store, log, make_finding(f"key {number}", f"u{number}"))
        desk.clock.now += 1
        made = store.back_up_if_due()
        assert made is not None
        assert store.back_up_if_due() is None
        desk.clock.now += EVERY_SECONDS
        assert store.back_up_if_due() is None  # no news since
        assert made.stat().st_mode & 0o777 == 0o600
    names = sorted(path.name for path in (desk.path.parent / "backups").iterdir())
    assert len(names) == 4  # with their seals
    assert backups_of(desk.path)[0] == made


def test_two_processes_make_one_copy(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """While another process copies, nothing of its work is touched, and nobody fails for it."""
    store = desk.open()
    desk.commit(store, desk.log(store, "s1.jsonl"), make_finding("key", "u1"))
    desk.clock.now += 1
    directory = desk.path.parent / "backups"
    directory.mkdir(mode=0o700)
    (directory / "new-of-the-other").touch()
    other = os.open(directory, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    assert store.back_up_if_due() is None
    assert (directory / "new-of-the-other").exists()
    os.close(other)
    assert store.back_up_if_due() is not None
    assert not (directory / "new-of-the-other").exists()


def test_a_copy_that_is_broken_off_leaves_nothing(desk: Desk, make_finding: Callable[..., Finding]) -> None:
    """A shutdown ends the copying, and no half copy stays."""
    store = desk.open()
    desk.commit(store, desk.log(store, "s1.jsonl"), make_finding("key", "u1"))
    desk.clock.now += 1

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.back_up_if_due(stop)
    assert list((desk.path.parent / "backups").iterdir()) == []

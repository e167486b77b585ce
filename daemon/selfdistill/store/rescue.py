"""A damaged store is put right without a human: moved aside, replaced by its newest good backup or by an empty one.

Findings and lessons come back from the logs: an empty store has no cursors, a backup older ones, and what is read twice
counts once. What no log says is saved from the damaged file where it can still be read: verdicts, and the money spent.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from selfdistill.errors import SelfdistillError, StoreCorrupt, StoreError
from selfdistill.store.backups import backups_of, seal_of
from selfdistill.store.database import Database, connect, translate_system
from selfdistill.store.holding import Hold
from selfdistill.store.lessons import VerdictKind
from selfdistill.store.opening import UNFINISHED, check_identity, check_schema, create, examine, open_database
from selfdistill.store.sealing import signature, write_mark

if TYPE_CHECKING:
    from selfdistill.store.database import Row

MEMO: Final = "rescue"
KEPT: Final = 3  # damaged stores
_FILES: Final = ("", "-wal", "-shm", "-journal")
_PATIENCE_SECONDS: Final = 5.0


class Rescue(Struct, frozen=True):
    """What was done about a damaged store. `restored` is the backup's name, "" if all is read again from the logs.

    `unsaved` names what could not be read any more of what no log says.
    """

    at: float
    damage: str
    moved_to: str
    restored: str
    verdicts: int
    unsaved: tuple[str, ...] = ()

    def sentence(self) -> str:
        """What happened, for people."""
        replaced = f"the backup {self.restored} was put in its place" if self.restored else "it is made anew"
        lost = f"; lost: {', '.join(self.unsaved)}" if self.unsaved else "; no verdict was lost"
        return f"{self.damage} It was moved to {self.moved_to}, {replaced}, and the logs are read again{lost}."

    def advice(self) -> str:
        """What to do about it."""
        return "Nothing, if it stays alone: look at the disk (`dmesg`). The damaged files may be removed."


class Saved(Struct):
    """What was read from a damaged store."""

    verdicts: list[Row]
    calls: list[Row]
    charges: list[Row]
    unsaved: list[str]


def open_rescued(path: Path, *, clock: Callable[[], float], busy_seconds: float) -> tuple[Database, Rescue | None]:
    """Open the store as `open_database` does, after putting it right if it is damaged; what was done about it, or None.

    Raises StoreBusy while others have a damaged store open, and whatever `open_database` raises of other troubles.
    """
    try:
        return open_database(path, clock=clock, busy_seconds=busy_seconds), None
    except StoreCorrupt:
        rescued = rescue(path, clock, patience_seconds=busy_seconds)
    return open_database(path, clock=clock, busy_seconds=busy_seconds), rescued


def rescue(path: Path, clock: Callable[[], float], *, patience_seconds: float = _PATIENCE_SECONDS) -> Rescue | None:
    """Put the store right if it is damaged; None if it is not (any more). Killed at any instant, it begins again.

    Raises StoreBusy if others have it open for longer than we wait; StoreTooNew and StoreForeign, with nothing touched.
    """
    with Hold(path) as hold:
        hold.take(patience_seconds, alone_if=lambda: True)
        try:
            examine(path)
        except StoreCorrupt as damage:
            return _replace(path, damage, clock)
    return None


def _replace(path: Path, damage: StoreCorrupt, clock: Callable[[], float]) -> Rescue:
    """Make the new store whole under another name, move the old one aside, put the new one in its place."""
    now = clock()
    try:
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=path.parent) as directory:
            fresh = Path(directory) / path.name
            restored = _restore(path, fresh)
            if restored is None:
                create(fresh, clock)
            saved = _salvage(path if path.exists() else _last_moved(path), fresh.parent)
            aside = _aside(path, now)
            done = Rescue(
                at=now,
                damage=damage.message,
                moved_to=f"{aside.parent.name}/{aside.name}",
                restored=restored.name if restored else "",
                verdicts=len(saved.verdicts),
                unsaved=tuple(saved.unsaved),
            )
            _keep(fresh, saved, done)
            for suffix in _FILES:
                with suppress(FileNotFoundError):
                    path.with_name(path.name + suffix).rename(aside / (path.name + suffix))
            write_mark(path)  # what it says is about the old one
            fresh.rename(path)
        _drop_old(path, aside.parent)
    except OSError as error:
        raise translate_system(error, path) from error
    return done


def _restore(path: Path, fresh: Path) -> Path | None:
    """Copy the newest backup that is good to `fresh`; which one, or None."""
    for backup in backups_of(path):
        shutil.copyfile(backup, fresh)
        if _is_good(fresh, seal_of(backup)):
            return backup
        for suffix in _FILES:
            fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    return None


def _is_good(copy: Path, sealed: Path) -> bool:
    if sealed.exists() and sealed.read_text("utf-8", "replace") != signature(copy):
        return False
    try:
        with closing(Database(connect(copy, busy_seconds=0.0, options="mode=rw"), copy)) as database:
            check_identity(database)
            database.check()
            check_schema(database)
    except SelfdistillError:
        return False
    return True


def _aside(path: Path, now: float) -> Path:
    """A new directory for the damaged files."""
    parent = path.parent / "corrupt"
    parent.mkdir(mode=0o700, exist_ok=True)
    name = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}"
    for number in range(1, 1000):
        with suppress(FileExistsError):
            aside = parent / (name if number == 1 else f"{name}-{number}")
            aside.mkdir(mode=0o700)
            return aside
    raise StoreError(f"{parent} holds too many damaged stores of one second.", "Remove them, then try again.")


def _last_moved(path: Path) -> Path:
    """Where a rescue that was killed has moved the damaged store; the store's own path if nowhere."""
    moved = sorted(path.parent.glob(f"corrupt/*/{path.name}"))
    return moved[-1] if moved else path


def _drop_old(path: Path, moved: Path) -> None:
    """Remove the oldest damaged stores, and what killed rescues left."""
    for old in (*sorted(moved.iterdir())[:-KEPT], *path.parent.glob(f"{UNFINISHED}*")):
        shutil.rmtree(old)


def _salvage(damaged: Path, within: Path) -> Saved:
    """Read what no log says from a damaged store, as far as it goes; its files stay as they are."""
    saved = Saved([], [], [], [])
    with tempfile.TemporaryDirectory(dir=within) as directory:
        copy = Path(directory) / damaged.name
        for suffix in _FILES[:2]:
            with suppress(FileNotFoundError):
                shutil.copyfile(damaged.with_name(damaged.name + suffix), copy.with_name(copy.name + suffix))
        if not copy.exists():
            saved.unsaved.append("verdicts")
            return saved
        with closing(Database(connect(copy, busy_seconds=0.0, options="mode=rw"), copy)) as database:
            for table, columns, rows in (
                ("verdicts", _VERDICT, saved.verdicts),
                ("calls", _CALL, saved.calls),
                ("charges", _CHARGE, saved.charges),
            ):
                if not _read(database, table, columns, rows):
                    saved.unsaved.append(_NAMES[table])
    kinds = {kind.value for kind in VerdictKind}
    saved.verdicts = [row for row in saved.verdicts if row[3] in kinds]
    return saved


_NAMES: Final = {"verdicts": "verdicts", "calls": "calls to a model", "charges": "what calls cost"}
_VERDICT: Final = {"lesson_id": str, "project": str, "merge_key": str, "kind": str, "at": float, "note": str}
_CALL: Final = {"key": str, "session": str, "project": str, "model": str, "attempts": int, "reserved_at": float}
_CHARGE: Final = {
    "key": str,
    "day": str,
    "run": str,
    "settled": int,
    "input_tokens": int,
    "output_tokens": int,
    "cache_write_tokens": int,
    "cache_read_tokens": int,
    "reserved": int,
    "unpriced": int,
    "at": float,
}


def _read(database: Database, table: str, columns: dict[str, type], found: list[Row]) -> bool:
    """Read a table row by row into `found`, those of the right types; whether all could be read."""
    cost = ", cost" if table == "charges" else ""
    query = f"SELECT {', '.join(columns)}{cost} FROM {table} WHERE rowid = ?"  # noqa: S608 - our own names
    try:
        last = database.row(f"SELECT max(rowid) FROM {table}")  # noqa: S608 - our own name
    except StoreError:
        return False
    whole = True
    for number in range(1, min((last and last[0]) or 0, _MOST_ROWS) + 1):
        try:
            row = database.row(query, (number,))
        except StoreError:
            whole = False
            continue
        if row and all(isinstance(value, kind) for value, kind in zip(row, columns.values(), strict=False)):
            found.append(row)
    return whole


_MOST_ROWS: Final = 1_000_000


def _keep(fresh: Path, saved: Saved, done: Rescue) -> None:
    """Write what was saved into the new store, and what was done."""
    with closing(Database(connect(fresh, busy_seconds=0.0, options="mode=rw"), fresh)) as database:
        with database.transaction():
            database.run_many(_ADD_VERDICT, ((*row, *row[:1], row[3], row[4]) for row in saved.verdicts))
            database.run_many(_ADD_CALL, saved.calls)
            database.run_many(_ADD_CHARGE, ((*row, row[0], row[10]) for row in saved.charges))
            database.run("INSERT OR REPLACE INTO memos VALUES (?, ?)", (MEMO, msgspec.json.encode(done)))
        database.rows("PRAGMA wal_checkpoint(TRUNCATE)")


_ADD_VERDICT: Final = """
    INSERT INTO verdicts(lesson_id, project, merge_key, kind, at, note) SELECT ?, ?, ?, ?, ?, ?
    WHERE NOT EXISTS (SELECT 1 FROM verdicts WHERE lesson_id = ? AND kind = ? AND at = ?)
"""
# A call may be made again, for its findings went with the store; what it cost stays spent.
_ADD_CALL: Final = """
    INSERT OR IGNORE INTO calls(key, session, project, model, state, attempts, reserved_at, error)
    VALUES (?, ?, ?, ?, 'failed', ?, ?, 'the store was damaged')
"""
_ADD_CHARGE: Final = """
    INSERT INTO charges(key, day, run, settled, input_tokens, output_tokens, cache_write_tokens, cache_read_tokens,
        reserved, unpriced, at, cost)
    SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
    WHERE EXISTS (SELECT 1 FROM calls WHERE key = ?1)
        AND NOT EXISTS (SELECT 1 FROM charges WHERE key = ? AND at = ?)
"""

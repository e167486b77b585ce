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
from selfdistill.store.migrations import migrate
from selfdistill.store.opening import UNFINISHED, check_identity, check_schema, create, examine
from selfdistill.store.rulings import VerdictKind
from selfdistill.store.sealing import signature, write_mark

if TYPE_CHECKING:
    from selfdistill.store.database import Row

MEMO: Final = "rescue"
KEPT: Final = 3  # damaged stores
_FILES: Final = ("", "-wal", "-shm", "-journal")
_PATIENCE_SECONDS: Final = 5.0
_MOST_ROWS: Final = 1_000_000  # of a table whose greatest number may be damaged, too


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


def put_right(path: Path, clock: Callable[[], float], *, patience_seconds: float = _PATIENCE_SECONDS) -> Rescue | None:
    """Put the store right if it is damaged; None if it is not (any more). Killed at any instant, it begins again.

    Whoever opens it then derives the lessons anew: verdicts may be younger than the backup. Raises StoreBusy if others
    have it open for longer than we wait; StoreTooNew and StoreForeign, with nothing touched.
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
            restored = _restore(path, fresh, clock)
            if restored is None:
                create(fresh, clock)
            saved, unsaved = _salvage(path if path.exists() else _last_moved(path), fresh.parent)
            aside = _aside(path, now)
            done = Rescue(
                at=now,
                damage=damage.message,
                moved_to=f"{aside.parent.name}/{aside.name}",
                restored=restored.name if restored else "",
                verdicts=len(saved["verdicts"]),
                unsaved=tuple(unsaved),
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


def _restore(path: Path, fresh: Path, clock: Callable[[], float]) -> Path | None:
    """Copy the newest backup that is good to `fresh`, and bring it to our schema; which one, or None."""
    for backup in backups_of(path):
        shutil.copyfile(backup, fresh)
        if _is_good(fresh, seal_of(backup), clock):
            return backup
        for suffix in _FILES:
            fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    return None


def _is_good(copy: Path, sealed: Path, clock: Callable[[], float]) -> bool:
    if sealed.exists() and sealed.read_text("utf-8", "replace") != signature(copy):
        return False
    try:
        with closing(Database(connect(copy, busy_seconds=0.0, options="mode=rw"), copy)) as database:
            check_identity(database)
            database.check()
            check_schema(database)
            migrate(database, clock)
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


class Kept(Struct, frozen=True):
    """A table that no log can bring back: its columns with their types, and how a row goes into the new store.

    `again`: the columns, by position, that the statement names once more. `by_rowid`: damage costs single rows only.
    """

    table: str
    name: str
    columns: dict[str, type]
    add: str
    again: tuple[int, ...] = ()
    by_rowid: bool = True


_KEPT: Final = (
    Kept(
        "verdicts",
        "verdicts",
        {"lesson_id": str, "project": str, "merge_key": str, "kind": str, "at": float, "note": str, "body": str},
        "INSERT INTO verdicts(lesson_id, project, merge_key, kind, at, note, body) SELECT ?, ?, ?, ?, ?, ?, ?"
        " WHERE NOT EXISTS (SELECT 1 FROM verdicts WHERE lesson_id = ? AND kind = ? AND at = ?)",
        again=(0, 3, 4),
    ),
    Kept(
        "merged",
        "which lessons were merged",
        {"project": str, "merge_key": str, "target": str},
        "INSERT OR REPLACE INTO merged VALUES (?, ?, ?)",
        by_rowid=False,
    ),
    Kept(
        "feedback",
        "agents' feedback",
        {"project": str, "merge_key": str, "session": str, "helpful": int, "note": str, "at": float},
        "INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?, ?, ?)",
        by_rowid=False,
    ),
    Kept(
        "deliveries",
        "what was told to agents",
        {"lesson_id": str, "session": str, "event": str, "at": float, "agent": str, "tool": str},
        "INSERT OR IGNORE INTO deliveries(lesson_id, session, event, at, agent, tool) VALUES (?, ?, ?, ?, ?, ?)",
    ),
    # A call may be made again, for its findings went with the store; what it cost stays spent.
    Kept(
        "calls",
        "calls to a model",
        {"key": str, "session": str, "project": str, "model": str, "attempts": int, "reserved_at": float},
        "INSERT OR IGNORE INTO calls(key, session, project, model, state, attempts, reserved_at, error)"
        " VALUES (?, ?, ?, ?, 'failed', ?, ?, 'the store was damaged')",
    ),
    Kept(
        "charges",
        "what calls cost",
        {
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
            "coalesce(cost, reserved)": int,
        },
        "INSERT INTO charges(key, day, run, settled, input_tokens, output_tokens, cache_write_tokens,"
        " cache_read_tokens, reserved, unpriced, at, cost) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
        " WHERE EXISTS (SELECT 1 FROM calls WHERE key = ?)"
        " AND NOT EXISTS (SELECT 1 FROM charges WHERE key = ? AND at = ?)",
        again=(0, 0, 10),
    ),
)


def _salvage(damaged: Path, within: Path) -> tuple[dict[str, list[Row]], list[str]]:
    """The rows of `_KEPT` tables in a damaged store as far as they can be read, and what cannot; nothing is changed."""
    saved: dict[str, list[Row]] = {kept.table: [] for kept in _KEPT}
    with tempfile.TemporaryDirectory(dir=within) as directory:
        copy = Path(directory) / damaged.name
        for suffix in _FILES[:2]:
            with suppress(FileNotFoundError):
                shutil.copyfile(damaged.with_name(damaged.name + suffix), copy.with_name(copy.name + suffix))
        if not copy.exists():
            return saved, [kept.name for kept in _KEPT]
        with closing(Database(connect(copy, busy_seconds=0.0, options="mode=rw"), copy)) as database:
            unsaved = [kept.name for kept in _KEPT if not _read(database, kept, saved[kept.table])]
    kinds = {kind.value for kind in VerdictKind}
    saved["verdicts"] = [row for row in saved["verdicts"] if row[3] in kinds]
    return saved, unsaved


def _read(database: Database, kept: Kept, found: list[Row]) -> bool:
    """Read a table's rows of the right types into `found`; whether all could be read."""
    query = f"SELECT {', '.join(kept.columns)} FROM {kept.table}"  # noqa: S608 - our own names
    try:
        if not kept.by_rowid:
            found += [row for row in database.rows(query) if _is_of(row, kept)]
            return True
        last = database.row(f"SELECT max(rowid) FROM {kept.table}")  # noqa: S608 - our own name
    except StoreError:
        return False
    whole = True
    for number in range(1, min((last and last[0]) or 0, _MOST_ROWS) + 1):
        try:
            row = database.row(f"{query} WHERE rowid = ?", (number,))
        except StoreError:
            whole = False
            continue
        if row and _is_of(row, kept):
            found.append(row)
    return whole


def _is_of(row: Row, kept: Kept) -> bool:
    return all(isinstance(value, kind) for value, kind in zip(row, kept.columns.values(), strict=True))


def _keep(fresh: Path, saved: dict[str, list[Row]], done: Rescue) -> None:
    """Write what was saved into the new store, and what was done."""
    with closing(Database(connect(fresh, busy_seconds=0.0, options="mode=rw"), fresh)) as database:
        with database.transaction():
            for kept in _KEPT:
                rows = saved[kept.table]
                database.run_many(kept.add, ((*row, *(row[place] for place in kept.again)) for row in rows))
            database.run("INSERT OR REPLACE INTO memos VALUES (?, ?)", (MEMO, msgspec.json.encode(done)))
        database.rows("PRAGMA wal_checkpoint(TRUNCATE)")

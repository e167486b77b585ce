"""The catalogue: every log that was ever seen, what `stat` said of it, and what is still to be done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.model import Skip, Stat, Turn
from selfdistill.store.part import Part, storable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.store.database import Row

_WORD: Final = 1 << 64
_SIGN: Final = 1 << 63

# After these the log, or its rest, is still wanted; the other words close the matter until the log changes.
_STILL_WANTED: Final = frozenset({Skip.UNSETTLED, Skip.UNREADABLE, Skip.QUARANTINED})

# What is new makes an old reason to skip void, except a quarantine: its end is the caller's decision.
_SEE: Final = """
    INSERT INTO logs(source, directory, name, session_hint, dev, ino, size, mtime_ns, ctime_ns,
        changed_at, pending_since)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT(directory, name) DO UPDATE SET
        source = excluded.source,
        session_hint = excluded.session_hint,
        turn = CASE WHEN size = excluded.size AND mtime_ns = excluded.mtime_ns AND ctime_ns = excluded.ctime_ns
            THEN turn END,
        dev = excluded.dev,
        ino = excluded.ino,
        size = excluded.size,
        mtime_ns = excluded.mtime_ns,
        ctime_ns = excluded.ctime_ns,
        changed_at = excluded.changed_at,
        pending_since = coalesce(pending_since, excluded.pending_since),
        skip = CASE WHEN skip = 'gone' OR (skip <> 'quarantined' AND excluded.pending_since IS NOT NULL)
            THEN NULL ELSE skip END,
        gone_scans = 0,
        gone_at = NULL
    RETURNING id
"""

_KNOWN: Final = """
    SELECT id, source, directory, name, session_hint, dev, ino, size, mtime_ns, ctime_ns, changed_at, pending_since,
        distilled_size, turn, skip, gone_scans
    FROM logs
"""
_KNOWN_IN: Final = _KNOWN + "WHERE directory = ?"
_KNOWN_AT: Final = _KNOWN + "WHERE directory = ? AND name = ?"
# Two queries instead of one OR, so that each uses its index at 100,000 logs.
_BY_INODE: Final = _KNOWN + "WHERE source = ? AND ino = ? AND dev = ? LIMIT 16"
_CHANGED: Final = _KNOWN + "WHERE gone_at IS NULL AND mtime_ns >= ? ORDER BY mtime_ns DESC, id LIMIT ?"
_BY_HINT: Final = _KNOWN + "WHERE source = ? AND session_hint = ? LIMIT 16"

# What a model could not do (distiller "llm") holds up nobody else.
_WAITING: Final = """
    SELECT logs.id, source, directory, name, session_hint, session, machine_run, dev, ino, size, mtime_ns, ctime_ns,
        changed_at, pending_since, distilled_size, turn, skip, not_before, coalesce(attempts, 0), owed_since,
        coalesce(deaths, 0)
    FROM logs
    LEFT JOIN (
        SELECT log_id, max(not_before) AS not_before, max(attempts) AS attempts,
            max(CASE WHEN distiller LIKE '% process' THEN attempts END) AS deaths
        FROM failures WHERE distiller NOT IN ('llm', 'llm process') GROUP BY log_id
    ) ON log_id = logs.id
"""
# A log that the first distiller has read further than the second: not set aside, not already in a batch. What has come
# since need not have settled. That the first one's newer cursor stands before the second's means a rewritten log.
_OWED: Final = """
    SELECT logs.id, source, directory, name, session_hint, session, machine_run, dev, ino, size, mtime_ns, ctime_ns,
        changed_at, pending_since, distilled_size, turn, skip, failures.not_before, coalesce(failures.attempts, 0),
        owed_since, coalesce(died.attempts, 0)
    FROM logs JOIN cursors AS first ON first.log_id = logs.id AND first.distiller = :first
    LEFT JOIN cursors AS second ON second.log_id = logs.id AND second.distiller = :second
    LEFT JOIN failures ON failures.log_id = logs.id AND failures.distiller = :second
    LEFT JOIN failures AS died ON died.log_id = logs.id AND died.distiller = :second || ' process'
    WHERE gone_at IS NULL AND (skip IS NULL OR skip = 'unsettled') AND NOT machine_run AND first.offset > 0
        AND (
            second.offset IS NULL OR second.offset < first.offset
            OR (second.offset > first.offset AND second.updated_at < first.updated_at)
        )
        AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.log_id = logs.id AND state = 'sent')
    ORDER BY mtime_ns DESC, logs.id
"""
_PENDING: Final = _WAITING + "WHERE pending_since IS NOT NULL ORDER BY mtime_ns DESC, logs.id LIMIT ?"
# Parts of them were read before a delivery in their session was known.
_OWING: Final = """SELECT log_id FROM chances JOIN deliveries ON deliveries.number = delivery
    JOIN lessons ON lessons.id = lesson_id WHERE owed"""
_TO_LOOK_BACK: Final = _WAITING + f"WHERE logs.id IN ({_OWING}) ORDER BY logs.id"
_PENDING_PAGE: Final = (
    _WAITING
    + """WHERE pending_since IS NOT NULL AND (mtime_ns < :mtime_ns OR (mtime_ns = :mtime_ns AND logs.id > :id))
    ORDER BY mtime_ns DESC, logs.id LIMIT :limit"""
)
_PRESENT: Final = _WAITING + "WHERE gone_at IS NULL ORDER BY mtime_ns DESC, logs.id LIMIT ?"


class KnownLog(Struct, frozen=True, gc=False):
    """A log as the scanner left it. Times are seconds since the epoch; `distilled_size` is bytes on disk."""

    id: int
    source: str
    directory: bytes
    name: bytes
    session_hint: str
    stat: Stat
    changed_at: float
    pending_since: float | None
    distilled_size: int
    turn: Turn | None
    skip: Skip | None
    gone_scans: int

    @property
    def path(self) -> Path:
        """Where it lies. Made when asked for: that takes 10 us, and most logs of 100,000 are only compared."""
        return _path(self.directory, self.name)


class PendingLog(Struct, frozen=True, gc=False):
    """A log with work to do, with all that decides when. `not_before` and `attempts` come from failures.

    `owed_since`: when the first byte was seen that the heuristics have read and a model was not yet shown.
    `deaths`: how often in a row a process has died over it.
    """

    id: int
    source: str
    path: Path
    session_hint: str
    session: str
    machine_run: bool
    stat: Stat
    changed_at: float
    pending_since: float | None
    distilled_size: int
    turn: Turn | None
    skip: Skip | None
    not_before: float | None
    attempts: int
    owed_since: float | None
    deaths: int = 0


class Catalogue(Part):
    """The logs. Each method is one transaction of its own unless it is called inside `transaction()`."""

    def known(self, directory: str) -> dict[str, KnownLog]:
        """The logs of one directory, gone ones included, by file name."""
        rows = self._database.rows(_KNOWN_IN, (os.fsencode(directory),))
        return {os.fsdecode(row[3]): _known(row) for row in rows}

    def log_at(self, path: Path) -> KnownLog | None:
        """The log at this path, or None."""
        row = self._database.row(_KNOWN_AT, _split(path))
        return _known(row) if row else None

    def see(
        self,
        source: str,
        session_hint: str,
        path: Path,
        stat: Stat,
        *,
        changed_at: float,
        pending_since: float | None,
    ) -> int:
        """Note that a log is there, with this stat; its id. `pending_since=None` says: nothing new in it.

        A log that already waits keeps its earlier `pending_since`. A new stat forgets the turn: look again.
        """
        row = self._database.row(
            _SEE, (source, *_split(path), storable(session_hint), *signed_stat(stat), changed_at, pending_since)
        )
        return int(row[0]) if row else 0

    def skip(self, log_id: int, word: Skip | None, detail: str = "") -> None:
        """Enter a log in the skip ledger, or take it out (None); it stays pending where the word allows a retry."""
        still_wanted = word is None or word in _STILL_WANTED
        self._database.run(
            "UPDATE logs SET skip = ?, skip_detail = ?, pending_since = CASE WHEN ? THEN pending_since END"
            " WHERE id = ?",
            (word, storable(detail), still_wanted, log_id),
        )

    def missing(self, log_id: int) -> bool:
        """Count a scan that did not find the log; True when this was the second one in a row: it is gone.

        What it still owed is then lost and stands in the ledger as `gone`. Only for directories that could be read.
        """
        with self._database.transaction():
            row = self._database.row(
                "UPDATE logs SET gone_scans = gone_scans + 1 WHERE id = ? RETURNING gone_scans", (log_id,)
            )
            gone = bool(row and row[0] >= 2)  # noqa: PLR2004 - "two consistent scans" (reliability.md, section 6)
            if gone:
                self._database.run(
                    "UPDATE logs SET gone_at = ?, skip = CASE WHEN pending_since IS NULL THEN skip ELSE 'gone' END,"
                    " pending_since = NULL WHERE id = ? AND gone_at IS NULL",
                    (self._clock(), log_id),
                )
        return gone

    def pending(self, limit: int = -1) -> list[PendingLog]:
        """The logs with undistilled bytes, newest modification first; at most `limit` of them (-1: all).

        Of these, those over which a process has died come last, so that the others are read whatever they do.
        """
        logs = [_pending(row) for row in self._database.rows(_PENDING, (limit,))]
        return sorted(logs, key=lambda log: log.deaths > 0)

    def pending_pages(self, limit: int) -> Iterator[list[PendingLog]]:
        """The same in pages of `limit` logs, each read when it is asked for: 100,000 at once would take 200 MB.

        What becomes pending or changes meanwhile may be missing.
        """
        last = {"mtime_ns": (1 << 63) - 1, "id": 0}
        while page := [_pending(row) for row in self._database.rows(_PENDING_PAGE, {**last, "limit": limit})]:
            yield page
            last = {"mtime_ns": page[-1].stat.mtime_ns, "id": page[-1].id}

    def present(self, limit: int = -1) -> list[PendingLog]:
        """Every log that is not gone, whether it has work to do or not, newest modification first."""
        return [_pending(row) for row in self._database.rows(_PRESENT, (limit,))]

    def changed_since(self, mtime_ns: int, limit: int) -> list[KnownLog]:
        """The logs that are not gone and were modified at or after `mtime_ns`, the newest first."""
        return [_known(row) for row in self._database.rows(_CHANGED, (mtime_ns, limit))]

    def owed(self, first: str, second: str) -> list[PendingLog]:
        """The logs of people's sessions that distiller `first` has read further than `second`, newest first.

        `not_before` and `attempts` are the failures of `second`. Logs that wait for a batch are not among them.
        """
        return [_pending(row) for row in self._database.rows(_OWED, {"first": first, "second": second})]

    def to_look_back(self) -> list[PendingLog]:
        """The logs that were read, in part, before a delivery in their session was known."""
        return [_pending(row) for row in self._database.rows(_TO_LOOK_BACK)]

    def note_turn(self, log_id: int, turn: Turn | None) -> None:
        """Remember where the conversation stands after the log's last record."""
        self._database.run("UPDATE logs SET turn = ? WHERE id = ?", (turn, log_id))

    def moved_candidates(self, source: str, session_hint: str, dev: int, ino: int) -> list[KnownLog]:
        """Logs that may have moved to a new path: same inode, or same session hint. The caller compares proofs."""
        rows = self._database.rows(_BY_INODE, (source, _signed(ino), _signed(dev)))
        if session_hint:
            rows += self._database.rows(_BY_HINT, (source, storable(session_hint)))
        return list({row[0]: _known(row) for row in rows}.values())

    def rename(self, log_id: int, path: Path) -> bool:
        """Give a log, with its cursors and findings, a new path. False if a log with a history of its own is there."""
        place = _split(path)
        with self._database.transaction():
            other = self._database.row("SELECT id FROM logs WHERE directory = ? AND name = ?", place)
            if other and other[0] != log_id and not self._forget_untouched(other[0]):
                return False
            self._database.run(
                "UPDATE logs SET directory = ?, name = ?, gone_scans = 0, gone_at = NULL,"
                " skip = CASE WHEN skip <> 'gone' THEN skip END WHERE id = ?",
                (*place, log_id),
            )
        return True

    def directories(self, source: str) -> dict[str, int]:
        """The directories that hold logs of a source, with how many are there (gone ones do not count)."""
        rows = self._database.rows(
            "SELECT directory, count(*) FROM logs WHERE source = ? AND gone_at IS NULL GROUP BY directory", (source,)
        )
        return {os.fsdecode(directory): count for directory, count in rows}

    def path(self, log_id: int) -> Path | None:
        """Where the log is, or was; None for an unknown id."""
        row = self._database.row("SELECT directory, name FROM logs WHERE id = ?", (log_id,))
        return _path(row[0], row[1]) if row else None

    def _forget_untouched(self, log_id: int) -> bool:
        touched = self._database.row(
            "SELECT 1 FROM cursors WHERE log_id = :id UNION ALL SELECT 1 FROM sightings WHERE log_id = :id LIMIT 1",
            {"id": log_id},
        )
        if touched:
            return False
        self._database.run("DELETE FROM logs WHERE id = ?", (log_id,))
        return True


def signed_stat(stat: Stat) -> tuple[int, int, int, int, int]:
    """A stat as columns. SQLite's integers end at 2**63 - 1; inodes of some file systems do not."""
    return _signed(stat.dev), _signed(stat.ino), stat.size, stat.mtime_ns, stat.ctime_ns


def _signed(number: int) -> int:
    return (number + _SIGN) % _WORD - _SIGN


def _split(path: Path) -> tuple[bytes, bytes]:
    directory, name = os.path.split(os.fsencode(path))
    return directory, name


def _path(directory: bytes, name: bytes) -> Path:
    return Path(os.fsdecode(os.path.join(directory, name)))  # noqa: PTH118 - pathlib knows no bytes


def _stat(dev: int, ino: int, size: int, mtime_ns: int, ctime_ns: int) -> Stat:
    return Stat(dev % _WORD, ino % _WORD, size, mtime_ns, ctime_ns)


def _known(row: Row) -> KnownLog:
    return KnownLog(
        id=row[0],
        source=row[1],
        directory=row[2],
        name=row[3],
        session_hint=row[4],
        stat=_stat(*row[5:10]),
        changed_at=row[10],
        pending_since=row[11],
        distilled_size=row[12],
        turn=Turn(row[13]) if row[13] else None,
        skip=Skip(row[14]) if row[14] else None,
        gone_scans=row[15],
    )


def _pending(row: Row) -> PendingLog:
    return PendingLog(
        id=row[0],
        source=row[1],
        path=_path(row[2], row[3]),
        session_hint=row[4],
        session=row[5],
        machine_run=bool(row[6]),
        stat=_stat(*row[7:12]),
        changed_at=row[12],
        pending_since=row[13],
        distilled_size=row[14],
        turn=Turn(row[15]) if row[15] else None,
        skip=Skip(row[16]) if row[16] else None,
        not_before=row[17],
        attempts=row[18],
        owed_since=row[19],
        deaths=row[20],
    )

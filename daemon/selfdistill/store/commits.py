"""Committing: findings, sightings, cursor, catalogue and lessons of one piece of work, all or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, field

from selfdistill.errors import CursorMoved
from selfdistill.model import Cursor, Finding, Mishap, Outcome, Records, Session, Skip, Stat
from selfdistill.store.catalogue import signed_stat
from selfdistill.store.chances import add_chances, forget_chances
from selfdistill.store.cursors import load_cursor, same_place, save_cursor
from selfdistill.store.deriving import Committed, Deriving
from selfdistill.store.findings import Key, Place, ProjectRef, add, forget, prepare, tidy
from selfdistill.store.mishaps import Trouble, add_mishaps, forget_mishaps
from selfdistill.store.part import storable

if TYPE_CHECKING:
    from selfdistill.store.database import Row

_MOST_TYPES: Final = 32

_FACTS: Final = """
    UPDATE logs SET
        session = CASE WHEN :session = '' THEN session ELSE :session END,
        counts_for = :counts_for,
        project = :project,
        parent_session = CASE WHEN :session = '' THEN parent_session ELSE :parent END,
        machine_run = :machine_run,
        dev = :dev, ino = :ino, size = :size, mtime_ns = :mtime_ns, ctime_ns = :ctime_ns,
        pending_since = :pending_since,
        distilled_size = :distilled_size,
        skip = :skip, skip_detail = '',
        owed_since = CASE WHEN EXISTS (
            SELECT 1 FROM cursors WHERE log_id = :id AND distiller <> :distiller AND offset >= :offset
        ) THEN NULL ELSE coalesce(owed_since, max(:began, coalesce((
            SELECT max(updated_at) FROM cursors WHERE log_id = :id AND distiller <> :distiller
        ), 0))) END,
        records_total = records_total * :keep + :total,
        records_known = records_known * :keep + :known,
        records_ignored = records_ignored * :keep + :ignored,
        records_unknown = records_unknown * :keep + :unknown,
        records_undecodable = records_undecodable * :keep + :undecodable,
        unknown_types = :unknown_types,
        outcome = coalesce(:outcome, outcome),
        failure_probability = coalesce(:failure_probability, failure_probability)
    WHERE id = :id
"""

# After a second distiller's last piece: what the first has read beyond it came while it was at work.
_SHOWN: Final = """
    UPDATE logs SET owed_since = CASE WHEN EXISTS (
        SELECT 1 FROM cursors WHERE log_id = :id AND distiller <> :distiller AND offset > :offset
    ) THEN :now END
    WHERE id = :id
"""

_types = msgspec.json.Decoder(dict[str, int])


class Commit(Struct, frozen=True):
    """One distiller's work on one log, from the cursor `before` to the cursor `after`.

    `records` counts what was read for this commit; the store adds up. `stat` is what the log looked like when it was
    opened. `findings` come with their project and whether they are provisional (their episode is still open).
    `restart`: drop all earlier sightings of this log and distiller first (a new generation, `run --again`).
    `complete`: all that the log held at `stat` has been read, so that it waits no longer, unless it was seen to change
    meanwhile. `chances`: for each delivery that the reader knew of, how often a call went well after it where the
    lesson's failure could have come. `second`: another distiller has told the catalogue of this log, so only findings
    and cursor are written.
    """

    log_id: int
    distiller: str
    version: int
    before: Cursor | None
    after: Cursor
    session: Session
    records: Records
    stat: Stat
    findings: Sequence[tuple[ProjectRef, Finding, bool]] = ()
    mishaps: Sequence[tuple[ProjectRef, Mishap]] = ()
    restart: bool = False
    complete: bool = True
    outcome: Outcome | None = None
    skip: Skip | None = None
    second: bool = False
    project: str = ""  # that the session began in; "" if nothing of the log is learned
    chances: Mapping[int, int] = field(default_factory=dict)


class _Log(Struct, frozen=True):
    """What the catalogue says of the log that a commit is about."""

    session: str
    hint: str
    directory: bytes
    name: bytes
    stat: tuple[int, int, int, int, int]
    changed_at: float
    pending_since: float | None
    distilled_size: int
    skip: str | None
    gone: bool
    unknown_types: bytes | None


class _Touched(Struct):
    """What is to be derived anew: keys, merge keys that may have lost what made them global, failures by cause."""

    keys: set[Key] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    troubles: set[Trouble] = field(default_factory=set)


class Commits(Deriving):
    """Committing."""

    def commit(self, work: Commit) -> Committed:
        """Write the work and derive the lessons it touches, in one transaction; what that did to the lessons.

        Raises CursorMoved, with nothing written, if the stored cursor is no longer `work.before`: another process
        was first. Inside `transaction()` only this commit is undone then, the others stay.
        """
        with self._database.transaction():
            touched = _Touched()
            self._write(work, touched)
            return self._derive_all(touched.keys, touched.doubtful, touched.troubles)

    def commit_all(self, works: Sequence[Commit]) -> tuple[list[bool], Committed]:
        """Write several works in one transaction and derive each lesson they touch once, not once for each work.

        Gives for each work whether it was written (not if its cursor has moved), and what all did to the lessons.
        """
        written: list[bool] = []
        with self._database.transaction():
            touched = _Touched()
            for work in works:
                try:
                    self._write(work, touched)
                except CursorMoved:
                    written.append(False)
                else:
                    written.append(True)
            return written, self._derive_all(touched.keys, touched.doubtful, touched.troubles, once=True)

    def _write(self, work: Commit, touched: _Touched) -> None:
        """Write one work, all or nothing, and note what it touches; raises CursorMoved."""
        seen = prepare(work.distiller, work.findings)
        with self._database.transaction():
            log = self._log(work)
            generation = work.after.generation if work.restart else None
            dropped = forget(self._database, work.log_id, work.distiller, generation=generation)
            place = _place(work, log)
            troubles = forget_mishaps(self._database, place) if work.restart else set()
            raised = {item.finding.merge_key for item in seen if add(self._database, item, place)}
            troubles |= add_mishaps(self._database, work.mishaps, place)
            told = set() if work.second else self._judge(work, place)
            for finding_id in dropped:
                tidy(self._database, finding_id)
            save_cursor(self._database, work.log_id, work.distiller, work.after, self._clock())
            if not work.second:
                self._database.run(_FACTS, _facts(work, log, place))
            elif work.complete:
                self._database.run(_SHOWN, {**_reach(work), "now": self._clock()})
        touched.keys |= told
        touched.keys.update((item.project, item.finding.merge_key) for item in seen)
        touched.keys.update(dropped.values())
        touched.doubtful |= raised | {merge_key for _, merge_key in dropped.values()}
        touched.troubles |= troubles

    def _judge(self, work: Commit, place: Place) -> set[Key]:
        """What this log tells of the lessons that were told in its session; their keys."""
        if work.restart:
            forget_chances(self._database, place)
        return add_chances(self._database, work.chances, place)

    def _log(self, work: Commit) -> _Log:
        """The log's row; raises CursorMoved if it, or the cursor that the work starts from, is gone."""
        row = self._database.row(
            "SELECT session, session_hint, directory, name, dev, ino, size, mtime_ns, ctime_ns, changed_at,"
            " pending_since, distilled_size, skip, gone_at, unknown_types FROM logs WHERE id = ?",
            (work.log_id,),
        )
        stored = load_cursor(self._database, work.log_id, work.distiller)
        if row is None or not same_place(stored, work.before):
            raise CursorMoved(
                f"Log {work.log_id} in {self._database.path} was distilled by another process first.",
                "Nothing to do: this work is dropped.",
            )
        return _log_of(row)


def _log_of(row: Row) -> _Log:
    return _Log(
        row[0], row[1], row[2], row[3], row[4:9], row[9], row[10], row[11], row[12], row[13] is not None, row[14]
    )


def _place(work: Commit, log: _Log) -> Place:
    """Where and by whom the findings of this commit were seen."""
    session = counted_session(work.session, log.session, log.hint, log.directory + b"/" + log.name)
    return Place(work.log_id, work.distiller, work.version, work.after.generation, session)


def counted_session(session: Session, known: str, hint: str, path: bytes) -> str:
    """The session that a log counts for: the one that spawned a machine run, else its own, else `hint` or its path.

    `known` is what an earlier reading told.
    """
    spawned_by = session.parent if session.machine_run else ""
    named = storable(spawned_by or session.id) or known or hint
    return named or storable(os.fsdecode(path))


def _facts(work: Commit, log: _Log, place: Place) -> dict[str, object]:
    """The catalogue's columns after this commit.

    If the log was seen again after it was opened (its ctime moved on), that newer stat stays, and the log stays
    pending since that change.
    """
    seen_later = log.stat[4] > work.stat.ctime_ns
    pending_since = log.pending_since
    if work.complete:
        pending_since = log.changed_at if seen_later and pending_since is not None else None
    distilled_size = work.stat.size if work.complete else min(work.after.proof.offset, work.stat.size)
    dev, ino, size, mtime_ns, ctime_ns = log.stat if seen_later else signed_stat(work.stat)
    records = work.records
    return {
        "session": storable(work.session.id),
        "parent": storable(work.session.parent),
        "counts_for": place.session,
        "project": storable(work.project),
        "machine_run": work.session.machine_run,
        "dev": dev,
        "ino": ino,
        "size": size,
        "mtime_ns": mtime_ns,
        "ctime_ns": ctime_ns,
        "pending_since": pending_since,
        "distilled_size": distilled_size if work.restart else max(distilled_size, min(log.distilled_size, size)),
        "skip": Skip.GONE.value if log.gone and log.skip == Skip.GONE else work.skip,
        "keep": not work.restart,
        "total": records.total,
        "known": records.known,
        "ignored": records.ignored,
        "unknown": records.unknown,
        "undecodable": records.undecodable,
        "unknown_types": _merged_types(records, None if work.restart else log.unknown_types),
        **_reach(work),
        "began": log.changed_at if log.pending_since is None else log.pending_since,
        "outcome": work.outcome.verdict.value if work.outcome else None,
        "failure_probability": work.outcome.failure_probability if work.outcome else None,
    }


def _reach(work: Commit) -> dict[str, object]:
    """How far which distiller has come in which log."""
    return {"id": work.log_id, "distiller": work.distiller, "offset": work.after.proof.offset}


def _merged_types(records: Records, known: bytes | None) -> bytes | None:
    """The names of unknown records so far, at most 32 (the first that came)."""
    if not records.unknown_types:
        return known
    counts = _types.decode(known) if known else {}
    for name, count in records.unknown_types.items():
        if name in counts or len(counts) < _MOST_TYPES:
            counts[storable(name)] = counts.get(name, 0) + count
    return msgspec.json.encode(counts)

"""The store as the rest of the program sees it: all parts over one connection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

import msgspec

from selfdistill.errors import InternalError
from selfdistill.store.accounts import Accounts
from selfdistill.store.backups import is_due, make_backup
from selfdistill.store.catalogue import Catalogue
from selfdistill.store.census import Census
from selfdistill.store.checkouts import Checkouts
from selfdistill.store.commits import Commits
from selfdistill.store.cues import NO_CUES, Cueing, fill
from selfdistill.store.cursors import Cursors
from selfdistill.store.deliveries import Deliveries
from selfdistill.store.feedback import Feedback
from selfdistill.store.imports import Imports
from selfdistill.store.lessons import Lessons
from selfdistill.store.opening import close_database, damaged, open_database
from selfdistill.store.part import never_ignored
from selfdistill.store.purging import Purging
from selfdistill.store.rehearsal import open_rehearsal
from selfdistill.store.rescue import MEMO, Rescue
from selfdistill.store.runs import Runs
from selfdistill.store.sealing import complaint
from selfdistill.store.search import Search
from selfdistill.store.snapshot import Snapshot, open_snapshot
from selfdistill.store.uses import Uses
from selfdistill.store.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    from selfdistill.model import Lesson, StoredFinding
    from selfdistill.store.lessons import Derive, Ignored
    from selfdistill.store.rulings import Verdict


class Store(
    Catalogue,
    Purging,
    Census,
    Cursors,
    Checkouts,
    Commits,
    Verdicts,
    Imports,
    Lessons,
    Feedback,
    Deliveries,
    Uses,
    Search,
    Runs,
    Accounts,
):
    """One open store. Any thread may use it, one at a time; other processes may write beside it.

    Every method raises `errors.StoreError`s: StoreFull and StoreBusy are temporary and leave nothing behind.
    """

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        derive: Derive,
        clock: Callable[[], float] = time.time,
        busy_seconds: float = 5.0,
        ignored: Ignored = never_ignored,
        cueing: Cueing = NO_CUES,
    ) -> Self:
        """Open the store for writing; made, checked and brought to the newest schema as need be.

        `derive` makes lessons of findings; `ignored` says which are archived for being ignored; `cueing` when each
        applies, so that hooks can tell it; `clock` gives seconds since the epoch; `busy_seconds` is how long to wait
        for another process's transaction. The directory must be there.
        """
        database = open_database(path, clock=clock, busy_seconds=busy_seconds)
        try:
            fill(database, cueing)
        except BaseException:
            database.close()
            raise
        return cls(database, derive=derive, clock=clock, ignored=ignored, cueing=cueing)

    @classmethod
    def open_read_only(cls, path: Path, *, clock: Callable[[], float] = time.time) -> Self | None:
        """Open the store for reading, without a trace in its directory; None if there is none.

        Raises StoreError if its schema is older (`selfdistill run` upgrades it). Not for a process that writes the
        same store.
        """
        database = open_snapshot(path)
        return None if database is None else cls(database, derive=_no_derive, clock=clock, cueing=NO_CUES)

    @classmethod
    def rehearsal(
        cls,
        path: Path,
        *,
        derive: Derive,
        clock: Callable[[], float] = time.time,
        ignored: Ignored = never_ignored,
    ) -> Self:
        """Open a copy of the store in memory, for a dry run; empty if there is no store. Nothing is written anywhere.

        Raises what `open_read_only` raises.
        """
        return cls(open_rehearsal(path, clock=clock), derive=derive, clock=clock, cueing=NO_CUES, ignored=ignored)

    def transaction(self) -> AbstractContextManager[None]:
        """Make several calls one transaction: all or nothing, and one wait for the disk (3 ms) instead of many."""
        return self._database.transaction()

    def foreign_writes(self) -> int:
        """A number that is another one as soon as anybody else has written to the store."""
        row = self._database.row("PRAGMA data_version")
        return int(row[0]) if row else 0

    def writes(self) -> tuple[int, int]:
        """Another value as soon as anything was written to the store, by anybody."""
        return self.foreign_writes(), self._database.changes

    def last_rescue(self) -> Rescue | None:
        """What was done about a damaged store the last time there was one."""
        body = self.memo(MEMO)
        return msgspec.json.decode(body, type=Rescue) if body else None

    def refuse_condemned(self) -> None:
        """Raise StoreCorrupt if somebody has found the store damaged since it was opened."""
        found = complaint(self._database.path)
        if found:
            raise damaged(self._database.path, found)

    def back_up_if_due(self, between: Callable[[], None] = lambda: None) -> Path | None:
        """Copy the store into `backups/` if a day has gone by and there is news; the copy, or None.

        `between` is called after each 8 MiB or so; what it raises ends the copying.
        """
        if not is_due(self._database, self._clock()):
            return None
        return make_backup(self._database, self._clock(), between)

    def abandon(self) -> None:
        """Close without a clean mark, after an error: the next start checks. Twice does nothing."""
        if not self._closed:
            self._closed = True
            self._database.close()

    def check(self) -> None:
        """Raise StoreCorrupt unless every page is sound (`quick_check`: 1.5 s for a gigabyte)."""
        self._database.check()

    def close(self) -> None:
        """Close cleanly: the journal is folded in, and the next start need not check the file. Twice does nothing."""
        if self._closed:
            return
        self._closed = True
        if isinstance(self._database, Snapshot):
            self._database.close()
        else:
            close_database(self._database, self._clock)

    _closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()  # the first error must not be hidden by one of tidying up


def _no_derive(findings: Sequence[StoredFinding], verdict: Verdict | None) -> Lesson | None:
    """Stand in for deriving in a store that is only read: nothing may ask for it."""
    raise InternalError(f"A store opened for reading was asked to derive from {len(findings)} findings ({verdict}).")

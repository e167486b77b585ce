"""One run: which sessions are due, their way through the pipeline, and the manifest that says what was done."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.errors import InternalError, LogProblem
from selfdistill.ingest.naming import printable
from selfdistill.ingest.settling import Pending, is_due, looked_at
from selfdistill.model import Cursor, Skip, Turn
from selfdistill.service.order import SUSPECT_DEATHS, session_of, suspects_last
from selfdistill.service.run_report import Report

if TYPE_CHECKING:
    from selfdistill.config import Settling
    from selfdistill.service.isolating import Isolation
    from selfdistill.service.pipeline import Pipeline, Reading
    from selfdistill.service.reading_ahead import ReadAhead
    from selfdistill.store import PendingLog, Store

BATCH_SECONDS: Final = 1.0  # of reading in one transaction, while committing takes no longer
LONGEST_BATCH_SECONDS: Final = 20.0
COMMITS_PER_SECOND: Final = 200  # more readings than that come from a thousand small sessions: they wait in memory
COMMIT_SHARE: Final = 4  # reading goes on for so many times as long as the last commit took
MAX_ATTEMPTS: Final = 3  # then a session is quarantined
QUARANTINE_SECONDS: Final = 7 * 24 * 3600.0
RETRY_SECONDS: Final = 60.0
# What a bug of ours on one odd log looks like: that log is set aside with the reason, the others go on.
BUGS: Final = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    AssertionError,
    InternalError,
)


class Suspect(Exception):
    """A process has ended over this log: it is to be read in one of its own."""


class Selection(Struct, frozen=True):
    """What a run is asked to do. `limit` counts sessions, newest first; 0 is all. Named paths need not have settled."""

    limit: int = 20
    since: float | None = None  # only logs modified at or after this time
    project: str = ""
    paths: tuple[Path, ...] = ()
    again: bool = False
    dry_run: bool = False


class Progress(Struct):
    """How far a run has come, for whoever draws it."""

    done: int = 0
    total: int = 0
    bytes_read: int = 0
    lessons: int = 0
    path: str = ""


class Run:
    """One pass over logs. Commits in batches; a log that another process took meanwhile is dropped."""

    def __init__(
        self,
        store: Store,
        pipeline: Pipeline,
        settling: Settling,
        clock: Callable[[], float] = time.time,
        ahead: ReadAhead | None = None,
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._settling = settling
        self._clock = clock
        self._reader = ahead or pipeline
        self._isolation: Isolation | None = None
        self._suspects: set[int] = set()  # logs over which a process has ended in this run
        self._tell: Callable[[], None] = lambda: None
        self._ahead = ahead
        self._batch: list[Reading] = []
        self._batch_began = 0.0  # monotonic
        self._batch_seconds = BATCH_SECONDS
        self._quiet: Mapping[int, Pending] = {}
        self._taken: set[tuple[str, str]] = set()
        self.not_looked_at: Sequence[PendingLog] = ()  # the limit was reached before them
        self.report = Report.empty()
        self.distilled: list[int] = []  # logs that were committed
        self.unsettled: dict[int, Turn] = {}  # log -> how its turn stands
        self.not_before: dict[int, float] = {}  # log -> seconds until another try makes sense
        self.unfinished: set[int] = set()  # logs whose last line was not whole yet, nor at rest

    def process(
        self,
        logs: Sequence[PendingLog],
        selection: Selection,
        on_progress: Callable[[Progress], None] | None = None,
        quiet: Mapping[int, Pending] | None = None,
    ) -> None:
        """Distill these logs; what happens is in `report`.

        `quiet` is what a watching caller knows of how long each log has rested, on the monotonic clock; without it
        the modification times say.
        """
        self._quiet = quiet or {}
        logs = suspects_last(logs)
        if self._ahead:
            harmless = [log for log in logs if log.deaths < SUSPECT_DEATHS]
            self._ahead.expect(harmless, lambda log: self._at_rest(log, selection), again=selection.again)
        progress = Progress(total=len(logs))
        self._tell = lambda: self._tell_of(progress, on_progress)
        try:
            self._process(logs, selection, progress)
        finally:
            self._pipeline.attempts.rest()
            if self._isolation:
                self._isolation.close()

    def _process(self, logs: Sequence[PendingLog], selection: Selection, progress: Progress) -> None:
        """Distill the logs, telling of each piece."""
        for position, log in enumerate(logs):
            if self._is_enough(log, selection):
                self.not_looked_at = logs[position:]
                break
            progress.path = str(log.path)
            if log.deaths:
                self.flush()  # should it take us along, nothing else is lost
            for _ in self._pieces(log, selection):  # a huge log has many: whoever watches sees it go on
                self._tell()
            progress.done += 1
            self._tell()
        self.flush()

    def _tell_of(self, progress: Progress, on_progress: Callable[[Progress], None] | None) -> None:
        """Let whoever draws it know how far the run has come."""
        progress.bytes_read = self.report.bytes_read
        progress.lessons = len(self.report.created)
        if on_progress:
            on_progress(progress)

    def _is_enough(self, log: PendingLog, selection: Selection) -> bool:
        """Whether the limit of sessions is reached and this log begins another one.

        Only here where a project is asked for: which one a session belongs to, only reading it tells.
        """
        full = selection.project and 0 < selection.limit <= len(self._taken)
        return bool(full) and session_of(log) not in self._taken

    def _pieces(self, log: PendingLog, selection: Selection) -> Iterator[None]:
        """One log, piece by piece; stops after each that is not the last.

        Each is committed before the next is read; sessions of one log, of which there may be a thousand, in batches.
        """
        again, before = selection.again, None
        while True:
            reading = self._read(log, selection, again=again, before=before)
            if reading is None:
                return
            self._taken.add(session_of(log))
            if not self._batch:
                self._batch_began = time.monotonic()
            self._batch.append(reading)
            self.report.bytes_read += reading.bytes_read
            before = reading.work.after
            if self._is_full():
                self.flush()
            if reading.work.complete:
                return
            if not reading.more:  # no next piece, but a last line that is still being written
                self.unfinished.add(log.id)
                return
            if not reading.ends_session:
                self.flush()
            if not self._batch:
                before = None  # where the store has come: another process may have been first
            again = False
            yield

    def _is_full(self) -> bool:
        """Whether it is time to commit: a commit derives each touched lesson from all its findings, however many."""
        full = len(self._batch) >= COMMITS_PER_SECOND * self._batch_seconds
        return full or time.monotonic() - self._batch_began >= self._batch_seconds

    def _rest(self, log: PendingLog) -> tuple[float, Pending]:
        """The time now and how long a log has rested, on one clock."""
        if log.id in self._quiet:
            return time.monotonic(), self._quiet[log.id]
        now = self._clock()
        changed_at = min(log.changed_at, now)
        # What waits longest counts too: a log that never rests would starve (ingest/settling.py).
        since = changed_at if log.pending_since is None else min(log.pending_since, changed_at)
        return now, Pending(changed_at, since)

    def _at_rest(self, log: PendingLog, selection: Selection) -> bool:
        """Whether a log has been quiet long enough for its last line to be whole without a newline."""
        now, pending = self._rest(log)
        settled = pending.over or now - pending.changed_at >= self._settling.settle_seconds
        return bool(selection.paths) or settled

    def _read(
        self, log: PendingLog, selection: Selection, *, again: bool, before: Cursor | None = None
    ) -> Reading | None:
        """What to commit of a log now; None if there is nothing, and the ledger says why."""
        named = bool(selection.paths)
        left = (log.not_before or 0.0) - self._clock()  # more than we ever set: the clock was set back
        if log.deaths >= SUSPECT_DEATHS and not named and 0 < left <= QUARANTINE_SECONDS:
            self.not_before[log.id] = left  # it may have grown, but it ends whoever reads it
            return None
        now, pending = self._rest(log)
        at_rest = self._at_rest(log, selection)
        try:
            reading = self._attempt(log, again=again, at_rest=at_rest, before=before)
        except LogProblem as problem:
            self._refuse(log, problem)
            return None
        except BUGS as error:
            self._fail(log, what_broke(error))
            return None
        if reading is None:
            return None
        if selection.project and not self._belongs(reading, selection.project):
            return None
        settled = named or not reading.work.complete or is_due(looked_at(pending, reading.turn), self._settling, now)
        if not settled:
            self._unsettled(log, reading)
        return reading if settled else None

    def _attempt(self, log: PendingLog, *, again: bool, at_rest: bool, before: Cursor | None) -> Reading | None:
        """Read a log where it can do no harm; None if it has done some, which is noted."""
        if log.deaths < SUSPECT_DEATHS and log.id not in self._suspects:
            try:
                return self._reader.read(log, again=again, at_rest=at_rest, before=before)
            except Suspect:
                self._suspects.add(log.id)
        return self._isolated(log, again=again, at_rest=at_rest, before=before)

    def _isolated(self, log: PendingLog, *, again: bool, at_rest: bool, before: Cursor | None) -> Reading | None:
        """Read a log in a process of its own; None if that showed what is wrong with it."""
        # 2 MiB that a daemon at rest does not need.
        from selfdistill.service.isolating import Broken, Isolation, Poison  # noqa: PLC0415

        self.flush()
        self._isolation = self._isolation or Isolation(self._store, self._pipeline)
        try:
            return self._isolation.read(log, again=again, at_rest=at_rest, before=before, waiting=self._tell)
        except Broken as broken:
            self._fail(log, str(broken))
        except Poison as poison:
            self._condemn(log, str(poison))
        return None

    def flush(self) -> None:
        """Commit what was read."""
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        begun = time.monotonic()
        written, changed = self._store.commit_all([reading.work for reading in batch])
        for reading, was_written in zip(batch, written, strict=True):
            if was_written:  # else another process was first
                self._count(reading)
                self.distilled.append(reading.log.id)
                # Nobody needs to wait for quiet before asking the model.
                if reading.turn is Turn.ENDED or self._rest(reading.log)[1].over:
                    self._store.note_turn(reading.log.id, Turn.ENDED)
        self._batch_seconds = min(max(BATCH_SECONDS, COMMIT_SHARE * (time.monotonic() - begun)), LONGEST_BATCH_SECONDS)
        self.report.learn(
            {lesson.id: lesson for lesson in changed.created}, {lesson.id: lesson for lesson in changed.merged}
        )

    def _count(self, reading: Reading) -> None:
        """Take what was written into the report."""
        work = reading.work
        if work.skip is not None:
            self.report.skipped[work.skip] += 1
            return
        if work.before is not None and not reading.bytes_read and not work.restart:
            return  # a log that was only touched, or is named once more
        self.report.sessions.add(reading.session)
        path = printable(reading.log.path)  # a name that is not UTF-8 fits into no JSON
        if path not in self.report.paths[-1:]:
            self.report.paths.append(path)

    def _belongs(self, reading: Reading, project: str) -> bool:
        """Whether a log's session worked in a project (its key, or a directory in it)."""
        session = reading.work.session
        return project in {session.cwd, self._pipeline.project(session.cwd, session.repository_url).key}

    def _unsettled(self, log: PendingLog, reading: Reading) -> None:
        """Not yet: nothing is committed, and how the turn stands is remembered for the next look."""
        self.report.skipped[Skip.UNSETTLED] += 1
        self.unsettled[log.id] = reading.turn
        with self._store.transaction():
            self._store.note_turn(log.id, reading.turn)
            self._store.skip(log.id, Skip.UNSETTLED, f"the turn is {reading.turn.value}")

    def _refuse(self, log: PendingLog, problem: LogProblem) -> None:
        """A log that cannot be read now: in the ledger, tried again when it changes."""
        self.report.skipped[problem.reason] += 1
        if problem.reason == Skip.UNSETTLED:
            self.not_before[log.id] = 0.0
        elif problem.reason != Skip.GONE:
            self.report.failed[str(log.path)] = problem.message
        self._store.skip(log.id, Skip(problem.reason), problem.message)

    def _fail(self, log: PendingLog, what: str) -> None:
        """A log that breaks us: tried again a few times, then quarantined with its reason."""
        self.report.failed[str(log.path)] = what
        attempts = self._store.fail(log.id, self._pipeline.distiller, what, self._clock() + RETRY_SECONDS)
        self.not_before[log.id] = RETRY_SECONDS
        if attempts >= MAX_ATTEMPTS:
            self.not_before[log.id] = QUARANTINE_SECONDS
            self._store.skip(log.id, Skip.QUARANTINED, what)

    def _condemn(self, log: PendingLog, how: str) -> None:
        """A log that ends whatever process reads it: quarantined at once, also when it grows."""
        session = log.session or log.session_hint
        what = f"{how}; `selfdistill retry {session or '--all'}` tries once more, in a process of its own"
        self.report.failed[str(log.path)] = what
        self.not_before[log.id] = QUARANTINE_SECONDS
        until = self._clock() + QUARANTINE_SECONDS
        with self._store.transaction():
            self._store.note_death(log.id, self._pipeline.distiller, what, until, least=SUSPECT_DEATHS)
            self._store.skip(log.id, Skip.QUARANTINED, what)


def what_broke(error: Exception) -> str:
    """Which error came from where, without its words: they may hold what a log says."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}"

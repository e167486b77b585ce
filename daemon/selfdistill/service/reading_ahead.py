"""Reading on several cores: other processes read and distill ahead, this one takes their readings in order and commits.

A `ReadAhead` gives exactly what `Pipeline.read` gives. Whatever does not fit what is asked for by the time it is asked
for (another cursor, a project that was decided otherwise, a session that lessons were told in) is read here instead, so
that the result never depends on who has read; but not the log over which a process has died (`isolating`). Processes,
not threads: parsing holds the interpreter's lock. The store stays one process's: the others know neither its path nor
its lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Final

from selfdistill.service.backfill import is_plain
from selfdistill.service.pipeline import Reading, Stopped
from selfdistill.service.reading_owner import PATIENCE_SECONDS, STOP_LOOK_SECONDS, Helper, holds, session_of
from selfdistill.service.reading_process import Job, Reply, Start
from selfdistill.service.running import Suspect

if TYPE_CHECKING:
    from selfdistill.config import Config
    from selfdistill.model import Cursor
    from selfdistill.service.pipeline import Pipeline
    from selfdistill.store import PendingLog, Store

MOST_AHEAD: Final = 64  # logs whose readings may wait in memory


class ReadAhead:
    """Gives readings in the order in which they are asked for, read ahead by helpers. Not for several threads."""

    def __init__(
        self, store: Store, pipeline: Pipeline, helpers: Sequence[Helper], stopped: Callable[[], bool]
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._helpers = list(helpers)
        self._stopped = stopped
        self._expected: deque[PendingLog] = deque()
        self._again = False
        self._at_rest: Callable[[PendingLog], bool] = lambda _: True
        self._jobs: dict[int, Job] = {}  # by log: what was handed over for it
        self._replies: dict[int, deque[Reply]] = {}  # by number of the job
        self._count = 0
        self._current = 0  # the log that was asked for last
        self._deadly: set[int] = set()  # logs over which a helper has ended, or hung
        self.read_here = 0  # readings that were made here although a helper had been asked

    def expect(self, logs: Sequence[PendingLog], at_rest: Callable[[PendingLog], bool], *, again: bool) -> None:
        """Begin with the logs that will be asked for, in that order; those that are no plain files are left out."""
        for log_id in self._jobs.keys() - {log.id for log in logs}:
            self._forget(log_id)
        self._expected = deque(log for log in logs if is_plain(log) and log.id not in self._jobs)
        self._at_rest, self._again = at_rest, again
        self._hand_out()

    def read(self, log: PendingLog, *, again: bool, at_rest: bool, before: Cursor | None) -> Reading:
        """What `Pipeline.read` gives, which also says what is raised; and Stopped.

        Raises Suspect if the process that was to read this log has ended over it: then it is not read here.
        """
        if log.id != self._current:
            self._forget(self._current)
            self._current = log.id
        before = before or self._store.cursor(log.id, self._pipeline.distiller)
        if log.id not in self._jobs and is_plain(log):
            self._submit(self._job(log, before, again=again, at_rest=at_rest), patiently=True)
        job = self._jobs.get(log.id)
        reply = self._reply(job) if job else None
        self._hand_out()
        if job and reply and reply.last:
            self._forget(log.id)
        if log.id in self._deadly or (reply and reply.exhausted):
            self._forget(log.id)
            raise Suspect
        fits = job and job.at_rest == at_rest and reply and holds(self._store, reply, again=again, before=before)
        if job and reply and reply.reading and fits and not self._differs(job, reply.reading):
            return reply.reading
        self.read_here += job is not None
        self._forget(log.id)
        return self._pipeline.read(log, again=again, at_rest=at_rest, before=before)

    def _differs(self, job: Job, reading: Reading) -> bool:
        """Whether something was purged since the job was handed over, or told in the session, which no helper knows."""
        if self._store.purged_until(job.log.id) != job.purged:
            return True
        return bool(self._store.told_in(session_of(reading)))

    def _job(self, log: PendingLog, before: Cursor | None, *, again: bool, at_rest: bool) -> Job:
        """What to hand over for a log."""
        self._count += 1
        return Job(self._count, log, before, self._store.purged_until(log.id), again, at_rest)

    def _hand_out(self) -> None:
        """Keep the helpers busy, without running too far ahead."""
        while self._expected and len(self._jobs) < MOST_AHEAD:
            log = self._expected[0]
            before = self._store.cursor(log.id, self._pipeline.distiller)
            job = self._job(log, before, again=self._again, at_rest=self._at_rest(log))
            if not self._submit(job):
                return
            self._expected.popleft()

    def _submit(self, job: Job, *, patiently: bool = False) -> bool:
        """Hand a job to a helper that takes it; wait for one if `patiently`. False if none does."""
        while self._helpers:
            for helper in sorted(self._helpers, key=lambda one: len(one.jobs)):
                if not helper.takes(job):
                    continue
                try:
                    helper.send(job)
                except ConnectionError:
                    helper.jobs.pop(job.number)  # it never got so far
                    self._lost(helper)
                    break
                self._jobs[job.log.id] = job
                self._replies[job.number] = deque()
                return True
            else:
                if not patiently:
                    return False
                self._receive()
        return False

    def _reply(self, job: Job) -> Reply | None:
        """The next reply to a job; None if its helper is gone."""
        replies = self._replies[job.number]
        while not replies and any(job.number in helper.jobs for helper in self._helpers):
            self._receive()
            self._hand_out()
        return replies.popleft() if replies else None

    def _receive(self) -> None:
        """Take in what helpers have sent, after waiting a moment for it; raises Stopped."""
        if self._stopped():
            raise Stopped
        ready = wait([helper.connection for helper in self._helpers], STOP_LOOK_SECONDS)
        silent = [one for one in self._helpers if one.jobs and one.connection not in ready]
        for helper in [one for one in silent if one.silent_seconds > PATIENCE_SECONDS]:
            self._lost(helper)
        for helper in [one for one in self._helpers if one.connection in ready]:
            try:
                reply = helper.receive()
            except (EOFError, ConnectionError):
                self._lost(helper)
                continue
            if reply.number in self._replies:  # else nobody wants it any more
                self._replies[reply.number].append(reply)

    def _lost(self, helper: Helper) -> None:
        """A helper has died or hangs: the log it was at is suspect, what else it owed is read here."""
        if helper.ready:  # else it is the process that could not start
            self._deadly.update(job.log.id for job in list(helper.jobs.values())[:1])
        helper.close()
        self._helpers.remove(helper)

    def _forget(self, log_id: int) -> None:
        """Nothing more of what was handed over for a log is wanted."""
        job = self._jobs.pop(log_id, None)
        if job is not None:
            self._replies.pop(job.number, None)


@contextmanager
def reading_ahead(
    store: Store,
    pipeline: Pipeline,
    config: Config,
    processes: int,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[ReadAhead]:
    """Start that many processes to read ahead; none of them outlives the block."""
    helpers: list[Helper] = []
    start = Start(config, store.projects())
    try:
        helpers += [Helper(start) for _ in range(processes)]
        ahead = ReadAhead(store, pipeline, helpers, stopped)
        yield ahead
    finally:
        for helper in helpers:
            helper.close()

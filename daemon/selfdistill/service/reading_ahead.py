"""Reading on several cores: other processes read and distill ahead, this one takes their readings in order and commits.

A `ReadAhead` gives exactly what `Pipeline.read` gives. Whatever does not fit what is asked for by the time it is asked
for (another cursor, a project that was decided otherwise, a session that lessons were told in, a process that died) is
read here instead, so that the result never depends on who has read. Processes, not threads: parsing holds the
interpreter's lock. The store stays one process's: the others know neither its path nor its lock.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Final

from selfdistill.service.backfill import is_plain
from selfdistill.service.pipeline import Reading, Stopped
from selfdistill.service.reading_process import Job, Reply, Start
from selfdistill.store import counted_session

if TYPE_CHECKING:
    from selfdistill.config import Config
    from selfdistill.model import Cursor
    from selfdistill.service.pipeline import Pipeline
    from selfdistill.store import PendingLog, Store

MOST_AHEAD: Final = 64  # logs whose readings may wait in memory
MOST_QUEUED: Final = 2  # jobs at one process: one that it works at, one that it finds when that is done
STOP_LOOK_SECONDS: Final = 0.2  # between two looks at whether we are to end
_COMMAND: Final = "from selfdistill.service.reading_process import main; main()"


class Helper:
    """One process that reads for us; `jobs` are those it still owes replies to."""

    def __init__(self, start: Start) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # -P: the directory we were started in is no place to import from.
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-P", "-c", _COMMAND, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        self.connection = Connection(ours.detach())
        self.jobs: dict[int, Job] = {}
        self.connection.send(start)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def takes(self, job: Job) -> bool:
        """Whether a job can be sent without waiting: a large one only to a process that listens, lest both sides send.

        A job without a cursor is smaller than what the kernel keeps for a reader that is busy.
        """
        return not self.jobs or (job.before is None and len(self.jobs) < MOST_QUEUED)

    def send(self, job: Job) -> None:
        """Hand a job over."""
        self.jobs[job.number] = job
        self.connection.send(job)

    def close(self) -> None:
        """End the process at once; what it was reading is read again."""
        self.connection.close()
        self._process.kill()
        self._process.wait()


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
        self.read_here = 0  # readings that were made here although a helper had been asked

    def expect(self, logs: Sequence[PendingLog], at_rest: Callable[[PendingLog], bool], *, again: bool) -> None:
        """Begin with the logs that will be asked for, in that order; those that are no plain files are left out."""
        for log_id in self._jobs.keys() - {log.id for log in logs}:
            self._forget(log_id)
        self._expected = deque(log for log in logs if is_plain(log) and log.id not in self._jobs)
        self._at_rest, self._again = at_rest, again
        self._hand_out()

    def read(self, log: PendingLog, *, again: bool, at_rest: bool, before: Cursor | None) -> Reading:
        """What `Pipeline.read` gives, which also says what is raised; and Stopped."""
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
        if reply and reply.reading and self._holds(reply, again=again, at_rest=at_rest, before=before, job=job):
            return reply.reading
        self.read_here += job is not None
        self._forget(log.id)
        return self._pipeline.read(log, again=again, at_rest=at_rest, before=before)

    def _holds(self, reply: Reply, *, again: bool, at_rest: bool, before: Cursor | None, job: Job | None) -> bool:
        """Whether a reading is the one that reading here and now would give."""
        reading = reply.reading
        if (
            reading is None
            or job is None
            or (job.at_rest, reading.work.restart, reading.work.before) != (at_rest, again, before)
        ):
            return False
        if any(self._store.remember_project(cwd, *decided) != decided for cwd, decided in reply.decided.items()):
            return False
        log = reading.log
        if self._store.purged_until(log.id) != job.purged:
            return False
        session = counted_session(reading.work.session, log.session, log.session_hint, os.fsencode(log.path))
        return not self._store.told_in(session)

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
        for helper in [one for one in self._helpers if one.connection in ready]:
            try:
                reply: Reply = helper.connection.recv()
            except (EOFError, ConnectionError):
                self._lost(helper)
                continue
            if reply.last:
                helper.jobs.pop(reply.number, None)
            if reply.number in self._replies:  # else nobody wants it any more
                self._replies[reply.number].append(reply)

    def _lost(self, helper: Helper) -> None:
        """A helper has died (killed, out of memory, broken by a log): what it owed is read here."""
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

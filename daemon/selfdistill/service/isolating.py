"""Reading a log over which processes have died, in a process of its own: its end is a verdict, and harms no other."""

from __future__ import annotations

import signal
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Final, NoReturn

from selfdistill.errors import LogProblem
from selfdistill.model import Skip
from selfdistill.service.pipeline import Reading, Stopped
from selfdistill.service.reading_owner import PATIENCE_SECONDS, STOP_LOOK_SECONDS, Helper, holds
from selfdistill.service.reading_process import READING_SECONDS, Failure, Job, Reply, Start, memory_limit_bytes

if TYPE_CHECKING:
    from selfdistill.model import Cursor
    from selfdistill.service.pipeline import Pipeline
    from selfdistill.store import PendingLog, Store

# Others end processes so, not what they read: a service manager that stops us, a terminal that is closed.
_NO_VERDICT: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGIO})
_TRIES: Final = 2  # another process may decide on a project between our start and our answer


class Poison(Exception):
    """Reading this log ends whatever process reads it; the text says how."""


class Broken(Exception):
    """Reading failed as it may fail in any process; the text says which error came from where."""


class Isolation:
    """Reads one log after the other, each in a process of its own that knows neither store nor lock."""

    def __init__(self, store: Store, pipeline: Pipeline) -> None:
        self._store = store
        self._pipeline = pipeline
        self._helper: Helper | None = None
        self._log_id = 0
        self._count = 0

    def read(
        self, log: PendingLog, *, again: bool, at_rest: bool, before: Cursor | None, waiting: Callable[[], None]
    ) -> Reading:
        """What `Pipeline.read` gives; `waiting` is called several times in a second until then.

        Raises what it raises and Poison, Broken, Stopped; LogProblem also where that process could not do its work.
        """
        before = before or self._store.cursor(log.id, self._pipeline.distiller)
        for _ in range(_TRIES):
            reply = self._ask(log, before, again=again, at_rest=at_rest, waiting=waiting)
            if reply.failure:
                _fail(reply.failure)
            if reply.exhausted:
                self.close()
                mib = memory_limit_bytes(self._pipeline.config.limits) >> 20
                raise Poison(f"reading it takes more than {mib:,} MiB of memory")
            if reply.reading and holds(self._store, reply, again=again, before=before):
                return reply.reading
            self.close()
        raise _unread(log, "its project is being decided by another process")

    def close(self) -> None:
        """End the process, if there is one."""
        if self._helper is not None:
            self._helper.close()
            self._helper = None

    def _ask(
        self, log: PendingLog, before: Cursor | None, *, again: bool, at_rest: bool, waiting: Callable[[], None]
    ) -> Reply:
        """The reply of the log's own process."""
        self._count += 1
        job = Job(self._count, log, before, self._store.purged_until(log.id), again, at_rest, most_readings=1)
        try:
            helper = self._own_helper(log)
            helper.send(job)
            return self._await(helper, job, waiting)
        except (OSError, EOFError):
            raise self._verdict(log) from None

    def _own_helper(self, log: PendingLog) -> Helper:
        """The process that has read the log's earlier pieces, else a new one."""
        if self._helper is None or self._log_id != log.id:
            self.close()
            start = Start(self._pipeline.config, self._store.projects(), self._store.told())
            self._helper, self._log_id = Helper(start), log.id
        return self._helper

    def _await(self, helper: Helper, job: Job, waiting: Callable[[], None]) -> Reply:
        """Wait for the reply without sleeping through anything; raises OSError or EOFError if none comes."""
        while helper.silent_seconds < PATIENCE_SECONDS:
            if self._pipeline.stopped():
                raise Stopped
            waiting()
            if wait([helper.connection], STOP_LOOK_SECONDS) and (reply := helper.receive()).number == job.number:
                return reply
        raise TimeoutError

    def _verdict(self, log: PendingLog) -> Exception:
        """What it means that no reply has come."""
        helper, self._helper = self._helper, None
        if helper is None:
            return _unread(log, "no process could be started for it")
        code = helper.ended() if helper.silent_seconds < PATIENCE_SECONDS else None
        helper.close()
        if not helper.ready:
            return _unread(log, f"the process that was to read it could not start (exit code {code})")
        if code is not None and -code in _NO_VERDICT:
            return _unread(log, f"the process that read it was ended with {signal.Signals(-code).name}")
        return Poison(_how(code))


def _how(code: int | None) -> str:
    """How a process ended that was reading: its exit code, minus a signal, or None if it never did."""
    if code is None:
        return f"reading it gave nothing for {PATIENCE_SECONDS:.0f} s"
    if code == -signal.SIGPROF:
        return f"reading it takes more than {READING_SECONDS:.0f} s of processor time"
    if code == -signal.SIGKILL:
        return "the process that read it was killed (SIGKILL), as the kernel does when memory runs out"
    if code < 0:
        return f"the process that read it was ended with {_signal_name(-code)}"
    return f"the process that read it ended with exit code {code}"


def _signal_name(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _fail(failure: Failure) -> NoReturn:
    """Raise what was raised there."""
    if failure.reason:
        raise LogProblem(failure.message, failure.advice, reason=failure.reason)
    raise Broken(failure.message)


def _unread(log: PendingLog, why: str) -> LogProblem:
    """It was not read, and not for its own sake."""
    return LogProblem(f"{log.path} was not read: {why}.", "It is tried again later.", reason=Skip.UNREADABLE)

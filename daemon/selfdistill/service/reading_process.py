"""A process that reads logs for the one that owns the store: jobs in, readings out, nothing written anywhere.

Started by `reading_ahead`, with one end of a socket pair. It knows the store only as a copy of which directory belongs
to which project; whatever it had to decide itself it tells, and the owner checks that before it commits.

A log may crash it, hang it or fill its memory: it has limits for each reading, and ends with its owner in any case.
"""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from selfdistill.config import Config
from selfdistill.distill.heuristic.distiller import HeuristicDistiller
from selfdistill.errors import LogProblem
from selfdistill.model import Cursor
from selfdistill.privacy.redaction import Redactor
from selfdistill.service.pipeline import BYTES_PER_MIB, Pipeline, Reading, Stopped
from selfdistill.service.running import BUGS, what_broke
from selfdistill.sources import SOURCES
from selfdistill.store import Mark, PendingLog, storable

if TYPE_CHECKING:
    from selfdistill.config import Limits
    from selfdistill.store import ToldLesson

READING_SECONDS: Final = 120.0  # of processor time for one reading, which takes 2 s if it has all of its 64 MiB to read
# Of addresses; the worst line of 32 MiB that we could think of (brackets) takes 1,440 MiB, one of test output 310.
MEMORY_MIB: Final = 1024
MEMORY_PER_LINE_MIB: Final = 24  # for each MiB that a line may be long
# A huge log's pieces that are read before the owner has asked for them: their readings wait in its memory.
JOB_BYTES: Final = 256 * BYTES_PER_MIB
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")  # anybody may raise their own
JOB_READINGS: Final = 200  # a log may hold a thousand small sessions


class Job(Struct, frozen=True):
    """What to read: the arguments of `Pipeline.read`, with the cursor and the mark of a purge as the store has them."""

    number: int
    log: PendingLog
    before: Cursor | None
    purged: Mark | None
    again: bool
    at_rest: bool
    most_readings: int = JOB_READINGS


class Failure(Struct, frozen=True):
    """Why there is no reading: the word, message and advice of a LogProblem, or which error came from where.

    `reason` is "" for such an error.
    """

    message: str
    reason: str = ""
    advice: str = ""


class Reply(Struct, frozen=True):
    """One reading of a job, and the projects of directories that were decided for it: cwd -> (key, root, remote).

    No reading: here it failed. `last`: nothing more of this job comes. `exhausted`: there was not enough memory for it.
    Number 0 only says that the process is ready.
    """

    number: int
    reading: Reading | None
    decided: dict[str, tuple[str, str, str]]
    last: bool
    failure: Failure | None = None
    exhausted: bool = False


class Start(Struct, frozen=True):
    """What a process is told first. `projects`: those that were decided, as in `Reply`. `told`: lessons by session."""

    config: Config
    projects: dict[str, tuple[str, str, str]]
    told: dict[str, list[ToldLesson]] = field(default_factory=dict)


class Copy:
    """What reading needs of a store, as of the start; new decisions are noted in `decided`."""

    def __init__(self, projects: Mapping[str, tuple[str, str, str]], told: Mapping[str, Sequence[ToldLesson]]) -> None:
        self._projects = dict(projects)
        self._told = told
        self.purged: Mark | None = None
        self.decided: dict[str, tuple[str, str, str]] = {}

    def cursor(self, _log_id: int, _distiller: str) -> Cursor | None:
        """None: a job that names no cursor begins a log."""
        return None

    def project(self, cwd: str) -> tuple[str, str, str] | None:
        """(key, root, remote) of the project of a directory; None if not decided yet."""
        return self._projects.get(storable(cwd))

    def remember_project(self, cwd: str, key: str, root: str, remote: str) -> tuple[str, str, str]:
        """Note a decision for the owner; what was decided."""
        decision = (storable(key), storable(root), storable(remote))
        self._projects[storable(cwd)] = self.decided[cwd] = decision
        return decision

    def told_in(self, session: str) -> list[ToldLesson]:
        """What was told in a session; nothing where readings of such a session are not used (`reading_ahead`)."""
        return list(self._told.get(storable(session), ()))

    def counted_session_of(self, _log_id: int) -> str:
        """Unknown; only looking back asks, and that is the owner's."""
        return ""

    def purged_until(self, _log_id: int) -> Mark | None:
        """What the job says of the log that is read."""
        return self.purged


class Reader:
    """Answers jobs."""

    def __init__(self, start: Start, parent: int) -> None:
        self._copy = Copy(start.projects, start.told)
        redact = Redactor(start.config.privacy.extra_patterns)
        sources = {source.name: source for source in SOURCES}
        # Asked before each line: who lost its parent ends, whatever it is reading (getppid takes 50 ns).
        self._pipeline = Pipeline(
            self._copy, HeuristicDistiller(redact), sources, start.config, lambda: os.getppid() != parent
        )

    def replies(self, job: Job) -> Iterator[Reply]:
        """The readings of a job, one after the other; raises Stopped when the parent is gone."""
        before, again, read = job.before, job.again, 0
        self._copy.purged = job.purged
        for count in range(1, job.most_readings + 1):
            reading = self._reading(job, before, again=again)
            if isinstance(reading, Reply):
                yield reading
                return
            read += reading.bytes_read
            last = reading.work.complete or not reading.more or read >= JOB_BYTES or count == job.most_readings
            decided, self._copy.decided = self._copy.decided, {}
            yield Reply(job.number, reading, decided, last)
            if last:
                return
            before, again = reading.work.after, False

    def _reading(self, job: Job, before: Cursor | None, *, again: bool) -> Reading | Reply:
        """One reading, or why there is none; what was decided on the way is decided again then."""
        try:
            with limited(READING_SECONDS):
                return self._pipeline.read(job.log, again=again, at_rest=job.at_rest, before=before)
        except LogProblem as problem:
            failure = Failure(problem.message, problem.reason, problem.advice)
        except BUGS as error:
            failure = Failure(what_broke(error))
        except MemoryError:
            return Reply(job.number, None, {}, last=True, exhausted=True)
        return Reply(job.number, None, {}, last=True, failure=failure)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Let the process be ended if the block takes more than so much processor time, even in a loop of a C library."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)


def confine(lifeline: int) -> None:
    """Make signals do what they are to do here: end the process when its time is up or its owner is gone.

    The kernel sends SIGIO when the other end of `lifeline` is closed, by whatever death; no thread need run for that.
    (On macOS SIGIO does nothing by default: there it is seen at the next line, or when the time is up.)
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the owner decides what it means
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF, signal.SIGIO})
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold what people and agents said


def memory_limit_bytes(limits: Limits) -> int:
    """How much address space a reading may need."""
    return int((MEMORY_MIB + MEMORY_PER_LINE_MIB * limits.max_line_mib) * BYTES_PER_MIB)


def _bound_memory(limits: Limits) -> None:
    """Refuse more memory than any log should need, and be the first to go where the machine, or systemd, has less."""
    if sys.platform == "linux":  # macOS does not keep to it
        with suppress(OSError):
            _OOM_SCORE.write_text("1000")
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = memory_limit_bytes(limits)
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def serve(connection: Connection, parent: int) -> None:
    """Answer jobs until the owner closes the connection or dies."""
    try:
        start: Start = connection.recv()
        _bound_memory(start.config.limits)
        reader = Reader(start, parent)
        connection.send(Reply(0, None, {}, last=False))
        while True:
            for reply in reader.replies(connection.recv()):
                connection.send(reply)
    except (EOFError, ConnectionError, Stopped):
        return  # nothing is lost: the owner commits, and reads again what it has not got


def main() -> None:
    """The process: its arguments are the descriptors of socket and lifeline, and the number of the parent."""
    confine(int(sys.argv[2]))
    serve(Connection(int(sys.argv[1])), int(sys.argv[3]))

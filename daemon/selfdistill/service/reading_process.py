"""A process that reads logs for the one that owns the store: jobs in, readings out, nothing written anywhere.

Started by `reading_ahead`, with one end of a socket pair. It knows the store only as a copy of which directory belongs
to which project; whatever it had to decide itself it tells, and the owner checks that before it commits.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.config import Config
from selfdistill.distill.heuristic.distiller import HeuristicDistiller
from selfdistill.errors import LogProblem
from selfdistill.model import Cursor
from selfdistill.privacy.redaction import Redactor
from selfdistill.service.pipeline import BYTES_PER_MIB, Pipeline, Reading, Stopped
from selfdistill.service.running import BUGS
from selfdistill.sources import SOURCES
from selfdistill.store import Mark, PendingLog, storable

if TYPE_CHECKING:
    from selfdistill.store import ToldLesson

# A huge log's pieces that are read before the owner has asked for them: their readings wait in its memory.
JOB_BYTES: Final = 256 * BYTES_PER_MIB
JOB_READINGS: Final = 200  # a log may hold a thousand small sessions


class Job(Struct, frozen=True):
    """What to read: the arguments of `Pipeline.read`, with the cursor and the mark of a purge as the store has them."""

    number: int
    log: PendingLog
    before: Cursor | None
    purged: Mark | None
    again: bool
    at_rest: bool


class Reply(Struct, frozen=True):
    """One reading of a job, and the projects of directories that were decided for it: cwd -> (key, root, remote).

    No reading: the owner must read this itself, for here it failed. `last`: nothing more of this job comes.
    """

    number: int
    reading: Reading | None
    decided: dict[str, tuple[str, str, str]]
    last: bool


class Start(Struct, frozen=True):
    """What a process is told first. `projects`: those that were decided, as in `Reply`."""

    config: Config
    projects: dict[str, tuple[str, str, str]]


class Copy:
    """What reading needs of a store, as of the start; new decisions are noted in `decided`."""

    def __init__(self, projects: Mapping[str, tuple[str, str, str]]) -> None:
        self._projects = dict(projects)
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

    def told_in(self, _session: str) -> list[ToldLesson]:
        """Nothing: a reading of a session that was told anything is not used (`reading_ahead`)."""
        return []

    def counted_session_of(self, _log_id: int) -> str:
        """Unknown; only looking back asks, and that is the owner's."""
        return ""

    def purged_until(self, _log_id: int) -> Mark | None:
        """What the job says of the log that is read."""
        return self.purged


class Reader:
    """Answers jobs."""

    def __init__(self, start: Start, parent: int) -> None:
        self._copy = Copy(start.projects)
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
        for count in range(1, JOB_READINGS + 1):
            try:
                reading = self._pipeline.read(job.log, again=again, at_rest=job.at_rest, before=before)
            except (LogProblem, *BUGS):
                # The owner meets the same and says so; what was decided on the way is decided there again.
                yield Reply(job.number, None, {}, last=True)
                return
            read += reading.bytes_read
            last = reading.work.complete or not reading.more or read >= JOB_BYTES or count == JOB_READINGS
            decided, self._copy.decided = self._copy.decided, {}
            yield Reply(job.number, reading, decided, last)
            if last:
                return
            before, again = reading.work.after, False


def serve(connection: Connection, parent: int) -> None:
    """Answer jobs until the owner closes the connection or dies."""
    try:
        reader = Reader(connection.recv(), parent)
        while True:
            for reply in reader.replies(connection.recv()):
                connection.send(reply)
    except (EOFError, ConnectionError, Stopped):
        return  # nothing is lost: the owner commits, and reads again what it has not got


def main() -> None:
    """The process: its arguments are the descriptor of the socket and the number of the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the owner decides what it means
    serve(Connection(int(sys.argv[1])), int(sys.argv[2]))

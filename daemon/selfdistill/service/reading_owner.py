"""The owner's side of a process that reads logs: starting it, handing jobs over, hearing how it ended.

An owner that is killed takes it along at once, whatever it is doing: it holds one end of a pipe whose other end only
its owner has, and asks the kernel for a signal when that is closed (`reading_process.confine`).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final

from selfdistill.service.reading_process import Job, Reply, Start
from selfdistill.store import counted_session

if TYPE_CHECKING:
    from selfdistill.model import Cursor
    from selfdistill.service.pipeline import Reading
    from selfdistill.store import Store

MOST_QUEUED: Final = 2  # jobs at one process: one that it works at, one that it finds when that is done
STOP_LOOK_SECONDS: Final = 0.2  # between two looks at whether we are to end
PATIENCE_SECONDS: Final = 600.0  # without a word from a process that owes one: it hangs where no signal has ended it
_END_SECONDS: Final = 2.0  # a killed process ends at once, but for one that waits for a dead disk or server
_COMMAND: Final = "from selfdistill.service.reading_process import main; main()"


class Helper:
    """One process that reads for us; `jobs` are those it still owes replies to, the one it is at first.

    Raises OSError if no process can be started.
    """

    def __init__(self, start: Start) -> None:
        ours, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        self.ready = False  # it has told that it can read
        self._heard_at = time.monotonic()
        self.jobs: dict[int, Job] = {}
        try:
            words = [str(theirs.fileno()), str(lifeline), str(os.getpid())]
            # -P: the directory we were started in is no place to import from.
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-P", "-c", _COMMAND, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), lifeline),
            )
        except OSError:
            ours.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(lifeline)
        self.connection = Connection(ours.detach())
        with suppress(ConnectionError):  # it has ended already: that is seen where its first word is awaited
            self.connection.send(start)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def silent_seconds(self) -> float:
        """How long ago it was last heard of, or got work when it had none."""
        return time.monotonic() - self._heard_at

    def takes(self, job: Job) -> bool:
        """Whether a job can be sent without waiting: a large one only to a process that listens, lest both sides send.

        A job without a cursor is smaller than what the kernel keeps for a reader that is busy.
        """
        return not self.jobs or (job.before is None and len(self.jobs) < MOST_QUEUED)

    def send(self, job: Job) -> None:
        """Hand a job over; raises ConnectionError if it has ended."""
        if not self.jobs:
            self._heard_at = time.monotonic()
        self.jobs[job.number] = job
        self.connection.send(job)

    def receive(self) -> Reply:
        """Its next word; raises EOFError or ConnectionError if it has ended."""
        reply: Reply = self.connection.recv()
        self.ready, self._heard_at = True, time.monotonic()
        if reply.last:
            self.jobs.pop(reply.number, None)
        return reply

    def ended(self) -> int | None:
        """How a process that has closed its connection ended: its exit code, or minus a signal; None if it did not."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(_END_SECONDS)
        return None

    def close(self) -> None:
        """End the process at once; what it was reading is read again. Twice does nothing."""
        if self._lifeline < 0:
            return
        self.connection.close()
        self._process.kill()
        os.close(self._lifeline)
        self._lifeline = -1
        self.ended()


def holds(store: Store, reply: Reply, *, again: bool, before: Cursor | None) -> bool:
    """Whether a reading begins where it was to begin, and decided on projects as the store has it."""
    reading = reply.reading
    if reading is None or (reading.work.restart, reading.work.before) != (again, before):
        return False
    return all(store.remember_project(cwd, *decided) == decided for cwd, decided in reply.decided.items())


def session_of(reading: Reading) -> str:
    """The session that a reading counts for."""
    log = reading.log
    return counted_session(reading.work.session, log.session, log.session_hint, os.fsencode(log.path))

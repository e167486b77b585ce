"""The daemon's main thread: lock, signals, supervision. It sleeps; the worker works.

The heartbeat and systemd's watchdog are fed only while the worker ticks, so they prove work and not merely a loop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from selfdistill.errors import (
    AlreadyRunning,
    CannotCreate,
    InternalError,
    SelfdistillError,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
)
from selfdistill.service.asker import AskerThread
from selfdistill.service.pausing import PAUSE_SECONDS
from selfdistill.service.reporting import without_store
from selfdistill.service.status import State, write
from selfdistill.service.worker import Worker

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from selfdistill.service.assembly import Assembly
    from selfdistill.service.lifecycle import DaemonLock, Notifier, Signals

HEARTBEAT_SECONDS: Final = 60.0
STUCK_SECONDS: Final = 900.0  # no tick for so long: the worker hangs, and the supervisor shall start us anew
STOP_SECONDS: Final = 4.0  # SIGTERM to exit is promised within 5
# A call gives up within 0.25 s. What takes longer is the SDK's import (3 s) or the resolution of a name (30 s or more):
# neither can be interrupted, nor has either anything to finish, for the store knows what was about to be asked. So the
# thread, a daemon thread with a store connection of its own, is left behind and ends with the process.
ASKER_STOP_SECONDS: Final = 1.5
MAX_RESTARTS: Final = 3
RESTART_WINDOW_SECONDS: Final = 600.0


class Daemon:
    """Runs a worker until a signal; restarts it up to three times in ten minutes."""

    def __init__(
        self,
        assembly: Callable[[Callable[[], bool]], Assembly],
        lock: DaemonLock,
        notifier: Notifier,
        signals: Signals,
        log: FilteringBoundLogger,
    ) -> None:
        self._assemble = assembly
        self._lock = lock
        self._notifier = notifier
        self._signals = signals
        self._log = log
        self._failure: BaseException | None = None
        self._worker_ended = False  # said by its thread, which lives for a moment after that
        self._restarts: list[float] = []
        self._paused: type[SelfdistillError] | None = None
        self._told_ready = False

    def run(self) -> int:
        """Work until asked to stop; the exit code. The lock is held by the caller."""
        code = None
        while code is None:
            code = self._live()
        return code

    def _live(self) -> int | None:
        """One worker's life: an exit code, or None for another worker."""
        born: list[Worker] = []
        try:
            assembly = self._assemble(lambda: bool(born) and born[0].stopping)
        except (StoreFull, StoreBusy) as problem:
            return self._sit_out(problem)
        self._paused = None
        worker = Worker(assembly, self._log, announce=self._notifier.status)
        born.append(worker)
        asker = AskerThread(assembly, self._log, worker.tell_soon)
        worker.on_distilled = asker.nudge
        thread = threading.Thread(target=self._body, args=(worker,), name="worker", daemon=True)
        self._failure = None
        self._worker_ended = False
        thread.start()
        asker.start()
        code = self._supervise(worker)
        if code is not None:
            self._notifier.stopping()
        asker.stop()
        worker.stop()
        end = time.monotonic() + STOP_SECONDS
        thread.join(STOP_SECONDS)  # an open transaction is rolled back by SQLite
        asker.join(min(ASKER_STOP_SECONDS, max(0.0, end - time.monotonic())))
        if thread.is_alive():
            # It may still hold the store, and two workers must never be; `status` sees that the process is gone.
            self._log.error("worker_does_not_end", waited_seconds=STOP_SECONDS)
            return InternalError.exit_code if code is None else code
        if code is not None:
            self._last_word(worker, code)
        if isinstance(self._failure, StoreCorrupt):
            assembly.store.abandon()
        else:
            assembly.store.close()
        return code

    def _body(self, worker: Worker) -> None:
        """The worker's thread: whatever ends it is kept for the supervisor."""
        try:
            worker.run(self._ready)
        except Exception as failure:  # noqa: BLE001 - a thread's body: told, counted and acted on by the main thread
            self._failure = failure
        finally:
            self._worker_ended = True
            self._signals.wake()

    def _ready(self) -> None:
        """Tell the supervisor once that start-up is done; a worker after the first one is no start-up."""
        if not self._told_ready:
            self._told_ready = True
            self._notifier.ready()

    def _supervise(self, worker: Worker) -> int | None:
        """Sleep, feed the watchdog, look after the worker. An exit code, or None to start the worker anew."""
        interval = min(self._notifier.watchdog_interval_seconds or HEARTBEAT_SECONDS, HEARTBEAT_SECONDS)
        told = time.monotonic()
        while True:
            stop = self._signals.wait(interval)
            if stop:
                return 0
            if self._signals.take_reload():
                self._log.info("reloading")
                return None
            if self._worker_ended:
                return self._judge_failure()
            if not self._lock.still_ours():
                self._failure = self._lost_lock()
                return self._failure.exit_code
            if time.monotonic() - worker.last_tick < self._patience(worker):
                self._notifier.watchdog()
                if time.monotonic() - told >= HEARTBEAT_SECONDS - 1:
                    told = time.monotonic()
                    worker.heartbeat()

    def _lost_lock(self) -> SelfdistillError:
        """Why this daemon ends: the exit code tells its supervisor whether it is to start another one."""
        what, advice = f"The lock file {self._lock.path} of this daemon was taken away", "This one ends to be safe."
        if self._lock.path.exists():
            return AlreadyRunning(f"{what}; another daemon may run.", advice)
        return CannotCreate(f"{what}, perhaps with its directory.", advice)

    def _patience(self, worker: Worker) -> float:
        """How long the worker may go without a tick: it sleeps until its next pass, and a huge log takes a while."""
        return STUCK_SECONDS + worker.longest_sleep

    def _sit_out(self, problem: SelfdistillError) -> int | None:
        """The store cannot be opened for now: a pause like any other. An exit code, or None to try again."""
        if type(problem) is not self._paused:  # once: the words name another temporary file each time
            self._paused = type(problem)
            self._log.warning("paused", reason=problem.message, advice=problem.advice)
        self._ready()
        self._notifier.status(f"{State.PAUSED}: {problem.message}")
        self._tell_without_store(State.PAUSED, problem)
        end = time.monotonic() + PAUSE_SECONDS
        while (left := end - time.monotonic()) > 0:
            if self._signals.wait(min(self._notifier.watchdog_interval_seconds or PAUSE_SECONDS, left)):
                self._notifier.stopping()
                self._tell_without_store(State.STOPPED, problem)
                return 0
            if self._signals.take_reload():
                return None
            if not self._lock.still_ours():
                return self._lost_lock().exit_code
            self._notifier.watchdog()
        return None

    def _tell_without_store(self, state: State, problem: SelfdistillError) -> None:
        """The status file, if the disk has room for so little."""
        try:
            write(without_store(state, problem), self._lock.path.with_name("status.toml"))
        except CannotCreate as refused:
            self._log.warning("status_not_written", error=refused.message)

    def _judge_failure(self) -> int | None:
        """What follows from the end of the worker: its own error's exit code, or another try."""
        failure = self._failure
        if isinstance(failure, StoreFull | StoreBusy):
            return self._sit_out(failure)
        # A damaged store is put right when the next worker opens it.
        if isinstance(failure, SelfdistillError) and not isinstance(failure, StoreCorrupt):
            self._log.error("worker_failed", error=failure.message, advice=failure.advice)
            return failure.exit_code
        now = time.monotonic()
        self._restarts = [when for when in self._restarts if now - when < RESTART_WINDOW_SECONDS] + [now]
        self._log.error("worker_crashed", error=repr(failure), restarts=len(self._restarts), exc_info=failure)
        return 70 if len(self._restarts) > MAX_RESTARTS else None

    def _last_word(self, worker: Worker, code: int) -> None:
        """What the status file says after we are gone."""
        failure = self._failure
        reason = failure.message if isinstance(failure, SelfdistillError) else repr(failure) if failure else ""
        advice = failure.advice if isinstance(failure, SelfdistillError) else ""
        try:
            worker.final_status(State.STOPPED if code == 0 else State.DEGRADED, reason, advice)
        except SelfdistillError as problem:
            self._log.error("status_not_written", error=problem.message)

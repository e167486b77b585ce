"""The thread that does the work: hints and scans in, due sessions through the pipeline, the status file out.

It alone touches the store. Each round asks the same three questions: what changed, what is due, when to wake next.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from selfdistill.errors import StoreBusy, StoreFull
from selfdistill.ingest.foreign import let_go
from selfdistill.ingest.settling import Pending, due_at, ended, first_sight, grown, is_due, looked_at
from selfdistill.ingest.watching import Watcher
from selfdistill.model import Turn
from selfdistill.service.backfill import ahead_for
from selfdistill.service.end_marks import has_ended
from selfdistill.service.order import rounds
from selfdistill.service.passes import Passes
from selfdistill.service.pausing import Pause
from selfdistill.service.pipeline import Stopped
from selfdistill.service.run_report import manifest
from selfdistill.service.running import Progress, Run, Selection
from selfdistill.service.session_ends import SessionEnds
from selfdistill.service.spool import take_in
from selfdistill.service.status import State
from selfdistill.service.telling import STATUS_SECONDS, Teller, Work

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from selfdistill.service.assembly import Assembly
    from selfdistill.service.reading_ahead import ReadAhead
    from selfdistill.service.watched import Change
    from selfdistill.store import PendingLog

PAGE_LOGS: Final = 2000  # logs whose facts are in memory at once
ROUND_LOGS: Final = 50  # logs between two looks at hints, clock and stop flag
MAX_TICK_SECONDS: Final = 1.0  # hints are taken in at most so often while agents write
CANARY_PATIENCE_SECONDS: Final = 2.0
BACKUP_LOOK_SECONDS: Final = 3600.0  # between two looks whether the store's daily copy is due
MAX_END_LOOKS: Final = 20  # changed logs in one round whose last 4 KiB are searched for an end mark


class Worker:
    """The worker's state; `run` is the body of its thread."""

    def __init__(
        self,
        assembly: Assembly,
        log: FilteringBoundLogger,
        *,
        announce: Callable[[str], None] = lambda _: None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._assembly = assembly
        self._log = log
        self._wall = wall
        self._teller = Teller(assembly, log, announce, wall)
        self._wake = threading.Condition()
        self._hinted = False
        self._stopping = False
        self._scanning = assembly.config.scanning
        self._settling = assembly.config.settling
        self._pending: dict[int, Pending] = {}
        self._retries: dict[int, float] = {}  # log -> monotonic time before which it is left alone
        self._watcher = Watcher(self._hint, assembly.places.hints)
        self._session_ends = SessionEnds(assembly.places.hints)
        self._health = self._watcher.health
        self._restarts = 0
        self._passes = Passes(self._scanning)
        self._busy_since = 0.0  # a short run is over before anybody could read "distilling"
        self._pause = Pause(log, assembly.places.state, assembly.config.limits.min_free_mib)
        self._backup_at = time.monotonic() + BACKUP_LOOK_SECONDS / 60  # not among the work of a start
        self._last_wall_minus_monotonic = wall() - time.monotonic()
        self.last_tick = time.monotonic()
        self.on_distilled: Callable[[], None] = lambda: None  # called when something was

    def tell_soon(self) -> None:
        """Another thread has changed what the status file says: write it anew."""
        self._teller.at_once()
        with self._wake:
            self._wake.notify_all()

    @property
    def stopping(self) -> bool:
        """Whether the worker was asked to end."""
        return self._stopping

    @property
    def longest_sleep(self) -> float:
        """How long the worker may sleep between two ticks, in seconds."""
        return self._passes.longest_sleep

    def stop(self) -> None:
        """End soon: after the line that is being read, nothing half-done committed."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()

    def run(self, on_ready: Callable[[], None]) -> None:
        """Work until stopped; raises what the supervisor must know of."""
        with suppress(OSError):  # no room for it: the watcher's health says that it is missing
            self._assembly.places.hints.mkdir(mode=0o700, exist_ok=True)
        self._write_status(State.STARTING)
        on_ready()
        roots = [root.path for root in self._assembly.survey.examine()]
        if self._scanning.watch:
            self._watcher.start(roots)
        self._assembly.survey.load_hot(self._wall() - self._scanning.hot_hours * 3600)
        self._passes.begin(time.monotonic())
        try:
            while not self._stopping:
                self._round()
        except Stopped:
            pass  # asked to end in the middle of a log: what was read since the last commit is read again
        finally:
            self._health = self._watcher.health  # what was true while it watched, for the last status
            self._watcher.stop(timeout=1.0)

    def final_status(self, state: State, reason: str = "", advice: str = "") -> None:
        """The last word in the status file."""
        self._write_status(state, reason, advice)

    def _hint(self) -> None:
        """Called in the watcher's threads."""
        with self._wake:
            self._hinted = True
            self._wake.notify_all()

    def _round(self) -> None:
        """What changed, what is due, when to wake next."""
        self.last_tick = time.monotonic()
        self._check_clocks()
        self._assembly.store.refuse_condemned()
        try:
            self._look()
            if self._may_distill():
                self._distill(self._due())
                self._back_up()
        except (StoreFull, StoreBusy) as problem:
            self._pause.begin(problem.message, problem.advice)
            self._teller.note_problem(problem.message, problem.advice)
            self._passes.put("full", self._pause.until)  # whatever was being taken in is not lost
        let_go()
        self._tell()
        self._sleep()

    def _load(self) -> None:
        """Take over what the store says is owed: by an earlier process, or by a `run` that did not come to its end."""
        wall, now = self._wall(), time.monotonic()
        for page in self._assembly.store.pending_pages(PAGE_LOGS):
            for log in page:
                if not log.not_before:
                    self._retries.pop(log.id, None)  # `selfdistill retry` has lifted it
                if log.id not in self._pending:
                    self._pending[log.id] = first_sight(log.changed_at, wall, now)
                    if log.not_before:
                        self._retries[log.id] = now + log.not_before - wall

    def _check_clocks(self) -> None:
        """Notice a jump of the wall clock or a resume from sleep: then look at everything again."""
        difference = self._wall() - time.monotonic()
        if abs(difference - self._last_wall_minus_monotonic) > self._scanning.directories_every_seconds:
            self._log.info("clock_jumped", seconds=round(difference - self._last_wall_minus_monotonic, 1))
            self._passes.put("full", 0.0)
        self._last_wall_minus_monotonic = difference

    def _look(self) -> None:
        """Hints and the passes that are due."""
        now = time.monotonic()
        survey = self._assembly.survey
        hints = self._watcher.take_hints()
        if hints.rescan_all:
            self._teller.soon()  # events were lost: the status says how often, also where nothing was missed
        if self._passes.is_due("full", now, hurry=hints.rescan_all):
            take_in(self._assembly)
            for changes in survey.full_pass_in_parts():
                self._take_in(changes)
                self._refuse_to_go_on()
            self._load()
            self._refresh_watches()
        elif hints.paths:
            self._take_in(survey.look(sorted(hints.paths)))
        if self._passes.is_due("directories", now):
            self._refresh_watches()
            self._take_in(survey.directory_pass())
        if self._passes.is_due("hot", now) and survey.hot:
            self._take_in(survey.hot_pass(self._wall() - self._scanning.hot_hours * 3600))
        self._take_ends(now)
        if self._passes.is_due("canary", now):
            self._test_watcher()

    def _take_ends(self, now: float) -> None:
        """Sessions that a hook says are over wait for nothing."""
        if self._session_ends.take(now):
            for log in self._assembly.store.pending():
                if self._session_ends.cover(log.path):
                    self._pending[log.id] = ended(self._pending.get(log.id) or Pending(now, now))

    def _refresh_watches(self) -> None:
        """Watch roots that appeared or were replaced."""
        if self._scanning.watch:
            self._watcher.refresh([root.path for root in self._assembly.survey.examine()])

    def _test_watcher(self) -> None:
        """A watcher can go deaf without any sign but silence: a file of ours must come back as an event."""
        self._refresh_watches()  # a root that was deleted has ended its thread, which is no deafness
        if not self._watcher.send_canary():
            return
        if self._watcher.canary_returned(CANARY_PATIENCE_SECONDS) and self._watcher.is_alive():
            return
        self._restarts += 1
        self._teller.at_once()
        self._log.warning("watcher_was_deaf", restarts=self._restarts)
        self._watcher.restart([root.path for root in self._assembly.survey.examine()])

    def _take_in(self, changes: Sequence[Change]) -> None:
        """New or grown logs: their quiet time begins."""
        wall, now = self._wall(), time.monotonic()
        for change in changes:
            known = self._pending.get(change.id)
            modified = change.stat.mtime_ns / 1e9
            seen = grown(known, now) if known else first_sight(modified, wall, now)
            self._pending[change.id] = ended(seen) if self._session_ends.cover(change.path) else seen
            self._retries.pop(change.id, None)  # what failed or is quarantined gets another chance when it changes
        for change in changes[:MAX_END_LOOKS]:
            if has_ended(change.path, self._assembly.sources[change.source]):
                self._pending[change.id] = looked_at(self._pending[change.id], Turn.ENDED)
        if changes:
            self._teller.soon()

    def _due(self) -> list[int]:
        """The logs whose time has come."""
        now = time.monotonic()
        return [
            log_id
            for log_id, pending in self._pending.items()
            if is_due(pending, self._settling, now) and self._retries.get(log_id, 0.0) <= now
        ]

    def _distill(self, due: list[int]) -> None:
        """Distill what is due, newest first, a few logs at a time."""
        if not due:
            return
        take_in(self._assembly)
        wanted = set(due)
        met: set[int] = set()
        for page in self._assembly.store.pending_pages(PAGE_LOGS):
            logs = [log for log in page if log.id in wanted]
            met.update(log.id for log in logs)
            self._distill_page(logs)
            if self._stopping:
                return
        for log_id in wanted - met:  # gone or done by others; what grew meanwhile comes back with its hint
            self._pending.pop(log_id, None)

    def _distill_page(self, logs: list[PendingLog]) -> None:
        """Distill these, with help if there is much of it."""
        with ahead_for(self._assembly, logs, self._alive_but_stopping) as ahead:
            for few in rounds(logs, ROUND_LOGS):
                if self._stopping:
                    return
                self._one_run(self._still_quiet(few), ahead)
                self._teller.at_once()
                self._working()

    def _still_quiet(self, logs: list[PendingLog]) -> list[PendingLog]:
        """Those that are due also after a last look: who was stopped, or hears late, takes what goes on for quiet."""
        changes = self._assembly.survey.look_once_more(logs)
        if not changes:
            return logs
        self._take_in(changes)
        due = set(self._due())
        return [log for log in logs if log.id in due]

    def _back_up(self) -> None:
        """Copy the store once a day, when nothing is due; a shutdown breaks it off."""
        if time.monotonic() < self._backup_at:
            return
        self._backup_at = time.monotonic() + BACKUP_LOOK_SECONDS
        if self._assembly.store.back_up_if_due(self._refuse_to_go_on) is not None:
            self._log.info("backed_up")

    def _refuse_to_go_on(self) -> None:
        if self._alive_but_stopping():
            raise Stopped

    def _alive_but_stopping(self) -> bool:
        """Whether we are to end, asked while something goes on that will not go on for ever."""
        self._working()
        return self._stopping

    def _one_run(self, logs: list[PendingLog], ahead: ReadAhead | None) -> None:
        """One run of the daemon, with its manifest."""
        started, self._busy_since = self._wall(), time.monotonic()
        run = Run(self._assembly.store, self._assembly.pipeline, self._settling, self._wall, ahead)
        run.process(logs, Selection(limit=0), self._working, quiet=self._pending)
        for log in logs:
            self._after(log, run)
        self._assembly.survey.stillness.doubt(log.path.parent for log in logs)
        if self._teller.note_failures(run.report.failed) or run.report.sessions:
            made = manifest(run.report, started=started, completed=self._wall(), dry_run=False, mode="heuristic")
            self._assembly.store.add_run(made)
            self._log.info("distilled", sessions=made.sessions_processed, lessons=made.lessons_generated)
        self._teller.note_successes(run.report.paths)
        self.on_distilled()

    def _working(self, _progress: Progress | None = None) -> None:
        """Between two logs: the worker is alive, and the status file tells how far it has come."""
        self.last_tick = time.monotonic()
        if self.last_tick - max(self._teller.written_at, self._busy_since) >= STATUS_SECONDS:
            self._tell(State.DISTILLING)

    def _after(self, log: PendingLog, run: Run) -> None:
        """What a log waits for now: nothing, its turn to close, or another try."""
        turn = run.unsettled.get(log.id)
        if turn is not None and log.id in self._pending:
            self._pending[log.id] = looked_at(self._pending[log.id], turn)
        elif log.id in run.not_before:
            self._retries[log.id] = time.monotonic() + max(MAX_TICK_SECONDS, run.not_before[log.id])
        elif log.id in run.unfinished and log.id in self._pending:
            # All but a last line is done: that line's wait begins now, else it would be due for ever.
            self._pending[log.id] = Pending(self._pending[log.id].changed_at, time.monotonic())
        else:
            self._pending.pop(log.id, None)
            self._retries.pop(log.id, None)

    def _may_distill(self) -> bool:
        """Whether there is no pause, or it is over; one that begins now is told."""
        before = self._pause.until
        over = self._pause.is_over()
        if self._pause.until != before:
            self._teller.note_problem(self._pause.reason, self._pause.advice)
        return over

    def _tell(self, state: State | None = None) -> None:
        """Write the status file if it is to say something new."""
        self._health = self._watcher.health
        if state is None:
            state, reason, advice = self._judge()
        else:
            reason = advice = ""
        if self._teller.has_news(state, reason):
            self._write_status(state, reason, advice)

    def _judge(self) -> tuple[State, str, str]:
        """What state this is between two rounds, why, and what to do about it."""
        if self._pause.reason:
            return State.PAUSED, self._pause.reason, self._pause.advice
        rescued = self._assembly.rescued
        if rescued is not None and self._pending:
            return State.DEGRADED, rescued.sentence(), rescued.advice()
        health = self._health
        any_roots = any(root.scannable for root in self._assembly.survey.roots.values())
        if self._scanning.watch and health.why and any_roots:
            return State.DEGRADED, health.why, health.advice
        return State.WATCHING, "", ""

    def _write_status(self, state: State, reason: str = "", advice: str = "") -> None:
        """The status file."""
        now = time.monotonic()
        due = sum(1 for pending in self._pending.values() if is_due(pending, self._settling, now))
        work = Work(settling=len(self._pending) - due, due=due, next_wake=self._next_work())
        self._teller.write(state, reason, advice, (self._health, self._restarts), work)

    def heartbeat(self) -> None:
        """Tell by the status file's time that we live; any thread."""
        self._teller.heartbeat()

    def _next_work(self) -> float:
        """When there will be something to do (monotonic)."""
        times = self._passes.times(without=() if self._assembly.survey.hot else ("hot",))
        if self._pause.reason:
            times.append(self._pause.until)
        for log_id, pending in self._pending.items():
            due = max(due_at(pending, self._settling), self._retries.get(log_id, 0.0))
            times.append(max(due, self._pause.until))
        return min(times, default=time.monotonic())

    def _sleep(self) -> None:
        """Until something is due or hinted; while agents write, hints are gathered for a moment."""
        tick = min(MAX_TICK_SECONDS, self._settling.settle_seconds / 10)
        with self._wake:
            timeout = min(self._next_work(), self._teller.due_at) - time.monotonic()
            if not self._hinted and not self._stopping and timeout > 0:
                self._wake.wait(timeout)
            hinted, self._hinted = self._hinted, False
            if hinted and not self._stopping and tick:
                self._wake.wait_for(lambda: self._stopping, tick)

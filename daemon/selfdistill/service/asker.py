"""The daemon's thread that asks the model: apart from the worker, so that a slow service holds nothing else up.

It has a store connection of its own, as a `run` beside the daemon has: every commit checks its cursor again under the
write lock, so that whoever comes second drops his work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from selfdistill.errors import SelfdistillError
from selfdistill.ingest.foreign import let_go
from selfdistill.service.assembly import Assembly, open_store
from selfdistill.service.model_access import load_patience, owed_logs
from selfdistill.service.model_pass import Asked, Desk, ask_model, usage_of
from selfdistill.service.run_report import Report, manifest, new_run_id

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from selfdistill.store import Store


LONGEST_SLEEP_SECONDS: Final = 600.0  # then key file, batches and money are looked at again
SHORTEST_SLEEP_SECONDS: Final = 2.0  # between two looks while sessions are being distilled
ROUND_LOGS: Final = 10  # calls between two manifests


class AskerThread:
    """Asks about what is owed until it is stopped. `told` is called, in this thread, when something has changed."""

    def __init__(self, assembly: Assembly, log: FilteringBoundLogger, told: Callable[[], None]) -> None:
        self._assembly = assembly
        self._log = log
        self._told = told
        self._stop = threading.Event()
        self._nudged = threading.Event()
        self._store: Store | None = None
        # A daemon thread: a name that is being looked up, or the SDK's import, cannot be interrupted.
        self._thread = threading.Thread(target=self._body, name="asker", daemon=True)

    def start(self) -> None:
        """Begin, unless the model is turned off."""
        if self._assembly.config.llm.mode != "off":
            self._thread.start()

    def nudge(self) -> None:
        """Something was distilled: there may be something to ask about."""
        self._nudged.set()

    def stop(self) -> None:
        """Give up what is under way and end."""
        self._stop.set()
        self._nudged.set()

    def join(self, seconds: float) -> None:
        """Wait for the end."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def _body(self) -> None:
        """The thread: whatever goes wrong in a round is told, and tried again later."""
        try:
            while not self._stop.is_set():
                wait = self.one_round()
                let_go()
                begun = time.monotonic()
                self._nudged.wait(wait)
                self._nudged.clear()
                self._stop.wait(max(0.0, SHORTEST_SLEEP_SECONDS - (time.monotonic() - begun)))
        finally:
            if self._store is not None:
                self._store.close()

    def one_round(self) -> float:
        """One round; how long to sleep then, in seconds."""
        try:
            return self._round()
        except SelfdistillError as problem:
            self._log.warning("model_not_asked", error=problem.message, advice=problem.advice)
        except Exception as failure:  # noqa: BLE001 - a thread's body: told, and the heuristics go on
            self._log.error("asker_failed", error=type(failure).__name__, exc_info=failure)
        return LONGEST_SLEEP_SECONDS

    def _round(self) -> float:
        """Ask about what is owed now; how long to sleep then."""
        assembly = self._assembly
        model = assembly.model
        if not model.access.usable:
            return LONGEST_SLEEP_SECONDS
        if self._store is None:
            self._store = open_store(assembly.places, assembly.clock)
        store, settings, now = self._store, assembly.config.llm, assembly.clock()
        due, later = owed_logs(store, settings, now)
        patient_until = load_patience(store).not_before
        if now < patient_until <= now + 2 * LONGEST_SLEEP_SECONDS and not store.unapplied_answers():
            return min(LONGEST_SLEEP_SECONDS, patient_until - now)
        if due or store.open_batches() or store.open_submissions(now) or store.unapplied_answers():
            started, run = now, new_run_id()
            desk = Desk(
                store, assembly.config, assembly.redact, model, self._stop, assembly.clock, assembly.places.attempts
            )
            asked = ask_model(desk, due[:ROUND_LOGS], run)
            self._record(asked, store, run, started)
            if len(due) > ROUND_LOGS and not asked.tally.left:
                return 0.0
        return min(LONGEST_SLEEP_SECONDS, max(0.0, later - assembly.clock()) if later else LONGEST_SLEEP_SECONDS)

    def _record(self, asked: Asked, store: Store, run: str, started: float) -> None:
        """Keep the manifest of a round that got answers, and tell of what changed."""
        tally = asked.tally
        usage = usage_of(store, run)
        if tally.sessions or usage.output_tokens:
            report = Report.empty()
            report.learn(tally.created, tally.merged)
            report.sessions |= tally.sessions
            report.failed.update(tally.failed)
            completed = self._assembly.clock()
            made = manifest(
                report, started=started, completed=completed, dry_run=False, mode="llm", run_id=run, usage=usage
            )
            store.add_run(made)
            self._log.info("asked", sessions=made.sessions_processed, lessons=made.lessons_generated)
        if tally.reason and not self._stop.is_set():
            self._log.warning("asking_ended", end=tally.end.value, reason=tally.reason, left=tally.left)
        self._told()

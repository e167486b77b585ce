"""What the worker tells the world: the status file, one line to the supervisor, and each failing log once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.errors import CannotCreate
from selfdistill.ingest.naming import printable
from selfdistill.service import reporting
from selfdistill.service.status import Problem, State, Watcher, moment, touch, write

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from selfdistill.ingest.hints import Health
    from selfdistill.service.assembly import Assembly

STATUS_SECONDS: Final = 2.0  # the file is written at most so often while agents write or sessions are distilled
FIGURES_LAST: Final = 20  # times as long as they took to count
QUICK_SECONDS: Final = 0.05  # figures that take longer to count are counted after the news was told, not before
FIGURES_OLD_SECONDS: Final = 3600.0  # after so long they are counted anew in any case: some tell of the last week
NEVER: Final = float("inf")


class Work(Struct, frozen=True):
    """How the work stands: logs that wait for quiet, logs whose time has come, when to wake next (monotonic)."""

    settling: int
    due: int
    next_wake: float


class Teller:
    """Keeps the status file true without writing it all the time. For one thread, but `heartbeat`, which any may call.

    `due_at` is when the file is to say something new (monotonic).
    """

    def __init__(
        self,
        assembly: Assembly,
        log: FilteringBoundLogger,
        announce: Callable[[str], None],
        wall: Callable[[], float],
    ) -> None:
        self._assembly = assembly
        self._log = log
        self._announce = announce
        self._wall = wall
        self._announced = ""
        self._started_at = wall()
        self._figures: reporting.Figures | None = None
        self._refresh_at = NEVER
        self._counted: object = None
        self._failed: dict[str, str] = {}  # log -> what was told of it already
        self.due_at = 0.0
        self.written_at = 0.0
        self.problem = self._complaint()

    def at_once(self) -> None:
        """Something happened that a person waits for."""
        self.due_at = 0.0

    def soon(self) -> None:
        """Something happened, as it does all the time."""
        self.due_at = min(self.due_at, self.written_at + STATUS_SECONDS)

    def has_news(self, state: State, reason: str) -> bool:
        """Whether the file is to be written now."""
        return time.monotonic() >= self.due_at or _line(state, reason) != self._announced

    def note_problem(self, message: str, advice: str) -> None:
        """From now on the file tells of this problem."""
        self.problem = Problem(message, advice, moment(self._wall()))
        self.at_once()

    def note_failures(self, failed: Mapping[str, str]) -> bool:
        """Tell of logs that cannot be distilled, each once for each reason; whether there was anything to tell."""
        new = {path: message for path, message in failed.items() if self._failed.get(path) != message}
        self._failed |= new
        for path, message in new.items():
            told = message if printable(path) in message else f"{printable(path)}: {message}"
            self.note_problem(told, "`selfdistill inspect` shows the log.")
            self._log.warning("log_failed", path=path, error=message)
        return bool(new)

    def note_successes(self, paths: list[str]) -> None:
        """These logs were distilled: should one fail again, that is news."""
        for path in paths:
            self._failed.pop(path, None)

    def write(self, state: State, reason: str, advice: str, watcher: tuple[Health, int], work: Work) -> None:
        """The status file, with the watcher's health and restarts; a full disk leaves the old one, which gets stale."""
        now = self.written_at = time.monotonic()
        self.due_at = NEVER
        health, restarts = watcher
        known = self._figures_for(state)
        wake = min(work.next_wake, self.due_at)
        status = reporting.snapshot(
            self._assembly,
            known=known,
            state=state,
            reason=reason,
            advice=advice,
            watcher=Watcher(mode=health.mode.value, reason=health.why, overflows=health.overflows, restarts=restarts),
            started_at=self._started_at,
            settling=work.settling,
            due=work.due,
            next_wake_at=self._wall() + max(0.0, wake - now),
            last_error=self.problem,
        )
        try:
            write(status, self._assembly.places.status)
        except CannotCreate as problem:
            self._log.error("status_not_written", error=problem.message)
        line = _line(state, reason)
        if line != self._announced:
            self._announced = line
            self._announce(line)

    def heartbeat(self) -> None:
        """Tell by the status file's time that we live."""
        try:
            touch(self._assembly.places.status)
        except CannotCreate:
            self.due_at = 0.0  # the worker writes it anew, after its next sleep

    def _figures_for(self, state: State) -> reporting.Figures:
        """The catalogue's figures: counted anew unless that was just done, for it may take 5 % of our time at most.

        What is left out then is told a little later.
        """
        known, now = self._figures, time.monotonic()
        if known is not None and state is not State.STOPPED:
            good_until = known.taken_at + FIGURES_LAST * known.cost_seconds
            if known.cost_seconds > QUICK_SECONDS and self._counted == self._countable():
                return known  # what is counted is what was counted
            if known.cost_seconds > QUICK_SECONDS:  # what is news now shall not wait for them
                good_until = self._refresh_at = min(self._refresh_at, max(good_until, now + STATUS_SECONDS))
            if now < good_until:
                self.due_at = good_until
                return known
        self._refresh_at, self._counted = NEVER, self._countable()
        known = self._figures = reporting.figures(self._assembly)
        return known

    def _countable(self) -> object:
        """Another value as soon as figures may be others: a write, a root that came or went, an hour that is over."""
        roots = self._assembly.survey.roots
        return self._assembly.store.writes(), roots, int(time.monotonic() // FIGURES_OLD_SECONDS)

    def _complaint(self) -> Problem | None:
        """What a person must know from the beginning."""
        complaint = self._assembly.complaint
        if complaint:
            return Problem(complaint.message, complaint.advice, moment(self._wall()))
        rescued = self._assembly.rescued
        return Problem(rescued.sentence(), rescued.advice(), moment(rescued.at)) if rescued else None


def _line(state: State, reason: str) -> str:
    """State and reason in one line."""
    return f"{state}: {reason}" if reason else str(state)

"""Asks the model about logs, one call after the other: reserve, ask, store, apply; and what follows from each failure.

An answer is stored, paid, before it is applied, and applied in the transaction that marks it so: a process killed
anywhere neither pays twice for an answer that it has stored nor learns anything twice.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from selfdistill.distill.llm.asking import (
    Answer,
    AskFailed,
    BadRequest,
    Blocked,
    Request,
    Stopped,
    TryLater,
)
from selfdistill.distill.llm.budget import most_it_can_cost
from selfdistill.distill.llm.patience import (
    Readiness,
    after_block,
    after_failure,
    after_rejection,
    after_success,
    readiness,
)
from selfdistill.distill.llm.prices import cost
from selfdistill.errors import CursorMoved, LogProblem
from selfdistill.ingest.naming import printable
from selfdistill.model import Lesson
from selfdistill.service.attempts import DIED
from selfdistill.service.model_access import ModelAccess, keep_patience, load_patience
from selfdistill.service.order import SUSPECT_DEATHS
from selfdistill.service.pipeline import Stopped as PipelineStopped
from selfdistill.service.questions import DISTILLER, Applied, Question, judged, note_shown
from selfdistill.service.running import BUGS, QUARANTINE_SECONDS, what_broke
from selfdistill.store import Commit
from selfdistill.store.spending import Grant

if TYPE_CHECKING:
    from selfdistill.privacy.redaction import Redactor
    from selfdistill.service.questions import Questions
    from selfdistill.store import PendingLog, Store

SHRUNK: Final = 0.5  # share of the budget for the one more try of a request that was refused
FIRST_RETRY_SECONDS: Final = 60.0
LONGEST_RETRY_SECONDS: Final = 3600.0


class End(StrEnum):
    """Why a pass of asking ended."""

    DONE = "done"
    STOPPED = "stopped"
    OVER_CAP = "over_cap"
    WAITING = "waiting"
    BLOCKED = "blocked"


class Tally(Struct):
    """What a pass of asking has done. `sessions` were asked about and answered; `left` is how many logs were not."""

    sessions: set[str]
    created: dict[str, Lesson]
    merged: dict[str, Lesson]
    failed: dict[str, str]
    refused: Counter[str]
    end: End = End.DONE
    reason: str = ""
    left: int = 0
    under_way: int = 0  # questions that another process is asking, or was when it was killed minutes ago

    @classmethod
    def empty(cls) -> Tally:
        """Nothing done yet."""
        return cls(set(), {}, {}, {}, Counter())


class Asking:
    """One pass of asking over one store. `ask` is the call itself: `client.Asker.ask`; it raises AskFailed."""

    def __init__(
        self,
        store: Store,
        questions: Questions,
        model: ModelAccess,
        ask: Callable[[Request], Answer],
        redact: Redactor,
        *,
        clock: Callable[[], float],
        run: str = "",
        stopped: Callable[[], bool] = lambda: False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._questions = questions
        self._model = model
        self._ask = ask
        self._redact = redact
        self._clock = clock
        self._run = run
        self._stopped = stopped
        self._chance = chance
        self.tally = Tally.empty()

    def apply_stored(self) -> None:
        """Commit the answers that an earlier process has paid for and not applied."""
        for stored in self._store.unapplied_answers():
            self._apply(stored.key, stored.body, stored.session)

    def process(self, logs: Sequence[PendingLog]) -> None:
        """Ask about these logs until something says to stop; what happened is in `tally`."""
        for position, log in enumerate(logs):
            while self.may_go_on() and self._one(log):
                pass
            if self.tally.end is not End.DONE:
                self.tally.left = len(logs) - position
                return

    def may_go_on(self) -> bool:
        """Whether a call may be made now; if not, the tally says why."""
        if self._stopped():
            return self._end(End.STOPPED, "The program ends.")
        patience = load_patience(self._store)
        ready = readiness(patience, self._clock(), self._model.fingerprint)
        if ready is Readiness.BLOCKED:
            return self._end(End.BLOCKED, patience.blocked_by)
        return ready is not Readiness.WAITING or self._end(End.WAITING, patience.last_error)

    def _end(self, end: End, reason: str) -> bool:
        self.tally.end, self.tally.reason = end, reason
        return False

    def _one(self, log: PendingLog, share: float = 1.0) -> bool:
        """Ask about the next part of a log; whether there is another part to ask about."""
        question = self.question(log, share)
        if question is None:
            return False
        if isinstance(question, Commit):
            return self.move(question) and not question.complete
        grant = self.reserve(question)
        if grant in {Grant.OVER_CAP, Grant.UNDER_WAY}:
            return False
        if grant is Grant.ANSWERED:
            stored = self._store.answer(question.request.key)
            applied = self._apply(question.request.key, stored, question.session) if stored else False
            return (applied or self.move(question.work)) and not question.work.complete
        return self._call(log, question, share)

    def question(self, log: PendingLog, share: float = 1.0) -> Question | Commit | None:
        """What to ask about a log; None if it cannot be read now, which is noted for another time."""
        if log.deaths >= SUSPECT_DEATHS:
            self.set_aside(log, f"{DIED}, {log.deaths} times in a row", QUARANTINE_SECONDS)
            return None
        try:
            return self._questions.about(log, self._model.name, share=share)
        except LogProblem as problem:
            self.set_aside(log, problem.message, LONGEST_RETRY_SECONDS)
        except BUGS as error:
            self.set_aside(log, what_broke(error), QUARANTINE_SECONDS)
        except PipelineStopped:
            self._end(End.STOPPED, "The program ends.")
        return None

    def reserve(self, question: Question, *, batch: bool = False) -> Grant:
        """Set the most that this question can cost aside, or learn why it may not be asked."""
        grant = self._store.reserve_call(
            question.request.key,
            most_it_can_cost(question.request, batch=batch),
            cap=self._model.daily_cap,
            now=self._clock(),
            session=question.session,
            project=question.project.key,
            model=self._model.name,
            run=self._run,
        )
        if grant is Grant.GRANTED and batch:  # its answer comes much later than the next question
            self._questions.expect(question)
        if grant is Grant.OVER_CAP:
            self._end(End.OVER_CAP, f"The day's {self._model.daily_cap:.2f} US dollars do not cover another call.")
        self.tally.under_way += grant is Grant.UNDER_WAY
        return grant

    def _call(self, log: PendingLog, question: Question, share: float) -> bool:
        """Make the call and apply its answer, or do what its failure asks for."""
        key = question.request.key
        try:
            answer = self._ask(question.request)
        except AskFailed as failure:
            return self._failed(log, key, failure, share)
        keep_patience(self._store, after_success(load_patience(self._store)))
        return self.keep(question, answer) and not question.work.complete

    def keep(self, question: Question, answer: Answer, *, batch: bool = False) -> bool:
        """Store an answer with what it cost, then apply it; whether its log has moved on."""
        body = msgspec.msgpack.encode(judged(question, answer, self._redact))
        price = cost(question.request.model, answer.usage, batch=batch)
        key = question.request.key
        return self._store.store_answer(key, body, answer.usage, price) and self._apply(key, body, question.session)

    def _apply(self, key: str, body: bytes, session: str) -> bool:
        """Commit a stored answer, once; False if that was done, or its log has moved on without it."""
        applied = msgspec.msgpack.decode(body, type=Applied)
        with self._store.transaction():
            if not self._store.mark_applied(key):
                return False
            try:
                changed = self._store.commit(applied.work)
            except CursorMoved:
                return False
            note_shown(self._store, applied.shown)
        self.tally.sessions.add(session)
        self.tally.refused.update(applied.refused)
        self.tally.created.update({lesson.id: lesson for lesson in changed.created})
        self.tally.merged.update({lesson.id: lesson for lesson in changed.merged})
        return True

    def move(self, work: Commit) -> bool:
        """Note that the model needs nothing more of a part of a log."""
        try:
            self._store.commit(work)
        except CursorMoved:
            return False
        return True

    def _failed(self, log: PendingLog, key: str, failure: AskFailed, share: float) -> bool:
        """What follows from a call without an answer: for its money, for the next calls, and for its log."""
        self.give_back(key, failure)
        self.heed(failure)
        if isinstance(failure, Blocked | Stopped):
            return False
        if isinstance(failure, BadRequest):
            if share == 1.0:
                return self.may_go_on() and self._one(log, SHRUNK)
            self.set_aside(log, failure.message, QUARANTINE_SECONDS)
            return False
        # Of its own, so that one session that always fails does not stand before all others.
        self.set_aside(
            log, failure.message, min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(log.attempts, 9))
        )
        return False

    def heed(self, failure: AskFailed) -> None:
        """What a failure means for the calls after it, kept in the store; all but a refused request end this pass."""
        now, patience, chance = self._clock(), load_patience(self._store), self._chance()
        if isinstance(failure, Stopped):
            self._end(End.STOPPED, failure.message)
        elif isinstance(failure, Blocked):
            reason = f"{failure.message} {failure.advice}"
            keep_patience(self._store, after_block(patience, now, self._model.fingerprint, reason))
            self._end(End.BLOCKED, reason)
        elif isinstance(failure, BadRequest):
            keep_patience(self._store, after_rejection(patience, now, chance, failure.message))
        else:
            wish = failure.retry_after if isinstance(failure, TryLater) else None
            keep_patience(self._store, after_failure(patience, now, chance, failure.message, retry_after=wish))
            self._end(End.WAITING, failure.message)

    def give_back(self, key: str, failure: AskFailed, *, batch: bool = False) -> None:
        """Settle what a call without an answer has cost, as far as that is known."""
        if failure.billed:
            spent = cost(self._model.name, failure.usage, batch=batch) if failure.usage else None
            self._store.settle_call(key, failure.message, failure.usage, spent)
        else:
            self._store.release_call(key, failure.message)

    def set_aside(self, log: PendingLog, why: str, seconds: float) -> None:
        """Leave a log alone for a while; the heuristics do not care."""
        self.tally.failed[printable(log.path)] = why
        self._store.fail(log.id, DISTILLER, why, self._clock() + seconds)

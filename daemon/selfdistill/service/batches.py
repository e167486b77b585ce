"""Questions in no hurry, at half the price: handed over as a batch, collected by whoever runs later.

What is handed over is kept with the question beforehand, so that any later process can judge and apply each answer,
once. If a process is killed, or the line breaks, before the id of the batch is heard, a later process looks for the
batch at the service: the API has no idempotency key, and names our requests (`custom_id`) in results only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol
from uuid import uuid4

from msgspec import Struct

from selfdistill.distill.llm.asking import AskFailed, BadRequest, BatchItem, BatchSeen, Request, Unknown
from selfdistill.service.asking import End
from selfdistill.service.questions import DISTILLER, Question, decoded, encoded
from selfdistill.service.running import QUARANTINE_SECONDS
from selfdistill.store import Commit
from selfdistill.store.spending import Grant, Submission

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfdistill.service.asking import Asking
    from selfdistill.store import PendingLog, Store

MOST_REQUESTS: Final = 500
MOST_CHARACTERS: Final = 24_000_000  # of prompts; the service takes 256 MB, our answers' limit is 64 MiB

_GONE: Final = "The service knows the batch no more."
_ABSENT: Final = "The batch ended without a result for this request."
_NEVER_ARRIVED: Final = "It was to be handed over in a batch that the service does not have."
_NOT_LISTED: Final = "Whether its batch arrived cannot be found out: the service lists none."
_CLOCKS_APART_SECONDS: Final = 86_400.0
"""By how much the service's clock may be behind ours: a batch listed as older is none that we look for."""


class Counter(Protocol):
    """Where batches are handed over and collected: `client.Asker`. All raise AskFailed."""

    def submit(self, requests: Sequence[Request]) -> str:
        """Hand over a batch; its id."""

    def collect(self, batch_id: str) -> list[BatchItem] | None:
        """What became of each request; None while the batch is under way."""

    def recent(self, since: float) -> list[BatchSeen]:
        """The batches made since then, newest first."""


class Handed(Struct):
    """What a pass over batches has done, in requests: handed over, collected, still under way."""

    submitted: int = 0
    collected: int = 0
    waiting: int = 0


class Batches:
    """Hands over and collects. `asking` judges, stores and applies the answers, and keeps the tally."""

    def __init__(self, store: Store, asking: Asking, counter: Counter, clock: Callable[[], float]) -> None:
        self._store = store
        self._asking = asking
        self._counter = counter
        self._clock = clock
        self.handed = Handed()

    def submit(self, logs: Sequence[PendingLog]) -> None:
        """Hand over what is new in these logs, as far as the day's money goes; of a huge log its first part."""
        waiting: list[tuple[PendingLog, Question]] = []
        characters = 0
        for log in logs:
            if not self._asking.may_go_on():
                break
            question = self._asking.question(log)
            if isinstance(question, Commit):
                self._asking.move(question)
            elif question is not None and self._asking.reserve(question, batch=True) is Grant.GRANTED:
                waiting.append((log, question))
                characters += len(question.request.user)
            if len(waiting) >= MOST_REQUESTS or characters >= MOST_CHARACTERS:
                self._hand_over(waiting)
                waiting, characters = [], 0
            if self._asking.tally.end is not End.DONE:
                break
        self._hand_over(waiting)

    def collect(self) -> None:
        """Take in the batches that have ended: each answer is paid, judged and applied once."""
        self._find_lost()
        for batch, keys in self._store.open_batches().items():
            if not self._asking.may_go_on():
                self.handed.waiting += len(keys)
                continue
            try:
                items = self._counter.collect(batch)
            except Unknown:  # results are kept for 29 days: whether it was billed nobody can say now
                for key in keys:
                    self._store.settle_call(key, _GONE)
                continue
            except AskFailed as failure:
                self._asking.heed(failure)
                items = None
            if items is None:
                self.handed.waiting += len(keys)
            else:
                self._take_in(keys, {item.key: item for item in items})

    def _hand_over(self, waiting: Sequence[tuple[PendingLog, Question]]) -> None:
        if not waiting:
            return
        submission = uuid4().hex
        calls = {question.request.key: (log.id, encoded(question)) for log, question in waiting}
        self._store.mark_submitting(submission, calls, self._clock())
        try:
            batch = self._counter.submit([question.request for _, question in waiting])
        except AskFailed as failure:
            self._asking.heed(failure)
            if failure.billed:  # it may have arrived all the same: looked for later
                self.handed.waiting += len(waiting)
                return
            for key in calls:
                self._asking.give_back(key, failure, batch=True)
            return
        self._store.mark_sent(submission, batch)
        self.handed.submitted += len(waiting)

    def _find_lost(self) -> None:
        """Find the batches whose ids were never heard, and release what arrived in none."""
        lost = self._store.open_submissions(self._clock())
        if not lost:
            return
        listed = self._listed(min(one.at for one in lost), [key for one in lost for key in one.keys])
        for submission in lost:
            found = None if listed is None else self._find(submission, listed)
            if found is None:
                self.handed.waiting += len(submission.keys)
            elif found:
                self._store.mark_sent(submission.id, found)
            else:
                self._release(submission.keys, _NEVER_ARRIVED)

    def _listed(self, since: float, keys: Sequence[str]) -> list[BatchSeen] | None:
        """The batches of the service that may hold these calls; None if it does not say now."""
        if not self._asking.may_go_on():
            return None
        try:
            listed = self._counter.recent(since - _CLOCKS_APART_SECONDS)
        except Unknown:
            for key in keys:
                self._store.settle_call(key, _NOT_LISTED)
            return None
        except AskFailed as failure:
            self._asking.heed(failure)
            return None
        known = self._store.open_batches()
        return [batch for batch in listed if batch.id not in known]

    def _find(self, submission: Submission, listed: Sequence[BatchSeen]) -> str | None:
        """The batch that holds these calls; "" if none does, None if one that has not ended may.

        Newest first, so that a batch from an earlier attempt at the same calls is not taken for it.
        """
        for batch in listed:
            if batch.size not in {0, len(submission.keys)} or batch.created_at < submission.at - _CLOCKS_APART_SECONDS:
                continue
            if not self._asking.may_go_on():
                return None
            try:
                items = self._counter.collect(batch.id)
            except Unknown:
                continue
            except AskFailed as failure:
                self._asking.heed(failure)
                return None
            if items is None:
                return None
            if not {item.key for item in items}.isdisjoint(submission.keys):
                return batch.id
        return ""

    def _release(self, keys: Sequence[str], why: str) -> None:
        for key in keys:
            self._store.release_call(key, why)

    def _take_in(self, keys: Sequence[str], items: dict[str, BatchItem]) -> None:
        for key in keys:
            kept, item = self._store.question(key), items.get(key)
            if kept is None:  # another process has collected it meanwhile
                continue
            question = decoded(kept)
            if item is not None and item.answer is not None:
                self._asking.keep(question, item.answer, batch=True)
                self.handed.collected += 1
            else:
                failure = (item.failure if item else None) or AskFailed(_ABSENT)
                self._asking.give_back(key, failure, batch=True)
                if isinstance(failure, BadRequest):  # it would be refused again
                    until = self._clock() + QUARANTINE_SECONDS
                    self._store.fail(question.work.log_id, DISTILLER, failure.message, until)

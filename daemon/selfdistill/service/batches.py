"""Questions in no hurry, at half the price: handed over as a batch, collected by whoever runs later.

What was handed over is kept with the question, so that any later process can judge and apply each answer, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from selfdistill.distill.llm.asking import AskFailed, BadRequest, BatchItem, Request, Unknown
from selfdistill.service.asking import End
from selfdistill.service.questions import DISTILLER, Question, decoded, encoded
from selfdistill.service.running import QUARANTINE_SECONDS
from selfdistill.store import Commit
from selfdistill.store.spending import Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfdistill.service.asking import Asking
    from selfdistill.store import PendingLog, Store

MOST_REQUESTS: Final = 500
MOST_CHARACTERS: Final = 24_000_000  # of prompts; the service takes 256 MB, our answers' limit is 64 MiB

_GONE: Final = "The service knows the batch no more."
_ABSENT: Final = "The batch ended without a result for this request."


class Counter(Protocol):
    """Where batches are handed over and collected: `client.Asker`. Both raise AskFailed."""

    def submit(self, requests: Sequence[Request]) -> str:
        """Hand over a batch; its id."""

    def collect(self, batch_id: str) -> list[BatchItem] | None:
        """What became of each request; None while the batch is under way."""


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
        try:
            batch = self._counter.submit([question.request for _, question in waiting])
        except AskFailed as failure:
            for _, question in waiting:
                self._asking.give_back(question.request.key, failure, batch=True)
            self._asking.heed(failure)
            return
        with self._store.transaction():
            for log, question in waiting:
                self._store.mark_sent(question.request.key, batch, log_id=log.id, question=encoded(question))
        self.handed.submitted += len(waiting)

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

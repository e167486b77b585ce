"""What `run` and the daemon do with a model: which logs to ask about, a pass of asking, and what it would cost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.distill.llm.asking import Usage as Tokens
from selfdistill.distill.llm.budget import most_it_can_cost
from selfdistill.distill.llm.client import Asker
from selfdistill.distill.llm.prices import cost, is_cached
from selfdistill.errors import LogProblem
from selfdistill.manifest import Usage
from selfdistill.service.asking import Asking, Tally
from selfdistill.service.attempts import Attempts
from selfdistill.service.batches import Batches, Handed
from selfdistill.service.model_access import HEURISTIC, ModelAccess, owed_logs, set_aside_until
from selfdistill.service.order import newest_sessions
from selfdistill.service.questions import DISTILLER, Question, Questions
from selfdistill.service.running import BUGS
from selfdistill.service.spread import Spread, spread
from selfdistill.sources import SOURCES

if TYPE_CHECKING:
    from pathlib import Path

    from selfdistill.config import Config
    from selfdistill.privacy.redaction import Redactor
    from selfdistill.service.running import Selection
    from selfdistill.store import PendingLog, Store

LIKELY_OUTPUT_TOKENS: Final = 500  # most sessions teach nothing, and an empty list has ten


class Desk(Struct, frozen=True):
    """What asking works with: one store, used by one thread. `stop` ends a call under way."""

    store: Store
    config: Config
    redact: Redactor
    model: ModelAccess
    stop: threading.Event
    clock: Callable[[], float]
    attempts: Path | None  # where is noted which log is being read; None: nowhere, for nothing is to be written

    def questions(self) -> Questions:
        """What makes questions on this desk."""
        sources = {source.name: source for source in SOURCES}
        return Questions(self.store, sources, self.config, self.redact, self.stop.is_set, Attempts(self.attempts))


class Asked(Struct):
    """What a pass with a model has done."""

    tally: Tally
    handed: Handed


class Estimate(Struct):
    """What asking about some sessions would take. Dollars are None where the model's price is not known.

    `cached_tokens` are those of `input_tokens` that are likely read from the cache. `session_tokens` and `session_usd`:
    what the sessions take one by one, likely; None without any.
    """

    model: str
    sessions: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    likely_usd: Decimal | None = Decimal(0)
    most_usd: Decimal | None = Decimal(0)
    session_tokens: Spread[int] | None = None
    session_usd: Spread[Decimal] | None = None


def logs_to_ask(
    store: Store, config: Config, selection: Selection, distilled: Collection[int], now: float
) -> list[PendingLog]:
    """The logs that a run asks about: those it has distilled, and those that were owed before, of the newest sessions.

    Named logs are asked about whatever failed before; what is asked for by project or path alone is not added to.
    """
    named, only = set(distilled), bool(selection.paths or selection.project)
    due = set() if only else {log.id for log in owed_logs(store, config.llm, now)[0]}
    since = selection.since or 0.0
    wanted = [
        log
        for log in store.owed(HEURISTIC, DISTILLER)
        if (log.id in due and log.stat.mtime_ns / 1e9 >= since)
        or (log.id in named and (bool(selection.paths) or set_aside_until(log, now) <= now))
    ]
    return newest_sessions(wanted, selection.limit)[0]


def ask_model(desk: Desk, logs: Sequence[PendingLog], run: str, *, backfill: bool = False) -> Asked:
    """Apply what was paid for, collect batches, then ask about these logs; `backfill` hands them over as a batch."""
    asker = Asker(
        api_key=desk.model.access.key.reveal(),
        base_url=desk.model.access.base_url,
        redact=desk.redact,
        stop=desk.stop,
        clock=desk.clock,
    )
    asking = Asking(
        desk.store,
        desk.questions(),
        desk.model,
        asker.ask,
        desk.redact,
        clock=desk.clock,
        run=run,
        stopped=desk.stop.is_set,
    )
    batches = Batches(desk.store, asking, asker, desk.clock)
    try:
        asking.apply_stored()
        batches.collect()
        if backfill:
            batches.submit(logs)
        else:
            asking.process(logs)
    finally:
        asker.close()
    return Asked(asking.tally, batches.handed)


def would_ask(desk: Desk, logs: Sequence[PendingLog]) -> Iterator[tuple[Path, Question]]:
    """The questions that would be asked now, of each log the next one; nothing is sent or written."""
    questions = desk.questions()
    for log in logs:
        try:
            question = questions.about(log, desk.model.name)
        except (LogProblem, *BUGS):  # the run itself will tell; an estimate goes on
            continue
        if isinstance(question, Question):
            questions.expect(question)  # by the time that another log's turn comes it is answered
            yield log.path, question


def estimate(desk: Desk, logs: Sequence[PendingLog]) -> Estimate:
    """What asking about these logs would take."""
    made = Estimate(desk.model.name)
    tokens: Counter[str] = Counter()
    dollars: dict[str, Decimal] = {}
    for _, question in would_ask(desk, logs):
        usage = _likely_usage(question, warm=bool(tokens))
        likely = cost(made.model, usage)
        tokens[question.session] += usage.prompt_tokens
        dollars[question.session] = dollars.get(question.session, Decimal(0)) + (likely or 0)
        made.cached_tokens += usage.cache_read_tokens
        made.likely_usd = _sum(made.likely_usd, likely)
        made.most_usd = _sum(made.most_usd, most_it_can_cost(question.request))
    made.sessions, made.input_tokens = len(tokens), tokens.total()
    made.session_tokens = spread(list(tokens.values()))
    made.session_usd = None if made.likely_usd is None else spread(list(dollars.values()))
    return made


def _likely_usage(question: Question, *, warm: bool) -> Tokens:
    """The tokens that a question will likely take; `warm`: another one went before it within minutes."""
    same = question.prompt.cacheable_tokens
    same = same if is_cached(question.request.model, same) else 0
    return Tokens(
        input_tokens=question.prompt.tokens - same,
        output_tokens=LIKELY_OUTPUT_TOKENS,
        cache_write_tokens=0 if warm else same,
        cache_read_tokens=same if warm else 0,
    )


def usage_of(store: Store, run: str) -> Usage:
    """What a run has cost, for its manifest."""
    spent = store.spend_of_run(run)
    return Usage(spent.prompt_tokens, spent.output_tokens, float(spent.cost_usd))


def mode_of(distilled: Collection[str], answered: Collection[str]) -> str:
    """What really ran, for the manifest: `distilled` sessions by the heuristics, `answered` ones by the model too."""
    if not answered:
        return "heuristic"
    return "llm" if set(distilled) <= set(answered) else "mixed"


def _sum(one: Decimal | None, other: Decimal | None) -> Decimal | None:
    return None if one is None or other is None else one + other

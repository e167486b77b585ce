"""Whether a model may be asked, which one, for how much; and how that stands, for `status`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from selfdistill.distill.llm.credentials import Access, find_access
from selfdistill.distill.llm.patience import Patience, Readiness, readiness, seconds_to_wait
from selfdistill.distill.llm.prices import DEFAULT_MODEL, price_of
from selfdistill.model import Turn
from selfdistill.service.questions import DISTILLER
from selfdistill.service.running import QUARANTINE_SECONDS
from selfdistill.service.spread import spread
from selfdistill.service.status import Call, Model, SessionCost, moment

if TYPE_CHECKING:
    from selfdistill.config import Llm
    from selfdistill.store import PendingLog, Store
    from selfdistill.store.spending import Spend

HEURISTIC: Final = "heuristic"
_PATIENCE: Final = "patience"
_DAYS_SHOWN: Final = 7
_DUST: Final = Decimal("0.0005")  # US dollars: with less room left no call fits, and the day's money counts as spent


class ModelAccess(Struct, frozen=True):
    """The model to be asked, with what, and how much it may cost in a day (US dollars)."""

    name: str
    access: Access
    daily_cap: Decimal

    @property
    def fingerprint(self) -> str:
        """Changes with key, address and model."""
        return self.access.fingerprint(self.name)


def model_access(settings: Llm, environment: Mapping[str, str], chosen: str = "") -> ModelAccess:
    """What configuration, environment and `--model` (`chosen`, "" if it was not given) allow now."""
    access = find_access(
        mode=settings.mode,
        model_chosen=bool(chosen),
        api_key_file=settings.api_key_file,
        base_url=settings.base_url,
        environment=environment,
    )
    return ModelAccess(chosen or settings.model or DEFAULT_MODEL, access, Decimal(str(settings.daily_usd)))


def load_patience(store: Store) -> Patience:
    """What is known of the service's health."""
    body = store.memo(_PATIENCE)
    return msgspec.json.decode(body, type=Patience) if body else Patience()


def keep_patience(store: Store, patience: Patience) -> None:
    """Remember it, over restarts too."""
    store.keep_memo(_PATIENCE, msgspec.json.encode(patience))


def owed_logs(store: Store, settings: Llm, now: float) -> tuple[list[PendingLog], float | None]:
    """The logs that the model is owed and whose time has come, newest first; and when the next one's will come.

    Quiet for `settle_minutes`, or the session says that it has ended, or `max_wait_minutes` have passed since its first
    byte that the model was not shown. `now` and the answer are seconds since the epoch.
    """
    due: list[PendingLog] = []
    later: list[float] = []
    for log in store.owed(HEURISTIC, DISTILLER):
        when = max(_worth_asking_at(log, settings, now), set_aside_until(log, now))
        if when <= now:
            due.append(log)
        else:
            later.append(when)
    return due, min(later, default=None)


def set_aside_until(log: PendingLog, now: float) -> float:
    """Until when a log is left alone, in seconds since the epoch; 0 if it is not.

    A wait longer than any we ever set means that the clock was set back: it is over.
    """
    until = log.not_before or 0.0
    return until if until <= now + QUARANTINE_SECONDS else 0.0


def _worth_asking_at(log: PendingLog, settings: Llm, now: float) -> float:
    """When one call is to see what is new in a log; seconds since the epoch."""
    if log.turn is Turn.ENDED or log.changed_at > now + settings.settle_minutes * 60:
        return 0.0  # it has ended; or the clock was set back since, and nobody knows for how long it has been quiet
    changed_at = min(log.changed_at, now)
    owed_since = changed_at if log.owed_since is None else min(log.owed_since, changed_at)
    return min(changed_at + settings.settle_minutes * 60, owed_since + settings.max_wait_minutes * 60)


def model_status(store: Store, model: ModelAccess, now: float) -> Model:
    """How the model stands, in the words of `status`."""
    shown = Model(name=model.name, daily_cap_usd=float(model.daily_cap))
    spent = store.spent_today(now)
    _tell_money(shown, store, spent, now)
    if not model.access.usable:
        shown.name = ""
        shown.reason = model.access.reason
        return shown
    shown.owed_sessions = len({log.session or log.session_hint for log in store.owed(HEURISTIC, DISTILLER)})
    patience = load_patience(store)
    ready = readiness(patience, now, model.fingerprint)
    if ready is Readiness.BLOCKED:
        shown.state, shown.reason = "blocked", patience.blocked_by
    elif ready is Readiness.WAITING:
        until = moment(now + seconds_to_wait(patience, now))
        shown.state, shown.reason = "waiting", f"{patience.last_error} Next try at {until:%H:%M} UTC."
    elif spent.cost_usd + _DUST >= model.daily_cap and price_of(model.name):
        shown.state, shown.reason = "over_cap", _told_money(store.budget_day_ahead(now))
    else:
        shown.state, shown.reason = "ready", " ".join((_told(model), *model.access.warnings))
    return shown


def _tell_money(shown: Model, store: Store, spent: Spend, now: float) -> None:
    """What was spent: by day, session and call."""
    shown.spent_today_usd = float(spent.cost_usd)
    shown.calls_today = spent.calls
    shown.input_tokens_today = spent.prompt_tokens
    shown.output_tokens_today = spent.output_tokens
    by_session = spread(store.session_costs(now))
    if by_session:
        shown.session_p50_usd, shown.session_p95_usd = float(by_session.p50), float(by_session.p95)
    shown.spent_by_day_usd = {day: float(sum_.cost_usd) for day, sum_ in store.spend_by_day(_DAYS_SHOWN).items()}
    for call in store.last_calls():
        cost = None if call.cost_usd is None else float(call.cost_usd)
        tokens = (call.input_tokens, call.output_tokens)
        shown.last_call = Call(call.session, call.model, call.state, moment(call.at), *tokens, cost)
    shown.dearest_today = [
        SessionCost(
            one.session, one.spend.calls, one.spend.prompt_tokens, one.spend.output_tokens, float(one.spend.cost_usd)
        )
        for one in store.dearest_sessions(now)
    ]


def _told_money(ahead: str) -> str:
    """When there will be money again; `ahead` is the day that is counted for, if the clock was set back behind it."""
    if not ahead:
        return "The day's money is spent; more tomorrow (UTC), or raise `daily_usd`."
    since = f"The money of {ahead} is spent, which the clock showed before it was set back"
    return (
        f"{since}; more once a midnight (UTC) and that money's own day have passed, a day or two; or raise `daily_usd`."
    )


def _told(model: ModelAccess) -> str:
    """What a person should know while all is well."""
    known = "" if price_of(model.name) else ", price unknown: only tokens are counted and the cap cannot hold"
    return f"{model.access.reason}{known}"

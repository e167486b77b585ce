"""What was spent, by call and by session: what people ask of the ledger of calls."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from msgspec import Struct

from selfdistill.store.part import storable
from selfdistill.store.spending import BudgetDay, Spend, Spending, next_budget_day

MOST_SESSIONS: Final = 5
DAYS: Final = 30
_DAY_SECONDS: Final = 86_400.0
_NANO: Final = 1_000_000_000


class CallCost(Struct, frozen=True):
    """One attempt to call a model. Until it is settled its cost is what was reserved; None where no price is known.

    `input_tokens` is the whole prompt, `state` the call's (`CallState`), `at` when money was reserved for it.
    """

    session: str
    model: str
    state: str
    at: float
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal | None


class SessionCost(Struct, frozen=True):
    """What the calls about one session have cost."""

    session: str
    spend: Spend


class Accounts(Spending):
    """The ledger's figures for people."""

    def last_calls(self, most: int = 1, session: str | None = None) -> list[CallCost]:
        """The latest attempts, newest first; those about one session if it is named."""
        chosen = None if session is None else storable(session)
        return [
            CallCost(asked, model, state, at, read, wrote, None if unpriced else Decimal(nano) / _NANO)
            for asked, model, state, at, read, wrote, nano, unpriced in self._database.rows(
                _LAST, {"session": chosen, "most": most}
            )
        ]

    def dearest_sessions(self, now: float, most: int = MOST_SESSIONS) -> list[SessionCost]:
        """The sessions that have cost most today, the dearest first."""
        day = next_budget_day(self._budget_day(), now).day
        rows = self._database.rows(_BY_SESSION, {"day": day, "most": most})
        return [
            SessionCost(session, Spend(calls, read, wrote, cached, hit, Decimal(nano) / _NANO, unpriced))
            for session, calls, read, wrote, cached, hit, nano, unpriced in rows
        ]

    def session_costs(self, now: float, days: int = DAYS) -> list[Decimal]:
        """What each session cost that was asked about in the last days, in US dollars; not those without a price."""
        since = next_budget_day(BudgetDay(), now - days * _DAY_SECONDS).day
        return [Decimal(nano) / _NANO for (nano,) in self._database.rows(_COSTS, (since,))]


_LAST: Final = """
    SELECT session, model, state, at, input_tokens + cache_write_tokens + cache_read_tokens, output_tokens,
        coalesce(cost, reserved), unpriced
    FROM charges JOIN calls USING (key) WHERE :session IS NULL OR session = :session
    ORDER BY charges.number DESC LIMIT :most
"""

_BY_SESSION: Final = """
    SELECT session, count(*), sum(input_tokens), sum(output_tokens), sum(cache_write_tokens), sum(cache_read_tokens),
        sum(coalesce(cost, reserved)), sum(unpriced)
    FROM charges JOIN calls USING (key) WHERE day = :day
    GROUP BY session ORDER BY 7 DESC, 3 DESC, session LIMIT :most
"""

_COSTS: Final = """
    SELECT sum(coalesce(cost, reserved)) FROM charges JOIN calls USING (key) WHERE day > ? AND NOT unpriced
    GROUP BY session
"""

"""Calls to a model and their money: reserved before sending, settled after, kept over restarts and clock jumps.

A call has one row, named by its request key; each attempt to make it has a charge. A charge counts with what was
reserved until it is settled (then with its cost) or released (then not at all). A process that is killed leaves its
charge reserved: whether it was billed nobody knows, so it stays spent. Money is kept in billionths of a dollar.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from msgspec import Struct

from selfdistill.store.part import Part, storable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from selfdistill.store.database import Row

LEASE_SECONDS: Final = 300.0
"""How long a call without a result is taken to be under way in some process; longer than any call may last (120 s)."""

_NANO: Final = 1_000_000_000
_BUDGET_DAY: Final = "budget_day"
_LONGEST_REST_DAYS: Final = 7
_SUBMISSION: Final = "submission "
"""Stands before the name of an attempt where the id of its batch will stand."""


class Tokens(Protocol):
    """Tokens of one call by their price."""

    @property
    def input_tokens(self) -> int:
        """Neither written to the cache nor read from it."""

    @property
    def output_tokens(self) -> int:
        """What the model wrote."""

    @property
    def cache_write_tokens(self) -> int:
        """Written to the cache."""

    @property
    def cache_read_tokens(self) -> int:
        """Read from the cache."""


class CallState(StrEnum):
    """Where a call stands."""

    RESERVED = "reserved"  # money is set aside; it may have been sent
    SENT = "sent"  # it is in a batch, or was about to be handed over in one
    SETTLED = "settled"  # its answer is here, not yet applied
    APPLIED = "applied"
    FAILED = "failed"  # it may be reserved again


class Grant(StrEnum):
    """What came of asking for money."""

    GRANTED = "granted"
    OVER_CAP = "over_cap"
    UNDER_WAY = "under_way"  # another process, or a batch, is making this very call
    ANSWERED = "answered"  # its answer is stored already


class Spend(Struct, frozen=True):
    """What calls have cost. `unpriced`: attempts whose model has no known price, so that only their tokens count."""

    calls: int
    input_tokens: int
    output_tokens: int
    cache_write_tokens: int
    cache_read_tokens: int
    cost_usd: Decimal
    unpriced: int

    @property
    def prompt_tokens(self) -> int:
        """All that the models were given to read, whatever was paid for it."""
        return self.input_tokens + self.cache_write_tokens + self.cache_read_tokens


class StoredAnswer(Struct, frozen=True):
    """An answer that was paid for and not yet applied."""

    key: str
    session: str
    project: str
    model: str
    body: bytes


class Submission(Struct, frozen=True):
    """Calls that were to be handed over as one batch, at this time, and of whose batch no id was heard."""

    id: str
    keys: tuple[str, ...]
    at: float


class BudgetDay(Struct, frozen=True):
    """The day that money is counted for, and the day a clock that was set back showed when that was seen; ISO dates."""

    day: str = ""
    behind: str = ""


def next_budget_day(known: BudgetDay, now: float) -> BudgetDay:
    """The day to count for at this time (UTC). It never goes back, so a clock set back frees no money.

    A clock that had run far ahead must not stop everything until its date is reached: when the clock, still behind,
    comes to a later day than the one it showed, the day follows it. It may be a few days later, for machines are turned
    off over a weekend; a longer jump, or one back, starts that wait again.
    """
    today = _utc_day(now)
    if today >= known.day:
        return BudgetDay(today)
    if known.behind and 0 < _days(known.behind, today) <= _LONGEST_REST_DAYS:
        return BudgetDay(today)
    return known if today == known.behind else BudgetDay(known.day, behind=today)


class Spending(Part):
    """The ledger of calls. Times are seconds since the epoch; money is in US dollars, None where no price is known."""

    def reserve_call(
        self,
        key: str,
        worst_case: Decimal | None,
        *,
        cap: Decimal | None,
        now: float,
        session: str,
        project: str,
        model: str,
        run: str = "",
    ) -> Grant:
        """Set aside the most this call can cost, unless the day's sum would pass `cap` (None: no cap).

        GRANTED obliges to end in `store_answer`, `settle_call` or `release_call`.
        """
        with self._database.transaction():
            refused = self._refusal_to_repeat(key, now)
            day = self._advance_day(now)
            wanted = _nano(worst_case)
            if refused is None and cap is not None and self._spent_on(day) + wanted > _nano(cap):
                refused = Grant.OVER_CAP
            if refused is not None:
                return refused
            self._database.run(_RESERVE, (key, storable(session), storable(project), storable(model), now))
            self._database.run(
                "INSERT INTO charges(key, day, run, reserved, unpriced, at) VALUES (?, ?, ?, ?, ?, ?)",
                (key, day, run, wanted, worst_case is None, now),
            )
        return Grant.GRANTED

    def mark_submitting(self, submission: str, calls: Mapping[str, tuple[int, bytes]], now: float) -> None:
        """These calls, each with its log and its question, are about to be handed over as one batch.

        They stay under way until settled or released, however long that takes: a process that is killed now leaves it
        to the next one to find out at the service whether there is such a batch. `question` is what the answer will be
        judged by, kept until then. `submission` names the attempt; no batch of a service may have that name.
        """
        with self._database.transaction():
            for key, (log_id, question) in calls.items():
                self._database.run(
                    "UPDATE calls SET state = 'sent', batch = ?, log_id = ?, question = ?, reserved_at = ?"
                    " WHERE key = ?",
                    (_SUBMISSION + submission, log_id, question, now, key),
                )

    def mark_sent(self, submission: str, batch: str) -> None:
        """The calls of this submission are in this batch."""
        self._database.run(
            "UPDATE calls SET batch = ? WHERE batch = ? AND state = 'sent'", (batch, _SUBMISSION + submission)
        )

    def open_submissions(self, now: float) -> list[Submission]:
        """What was to be handed over by a process that did not say how it went, and cannot be about it any more."""
        rows = self._database.rows(
            "SELECT batch, key, reserved_at FROM calls WHERE state = 'sent' AND batch GLOB ? ORDER BY number",
            (f"{_SUBMISSION}*",),
        )
        keys: dict[tuple[str, float], list[str]] = {}
        for batch, key, at in rows:
            if abs(now - at) >= LEASE_SECONDS:
                keys.setdefault((batch.removeprefix(_SUBMISSION), at), []).append(key)
        return [Submission(name, tuple(found), at) for (name, at), found in keys.items()]

    def question(self, key: str) -> bytes | None:
        """What was kept for a call that is in a batch; None for any other."""
        row = self._database.row("SELECT question FROM calls WHERE key = ? AND state = 'sent'", (key,))
        return row[0] if row else None

    def open_batches(self) -> dict[str, list[str]]:
        """The keys that wait for a batch, by its id."""
        batches: dict[str, list[str]] = {}
        rows = self._database.rows("SELECT batch, key FROM calls WHERE state = 'sent' ORDER BY number")
        for batch, key in rows:
            if not batch.startswith(_SUBMISSION):
                batches.setdefault(batch, []).append(key)
        return batches

    def store_answer(self, key: str, body: bytes, tokens: Tokens, cost: Decimal | None) -> bool:
        """Keep an answer and settle its cost, at once; False (nothing kept) if this call has an answer already."""
        with self._database.transaction():
            self._settle_charge(key, tokens, cost)
            return bool(
                self._database.run(
                    "UPDATE calls SET state = 'settled', answer = ?, error = '', question = NULL WHERE key = ?"
                    " AND state NOT IN ('settled', 'applied')",
                    (body, key),
                )
            )

    def settle_call(self, key: str, error: str, tokens: Tokens | None = None, cost: Decimal | None = None) -> None:
        """The call failed but was, or may have been, billed. Without a cost all that was reserved stays spent."""
        with self._database.transaction():
            self._settle_charge(key, tokens, cost)
            self._fail_call(key, error)

    def release_call(self, key: str, error: str) -> None:
        """The call failed and costs nothing: give back what was reserved for its last attempt."""
        with self._database.transaction():
            self._database.run(_RELEASE, (key,))
            self._fail_call(key, error)

    def answer(self, key: str) -> bytes | None:
        """The answer of a call that is to be applied; None if there is none, or it was applied."""
        row = self._database.row("SELECT answer FROM calls WHERE key = ? AND state = 'settled'", (key,))
        return row[0] if row else None

    def unapplied_answers(self) -> list[StoredAnswer]:
        """Answers that wait to be applied, oldest first: what a killed process left."""
        rows = self._database.rows(
            "SELECT key, session, project, model, answer FROM calls WHERE state = 'settled' ORDER BY number"
        )
        return [StoredAnswer(*row) for row in rows]

    def mark_applied(self, key: str) -> bool:
        """Whether the answer is still to be applied; marks it so and forgets its text.

        For the transaction that stores its findings: only who gets True may store them.
        """
        return bool(
            self._database.run(
                "UPDATE calls SET state = 'applied', answer = NULL WHERE key = ? AND state = 'settled'", (key,)
            )
        )

    def spent_today(self, now: float) -> Spend:
        """What counts against the cap now."""
        known = self._budget_day()
        return self._sum_charges("day = ?", next_budget_day(known, now).day)

    def budget_day_ahead(self, now: float) -> str:
        """The day that money is counted for, if the clock was set back behind it; else ""."""
        day = next_budget_day(self._budget_day(), now).day
        return day if day > _utc_day(now) else ""

    def spend_of_run(self, run: str) -> Spend:
        """What one run has cost."""
        return self._sum_charges("run = ?", run)

    def spend_of_session(self, session: str) -> Spend:
        """What one session has cost."""
        return self._sum_charges("key IN (SELECT key FROM calls WHERE session = ?)", storable(session))

    def spend_by_day(self, days: int = 30) -> dict[str, Spend]:
        """What the last days with calls have cost, newest first."""
        rows = self._database.rows("SELECT DISTINCT day FROM charges ORDER BY day DESC LIMIT ?", (days,))
        return {day: self._sum_charges("day = ?", day) for (day,) in rows}

    def keep_memo(self, name: str, body: bytes) -> None:
        """Keep a small state under a name, instead of what was kept there."""
        self._database.run("INSERT OR REPLACE INTO memos VALUES (?, ?)", (name, body))

    def memo(self, name: str) -> bytes | None:
        """What is kept under a name."""
        row = self._database.row("SELECT body FROM memos WHERE name = ?", (name,))
        return row[0] if row else None

    def _refusal_to_repeat(self, key: str, now: float) -> Grant | None:
        """Why this call may not be made (again) now."""
        row = self._database.row("SELECT state, reserved_at FROM calls WHERE key = ?", (key,))
        if row is None:
            return None
        state, reserved_at = row
        if state in {CallState.SETTLED, CallState.APPLIED}:
            return Grant.ANSWERED
        leased = state == CallState.RESERVED and abs(now - reserved_at) < LEASE_SECONDS
        return Grant.UNDER_WAY if leased or state == CallState.SENT else None

    def _settle_charge(self, key: str, tokens: Tokens | None, cost: Decimal | None) -> None:
        counts = (
            (0, 0, 0, 0)
            if tokens is None
            else (tokens.input_tokens, tokens.output_tokens, tokens.cache_write_tokens, tokens.cache_read_tokens)
        )
        self._database.run(_SETTLE, (*counts, None if cost is None else _nano(cost), key))

    def _fail_call(self, key: str, error: str) -> None:
        self._database.run(
            "UPDATE calls SET state = 'failed', batch = '', question = NULL, error = ?"
            " WHERE key = ? AND state IN ('reserved', 'sent')",
            (storable(error), key),
        )

    def _advance_day(self, now: float) -> str:
        known = self._budget_day()
        day = next_budget_day(known, now)
        if day != known:
            self.keep_memo(_BUDGET_DAY, msgspec.json.encode(day))
        return day.day

    def _budget_day(self) -> BudgetDay:
        body = self.memo(_BUDGET_DAY)
        return msgspec.json.decode(body, type=BudgetDay) if body else BudgetDay()

    def _spent_on(self, day: str) -> int:
        row = self._database.row("SELECT coalesce(sum(coalesce(cost, reserved)), 0) FROM charges WHERE day = ?", (day,))
        return int(row[0]) if row else 0

    def _sum_charges(self, condition: str, value: str) -> Spend:
        rows: list[Row] = self._database.rows(f"{_SUMS} WHERE {condition}", (value,))
        calls, read, wrote, cached, hit, nano, unpriced = rows[0]
        return Spend(calls, read, wrote, cached, hit, Decimal(nano) / _NANO, unpriced)


_RESERVE: Final = """
    INSERT INTO calls(key, session, project, model, state, reserved_at) VALUES (?, ?, ?, ?, 'reserved', ?)
    ON CONFLICT(key) DO UPDATE SET state = 'reserved', batch = '', reserved_at = excluded.reserved_at,
        attempts = attempts + 1
"""

# The last attempt of a call, while it is neither settled nor given up for lost.
_OPEN_CHARGE: Final = """
    number = (
        SELECT max(charges.number) FROM charges JOIN calls USING (key) WHERE key = ? AND state IN ('reserved', 'sent')
    )
    AND settled = 0
"""

_RELEASE: Final = f"DELETE FROM charges WHERE {_OPEN_CHARGE}"  # noqa: S608 - our own words

_SETTLE: Final = f"""
    UPDATE charges SET settled = 1, input_tokens = ?, output_tokens = ?, cache_write_tokens = ?, cache_read_tokens = ?,
        cost = ?
    WHERE {_OPEN_CHARGE}
"""  # noqa: S608 - our own words

_SUMS: Final = """
    SELECT count(*), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
        coalesce(sum(cache_write_tokens), 0), coalesce(sum(cache_read_tokens), 0),
        coalesce(sum(coalesce(cost, reserved)), 0), coalesce(sum(unpriced), 0)
    FROM charges
"""


def _nano(dollars: Decimal | None) -> int:
    """Billionths of a dollar, rounded up; a batch of ours costs down to 5 of them a token."""
    return 0 if dollars is None else int((dollars * _NANO).to_integral_value(rounding=ROUND_CEILING))


def _days(begin: str, end: str) -> int:
    return (date.fromisoformat(end) - date.fromisoformat(begin)).days


def _utc_day(now: float) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=now)).date().isoformat()

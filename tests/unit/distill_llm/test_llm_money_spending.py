"""The ledger of calls: what is reserved, settled, released and applied, over restarts, processes and clock jumps."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfdistill.distill.llm.asking import Usage
from selfdistill.store import Store
from selfdistill.store.spending import LEASE_SECONDS, BudgetDay, Grant, Submission, next_budget_day

MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of its own in there
NOON = 1_795_003_200.0  # 2026-11-18 12:00 UTC
DAY = 86_400.0
CENT = Decimal("0.01")
USED = Usage(1000, 50, 300, 20)


def open_store(path: Path) -> Store:
    """Another open store on this file."""
    return Store.open(path, derive=lambda findings, verdict: None)  # noqa: ARG005 - no lesson is derived here


@pytest.fixture
def path() -> Iterator[Path]:
    """Where a store may be made; in memory where possible."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as base:
        yield Path(base) / "lessons.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """An empty store."""
    store = open_store(path)
    yield store
    store.close()


def reserve(
    store: Store, key: str, *, cost: Decimal | None = CENT, cap: str = "1", now: float = NOON, run: str = "r"
) -> Grant:
    """Ask for a cent, or so."""
    return store.reserve_call(
        key, cost, cap=Decimal(cap), now=now, session=f"s-{key[0]}", project="kettle", model="m", run=run
    )


def spent(store: Store, now: float = NOON) -> Decimal:
    """What counts against the cap."""
    return store.spent_today(now).cost_usd


def test_cap_is_kept_before_sending(store: Store) -> None:
    """With a cap for ten calls, ten of a thousand are granted, to the last billionth."""
    grants = [reserve(store, f"k{number}", cap="0.1") for number in range(1000)]
    assert grants.count(Grant.GRANTED) == 10
    assert set(grants[10:]) == {Grant.OVER_CAP}
    assert spent(store) == Decimal("0.1")


def test_next_day_has_its_own_money(store: Store) -> None:
    """After midnight UTC ten more calls are granted."""
    for number in range(20):
        reserve(store, f"a{number}", cap="0.1")
    tomorrow = [reserve(store, f"b{number}", cap="0.1", now=NOON + DAY) for number in range(20)]
    assert tomorrow.count(Grant.GRANTED) == 10
    assert spent(store, NOON + DAY) == Decimal("0.1")


def test_settling_replaces_the_reservation(store: Store) -> None:
    """What an answer really cost counts instead of the worst case, with its tokens."""
    reserve(store, "k")
    assert store.store_answer("k", b"{}", USED, Decimal("0.0004"))
    spend = store.spent_today(NOON)
    assert (spend.cost_usd, spend.calls, spend.unpriced) == (Decimal("0.0004"), 1, 0)
    assert (spend.input_tokens, spend.output_tokens) == (1000, 50)
    assert (spend.cache_write_tokens, spend.cache_read_tokens) == (300, 20)


def test_failure_that_costs_nothing_gives_money_back(store: Store) -> None:
    """After a release the whole cap is there again, and the call may be made again."""
    reserve(store, "k", cap="0.01")
    store.release_call("k", "429")
    assert spent(store) == 0
    assert reserve(store, "k", cap="0.01") is Grant.GRANTED


def test_failure_that_may_have_cost_stays_spent(store: Store) -> None:
    """A call that hung up is spent at its worst case; what the service says of it counts if it says anything."""
    reserve(store, "k")
    store.settle_call("k", "hung up")
    assert spent(store) == CENT
    assert reserve(store, "k") is Grant.GRANTED
    store.settle_call("k", "no text", USED, Decimal("0.002"))
    assert spent(store) == Decimal("0.012")


def test_later_release_frees_its_own_attempt_only(store: Store) -> None:
    """What an earlier attempt may have cost is not given back by a later one, nor by a release too many."""
    reserve(store, "k")
    assert reserve(store, "k", now=NOON + LEASE_SECONDS) is Grant.GRANTED  # the first was killed
    store.release_call("k", "429")
    store.release_call("k", "429")
    assert spent(store) == CENT


def test_unknown_price_is_counted_in_tokens(store: Store) -> None:
    """A model without a price passes the cap with no cost, and is said to be unpriced."""
    assert reserve(store, "k", cost=None, cap="0") is Grant.GRANTED
    store.store_answer("k", b"{}", USED, None)
    spend = store.spent_today(NOON)
    assert (spend.cost_usd, spend.unpriced, spend.input_tokens) == (Decimal(0), 1, 1000)


def test_answer_is_applied_once(store: Store) -> None:
    """An answer waits until it is applied, by one only; then it is never asked for again and its text is gone."""
    reserve(store, "k")
    store.store_answer("k", b"answer", USED, CENT)
    assert store.answer("k") == b"answer"
    assert reserve(store, "k") is Grant.ANSWERED
    assert [(left.key, left.session, left.body) for left in store.unapplied_answers()] == [("k", "s-k", b"answer")]
    assert [store.mark_applied("k"), store.mark_applied("k")] == [True, False]
    assert store.answer("k") is None
    assert store.unapplied_answers() == []
    assert reserve(store, "k", now=NOON + 9 * DAY) is Grant.ANSWERED
    assert not store.store_answer("k", b"again", USED, CENT)


def test_applying_goes_with_its_transaction(store: Store) -> None:
    """If what is stored with it is undone, the answer is still to be applied."""

    def fail() -> None:
        with store.transaction():
            assert store.mark_applied("k")
            raise KeyError

    reserve(store, "k")
    store.store_answer("k", b"answer", USED, CENT)
    with pytest.raises(KeyError):
        fail()
    assert store.answer("k") == b"answer"


def test_call_under_way_is_not_made_twice(path: Path, store: Store) -> None:
    """Another process does not make the same call while it is under way; after the lease it may."""
    other = open_store(path)
    reserve(store, "k")
    assert reserve(other, "k", now=NOON + LEASE_SECONDS - 1) is Grant.UNDER_WAY
    assert reserve(other, "k", now=NOON + LEASE_SECONDS) is Grant.GRANTED
    other.close()


def test_batch_is_under_way_however_long(path: Path, store: Store) -> None:
    """What is in a batch is found again after a restart and not asked a second time."""
    for key in ("a", "b", "c"):
        reserve(store, key)
    store.mark_submitting("one", {"a": (1, b"?"), "b": (2, b"?")}, NOON)
    store.mark_sent("one", "batch 1")
    store.close()
    again = open_store(path)
    assert again.open_batches() == {"batch 1": ["a", "b"]}
    assert reserve(again, "a", now=NOON + DAY) is Grant.UNDER_WAY
    again.store_answer("a", b"{}", USED, CENT / 2)
    again.release_call("b", "expired")
    assert again.open_batches() == {}
    assert again.spend_by_day()["2026-11-18"].cost_usd == CENT / 2 + CENT
    assert reserve(again, "b") is Grant.GRANTED
    again.close()


def test_submission_without_an_end_is_found_again(path: Path, store: Store) -> None:
    """What was about to be handed over stays under way, and is told of once nobody can be about it any more."""
    for key in ("a", "b"):
        reserve(store, key)
    store.mark_submitting("one", {"a": (1, b"?"), "b": (2, b"??")}, NOON)
    store.close()
    again = open_store(path)
    later = NOON + LEASE_SECONDS
    assert (again.open_batches(), again.open_submissions(NOON + 1)) == ({}, [])
    assert again.open_submissions(later) == [Submission("one", ("a", "b"), NOON)]
    assert reserve(again, "a", now=later) is Grant.UNDER_WAY
    again.mark_sent("one", "batch 1")
    assert (again.open_batches(), again.open_submissions(later)) == ({"batch 1": ["a", "b"]}, [])
    assert (again.question("b"), spent(again)) == (b"??", 2 * CENT)
    again.close()


def _die_in_flight(path: Path, number: int) -> None:
    """A process that reserves and is gone."""
    store = open_store(path)
    reserve(store, "k", now=NOON + number * LEASE_SECONDS, cap="10")
    os._exit(9)


def test_each_kill_costs_one_call_at_most(path: Path, store: Store) -> None:
    """Twenty processes that die in flight leave twenty reservations, and the answer is still asked for."""
    context = multiprocessing.get_context("fork")
    for number in range(20):
        child = context.Process(target=_die_in_flight, args=(path, number))
        child.start()
        child.join()
    assert spent(store) == 20 * CENT
    assert reserve(store, "k", now=NOON + 20 * LEASE_SECONDS, cap="10") is Grant.GRANTED
    assert store.store_answer("k", b"{}", USED, CENT)
    assert store.spent_today(NOON).calls == 21


def test_two_processes_share_one_cap(path: Path, store: Store) -> None:
    """However two writers interleave, the cap holds."""
    grants: list[Grant] = []

    def spend_all(name: str) -> None:
        other = open_store(path)
        grants.extend(reserve(other, f"{name}{number}", cap="0.2") for number in range(30))
        other.close()

    threads = [threading.Thread(target=spend_all, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert grants.count(Grant.GRANTED) == 20
    assert spent(store) == Decimal("0.2")


@pytest.mark.parametrize("back", [NOON - DAY, NOON - 3 * DAY, 0.0, -DAY])
def test_clock_set_back_frees_no_money(store: Store, back: float) -> None:
    """With the day's money spent, a clock that jumps back, even to 1970, and forth again gives no call."""
    assert reserve(store, "a", cap="0.01") is Grant.GRANTED
    for now in (back, back + 60, NOON + 1):
        assert reserve(store, f"b{now}", cap="0.01", now=now) is Grant.OVER_CAP
        assert spent(store, now) == CENT
    assert reserve(store, "c", cap="0.01", now=NOON + DAY) is Grant.GRANTED


def test_clock_that_ran_ahead_does_not_stop_us_for_ever(store: Store) -> None:
    """After a visit to 2106 the money of that day counts until the next midnight, and no longer."""
    reserve(store, "a", cap="0.01")
    ahead = NOON + 80 * 365 * DAY
    assert reserve(store, "b", cap="0.01", now=ahead) is Grant.GRANTED
    assert reserve(store, "c", cap="0.01", now=NOON) is Grant.OVER_CAP
    assert reserve(store, "d", cap="0.01", now=NOON + DAY) is Grant.GRANTED
    assert reserve(store, "e", cap="0.01", now=NOON + DAY) is Grant.OVER_CAP


def test_machine_that_rests_over_the_weekend_is_not_stopped(store: Store) -> None:
    """After a visit to 2106 a machine that is not on each day has money again on its next day, and `status` is told."""
    reserve(store, "a", cap="0.01", now=NOON + 80 * 365 * DAY)
    assert reserve(store, "b", cap="0.01", now=NOON) is Grant.OVER_CAP
    assert store.budget_day_ahead(NOON) == "2106-10-30"
    assert store.budget_day_ahead(NOON + 3 * DAY) == ""
    assert reserve(store, "c", cap="0.01", now=NOON + 3 * DAY) is Grant.GRANTED
    assert reserve(store, "d", cap="0.01", now=NOON + 3 * DAY) is Grant.OVER_CAP


def test_clock_gone_wild_frees_no_money(store: Store) -> None:
    """Ahead, back to 1970 and forth again: a jump over days is no midnight that has passed."""
    ahead = NOON + 80 * 365 * DAY
    for number, now in enumerate((NOON, ahead)):
        assert reserve(store, f"a{number}", cap="0.01", now=now) is Grant.GRANTED
    for number, now in enumerate((NOON + 9 * DAY, 0.0, NOON + 3 * DAY, NOON + 3 * DAY + 1)):
        assert reserve(store, f"b{number}", cap="0.01", now=now) is Grant.OVER_CAP
    assert reserve(store, "c", cap="0.01", now=NOON + 4 * DAY) is Grant.GRANTED


@given(st.lists(st.one_of(st.floats(-1e9, 5e9), st.sampled_from([0.0, DAY, 2 * DAY, NOON])), max_size=12))
def test_budget_days_are_never_more_than_midnights(moments: list[float]) -> None:
    """The day counted for changes only with a new later day, or with a midnight that the clock itself has passed."""
    known = BudgetDay()
    for moment in moments:
        before, known = known, next_budget_day(known, moment)
        if known.day < before.day:
            assert before.behind
            assert before.behind < known.day


def test_spend_is_told_by_session_run_and_day(store: Store) -> None:
    """Costs are summed for a session, a run and each day."""
    reserve(store, "a1", run="r1")
    reserve(store, "a2", run="r2", now=NOON + DAY)
    reserve(store, "b1", run="r2", now=NOON + DAY)
    assert store.spend_of_session("s-a").calls == 2
    assert store.spend_of_run("r2").cost_usd == 2 * CENT
    assert {day: spend.calls for day, spend in store.spend_by_day().items()} == {"2026-11-19": 2, "2026-11-18": 1}
    assert list(store.spend_by_day(1)) == ["2026-11-19"]


def test_memo_keeps_the_last_word(path: Path, store: Store) -> None:
    """A small state survives a restart; the newest counts; a name that was never kept has none."""
    store.keep_memo("patience", b"1")
    store.keep_memo("patience", b"2")
    store.close()
    again = open_store(path)
    assert again.memo("patience") == b"2"
    assert again.memo("other") is None
    again.close()


def test_texts_are_stored_whatever_they_hold(store: Store) -> None:
    """A lone surrogate in a session's name or an error does not break the ledger."""
    store.reserve_call("k", CENT, cap=None, now=NOON, session="s\ud800", project="p\ud800", model="m\ud800")
    store.release_call("k", "broke at \ud800")
    assert store.spend_of_session("s\ud800").calls == 0

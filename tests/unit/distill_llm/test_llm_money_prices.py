"""Prices, the name of a call and the most it can cost."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfdistill.distill.llm.asking import Request, Usage
from selfdistill.distill.llm.budget import most_it_can_cost, prompt_tokens_bound, request_key
from selfdistill.distill.llm.prices import DEFAULT_MODEL, PRICES, cost, is_cached, price_of, takes_effort, worst_case

MILLION = 1_000_000
counts = st.integers(0, 3 * MILLION)


def request(model: str = DEFAULT_MODEL, user: str = "u" * 4000) -> Request:
    """A request with a prompt of about this size."""
    return Request("k", model, "s" * 1000, user, 2000, {"type": "object"})


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("claude-haiku-5-5", Usage(input_tokens=100_000), "0.01"),
        ("claude-haiku-5-5", Usage(output_tokens=MILLION), "0.5"),
        ("claude-haiku-5-5", Usage(cache_write_tokens=1000), "0.000125"),
        ("claude-haiku-5-5", Usage(cache_read_tokens=1000), "0.00001"),
        ("claude-haiku-4-5-20251001", Usage(MILLION, MILLION, MILLION, MILLION), "7.35"),
        ("claude-opus-5-5", Usage(1, 1, 1, 1), "0.0000292"),
    ],
)
def test_each_kind_of_token_has_its_price(model: str, usage: Usage, dollars: str) -> None:
    """A call costs what the table says for its four kinds of tokens."""
    assert cost(model, usage) == Decimal(dollars)


def test_long_prompt_costs_more_for_every_token() -> None:
    """Past the threshold, cache reads counted, the whole call is billed at the higher rates, output too."""
    assert cost("claude-haiku-5-5", Usage(100_000, 1000)) == Decimal("0.0105")
    assert cost("claude-haiku-5-5", Usage(90_001, 1000, 5000, 5000)) == Decimal("0.0508755")


def test_batch_is_half_price() -> None:
    """A batch costs half, rounded up to a billionth."""
    assert cost("claude-haiku-5-5", Usage(MILLION // 10, MILLION), batch=True) == Decimal("0.255")
    assert cost("claude-haiku-5-5", Usage(cache_write_tokens=1), batch=True) == Decimal("0.000000063")


@pytest.mark.parametrize("model", ["", "claude-haiku-55", "gpt-9", "claude-haiku-5-5-2026", "xclaude-haiku-5-5"])
def test_unknown_model_has_no_price(model: str) -> None:
    """A model that the table does not name has no cost, rather than a guessed one, and takes no effort."""
    assert cost(model, Usage(1, 1)) is None
    assert worst_case(model, 1, 1) is None
    assert not takes_effort(model)


def test_short_beginnings_are_not_cached() -> None:
    """Whether our system prompt is cached hangs on the model; of an unknown one nobody knows."""
    assert is_cached(DEFAULT_MODEL, 512)
    assert not is_cached(DEFAULT_MODEL, 511)
    assert not is_cached("claude-haiku-4-5-20251001", 4095)
    assert not is_cached("kettle-7b", 100_000)


@given(counts, counts, counts, counts, st.sampled_from([price.model for price in PRICES]), st.booleans())
def test_worst_case_is_never_passed(fresh: int, output: int, written: int, read: int, model: str, batch: bool) -> None:
    """Whatever the cache does, no call costs more than its worst case."""
    usage = Usage(fresh, output, written, read)
    most, real = worst_case(model, usage.prompt_tokens, output, batch=batch), cost(model, usage, batch=batch)
    assert most is not None
    assert real is not None
    assert real <= most


def test_default_is_the_cheapest_known_model() -> None:
    """No model of the table is cheaper than the default one, for input or output."""
    default = price_of(DEFAULT_MODEL)
    assert default is not None
    assert all(default.rates.input <= price.rates.input for price in PRICES)
    assert all(default.rates.output <= price.rates.output for price in PRICES)


def test_every_row_says_when_and_whence() -> None:
    """Each price has a date and a source, and no model stands twice."""
    assert all(date.fromisoformat(price.looked_up) and price.source for price in PRICES)
    assert len({price.model for price in PRICES}) == len(PRICES)


def test_key_changes_with_each_part() -> None:
    """Equal parts give an equal key; any other part another, even where texts run together. It fits a batch's ids."""
    base = ("s", 1, 23, "m", 4)
    others = [("s1", 1, 23, "m", 4), ("s", 12, 3, "m", 4), ("s", 1, 23, "m4", 4), ("s", 1, 23, "m", 5)]
    keys = {request_key(*base), *(request_key(*parts) for parts in others)}
    assert len(keys) == 5
    assert request_key(*base) == request_key(*base)
    assert all(len(key) == 32 and key.isalnum() for key in keys)


def test_bound_counts_bytes() -> None:
    """The bound is above what any tokenizer makes of English or Chinese, and the schema counts too."""
    assert prompt_tokens_bound(request(user="word " * 1000)) > 1500
    assert prompt_tokens_bound(request(user="蒸留" * 1000)) > 3000
    assert prompt_tokens_bound(request(user="\ud800")) > 0


def test_most_it_can_cost_is_what_to_reserve() -> None:
    """A usual prompt of 24,000 tokens reserves about a cent; an unknown model nothing."""
    usual = most_it_can_cost(request(user="x" * 67_200))
    assert usual is not None
    assert Decimal("0.003") < usual < Decimal("0.012")
    assert most_it_can_cost(request(model="gpt-9")) is None

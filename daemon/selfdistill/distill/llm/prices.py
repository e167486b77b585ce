"""What models cost, as one dated table; from it the cost of a call, its worst case, and the default model.

Prices are list prices in US dollars per million tokens, looked up on the date in each row. "official": read on
platform.claude.com (models/<name>/overview and about-claude/pricing, stored copies). "agreed": several price lists that
say they copied the official page.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

from msgspec import Struct

from selfdistill.distill.llm.asking import Usage

DEFAULT_MODEL: Final = "claude-haiku-5-5"
"""The cheapest current model: built for extraction at high volume, a tenth of what the Haiku before it costs."""

BATCH_FACTOR: Final = Decimal("0.5")
"""Message Batches cost half, on input, output and cache alike (platform.claude.com, batch processing)."""

_MILLION: Final = 1_000_000
_NANODOLLAR: Final = Decimal("1e-9")


class Rates(Struct, frozen=True):
    """US dollars per million tokens."""

    input: Decimal
    output: Decimal
    cache_write: Decimal  # kept for five minutes
    cache_read: Decimal


class Price(Struct, frozen=True):
    """What the models of one name cost, since when that was known, and from where.

    A prompt longer than `long_prompt_tokens` (cache reads and writes count) pays `long_rates` for every token of the
    call. `effort`: whether the model takes the parameter of that name. `cache_minimum_tokens`: a shorter beginning of a
    prompt is not cached, whatever the request says (about prompt caching, "cache limitations"; it does not fall from
    one generation to the next: 4,096 for the 4.5s, 512 from Opus 5 on).
    """

    model: str
    rates: Rates
    looked_up: str
    source: str
    effort: bool = True
    cache_minimum_tokens: int = 512
    long_prompt_tokens: int | None = None
    long_rates: Rates | None = None


def _rates(input_: str, output: str, cache_write: str, cache_read: str) -> Rates:
    return Rates(Decimal(input_), Decimal(output), Decimal(cache_write), Decimal(cache_read))


_OPUS_45_TO_5: Final = _rates("5", "25", "6.25", "0.50")
_SONNET_4: Final = _rates("3", "15", "3.75", "0.30")
_LOOKED_UP: Final = "2026-11-23"

PRICES: Final[tuple[Price, ...]] = (
    Price(
        "claude-haiku-5-5",
        _rates("0.10", "0.50", "0.125", "0.01"),
        _LOOKED_UP,
        "input and output official; cache and long prompts agreed (since 2026-10-07)",
        long_prompt_tokens=100_000,
        long_rates=_rates("0.50", "2.50", "0.625", "0.05"),
    ),
    Price(
        "claude-haiku-4-5",
        _rates("1", "5", "1.25", "0.10"),
        _LOOKED_UP,
        "official",
        effort=False,
        cache_minimum_tokens=4096,
    ),
    Price(
        "claude-sonnet-5-5",
        _rates("2", "10", "2.50", "0.10"),
        _LOOKED_UP,
        "official; cache reads, halved on 2026-10-07, agreed",
    ),
    Price("claude-sonnet-5", _rates("2", "10", "2.50", "0.20"), _LOOKED_UP, "official", cache_minimum_tokens=1024),
    Price("claude-sonnet-4-6", _SONNET_4, _LOOKED_UP, "official; cache agreed", cache_minimum_tokens=2048),
    Price("claude-sonnet-4-5", _SONNET_4, _LOOKED_UP, "official", effort=False, cache_minimum_tokens=1024),
    Price("claude-opus-5-5", _rates("4", "20", "5", "0.20"), _LOOKED_UP, "official"),
    Price("claude-opus-5", _OPUS_45_TO_5, _LOOKED_UP, "official"),
    Price("claude-opus-4-8", _OPUS_45_TO_5, _LOOKED_UP, "official", cache_minimum_tokens=1024),
    Price("claude-opus-4-7", _OPUS_45_TO_5, _LOOKED_UP, "official", cache_minimum_tokens=2048),
    Price("claude-opus-4-6", _OPUS_45_TO_5, _LOOKED_UP, "official", cache_minimum_tokens=4096),
    Price("claude-opus-4-5", _OPUS_45_TO_5, _LOOKED_UP, "official", cache_minimum_tokens=4096),
    Price("claude-fable-5-2", _rates("8", "40", "10", "0.20"), _LOOKED_UP, "one price list (rightsize 0.10.2)"),
    Price("claude-fable-5-1", _rates("10", "50", "12.50", "0.25"), _LOOKED_UP, "official"),
    Price("claude-fable-5", _rates("10", "50", "12.50", "1"), _LOOKED_UP, "official"),
)

# A snapshot of a model is its name and a date, and costs the same: claude-haiku-4-5-20251001.
_SNAPSHOT: Final = re.compile(r"-\d{8}\Z")
_BY_MODEL: Final = {price.model: price for price in PRICES}


def price_of(model: str) -> Price | None:
    """The price of a model or of a dated snapshot of it; None if the table does not know it."""
    return _BY_MODEL.get(_SNAPSHOT.sub("", model))


def cost(model: str, usage: Usage, *, batch: bool = False) -> Decimal | None:
    """US dollars for these tokens, rounded up to a billionth; None for an unknown model: then only tokens are known."""
    price = price_of(model)
    if price is None:
        return None
    rates = _rates_for(price, usage.prompt_tokens)
    total = (
        rates.input * usage.input_tokens
        + rates.output * usage.output_tokens
        + rates.cache_write * usage.cache_write_tokens
        + rates.cache_read * usage.cache_read_tokens
    )
    factor = BATCH_FACTOR if batch else Decimal(1)
    return (total * factor / _MILLION).quantize(_NANODOLLAR, rounding=ROUND_CEILING)


def worst_case(model: str, prompt_tokens: int, max_output_tokens: int, *, batch: bool = False) -> Decimal | None:
    """The most that such a call can cost: the whole prompt written to the cache, and every output token used."""
    return cost(model, Usage(output_tokens=max_output_tokens, cache_write_tokens=prompt_tokens), batch=batch)


def is_cached(model: str, tokens: int) -> bool:
    """Whether so long a beginning of a prompt is cached, if the request asks for it. Unknown models: no."""
    price = price_of(model)
    return price is not None and tokens >= price.cache_minimum_tokens


def takes_effort(model: str) -> bool:
    """Whether a request may set `effort`. Unknown models: no, for those that do not know it refuse the request."""
    price = price_of(model)
    return price is not None and price.effort


def _rates_for(price: Price, prompt_tokens: int) -> Rates:
    if price.long_rates is not None and price.long_prompt_tokens is not None:
        return price.long_rates if prompt_tokens > price.long_prompt_tokens else price.rates
    return price.rates

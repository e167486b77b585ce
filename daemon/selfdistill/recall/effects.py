"""Whether a lesson helps: sessions that were told against those that were not, with a stated rule.

A share of failing sessions is uncertain as a Beta distribution says (Bayes with a uniform prior), so that few sessions
prove nothing. A lesson is *helping* where its failure came, with a probability of SURE, in a smaller share of the
sessions that were told and had an opportunity than of the project's other sessions. Those are counted whether they had
an opportunity or not, which makes their share smaller: the claim is a cautious one. It is *not helping* where, with the
same probability, its failure came in more than half of the sessions that were told and had an opportunity: of the
other sessions no share that is too small may be held against it. Else it is *unproven*.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Final

from msgspec import Struct

SURE: Final = 0.9


class Standing(StrEnum):
    """What is known of a lesson's use."""

    UNPROVEN = "unproven"
    HELPING = "helping"
    NOT_HELPING = "not helping"


class Share(Struct, frozen=True):
    """Of `sessions` in so many `failed` the failure came."""

    failed: int = 0
    sessions: int = 0


class Effect(Struct, frozen=True):
    """How a lesson stands, and the counts: before it was learned, later but untold, told with an opportunity."""

    standing: Standing
    before: Share
    untold: Share
    told: Share


def effect(before: Share, untold: Share, told: Share) -> Effect:
    """Judge a lesson by its counts."""
    others = Share(before.failed + untold.failed, before.sessions + untold.sessions)
    standing = Standing.UNPROVEN
    if told.sessions and others.sessions and probability_less(told, others) >= SURE:
        standing = Standing.HELPING
    elif mostly_fails(told):
        standing = Standing.NOT_HELPING
    return Effect(standing, before, untold, told)


def ignored(helped: int, recurred: int) -> str:
    """Why a lesson that helped in so many sessions, and did not in so many, need not be told any more; "" if it may.

    Three sessions of three are the least: 0.94.
    """
    if not mostly_fails(Share(recurred, helped + recurred)):
        return ""
    return f"told in {helped + recurred} sessions where its failure could come, it came in {recurred} all the same"


def mostly_fails(share: Share) -> bool:
    """Whether, as surely as SURE, the failure comes in more than half of such sessions.

    The chance that a Beta(f + 1, s - f + 1) is above one half is that of at most f heads in s + 1 throws of a coin.
    """
    throws = share.sessions + 1
    at_most: float = sum(math.comb(throws, heads) for heads in range(share.failed + 1)) / 2**throws
    return at_most >= SURE


def probability_less(one: Share, other: Share) -> float:
    """How probable it is that the failure's true share is smaller in `one` than in `other`.

    For Beta distributions with whole parameters a finite sum (E. Miller, "Formulas for Bayesian A/B testing", 2015).
    """
    a, b = one.failed + 1, one.sessions - one.failed + 1
    c, d = other.failed + 1, other.sessions - other.failed + 1
    return math.fsum(
        math.exp(_log_beta(a + i, b + d) - math.log(d + i) - _log_beta(1 + i, d) - _log_beta(a, b)) for i in range(c)
    )


def _log_beta(a: int, b: int) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

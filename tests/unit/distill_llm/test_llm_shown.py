"""Beginnings of conversations: two logs share exactly what they share, however they were cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from selfdistill.distill.llm.excerpts import Excerpt
from selfdistill.distill.llm.shown import (
    DIGEST_BYTES,
    MOST_BEGINNINGS,
    Beginning,
    beginnings,
    joined,
    repeated,
    split,
)
from selfdistill.distill.llm.transcript import Entry, Episode, Size, Tier
from selfdistill.model import EventKind, Span

work = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), max_size=5)


def episodes(*uids: list[int]) -> list[Episode]:
    """Episodes of events with these uids."""
    return [
        Episode(
            tuple(
                Entry(
                    "e1", EventKind.USER, Tier.USER, Size.USER, f"u{uid}\ud800", Span(0, 1), None, "", "", Excerpt("")
                )
                for uid in one
            )
        )
        for one in uids
    ]


@given(work, work, work)
def test_forks_share_their_common_beginning(
    common: list[list[int]], one: list[list[int]], two: list[list[int]]
) -> None:
    """Of a fork exactly the episodes at its beginning are repeated that the other log has, too."""
    shown = {end.digest for end in beginnings(episodes(*common, *one), Beginning())}
    ends = beginnings(episodes(*common, *two), Beginning())
    same = 0
    while same < min(len(one), len(two)) and one[same] == two[same]:
        same += 1
    repeats = repeated(ends, shown)
    assert repeats >= len(common) + same
    flat = [uid for part in (*common, *two) for uid in part]
    beginning = [uid for part in (*common, *two)[:repeats] for uid in part]
    assert beginning == flat[: len(beginning)]
    assert beginning in [
        [uid for part in (*common, *one)[:end] for uid in part] for end in range(len(common + one) + 1)
    ]


@given(work, work)
def test_parts_give_what_the_whole_gives(first: list[list[int]], second: list[list[int]]) -> None:
    """A log that was asked about in two parts has the beginnings of one that was asked about whole."""
    whole = beginnings(episodes(*first, *second), Beginning())
    part = beginnings(episodes(*first), Beginning())
    rest = beginnings(episodes(*second), part[-1] if part else Beginning())
    assert [*part, *rest] == whole


def test_the_oldest_beginnings_are_forgotten() -> None:
    """What is kept of a conversation is bounded, and holds the latest."""
    digests = [number.to_bytes(DIGEST_BYTES, "big") for number in range(MOST_BEGINNINGS + 10)]
    kept = joined(joined(b"", digests[:20]), digests[10:])
    assert split(kept) == digests[10:]

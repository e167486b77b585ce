"""Which beginnings of conversations a model has been shown: what a fork or a resumed log repeats is not paid twice.

Each beginning that ends with a human request's work has a digest of the uids of its events; a few digests for each
question, kept under the conversation's first event, find the longest beginning that two logs share.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from selfdistill.distill.llm.transcript import Episode

DIGEST_BYTES: Final = 8
MOST_BEGINNINGS: Final = 2048  # of one conversation; the oldest are forgotten


class Beginning(Struct, frozen=True, omit_defaults=True):
    """A conversation up to some event: the digest of its first event, and the digest of all; empty before the first."""

    family: bytes = b""
    digest: bytes = b""


def beginnings(episodes: Sequence[Episode], earlier: Beginning) -> list[Beginning]:
    """The beginning that ends with each episode, in order, where `earlier` is what came before them."""
    made: list[Beginning] = []
    family, digest = earlier.family, earlier.digest
    for episode in episodes:
        for entry in episode.entries:
            digest = hashlib.blake2b(
                digest + entry.uid.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES
            ).digest()
            family = family or digest
        made.append(Beginning(family, digest))
    return made


def repeated(ends: Sequence[Beginning], shown: Collection[bytes]) -> int:
    """How many of the first episodes, which end so, were shown before."""
    return next((place + 1 for place in reversed(range(len(ends))) if ends[place].digest in shown), 0)


def split(kept: bytes) -> list[bytes]:
    """The digests that are kept in one piece."""
    return [kept[place : place + DIGEST_BYTES] for place in range(0, len(kept), DIGEST_BYTES)]


def joined(kept: bytes, digests: Sequence[bytes]) -> bytes:
    """What is to be kept with these digests added."""
    every = dict.fromkeys((*split(kept), *digests))
    return b"".join(list(every)[-MOST_BEGINNINGS:])

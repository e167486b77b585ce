"""Is this still the log that the cursor was made for? Pure: stats and proofs go in, a verdict comes out.

The inode alone says nothing: ext4 gave a deleted file's inode to the next new file in 200 of 200 trials. So the verdict
rests on the bytes: a hash of the head (as filebeat and the OpenTelemetry collector do) and one of the bytes just before
the offset (fluent-bit's "offset marker", which catches a file truncated and grown again past the old offset).

What is not seen: bytes changed in place between head and tail, at the same length. No agent is known to do that.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.model import Proof, Stat

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

HEAD_BYTES: Final = 1024
TAIL_BYTES: Final = 256
DIGEST_BYTES: Final = 16
LARGEST_INTEGER: Final = 2**63 - 1  # of SQLite; some file systems give inodes and times beyond it


class Sameness(StrEnum):
    """What a path holds, compared with what was known of it."""

    SAME = "same"  # nothing happened since: need not be opened
    GROWN = "grown"  # the same stream, perhaps longer: read on from the offset
    REWRITTEN = "rewritten"  # the same log truncated or rewritten: next generation, from offset 0
    REPLACED = "replaced"  # another log under this name: a new stream, from offset 0
    UNSEEN = "unseen"  # nothing is known of this path


class Vanished(Struct, frozen=True):
    """A log whose path is gone, as a candidate for "it was renamed". `key` is the caller's name for it."""

    key: str
    stat: Stat
    proof: Proof


def stat_of(result: os.stat_result) -> Stat:
    """The part of a stat result that identity needs, with every figure small enough for SQLite."""
    return Stat(
        dev=_storable(result.st_dev),
        ino=_storable(result.st_ino),
        size=result.st_size,
        mtime_ns=_storable(result.st_mtime_ns),
        ctime_ns=_storable(result.st_ctime_ns),
    )


def proof_of(offset: int, head: bytes, tail: bytes) -> Proof:
    """The proof for an offset from the bytes that are there: fewer than the offset asks for never compare equal."""
    return Proof(offset, len(head), digest(head), len(tail), digest(tail))


def digest(data: bytes) -> bytes:
    """BLAKE2b of 16 bytes; of nothing it is nothing, so that the proof for offset 0 is `Proof()`."""
    return blake2b(data, digest_size=DIGEST_BYTES).digest() if data else b""


def glance(stored: Stat | None, now: Stat) -> Sameness | None:
    """UNSEEN or SAME, decided on the stat alone; None means: open it and `judge`."""
    if stored is None:
        return Sameness.UNSEEN
    return Sameness.SAME if stored == now else None


def judge(stored: Proof | None, seen: Proof) -> Sameness:
    """What a known path holds, from the cursor's proof and the proof recomputed now for the same offset.

    Nothing consumed yet (no cursor, or offset 0, whose proof is always the same) proves nothing: reading from the start
    is right in every case.
    """
    if stored is None or stored == seen:
        return Sameness.GROWN
    if seen.head_length < stored.head_length or seen.head == stored.head:
        return Sameness.REWRITTEN
    return Sameness.REPLACED


def moved(stored: Proof, seen: Proof) -> bool:
    """Whether a path never seen before holds what the cursor of a vanished log has read.

    Inodes are not asked: a log that was compressed, archived or brought to another disk keeps its cursor too.
    """
    return stored.offset > 0 and stored == seen


def origin(vanished: Iterable[Vanished], now: Stat, proof_at: Callable[[int], Proof]) -> Vanished | None:
    """The vanished log whose cursor an unseen path carries on, if any; a file with its inode first, then the longest.

    `proof_at` recomputes the proof of the unseen path for an offset; it is asked for whole offsets only where the
    head agrees. Logs that are still there are never candidates: the same head in two living logs is a fork.
    """
    proofs = cache(proof_at)

    def rank(candidate: Vanished) -> tuple[bool, int]:
        same_file = (candidate.stat.dev, candidate.stat.ino) == (now.dev, now.ino)
        return same_file, candidate.proof.offset

    for candidate in sorted(vanished, key=rank, reverse=True):
        proof = candidate.proof
        if proofs(proof.head_length).head == proof.head and moved(proof, proofs(proof.offset)):
            return candidate
    return None


def _storable(figure: int) -> int:
    return max(-LARGEST_INTEGER, min(LARGEST_INTEGER, figure))


def same_bytes(one: Stat, other: Stat) -> bool:
    """Whether two stats are of one file that nobody wrote to in between; a rename changes its ctime only."""
    return (one.dev, one.ino, one.size, one.mtime_ns) == (other.dev, other.ino, other.size, other.mtime_ns)

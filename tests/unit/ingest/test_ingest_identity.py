"""Identity: is this still the log that the cursor was made for?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from selfdistill.ingest.identity import Sameness, Vanished, digest, glance, judge, moved, origin, proof_of, stat_of
from selfdistill.model import Proof, Stat

if TYPE_CHECKING:
    from collections.abc import Callable

STAT = Stat(dev=1, ino=2, size=3, mtime_ns=4, ctime_ns=5)


def proof_at(content: bytes) -> Callable[[int], Proof]:
    """How a file of this content proves itself at an offset."""
    return lambda offset: proof_of(offset, content[: min(1024, offset)], content[max(0, offset - 256) : offset])


def seen(before: bytes, offset: int, now: bytes) -> Sameness:
    """The verdict on a log that was read up to `offset`, now that it holds something else."""
    return judge(proof_at(before)(offset), proof_at(now)(offset))


LOG = b"".join(b'{"line": %d}\n' % number for number in range(500))


def test_nothing_is_opened_when_the_stat_is_as_stored() -> None:
    """The same five figures decide without a look inside; one other figure asks for that look."""
    assert glance(STAT, STAT) is Sameness.SAME
    assert glance(None, STAT) is Sameness.UNSEEN
    for other in (
        Stat(9, 2, 3, 4, 5),
        Stat(1, 9, 3, 4, 5),
        Stat(1, 2, 9, 4, 5),
        Stat(1, 2, 3, 9, 5),
        Stat(1, 2, 3, 4, 9),
    ):
        assert glance(STAT, other) is None


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        (LOG, Sameness.GROWN),
        (LOG + b"more\n", Sameness.GROWN),
        (LOG[:3000], Sameness.REWRITTEN),  # truncated
        (LOG[:10], Sameness.REWRITTEN),
        (b"", Sameness.REWRITTEN),
        (LOG[:3000] + b"#" * 9000, Sameness.REWRITTEN),  # truncated and grown again past the offset
        (b"#" + LOG[1:], Sameness.REPLACED),
        (b"#" * 2000, Sameness.REPLACED),
    ],
)
def test_what_a_changed_log_is(now: bytes, verdict: Sameness) -> None:
    """Head and tail together tell growth, truncation, rewriting and another file apart."""
    assert seen(LOG, 5000, now) is verdict


def test_nothing_consumed_proves_nothing() -> None:
    """With offset 0 or no cursor the log is read from the start, whatever it holds."""
    assert judge(Proof(), proof_at(b"other")(0)) is Sameness.GROWN
    assert judge(None, Proof()) is Sameness.GROWN


def test_a_rename_carries_the_cursor_and_a_copy_of_the_head_does_not() -> None:
    """A path never seen continues a vanished log only if all that was read of it is there."""
    stored = proof_at(LOG)(5000)
    assert moved(stored, proof_at(LOG + b"x")(5000))
    assert not moved(stored, proof_at(LOG[:2000] + b"#" * 5000)(5000))
    assert not moved(Proof(), Proof())


def test_origin_prefers_the_same_file_and_then_the_longest() -> None:
    """Among vanished logs with equal bytes the one with this inode is the origin, else the one read furthest."""
    short = Vanished("short", Stat(1, 7, 0, 0, 0), proof_at(LOG)(2000))
    long = Vanished("long", Stat(1, 8, 0, 0, 0), proof_at(LOG)(5000))
    stranger = Vanished("stranger", Stat(1, 9, 0, 0, 0), proof_at(b"#" * 9000)(9000))
    vanished = [short, stranger, long]
    assert origin(vanished, Stat(1, 2, 0, 0, 0), proof_at(LOG)) == long
    assert origin(vanished, Stat(1, 7, 0, 0, 0), proof_at(LOG)) == short
    assert origin(vanished, Stat(1, 9, 0, 0, 0), proof_at(b"?" * 9000)) is None


def test_the_proof_of_nothing_is_the_default_proof() -> None:
    """A cursor at the beginning equals `Proof()`, so that no code needs to know how."""
    assert proof_at(LOG)(0) == Proof()
    assert digest(b"") == b""


def test_figures_fit_into_a_signed_64_bit_column() -> None:
    """Inodes and times beyond 2^63 (some FUSE and XFS mounts) do not break the store."""
    huge = os.stat_result(
        (0o100644, 2**64 - 1, 1, 1, 0, 0, 3, 0, 0, 0), {"st_mtime_ns": -(2**70), "st_ctime_ns": 2**70}
    )
    found = stat_of(huge)
    assert (found.ino, found.mtime_ns, found.ctime_ns) == (2**63 - 1, -(2**63) + 1, 2**63 - 1)

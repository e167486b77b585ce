"""What framing, identity and settling promise for every input."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from selfdistill.config import Settling
from selfdistill.ingest.framing import Framer
from selfdistill.ingest.identity import Sameness, Vanished, glance, judge, moved, origin, proof_of
from selfdistill.ingest.settling import Pending, due_at, first_sight, grown, is_due, looked_at, next_wake
from selfdistill.model import Proof, Stat, Turn

TEXT = st.lists(st.sampled_from([b"a", b"\n", b"\r", b" ", b"\xc3\xa9", b"\0", b"{}", b"xyzxyz"]), max_size=60).map(
    b"".join
)
LONGEST = 12
CONTENT = st.binary(min_size=1, max_size=3000) | st.integers(1, 4000).map(lambda size: b"line\n" * (size // 5 + 1))
TURNS = st.sampled_from([None, *Turn])
TIME = st.floats(-1e9, 1e10)


def lines_of(text: bytes) -> list[tuple[int, bytes]]:
    """The lines that a framer must deliver, by the simplest means."""
    lines, offset = [], 0
    for line in text.split(b"\n")[:-1]:
        if line.strip(b" \t\r\n\v\f") and len(line) <= LONGEST:
            lines.append((offset, line))
        offset += len(line) + 1
    return lines


@given(text=TEXT, cuts=st.lists(st.integers(0, 400), max_size=12))
def test_framing_does_not_depend_on_where_the_chunks_are_cut(text: bytes, cuts: list[int]) -> None:
    """Cut at any byte, the same lines come at the same offsets, whole and once."""
    framer = Framer(0, LONGEST)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    delivered = []
    for start, end in pairwise(edges):
        for offset, line in framer.feed(text[start:end]):
            delivered.append((offset, line))
            assert framer.offset == offset + len(line) + 1
        assert len(framer.rest) <= LONGEST
    tail = text[text.rfind(b"\n") + 1 :]
    assert delivered == lines_of(text)
    assert framer.offset == len(text) - len(tail)
    assert framer.rest == (tail if len(tail) <= LONGEST else b"")
    assert framer.oversized_count == sum(len(line) > LONGEST for line in text.split(b"\n")[:-1])


def proof(content: bytes, offset: int) -> Proof:
    """How a file of this content proves itself at an offset."""
    return proof_of(offset, content[: min(1024, offset)], content[max(0, offset - 256) : offset])


@given(before=CONTENT, now=CONTENT, share=st.integers(0, 3000), offset=st.integers(1, 3000))
def test_any_two_sightings_are_judged_by_what_was_consumed(before: bytes, now: bytes, share: int, offset: int) -> None:
    """GROWN exactly if head and tail of the consumed bytes are still there; a foreign head is never continued."""
    now = before[:share] + now
    offset = min(offset, len(before))
    verdict = judge(proof(before, offset), proof(now, offset))
    intact = len(now) >= offset and all(
        before[part] == now[part] for part in (slice(min(1024, offset)), slice(max(0, offset - 256), offset))
    )
    assert (verdict is Sameness.GROWN) == intact
    if now[: len(before)] != before[: len(now)] and verdict is Sameness.REPLACED:
        assert now[: min(1024, offset)] != before[: min(1024, offset)]


@given(first=CONTENT, second=CONTENT)
def test_a_reused_inode_never_inherits_a_cursor(first: bytes, second: bytes) -> None:
    """Another file in the same inode is continued only if it holds all that was read (case 29)."""
    stat = Stat(1, 2, len(second), 0, 0)
    gone = Vanished("gone", Stat(1, 2, len(first), 0, 0), proof(first, len(first)))
    found = origin([gone], stat, lambda offset: proof(second, offset))
    assert (found is gone) == moved(gone.proof, proof(second, len(first)))
    if len(first) <= 1024:
        assert (found is gone) == second.startswith(first)


@given(content=CONTENT, more=CONTENT, cut=st.integers(0, 3000))
def test_truncation_and_regrowth_past_the_offset_is_seen(content: bytes, more: bytes, cut: int) -> None:
    """A log cut anywhere and grown again with other bytes is never taken for a longer one, unless nothing changed.

    Case 26 of `tests/fault/README.md`.
    """
    cut = min(cut, len(content) - 1)
    other = bytes(byte ^ 1 for byte in content[cut:])  # every byte after the cut differs, up to the old offset
    verdict = judge(proof(content, len(content)), proof(content[:cut] + other + more, len(content)))
    assert verdict is not Sameness.GROWN


@given(content=CONTENT, mtime_ns=st.integers(0, 10), ctime_ns=st.integers(0, 10))
def test_a_rewrite_of_the_same_size_is_seen(content: bytes, mtime_ns: int, ctime_ns: int) -> None:
    """Equal sizes hide nothing: another time asks for a look, and the look finds other bytes (case 28)."""
    stored, now = Stat(1, 2, len(content), 0, 0), Stat(1, 2, len(content), mtime_ns, ctime_ns)
    assert (glance(stored, now) is Sameness.SAME) == (mtime_ns == ctime_ns == 0)
    rewritten = bytes(byte ^ 1 for byte in content)
    assert judge(proof(content, len(content)), proof(rewritten, len(content))) is Sameness.REPLACED


SETTINGS = st.builds(
    Settling,
    settle_seconds=st.floats(0, 10_000),
    max_wait_minutes=st.floats(0.01, 1000),
    open_call_hours=st.floats(0.01, 100),
)


@given(settings=SETTINGS, clock=st.lists(TIME, min_size=1, max_size=20), turn=TURNS)
def test_under_any_clock_nothing_is_due_before_its_quiet_time(
    settings: Settling, clock: list[float], turn: Turn | None
) -> None:
    """However the clock jumps, due means: an end mark, the quiet time since the latest reading, or the longest wait.

    Case 42 of `tests/fault/README.md`.
    """
    pending = Pending(changed_at=clock[0], pending_since=clock[0])
    for now in clock[1:]:
        pending = grown(pending, now)
    if turn is not None:
        pending = looked_at(pending, turn)
    quiet_from = max(clock)
    due = due_at(pending, settings)
    assert pending.changed_at == quiet_from
    if turn is not Turn.ENDED:
        assert due >= min(quiet_from + settings.settle_seconds, clock[0] + settings.max_wait_minutes * 60)
    assert is_due(pending, settings, max(due, quiet_from))


@given(settings=SETTINGS, step=st.floats(0.1, 500), turn=TURNS)
def test_a_log_that_never_rests_is_never_starved(settings: Settling, step: float, turn: Turn | None) -> None:
    """Written to more often than it settles, a log is due no later than one step after the longest wait."""
    longest_wait = settings.max_wait_minutes * 60
    pending = Pending(changed_at=0.0, pending_since=0.0, turn=turn)
    now = max(0.0, longest_wait - step / 2)
    pending = Pending(changed_at=now, pending_since=0.0, turn=turn)
    if step / 2 < settings.settle_seconds:
        assert is_due(pending, settings, longest_wait + step)


@given(modified=TIME, wall=TIME, now=TIME)
def test_first_sight_is_never_in_the_future(modified: float, wall: float, now: float) -> None:
    """Whatever the modification time, quiet has not begun after now."""
    assert first_sight(modified, wall, now).changed_at <= now


@given(
    settings=SETTINGS, times=st.lists(st.tuples(TIME, TURNS), max_size=5), retries=st.lists(TIME, max_size=3), now=TIME
)
def test_the_alarm_rings_no_later_than_anything_is_due(
    settings: Settling, times: list[tuple[float, Turn | None]], retries: list[float], now: float
) -> None:
    """At the wake-up time something is due or may be retried; before it, nothing is."""
    pending = [Pending(changed_at=at, pending_since=at, turn=turn) for at, turn in times]
    wake = next_wake(pending, retries, settings, now)
    if wake is None:
        assert not pending
        assert not retries
        return
    assert wake >= now
    assert any(is_due(one, settings, wake) for one in pending) or any(retry <= wake for retry in retries)
    if wake > now:
        assert not any(is_due(one, settings, now) for one in pending)

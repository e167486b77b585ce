"""Which entries of a session the model sees within a budget: all, if they fit; else what went wrong and how it ended.

Chosen by signals, never by place: the log's head and tail always, then a person's corrections, failures with what
resolved them, the requests and answers around them, and last the ordinary work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.distill.llm.excerpts import BYTES_PER_TOKEN, tokens, weight
from selfdistill.distill.llm.transcript import Entry, Episode, Tier
from selfdistill.model import EventKind, SignalKind, ToolKind
from selfdistill.signals.invocations import programs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WHOLE, SHORT, BRIEF = 0, 1, 2  # levels of `transcript.LIMITS`
GAP_BYTES: Final = 40  # "[... 12345 events left out ...]" and its newline; a gap stands beside a chosen entry
RESOLVED_WITHIN: Final = 16  # units after a failure: a repair further away is rarely about the same thing

_HUMAN: Final = frozenset(
    kind.value
    for kind in (
        SignalKind.CORRECTION,
        SignalKind.FAILURE_REPORT,
        SignalKind.REJECTION,
        SignalKind.REVERT,
        SignalKind.LOOP,
        SignalKind.UNVERIFIED_CLAIM,
    )
)
_NOT_ITS_FAULT: Final = frozenset({SignalKind.ENVIRONMENT.value})
_WORK: Final = frozenset({ToolKind.SHELL, ToolKind.EDIT, ToolKind.WRITE})


class Selection(Struct, frozen=True):
    """What the model is shown. `text` is the transcript, `shown` its entries by id, `all` also those left out."""

    text: str
    shown: dict[str, Entry]
    all: tuple[Entry, ...]
    left_out: int

    @property
    def tokens(self) -> int:
        """About how many tokens the transcript is."""
        return tokens(weight(self.text))


class _Unit(Struct):
    """Entries that are chosen together: a call with its result, or one of anything else."""

    entries: list[Entry]
    place: int
    episode: int
    rank: int = 7

    @property
    def failed(self) -> bool:
        return any(entry.failed for entry in self.entries)

    def has(self, marks: frozenset[str]) -> bool:
        return any(not marks.isdisjoint(entry.marks) for entry in self.entries)


def select(episodes: Sequence[Episode], budget_tokens: int) -> Selection:
    """The transcript of a session's part in log order, never longer than the budget; "" where nothing fits at all."""
    entries = tuple(entry for episode in episodes for entry in episode.entries)
    room = int(budget_tokens * BYTES_PER_TOKEN)
    whole = _joined(entries, dict.fromkeys((entry.id for entry in entries), WHOLE))
    if weight(whole) <= room:
        return Selection(whole, {entry.id: entry for entry in entries}, entries, 0)
    levels = _chosen(_ranked(episodes), room)
    text = _joined(entries, levels) if levels else ""
    shown = {entry.id: entry for entry in entries if entry.id in levels}
    return Selection(text, shown, entries, len(entries) - len(shown))


def _joined(entries: Sequence[Entry], levels: dict[str, int]) -> str:
    """The chosen entries as lines in log order, with a mark for each gap."""
    lines: list[str] = []
    missing = 0
    for entry in entries:
        if entry.id not in levels:
            missing += 1
            continue
        if missing:
            lines.append(f"[... {missing} events left out ...]")
            missing = 0
        lines.append(entry.rendered(levels[entry.id]))
    if missing:
        lines.append(f"[... {missing} events left out ...]")
    return "\n".join(lines)


def _chosen(units: Sequence[_Unit], room: int) -> dict[str, int]:
    """The level of each chosen entry: the best units first, at length while there is room, then in brief."""
    left = room - GAP_BYTES
    levels: dict[str, int] = {}
    for unit in units:
        for level in (SHORT, BRIEF) if unit.rank == 0 or left * 2 > room else (BRIEF,):
            cost = sum(weight(entry.rendered(level)) + 1 + GAP_BYTES for entry in unit.entries)
            if cost <= left:
                left -= cost
                levels.update((entry.id, level) for entry in unit.entries)
                break
    return levels


def _ranked(episodes: Sequence[Episode]) -> list[_Unit]:
    """All units, the most telling first; of equal rank those of the more telling episode, then the later ones."""
    units = list(_units(episodes))
    for unit in units:
        unit.rank = _own_rank(unit)
    _rank_resolutions(units)
    _rank_surroundings(units)
    if units:
        units[0].rank = 0
        last = next((unit for unit in reversed(units) if unit.entries[0].kind is EventKind.ASSISTANT), units[-1])
        last.rank = 0
        _first_of_tier(units).rank = 0
    trouble = [0] * (len(episodes) + 1)
    for unit in units:
        trouble[unit.episode] += 3 * (unit.rank == 1) + (unit.rank == 2)  # noqa: PLR2004 - a person's word outweighs
    return sorted(units, key=lambda unit: (unit.rank, -trouble[unit.episode], -unit.place))


def _units(episodes: Sequence[Episode]) -> Iterator[_Unit]:
    """The entries as units in log order."""
    calls: dict[str, _Unit] = {}
    place = 0
    for number, episode in enumerate(episodes):
        made: list[_Unit] = []
        for entry in episode.entries:
            if entry.kind is EventKind.TOOL_RESULT and entry.call in calls:
                calls[entry.call].entries.append(entry)
                continue
            unit = _Unit([entry], place, number)
            place += 1
            made.append(unit)
            if entry.kind is EventKind.TOOL_CALL:
                calls[entry.id] = unit
        yield from made


def _own_rank(unit: _Unit) -> int:
    """How telling a unit is by itself."""
    first = unit.entries[0]
    if unit.has(_HUMAN) or first.kind in {EventKind.REJECTION, EventKind.INTERRUPT}:
        return 1
    if unit.failed and any(entry.marks for entry in unit.entries) and not unit.has(_NOT_ITS_FAULT):
        return 2
    if first.tier is Tier.USER:
        return 3
    if unit.has(frozenset({SignalKind.TEST_PASSED.value})):
        return 5
    return 6 if first.kind is EventKind.ASSISTANT or first.tool_kind in _WORK else 7


def _rank_resolutions(units: Sequence[_Unit]) -> None:
    """What ended a failure is as telling as the failure: the next call of the same kind and subject that worked."""
    for index, unit in enumerate(units):
        if not unit.failed or unit.rank > 2:  # noqa: PLR2004 - failures and what people objected to
            continue
        subject = _subject(unit)
        for later in units[index + 1 : index + 1 + RESOLVED_WITHIN]:
            alike = later.entries[0].tool_kind is unit.entries[0].tool_kind and not subject.isdisjoint(_subject(later))
            if alike and not later.failed:
                later.rank = min(later.rank, 2)
                break


def _subject(unit: _Unit) -> frozenset[str]:
    """What a call is about: the programs it starts, or the file."""
    first = unit.entries[0]
    if first.kind is not EventKind.TOOL_CALL:
        return frozenset()
    if first.tool_kind is ToolKind.SHELL:
        return programs(first.text.head) - {"cd", "echo", "export"}
    return frozenset({first.text.head.partition("\n")[0]})


def _rank_surroundings(units: Sequence[_Unit]) -> None:
    """What stands around a telling unit explains it; the last answer of each episode says how it ended."""
    telling = [index for index, unit in enumerate(units) if unit.rank <= 2]  # noqa: PLR2004 - as above
    troubled = {units[index].episode for index in telling}
    for index in telling:
        for near in (*units[max(0, index - 2) : index], *units[index + 1 : index + 3]):
            near.rank = min(near.rank, 4)
    for unit, following in zip(units, [*units[1:], None], strict=False):
        closes = following is None or following.episode != unit.episode
        if closes and unit.entries[0].kind is EventKind.ASSISTANT:
            unit.rank = min(unit.rank, 3 if unit.episode in troubled else 5)


def _first_of_tier(units: Sequence[_Unit]) -> _Unit:
    """The first request of a person, or the first unit where nobody asked."""
    return next((unit for unit in units if unit.entries[0].tier is Tier.USER), units[0])

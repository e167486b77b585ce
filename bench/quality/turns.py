"""What human turns say, against labels: corrections, approvals, and the three outcomes of the episode before each.

Rows are `{label, text, prev_assistant_tail, after_interrupt_or_reject, repo, session_id, ts}`. Complaints are C, F and
FR, assent is A and P, all others are neutral; U is left out. Each figure is given twice: the product as it is shipped
(in-sample on the turns that the weights were fitted on), and `..._refitted`, where the same model judges each project
by weights that were fitted on the other projects of this data alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.quality.data import data_files, rows, say, stem
from bench.quality.metric import Metric, bootstrap
from bench.quality.turn_fit import NEGATIVE_LABELS, POSITIVE_LABELS, Turn, cross_validated
from msgspec import Struct

from selfdistill.signals.turn_features import TurnContext, marks
from selfdistill.signals.turns import NEGATIVE_FROM, POSITIVE_FROM, read_turn

NEGATIVE: Final = "negative"
POSITIVE: Final = "positive"
NEUTRAL: Final = "neutral"
CLASSES: Final = (NEGATIVE, POSITIVE, NEUTRAL)
UNUSABLE: Final = "U"
REFITTED: Final = "_refitted"


class Row(Struct):
    """A labelled turn as the file has it."""

    label: str
    text: str
    prev_assistant_tail: str | None = None
    after_interrupt_or_reject: bool | None = None
    repo: str = ""
    session_id: str = ""
    ts: str | None = None


class Case(NamedTuple):
    """What a turn is, and what the product makes of it."""

    true: str
    said: str


def measure(data: Path) -> list[Metric]:
    """The figures of the human turns; none without labelled turns."""
    found = labelled(data)
    if not found:
        say(f"{data / 'labelled'}: no user_turns in it, so nothing about human turns.")
        return []
    metrics = _figures([Case(outcome_of(row.label), _shipped(row)) for row in found], "")
    if len({row.repo for row in found}) > 1:
        turns = [turn_of(row) for row in found]
        chances = cross_validated(turns, lambda turn: turn.project)
        metrics += _figures(
            [Case(outcome_of(turn.label), told(*both)) for turn, both in zip(turns, chances, strict=True)], REFITTED
        )
    else:
        say("user_turns: of one project only, so nothing is refitted project by project.")
    return metrics


def labelled(data: Path) -> list[Row]:
    """The usable labelled turns below a directory."""
    paths = [path for path in data_files(data / "labelled") if stem(path) == "user_turns"]
    return [row for path in paths for row in rows(path, Row) if row.label != UNUSABLE]


def turn_of(row: Row) -> Turn:
    """A row with its marks."""
    return Turn(row.label, marks(row.text, _context(row)), row.repo, row.session_id, row.ts or "")


def outcome_of(label: str) -> str:
    """What a label says of the episode before the turn."""
    return NEGATIVE if label in NEGATIVE_LABELS else POSITIVE if label in POSITIVE_LABELS else NEUTRAL


def told(negative: float, positive: float) -> str:
    """What the product tells by two probabilities."""
    return NEGATIVE if negative >= NEGATIVE_FROM else POSITIVE if positive >= POSITIVE_FROM else NEUTRAL


def _context(row: Row) -> TurnContext:
    return TurnContext(before=row.prev_assistant_tail or "", interrupted=bool(row.after_interrupt_or_reject))


def _shipped(row: Row) -> str:
    reading = read_turn(row.text, _context(row))
    return told(reading.negative, reading.positive)


def _figures(cases: Sequence[Case], suffix: str) -> list[Metric]:
    """Every figure of these cases."""
    share = {name: sum(case.true == name for case in cases) / len(cases) for name in CLASSES}
    majority = max(share.values())
    note = "each project by weights fitted on the others" if suffix else "the weights as shipped"
    values: tuple[tuple[str, Callable[[Sequence[Case]], float | None], float | None], ...] = (
        ("episode_macro_f1", _macro_f1, 2 * majority / (1 + majority) / len(CLASSES)),
        ("episode_negative_f1", _negative_f1, 0.0),
        ("correction_precision", _correction_precision, share[NEGATIVE]),
        ("correction_recall", _correction_recall, None),
        ("correction_f1", _negative_f1, 0.0),
        ("approval_f1", lambda some: _f1(some, POSITIVE), 0.0),
        ("false_correction_rate", _false_corrections, None),
    )
    made = (bootstrap(key + suffix, cases, value, baseline=base, note=note) for key, value, base in values)
    return [metric for metric in made if metric is not None]


def _hits(cases: Sequence[Case], name: str) -> tuple[int, int, int]:
    """Rightly told, told, and true cases of a class."""
    told_so = [case for case in cases if case.said == name]
    return sum(case.true == name for case in told_so), len(told_so), sum(case.true == name for case in cases)


def _f1(cases: Sequence[Case], name: str) -> float | None:
    right, said, true = _hits(cases, name)
    return 2 * right / (said + true) if true else None


def _negative_f1(cases: Sequence[Case]) -> float | None:
    return _f1(cases, NEGATIVE)


def _macro_f1(cases: Sequence[Case]) -> float | None:
    values = [value for name in CLASSES if (value := _f1(cases, name)) is not None]
    return sum(values) / len(values) if len(values) == len(CLASSES) else None


def _correction_precision(cases: Sequence[Case]) -> float | None:
    right, said, _ = _hits(cases, NEGATIVE)
    return right / said if said else None


def _correction_recall(cases: Sequence[Case]) -> float | None:
    right, _, true = _hits(cases, NEGATIVE)
    return right / true if true else None


def _false_corrections(cases: Sequence[Case]) -> float | None:
    harmless = [case for case in cases if case.true != NEGATIVE]
    return sum(case.said == NEGATIVE for case in harmless) / len(harmless) if harmless else None

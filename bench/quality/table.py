"""The figures for people and for machines, beside what they must and should reach."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.quality.metric import Metric

_WIDTH: Final = 116
_LARGE: Final = 10.0  # from here on two digits behind the point are enough


class Target(NamedTuple):
    """What a figure must reach before anything is released, and what it is to reach. `least`: smaller is better."""

    must: float
    aim: float
    least: bool = False

    def met(self, value: float, goal: float) -> bool:
        """Whether a value reaches a goal."""
        return value <= goal if self.least else value >= goal


# shared/labelled/README.md, in the order of its table.
TARGETS: Final = {
    "session_outcome_auc": Target(0.68, 0.76),
    "episode_macro_f1": Target(0.78, 0.84),
    "episode_negative_f1": Target(0.62, 0.72),
    "correction_precision": Target(0.80, 0.85),
    "correction_f1": Target(0.62, 0.72),
    "approval_f1": Target(0.88, 0.92),
    "false_correction_rate": Target(0.03, 0.015, least=True),
    "tool_failure_f1": Target(0.93, 0.97),
    "masked_test_failure_recall": Target(0.95, 1.0),
    "recurrence_coverage": Target(0.40, 0.55),
    "recall_at_3": Target(0.70, 0.80),
    "alerts_per_100": Target(5.0, 2.0, least=True),
    "rerun_duplicates": Target(0.0, 0.0, least=True),
}


def table(metrics: Sequence[Metric]) -> str:
    """One line for each figure, those with a target first, and below it what it is made of."""
    lines = [f"{'key':30} {'value':>7}  {'95 % interval':17} {'n':>6} {'baseline':>8} {'must':>6} {'aim':>6}  reached"]
    lines.append("-" * len(lines[0]))
    for metric in in_order(metrics):
        lines.append(_line(metric))
        lines += textwrap.wrap(metric.note, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def as_json(metrics: Sequence[Metric]) -> dict[str, Any]:
    """The figures by key, as a machine compares them."""
    return {
        metric.key: {
            "value": metric.value,
            "n": metric.n,
            "low": metric.low,
            "high": metric.high,
            "baseline": metric.baseline,
            "note": metric.note,
        }
        for metric in in_order(metrics)
    }


def in_order(metrics: Sequence[Metric]) -> list[Metric]:
    """The figures in the order of the targets, then the others as they came."""
    ranks = {key: rank for rank, key in enumerate(TARGETS)}
    return sorted(metrics, key=lambda metric: ranks.get(metric.key, len(ranks)))


def _line(metric: Metric) -> str:
    """A figure with its interval and its targets."""
    target = TARGETS.get(metric.key)
    baseline = "" if metric.baseline is None else _number(metric.baseline)
    interval = f"{_number(metric.low)} .. {_number(metric.high)}"
    must, aim = (_number(target.must), _number(target.aim)) if target else ("", "")
    line = f"{metric.key:30} {_number(metric.value):>7}  {interval:17} {metric.n:6} {baseline:>8} {must:>6} {aim:>6}"
    return f"{line}  {_reached(metric.value, target)}".rstrip()


def _reached(value: float, target: Target | None) -> str:
    """How far a figure has come, in a word."""
    if target is None:
        return ""
    if target.met(value, target.aim):
        return "aim"
    return "must" if target.met(value, target.must) else "NOT YET"


def _number(value: float) -> str:
    """Three digits behind the point where they can matter."""
    return f"{value:.2f}" if abs(value) >= _LARGE else f"{value:.3f}"

"""Fits what the readings of a session's course weigh: logistic regression towards weights that were argued beforehand.

Two sets with a few hundred sessions do not tell thirteen weights apart, and agents that are not among them differ.
So each weight starts where a reason puts it (`REASONS`), keeps at least a quarter of that, and is drawn away only as
far as the data insist (Gaussian prior, MAP estimate). Each set has its own base rate, which is thrown away afterwards,
and all sets weigh the same. Plain Python: coordinate-wise Newton steps, 0.1 s for 335 sessions.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from math import exp
from typing import Final, NamedTuple

from msgspec import Struct

SWEEPS: Final = 30
STIFFNESS: Final = 60.0  # of the prior, in sessions; 10 to 120 differ by .008 in cross-validated AUC
FLOOR: Final = 0.25  # of the argued weight: what two sets do not show may still be so of agents that are not in them
FOLDS: Final = 10
_SMALLEST: Final = 1e-9

REASONS: Final[dict[str, tuple[float, str]]] = {
    "asked_again": (0.4, "a person who repeats a request word for word did not get what it asks for"),
    "cut_off": (0.5, "the log ends in the midst of the work: limits, crash, given up"),
    "failed_calls": (0.5, "calls that fail show an agent that does not know its ground"),
    "failed_edits": (0.5, "an edit that does not apply was written from memory, not from the file"),
    "failing_runs": (0.4, "tests that mostly fail on the way were not understood"),
    "hedging": (1.0, "the agent itself says might, maybe, could be"),
    "large_edit": (0.4, "a large replacement has more places to be wrong in than a small one"),
    "long_search": (0.3, "the place to change was hard to find"),
    "no_code_changed": (1.0, "work was done, but no code was changed, or only tests"),
    "repeated_call": (1.0, "the same call three times in a row: P(failure) .92-1.00 (signals.md)"),
    "scattered_edits": (0.5, "edits over many files instead of one place"),
    "unnamed_code": (0.4, "nothing in the replaced code is named in the request"),
    "unnamed_files": (0.4, "the changed files are not named in the request"),
}


class Case(NamedTuple):
    """One labelled session: its set, its task, whether it failed, its readings, the log-odds of its evidence."""

    dataset: str
    task: str
    fail: bool
    readings: Mapping[str, float]
    evidence: float


class Fitted(Struct, frozen=True):
    """A weight per reading in log-odds, and the reading that is usual: the mean over sets."""

    weights: dict[str, float]
    usual: dict[str, float]

    def log_odds(self, case: Case) -> float:
        """What the case's readings and evidence add up to."""
        read = case.readings.items()
        return case.evidence + sum(self.weights[name] * (value - self.usual[name]) for name, value in read)


def fit(cases: Sequence[Case]) -> Fitted:
    """The weights that these cases suggest."""
    usual = {name: _usual(cases, name) for name in REASONS}
    columns = [[case.readings.get(name, usual[name]) - usual[name] for case in cases] for name in REASONS]
    spreads = [_spread(column) for column in columns]
    scaled = [[value / spread for value in column] for column, spread in zip(columns, spreads, strict=True)]
    starts = [start * spread for (start, _), spread in zip(REASONS.values(), spreads, strict=True)]
    found = _climb(cases, scaled, starts)
    return Fitted({name: one / spread for name, one, spread in zip(REASONS, found, spreads, strict=True)}, usual)


def cross_validated(cases: Sequence[Case]) -> list[float]:
    """For each case the log-odds by weights that were fitted without its task."""
    tasks = sorted({case.task for case in cases})
    random.Random(0).shuffle(tasks)  # noqa: S311 - folds, not secrets
    fold_of = {task: number % FOLDS for number, task in enumerate(tasks)}
    fitted = {
        fold: fit([case for case in cases if fold_of[case.task] != fold]) for fold in sorted(set(fold_of.values()))
    }
    return [fitted[fold_of[case.task]].log_odds(case) for case in cases]


def area_under_curve(scored: Sequence[tuple[float, bool]]) -> float | None:
    """How often a failed case scores above one that did not fail, ties half; None without both kinds."""
    failed = sum(fail for _, fail in scored)
    fine = len(scored) - failed
    if not failed or not fine:
        return None
    above = 0.0
    fine_below = 0
    by_score: dict[float, list[int]] = {}
    for score, fail in scored:
        by_score.setdefault(score, [0, 0])[fail] += 1
    for score in sorted(by_score):
        fine_here, failed_here = by_score[score]
        above += failed_here * (fine_below + fine_here / 2)
        fine_below += fine_here
    return above / (failed * fine)


def _climb(cases: Sequence[Case], columns: list[list[float]], starts: list[float]) -> list[float]:
    """The maximum a posteriori: one Newton step per coordinate and sweep, no weight below its floor."""
    sizes = {case.dataset: 0 for case in cases}
    for case in cases:
        sizes[case.dataset] += 1
    shares = [len(cases) / len(sizes) / sizes[case.dataset] for case in cases]
    sets = [[float(case.dataset == name) for case in cases] for name in sizes]
    everything = [*columns, *sets]
    prior = [(start, STIFFNESS) for start in starts] + [(0.0, _SMALLEST)] * len(sets)
    weights = starts + [0.0] * len(sets)
    scores = [case.evidence for case in cases]
    for weight, column in zip(weights, everything, strict=True):
        scores = [score + weight * value for score, value in zip(scores, column, strict=True)]
    for _ in range(SWEEPS):
        for number, column in enumerate(everything):
            start, stiffness = prior[number]
            slope, bend = stiffness * (start - weights[number]), stiffness
            for case, score, value, share in zip(cases, scores, column, shares, strict=True):
                if value:
                    chance = 1 / (1 + exp(-score))
                    slope += share * value * (case.fail - chance)
                    bend += share * value * value * chance * (1 - chance)
            step = slope / max(bend, _SMALLEST)
            if number < len(starts):
                step = max(step, starts[number] * FLOOR - weights[number])
            weights[number] += step
            scores = [score + step * value for score, value in zip(scores, column, strict=True)]
    return weights[: len(starts)]


def _usual(cases: Sequence[Case], name: str) -> float:
    """The mean over sets of a reading's mean; 0 where no case has it."""
    by_set: dict[str, list[float]] = {}
    for case in cases:
        if name in case.readings:
            by_set.setdefault(case.dataset, []).append(case.readings[name])
    means = [sum(values) / len(values) for values in by_set.values()]
    return sum(means) / len(means) if means else 0.0


def _spread(column: Sequence[float]) -> float:
    """The standard deviation, or 1 of a column that does not vary."""
    mean = sum(column) / len(column)
    deviation = (sum((value - mean) ** 2 for value in column) / len(column)) ** 0.5
    return deviation if deviation > _SMALLEST else 1.0

"""Fits what the marks of a person's turn weigh: two small logistic regressions that are drawn towards guesses.

Some sixty complaints cannot teach sixty weights. So every weight starts from a guess made from general knowledge of how
people talk (in log-odds), and the data only pull it away from there: ridge regression towards a mean that is not zero,
that is, a Gaussian of the same width around each guess. A mark that the data never show keeps its guess.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, NamedTuple

from selfdistill.signals.turns import BIAS, probability

NEGATIVE_LABELS: Final = frozenset({"C", "F", "FR"})
POSITIVE_LABELS: Final = frozenset({"A", "P"})
WIDTH: Final = 0.5  # of the Gaussian around a guess, in log-odds: a guess may be off by a factor of e^0.5 = 1.6
BIAS_WIDTH: Final = 4.0  # the base rate is the data's to say
ROUNDS: Final = 30
CLOSE: Final = 1e-6

Weights = dict[str, float]

# How much each mark adds to the log-odds of a complaint, before any data: 3 settles it, 1 makes one think.
EXPECTED_NEGATIVE: Final[dict[str, float]] = {
    "bias": -3.0,
    "denial": 3.0,
    "denial_as_answer": 1.0,
    "halt": 1.5,
    "surprise": 1.0,
    "however": 1.0,
    "blame": 2.5,
    "wrongness": 2.0,
    "restated": 1.8,
    "disagreement": 1.0,
    "expectation": 0.5,
    "disappointment": 1.5,
    "substitution": 0.7,
    "taking_back": 1.8,
    "unwanted": 1.0,
    "feeling": 1.5,
    "not_working": 2.2,
    "failing": 2.0,
    "still": 1.8,
    "met_error": 1.8,
    "absence": 1.0,
    "regression": 1.2,
    "repair_order": 0.3,
    "repair_check": 2.0,
    "later_request": -0.5,
    "negation": 0.5,
    "complaint": 0.7,
    "review": 0.5,
    "severity": 2.0,
    "advice": 1.0,
    "statement": 1.2,
    "request": -0.8,
    "asking": -0.8,
    "asking_why": 0.5,
    "ends_asking": -0.8,
    "supposition": -0.5,
    "own_fault": -1.5,
    "document": -2.0,
    "yes": -1.5,
    "go": -1.0,
    "deliver": -1.0,
    "choice": -0.8,
    "praise": -1.2,
    "thanks": -0.8,
    "works": -1.0,
    "brief": -0.3,
    "pasted": 0.3,
    "pasted_error": 1.5,
    "error_alone": 1.0,
    "impersonal": 0.7,
    "answer": -0.7,
    "lets": -0.5,
    "asked": -0.5,
    "claimed": 0.3,
    "output_wanted": -0.5,
    "redirected": 1.2,
    "mixed": 1.0,
}
# The same of an approval.
EXPECTED_POSITIVE: Final[dict[str, float]] = {
    "bias": -2.0,
    "yes": 3.0,
    "go": 2.0,
    "deliver": 2.0,
    "choice": 1.5,
    "lets": 1.0,
    "task_when_asked": 1.0,
    "answer": 1.0,
    "praise": 2.5,
    "thanks": 1.5,
    "works": 1.5,
    "brief": 0.8,
    "short": 0.0,
    "long": -0.8,
    "asked": 0.8,
    "request": -0.5,
    "asking": -1.0,
    "asking_why": -1.5,
    "ends_asking": -1.5,
    "doubt": -0.7,
    "however": -1.0,
    "supposition": -0.3,
    "denial": -2.5,
    "denial_as_answer": -1.5,
    "halt": -1.5,
    "surprise": -1.0,
    "blame": -1.5,
    "wrongness": -1.5,
    "not_working": -1.5,
    "failing": -1.2,
    "still": -1.0,
    "met_error": -1.2,
    "absence": -1.0,
    "repair_order": -0.2,
    "own_fault": -0.8,
    "document": -0.5,
    "pasted": -0.5,
    "pasted_error": -1.0,
    "broke_in": -0.3,
}


class Turn(NamedTuple):
    """One labelled turn with its marks, and what it must not be mixed with when figures are taken."""

    label: str
    marks: frozenset[str]
    project: str
    session: str
    at: str


class Fitted(NamedTuple):
    """The weights of both regressions."""

    negative: Weights
    positive: Weights


def fit(turns: Sequence[Turn], width: float = WIDTH) -> Fitted:
    """Both regressions, fitted on these turns."""
    return Fitted(
        _fit(turns, NEGATIVE_LABELS, EXPECTED_NEGATIVE, width), _fit(turns, POSITIVE_LABELS, EXPECTED_POSITIVE, width)
    )


def cross_validated(turns: Sequence[Turn], group: Callable[[Turn], Hashable]) -> list[tuple[float, float]]:
    """Both probabilities of each turn, by weights that were fitted on the turns of the other groups."""
    weights = {
        held_out: fit([turn for turn in turns if group(turn) != held_out])
        for held_out in {group(turn) for turn in turns}
    }
    return [probabilities(weights[group(turn)], turn.marks) for turn in turns]


def probabilities(fitted: Fitted, found: Iterable[str]) -> tuple[float, float]:
    """How likely a turn with these marks complains, and accepts."""
    marks = tuple(found)
    return probability(fitted.negative, marks), probability(fitted.positive, marks)


def _fit(turns: Sequence[Turn], labels: frozenset[str], expected: Weights, width: float) -> Weights:
    """Weights that explain the labels and stay near the guesses, by Newton's method."""
    names = list(expected)
    tightness = [1 / (BIAS_WIDTH if name == BIAS else width) ** 2 for name in names]
    weights = dict(expected)
    for _ in range(ROUNDS):
        gradient, curvature = _slope(turns, labels, weights, names)
        for number, (name, tight) in enumerate(zip(names, tightness, strict=True)):
            gradient[number] += tight * (weights[name] - expected[name])
            curvature[number][number] += tight
        steps = _solve(curvature, gradient)
        weights = {name: weights[name] - step for name, step in zip(names, steps, strict=True)}
        if max(map(abs, steps)) < CLOSE:
            break
    return weights


def _slope(
    turns: Sequence[Turn], labels: frozenset[str], weights: Weights, names: Sequence[str]
) -> tuple[list[float], list[list[float]]]:
    """First and second derivative of the turns' log-loss."""
    place = {name: number for number, name in enumerate(names)}
    gradient = [0.0] * len(names)
    curvature = [[0.0] * len(names) for _ in names]
    for turn in turns:
        active = [place[BIAS], *(place[mark] for mark in turn.marks if mark in place)]
        chance = probability(weights, turn.marks)
        for one in active:
            gradient[one] += chance - (turn.label in labels)
            for other in active:
                curvature[one][other] += chance * (1 - chance)
    return gradient, curvature


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """The solution of a positive definite system, by elimination."""
    size = len(right)
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for pivot in range(size):
        for below in range(pivot + 1, size):
            factor = rows[below][pivot] / rows[pivot][pivot]
            if factor:
                for column in range(pivot, size + 1):
                    rows[below][column] -= factor * rows[pivot][column]
    solution = [0.0] * size
    for row in reversed(range(size)):
        known = sum(rows[row][column] * solution[column] for column in range(row + 1, size))
        solution[row] = (rows[row][size] - known) / rows[row][row]
    return solution

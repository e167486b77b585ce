"""The measure of outcomes: areas under curves, weights within their reasons, figures only where there is data."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest  # noqa: TC002 - pytest reads the annotations
from bench.quality.outcome_fit import FLOOR, REASONS, Case, area_under_curve, cross_validated, fit
from bench.quality.outcomes import measure

from selfdistill.signals.outcome_weights import COURSE


def cases(*, count: int, telling: str) -> list[Case]:
    """Sessions of two sets in which one reading tells most of the outcome and the others are chance."""
    chance = random.Random(7)  # noqa: S311 - invented cases
    made = []
    for number in range(count):
        fail = chance.random() < 0.5
        readings = {name: chance.random() for name in REASONS}
        readings[telling] = chance.gauss(0.7 if fail else 0.3, 0.2)
        made.append(Case("ab"[number % 2], f"task-{number}", fail, readings, 0.0))
    return made


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    """Ties are half a pair; without both kinds there is no area."""
    assert area_under_curve([(0.9, True), (0.1, False)]) == 1.0
    assert area_under_curve([(0.1, True), (0.9, False)]) == 0.0
    assert area_under_curve([(0.5, True), (0.5, False)]) == 0.5
    assert area_under_curve([(0.5, True), (0.5, False), (0.4, False), (0.6, False)]) == 0.5
    assert area_under_curve([(0.5, True)]) is None


def test_a_reading_that_tells_gains_weight_and_no_weight_leaves_its_reason() -> None:
    """Even where the data say nothing, or the opposite, a weight keeps its sign and a part of its size."""
    fitted = fit(cases(count=200, telling="hedging"))
    assert fitted.weights["hedging"] > 1.5 * REASONS["hedging"][0]
    for name, (start, _) in REASONS.items():
        assert fitted.weights[name] >= start * FLOOR * 0.999


def test_tasks_are_judged_by_weights_that_never_saw_them() -> None:
    """The score of a case does not depend on its own label."""
    given = cases(count=60, telling="hedging")
    turned = [given[0]._replace(fail=not given[0].fail), *given[1:]]
    assert cross_validated(given)[0] == cross_validated(turned)[0]
    assert fit(given).log_odds(given[0]) != fit(turned).log_odds(given[0])


def test_every_reading_has_its_reason() -> None:
    """The shipped weights are those of the fit: one for each reason."""
    assert COURSE.keys() == REASONS.keys()


def test_the_figures_come_from_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing labelled: no figure, and a line that says so; a failed and a fine session: an area."""
    assert measure(tmp_path) == []
    assert "no trajectories" in capsys.readouterr().err
    (tmp_path / "labelled").mkdir()
    with (tmp_path / "labelled" / "agent.jsonl").open("w") as file:
        for number, fail in enumerate([True, False] * 6):
            outcome = "1 failed, 2 passed in 0.1s" if fail else "3 passed in 0.1s"
            messages = [
                {"role": "user", "text": "Fix the kettle."},
                {"role": "tool", "tool": "bash", "input": "pytest", "text": f"==== {outcome} ====", "rc": int(fail)},
                {"role": "assistant", "text": "Done."},
            ]
            row = {"id": str(number), "dataset": "d", "task": str(number), "model": "m", "fail": fail, "msgs": messages}
            file.write(json.dumps(row) + "\n")
    found = {metric.key: metric for metric in measure(tmp_path)}
    assert found["session_outcome_auc"].value == 1.0
    assert found["session_outcome_auc"].baseline == 0.5
    assert found["session_negative_precision"].value == found["session_positive_precision"].value == 1.0

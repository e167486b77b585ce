"""How well the outcome of a session is told from its log alone: area under the curve for failure by hidden tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.quality.data import say
from bench.quality.metric import Metric, bootstrap
from bench.quality.outcome_fit import Case, area_under_curve, cross_validated
from bench.quality.trajectories import Trajectory, events_of, trajectories

from selfdistill.model import Outcome, Polarity
from selfdistill.signals.observing import Observer
from selfdistill.signals.outcome import Tally, evidence_log_odds, judge
from selfdistill.signals.outcome_features import readings
from selfdistill.signals.steps import Moment

CHANCE: Final = 0.5


class Judged(NamedTuple):
    """A trajectory's label beside what the product says of it."""

    dataset: str
    task: str
    fail: bool
    outcome: Outcome
    score: float  # the failure probability, or log-odds from weights that were fitted without this task


def measure(data: Path) -> list[Metric]:
    """The outcome's metrics; none without trajectories."""
    found = trajectories(data)
    if not found:
        say(f"{data / 'labelled'}: no trajectories in it, so nothing about the outcome of sessions.")
        return []
    tallies = [tally_of(trajectory) for trajectory in found]
    judged = [
        Judged(row.dataset, row.task, row.fail, outcome, outcome.failure_probability)
        for row, outcome in zip(found, map(judge, tallies), strict=True)
    ]
    cases = [case_of(row, tally) for row, tally in zip(found, tallies, strict=True)]
    apart = [one._replace(score=score) for one, score in zip(judged, cross_validated(cases), strict=True)]
    made = (
        _curve("session_outcome_auc", judged, "the weights as shipped"),
        _curve("session_outcome_auc_refitted", apart, "weights fitted on this data, each task's without it"),
        _precision("session_negative_precision", judged, Polarity.NEGATIVE),
        _precision("session_positive_precision", judged, Polarity.POSITIVE),
    )
    return [metric for metric in made if metric is not None]


def tally_of(trajectory: Trajectory) -> Tally:
    """What the product's own fold makes of a trajectory."""
    observer = Observer(None, str, human=lambda: True)
    for event in events_of(trajectory):
        observer.observe(event, _unheard)
    return observer.carried.session


def case_of(trajectory: Trajectory, tally: Tally) -> Case:
    """A trajectory as the fit sees it."""
    return Case(trajectory.dataset, trajectory.task, trajectory.fail, readings(tally.course), evidence_log_odds(tally))


def _unheard(_: Moment) -> None:
    """Moments are for the distiller; the tally is all that counts here."""


def _curve(key: str, judged: Sequence[Judged], note: str) -> Metric | None:
    """The mean over sets of the area under the curve; tasks are resampled, because agents share them."""
    each = ", ".join(f"{name} {value:.3f}" for name, value in sorted(_areas(judged).items()))
    return bootstrap(key, _by_task(judged), _mean_area, baseline=CHANCE, note=f"{note}; {each}")


def _mean_area(groups: Sequence[Sequence[Judged]]) -> float | None:
    """The mean over sets; None where no set has both kinds."""
    areas = _areas([one for group in groups for one in group])
    return sum(areas.values()) / len(areas) if areas else None


def _areas(judged: Sequence[Judged]) -> dict[str, float]:
    """The area under the curve of each set that has failures and successes."""
    by_set: dict[str, list[tuple[float, bool]]] = {}
    for one in judged:
        by_set.setdefault(one.dataset, []).append((one.score, one.fail))
    areas = {name: area_under_curve(scored) for name, scored in by_set.items()}
    return {name: area for name, area in areas.items() if area is not None}


def _precision(key: str, judged: Sequence[Judged], verdict: Polarity) -> Metric | None:
    """How often a verdict is right where one is given; the baseline is to give it always."""
    wanted = verdict is Polarity.NEGATIVE
    given = [one for one in judged if one.outcome.verdict is verdict]

    def right(groups: Sequence[Sequence[Judged]]) -> float | None:
        labels = [one.fail is wanted for group in groups for one in group]
        return sum(labels) / len(labels) if labels else None

    base = sum(one.fail is wanted for one in judged) / len(judged)
    note = f"given for {len(given)} of {len(judged)} sessions, else it abstains"
    return bootstrap(key, _by_task(given), right, baseline=base, note=note)


def _by_task(judged: Sequence[Judged]) -> list[list[Judged]]:
    """The rows of each task together."""
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(one.task, []).append(one)
    return list(groups.values())

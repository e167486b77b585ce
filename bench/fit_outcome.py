"""Fits the weights of a session's course and writes them: `python -m bench.fit_outcome [--data DIR] [--write]`.

Prints the cross-validated figures (tasks apart; one set learned, the others judged) and how well the probabilities
are calibrated. Needs nothing beside the product itself. `--data` is `../shared` unless given.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from math import exp, log
from pathlib import Path
from typing import Final

from bench.quality.outcome_fit import REASONS, Case, Fitted, area_under_curve, cross_validated, fit
from bench.quality.outcomes import case_of, tally_of
from bench.quality.trajectories import trajectories

ROOT: Final = Path(__file__).parent.parent
WRITTEN: Final = ROOT / "daemon" / "selfdistill" / "signals" / "outcome_weights.py"
BINS: Final = 5
HEAD: Final = '''\
"""What the readings of `outcome_features.py` weigh, in log-odds of failure; written by `bench/fit_outcome.py`.

{figures}
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Weight(Struct, frozen=True):
    """The log-odds that a reading of 1 adds over 0, and the reading that is usual and so adds nothing."""

    weight: float
    usual: float


COURSE: Final[dict[str, Weight]] = {{
{rows}
}}
'''


def main() -> int:
    """Fit, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--write", action="store_true", help="write the weights into the product")
    given = parser.parse_args()
    cases = [case_of(row, tally_of(row)) for row in trajectories(given.data)]
    if not cases:
        print(f"{given.data / 'labelled'}: no trajectories in it, nothing to fit on.", file=sys.stderr)
        return 1
    fitted = fit(cases)
    figures = [*_tasks_apart(cases), *_sets_apart(cases)]
    print("\n".join([*figures, *_calibration(cases)]))
    for name, weight in fitted.weights.items():
        print(f"{name:16} {weight:6.2f}  argued {REASONS[name][0]:.1f}  usual {fitted.usual[name]:.2f}")
    if given.write:
        WRITTEN.write_text(_module(fitted, figures))
        subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(WRITTEN)], check=True)
    return 0


def _tasks_apart(cases: Sequence[Case]) -> list[str]:
    """The area under the curve of each set, with weights from other tasks."""
    scores = cross_validated(cases)
    lines = []
    for name in sorted({case.dataset for case in cases}):
        scored = [(score, case.fail) for case, score in zip(cases, scores, strict=True) if case.dataset == name]
        failed = sum(fail for _, fail in scored)
        lines.append(f"Tasks apart, {name}: AUC {_area(scored)} on {len(scored)} sessions, {failed} of them failed.")
    return lines


def _sets_apart(cases: Sequence[Case]) -> list[str]:
    """The area under the curve of each set, with weights from the other sets: agents that were never seen."""
    names = sorted({case.dataset for case in cases})
    lines = []
    for name in names if len(names) > 1 else ():
        fitted = fit([case for case in cases if case.dataset != name])
        scored = [(fitted.log_odds(case), case.fail) for case in cases if case.dataset == name]
        lines.append(f"Agents apart, {name}: AUC {_area(scored)} with the weights that the other sets give.")
    return lines


def _calibration(cases: Sequence[Case]) -> list[str]:
    """How often sessions failed, by fifths of the probability; the base rate is put in, as a project's own would be."""
    base = sum(case.fail for case in cases) / len(cases)
    scores = cross_validated(cases)
    shift = _shift(scores, base)
    told = sorted((1 / (1 + exp(-score - shift)), case.fail) for score, case in zip(scores, cases, strict=True))
    brier = sum((chance - fail) ** 2 for chance, fail in told) / len(told)
    lines = [f"Brier {brier:.3f}; {base * (1 - base):.3f} for the base rate alone."]
    for number in range(BINS):
        part = told[len(told) * number // BINS : len(told) * (number + 1) // BINS]
        mean = sum(chance for chance, _ in part) / len(part)
        lines.append(f"  said {mean:.2f}, failed {sum(fail for _, fail in part) / len(part):.2f} (n={len(part)})")
    return lines


def _shift(scores: Sequence[float], base: float) -> float:
    """The prior log-odds that make the mean probability the base rate: a few steps of Newton's method."""
    shift = log(base / (1 - base))
    for _ in range(20):
        chances = [1 / (1 + exp(-score - shift)) for score in scores]
        bend = sum(chance * (1 - chance) for chance in chances)
        shift += (base * len(chances) - sum(chances)) / bend
    return shift


def _area(scored: Sequence[tuple[float, bool]]) -> str:
    area = area_under_curve(scored)
    return "unknown" if area is None else f"{area:.3f}"


def _module(fitted: Fitted, figures: Sequence[str]) -> str:
    """The weights as the module that the product imports, each with its reason."""
    rows = "\n".join(
        f'    # {REASONS[name][1]}\n    "{name}": Weight({weight:.2f}, {fitted.usual[name]:.2f}),'
        for name, weight in fitted.weights.items()
    )
    return HEAD.format(figures="\n".join(figures), rows=rows)


if __name__ == "__main__":
    sys.exit(main())

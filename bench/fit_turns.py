"""Fits the weights of a person's turn and writes them: `python -m bench.fit_turns [--data DIR] [--write]`.

Prints what the marks weigh beside the guesses they started from, and the figures with the weights fitted on other
projects, on other sessions, and on earlier turns; then how well the probabilities are calibrated. Needs nothing beside
the product itself. `--data` is `../shared` unless given; `--write` puts the weights of all turns into the product.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.quality.turn_fit import (
    EXPECTED_NEGATIVE,
    EXPECTED_POSITIVE,
    NEGATIVE_LABELS,
    Fitted,
    Turn,
    Weights,
    cross_validated,
    fit,
    probabilities,
)
from bench.quality.turns import CLASSES, NEGATIVE, labelled, outcome_of, told, turn_of

ROOT: Final = Path(__file__).resolve().parents[1]
WRITTEN: Final = ROOT / "daemon" / "selfdistill" / "signals" / "turn_weights.py"
FOLDS: Final = 10
EARLIER: Final = 0.6  # of the turns teach, the later ones are judged
BINS: Final = (0.1, 0.3, 0.5, 0.7, 1.01)
HEAD: Final = '''"""What the marks of a turn weigh, in log-odds of complaint and assent; from `bench/fit_turns.py`.

{figures}
"""

from __future__ import annotations

from typing import Final

'''

Chances = Sequence[tuple[float, float]]


def main() -> int:
    """Fit, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--write", action="store_true", help="write the weights into the product")
    given = parser.parse_args()
    turns = [turn_of(row) for row in labelled(given.data)]
    if not turns:
        print(f"{given.data / 'labelled'}: no user_turns in it, nothing to fit on.", file=sys.stderr)
        return 1
    fitted = fit(turns)
    print(
        _table(fitted.negative, EXPECTED_NEGATIVE, turns), _table(fitted.positive, EXPECTED_POSITIVE, turns), sep="\n\n"
    )
    figures = [*_figures(turns), _calibration(turns)]
    print("", *figures, sep="\n")
    if given.write:
        WRITTEN.write_text(_module(fitted, figures), encoding="utf-8")
        print(f"written: {WRITTEN}")
    return 0


def _figures(turns: Sequence[Turn]) -> list[str]:
    """One line for each way to keep what is judged out of what is learned, and one for each project."""
    by_project = cross_validated(turns, lambda turn: turn.project)
    lines = [_line("Other projects teach", turns, by_project)]
    for number, project in enumerate(sorted({turn.project for turn in turns}), start=1):
        chosen = [(turn, both) for turn, both in zip(turns, by_project, strict=True) if turn.project == project]
        lines.append(_line(f"  of them project {number}", [turn for turn, _ in chosen], [both for _, both in chosen]))
    lines.append(_line("Other sessions teach", turns, cross_validated(turns, _fold)))
    in_time = sorted(turns, key=lambda turn: turn.at)
    split = int(len(in_time) * EARLIER)
    earlier, later = in_time[:split], in_time[split:]
    learned = fit(earlier)
    lines.append(_line("Earlier turns teach", later, [probabilities(learned, turn.marks) for turn in later]))
    everything = fit(turns)
    lines.append(_line("In-sample", turns, [probabilities(everything, turn.marks) for turn in turns]))
    return lines


def _fold(turn: Turn) -> int:
    """Which tenth of the sessions a turn belongs to, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(turn.session.encode(), digest_size=4).digest()) % FOLDS


def _line(name: str, turns: Sequence[Turn], chances: Chances) -> str:
    """The figures of turns by the probabilities that they were given."""
    said = [told(*both) for both in chances]
    true = [outcome_of(turn.label) for turn in turns]
    f1 = {one: _f1(one, said, true) for one in CLASSES}
    right = sum(one == other == NEGATIVE for one, other in zip(said, true, strict=True))
    wrong = said.count(NEGATIVE) - right
    complaints = true.count(NEGATIVE)
    false = wrong / max(1, len(true) - complaints)
    return (
        f"{name}: n {len(turns)}, complaints {complaints}: P {right / max(1, right + wrong):.2f} "
        f"R {right / max(1, complaints):.2f} F1 {f1[NEGATIVE]:.2f}, false {false:.3f}; "
        f"approval F1 {f1['positive']:.2f}; macro-F1 {sum(f1.values()) / len(f1):.2f}"
    )


def _f1(one: str, said: Sequence[str], true: Sequence[str]) -> float:
    both = sum(told_so == is_so == one for told_so, is_so in zip(said, true, strict=True))
    return 2 * both / max(1, said.count(one) + true.count(one))


def _calibration(turns: Sequence[Turn]) -> str:
    """How often turns complain that were said to complain with some probability, other sessions teaching."""
    pairs = [
        (both[0], turn.label in NEGATIVE_LABELS)
        for turn, both in zip(turns, cross_validated(turns, _fold), strict=True)
    ]
    parts = []
    for low, high in zip((0.0, *BINS), BINS, strict=False):
        inside = [hit for chance, hit in pairs if low <= chance < high]
        parts.append(f"{low:.1f}-{min(high, 1):.1f}: {sum(inside)} of {len(inside)}")
    return "Complaints by probability: " + ", ".join(parts)


def _table(weights: Weights, expected: Weights, turns: Sequence[Turn]) -> str:
    """What each mark weighs, what was guessed, and how many turns have it."""
    return "\n".join(
        f"{name:18} guessed {expected[name]:5.1f}  fitted {weight:6.2f}  on {sum(name in one.marks for one in turns):4}"
        for name, weight in sorted(weights.items(), key=lambda item: -abs(item[1]))
    )


def _module(fitted: Fitted, figures: Sequence[str]) -> str:
    """The weights as a module of the product."""
    parts = [HEAD.format(figures="\n".join(line.strip() for line in figures))]
    for name, weights in (("NEGATIVE", fitted.negative), ("POSITIVE", fitted.positive)):
        rows = "\n".join(f'    "{mark}": {round(weight, 2)},' for mark, weight in weights.items())
        parts.append(f"{name}: Final[dict[str, float]] = {{\n{rows}\n}}\n")
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(main())

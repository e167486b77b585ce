"""Measure everything, and print one table: `python -m bench.quality [--data DIR] [--json] [--only NAME]`.

DIR holds `labelled/`, `projects/` and perhaps `corpus/`; without it, `../shared` beside the repository. What a figure
needs and DIR has not is told on standard error, and the figure is left out.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from bench.quality.data import say
from bench.quality.metric import Metric
from bench.quality.table import as_json, table

from selfdistill.distill.heuristic.distiller import HeuristicDistiller

Measure = Callable[[Path], list[Metric]]
DEFAULT: Final = Path(__file__).resolve().parents[3] / "shared"
NAMES: Final = ("outcomes", "turns", "tool_failures", "masked_runs", "recurrence", "reruns")


def measures() -> dict[str, Measure]:
    """Every measurement by its module's name."""
    found: dict[str, Measure] = {}
    for name in NAMES:
        if importlib.util.find_spec(f"bench.quality.{name}") is None:
            say(f"{name}: not there yet.")
        else:
            found[name] = importlib.import_module(f"bench.quality.{name}").measure
    return found


def collect(data: Path, chosen: Sequence[str], known: dict[str, Measure]) -> list[Metric]:
    """The figures of the chosen measurements, one after the other."""
    metrics: list[Metric] = []
    for name in chosen:
        started = time.perf_counter()
        found = known[name](data)
        say(f"{name}: {len(found)} figures in {time.perf_counter() - started:.1f} s")
        metrics += found
    return metrics


def circumstances(data: Path) -> dict[str, Any]:
    """What the figures belong to: which program, when, on which data."""
    return {
        "selfdistill": version("selfdistill"),
        "distiller": HeuristicDistiller.version,
        "python": platform.python_version(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": str(data),
    }


def main(words: Sequence[str] | None = None) -> int:
    """Run from the command line; the exit code."""
    known = measures()
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT, metavar="DIR", help=f"the data ({DEFAULT})")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--only", choices=sorted(known), action="append", metavar="NAME", help=", ".join(known))
    arguments = parser.parse_args(words)
    data = arguments.data.resolve()
    if not data.is_dir():
        say(f"{data} is no directory, so there is nothing to measure. Name one with --data.")
    metrics = collect(data, arguments.only or list(known), known)
    about = circumstances(data)
    if arguments.json:
        print(json.dumps({"metrics": as_json(metrics), **about}, indent=2))
    else:
        print(", ".join(f"{name} {value}" for name, value in about.items()), table(metrics), sep="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

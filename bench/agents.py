"""What each source makes of real logs, read the way the program reads them: a row for each agent.

Usage: python -m bench.agents [--json] [--shared DIRECTORY]

The logs are the genuine ones of `corpus/INDEX.tsv` in the shared papers (private, beside the repository); without
them nothing is measured, and that is said aloud (exit code 2).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from selfdistill.ingest.reading import Lines, open_log
from selfdistill.model import Event, EventKind, Records
from selfdistill.service.pipeline import CleanPlaces, Piece
from selfdistill.service.recognising import logs_of
from selfdistill.sources import SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.sources import Source

SHARED: Final = Path(os.environ.get("SELFDISTILL_SHARED", Path(__file__).parents[2] / "shared"))
ROUNDS: Final = 3  # the fastest counts: other processes only ever add time, even to ours on the CPU
MEGABYTE: Final = 1e6
OTHER_NAMES: Final = {"cline-roo-kilo": "cline", "pi-agent": "pi"}
# Files of agents that are genuine and no logs: what a session was opened with; a database without its write-ahead log.
_NO_LOGS: Final = ("workspace.yaml", "Exa-Networks__exabgp/crush_crush.db")
_HEAD: Final = ("agent", "files", "sessions", "records", "unknown", "undecodable", "results", "unpaired", "MB", "MB/s")


class Figures(Struct):
    """What was read of one agent's logs."""

    files: int = 0
    sessions: int = 0
    records: Records = field(default_factory=Records)
    events: Counter[str] = field(default_factory=Counter)
    unpaired: int = 0
    text_bytes: int = 0
    seconds: float = 0.0

    @property
    def unknown_share(self) -> float:
        """Unknown records, of all."""
        return self.records.unknown / (self.records.total or 1)

    @property
    def speed(self) -> float:
        """Megabytes of text in a second on the CPU: opened, rendered where that is needed, and parsed."""
        return self.text_bytes / MEGABYTE / (self.seconds or 1.0)


class Read(Struct):
    """One log that was read."""

    source: Source
    path: Path
    events: list[Event]
    records: Records
    text_bytes: int
    largest_state: int


def genuine(shared: Path = SHARED) -> Iterator[tuple[Source, Path]]:
    """Every genuine file of the corpus that a source reads. Raises FileNotFoundError where there is no corpus."""
    named = {source.name: source for source in SOURCES}
    with (shared / "corpus" / "INDEX.tsv").open(encoding="utf-8") as index:
        for row in csv.DictReader(index, delimiter="\t"):
            source = named.get(OTHER_NAMES.get(row["agent"], row["agent"].replace("-", "_")))
            if source and row["genuine"] == "yes" and not row["file"].endswith(_NO_LOGS):
                yield source, shared / "corpus" / row["file"]


def logs_in(source: Source, path: Path) -> list[Path]:
    """The logs that a file holds. Raises LogProblem."""
    return list(logs_of(path, source))


def read(source: Source, path: Path, *, states: bool = False) -> Read:
    """Read one log to its end; `states` also looks how large what is remembered becomes. Raises LogProblem."""
    events: list[Event] = []
    largest = 0
    with open_log(path, source.layout) as opened:
        parser = source.open(path, None)
        lines = Lines(opened)
        piece = Piece(lines, parser, CleanPlaces(lambda text: text), lambda: False, at_rest=True)
        while not piece.ended:
            for number, event in enumerate(piece.events()):
                events.append(event)
                if states and number % 100 == 0:
                    largest = max(largest, len(parser.state()))
        return Read(source, path, events, parser.records, lines.offset, max(largest, len(parser.state())))


def unpaired(events: list[Event]) -> int:
    """Results whose call was not told before them."""
    calls: set[str] = set()
    found = 0
    for event in events:
        if event.kind is EventKind.TOOL_CALL:
            calls.add(event.call_id)
        found += event.kind is EventKind.TOOL_RESULT and event.call_id not in calls
    return found


def measured(logs: Iterator[tuple[Source, Path]]) -> dict[str, Figures]:
    """The figures of each agent, in the order of the logs."""
    table: dict[str, Figures] = {}
    for source, path in logs:
        figures = table.setdefault(source.name, Figures())
        figures.files += 1
        for log in logs_in(source, path):
            figures.sessions += 1
            _add(figures, source, log)
    return table


def _add(figures: Figures, source: Source, path: Path) -> None:
    """Read a log a few times and add it up once."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        log = read(source, path)
        best = min(best, time.process_time() - began)
    figures.seconds += best
    figures.text_bytes += log.text_bytes
    figures.unpaired += unpaired(log.events)
    figures.events.update(event.kind.value for event in log.events)
    for name in ("total", "known", "ignored", "unknown", "undecodable"):
        setattr(figures.records, name, getattr(figures.records, name) + getattr(log.records, name))


def rows(table: dict[str, Figures]) -> Iterator[tuple[str, ...]]:
    """The table as texts; the kinds of events follow the other columns."""
    kinds = [kind.value for kind in EventKind]
    yield (*_HEAD, *kinds)
    for name, one in table.items():
        told = (one.files, one.sessions, one.records.total, f"{one.unknown_share:.2%}", one.records.undecodable)
        paired = (one.events["tool_result"], one.unpaired, f"{one.text_bytes / MEGABYTE:.2f}", f"{one.speed:.0f}")
        yield (name, *map(str, (*told, *paired, *(one.events[kind] for kind in kinds))))


def as_json(table: dict[str, Figures]) -> dict[str, Any]:
    """The figures under their names."""
    return {
        name: {
            "files": one.files,
            "sessions": one.sessions,
            "records": {key: getattr(one.records, key) for key in ("total", "known", "ignored", "unknown")},
            "undecodable": one.records.undecodable,
            "unknown_share": round(one.unknown_share, 5),
            "unpaired": one.unpaired,
            "bytes": one.text_bytes,
            "megabytes_per_second": round(one.speed, 1),
            "events": dict(one.events),
        }
        for name, one in table.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What each source makes of the genuine logs of the corpus.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--shared", type=Path, default=SHARED, help="where the corpus lies (default: %(default)s)")
    chosen = parser.parse_args()
    try:
        table = measured(genuine(chosen.shared))
    except FileNotFoundError as problem:
        print(f"REAL LOGS ABSENT: {problem.filename} is not there; nothing was measured.", file=sys.stderr)
        raise SystemExit(2) from problem
    if chosen.json:
        print(json.dumps(as_json(table), indent=1))
    else:
        for row in rows(table):
            print("\t".join(row))


if __name__ == "__main__":
    main()

"""What the benches share: a process measured while it lives, figures against their targets, the machine, the files."""

from __future__ import annotations

import csv
import importlib
import importlib.metadata
import os
import platform
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

import selfdistill

PROGRAM: Final = [sys.executable, "-c", "import sys; from selfdistill.cli.main import main; sys.exit(main())"]
MEGABYTE: Final = 1_000_000
LOOK_SECONDS: Final = 0.05
RESULTS: Final = Path(__file__).parent / "results"
COLUMNS: Final = ("name", "value", "unit", "target", "reached", "how")


class Target(Struct, frozen=True):
    """What a figure is to be, at most or at least."""

    limit: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"

    def is_reached(self, value: float) -> bool:
        """Whether a figure is as it is to be."""
        return value >= self.limit if self.at_least else value <= self.limit


class Row(Struct, frozen=True):
    """One figure; None where it could not be measured, which `how` explains."""

    name: str
    value: float | None
    unit: str
    how: str = ""
    target: Target | None = None

    @property
    def reached(self) -> str:
        """Whether the target is reached: "yes", "NO", or "" without a target or a figure."""
        if self.target is None or self.value is None:
            return ""
        return "yes" if self.target.is_reached(self.value) else "NO"

    def texts(self) -> tuple[str, ...]:
        """The columns of a table."""
        return (self.name, shown(self.value), self.unit, str(self.target or ""), self.reached, self.how)


def shown(value: float | None) -> str:
    """Four digits without an exponent."""
    if value is None:
        return "SKIPPED"
    return f"{value:.0f}" if abs(value) >= 1e4 else f"{value:.4g}"  # noqa: PLR2004 - the digits of %g


def skipped(name: str, why: str) -> Row:
    """A row for what could not be measured, said aloud, too."""
    print(f"SKIPPED: {name}: {why}", file=sys.stderr, flush=True)
    return Row(name, None, "", why)


def table(rows: Iterable[Row]) -> str:
    """The figures with their targets, one below the other."""
    lines = [COLUMNS, *(row.texts() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all values does not pass (nearest rank)."""
    return sorted(values)[min(len(values) - 1, round(share * (len(values) - 1)))]


class Life(Struct):
    """What a process took from its start to its exit, with those that it started."""

    wall_s: float
    cpu_s: float
    peak_rss_mib: float
    peak_pss_mib: float
    output: bytes


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user: nothing of ours but PATH and Python's, bytecode being kept."""
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("PYTHON")}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "", "HOME": str(home), **more}


def compile_program() -> None:
    """Let no measured process compile the program, in a source tree either: pip does so on installing."""
    command = [sys.executable, "-m", "compileall", "-q", str(Path(selfdistill.__file__).parent)]
    subprocess.run(command, env=environment(Path.home()), check=True)


def live(command: Sequence[str], variables: dict[str, str]) -> Life:
    """Let a process live and measure it. Raises SystemExit if it fails."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE)
    memory = PeakMemory(process.pid)
    memory.start()
    assert process.stdout
    with process.stdout:
        output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(
            f"`{' '.join(command[-5:])}` ended with {process.returncode}; nothing is measured of failures."
        )
    memory.stop()
    # ru_maxrss is no help on Linux: it begins with what this process held when it started the other one.
    rss_kib = usage.ru_maxrss / 1024 if sys.platform == "darwin" else memory.rss_kib
    return Life(wall, usage.ru_utime + usage.ru_stime, rss_kib / 1024, memory.pss_kib / 1024, output)


class PeakMemory(threading.Thread):
    """Looks all the while how much memory a process and those that it started hold, in sum; 0 where there is no /proc.

    Pages that processes share count for each of them in `rss_kib`, once in `pss_kib`.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self.rss_kib = self.pss_kib = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        """Until told to stop."""
        while not self._over.wait(LOOK_SECONDS):
            rss, pss = memory_kib(self._pid)
            largest = memory_mib(self._pid, "VmHWM") * 1024  # of the first process: a peak between two looks
            self.rss_kib, self.pss_kib = max(self.rss_kib, rss, largest), max(self.pss_kib, pss)

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self.join()


def memory_kib(pid: int) -> tuple[int, int]:
    """(RSS, PSS) of a process and of those that it has started."""
    rss = pss = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            rss += int(line.split()[1]) if line.startswith("Rss:") else 0
            pss += int(line.split()[1]) if line.startswith("Pss:") else 0
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                more = memory_kib(int(child))
                rss, pss = rss + more[0], pss + more[1]
    except (FileNotFoundError, ProcessLookupError):
        pass  # it has ended meanwhile
    return rss, pss


def memory_mib(pid: int, field: str) -> float:
    """VmRSS (now) or VmHWM (the most so far) of one process; 0 of one that has ended, or where there is no /proc."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), 0.0)


def cpu_seconds(pid: int) -> float:
    """What a process has taken of the processor, ended threads and children included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def store_kib(state: Path) -> float:
    """The pages of a store, in KiB, wherever they lie: in the database or in its journal."""
    database = sqlite3.connect(f"file:{state}/lessons.db?mode=ro", uri=True)
    pages, size = (database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    database.close()
    return float(pages * size / 1024)


def machine() -> str:
    """Where and when this is measured, and with what."""
    processors = Path("/proc/cpuinfo")
    lines = processors.read_text().splitlines() if processors.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.processor())
    versions = [f"SQLite {sqlite3.sqlite_version}"]
    versions += [
        f"{name} {version(name)}" for name in ("selfdistill", "msgspec", "watchdog", "orjson") if version(name)
    ]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {model}, {os.cpu_count()} cores, load {load()}, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {', '.join(versions)}"
    )


def load() -> str:
    """How many processes have wanted a core lately: of 1, 5 and 15 minutes."""
    return "/".join(f"{one:.1f}" for one in os.getloadavg())


def version(distribution: str) -> str:
    """The version of what is installed, "" of what is not."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def write_table(path: Path, rows: Iterable[Row], *told: str) -> None:
    """The figures as CSV, below comments that say what they were measured on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"# {line}\n" for line in told)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(row.texts() for row in rows)


def plotting() -> Any:  # noqa: ANN401 - a module, or None
    """The module that draws, without a screen; None where it is not installed: it is not among our dependencies."""
    try:
        backend = importlib.import_module("matplotlib")
    except ImportError:
        return None
    backend.use("Agg")
    return importlib.import_module("matplotlib.pyplot")

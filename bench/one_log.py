"""What one log costs against its size: time, memory and store, as rows and as a plot."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import invented_home
from bench.measuring import MEGABYTE, PROGRAM, Life, Row, environment, live, plotting, store_kib
from bench.throughput import MOST_RSS_MIB, counts
from msgspec import Struct


class Point(Struct, frozen=True):
    """A log of so many megabytes, and what `run --limit 0` took for it."""

    megabytes: float
    life: Life
    store_kib: float


def points(work: Path, sizes: Iterable[int]) -> Iterator[Point]:
    """One point for each size, each in a HOME of its own that is removed afterwards."""
    for size in sizes:
        home, state = work / f"one-log-{size}", work / f"one-log-{size}-state"
        written = invented_home.one_log(home, size).stat().st_size / MEGABYTE
        variables = environment(home, SELFDISTILL_STATE_DIR=str(state))
        life = live([*PROGRAM, "run", "--limit", "0", "--json"], variables)
        yield Point(written, life, store_kib(state))
        shutil.rmtree(home)


def rows(found: Sequence[Point]) -> Iterator[Row]:
    """The figures of each point, and whether a megabyte costs more in a large log than in a small one."""
    for point in found:
        name, life = f"one log of {point.megabytes:.0f} MB", point.life
        how = f"`run --limit 0`, {life.wall_s:.2f} s with start-up, {life.cpu_s:.2f} s CPU; {counts(life)}"
        yield Row(name, point.megabytes / life.wall_s, "MB/s", how)
        how = f"all its processes, in sum; PSS {life.peak_pss_mib:.1f}"
        yield Row(f"{name}, peak RSS", life.peak_rss_mib, "MiB", how, MOST_RSS_MIB)
        yield Row(f"{name}, store", point.store_kib, "KiB", "all its pages")
    for first, second, third in zip(found, found[1:], found[2:], strict=False):
        how = f"CPU of each more, up to {third.megabytes:.0f} MB against up to {second.megabytes:.0f} MB; 1: linear"
        yield Row("a megabyte more of one log", _slope(second, third) / _slope(first, second), "x", how)


def _slope(one: Point, other: Point) -> float:
    """CPU seconds for a megabyte more."""
    return (other.life.cpu_s - one.life.cpu_s) / (other.megabytes - one.megabytes)


def draw(found: Sequence[Point], path: Path, told: str) -> bool:
    """The curves as PNG; False where nothing is installed that draws."""
    plots: Any = plotting()
    if plots is None:
        return False
    figure, (time_axis, memory_axis) = plots.subplots(1, 2, figsize=(10, 4))
    sizes = [point.megabytes for point in found]
    time_axis.plot(sizes, [point.life.wall_s for point in found], "o-", label="wall")
    time_axis.plot(sizes, [point.life.cpu_s for point in found], "o-", label="CPU, all processes")
    time_axis.set(xlabel="MB of one log", ylabel="seconds", title="first start", xlim=0, ylim=0)
    memory_axis.plot(sizes, [point.life.peak_rss_mib for point in found], "o-", label="RSS, all processes")
    memory_axis.plot(sizes, [point.life.peak_pss_mib for point in found], "o-", label="PSS, all processes")
    memory_axis.axhline(MOST_RSS_MIB.limit, linestyle=":", label="target")
    memory_axis.set(xlabel="MB of one log", ylabel="MiB", title="peak memory", xlim=0, ylim=0)
    for axis in (time_axis, memory_axis):
        axis.legend()
    figure.text(0.01, 0.01, told, fontsize=5)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return True

"""What a first start costs against the bytes it finds: wall and CPU time, memory of all processes, growth of the store.

Usage: python -m bench.scale [--megabytes 128 256 512 1024] [--one-log 1024] [--file-megabytes 10] [--out bench/results]

Invented sessions in a temporary directory, deleted after each point. Each point is a fresh HOME and state directory,
read by `run --limit 0` as it comes, then once more held to one core; `--one-log` is a single log of that size. Writes
`scale.csv`, and `scale.png` where matplotlib is installed, with machine, versions and date.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.daemons import SESSION
from bench.measuring import MEGABYTE, PROGRAM, RESULTS, compile_program, environment, live, machine, plotting, store_kib

LONG_AGO = 1_700_000_000
STORY_BYTES = 500_000
FIELDS = ("what", "cores", "megabytes", "logs", "wall_s", "megabytes_per_s", "rss_sum_mib", "pss_sum_mib", "store_kib")


def story(number: int, fill: int) -> bytes:
    """A session of its own with so many bytes of output in it that no rule looks for."""
    lines = SESSION.replace(b'"uuid": "', b'"uuid": "%d-' % number).replace(b"toolu_", b"toolu_%d_" % number)
    lines = lines.replace(b"5f0c1e52-7d14", b"%08x-7d14" % number).replace(b"mara/kettle", b"mara/p%d" % (number % 50))
    record = json.loads(lines.splitlines()[-1])
    record["uuid"] = f"fill-{number}"
    record["message"]["content"] = [{"type": "text", "text": "All is well with the kettle. " * (fill // 29)}]
    return lines + (json.dumps(record).encode() + b"\n" if fill else b"")


def lay_out(home: Path, megabytes: int, file_megabytes: int) -> int:
    """Logs of sessions of half a megabyte each, that many megabytes in all; how many logs."""
    made = number = 0
    while made * file_megabytes < megabytes:
        path = home / ".claude" / "projects" / f"p{made % 50}" / f"{made:08x}-7d14-4f0a-9c55-0e2b6a1d7711.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            while file.tell() < file_megabytes * MEGABYTE:
                number += 1
                file.write(story(number, STORY_BYTES))
        os.utime(path, (LONG_AGO + made, LONG_AGO + made))
        made += 1
    return made


def measured(home: Path, *, cores: int) -> dict[str, float]:
    """One `run --limit 0` on a fresh state directory."""
    state = home / "state"
    shutil.rmtree(state, ignore_errors=True)
    bound = ["taskset", "-c", "0"] if cores == 1 else []
    command = [*bound, *PROGRAM, "run", "--limit", "0", "--json"]
    found = live(command, environment(home, SELFDISTILL_STATE_DIR=str(state)))
    return {
        "wall_s": round(found.wall_s, 2),
        "rss_sum_mib": round(found.peak_rss_mib, 1),
        "pss_sum_mib": round(found.peak_pss_mib, 1),
        "store_kib": int(store_kib(state)),
    }


def points(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All measurements, each told as it comes."""
    compile_program()
    table: list[dict[str, Any]] = []
    cores = len(os.sched_getaffinity(0))
    wanted = [("logs", size, arguments.file_megabytes, cores) for size in arguments.megabytes]
    wanted += [("logs", arguments.megabytes[-1], arguments.file_megabytes, 1)]
    wanted += [("one log", arguments.one_log, arguments.one_log, cores)] if arguments.one_log else []
    for what, size, file_size, used in wanted:
        with tempfile.TemporaryDirectory(prefix="selfdistill-scale-") as directory:
            home = Path(directory) / "home"
            logs = lay_out(home, size, file_size)
            found = measured(home, cores=used)
        speed = round(size / found["wall_s"], 1)
        row = {"what": what, "cores": used, "megabytes": size, "logs": logs, "megabytes_per_s": speed, **found}
        print("  ".join(f"{name} {row[name]}" for name in FIELDS), flush=True)
        table.append(row)
    return table


def keep(table: list[dict[str, Any]], out: Path) -> None:
    """The table as CSV, the curve as PNG where that can be drawn."""
    out.mkdir(parents=True, exist_ok=True)
    told = machine()
    with (out / "scale.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(f"# {told}\n")
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(table)
    plots = plotting()
    if plots is None:
        print("SKIPPED: no scale.png, matplotlib is not installed here", file=sys.stderr)
        return

    curve = [row for row in table if row["what"] == "logs" and row["cores"] > 1]
    figure, (time_axis, memory_axis) = plots.subplots(1, 2, figsize=(10, 4))
    sizes = [row["megabytes"] for row in curve]
    time_axis.plot(sizes, [row["wall_s"] for row in curve], "o-")
    time_axis.set(xlabel="MB of logs", ylabel="seconds", title="first start", xlim=0, ylim=0)
    memory_axis.plot(sizes, [row["rss_sum_mib"] for row in curve], "o-", label="RSS, all processes")
    memory_axis.plot(sizes, [row["pss_sum_mib"] for row in curve], "o-", label="PSS, all processes")
    memory_axis.set(xlabel="MB of logs", ylabel="MiB", title="peak memory", xlim=0, ylim=0)
    memory_axis.legend()
    figure.text(0.01, 0.01, told, fontsize=5)
    figure.tight_layout(rect=(0, 0.03, 1, 1))
    figure.savefig(out / "scale.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[128, 256, 512, 1024])
    parser.add_argument("--one-log", type=int, default=1024, help="megabytes of a single log; 0: none")
    parser.add_argument("--file-megabytes", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    keep(points(arguments), arguments.out)


if __name__ == "__main__":
    main()

"""Kills one pass at every single system call that writes, and looks whether the next pass makes up for it.

Usage: python -m bench.sweep [--calls pwrite64,fsync,...] [--sample N] [--json]

For each kind of call and each k a process that has read half of some invented logs before, and one that starts on
nothing, distills what is there and is killed by strace at its k-th call of that kind, for all it makes. After each kill
another pass runs to its end, and findings, sightings, lessons, cursors and record counts are compared, row by row, with
those of a pass that nobody disturbed. `--sample N` takes N of the numbers of each kind, spread evenly.
Exit code 1 if anything is lost or doubled, 2 where strace cannot be used.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.kills import CONFIG, compare, soundness

from selfdistill import logs
from selfdistill.config import Places
from selfdistill.privacy.redaction import Redactor
from selfdistill.service.assembly import assemble
from selfdistill.service.one_pass import SAMPLE, one_pass
from selfdistill.service.running import Selection

# What leaves a trace on disk. Everything else may be cut off without anybody knowing.
CALLS = (
    *("pwrite64", "write", "fsync", "fdatasync", "ftruncate", "unlink", "unlinkat", "link", "linkat"),
    *("rename", "renameat", "renameat2", "mkdir", "mkdirat", "chmod", "fchmod", "utimensat"),
)
ATTACH_SECONDS = 10.0
MOST_CALLS = 5_000


def lay_out(home: Path, *, whole: bool) -> None:
    """The invented sessions below a home: their first halves, cut in a line, or all of them."""
    for path in sorted(SAMPLE.rglob("*.jsonl")):
        data = path.read_bytes()
        codex = path.name.startswith("rollout-")
        place = home / (".codex/sessions/2026/11/14" if codex else ".claude/projects/kettle") / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data if whole else data[: len(data) // 2])


def distil(home: Path, state: Path) -> None:
    """One pass over everything, the store closed in good order."""
    assembly = assemble(CONFIG, Places(home / "none", state), home, {})
    with assembly.store:
        one_pass(assembly, Selection(limit=0))


def child(home: Path, state: Path, *, wait: bool) -> int:
    """Fork a process that makes a pass, after SIGCONT if it is to wait; its pid."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if wait:
                os.kill(os.getpid(), signal.SIGSTOP)
            distil(home, state)
            code = 0
        finally:
            os._exit(code)
    return pid


def killed_at(home: Path, state: Path, call: str, number: int) -> bool:
    """Make a pass that is killed at its so-many-th call; False if it came to its end before."""
    pid = child(home, state, wait=True)
    os.waitpid(pid, os.WUNTRACED)
    injection = f"inject={call}:signal=KILL:when={number}"
    command = ["strace", "-f", "-qq", "-o", os.devnull, "-p", str(pid), "-e", f"trace={call}", "-e", injection]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
        _wait_for(pid, tracer)
        os.kill(pid, signal.SIGCONT)
        _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"a pass failed by itself: {call} {number}"
    return os.WIFSIGNALED(status)


def _wait_for(pid: int, tracer: subprocess.Popen[bytes]) -> None:
    """Until the process is traced."""
    end = time.monotonic() + ATTACH_SECONDS
    while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
        if time.monotonic() > end or tracer.poll() is not None:
            os.kill(pid, signal.SIGKILL)
            sys.exit("strace may not attach to a process here: nothing was tested")
        time.sleep(0.001)


def numbers(home: Path, prepared: Path, scratch: Path, calls: tuple[str, ...]) -> dict[str, int]:
    """How many calls of each kind one undisturbed pass makes."""
    fresh(prepared, scratch)
    counts = scratch.with_name("counts")
    pid = child(home, scratch, wait=True)
    os.waitpid(pid, os.WUNTRACED)
    command = ["strace", "-f", "-qq", "-o", str(counts), "-p", str(pid), "-e", f"trace={','.join(calls)}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
        _wait_for(pid, tracer)
        os.kill(pid, signal.SIGCONT)
        os.waitpid(pid, 0)
    made = Counter(re.findall(r"^\d+ +(\w+)\(", counts.read_text(), re.MULTILINE))
    return {call: min(MOST_CALLS, made[call]) for call in calls}


def fresh(prepared: Path, scratch: Path) -> None:
    """The state directory as it was prepared."""
    shutil.rmtree(scratch, ignore_errors=True)
    if prepared.is_dir():
        shutil.copytree(prepared, scratch)


def sweep(
    home: Path, prepared: Path, reference: Path, scratch: Path, call: str, most: int, sample: int
) -> tuple[int, list[dict[str, object]]]:
    """Every number of one call: how many kills, and what was wrong after which."""
    chosen = range(1, most + 1)
    if 0 < sample < most:
        step = -(-most // sample)
        chosen = range(1 + step // 2, most + 1, step)
    wrong: list[dict[str, object]] = []
    kills = 0
    for number in chosen:
        fresh(prepared, scratch)
        kills += killed_at(home, scratch, call, number)
        pid = child(home, scratch, wait=False)
        _, status = os.waitpid(pid, 0)
        if status:
            wrong.append({"call": call, "number": number, "next pass": status})
            continue
        found = compare(scratch, reference)
        if found["lost"] or found["doubled"] or soundness(scratch) != "ok":
            wrong.append({"call": call, "number": number, **found})
    return kills, wrong


def run(directory: Path, calls: tuple[str, ...], sample: int) -> dict[str, object]:
    """The whole: the first pass of a new user, and a later one over logs that have grown."""
    home, nothing, half = directory / "home", directory / "nothing", directory / "half"
    lay_out(home, whole=False)
    distil(home, half)
    lay_out(home, whole=True)
    begun = time.monotonic()
    kinds: dict[str, int] = {}
    wrong: list[dict[str, object]] = []
    for prepared in (nothing, half):
        reference = directory / f"reference-{prepared.name}"
        fresh(prepared, reference)
        distil(home, reference)
        scratch = directory / "scratch"
        for call, most in numbers(home, prepared, scratch, calls).items():
            kills, failures = sweep(home, prepared, reference, scratch, call, most, sample)
            kinds[call] = kinds.get(call, 0) + kills
            wrong += failures
    return {
        "kills": sum(kinds.values()),
        "seconds": round(time.monotonic() - begun, 1),
        "by_call": {call: kills for call, kills in kinds.items() if kills},
        "wrong": wrong,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", default=",".join(CALLS))
    parser.add_argument("--sample", type=int, default=0, help="so many of each kind (0: all)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not shutil.which("strace"):
        sys.stderr.write("strace is not installed here: nothing was tested\n")
        return 2
    logs.set_up("error", Redactor(()))
    with tempfile.TemporaryDirectory(prefix="selfdistill-sweep-") as directory:
        result = run(Path(directory), tuple(arguments.calls.split(",")), arguments.sample)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:10} {value}")
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""How long an agent waits for a hook, process start to exit: `python -m bench.hook_latency [--lessons N] [--json]`.

N invented lessons (10,000) in 20 projects are put into a store through its own API, as many are active as that makes;
then the hook is started as agents start it, at each of its events, in turn with `python -c pass` so that all meet one
load. As a ratio to that, the median must be <= 3 and the 95th percentile <= 5. What dominates: an interpreter that only
starts as the hook does, and one that then loads its modules and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from selfdistill.config import Places
from selfdistill.model import (
    Action,
    ActionType,
    Cursor,
    Evidence,
    Finding,
    Polarity,
    Proof,
    Records,
    Session,
    Span,
    Stat,
    Trigger,
    TriggerType,
)
from selfdistill.recall import hook_start
from selfdistill.service.assembly import open_store
from selfdistill.store import Commit, ProjectRef

ROUNDS: Final = 60
PROJECTS: Final = 20
MEDIAN_AT_MOST: Final = 3.0
P95_AT_MOST: Final = 5.0

_LOAD: Final = "import sys; sys.path.append(sys.argv[1]); import selfdistill.recall.answering, selfdistill.recall.hook"
_TOOLS: Final = ("kettle", "teapot", "stove", "tap", "whisk")
_KINDS: Final = (
    ("usage\x1funknown_option\x1f{tool} {verb}\x1f{word}", "`{tool} {verb} --{word}` fails: unknown option"),
    ("usage\x1fpath_missing\x1f{verb}/{word}.py", "Looking for `src/{verb}/{word}.py`"),
    ("test\x1f{verb}/test_{word}.py::test_{word}_{verb}", "About to run the tests of {verb}"),
    ("failure\x1f{tool} {verb}\x1f{word}: lid is open at <path>", "About to run `{tool} {verb}`"),
    ("diagnostic\x1f{word}", "Writing Go code that `golangci-lint` checks with `{word}`"),
)


def invented(count: int) -> Iterator[tuple[ProjectRef, Finding, bool]]:
    """So many findings, each for a lesson of its own, of the kinds that real ones are."""
    for number in range(count):
        cause, condition = _KINDS[number % len(_KINDS)]
        given = {"tool": _TOOLS[number % 7 % 5], "verb": f"boil{number % 97}", "word": f"word{number}"}
        evidence = Evidence(f"uid-{number}", Span(number, 1), "lid is open", "failed call", 1_700_000_000.0 + number)
        yield (
            ProjectRef(f"/home/mara/project-{number % PROJECTS}"),
            Finding(
                rule="command_repair",
                merge_key=f"command_repair\x1f{number}",
                signal=Polarity.NEGATIVE,
                trigger=Trigger(condition.format(**given), TriggerType.ERROR_REPORT),
                action=Action(ActionType.DO, f"Close the lid of {given['word']} first, then go on as before."),
                evidence=(evidence,),
                strength=0.7,
                covers=(cause.format(**given),),
                tags=(given["tool"],),
            ),
            False,
        )


def plant(state: Path, count: int) -> int:
    """Put so many lessons into a new store through its API; how many of them are active."""
    with open_store(Places(config=state / "config.toml", state=state)) as store:
        stat = Stat(1, 1, 1, 1, 1)
        log = store.see(
            "claude_code", "planted", Path("/home/mara/planted.jsonl"), stat, changed_at=1.0, pending_since=1.0
        )
        store.commit(
            Commit(log, "heuristic", 1, None, Cursor(Proof(1)), Session(id="s"), Records(), stat, [*invented(count)])
        )
        return len(store.lessons(None, everywhere=True))


def events() -> dict[str, tuple[str, dict[str, object]]]:
    """By what it shows: the agent's event, and what comes with it."""
    common: dict[str, object] = {"cwd": "/home/mara/project-0", "hook_event_name": "x"}
    call = {**common, "tool_name": "Bash", "tool_input": {"command": "cd /w && kettle boil0 --word0 x.txt | head -3"}}
    other = {**common, "tool_name": "Bash", "tool_input": {"command": "pytest -q tests/boil80"}}
    edit = {**common, "tool_name": "Edit", "tool_input": {"file_path": "/w/a.go", "old_string": "a", "new_string": "b"}}
    return {
        "before a call, told": ("PreToolUse", call),
        "before a call, silent": ("PreToolUse", {**call, "tool_input": {"command": "git status"}}),
        "before a test run": ("PreToolUse", other),
        "before an edit": ("PreToolUse", edit),
        "after a failure": ("PostToolUseFailure", {**call, "error": "word3: lid is open at /home/mara/x"}),
        "at a prompt": ("UserPromptSubmit", {**common, "prompt": "Please boil the water of word7 with the kettle"}),
        "at a start": ("SessionStart", {**common, "source": "startup"}),
        "at an end": ("SessionEnd", {**common, "reason": "exit"}),
    }


def seconds(command: Sequence[str], given: bytes, environment: dict[str, str]) -> float:
    """How long a process takes from its start to its exit."""
    started = time.perf_counter()
    subprocess.run(command, input=given, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def measure(state: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round on this state directory, by what was started; every round in a session of its own."""
    bytecode = state.parent / "bytecode"
    script = Path(hook_start.__file__)
    package = str(script.parents[2])
    bare = [sys.executable, "-I", "-S"]
    cached = [*bare, "-X", f"pycache_prefix={bytecode}"]
    commands = {
        "python -c pass": ([sys.executable, "-c", "pass"], {}),
        "python -I -S -c pass": ([*bare, "-c", "pass"], {}),
        "its modules alone": ([*cached, "-c", _LOAD, package], {}),
        "without Python's cache": (
            [*bare, "-X", f"pycache_prefix={bytecode}-none", str(script), "PreToolUse", "claude_code", str(state)],
            events()["before a call, silent"][1],
        ),
        **{
            name: ([*cached, str(script), event, "claude_code", str(state)], fields)
            for name, (event, fields) in events().items()
        },
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode), "PYTHONDONTWRITEBYTECODE": ""}
    for turn in range(-1, rounds):  # the first one compiles and is not counted
        for name, (command, fields) in commands.items():
            given = json.dumps({**fields, "session_id": f"{name}-{turn}"}).encode()
            took = seconds(command, given, environment)
            times[name] += [took] if turn >= 0 else []
    return times


def figures(times: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median and 95th percentile of each, in milliseconds and as a ratio to the median of `python -c pass`."""
    base = statistics.median(times["python -c pass"])
    found = {}
    for name, taken in times.items():
        p50, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
        found[name] = {"p50_ms": p50 * 1e3, "p95_ms": p95 * 1e3, "p50_ratio": p50 / base, "p95_ratio": p95 / base}
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Run from the command line; 1 if an event takes longer than it may."""
    parser = argparse.ArgumentParser(prog="python -m bench.hook_latency", description=__doc__)
    parser.add_argument("--lessons", type=int, default=10_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory) / "state"
        state.mkdir(mode=0o700)
        active = plant(state, arguments.lessons)
        size = (state / "lessons.db").stat().st_size / 1e6
        print(f"{arguments.lessons} lessons, {active} active, in {PROJECTS} projects, {size:.1f} MB", file=sys.stderr)
        found = figures(measure(state, arguments.rounds))
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        for name, one in found.items():
            print(f"{name:24} {one['p50_ms']:6.1f} ms {one['p50_ratio']:5.2f} x   p95 {one['p95_ratio']:5.2f} x")
    held = (found[name] for name in events())
    return int(any(one["p50_ratio"] > MEDIAN_AT_MOST or one["p95_ratio"] > P95_AT_MOST for one in held))


if __name__ == "__main__":
    sys.exit(main())

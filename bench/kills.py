"""Kills the daemon's worker thousands of times at random instants and compares what it learned with a quiet reference.

Usage: python bench/kills.py [--kills 2000] [--life-ms 80] [--seed N] [--json]

This process imports everything once and forks a worker for each life (a "zygote": 40 lives a second instead of 2). Two
more children append invented sessions to logs all the while, cut anywhere. In the end a last worker reads what is left,
and findings, sightings, lessons, cursors and record counts are compared, row by row, with those of one pass over the
finished logs in a fresh store. Exit code 1 if a row is missing or too many, or the database is damaged.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from selfdistill import logs
from selfdistill.config import Config, Places, Scanning, Settling
from selfdistill.privacy.redaction import Redactor
from selfdistill.service.assembly import assemble
from selfdistill.service.one_pass import SAMPLE, one_pass
from selfdistill.service.running import Selection
from selfdistill.service.worker import Worker

# Turns that are open are distilled too, and nothing waits: so every life has work, and logs are cut anywhere.
CONFIG = Config(
    settling=Settling(settle_seconds=0.0, max_wait_minutes=0.0001, open_call_hours=0.000001),
    scanning=Scanning(watch=False, directories_every_seconds=0.005, hot_every_seconds=0.005, full_every_minutes=1),
)
FROM_BIRTH = 4  # one life in so many is counted from the fork, so that starts are killed, too
BIRTH_SECONDS = 0.1  # from the fork to the first round, where nobody else is at work; else all lives are longer
LIVE_LOGS = 6  # logs that grow at the same time
PIECE_BYTES = 1500  # at most so much is appended at once
# Some 4,000 appends whatever the number of kills: with thousands of logs no life would come to its first commit.
WRITE_PAUSE_SECONDS_PER_KILL = 3e-5

# What must be the same, whatever happened on the way. Times of our own and the numbers of logs are not.
QUESTIONS = {
    "findings": "SELECT id, distiller, version, rule, project, remote, merge_key, body FROM findings",
    "sightings": "SELECT finding_id, directory || '/' || name, sightings.generation, sightings.session, provisional,"
    " spans, times, body FROM sightings JOIN logs ON logs.id = log_id",
    "lessons": "SELECT id, project, merge_key, condition, action, rationale, confidence, scope, tags, state, support"
    " FROM lessons",
    "cursors": "SELECT directory || '/' || name, generation, offset, head, tail, parser_state, carry FROM cursors"
    " JOIN logs ON logs.id = log_id",
    "records": "SELECT directory || '/' || name, session, records_total, records_known, records_undecodable, skip"
    " FROM logs",
}


def sessions(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Invented sessions without end, as (place below the home, content): the sample's, each time with other ids."""
    originals = [(path.name, path.read_bytes()) for path in sorted(SAMPLE.rglob("*.jsonl"))]
    while True:
        name, content = chance.choice(originals)
        mark = f"{chance.getrandbits(32):08x}"
        content = re.sub(rb'"(uuid|parentUuid)": "[0-9a-f]{8}', b'"\\1": "' + mark.encode(), content)
        content = re.sub(rb'"(toolu|call)_(?=[0-9a-f]{4})', b'"\\1_' + mark.encode(), content)  # not "call_id"
        content = content.replace(b"/home/mara/kettle", b"/home/mara/kettle-%d" % chance.randrange(100))
        if name.startswith("rollout-"):
            renamed = f"{name[:28]}{mark}-77aa-7cc2-9a10-5a0e4c1b2d33.jsonl"
            yield f".codex/sessions/2026/11/14/{renamed}", content.replace(b"019a8d10", mark.encode())
        else:
            old = name.removesuffix(".jsonl")
            new = mark + old[8:]
            yield f".claude/projects/kettle/{new}.jsonl", content.replace(old.encode(), new.encode())


def write(home: Path, seed: int, pause_seconds: float, stop: int) -> None:
    """Append pieces of any length to a few logs at a time until `stop` can be read; then finish what was begun."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    supply = sessions(chance)
    growing: dict[Path, bytes] = {}  # what is still to be appended
    os.set_blocking(stop, False)
    stopped = False
    while growing or not stopped:
        stopped = stopped or _is_over(stop)
        while len(growing) < LIVE_LOGS and not stopped:
            place, content = next(supply)
            path = home / place
            path.parent.mkdir(parents=True, exist_ok=True)
            growing[path] = content
        if not growing:
            return
        path = chance.choice(list(growing))
        length = chance.randrange(1, PIECE_BYTES)
        with path.open("ab") as file:
            file.write(growing[path][:length])
        growing[path] = growing[path][length:]
        if not growing[path]:
            del growing[path]
        if not stopped:
            time.sleep(pause_seconds)


def _is_over(stop: int) -> bool:
    """Whether the other end of the pipe was closed."""
    try:
        return os.read(stop, 1) == b""
    except BlockingIOError:
        return False


def live(home: Path, state: Path, ready: int) -> None:
    """One life of the daemon's worker; says a byte when it has come to its first round, and never returns."""
    assembly = assemble(CONFIG, Places(home / "none", state), home, {})
    worker = Worker(assembly, logs.logger("kills"))

    def say() -> None:
        os.write(ready, b"r")

    worker.run(say)


def kill_one(home: Path, state: Path, life_seconds: float, slowness: float, *, from_birth: bool) -> float:
    """Fork a worker, let it live for so long after its birth or its first round, and kill it; how slow its birth was.

    On a busy machine, where a birth takes `slowness` times as long as it should, lives are as much longer.
    """
    reader, writer = os.pipe()
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            live(home, state, writer)
        finally:
            os._exit(99)
    os.close(writer)
    if not from_birth:
        os.read(reader, 1)
        slowness = max(1.0, (time.monotonic() - begun) / BIRTH_SECONDS)
    time.sleep(life_seconds * slowness)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(reader)
    assert os.WIFSIGNALED(status), "a worker ended by itself: run it with the log level debug"
    return slowness


def finish(home: Path, state: Path) -> None:
    """A last worker that nobody kills, until nothing is left to do."""
    with assemble(CONFIG, Places(home / "none", state), home, {}).store as store:
        worker = Worker(assemble(CONFIG, Places(home / "none", state), home, {}), logs.logger("kills"))
        thread = threading.Thread(target=worker.run, args=(lambda: None,))
        thread.start()
        rest = 0
        while rest < 5:  # noqa: PLR2004 - as many looks in a row that find nothing pending
            time.sleep(0.1)
            rest = 0 if store.pending() else rest + 1
        worker.stop()
        thread.join()


def answers(state: Path) -> dict[str, set[tuple[object, ...]]]:
    """What a store holds, as sets of rows."""
    connection = sqlite3.connect(state / "lessons.db")
    try:
        return {name: set(connection.execute(question)) for name, question in QUESTIONS.items()}
    finally:
        connection.close()


def soundness(state: Path) -> str:
    """What SQLite says of the file."""
    connection = sqlite3.connect(state / "lessons.db")
    try:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        connection.close()


def compare(state: Path, reference: Path) -> dict[str, object]:
    """Rows that are missing or too many, by kind."""
    ours, right = answers(state), answers(reference)
    return {
        "rows": {name: len(rows) for name, rows in right.items()},
        "lost": {name: len(right[name] - ours[name]) for name in right if right[name] - ours[name]},
        "doubled": {name: len(ours[name] - right[name]) for name in right if ours[name] - right[name]},
    }


def run(home: Path, kills: int, life_seconds: float, seed: int) -> dict[str, object]:
    """The whole: writers, kills, last worker, reference, comparison."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    state, reference = home / "state", home / "reference"
    reader, writer = os.pipe()
    writers = []
    for number in range(2):
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            write(home, seed + number, max(0.01, kills * WRITE_PAUSE_SECONDS_PER_KILL), reader)
            os._exit(0)
        writers.append(pid)
    begun = time.monotonic()
    slowness = 1.0
    for life in range(kills):
        length, from_birth = chance.random() * life_seconds, life % FROM_BIRTH == 0
        slowness = kill_one(home, state, length, slowness, from_birth=from_birth)
    seconds = time.monotonic() - begun
    os.close(writer)
    for pid in writers:
        os.waitpid(pid, 0)
    runs = _count(state, "runs")
    finish(home, state)
    assembly = assemble(CONFIG, Places(home / "none", reference), home, {})
    with assembly.store as store:
        one_pass(assembly, Selection(limit=0))
        left = len(store.pending())
    return {
        "kills": kills,
        "seconds": round(seconds, 1),
        "per_second": round(kills / seconds, 1),
        "runs_between_kills": runs,
        "left_in_reference": left,
        **compare(state, reference),
        "integrity_check": soundness(state),
    }


def _count(state: Path, table: str) -> int:
    connection = sqlite3.connect(state / "lessons.db")
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own names
    finally:
        connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--life-ms", type=float, default=80.0, help="longest life (80)")
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    logs.set_up("error", Redactor(()))
    with tempfile.TemporaryDirectory(prefix="selfdistill-kills-") as directory:
        result = run(Path(directory), arguments.kills, arguments.life_ms / 1000, arguments.seed)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:20} {value if value != {} else 0}")
    return 1 if result["lost"] or result["doubled"] or result["integrity_check"] != "ok" else 0


if __name__ == "__main__":
    sys.exit(main())

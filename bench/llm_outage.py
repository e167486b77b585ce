"""Counts the calls that the daemon makes while a model's service is out for an hour, in each of many ways.

Usage: python -m bench.llm_outage [--seeds 20] [--json]

The daemon's asker, the real SDK and a loopback service; only the clock is ours, so that an hour takes a second. Twelve
sessions are owed and every minute something new is distilled, which makes the asker look again. Then the service is
well again: it is said how long it takes until the first answer, and until nothing is owed. Exit code 1 if any outage
saw more than 20 calls (reliability.md, section 8), or something stays owed.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.llm_kills import ledger

from selfdistill import logs
from selfdistill.config import Config, Llm, Places, Scanning, Settling
from selfdistill.privacy.redaction import Redactor
from selfdistill.service.asker import AskerThread
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.service.model_access import HEURISTIC
from selfdistill.service.one_pass import one_pass
from selfdistill.service.questions import DISTILLER
from selfdistill.service.running import Selection
from selfdistill.store import Store

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the service and the sessions are the tests' own
from invented import MEMORY, Claude
from support.messages_server import MessagesServer, Misbehaviour, Reply

HOUR_SECONDS = 3600.0
MINUTE_SECONDS = 60.0  # something is distilled so often
SESSIONS = 12
MOST_CALLS = 20
LONGEST_RECOVERY_SECONDS = 3 * HOUR_SECONDS
REFUSED = "connection refused"
WAYS: dict[str, Misbehaviour | None] = {
    "500": Misbehaviour.BROKEN,
    "529": Misbehaviour.OVERLOADED,
    "429, retry-after 1 s": Misbehaviour.HURRIED,
    "429, retry-after 1 h": Misbehaviour.LIMITED,
    "connection dropped": Misbehaviour.DROP,
    REFUSED: None,
}


class Clock:
    """The time of one simulated daemon."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now


def parts(home: Path, state: Path, url: str, clock: Clock) -> Assembly:
    """The program over this state; without a URL it asks no model."""
    model = Llm(mode="auto" if url else "off", base_url=url, settle_minutes=0, daily_usd=1000.0)
    config = Config(settling=Settling(settle_seconds=0.0), scanning=Scanning(watch=False), llm=model)
    return assemble(config, Places(home / "none", state), home, {}, clock=clock)


def lay_out(home: Path, state: Path) -> None:
    """Sessions that the heuristics are done with and the model is owed."""
    for number in range(SESSIONS):
        Claude(f"{number:x}").say(f"In pot {number} we boil the water twice.").answer("Done.").write(home)
    assembly = parts(home, state, "", Clock())
    with assembly.store:
        one_pass(assembly, Selection(limit=0))


def owed(store: Store) -> int:
    return len(store.owed(HEURISTIC, DISTILLER))


def outage(home: Path, state: Path, way: str, seed: int) -> dict[str, float]:
    """One hour without the service, and what follows."""
    random.seed(seed)  # the jitter's source
    with MessagesServer() as server:
        server.otherwise = WAYS[way] or Reply()
        clock = Clock()
        assembly = parts(home, state, free_address() if way == REFUSED else server.url, clock)
        with assembly.store as store:
            pass_time(AskerThread(assembly, logs.logger("outage"), lambda: None), clock, HOUR_SECONDS)
            calls = ledger(
                state, "SELECT coalesce(sum(attempts), 0) FROM calls"
            )  # also where nobody was there to count
            assert way == REFUSED or calls == len(server.calls())
            assert owed(store) == SESSIONS
    return {"calls": calls, **recovery(home, state, clock)}


def recovery(home: Path, state: Path, clock: Clock) -> dict[str, float]:
    """The service is well again, the daemon another one: seconds until its first answer and until nothing is owed."""
    begun, first = clock.now, 0.0
    with MessagesServer() as server:
        assembly = parts(home, state, server.url, clock)
        asker = AskerThread(assembly, logs.logger("outage"), lambda: None)
        with assembly.store as store:
            while owed(store) and clock.now - begun < LONGEST_RECOVERY_SECONDS:
                pass_time(asker, clock, MINUTE_SECONDS)
                first = first or (clock.now - begun if owed(store) < SESSIONS else 0.0)
            return {"first_answer_s": first, "all_answers_s": clock.now - begun, "owed_then": owed(store)}


def pass_time(asker: AskerThread, clock: Clock, seconds: float) -> None:
    """Let the asker look as often as the daemon lets it in so many seconds."""
    end = clock.now + seconds
    while clock.now < end:
        clock.now += min(max(asker.one_round(), 2.0), MINUTE_SECONDS, max(end - clock.now, 0.001))


def free_address() -> str:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def measure(base: Path, ways: Sequence[str], seeds: int) -> dict[str, list[dict[str, float]]]:
    """Each way with each seed, from the same beginning."""
    home, begin = base / "home", base / "begin"
    lay_out(home, begin)
    found: dict[str, list[dict[str, float]]] = {}
    for way in ways:
        for seed in range(seeds):
            state = base / "state"
            shutil.copytree(begin, state)
            found.setdefault(way, []).append(outage(home, state, way, seed))
            shutil.rmtree(state)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    logs.set_up("error", Redactor(()))
    with tempfile.TemporaryDirectory(prefix="selfdistill-outage-", dir=MEMORY) as directory:
        found = measure(Path(directory), list(WAYS), arguments.seeds)
    if arguments.json:
        print(json.dumps(found))
    else:
        print(
            f"{'an hour of':24}{'calls: least':>14}{'mean':>8}{'most':>6}{'first answer, s':>17}{'all answers, s':>16}"
        )
        for way, rows in found.items():
            calls = [row["calls"] for row in rows]
            first, last = (max(row[name] for row in rows) for name in ("first_answer_s", "all_answers_s"))
            mean = sum(calls) / len(calls)
            print(f"{way:24}{min(calls):14.0f}{mean:8.1f}{max(calls):6.0f}{first:17.0f}{last:16.0f}")
    rows = [row for rows in found.values() for row in rows]
    return 1 if any(row["calls"] > MOST_CALLS or row["owed_then"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())

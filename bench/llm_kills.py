"""Kills the program hundreds of times while calls to a model are in flight, and counts what was paid and learned.

Usage: python -m bench.llm_kills [--kills 200] [--seed N] [--json]

The SDK talks to a loopback service that counts. This process imports the SDK once; a child of it (a "zygote") forks a
`run` or a daemon for each life, whose clock is a lease (300 s) ahead of the life before, so that nobody has to wait for
it. SIGKILL comes at a random moment after the first call of the life, one time in five after its birth. In the end an
undisturbed pass asks about what is left. Exit code 1 if a kill cost more than one extra call, the ledger has less than
the service would bill, or findings, lessons or cursors are not those of one undisturbed pass in a fresh store.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import re
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.kills import compare, soundness

from selfdistill import logs
from selfdistill.config import Config, Llm, Places, Scanning, Settling
from selfdistill.distill.llm.asking import Usage
from selfdistill.distill.llm.prices import DEFAULT_MODEL, cost
from selfdistill.privacy.redaction import Redactor
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.service.daemon import Daemon
from selfdistill.service.lifecycle import DaemonLock, Notifier, Signals
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection
from selfdistill.store.spending import LEASE_SECONDS

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # the service and the sessions are the tests' own
from invented import MEMORY, Claude
from support.messages_server import Asked, MessagesServer, Reply

SESSIONS_PER_KILL = 6  # more than a life can ask about, so that each has a call to be killed in
LESSONS = 37  # sessions share them, so that support is counted, too
FROM_BIRTH = 5  # one life in so many is counted from its birth
LONGEST_BIRTH_SECONDS = 0.4
LONGEST_CALL_SECONDS = 0.03
LONGEST_LIFE_SECONDS = 0.2  # after its first call, whose answer takes 50 ms to decode: pydantic builds its models
USED = Usage(3000, 200)
POT = re.compile(r"In pot (\d+) we")


def session(number: int) -> Claude:
    """A session in which a person states a rule that no heuristic reads."""
    return (
        Claude(f"{number:x}").say(f"In pot {number} we boil the water twice.").sh("make pour", "poured").answer("Done.")
    )


class Service:
    """What the loopback service answers: one lesson for each session, after a moment."""

    def __init__(self, server: MessagesServer, chance: random.Random) -> None:
        self.server = server
        self.asked = threading.Event()  # since it was cleared
        self.longest_seconds = LONGEST_CALL_SECONDS
        self._chance = chance
        server.otherwise = self._answer

    @property
    def calls(self) -> int:
        """How often it was asked; each call is billed, whether its answer arrived or not."""
        return len(self.server.calls())

    def _answer(self, asked: Asked) -> Reply:
        self.asked.set()
        content = asked.json()["messages"][0]["content"]
        found = POT.search(content)
        assert found, content
        kind = int(found[1]) % LESSONS
        operation = {
            "op": "add",
            "condition": f"water is boiled in a pot of kind {kind}",
            "trigger": "constraint",
            "action": f"boil the water of kind {kind} twice",
            "kind": "do",
            "rationale": "The user asked for it.",
            "signal": "neutral",
            "confidence": 0.9,
            "quotes": [{"record": "e1", "text": "we boil the water twice"}],
        }
        return Reply(
            json.dumps({"operations": [operation]}),
            input_tokens=USED.input_tokens,
            output_tokens=USED.output_tokens,
            latency_seconds=self._chance.random() * self.longest_seconds,
        )


def ahead_seconds(life: int) -> float:
    """How far the clock of a life is ahead: what the life before it had under way is no longer leased."""
    return life * (LEASE_SECONDS + 1.0)


def parts(home: Path, state: Path, url: str, ahead: float = 0.0, **more: Any) -> Assembly:  # noqa: ANN401
    """The program over this state; without a URL it asks no model. Its clock may be ahead."""
    model = Llm(mode="auto" if url else "off", base_url=url, settle_minutes=0, daily_usd=1000.0)
    config = Config(settling=Settling(settle_seconds=0.0), scanning=Scanning(watch=False), llm=model)
    places = Places(home / "none", state)
    return assemble(config, places, home, {}, clock=lambda: time.time() + ahead, **more)


def live(home: Path, state: Path, url: str, number: int) -> None:
    """One life: by turns a `run` and a daemon."""
    ahead = ahead_seconds(number)
    if number % 2:
        one_pass(parts(home, state, url, ahead), Selection(limit=0))
        return
    signals = Signals()
    with DaemonLock(state / "daemon.lock") as lock:
        assembly = partial(_stoppable, home, state, url, ahead)
        Daemon(assembly, lock, Notifier({}), signals, logs.logger("kills")).run()


def _stoppable(home: Path, state: Path, url: str, ahead: float, stopped: Callable[[], bool]) -> Assembly:
    return parts(home, state, url, ahead, stopped=stopped)


def fork_lives(home: Path, state: Path, url: str, told: Connection) -> None:
    """The zygote: for each number it is told, fork that life and tell its id; reap it when told so; end at None."""
    while (number := told.recv()) is not None:
        pid = os.fork()
        if pid == 0:
            try:
                live(home, state, url, number)
            finally:
                os._exit(0)
        told.send(pid)
        told.recv()
        told.send(os.WIFSIGNALED(os.waitpid(pid, 0)[1]))


@contextmanager
def zygote(home: Path, state: Path, server: MessagesServer) -> Iterator[Connection]:
    """A zygote; forked before the service has any thread, for a lock that a thread holds stays locked in a child."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=fork_lives, args=(home, state, server.url, theirs))
    process.start()
    try:
        yield ours
    finally:
        ours.send(None)
        process.join()


def kill_one(number: int, lives: Connection, service: Service, chance: random.Random) -> bool:
    """Start a life, kill it at a random moment; whether it was still alive then."""
    service.asked.clear()
    lives.send(number)
    pid = lives.recv()
    if number % FROM_BIRTH:
        service.asked.wait(5.0)
        time.sleep(chance.random() * LONGEST_LIFE_SECONDS)
    else:
        time.sleep(chance.random() * LONGEST_BIRTH_SECONDS)
    os.kill(pid, signal.SIGKILL)
    lives.send("reap")
    killed = bool(lives.recv())
    time.sleep(0.01)  # the service takes in what was sent before
    return killed


def answers(state: Path) -> int:
    """How many answers are in the ledger."""
    return int(ledger(state, "SELECT count(*) FROM calls WHERE state IN ('settled', 'applied')"))


def ledger(state: Path, question: str) -> int:
    """What the store says to a question with one number for an answer; 0 if it has no such table yet."""
    connection = sqlite3.connect(state / "lessons.db")
    try:
        return int(connection.execute(question).fetchone()[0])
    finally:
        connection.close()


def kill_many(kills: int, state: Path, service: Service, lives: Connection, chance: random.Random) -> dict[str, object]:
    """Kill so many lives; what each cost beyond what it brought."""
    extra: list[int] = []
    in_flight = number = 0
    begun = time.monotonic()
    while len(extra) < kills:
        asked, answered = service.calls, answers(state)
        number += 1
        if kill_one(number, lives, service, chance):
            extra.append(service.calls - asked - (answers(state) - answered))
            in_flight += service.calls > asked
        assert number < 2 * kills + 9, "lives end by themselves: there is nothing left to ask about"
    seconds = time.monotonic() - begun
    return {
        "kills": kills,
        "kills_after_a_call": in_flight,
        "seconds": round(seconds, 1),
        "extra_calls": sum(extra),
        "most_extra_calls_by_one_kill": max(extra),
        "lives": number,
    }


def run(base: Path, kills: int, seed: int) -> dict[str, Any]:
    """The whole: sessions, kills, what is left, reference, comparison."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    home, state, reference = base / "home", base / "state", base / "reference"
    sessions = SESSIONS_PER_KILL * kills
    for number in range(sessions):
        session(number).write(home)
    undisturbed(parts(home, state, ""))
    server = MessagesServer()
    with zygote(home, state, server) as lives, server:
        service = Service(server, chance)
        told = kill_many(kills, state, service, lives, chance)
        service.longest_seconds = 0.0
        undisturbed(parts(home, state, server.url, ahead_seconds(2 * kills + 10)))
        calls = service.calls
        undisturbed(parts(home, reference, server.url))
    bill = cost(DEFAULT_MODEL, USED)
    assert bill is not None
    return {
        **told,
        "sessions": sessions,
        "calls_at_the_service": calls,
        "calls_in_the_ledger": ledger(state, "SELECT count(*) FROM charges"),
        "billed_usd": float(bill * calls),
        "ledger_usd": ledger(state, "SELECT sum(coalesce(cost, reserved)) FROM charges") / 1e9,
        "undisturbed_usd": ledger(reference, "SELECT sum(coalesce(cost, reserved)) FROM charges") / 1e9,
        **compare(state, reference),
        "integrity_check": soundness(state),
    }


def undisturbed(assembly: Assembly) -> None:
    """One pass that nobody kills: nothing stays owed."""
    with assembly.store:
        asked = one_pass(assembly, Selection(limit=0)).asked
    assert asked is None or not asked.tally.left, asked


def sound(result: dict[str, Any]) -> bool:
    """Whether the promises were kept."""
    return (
        not result["lost"]
        and not result["doubled"]
        and result["integrity_check"] == "ok"
        and result["most_extra_calls_by_one_kill"] <= 1
        and result["calls_at_the_service"] == result["sessions"] + result["extra_calls"]
        and result["calls_in_the_ledger"] >= result["calls_at_the_service"]
        and result["ledger_usd"] >= result["billed_usd"]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    logs.set_up("error", Redactor(()))
    import anthropic  # noqa: F401, PLC0415 - once for all lives: 3 s
    import httpx2  # noqa: F401, PLC0415

    with tempfile.TemporaryDirectory(prefix="selfdistill-llm-kills-", dir=MEMORY) as directory:
        result = run(Path(directory), arguments.kills, arguments.seed)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:30} {value if value != {} else 0}")
    return 0 if sound(result) else 1


if __name__ == "__main__":
    sys.exit(main())

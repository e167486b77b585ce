"""The soak: a daemon that is killed, stopped, flooded and starved while agents write, for as long as one likes.

An accelerated day: what reliability.md wants once a minute, an hour or two hours comes once in 2, 20 and 40 seconds.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.kills import compare, sessions, soundness

from homes import AT_ONCE_ANYWHERE, Daemon, Home, until
from selfdistill.config import Config, Limits, Places, Scanning
from selfdistill.service.assembly import assemble
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection

MINUTES = float(os.environ.get("SELFDISTILL_SOAK_MINUTES", "60"))
BUSY = Scanning(directories_every_seconds=1, hot_every_seconds=1, canary_every_seconds=2)
MOST_KIB = 120 * 1024
TROUBLES = ("kill", "kill", "kill", "stop", "flood", "no room", "clean end")


class Soak:
    """One home, its daemon, and what befalls both."""

    def __init__(self, home: Home, chance: random.Random) -> None:
        self.home = home
        self.chance = chance
        self.supply: Iterator[tuple[str, bytes]] = sessions(chance)
        self.growing: dict[Path, bytes] = {}
        self.daemon: Daemon | None = None
        self.counts: dict[str, int] = {}

    def start(self) -> Daemon:
        """A daemon that has come up."""
        self.daemon = Daemon(self.home, {})
        until(self.daemon.is_up, "a daemon", seconds=120)
        return self.daemon

    def write(self, pieces: int) -> None:
        """Append some pieces, cut anywhere, to a few logs."""
        for _ in range(pieces):
            while len(self.growing) < 6:
                place, content = next(self.supply)
                self.growing[self.home.path / place] = content
            path = self.chance.choice(list(self.growing))
            length = self.chance.randrange(1, 4000)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(self.growing[path][:length])
            self.growing[path] = self.growing[path][length:]
            if not self.growing[path]:
                del self.growing[path]

    def finish(self) -> None:
        """Append what is still owed."""
        for path, rest in self.growing.items():
            with path.open("ab") as file:
                file.write(rest)
        self.growing.clear()

    def trouble(self, daemon: Daemon) -> None:
        """One accident."""
        what = self.chance.choice(TROUBLES)
        self.counts[what] = self.counts.get(what, 0) + 1
        if what == "kill":
            daemon.process.kill()
            daemon.process.wait(30)
        elif what == "clean end":
            daemon.stop()
        elif what == "stop":
            daemon.send(signal.SIGSTOP)
            self.write(20)
            time.sleep(2)
            daemon.send(signal.SIGCONT)
        elif what == "flood":
            daemon.send(signal.SIGSTOP)
            one, other = self.home.claude / "a.txt", self.home.claude / "b.txt"
            one.touch()
            for _ in range(5_000):
                one.rename(other)
                other.rename(one)
            self.write(20)
            daemon.send(signal.SIGCONT)
        else:
            self.home.configure(AT_ONCE_ANYWHERE, BUSY, Limits(min_free_mib=1e12))
            daemon.send(signal.SIGHUP)
            until(lambda: self.home.status().get("state") == "paused", "a pause", seconds=60)
            self.write(20)
            self.home.configure(AT_ONCE_ANYWHERE, BUSY)
            daemon.send(signal.SIGHUP)

    def resident_kib(self) -> int:
        """The daemon's memory."""
        assert self.daemon is not None
        lines = Path(f"/proc/{self.daemon.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


@pytest.mark.soak
def test_soak(tmp_path: Path) -> None:
    """After all of it the store is, row by row, that of one undisturbed pass; memory stayed bounded."""
    home = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
    soak = Soak(home, random.Random(62))  # noqa: S311 - repeatable on purpose
    daemon = soak.start()
    end = time.monotonic() + MINUTES * 60
    largest = 0
    for number in itertools.count():
        if time.monotonic() > end:
            break
        soak.write(10)
        time.sleep(0.1)
        if number % 20 == 19:
            largest = max(largest, soak.resident_kib())
            soak.trouble(daemon)
            if daemon.process.poll() is not None:
                daemon = soak.start()
    soak.finish()
    daemon.stop()
    reference = tmp_path / "reference"
    for state in (home.state, reference):  # what is still owed after the last accident, and all of it
        made = assemble(Config(settling=AT_ONCE_ANYWHERE), Places(home.config, state), home.path, {})
        with made.store:
            one_pass(made, Selection(limit=0))
    found = compare(home.state, reference)
    print(soak.counts, found["rows"], f"{largest / 1024:.0f} MiB")
    assert found["lost"] == found["doubled"] == {}
    assert soundness(home.state) == "ok"
    assert largest < MOST_KIB

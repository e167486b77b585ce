"""A damaged store under the commands and the daemon: put right, told of, and all lessons there again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from homes import Home, learned_at_once, until
from selfdistill.service.one_pass import one_pass
from selfdistill.service.repairing import repair
from selfdistill.service.running import Selection
from selfdistill.store import condemn


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A user whose sessions were distilled, and whose store has been damaged since."""
    home = Home(tmp_path / "home")
    home.fill()
    run(home)
    return home


def run(home: Home) -> None:
    """One pass over all logs."""
    with home.assembly() as assembly:
        one_pass(assembly, Selection(limit=0))


def damage(home: Home) -> None:
    """Garbage over the header."""
    with (home.state / "lessons.db").open("r+b") as file:
        file.write(os.urandom(100))


def test_a_daemon_begins_again(home: Home, tmp_path: Path) -> None:
    """A daemon that finds its store damaged puts it right, says so, and knows all lessons again (cases 48 and 49)."""
    expected = learned_at_once(tmp_path / "other")
    damage(home)
    with home.daemon():
        until(lambda: home.status().get("alarms"), "a word about the damaged store")
        home.waits_for(len(expected))
        assert home.lessons() == expected
        assert "damaged" in home.status()["alarms"][0]
        assert "corrupt/" in home.status()["alarms"][0]


def test_a_daemon_heals_what_breaks_under_it(home: Home) -> None:
    """Damage that anybody meets while a daemon runs makes it open the store anew, without a restart of the process."""
    expected = home.lessons()
    with home.daemon() as daemon:
        condemn(home.state / "lessons.db", "a page is broken")
        (home.claude / "one-more.jsonl").write_bytes(b"")  # wakes it
        until(lambda: "corrupt/" in str(home.status().get("alarms")), "a word about the damaged store")
        home.waits_for(len(expected))
        assert home.lessons() == expected
        assert home.status()["pid"] == daemon.pid


def test_doctor_repairs(home: Home) -> None:
    """`doctor --repair` puts a damaged store right and says what was done; `run` then learns again."""
    before = home.lessons()
    damage(home)
    said = repair(home.places())
    assert "was moved to corrupt/" in said[0]
    run(home)
    assert home.lessons() == before
    assert repair(home.places())[0] == "The store is sound."


def test_repair_leaves_a_running_daemon_its_store(home: Home) -> None:
    """Beside a daemon nothing is moved: a sound store is left alone, a damaged one is marked for the daemon."""
    with home.assembly():
        assert repair(home.places()) == ["The store is sound, and in use."]

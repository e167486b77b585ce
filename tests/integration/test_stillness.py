"""Directories that are only glanced at: whatever can happen to a log there is still found by the next full pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from homes import CLAUDE, SESSIONS, Home
from selfdistill.model import Skip
from selfdistill.service.assembly import Assembly
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection
from selfdistill.store import KnownLog
from selfdistill.store.database import connect

NAME = min(CLAUDE)


@pytest.fixture
def at_rest(tmp_path: Path) -> Iterator[tuple[Home, Assembly]]:
    """A home of which everything is distilled and every directory of logs is still."""
    home = Home(tmp_path)
    home.fill()
    for directory, _, _ in os.walk(home.path):
        os.utime(directory, (1_700_000_000, 1_700_000_000))  # younger ones are not trusted
    with home.assembly() as made:
        one_pass(made, Selection(limit=0))
        assert made.survey.full_pass() == []
        assert made.survey.stillness.of(home.claude) is not None
        yield home, made


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"type": "summary"}\n')


def rewrite_secretly(path: Path) -> None:
    """Other bytes, and the size and time of before."""
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    other.replace(path)


@pytest.mark.parametrize("happen", [append, rewrite_secretly, replace])
def test_a_log_that_changed_is_found(at_rest: tuple[Home, Assembly], happen: Callable[[Path], None]) -> None:
    """Grown, rewritten with an old time, replaced: one glance tells, though nobody has hinted."""
    home, made = at_rest
    happen(home.claude / NAME)
    assert [change.path for change in made.survey.full_pass()] == [home.claude / NAME]


def test_new_logs_are_found_wherever_they_are(at_rest: tuple[Home, Assembly]) -> None:
    """In a still directory, and in a new one below it."""
    home, made = at_rest
    below = home.claude / "s1" / "subagents"
    below.mkdir(parents=True)
    wanted = [home.claude / "new.jsonl", below / "agent-1.jsonl"]
    for path in wanted:
        path.write_bytes(SESSIONS[NAME])
    os.utime(home.claude, (1_700_000_000, 1_700_000_000))  # its own time tells nothing
    assert sorted(change.path for change in made.survey.full_pass()) == sorted(wanted)


def test_a_log_that_went_is_missed_twice_and_gone(at_rest: tuple[Home, Assembly]) -> None:
    """A directory with a log missing is compared until the log is known to be gone."""
    home, made = at_rest
    (home.claude / NAME).unlink()
    os.utime(home.claude, (1_700_000_000, 1_700_000_000))  # else it is not trusted, and compared for that
    for _ in range(2):
        made.survey.full_pass()
    log = made.store.log_at(home.claude / NAME)
    assert log is None or log.gone_scans >= 2


def test_what_others_wrote_into_the_store_is_noticed(at_rest: tuple[Home, Assembly]) -> None:
    """After a purge by another process a log is entered anew, though nothing happened to its file."""
    home, made = at_rest
    with closing(connect(made.places.database, busy_seconds=1.0, options="mode=rw")) as other:
        other.execute("DELETE FROM logs WHERE name = ?", (os.fsencode(NAME),))
        other.commit()
    assert [change.path for change in made.survey.full_pass()] == [home.claude / NAME]


def test_what_could_not_be_read_is_looked_at_again(at_rest: tuple[Home, Assembly]) -> None:
    """A log that our own reading found unreadable gets another look, once its directory is doubted."""
    home, made = at_rest
    log = made.store.log_at(home.claude / NAME)
    assert log is not None
    made.store.skip(log.id, Skip.UNREADABLE, "the disk said no")
    made.survey.stillness.doubt([home.claude])
    assert [change.path for change in made.survey.full_pass()] == [home.claude / NAME]


def test_nothing_is_read_from_the_store_where_nothing_happened(
    at_rest: tuple[Home, Assembly], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass over still directories asks the catalogue about none of them."""
    _, made = at_rest
    known = made.store.known
    asked: list[str] = []

    def watched(directory: str) -> dict[str, KnownLog]:
        asked.append(directory)
        return known(directory)

    monkeypatch.setattr(made.store, "known", watched)
    assert made.survey.full_pass() == []
    assert asked == []


def test_pages_hold_each_pending_log_once_the_newest_first(tmp_path: Path) -> None:
    """Whatever the size of a page, also where many logs have one modification time."""
    home = Home(tmp_path)
    for number in range(30):
        path = home.claude / f"{number:02}.jsonl"
        path.write_bytes(SESSIONS[NAME])
        os.utime(path, (1_700_000_000 + number // 7, 1_700_000_000 + number // 7))
    with home.assembly() as made:
        made.survey.full_pass()
        wanted = made.store.pending()
        assert len(wanted) == 30
        for size in (1, 4, 7, 100):
            assert [log for page in made.store.pending_pages(size) for log in page] == wanted

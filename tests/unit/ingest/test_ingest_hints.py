"""Hints: what the watcher's threads note."""

from __future__ import annotations

import errno
from pathlib import Path

from selfdistill.ingest.hints import MOST_HINTS, Hints, Mode, Notes


def test_hints_are_a_set_and_are_taken_once() -> None:
    """A thousand changes of one file are one hint and one call."""
    calls: list[None] = []
    notes = Notes(lambda: calls.append(None))
    for _ in range(1000):
        notes.note("/a")
    assert notes.take() == Hints(frozenset({Path("/a")}))
    assert len(calls) == 1
    assert notes.take() == Hints()


def test_too_many_hints_collapse_to_a_rescan() -> None:
    """A flood costs no memory beyond the bound: it says to look everywhere."""
    notes = Notes(lambda: None)
    for number in range(MOST_HINTS + 50):
        notes.note(f"/{number}")
    assert notes.take() == Hints(rescan_all=True)


def test_a_hint_after_taking_calls_again() -> None:
    """No change is lost between two looks."""
    calls: list[None] = []
    notes = Notes(lambda: calls.append(None))
    for _ in range(3):
        notes.note("/a")
        assert notes.take().paths
    assert len(calls) == 3


def test_health_names_the_setting_to_change() -> None:
    """A limit is told with the sysctl that lifts it, and how many directories it costs."""
    notes = Notes(lambda: None)
    notes.note_unwatched("/root/a", OSError(errno.ENOSPC, "full"))
    notes.note_unwatched("/root/b", PermissionError(errno.EACCES, "no"))
    health = notes.health(Mode.EVENTS, None)
    assert health.unwatched == 1
    assert "limit of inotify watches" in health.why
    assert "fs.inotify.max_user_watches" in health.advice
    notes.forget_root("/roo")
    assert notes.health(Mode.EVENTS, None).unwatched == 1
    notes.forget_root("/root")
    assert notes.health(Mode.EVENTS, None).why == ""


def test_a_failing_root_is_named() -> None:
    """A root that cannot be watched is in the health with its reason."""
    health = Notes(lambda: None).health(Mode.SCAN_ONLY, (Path("/r"), OSError(errno.EMFILE, "x")))
    assert health.mode is Mode.SCAN_ONLY
    assert "/r is not watched" in health.why
    assert "max_user_instances" in health.advice

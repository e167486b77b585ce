"""What `doctor` makes of facts: each level, with an advice wherever something is to be done."""

from __future__ import annotations

from pathlib import PurePath

import msgspec
import pytest

from selfdistill.service.diagnosis import (
    Disk,
    Level,
    Line,
    Owned,
    Place,
    Written,
    judge_clock,
    judge_disk,
    judge_model,
    judge_permissions,
    judge_roots,
    judge_service,
    judge_versions,
    judge_watching,
    verdict,
)

NOW = 1_800_000_000.0
GOOD = Place("codex", "/srv/codex", "ok")
FILE = Owned(PurePath("/state/lessons.db"), 0o600, 1000, is_directory=False)
FITTING = Written(
    active=True, state="active (running)", program="/opt/x", program_is_there=True, its_state="/s", our_state="/s"
)


def levels(lines: list[Line]) -> list[str]:
    """How grave each is; whatever is not ok says what to do."""
    assert all(line.advice for line in lines if line.level is not Level.OK)
    assert all(line.what for line in lines)
    return [line.level.value for line in lines]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([GOOD, Place("pi", "/srv/pi", "missing")], ["ok"]),
        ([], ["warn"]),
        ([GOOD, Place("pi", "/srv/pi", "missing", "Make it.", configured=True)], ["ok", "fail"]),
        ([GOOD, Place("pi", "/srv/pi", "unreadable", "chmod")], ["ok", "fail"]),
        ([Place("pi", "/srv/pi", "network", "Scans.")], ["ok", "warn"]),
    ],
)
def test_roots(places: list[Place], expected: list[str]) -> None:
    """A place that does not exist is trouble only if somebody named it; one that cannot be read always is."""
    assert levels(judge_roots(places)) == expected


def test_permissions() -> None:
    """Files that others may read are told with the chmod that helps, and others' files with the chown."""
    assert levels(judge_permissions([FILE], 1000)) == ["ok"]
    (line,) = judge_permissions([msgspec.structs.replace(FILE, mode=0o640)], 1000)
    assert (line.level, line.advice) == (Level.WARN, "chmod 600 '/state/lessons.db'")
    (line,) = judge_permissions([FILE], 1)
    assert (line.level, "chown -R 1 " in line.advice) == (Level.FAIL, True)
    many = [Owned(PurePath(f"/state/{number}"), 0o755, 1, is_directory=True) for number in range(9)]
    assert "and 6 more" in judge_permissions(many, 1)[0].what


@pytest.mark.parametrize(
    ("directories", "watches", "instances", "level"),
    [(100, 8192, 128, "ok"), (8000, 8192, 128, "warn"), (1, 8192, 0, "warn"), (10**6, None, None, "ok")],
)
def test_watching(directories: int, watches: int | None, instances: int | None, level: str) -> None:
    """Fewer watches than directories, with some for other programs, is told with the sysctl to set."""
    line = judge_watching(directories, watches, instances)
    assert levels([line]) == [level]
    assert ("sysctl -w fs.inotify." in line.advice) == (level == "warn")


def test_the_sysctl_is_enough() -> None:
    """The number that is advised holds the directories that are there."""
    assert "max_user_watches=1250000" in judge_watching(10**6, 8192, 128).advice


@pytest.mark.parametrize(
    ("now", "when", "expected"),
    [(NOW, NOW + 200, ["ok"]), (NOW, NOW + 400, ["warn"]), (NOW, NOW + 1e6, ["warn"]), (1000.0, 0.0, ["fail"])],
)
def test_clock(now: float, when: float, expected: list[str]) -> None:
    """What lies ahead of now by more than five minutes means a wrong clock; so does a year before this program's."""
    assert levels(judge_clock(now, {"/state/status.toml": when})) == expected


@pytest.mark.parametrize(
    ("disk", "level"),
    [
        (Disk(PurePath("/s"), 1000, 5), "ok"),
        (Disk(PurePath("/s"), 200), "warn"),
        (Disk(PurePath("/s"), 99), "fail"),
        (Disk(PurePath("/s"), 1000, 0), "fail"),
        (Disk(PurePath("/s"), 1000, read_only=True), "fail"),
    ],
)
def test_disk(disk: Disk, level: str) -> None:
    """Below the limit at which distilling pauses it fails; up to three times as much is a warning."""
    assert levels([judge_disk(disk, 100.0)]) == [level]


def test_model() -> None:
    """Off is no trouble; a service that cannot be reached and a key that others can read are."""
    off = judge_model(usable=False, reason="There is no key.", warnings=(), address="https://a", refusal="")
    assert levels(off) == ["ok"]
    assert levels(judge_model(usable=True, reason="key", warnings=(), address="https://a", refusal="")) == ["ok"]
    lines = judge_model(usable=True, reason="key", warnings=("open",), address="https://a", refusal="refused")
    assert levels(lines) == ["warn", "warn"]


@pytest.mark.parametrize(
    ("change", "expected", "said"),
    [
        ({}, ["ok"], "looks where this shell looks"),
        ({"active": False, "state": "failed (failed)"}, ["fail"], "failed"),
        ({"program_is_there": False, "active": False}, ["fail"], "gone"),
        ({"its_state": "/elsewhere"}, ["warn"], "/elsewhere"),
        ({"moved": ["claude_code"]}, ["warn"], "claude_code"),
        ({"at_login": False}, ["warn"], "login"),
    ],
)
def test_service(change: dict[str, object], expected: list[str], said: str) -> None:
    """A service that does not run, starts what is gone, or works elsewhere than this shell is told."""
    lines = judge_service(msgspec.structs.replace(FITTING, **change))
    assert levels(lines) == expected
    assert said in lines[0].what


def test_no_service_is_no_trouble() -> None:
    """Nobody has to install one."""
    assert levels(judge_service(None)) == ["ok"]


def test_versions() -> None:
    """A package that is missing or a SQLite that is too old is told."""
    assert levels(judge_versions("3.11.7", (3, 40, 1), {"watchdog": "7.1.0"})) == ["ok"]
    assert levels(judge_versions("3.11.7", (3, 34, 0), {"watchdog": ""})) == ["fail", "fail"]


def test_the_gravest_line_decides() -> None:
    """The verdict is that of the worst line; without any, all is well."""
    lines = {level: Line("x", level, "what", "advice") for level in Level}
    assert verdict([]) is Level.OK
    assert verdict([lines[Level.OK], lines[Level.WARN]]) is Level.WARN
    assert verdict([lines[Level.FAIL], lines[Level.WARN]]) is Level.FAIL

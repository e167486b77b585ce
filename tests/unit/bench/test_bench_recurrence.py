"""Recurrence on an invented project: exact figures for lessons that come from earlier sessions only."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bench.quality.recurrence import OWN_TEST, measure, replay

from invented import Claude

if TYPE_CHECKING:
    from bench.quality.metric import Metric

BROKEN = "unknown flag: --stat\n\nUsage: gh pr diff"


def failing(seed: str, *, mended: bool = True) -> Claude:
    """A session in which a flag was wrong; its repair is an active lesson by itself."""
    story = Claude(seed).say("Show me what changed in the pull request.")
    story.sh("gh pr diff 12 --stat", BROKEN, error=True)
    if mended:
        story.sh("gh pr diff 12 --name-only", "web/timer.ts")
    return story.answer("One file.")


def put_project(data: Path, *sessions: tuple[str, Claude], name: str = "kettle.dev.jsonl.gz") -> Path:
    """A project's file of sessions, each with the time at which it began."""
    rows = [
        {"session_id": f"s{at}", "created_at": when, "agent": None, "log": b"".join(story.lines).decode()}
        for at, (when, story) in enumerate(sessions)
    ]
    path = data / "projects" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return data


def figures(data: Path) -> dict[str, Metric]:
    """What is measured, by key."""
    return {metric.key: metric for metric in measure(data)}


def test_a_later_failure_is_covered_by_the_lesson_of_an_earlier_session(tmp_path: Path) -> None:
    """The second of two failures is covered, by an active lesson, which is told before the call."""
    found = figures(
        put_project(tmp_path, ("2026-11-02T09:00:00Z", failing("a")), ("2026-11-03T09:00:00Z", failing("b")))
    )
    assert (found["recurrence_coverage"].value, found["recurrence_coverage"].n) == (0.5, 2)
    assert found["recurrence_coverage_active"].value == 0.5
    assert (found["recall_at_1"].value, found["recall_at_3"].n) == (1.0, 1)
    assert (found["alerts_per_100"].value, found["alerts_per_100"].n) == (0.0, 2)


def test_time_decides_what_is_earlier_not_the_order_of_rows(tmp_path: Path) -> None:
    """A lesson that is learned later covers nothing before it, across time zones too."""
    data = put_project(
        tmp_path,
        ("2026-11-02T17:00:00Z", failing("a", mended=False)),
        ("2026-11-03T01:00:00+09:00", failing("b")),
    )
    cases, _ = replay(data)
    assert [(case.name, [one.covered for one in case.failures]) for case in cases] == [
        ("s1.jsonl", [False]),
        ("s0.jsonl", [True]),
    ]


def test_a_copy_is_no_earlier_session_and_counts_once(tmp_path: Path) -> None:
    """A resumed log repeats records: they are not counted again, and its own lessons do not cover what follows."""
    first = failing("a")
    copy = failing("a")
    copy.say("And again.").sh("gh pr diff 13 --stat", BROKEN, error=True)
    cases, left_out = replay(put_project(tmp_path, ("2026-11-02T09:00:00Z", first), ("2026-11-03T09:00:00Z", copy)))
    assert [[one.covered for one in case.failures] for case in cases] == [[False], [False]]
    assert left_out["copy"] == 1


def test_a_harmless_call_that_looks_like_the_failure_is_an_alert(tmp_path: Path) -> None:
    """Once in a session: what was told is not told again."""
    later = Claude("b").say("Show it.").sh("gh pr diff 12 --stat", "1 file").sh("gh pr diff 13 --stat", "1 file")
    found = figures(put_project(tmp_path, ("2026-11-02T09:00:00Z", failing("a")), ("2026-11-03T09:00:00Z", later)))
    assert found["alerts_per_100"].n == 3
    assert found["alerts_per_100"].value == pytest.approx(100 / 3)


def test_failures_that_teach_nothing_are_left_out_and_counted(tmp_path: Path) -> None:
    """Expected, environment and human failures, and tests that the same session wrote, are in no denominator."""
    story = Claude("a").say("Write a test for the lid.")
    story.sh("grep -rn lid src", "", error=True)
    story.sh("curl https://kettle.example", "curl: (6) Could not resolve host: kettle.example", error=True)
    given = {"file_path": "/home/mara/kettle/tests/test_lid.py", "content": "def test_shuts():\n    assert shut()\n"}
    story.call("Write", given, "File created")
    story.edit("/home/mara/kettle/tests/test_old.py", "def test_pours(): one()", "def test_pours(): two()")
    story.sh(
        "pytest tests",
        "FAILED tests/test_lid.py::test_shuts - AssertionError\nFAILED tests/test_old.py::test_pours - x\n"
        "=== 2 failed, 1 passed in 0.10s ===",
        error=True,
    )
    cases, left_out = replay(put_project(tmp_path, ("2026-11-02T09:00:00Z", story)))
    assert [one.cause.split("\x1f")[-1] for one in cases[0].failures] == ["tests/test_old.py::test_pours"]
    assert (left_out["expected"], left_out["environment"], left_out[OWN_TEST]) == (1, 1, 1)


def test_what_cannot_be_used_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No data gives no figure; a session without a time is left out; both are told."""
    assert measure(tmp_path) == []
    assert "projects" in capsys.readouterr().err
    assert measure(put_project(tmp_path, ("some day", failing("a")), name="kettle.jsonl.gz")) == []
    assert "some day" in capsys.readouterr().err


def test_projects_learn_apart_and_are_told_apart(tmp_path: Path) -> None:
    """One project's lesson covers nothing in another; the note has each project's share."""
    put_project(tmp_path, ("2026-11-02T09:00:00Z", failing("a")), name="one.jsonl.gz")
    put_project(tmp_path, ("2026-11-03T09:00:00Z", failing("b")), name="two.jsonl.gz")
    coverage = figures(tmp_path)["recurrence_coverage"]
    assert (coverage.value, coverage.n) == (0.0, 2)
    assert "one 0.000, two 0.000" in coverage.note

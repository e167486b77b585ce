"""What `bench.speed` measures on and how it tells: the invented HOME, figures against their targets."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest
from bench.agents import Read, read
from bench.invented_home import Shape, lay_out
from bench.measuring import Row, Target, live, skipped, table, write_table

from selfdistill.sources import SOURCES

SHAPE = Shape(megabytes=1, logs=10, directories=3, hot=2)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten invented logs."""
    return lay_out(tmp_path_factory.mktemp("home"), SHAPE)


def _read(path: Path) -> Read:
    name = "codex" if path.name.startswith("rollout-") else "claude_code"
    return read(next(source for source in SOURCES if source.name == name), path)


def test_our_sources_know_every_record_of_an_invented_home(home: list[Path]) -> None:
    """Invented logs have the shape of real ones: nothing in them is unknown, and every result has its call."""
    kinds: Counter[str] = Counter()
    for path in home:
        found = _read(path)
        assert (found.records.unknown, found.records.undecodable) == (0, 0), path
        kinds.update(event.kind.value for event in found.events)
    assert kinds["tool_call"] == kinds["tool_result"] > len(home)


def test_an_invented_home_has_the_shape_it_is_asked_for(home: list[Path]) -> None:
    """As many logs, directories and bytes, one log in ten of Codex; some of the logs are hot."""
    size = sum(path.stat().st_size for path in home)
    assert len(home) == len(set(home)) == SHAPE.logs
    assert 0.7e6 < size < 1.3e6
    assert len({path.parent for path in home if not path.name.startswith("rollout-")}) == SHAPE.directories
    assert sum(path.name.startswith("rollout-") for path in home) == 1
    newest = max(path.stat().st_mtime for path in home)
    assert sum(newest - path.stat().st_mtime < 86400 for path in home) == SHAPE.hot


def test_the_same_seed_makes_the_same_home(home: list[Path], tmp_path: Path) -> None:
    """Runs on two days, or on two machines, are on the same bytes."""
    again = lay_out(tmp_path, SHAPE)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in home]


@pytest.mark.parametrize(
    ("value", "target", "reached"),
    [
        (40.0, Target(40), "yes"),
        (40.1, Target(40), "NO"),
        (83.3, Target(83.3, at_least=True), "yes"),
        (83.2, Target(83.3, at_least=True), "NO"),
        (1.0, None, ""),
        (None, Target(40), ""),
    ],
)
def test_a_row_says_whether_its_target_is_reached(value: float | None, target: Target | None, reached: str) -> None:
    """At most or at least; nothing is said of what was not measured or has no target."""
    assert Row("figure", value, "MiB", target=target).reached == reached


def test_what_was_skipped_is_said_three_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, in the table and in the file: nobody takes a missing figure for a good one."""
    row = skipped("orjson", "`pip install orjson` first")
    write_table(tmp_path / "new" / "speed.csv", [row], "a machine")
    text = (tmp_path / "new" / "speed.csv").read_text()
    assert "SKIPPED: orjson: `pip install orjson` first" in capsys.readouterr().err
    assert "SKIPPED" in table([row])
    assert text.startswith("# a machine\n")
    assert next(csv.DictReader(text.splitlines()[1:]))["value"] == "SKIPPED"


def test_a_process_that_fails_is_not_measured() -> None:
    """A figure of a run that failed would be wrong and fast."""
    with pytest.raises(SystemExit, match="ended with 3"):
        live(["sh", "-c", "exit 3"], {"PATH": "/bin:/usr/bin"})

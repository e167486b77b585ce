"""The status file: complete, atomic, private, and honest when it cannot be written."""

from __future__ import annotations

import os
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from selfdistill.errors import CannotCreate
from selfdistill.manifest import Usage
from selfdistill.service import status
from selfdistill.service.status import Status

DESIGN_FIELDS = {
    "last_run_id",
    "last_run_at",
    "total_runs",
    "total_lessons",
    "last_analysis_mode",
    "last_sessions_processed",
    "last_lessons_generated",
}


def full() -> Status:
    """A status in which nothing is at its default."""
    at = status.moment(1_750_000_000.75)
    return Status(
        state=status.State.WATCHING,
        version="0.1.0",
        reason="why",
        pid=1,
        process="boot:1",
        started_at=at,
        alarms=["58 sessions gave no lesson at all."],
        last_run_id="r1",
        last_run_at=at,
        last_analysis_mode="heuristic",
        last_sessions_processed=0,
        last_lessons_generated=3,
        last_usage=Usage(3000, 200, 0.0004),
        model=status.Model(
            spent_by_day_usd={"2026-11-23": 0.5},
            last_call=status.Call("s", "m", "applied", at, 3000, 200, None),
            dearest_today=[status.SessionCost("s", 1, 3000, 200, 0.0004)],
        ),
        next_wake_at=at,
        last_error=status.Problem("disk", "make room", at),
        quarantined=[status.Quarantined("s", "three failures", at)],
        sources={
            "codex": status.Source(
                roots=[status.Root("/r", "missing", "make it")],
                skipped={"empty": 4},
                unknown_types={'od"d\n\x1b': 1},
                oldest_unprocessed_since=at,
                last_success_at=at,
            )
        },
    )


def load(path: Path) -> dict[str, object]:
    return tomllib.loads(path.read_text())


def test_everything_reads_back(tmp_path: Path) -> None:
    """The standard library alone reads every field back, times as aware UTC moments, zeros as zeros."""
    path = tmp_path / "status.toml"
    status.write(full(), path)
    table = load(path)
    assert set(table) == set(Status.__struct_fields__)
    assert set(table) >= DESIGN_FIELDS
    assert table["last_run_at"] == datetime(2025, 6, 15, 15, 6, 40, tzinfo=UTC)
    assert table["last_sessions_processed"] == 0
    assert table["sources"]["codex"]["unknown_types"] == {'od"d\n\x1b': 1}  # type: ignore[index]
    assert table["model"]["spent_by_day_usd"] == {"2026-11-23": 0.5}  # type: ignore[index]
    assert "cost_usd" not in table["model"]["last_call"]  # type: ignore[index]


def test_absent_values_are_absent_keys(tmp_path: Path) -> None:
    """What is not known is no key at all, at any depth; counts that are zero are there."""
    path = tmp_path / "status.toml"
    status.write(Status(state=status.State.STARTING, version="1", sources={"codex": status.Source()}), path)
    table = load(path)
    assert "last_run_id" not in table
    assert "pid" not in table
    assert table["total_runs"] == 0
    assert "last_success_at" not in table["sources"]["codex"]  # type: ignore[index]
    assert table["sources"]["codex"]["logs_seen"] == 0  # type: ignore[index]


def test_file_is_private_and_alone(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, and no temporary file stays, not even a killed writer's."""
    before = os.umask(0)
    try:
        (tmp_path / ".status.toml.4711").write_text("half a")
        status.write(full(), tmp_path / "status.toml")
    finally:
        os.umask(before)
    assert (tmp_path / "status.toml").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["status.toml"]  # noqa: PTH208 - hidden names count here


def test_undecodable_paths_are_replaced(tmp_path: Path) -> None:
    """A path that is not UTF-8 does not keep the status from being written, neither as value nor as key."""
    bad = os.fsdecode(b"/r/\xff")
    source = status.Source(roots=[status.Root(bad)], skipped={bad: 1})
    path = tmp_path / "status.toml"
    status.write(Status(state=status.State.WATCHING, version="1", sources={"codex": source}), path)
    codex = load(path)["sources"]["codex"]  # type: ignore[index]
    assert codex["roots"][0]["path"] == "/r/?"
    assert codex["skipped"] == {"/r/?": 1}


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    """When it cannot be replaced (here a directory is in the way) the error says so and nothing is left behind."""
    path = tmp_path / "status.toml"
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(CannotCreate, match=r"status\.toml"):
        status.write(full(), path)
    assert os.listdir(tmp_path) == ["status.toml"]  # noqa: PTH208


def test_full_disk_keeps_the_old_text(tmp_path: Path) -> None:
    """When writing fails half-way (file-size limit) the old text stays whole and is read as such (case 52)."""
    import resource  # noqa: PLC0415 - the limit is put back below
    import signal  # noqa: PLC0415

    path = tmp_path / "status.toml"
    status.write(Status(state=status.State.STOPPED, version="old"), path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(CannotCreate, match="File too large"):
            status.write(full(), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert load(path)["version"] == "old"
    assert os.listdir(tmp_path) == ["status.toml"]  # noqa: PTH208


def test_link_in_its_place_is_replaced_not_followed(tmp_path: Path) -> None:
    """A symbolic link where the status belongs never leads our text into another file."""
    target = tmp_path / "precious"
    target.write_text("keep")
    (tmp_path / "status.toml").symlink_to(target)
    status.write(full(), tmp_path / "status.toml")
    assert target.read_text() == "keep"
    assert not (tmp_path / "status.toml").is_symlink()


def test_touch_is_the_heartbeat(tmp_path: Path) -> None:
    """The heartbeat sets the modification time to now and leaves the text; a lost file is an error."""
    path = tmp_path / "status.toml"
    status.write(full(), path)
    os.utime(path, (1, 1))
    text = path.read_text()
    status.touch(path)
    assert path.stat().st_mtime > 1_000_000_000
    assert path.read_text() == text
    path.unlink()
    with pytest.raises(CannotCreate):
        status.touch(path)


def test_moment_of_nothing_is_nothing() -> None:
    """No time stays no time."""
    assert status.moment(None) is None

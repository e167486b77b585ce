"""Scanning real directories: what is there, what changed, what is gone for certain."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path, PurePath

import pytest

from selfdistill.ingest.identity import stat_of
from selfdistill.ingest.roots import Root, RootHealth, examine_root
from selfdistill.ingest.scanning import (
    BATCH,
    DEEPEST,
    NOT_TRUSTED_NS,
    Absences,
    Directory,
    directory_times,
    scan_root,
    stat_logs,
)
from selfdistill.model import Skip, Stat


def owns(path: PurePath) -> bool:
    """The logs of an invented agent."""
    return path.suffix == ".jsonl"


def nothing(_: PurePath) -> bool:
    """Nothing is excluded."""
    return False


def scan(root: Path) -> tuple[dict[Path, Stat], dict[Path, Skip], list[Directory]]:
    """All logs, all problems and all parts of one scan."""
    parts = list(scan_root(root, owns, nothing))
    found = {path: stat for part in parts for path, stat in part.found}
    problems = {path: skip for part in parts for path, skip in part.problems}
    return found, problems, parts


def age(*paths: Path) -> None:
    """Make directories look as if nothing happened in them for a minute."""
    for path in paths:
        os.utime(path, ns=(path.stat().st_mtime_ns - 60_000_000_000,) * 2)


def test_a_scan_finds_the_logs_and_nothing_else(tmp_path: Path) -> None:
    """Every owned regular file comes with its stat; other files are not even named."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    wanted = [tmp_path / "x.jsonl", tmp_path / "a" / "y.jsonl", tmp_path / "a" / "b" / "z.jsonl"]
    for path in [*wanted, tmp_path / "a" / "note.txt"]:
        path.write_text("{}\n")
    found, problems, parts = scan(tmp_path)
    assert found == {path: stat_of(path.stat()) for path in wanted}
    assert problems == {}
    assert all(part.complete for part in parts)


def test_what_is_no_regular_file_is_reported_and_not_followed(tmp_path: Path) -> None:
    """Links, FIFOs, sockets and directories with the name of a log are problems; a link's target is not read."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "directory.jsonl").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret.jsonl").write_text("{}\n")
    (root / "link.jsonl").symlink_to(outside / "secret.jsonl")
    (root / "linked").symlink_to(outside)
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "fifo.jsonl")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.fspath(root / "socket.jsonl"))
        found, problems, _ = scan(root)
    assert found == {}
    assert {path.name for path in problems} == {"directory.jsonl", "link.jsonl", "fifo.jsonl", "socket.jsonl"}
    assert set(problems.values()) == {Skip.NOT_REGULAR}


def test_excluded_logs_are_counted_not_found(tmp_path: Path) -> None:
    """An excluded log is visible as such, and no stat of it is taken."""
    (tmp_path / "secret.jsonl").write_text("{}\n")
    (part,) = scan_root(tmp_path, owns, lambda path: "secret" in path.name)
    assert part.found == []
    assert part.problems == [(tmp_path / "secret.jsonl", Skip.EXCLUDED)]


def test_a_root_may_be_a_link_and_may_be_turned(tmp_path: Path) -> None:
    """Paths begin with the root's own name, wherever it leads at the time of the scan."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.jsonl").write_text("{}\n")
    root = tmp_path / "root"
    for name in ("one", "two"):
        root.unlink(missing_ok=True)
        root.symlink_to(tmp_path / name)
        assert list(scan(root)[0]) == [root / f"{name}.jsonl"]


@pytest.mark.parametrize("name", [b"\xff\xfe.jsonl", b"new\nline.jsonl", b"-rf.jsonl", b"x" * 249 + b".jsonl"])
def test_any_name_is_a_name(tmp_path: Path, name: bytes) -> None:
    """Bytes that are no UTF-8, newlines, dashes and the longest names are found, and lead back to the file.

    Case 32 of `tests/fault/README.md`.
    """
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_text("{}\n")
    assert scan(tmp_path)[0] == {path: stat_of(path.stat())}


def test_depth_is_bounded_and_says_so(tmp_path: Path) -> None:
    """Deeper than 16 directories nothing is read, and the place is named."""
    deep = tmp_path.joinpath(*["d"] * (DEEPEST + 1))
    deep.mkdir(parents=True)
    (deep / "lost.jsonl").write_text("{}\n")
    (deep.parent / "kept.jsonl").write_text("{}\n")
    found, problems, _ = scan(tmp_path)
    assert list(found) == [deep.parent / "kept.jsonl"]
    assert problems == {deep: Skip.EXCLUDED}


def test_a_huge_directory_comes_in_parts(tmp_path: Path) -> None:
    """No part holds more than a batch, and only the last is complete."""
    for number in range(BATCH + 10):
        (tmp_path / f"{number}.jsonl").touch()
    parts = list(scan_root(tmp_path, owns, nothing))
    assert [len(part.found) for part in parts] == [BATCH, 10]
    assert [part.complete for part in parts] == [False, True]


def test_directory_times_find_new_and_removed_logs(tmp_path: Path) -> None:
    """Only directories in which something came or went are looked at again, and only their new parts are walked."""
    for name in ("quiet", "busy", "gone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "old.jsonl").touch()
        age(tmp_path / name)
    age(tmp_path)
    known = {part.path: part.mtime_ns for part in scan(tmp_path)[2]}
    assert list(directory_times(known)) == []
    (tmp_path / "busy" / "new").mkdir()
    (tmp_path / "busy" / "new" / "new.jsonl").touch()
    shutil.rmtree(tmp_path / "gone")
    changed = list(directory_times(known))
    assert sorted(changed) == sorted([tmp_path, tmp_path / "busy", tmp_path / "gone"])
    walked = {
        part.path: [path.name for path, _ in part.found]
        for start in changed
        for part in scan_root(tmp_path, owns, nothing, below=start, known=known)
    }
    assert walked == {tmp_path: [], tmp_path / "busy": ["old.jsonl"], tmp_path / "busy" / "new": ["new.jsonl"]}


def test_a_young_directory_time_is_not_trusted(tmp_path: Path) -> None:
    """A log made in the same clock tick as the listing is found by the next pass over directory times."""
    assert [part.mtime_ns for part in scan(tmp_path)[2]] == [NOT_TRUSTED_NS]
    assert list(directory_times({tmp_path: NOT_TRUSTED_NS})) == [tmp_path]


def test_what_became_a_link_is_not_followed(tmp_path: Path) -> None:
    """A known directory that was replaced by a link or a file yields nothing."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret.jsonl").touch()
    (root / "sub").symlink_to(outside)
    (root / "file").touch()
    for name in ("sub", "file", "missing"):
        assert list(scan_root(root, owns, nothing, below=root / name)) == []


def test_directories_that_vanish_during_a_scan_are_no_news(tmp_path: Path) -> None:
    """Deleted or replaced between being listed and being opened: no error, no problem, the rest is found (case 40)."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jsonl").touch()
    parts = scan_root(tmp_path, owns, nothing)
    assert next(parts).path == tmp_path
    shutil.rmtree(tmp_path / "a")
    shutil.rmtree(tmp_path / "b")
    (tmp_path / "b").touch()
    rest = list(parts)
    assert [part.path.name for part in rest] == ["c"]
    assert [len(part.found) for part in rest] == [1]
    assert all(not part.problems for part in rest)


def test_a_log_deleted_between_listing_and_stat_is_no_news(tmp_path: Path) -> None:
    """The race that beats tests with a hooked sink: neither found nor a problem (case 40)."""
    (tmp_path / "x.jsonl").touch()

    def owns_and_deletes(path: PurePath) -> bool:
        Path(path).unlink()
        return True

    (part,) = scan_root(tmp_path, owns_and_deletes, nothing)
    assert (part.found, part.problems, part.complete) == ([], [], True)


def test_hot_logs_say_what_they_are_now(tmp_path: Path) -> None:
    """A stat for each log that is there, the reason for each that cannot be read."""
    (tmp_path / "here.jsonl").write_text("{}")
    (tmp_path / "directory.jsonl").mkdir()
    paths = [tmp_path / name for name in ("here.jsonl", "gone.jsonl", "directory.jsonl")]
    blocked = tmp_path / "here.jsonl" / "x"
    seen = dict(stat_logs([*paths, blocked]))
    assert seen == {
        paths[0]: stat_of(paths[0].stat()),
        paths[1]: Skip.GONE,
        paths[2]: Skip.NOT_REGULAR,
        blocked: Skip.UNREADABLE,
    }


def test_a_log_is_gone_after_two_scans(tmp_path: Path) -> None:
    """One scan that misses a log proves nothing; two of the same root do, unless the log is back."""
    (tmp_path / "other.jsonl").touch()
    absences, gone, back, late = Absences(), *(tmp_path / f"{name}.jsonl" for name in ("gone", "back", "late"))
    assert absences.confirm(examine_root(tmp_path), [gone, back]) == []
    back.touch()
    assert absences.confirm(examine_root(tmp_path), [gone, back, late]) == [gone]
    assert absences.confirm(examine_root(tmp_path), [late]) == [late]
    assert absences.confirm(examine_root(tmp_path), []) == []


def test_a_root_that_cannot_be_observed_makes_nothing_gone(tmp_path: Path) -> None:
    """Missing, empty or replaced (an unmounted file system): its logs are not gone, however often we look."""
    root, log, absences = tmp_path / "root", tmp_path / "root" / "a.jsonl", Absences()
    for _ in range(3):
        assert absences.confirm(examine_root(root), [log]) == []
    root.mkdir()
    for _ in range(3):
        assert absences.confirm(examine_root(root), [log]) == []
    (root / "other").touch()
    assert absences.confirm(examine_root(root), [log]) == []
    root.rename(tmp_path / "aside")
    root.mkdir()
    (root / "other").touch()
    assert absences.confirm(examine_root(root), [log]) == []
    assert absences.confirm(examine_root(root), [log]) == [log]


def test_the_health_of_a_root_is_a_word_a_sentence_and_an_advice(tmp_path: Path) -> None:
    """Each state of a root is named and explained."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    healthy = examine_root(tmp_path)
    assert healthy.health is RootHealth.OK
    assert healthy.identity == examine_root(tmp_path / "link").identity
    assert not healthy.empty
    for name, health in (
        ("no", RootHealth.MISSING),
        ("file", RootHealth.NOT_A_DIRECTORY),
        ("file/x", RootHealth.UNREADABLE),
    ):
        root: Root = examine_root(tmp_path / name)
        assert root.health is health
        assert str(tmp_path / name) in root.explanation
        assert root.advice
        assert not root.scannable


def run_in_namespace(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python with its own mounts, or skip loudly where the system forbids that."""
    command = ["unshare", "-Urm", sys.executable, "-c", script, *map(str, arguments)]
    probe = (
        subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False)
        if shutil.which("unshare")
        else None
    )
    if probe is None or probe.returncode:
        pytest.skip("user namespaces are not available here: mounts are not tested")
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_another_file_system_is_not_entered_and_unmounting_deletes_nothing(tmp_path: Path) -> None:
    """A mount inside a root is left alone and named; a root whose file system is gone keeps its logs (case 19)."""
    script = """
import subprocess, sys
from pathlib import Path
from selfdistill.ingest.roots import examine_root
from selfdistill.ingest.scanning import Absences, scan_root
root = Path(sys.argv[1]); inner = root / "inner"; inner.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", inner], check=True)
(inner / "x.jsonl").touch(); (inner / "y.jsonl").touch()
parts = list(scan_root(root, lambda path: path.suffix == ".jsonl", lambda path: False))
print([(part.path.name, part.found, [skip for _, skip in part.problems], part.complete) for part in parts[1:]])
absences = Absences(); print(absences.confirm(examine_root(inner), []), examine_root(inner).file_system)
subprocess.run(["umount", "-l", inner], check=True)
print([absences.confirm(examine_root(inner), [inner / "x.jsonl"]) for _ in range(3)])
"""
    result = run_in_namespace(script, tmp_path)
    assert result.stdout.splitlines() == [
        "[('inner', [], [<Skip.EXCLUDED: 'excluded'>], False)]",
        "[] tmpfs",
        "[[], [], []]",
    ], result.stderr


def test_an_unreadable_directory_is_a_problem_not_an_absence(tmp_path: Path) -> None:
    """Without the right to list or to enter, logs are unreadable, never gone (as another user: root reads all).

    Case 33 of `tests/fault/README.md`.
    """
    if not shutil.which("setpriv") or os.getuid():
        pytest.skip("needs root and setpriv to become another user")
    root = tmp_path / "root"
    (root / "closed").mkdir(parents=True)
    (root / "closed" / "x.jsonl").touch()
    (root / "closed").chmod(0)
    for directory in (root, *root.parents):
        if str(directory).startswith("/tmp/"):  # noqa: S108
            directory.chmod(0o755)
    script = """
import sys
from pathlib import Path
from selfdistill.ingest.roots import examine_root
from selfdistill.ingest.scanning import Absences, scan_root
root = Path(sys.argv[1]); log = root / "closed" / "x.jsonl"
print([(part.path.name, part.complete, [str(skip) for _, skip in part.problems]) for part in
       scan_root(root, lambda path: path.suffix == ".jsonl", lambda path: False)])
absences = Absences()
print([absences.confirm(examine_root(root), [log]) for _ in range(3)], str(examine_root(root / "closed").health))
"""
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    result = subprocess.run(
        [*drop, sys.executable, "-c", script, root], capture_output=True, text=True, check=False, timeout=30
    )
    assert result.stdout.splitlines() == [
        "[('root', True, []), ('closed', False, ['unreadable'])]",
        "[[], [], []] unreadable",
    ], result.stderr

"""The spool as hooks leave it: taken in once, whatever state its files are in; and what the commands say of it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from invented import AT_ONCE, LONG_AGO, Claude, repaired, run
from selfdistill.config import Places
from selfdistill.errors import StoreError
from selfdistill.model import Lesson
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection
from selfdistill.service.spool import MOST_BYTES, absorb
from selfdistill.store import Absorbed

UNKNOWN_FLAG = "unknown flag: --stat\n\nUsage: gh pr diff"
ALL = Selection(limit=0)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Assembly]:
    """The program over a home in which one lesson was learned; its spool is there and empty."""
    repaired("1").write(tmp_path)
    places = Places(config=tmp_path / "config.toml", state=tmp_path / ".local/state/selfdistill")
    made = assemble(AT_ONCE, places, tmp_path, {})
    with made.store:
        one_pass(made, ALL)
        places.spool.mkdir(mode=0o700)
        yield made


def lesson(parts: Assembly) -> Lesson:
    """The lesson about the unknown option."""
    return next(
        one for one in parts.store.lessons(None, state=None, everywhere=True) if "--name-only" in one.action.description
    )


def line(parts: Assembly, session: str = "s", **more: Any) -> bytes:  # noqa: ANN401 - a line of JSON
    """A line as a hook writes it."""
    told = {
        "v": 1,
        "lesson": lesson(parts).id,
        "session": session,
        "at": 5.0,
        "event": "x",
        "agent": "codex",
        "cwd": "/",
    }
    return json.dumps(told | more).encode() + b"\n"


def put(parts: Assembly, name: str, content: bytes) -> Path:
    """A file in the spool."""
    path = parts.places.spool / f"deliveries-{name}.jsonl"
    path.write_bytes(content)
    return path


def absorbed(parts: Assembly) -> list[Absorbed]:
    """What a pass takes in."""
    return absorb(parts.store, parts.places.spool, parts.distiller.name)


def test_whole_files_go_and_what_is_damaged_is_counted(parts: Assembly) -> None:
    """Half a line, a line of another version, odd types, NUL bytes: each is counted, none keeps the others back."""
    damaged = (
        b'{"v": 1, "les',
        b"\0\0\0\n",
        line(parts, v=2),
        line(parts, at="noon"),
        line(parts, session=""),
        b"[]\n",
    )
    put(parts, "s", line(parts) + b"\n".join(damaged))
    put(parts, "t", line(parts, "t") + line(parts, "t", lesson="feedbeef") + line(parts, "t"))
    assert absorbed(parts) == [Absorbed(new=1, damaged=6), Absorbed(new=1, known=1, unknown=1)]
    assert list(parts.places.spool.iterdir()) == []
    assert parts.store.spoiled_lines() == {"damaged line": 6, "unknown lesson": 1}
    assert absorbed(parts) == []


def test_a_file_that_a_hook_is_writing_waits(parts: Assembly) -> None:
    """A hook holds the lock while it appends, perhaps stopped in the middle; the worker does not wait for it."""
    path = put(parts, "s", line(parts))
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert absorbed(parts) == []
        assert path.exists()
    assert absorbed(parts) == [Absorbed(new=1)]


def test_only_files_of_ours_are_opened(parts: Assembly, tmp_path: Path) -> None:
    """Links, pipes, directories and other names stay as they are, and what a link points to is not read."""
    secret = tmp_path / "elsewhere.jsonl"
    secret.write_bytes(line(parts))
    (parts.places.spool / "deliveries-link.jsonl").symlink_to(secret)
    os.mkfifo(parts.places.spool / "deliveries-pipe.jsonl")
    (parts.places.spool / "deliveries-directory.jsonl").mkdir()
    (parts.places.spool / "notes.txt").write_text("mine")
    before = sorted(path.name for path in parts.places.spool.iterdir())
    assert absorbed(parts) == []
    assert sorted(path.name for path in parts.places.spool.iterdir()) == before
    assert parts.store.telling().deliveries == 0


def test_a_file_beyond_all_measure_is_read_in_part(parts: Assembly) -> None:
    """A megabyte is read, the rest is one damaged line: memory stays bounded."""
    one = line(parts, "t")
    put(parts, "s", line(parts) + one * (MOST_BYTES // len(one) + 1_000))
    (done,) = absorbed(parts)
    assert (done.new, done.damaged) == (2, 2), "and the line that the limit cuts in two"
    assert parts.store.telling().deliveries == 2


def test_what_cannot_be_stored_stays(parts: Assembly, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is a file deleted before its lines are in the store, nor are its lines taken in twice after a kill."""
    path = put(parts, "s", line(parts))
    parts.store._database.run("PRAGMA query_only = 1")
    with pytest.raises(StoreError):
        absorbed(parts)
    assert path.exists()
    parts.store._database.run("PRAGMA query_only = 0")
    monkeypatch.setattr(Path, "unlink", _killed)
    with pytest.raises(KeyboardInterrupt):
        absorbed(parts)
    monkeypatch.undo()
    assert absorbed(parts) == [Absorbed(new=0, known=1)]
    assert parts.store.telling().deliveries == 1
    assert not path.exists()


def _killed(path: Path, **_more: object) -> None:
    raise KeyboardInterrupt(path)


def test_a_dry_run_leaves_the_spool_alone(parts: Assembly, tmp_path: Path) -> None:
    """The files stay, and so does the store."""
    put(parts, "s", line(parts))
    rehearsed = assemble(AT_ONCE, parts.places, tmp_path, {}, rehearsal=True)
    with rehearsed.store:
        one_pass(rehearsed, Selection(limit=0, dry_run=True))
    assert parts.store.telling().deliveries == 0
    assert absorbed(parts) == [Absorbed(new=1)]


def test_a_log_that_is_gone_cannot_tell_any_more(parts: Assembly, tmp_path: Path) -> None:
    """Read before the delivery was known and deleted since: it is let be, and nothing is held against the lesson."""
    story = Claude("2", begins=LONG_AGO + 100).say("And 13?").sh("gh pr diff 13", "+1").answer("One file.")
    log = story.write(tmp_path)
    one_pass(parts, ALL)
    put(parts, "s", line(parts, story.session, at=story.begins + 0.5))
    log.unlink()
    one_pass(parts, ALL)
    assert parts.store.to_look_back() == []
    assert (lesson(parts).helped, lesson(parts).recurred_told) == (0, 0)


def test_a_sub_agents_work_counts_for_the_session_that_was_told(parts: Assembly, tmp_path: Path) -> None:
    """The hook knows the session that spawned it; its log is a file of its own."""
    story = Claude("2", begins=LONG_AGO + 100).say("Ask someone about PR 13.").answer("Asked.")
    helper = Claude("3", begins=LONG_AGO + 200).say("What is in PR 13?").sh("gh pr diff 13", "+1").answer("One file.")
    records = [
        json.loads(one) | {"sessionId": story.session, "isSidechain": True, "agentId": "a77"} for one in helper.lines
    ]
    helper.lines = [json.dumps(record).encode() + b"\n" for record in records]
    put(parts, "s", line(parts, story.session, at=story.begins + 0.5))
    story.write(tmp_path)
    helper.write(tmp_path, f"{story.session}/subagents/agent-a77")
    one_pass(parts, ALL)
    assert lesson(parts).helped == 1


def test_the_commands_say_what_came_of_telling(parts: Assembly, tmp_path: Path) -> None:
    """`status`, `lessons stats` and `lessons show`: sums, standing, why it is archived, and what was not used."""
    for seed in "234":
        story = Claude(seed, begins=LONG_AGO + 1_000 * int(seed)).say("And 13?")
        story.sh("ls").sh("gh pr diff 13 --stat", UNKNOWN_FLAG, error=True).answer("No.").write(tmp_path)
        put(parts, seed, line(parts, story.session, at=story.begins + 0.5))
    put(parts, "damaged", b"{\n")
    done = run(tmp_path, "run")
    assert done.returncode == 0, done.stderr
    told = "3 times: 0 helped, 3 failed all the same · lessons: 0 helping, 1 not helping, 0 unproven"
    assert f"told      {told} · 1 lines of hooks could not be used" in run(tmp_path, "status").stdout
    stats = run(tmp_path, "lessons", "stats").stdout
    assert "archived   1 that were ignored" in stats
    assert f"{lesson(parts).id[:8]}  not helping [archived]" in stats
    assert "told 3 of 3 (3 in all) · untold 0 of 0 · before 0 of 0" in stats
    shown = run(tmp_path, "lessons", "show", lesson(parts).id).stdout
    assert "archived: told in 3 sessions where its failure could come, it came in 3 all the same" in shown
    assert json.loads(run(tmp_path, "lessons", "stats", "--json").stdout)["telling"]["ignored"] == 1

"""`purge` truly removes: afterwards no byte of what was purged is in the state directory, and it does not come back."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from homes import Home, until
from invented import AT_ONCE, Claude, repaired
from selfdistill.model import Lesson
from selfdistill.service.one_pass import one_pass
from selfdistill.service.purging import purge
from selfdistill.service.running import Selection
from selfdistill.store import Scope, VerdictKind

QUINCE = "/home/mara/quince"
PLACE = (b"mara/quince",)
LEARNED = (b"quincestat", b"quincenames", b"quincebranch", b"quincectl", b"quince file", b"quince is no good")


def quince() -> Claude:
    """A session in a project of its own, with a failure that is still open at its end."""
    story = Claude("q1", cwd=QUINCE)
    story.say("From now on never push quincebranch to main.")
    story.sh("gh pr diff 12 --quincestat", "unknown flag: --quincestat\n\nUsage: gh pr diff", error=True)
    story.sh("gh pr diff 12 --quincenames", "web/quince.ts").answer("One quince file.")
    return story.sh("quincectl start", "quincectl: command not found", error=True)


def run(home: Home, *, again: bool = False) -> list[Lesson]:
    """One pass over all logs, and all lessons then."""
    with home.assembly(AT_ONCE) as assembly:
        one_pass(assembly, Selection(limit=0, again=again))
        return assembly.store.lessons(None, state=None, everywhere=True)


def ids(lessons: Iterable[Lesson]) -> set[str]:
    """Which lessons these are."""
    return {lesson.id for lesson in lessons}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A user whose two projects were distilled, with a verdict, a backup and a damaged store that was kept."""
    home = Home(tmp_path)
    quince().write(home.path)
    repaired("k1").write(home.path)
    told = next(one for one in run(home) if "quincestat" in one.trigger.condition)
    with home.assembly(AT_ONCE) as assembly:
        assembly.store.decide(told.id, VerdictKind.REJECT, "quince is no good")
        assert assembly.store.back_up_if_due()
        leave_in_free_pages(home)
    kept = home.state / "corrupt" / "20261101T000000Z" / "lessons.db"
    kept.parent.mkdir(parents=True)
    shutil.copyfile(home.state / "lessons.db", kept)
    assert found(home, PLACE + LEARNED) >= {"lessons.db", next((home.state / "backups").glob("*.db")).name}
    return home


def leave_in_free_pages(home: Home) -> None:
    """What another program deletes from a database stays in its free pages."""
    connection = sqlite3.connect(home.state / "lessons.db")
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("CREATE TABLE notes(text)")
    connection.executemany("INSERT INTO notes VALUES (?)", [("quincectl " * 200,)] * 20)
    connection.execute("DROP TABLE notes")
    connection.commit()
    connection.close()


def found(home: Home, words: Iterable[bytes]) -> set[str]:
    """The files below the state directory that hold one of the words."""
    files = (path for path in home.state.rglob("*") if path.is_file())
    return {path.name for path in files if any(word in path.read_bytes() for word in words)}


@pytest.mark.parametrize(
    ("scope", "forget"),
    [
        (Scope(project=QUINCE), False),
        (Scope(project=QUINCE), True),
        (Scope(session=quince().session), False),
        (Scope(), False),
        (Scope(), True),
    ],
    ids=["project", "project forgotten", "session", "everything", "everything forgotten"],
)
def test_no_byte_is_left(home: Home, scope: Scope, *, forget: bool) -> None:
    """What was purged is in no file of ours any more; other projects' lessons stay; only `forget` brings it back."""
    with home.assembly(AT_ONCE) as assembly:
        kept = ids(assembly.store.lessons("/home/mara/kettle", state=None)) if scope.kind != "everything" else set()
    purge(home.places(), scope, forget=forget)
    assert found(home, PLACE + LEARNED) == set()
    with home.assembly(AT_ONCE) as assembly:
        assert ids(assembly.store.lessons(None, state=None, everywhere=True)) == kept
    back = run(home)
    assert any("quince" in str(one) for one in back) is forget
    if not forget:
        assert ids(back) == kept
        assert found(home, PLACE + LEARNED) == set()
        # Whoever asks for it has the logs read again: where they were made is noted then, not what they say.
        assert ids(run(home, again=True)) <= ids(back)
        assert found(home, LEARNED) == set()


def test_what_comes_later_is_learned(home: Home) -> None:
    """A purged session that goes on is read again, and only what came after the purge counts."""
    purge(home.places(), Scope(session=quince().session), forget=False)
    story = quince()
    story.begins = time.time() + 60
    story.sh("gh issue list --melon", "unknown flag: --melon\n\nUsage: gh issue list", error=True)
    story.sh("gh issue list --limit 3", "none").answer("None.").write(home.path)
    told = str(run(home))
    assert "--melon" in told
    assert "quincestat" not in told
    assert found(home, LEARNED) == set()


def test_a_daemon_goes_on(home: Home) -> None:
    """A running daemon keeps nothing of what is purged beside it, and does not learn it again."""
    with home.daemon():
        purge(home.places(), Scope(project=QUINCE), forget=False)
        assert found(home, LEARNED) == set()
        for seed in ("k2", "k3"):
            repaired(seed).write(home.path)
        until(lambda: home.status().get("total_sessions") == 3, "the other project's new sessions")
        assert found(home, PLACE + LEARNED) == set()
    assert found(home, PLACE + LEARNED) == set()


def test_work_under_way_is_dropped(home: Home) -> None:
    """What was read before a purge and is committed after it finds no log to land in."""
    Claude("q2", cwd=QUINCE).say("From now on never push quincebranch to main.").answer("Quince.").write(home.path)
    with home.assembly(AT_ONCE) as assembly:
        assembly.survey.full_pass()
        readings = [assembly.pipeline.read(log) for log in assembly.store.pending()]
        assert readings
        purge(home.places(), Scope(), forget=False)
        written, _ = assembly.store.commit_all([reading.work for reading in readings])
        assert not any(written)
    assert found(home, LEARNED) == set()


def test_a_dry_run_removes_nothing(home: Home) -> None:
    """Nothing is removed by `--dry-run`, without a yes, or without a word on what; all is with them."""
    assert "nothing was removed" in home.command("purge", "--project", QUINCE, "--dry-run")
    home.command("purge", "--all", expect=64)  # nobody is here to say yes
    home.command("purge", "--yes", expect=64)  # to what?
    assert "lessons.db" in found(home, LEARNED)
    assert "Removed" in home.command("purge", "--project", QUINCE, "--yes")
    assert found(home, PLACE + LEARNED) == set()

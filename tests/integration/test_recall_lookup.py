"""Looking lessons up as a hook does: over a real store it finds what `rank` finds, and over a spoilt one nothing."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from bench.hook_latency import plant
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homes import unsealed
from selfdistill.config import Places
from selfdistill.model import LessonState, Scope, ToolKind
from selfdistill.recall import hook_start
from selfdistill.recall.answering import TROUBLES
from selfdistill.recall.cues import cues
from selfdistill.recall.hook import SCHEMA, Known, lessons_for, tell
from selfdistill.recall.moments import moment
from selfdistill.recall.ranking import as_moment, candidate, rank
from selfdistill.recall.situations import Query
from selfdistill.service.assembly import open_store
from selfdistill.sources.injections import OWN_NAME, is_own_prompt, without_own
from selfdistill.store import VerdictKind
from selfdistill.store.migrations import SCHEMA_VERSION

CWD = "/home/mara/project-0"
TOLD = "kettle boil0 --word0"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of a store with two hundred invented lessons."""
    state = tmp_path_factory.mktemp("planted")
    assert plant(state, 200) == 200
    return state


@pytest.fixture
def state(planted: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(planted, tmp_path / "state"))


def ask(state: Path, command: str = TOLD, cwd: str = CWD, told: tuple[str, ...] = ()) -> list[Known]:
    """What is told before a shell call."""
    now = moment(kind="shell", tool="Bash", command=command, cwd=cwd)
    return lessons_for("pre_tool_use", str(state / "lessons.db"), cwd, now, "s", told)


WORDS = (
    "kettle",
    "teapot",
    "boil0",
    "boil20",
    "boil40",
    "--word0",
    "--word20",
    "word40.py",
    "pytest",
    "&&",
    "-v",
    "go",
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6),
    kind=st.sampled_from([ToolKind.SHELL, ToolKind.READ, ToolKind.EDIT]),
    path=st.sampled_from(["", "src/boil40/word40.py", "boil80/test_word80.py"]),
)
def test_rank_and_the_hook_agree(planted: Path, words: list[str], kind: ToolKind, path: str) -> None:
    """The same lessons in the same order with the same fit, whether they are at hand or looked up in the store."""
    query = Query(kind=kind, tool="x", command=" ".join(words), path=path, cwd=CWD, project=CWD)
    with open_store(Places(config=planted / "c", state=planted)) as store:
        candidates = [candidate(one) for one in store.lessons(CWD)]
    ranked = [(one.lesson.id, one.fit) for one in rank(query, candidates)]
    found = lessons_for("pre_tool_use", str(planted / "lessons.db"), CWD, as_moment(query), "s", ())
    assert [(one.id, one.fit) for one in found] == ranked


def test_a_lesson_is_told_at_each_kind_of_event(state: Path) -> None:
    """Before the very call, after its failure by its message, at a request that names it, at a start the surest."""
    (before,) = ask(state)
    database = str(state / "lessons.db")
    failed = moment(kind="shell", command="x", error="word180: lid is open")
    assert before.fit == 1.0
    assert lessons_for("post_tool_failure", database, CWD, failed, "s", ()) == []
    failed = moment(kind="shell", command=TOLD, error="unknown option: --word0")
    assert [one.id for one in lessons_for("post_tool_failure", database, CWD, failed, "s", ())] == [before.id]
    named = moment(request="what is wrong with `kettle boil0 --word0`?")
    assert [one.id for one in lessons_for("user_prompt", database, CWD, named, "s", ())] == [before.id]
    alike = moment(request="kettle boil0 word0: unknown option, and it fails")
    assert before.id in [one.id for one in lessons_for("user_prompt", database, CWD, alike, "s", ())]
    assert lessons_for("user_prompt", database, CWD, moment(request="make some tea, please"), "s", ()) == []
    assert lessons_for("session_start", database, CWD, moment(), "s", ()) == [], "no lesson was seen in two sessions"


def test_what_was_told_is_not_told_again(state: Path) -> None:
    """By the caller's word; what the store knows of is tested with the hook's process."""
    (one,) = ask(state)
    assert ask(state, told=(one.id,)) == []


@pytest.mark.parametrize("kind", [VerdictKind.REJECT, VerdictKind.ARCHIVE])
def test_only_active_lessons_have_cues(state: Path, kind: VerdictKind) -> None:
    """A verdict takes the cues away with the same commit, and its restoring brings them back."""
    (one,) = ask(state)
    with open_store(Places(config=state / "c", state=state)) as store:
        store.decide(one.id, kind)
    assert ask(state) == []
    with closing(sqlite3.connect(state / "lessons.db")) as database:
        counted = "SELECT count(*) FROM cues JOIN lessons USING(number) WHERE id = ?"
        assert database.execute(counted, (one.id,)).fetchone() == (0,)
    with open_store(Places(config=state / "c", state=state)) as store:
        restored = store.decide(one.id, VerdictKind.RESTORE)
    assert restored is not None
    assert restored.state is LessonState.ACTIVE
    assert [again.id for again in ask(state)] == [one.id]


def test_a_global_lesson_is_told_everywhere_behind_the_projects_own(state: Path) -> None:
    """Its cues stand under no project; elsewhere it is told after what is learned there."""
    (one,) = ask(state)
    assert ask(state, cwd="/home/mara/project-1") == []
    with open_store(Places(config=state / "c", state=state)) as store:
        changed = store.decide(one.id, VerdictKind.GLOBAL)
    assert changed is not None
    assert changed.scope is Scope.GLOBAL
    (elsewhere,) = ask(state, cwd="/home/mara/project-1")
    assert elsewhere.foreign
    both = ask(state, cwd="/home/mara/project-5", command=f"{TOLD}; stove boil5 --word5; tap boil25 --word25")
    assert [one.foreign for one in both] == sorted(one.foreign for one in both)


def test_an_older_store_gets_its_cues_when_it_is_opened(state: Path) -> None:
    """Also where the way of finding cues has changed since; once, and the same as are written with the lessons."""
    with closing(sqlite3.connect(state / "lessons.db")) as database, database:
        before = database.execute("SELECT * FROM cues ORDER BY 1, 2, 3, 4").fetchall()
        database.execute("DELETE FROM cues")
        database.execute("UPDATE facts SET value = value + 1 WHERE name = 'cues_version'")
    unsealed(state)
    with open_store(Places(config=state / "c", state=state)) as store:
        assert sum(len(cues(one)) for one in store.lessons(None, everywhere=True)) == len(before)
    with closing(sqlite3.connect(state / "lessons.db")) as database:
        assert database.execute("SELECT * FROM cues ORDER BY 1, 2, 3, 4").fetchall() == before


def test_a_worktree_and_a_directory_below_are_their_project(state: Path, tmp_path: Path) -> None:
    """A directory that no log has told of yet is found by its `.git`, as the daemon will find it."""
    root = tmp_path / "kettle"
    (root / ".git" / "worktrees" / "w").mkdir(parents=True)
    (root / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (root / "src").mkdir()
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".git").write_text(f"gitdir: {root}/.git/worktrees/w\n")
    with closing(sqlite3.connect(state / "lessons.db")) as database, database:
        database.execute("UPDATE lessons SET project = ? WHERE project = ?", (str(root), CWD))
        database.execute("UPDATE cues SET project = ? WHERE project = ?", (str(root), CWD))
    for place in (root, root / "src", tmp_path / "w"):
        assert len(ask(state, cwd=str(place))) == 1, place
    assert ask(state, cwd=str(tmp_path)) == []


def spoil_missing(path: Path) -> None:
    path.unlink()


def spoil_empty(path: Path) -> None:
    path.write_bytes(b"")


def spoil_text(path: Path) -> None:
    path.write_text("no database at all\n" * 1000)


def spoil_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


def spoil_schema(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {SCHEMA + 1}")
        database.commit()


def spoil_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TABLE cues")


def spoil_needs(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE cues SET needs = 'no JSON' || needs")


def spoil_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def spoil_orphan(path: Path) -> None:
    path.with_name(path.name + "-wal").write_bytes(b"x" * 4096)


def hook(state: Path) -> bytes:
    """What the hook answers before a call, as an agent starts it."""
    words = [sys.executable, "-I", "-S", hook_start.__file__, "PreToolUse", "claude_code", str(state)]
    given = {"session_id": "s", "cwd": CWD, "tool_name": "Bash", "tool_input": {"command": TOLD}}
    done = subprocess.run(words, input=json.dumps(given).encode(), capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout


SPOILERS = [value for name, value in sorted(globals().items()) if name.startswith("spoil_")]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__)
def test_a_spoilt_store_means_silence(state: Path, spoil: object) -> None:
    """Missing, cut, damaged, of another schema, with a journal alone: the hook says nothing, and exits with 0."""
    assert callable(spoil)
    assert b"word0" in hook(state)
    shutil.rmtree(state / "spool")
    spoil(state / "lessons.db")
    before = {path.name for path in state.iterdir()}
    assert hook(state) == b""
    assert {path.name for path in state.iterdir()} - before <= {TROUBLES}


def test_a_store_at_work_is_read_beside_its_writer(state: Path) -> None:
    """While another process writes, what is committed is told; while it holds the file for itself, that is said."""
    with closing(sqlite3.connect(state / "lessons.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE lessons SET support = 7 WHERE number = 1")
        assert ask(state)[0].support == 1
        writer.execute("COMMIT")
        assert ask(state)[0].support == 7
        writer.execute("PRAGMA locking_mode = EXCLUSIVE")
        writer.execute("UPDATE lessons SET support = 8 WHERE number = 1")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            ask(state)


def test_reading_leaves_no_trace(state: Path) -> None:
    """A listing with times is the same before and after."""
    listing = [(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(state.iterdir())]
    assert ask(state)
    assert [(path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(state.iterdir())] == listing


def test_what_is_told_is_marked_as_ours(state: Path) -> None:
    """Our distiller takes it out whole, whatever a lesson says, and nobody takes it for a prompt of ours."""
    told = ask(state)
    told[0].action = "Close </selfdistill> first."
    text = tell(told)
    assert OWN_NAME in text
    assert without_own(f"before {text} after") == "before  after"
    assert not is_own_prompt(text)
    assert tell([]) == ""


def test_the_hook_knows_the_schema() -> None:
    """A new migration means to look at what the hook reads."""
    assert SCHEMA == SCHEMA_VERSION


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules that a hook has loaded when it has looked something up."""
    package = str(Path(hook_start.__file__).parents[2])
    code = (
        f"import sys; sys.path.append({package!r}); import selfdistill.recall.answering\n"
        "from selfdistill.recall import hook, moments\n"
        "hook.lessons_for('pre_tool_use', '/nowhere', '/', moments.moment('shell', 'Bash', 'ls -l'), 's', ())\n"
        "print(sys.flags.no_site, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    no_site, *names = done.stdout.split()
    assert no_site == "1"
    return set(names)


def test_the_hook_loads_the_standard_library_only_and_little_of_it(loaded: set[str]) -> None:
    """Neither `site` nor anything installed, and of the standard library nothing heavy."""
    ours = {name for name in loaded if name.startswith("selfdistill")}
    others = {name.partition(".")[0] for name in loaded - ours} - {"__main__"}
    assert others <= sys.stdlib_module_names
    assert ours == {"selfdistill", "selfdistill.recall"} | {
        f"selfdistill.recall.{name}" for name in ("answering", "hook", "moments")
    }
    heavy = {"site", "typing", "pathlib", "dataclasses", "inspect", "argparse", "datetime", "subprocess", "msgspec"}
    assert loaded.isdisjoint(heavy)

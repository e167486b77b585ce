"""A log whose reading crashes, hangs or exhausts its process is found by the note of that process, and set aside.

The harm is done for real, by `poisoned/poisonous.py`, which also reaches the processes that ours start.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import invented
import lives
from homes import AT_ONCE_ANYWHERE, CLAUDE, SESSIONS, Daemon, Home, learned_at_once, until
from selfdistill.config import Scanning
from selfdistill.service.assembly import Assembly
from selfdistill.service.attempts import Attempts, count_deaths
from selfdistill.service.order import SUSPECT_DEATHS
from selfdistill.service.pipeline import FORESEEN
from selfdistill.service.reading_ahead import reading_ahead
from selfdistill.service.running import Run, Selection
from selfdistill.store import PendingLog

NAME = CLAUDE[0]
BUSY = Scanning(directories_every_seconds=0.2, hot_every_seconds=0.2)
HERE = Path(__file__).parent / "poisoned"
GIB = 1 << 30
PINGS = 15  # more than come in the half second after which a worker is taken for stuck

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="NO /proc: NOT TESTED HERE")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the sessions teach that hold no poison."""
    return learned_at_once(tmp_path_factory.mktemp("expected"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """The invented sessions, and one with poison in it that is the first to be read."""
    made = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
    made.fill()
    poison_in(made).write_bytes(poisoned(SESSIONS[NAME]))
    return made


def poison_in(home: Home) -> Path:
    """The log with the poison."""
    return home.claude / f"deadbeef{NAME[8:]}"


def poisoned(session: bytes) -> bytes:
    """The same session under another name and in another project, with poison in its middle."""
    lines = session.replace(NAME[:8].encode(), b"deadbeef").replace(b"/home/", b"/poisoned/").splitlines(keepends=True)
    return b"".join([*lines[:2], b'{"type": "POISON"}\n', *lines[2:]])


def with_poison(kind: str, **more: str) -> dict[str, Any]:
    """The environment in which reading it does harm, here and in the processes we start."""
    paths = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"POISON": kind, "PYTHONPATH": paths, "SELFDISTILL_TESTS_IMPORT": "poisonous", **more}


def failures(home: Home) -> list[tuple[str, int, str]]:
    """(distiller, how often in a row, why) for what has failed."""
    with closing(sqlite3.connect(home.state / "lessons.db")) as connection:
        return connection.execute("SELECT distiller, attempts, last_error FROM failures").fetchall()


def notes(home: Home) -> list[str]:
    """What processes are reading, or were when they died."""
    found = (home.state / "attempts").glob("*") if (home.state / "attempts").is_dir() else ()
    return [text for path in found if (text := path.read_text().strip())]


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and not yet seen end, whichever of its threads did."""
    return [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in path.read_text().split()]


def is_there(pid: int) -> bool:
    """Whether a process lives."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def opened_by(pid: int) -> set[Path]:
    """The files that a process has open."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(link.readlink())
        except FileNotFoundError:
            continue
    return found


def died_twice(home: Home, kind: str) -> None:
    """Two daemons have ended over the poison: by themselves, or as a supervisor ends one that hangs."""
    for _ in range(SUSPECT_DEATHS):
        with home.daemon(wait=False, **with_poison(kind)) as daemon:
            if kind in {"loop", "sleep"}:
                until(lambda: poison_in(home) in opened_by(daemon.pid), "a daemon that reads the poison")
                daemon.process.kill()
            assert daemon.process.wait(15) < 0


def the_reason(home: Home) -> str:
    """Why the one session is set aside that is."""
    (one,) = home.status()["quarantined"]
    assert one["session"].startswith("deadbeef")
    return str(one["reason"])


REASONS = {
    "crash": "ended with SIGSEGV",
    "kill": "SIGKILL",
    "loop": "more than 0 s of processor time",
    "sleep": "gave nothing for 3 s",
}


@pytest.mark.parametrize("kind", REASONS)
def test_poison_is_set_aside(home: Home, expected: list[dict[str, Any]], kind: str) -> None:
    """After two deaths the daemon lives on, has learned from all other logs, and says why one is set aside."""
    died_twice(home, kind)
    assert [(one[0], one[1]) for one in failures(home)] in ([], [("heuristic process", 1)]), "the last note is unread"
    patience = {"PATIENCE_SECONDS": "3"} if kind == "sleep" else {}  # a process may take 2 s to start
    with home.daemon(**with_poison(kind, **patience)) as daemon:
        until(lambda: home.status().get("quarantined_sessions") == 1, "a session in quarantine")
        assert REASONS[kind] in the_reason(home)
        assert "selfdistill retry deadbeef" in the_reason(home)
        assert daemon.process.poll() is None
        assert not children_of(daemon.pid)
        assert not notes(home)
    assert home.lessons() == expected


def test_poison_that_fills_memory(home: Home, expected: list[dict[str, Any]]) -> None:
    """Where memory runs out the daemon goes on by itself, and the log is set aside with how much it wanted."""
    poison = with_poison("memory", READING_SECONDS="60")  # on a busy machine half a second is over before
    with home.daemon(wait=False, limits={"RLIMIT_AS": GIB}, **poison) as daemon:
        until(lambda: home.status().get("quarantined_sessions") == 1, "a session in quarantine")
        assert "more than 400 MiB of memory" in the_reason(home)
        assert home.status()["pid"] == daemon.pid
    assert home.lessons() == expected


def test_growth_does_not_lift_it(home: Home, expected: list[dict[str, Any]]) -> None:
    """A log that is set aside for its poison and grows is left alone; `retry` lifts that, and it is learned at last."""
    died_twice(home, "crash")
    with home.daemon(**with_poison("crash")):
        until(lambda: home.status().get("quarantined_sessions") == 1, "a session in quarantine")
        with poison_in(home).open("ab") as log:
            log.write(b"{}\n")
        late = SESSIONS[NAME].replace(NAME[:8].encode(), b"1a7e1a7e").replace(b"/home/", b"/late/")
        (home.claude / f"1a7e1a7e{NAME[8:]}").write_bytes(late)
        until(lambda: home.status()["total_lessons"] > len(expected), "what a later log teaches")
    assert [one[:2] for one in failures(home)] == [("heuristic process", SUSPECT_DEATHS + 1)]
    assert "deadbeef" in home.command("retry", "deadbeef")
    assert "Nothing" in home.command("retry", "--all")
    learned = len(home.lessons())
    home.command("run", "--limit", "0")
    assert len(home.lessons()) > learned
    assert not failures(home)


def test_innocent_log_that_was_killed_twice(home: Home, expected: list[dict[str, Any]]) -> None:
    """A log over which two processes were killed by strangers is learned by a third, and its deaths are forgotten."""
    died_twice(home, "sleep")
    with home.daemon():
        until(lambda: home.status()["total_lessons"] > len(expected) and not failures(home), "all lessons")
        assert home.status()["quarantined_sessions"] == 0
    assert not notes(home)


def isolating(home: Home, daemon: Daemon) -> int:
    """The process that reads the suspect log alone, once it is at it."""
    until(lambda: children_of(daemon.pid), "a process that reads alone")
    (child,) = children_of(daemon.pid)
    until(lambda: poison_in(home) in opened_by(child), "a process that reads the poison")
    return child


def test_waiting_for_it_is_no_hanging(home: Home, tmp_path: Path) -> None:
    """While a log is read alone the supervisor hears pings, and SIGTERM ends the wait at once, without a verdict."""
    died_twice(home, "sleep")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(15)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "150000"}
        with home.daemon(wait=False, **with_poison("sleep", **told)) as daemon:
            child = isolating(home, daemon)
            heard = 0
            while heard < PINGS:
                heard += supervisor.recv(4096) == b"WATCHDOG=1"
            daemon.send(signal.SIGTERM)
            assert daemon.process.wait(5) == 0
            assert not is_there(child)
    assert [one[:2] for one in failures(home)] == [("heuristic process", SUSPECT_DEATHS)]
    assert not notes(home)


def test_no_process_outlives_its_parent(home: Home) -> None:
    """A process that hangs in a C loop, where no Python code can look, ends with its killed parent."""
    died_twice(home, "loop")
    with home.daemon(wait=False, **with_poison("loop", READING_SECONDS="600")) as daemon:
        child = isolating(home, daemon)
        daemon.process.kill()
        daemon.process.wait(10)
        until(lambda: not is_there(child), "the end of a process without parent")


def test_strangers_prove_nothing(home: Home) -> None:
    """A process that is ended with SIGTERM while it reads alone, as a service manager does, condemns no log."""
    died_twice(home, "sleep")
    with home.daemon(wait=False, **with_poison("sleep")) as daemon:
        os.kill(isolating(home, daemon), signal.SIGTERM)
        until(lambda: "was ended with SIGTERM" in str(home.status().get("last_error")), "word of it")
        assert home.status()["quarantined_sessions"] == 0


def poisonous_home(place: Path) -> Path:
    """A home with enough sessions for two processes; one of them is poisonous, and is the second to be read."""
    home = place / "home"
    for number in range(8):
        invented.repaired(f"r{number}", cwd=f"/home/mara/kettle-{number}").write(home, at=1e9 + number)
    story = invented.repaired("poison", cwd="/home/mara/elsewhere")
    story.lines.insert(2, b'{"type": "POISON"}\n')
    story.write(home, at=1e9 + 6.5)
    return home


@pytest.mark.parametrize("kind", ["crash", "loop", "memory"])
def test_poison_in_a_backlog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A process that reads ahead and dies over a log takes neither us nor other logs along: that one is set aside."""
    home = poisonous_home(tmp_path)
    innocent = tmp_path / "innocent"
    (poison,) = [path for path in home.rglob("*.jsonl") if b"POISON" in path.read_bytes()]
    text = poison.read_bytes()
    poison.unlink()
    invented.distil(home, innocent)
    poison.write_bytes(text)
    for name, value in with_poison(kind).items():
        monkeypatch.setenv(name, value)
    before = children_of(os.getpid())
    assembly = invented.parts(home, tmp_path / "state")
    with assembly.store, reading_ahead(assembly.store, assembly.pipeline, assembly.config, 2) as ahead:
        assembly.survey.full_pass()
        run = Run(assembly.store, assembly.pipeline, assembly.config.settling, assembly.clock, ahead)
        run.process(assembly.store.pending(), Selection(limit=0))
        (aside,) = assembly.store.set_aside()
    assert (aside.path, aside.quarantined, aside.attempts) == (poison, True, SUSPECT_DEATHS)
    assert list(run.report.failed) == [str(poison)]
    assert invented.rows(tmp_path / "state") == invented.rows(innocent)
    assert children_of(os.getpid()) == before


class TestNotes:
    """The notes themselves."""

    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        """Where they are."""
        return tmp_path / "attempts"

    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[tuple[PendingLog, Assembly]]:
        """A log, and the parts of a program that knows it."""
        invented.repaired("a").write(tmp_path / "home")
        assembly = invented.parts(tmp_path / "home", tmp_path / "state")
        with assembly.store:
            assembly.survey.full_pass()
            (pending,) = assembly.store.pending()
            yield pending, assembly

    def test_only_of_the_dead(self, directory: Path, log: tuple[PendingLog, Assembly]) -> None:
        """A log is noted while it is read, privately; a note counts once its writer is dead, and then once."""
        pending, assembly = log
        reader = Attempts(directory)
        with reader.at(pending, "heuristic", FORESEEN):
            (path,) = directory.iterdir()
            assert path.stat().st_mode & 0o077 == 0
            assert count_deaths(assembly.store, directory) == 0
            child = os.fork()
            if not child:
                with Attempts(directory).at(pending, "heuristic", FORESEEN):
                    os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)
            assert count_deaths(assembly.store, directory) == 1
            assert count_deaths(assembly.store, directory) == 0
        reader.rest()
        assert not list(directory.iterdir())
        assert [one.deaths for one in assembly.store.pending()] == [1]
        assert not assembly.store.set_aside()

    @pytest.mark.parametrize("end", [None, *FORESEEN])
    def test_foreseen_ends_leave_none(
        self, directory: Path, log: tuple[PendingLog, Assembly], end: type[BaseException] | None
    ) -> None:
        """What ends a reading in good order, Ctrl-C and our own errors too, is no death."""
        reader = Attempts(directory)
        with suppress(*FORESEEN), reader.at(log[0], "heuristic", FORESEEN):
            if end is not None:
                raise end("why")
        reader.rest()
        assert not list(directory.iterdir())

    def test_unforeseen_ends_count(self, directory: Path, log: tuple[PendingLog, Assembly]) -> None:
        """What nobody has thought of counts as a death, though the process lives on."""
        pending, assembly = log
        reader = Attempts(directory)
        with pytest.raises(MemoryError), reader.at(pending, "heuristic", FORESEEN):
            raise MemoryError
        reader.rest()
        assert count_deaths(assembly.store, directory) == 1

    def test_of_another_log(self, directory: Path, log: tuple[PendingLog, Assembly]) -> None:
        """A note whose number is another log's by now, or that a power cut has torn, is dropped."""
        pending, assembly = log
        directory.mkdir()
        for name, text in {
            "1-1": f"{pending.id} 12345 heuristic",
            "1-2": "",
            "1-3": "\0" * 64,
            "1-4": "999 1 x",
        }.items():
            (directory / name).write_text(text)
        assert count_deaths(assembly.store, directory) == 0
        assert not list(directory.iterdir())

    def test_dry_run_leaves_none(self, home: Home) -> None:
        """A dry run that dies over a log leaves no trace."""
        done = lives.run(["run", "--dry-run", "--limit", "0"], home.environment(**with_poison("crash")))
        assert done.returncode == -signal.SIGSEGV
        assert not home.state.exists()

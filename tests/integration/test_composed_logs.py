"""Documents and databases through the whole product: distilled once, incrementally, whatever is done to them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

import pytest

from composed_agents import AGENTS, NOW, Ledger, Notebook, Writer, composed, lines_of, notebook
from homes import CLAUDE, Home, until
from selfdistill import logs
from selfdistill.config import Config, Scanning, SourceSettings
from selfdistill.errors import LogProblem
from selfdistill.ingest import nearby, rendered
from selfdistill.ingest.nearby import NearbyFiles
from selfdistill.ingest.reading import Lines, open_log
from selfdistill.layouts import Document, Files, Rendered
from selfdistill.model import Skip
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.service.one_pass import one_pass
from selfdistill.service.recognising import is_database, logs_of
from selfdistill.service.running import Selection
from selfdistill.service.worker import Worker

WHEN = 1_780_000_000_000  # milliseconds
NAME = max(CLAUDE, key=lambda name: len(lines_of(name)))
LINES = lines_of(NAME)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with the directories of both invented agents."""
    made = Home(tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "ledgers").mkdir()
    return made


@contextmanager
def opened(assembly: Assembly) -> Iterator[Assembly]:
    """The assembly; its store is closed in the end."""
    with assembly.store:
        yield assembly


def learned(assembly: Assembly) -> list[tuple[str, str, float]]:
    """The lessons, without what says where they were seen."""
    lessons = assembly.store.lessons(None, state=None, everywhere=True)
    return sorted((one.trigger.condition, one.action.description, one.confidence) for one in lessons)


def distil(assembly: Assembly) -> int:
    """One pass over whatever is due; how many bytes were read."""
    return one_pass(assembly, Selection(limit=0)).bytes_read


def expected(tmp_path: Path) -> list[tuple[str, str, float]]:
    """What the session teaches, as lines."""
    plain = Home(tmp_path / "plain")
    (plain.claude / NAME).write_bytes(b"\n".join(LINES) + b"\n")
    with plain.assembly() as assembly:
        one_pass(assembly, Selection(limit=0))
        found = learned(assembly)
    assert found
    return found


def ledger_of(home: Home) -> Path:
    """Where the ledger is."""
    return home.path / "ledgers" / "work.ledger"


def is_heard(writer: Writer, home: Home) -> bool:
    """Whether all three records were read; says again that the session moved, as an agent does while it works."""
    writer.write("a", [], changed=WHEN + 2)
    return bool(home.source("ledger").get("records_total") == 3)


class TestDatabase:
    """The sessions of a database."""

    def test_grown_in_pieces(self, home: Home, tmp_path: Path) -> None:
        """A session that grows over many passes gives what it gives as lines; no pass reads what it has read."""
        writer = Writer(ledger_of(home))
        with opened(composed(home)) as assembly:
            read = 0
            for start in range(0, len(LINES), 7):
                writer.write("s-1", LINES[start : start + 7], changed=WHEN + start)
                read += distil(assembly)
            assert distil(assembly) == 0
            assert learned(assembly) == expected(tmp_path)
            assert read == sum(len(line) + 1 for line in LINES)
            assert assembly.store.census()["ledger"].records.undecodable == 0
        writer.close()

    def test_only_what_moved_is_read(self, home: Home) -> None:
        """Of many sessions only the one that grew is read; a database that nobody wrote to is not even listed."""
        writer = Writer(ledger_of(home))
        for key in range(5):
            writer.write(f"s-{key}", LINES[:3], changed=WHEN)
        with opened(composed(home)) as assembly:
            assert [change.path.name for change in assembly.survey.full_pass()] == [f"s-{key}" for key in range(5)]
            writer.write("s-3", LINES[3:4], changed=WHEN + 1)
            assert [change.path.name for change in assembly.survey.hot_pass(0.0)] == ["s-3"]
            assert assembly.survey.hot_pass(0.0) == []
        writer.close()

    def test_moved_session_is_young(self, home: Home) -> None:
        """A session that moved since the last listing was just written to, even if its own time is an old one."""
        writer = Writer(ledger_of(home))
        writer.write("s", LINES[:3], changed=WHEN)
        with opened(composed(home)) as assembly:
            assert [change.stat.mtime_ns for change in assembly.survey.full_pass()] == [WHEN * 10**6]
            writer.write("s", LINES[3:4], changed=WHEN)
            (change,) = assembly.survey.full_pass()
            assert change.stat.mtime_ns == ledger_of(home).with_name("work.ledger-wal").stat().st_mtime_ns
            distil(assembly)
            assert assembly.survey.full_pass() == []
        writer.close()

    @pytest.mark.parametrize("side", ["", "-wal", "-shm", "-journal"])
    def test_hint_at_any_of_its_files(self, home: Home, side: str) -> None:
        """An event of the database or of any file that SQLite keeps beside it leads to the session that moved."""
        writer = Writer(ledger_of(home))
        writer.write("s", LINES[:3], changed=WHEN)
        with opened(composed(home)) as assembly:
            assembly.survey.full_pass()
            writer.write("s", LINES[3:4], changed=WHEN + 1)
            hint = ledger_of(home).with_name(f"work.ledger{side}")
            assert [change.path.name for change in assembly.survey.look([hint])] == ["s"]
        writer.close()

    def test_unfinished_record_waits(self, home: Home) -> None:
        """The last record of a session that the agent may still change is held back until the log is at rest."""
        writer = Writer(ledger_of(home))
        writer.write("s", LINES[:2], changed=WHEN, finished=False)
        with opened(composed(home)) as assembly:
            assembly.survey.full_pass()
            (log,) = assembly.store.pending()
            busy = assembly.pipeline.read(log, at_rest=False)
            assert (busy.work.records.total, busy.work.complete) == (1, False)
            at_rest = assembly.pipeline.read(log, at_rest=True)
            assert (at_rest.work.records.total, at_rest.work.complete) == (2, True)
        writer.close()

    def test_edited_record(self, home: Home, tmp_path: Path) -> None:
        """A record that is changed after it was read makes a new generation; no finding counts twice."""
        writer = Writer(ledger_of(home))
        writer.write("s", LINES, changed=WHEN)
        with opened(composed(home)) as assembly:
            distil(assembly)
            last = LINES[-1].replace(b'"timestamp": "2', b'"edited": true, "timestamp": "2')
            assert last != LINES[-1]
            writer.run("UPDATE records SET text = ? WHERE number = ?", last.decode(), len(LINES) - 1)
            writer.write("s", [], changed=WHEN + 5)
            assert distil(assembly) > 0
            (log,) = assembly.store.present()
            cursor = assembly.store.cursor(log.id, "heuristic")
            assert cursor is not None
            assert cursor.generation == 1
            assert learned(assembly) == expected(tmp_path)
        writer.close()

    def test_vanished_session(self, home: Home) -> None:
        """A session that two listings miss is gone, one that a single listing misses is not; others stay."""
        writer = Writer(ledger_of(home))
        for key in ("a", "b"):
            writer.write(key, LINES[:3], changed=WHEN)
        with opened(composed(home)) as assembly:
            assembly.survey.full_pass()
            writer.run("DELETE FROM sessions WHERE id = 'a'")
            assembly.survey.full_pass()
            assert len(assembly.store.present()) == 2
            assembly.survey.full_pass()
            assert [log.path.name for log in assembly.store.present()] == ["b"]
            writer.write("a", LINES[3:4], changed=WHEN + 1)
            assembly.survey.full_pass()
            assert len(assembly.store.present()) == 2
        writer.close()

    def test_vanished_database(self, home: Home) -> None:
        """When the database is deleted its sessions are gone after two scans, and the lessons stay."""
        writer = Writer(ledger_of(home))
        writer.write("a", LINES, changed=WHEN)
        writer.close()
        (home.path / "ledgers" / "notes.txt").touch()
        with opened(composed(home)) as assembly:
            distil(assembly)
            before = learned(assembly)
            ledger_of(home).unlink()
            assembly.survey.full_pass()
            assert len(assembly.store.present()) == 1
            assembly.survey.full_pass()
            assert assembly.store.present() == []
            assert learned(assembly) == before

    def test_renamed_database(self, home: Home) -> None:
        """A database under a new name keeps the cursors of all its sessions."""
        writer = Writer(ledger_of(home))
        for key in ("a", "b"):
            writer.write(key, LINES[:9], changed=WHEN)
        writer.close()
        with opened(composed(home)) as assembly:
            assert distil(assembly) > 0
            ids = {log.path.name: log.id for log in assembly.store.present()}
            writer = Writer(ledger_of(home))
            writer.run("UPDATE sessions SET rowid = 9 WHERE id = 'a'")  # they are listed in another order now
            writer.close()
            ledger_of(home).rename(home.path / "ledgers" / "new.ledger")
            assert distil(assembly) == 0
            found = {str(log.path.relative_to(home.path)) for log in assembly.store.present()}
            assert found == {"ledgers/new.ledger/a", "ledgers/new.ledger/b"}
            assert {log.path.name: log.id for log in assembly.store.present()} == ids

    def test_after_a_restart(self, home: Home) -> None:
        """Another process lists the database once, and reads nothing that is distilled."""
        writer = Writer(ledger_of(home))
        writer.write("a", LINES[:9], changed=WHEN)
        with opened(composed(home)) as assembly:
            distil(assembly)
        with opened(composed(home)) as assembly:
            assembly.survey.load_hot(0.0)
            assert assembly.survey.full_pass() == []
            assert distil(assembly) == 0
        writer.close()

    def test_trouble_is_in_the_ledger_and_heals(self, home: Home) -> None:
        """A file that is no database is counted with its reason, and no longer once it is one."""
        ledger_of(home).write_bytes(b"not a database " * 100)
        with opened(composed(home)) as assembly:
            assembly.survey.full_pass()
            assert assembly.store.ledger()["ledger"] == {"unreadable": 1}
            ledger_of(home).unlink()
            writer = Writer(ledger_of(home))
            writer.write("a", LINES[:3], changed=WHEN)
            assembly.survey.full_pass()
            assert "ledger" not in assembly.store.ledger()
            writer.close()

    def test_excluded_database(self, home: Home) -> None:
        """A database that the user excludes is counted as that, with the sessions that were known."""
        writer = Writer(ledger_of(home))
        writer.write("a", LINES[:3], changed=WHEN)
        writer.close()
        with opened(composed(home)) as assembly:
            assembly.survey.full_pass()
        config = Config(sources={"ledger": SourceSettings(exclude=("*/work.ledger",))})
        assembly = assemble(config, home.places(), home.path, {}, agents=AGENTS)
        with assembly.store as store:
            assembly.survey.full_pass()
            assert store.ledger()["ledger"] == {"excluded": 2}
            assert store.pending() == []

    def test_repeated_commit(self, home: Home) -> None:
        """Work that was committed once is refused the second time: killed in between or not, nothing doubles."""
        writer = Writer(ledger_of(home))
        writer.write("a", LINES, changed=WHEN)
        with opened(composed(home)) as assembly:
            assembly.survey.full_pass()
            (log,) = assembly.store.pending()
            reading = assembly.pipeline.read(log)
            assert assembly.store.commit_all([reading.work])[0] == [True]
            before = learned(assembly)
            assert assembly.store.commit_all([reading.work])[0] == [False]
            assert learned(assembly) == before
        writer.close()

    def test_daemon_hears_of_the_write_ahead_log(self, home: Home) -> None:
        """The events of the write-ahead log, the only file that a living agent touches, lead to its session."""
        writer = Writer(ledger_of(home))
        writer.write("a", LINES[:1], changed=WHEN)
        rarely = Scanning(directories_every_seconds=3600.0, hot_every_seconds=3600.0)
        config = Config(settling=NOW, scanning=rarely)
        assembly = assemble(config, home.places(), home.path, {}, agents=AGENTS)
        worker = Worker(assembly, logs.logger("test"))
        thread = threading.Thread(target=worker.run, args=(lambda: None,))
        thread.start()
        try:
            until(lambda: home.source("ledger").get("records_total") == 1, "the first record")
            writer.write("a", LINES[1:3], changed=WHEN + 1)
            until(lambda: is_heard(writer, home), "what was added to it")
        finally:
            worker.stop()
            thread.join()
            assembly.store.close()
            writer.close()


class TestDocument:
    """Documents that are rewritten in place."""

    def test_rewritten_while_it_grows(self, home: Home, tmp_path: Path) -> None:
        """A document that is rewritten with more each time gives what it gives as lines, read on from the cursor."""
        path = home.path / "notebooks" / NAME.replace(".jsonl", ".notebook")
        with opened(composed(home)) as assembly:
            for end in (*range(5, len(LINES), 11), len(LINES)):
                path.write_bytes(notebook(LINES[:end]))
                distil(assembly)
            (log,) = assembly.store.present()
            cursor = assembly.store.cursor(log.id, "heuristic")
            assert cursor is not None
            assert cursor.generation == 0
            assert learned(assembly) == expected(tmp_path)

    def test_companion_is_noticed(self, home: Home) -> None:
        """A file beside the document that changes, even in place, is a change of the log: by a scan and by a hint."""
        path = home.path / "notebooks" / "one.notebook"
        beside = path.with_suffix(".d")
        beside.mkdir()
        path.write_bytes(notebook(LINES[:2]))
        with opened(composed(home)) as assembly:
            distil(assembly)
            (beside / "1.json").write_bytes(notebook(LINES[2:4]))
            assert [change.path for change in assembly.survey.look([beside / "1.json"])] == [path]
            distil(assembly)
            (beside / "1.json").write_bytes(notebook(LINES[2:5]))
            assert [change.path for change in assembly.survey.full_pass()] == [path]
            distil(assembly)
            assert assembly.store.census()["notebook"].records.total == 5

    def test_unfinished_last_record(self, home: Home) -> None:
        """A record that is still open waits, counts before another one, and is read once when it is finished."""
        path = home.path / "notebooks" / "one.notebook"
        path.write_bytes(notebook(LINES[:3], last_is_open=True))
        with open_log(path, Notebook().layout) as log:
            lines = Lines(log)
            assert len(list(lines)) == 2
            assert lines.rest_length
        with opened(composed(home)) as assembly:
            distil(assembly)
            assert assembly.store.census()["notebook"].records.total == 3
            path.write_bytes(notebook(LINES[:4]))
            distil(assembly)
            assert assembly.store.census()["notebook"].records.undecodable == 0

    def test_broken_json_is_counted(self, home: Home) -> None:
        """A document that is no JSON is one undecodable record."""
        path = home.path / "notebooks" / "one.notebook"
        path.write_bytes(b'[{"a":\n1},\n')
        with opened(composed(home)) as assembly:
            distil(assembly)
            assert assembly.store.census()["notebook"].records.undecodable == 1

    def test_rewritten_while_it_is_read(self, home: Home) -> None:
        """A document that changes during each of two readings is left for later, with a reason."""
        path = home.path / "notebooks" / "one.notebook"
        path.write_bytes(b"[]")
        count = iter(range(10))

        def disturbing(one: PurePath, _files: Files) -> Iterator[Rendered]:
            Path(one).write_bytes(b"[" + b" " * next(count) + b"]")
            return iter(())

        layout = Document(disturbing)
        with pytest.raises(LogProblem) as caught, open_log(path, lambda _: layout) as log:
            log.read_at(0, 10)
        assert caught.value.reason == Skip.UNSETTLED
        assert next(count) == 2

    def test_too_large_is_told(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        """A document beyond the bound is not read into memory but counted, with a word."""
        monkeypatch.setattr(nearby, "LARGEST_FILE", 100)
        path = home.path / "notebooks" / "one.notebook"
        path.write_bytes(notebook(LINES[:2]))
        with opened(composed(home)) as assembly:
            done = one_pass(assembly, Selection(limit=0))
            assert done.manifest.sessions_skipped == {"unreadable": 1}
            assert "MiB" in done.failed[str(path)]

    def test_large_text_goes_to_a_file(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        """A text beyond what is kept in memory reads the same, forward and backward."""
        path = home.path / "notebooks" / "one.notebook"
        path.write_bytes(notebook(LINES))
        with open_log(path, Notebook().layout) as log:
            whole = log.read_at(0, 1 << 30)
        monkeypatch.setattr(rendered, "IN_MEMORY", 1000)
        with open_log(path, Notebook().layout) as log:
            assert log.read_at(5000, 1 << 30) == whole[5000:]
            assert log.read_at(0, 100) == whole[:100]


class TestNearbyFiles:
    """What a source may look at."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> NearbyFiles:
        """The files around a log three directories deep."""
        log = tmp_path / "storage" / "session" / "project" / "s.json"
        log.parent.mkdir(parents=True)
        (tmp_path / "storage" / "part").mkdir()
        log.write_bytes(b"log")
        (tmp_path / "storage" / "part" / "p.json").write_bytes(b"part")
        (tmp_path / "secret").write_bytes(b"secret")
        (tmp_path / "storage" / "link").symlink_to(tmp_path / "secret")
        (tmp_path / "storage" / "out").symlink_to(tmp_path)
        os.mkfifo(tmp_path / "storage" / "fifo")
        return NearbyFiles(log)

    def test_reads_its_tree(self, files: NearbyFiles, tmp_path: Path) -> None:
        """The log, and what lies beside it up to two directories above its own."""
        storage = tmp_path / "storage"
        assert files.read(storage / "session" / "project" / "s.json") == b"log"
        assert files.read(storage / "part" / "p.json") == b"part"
        assert files.names(storage / "part") == ["p.json"]
        assert files.names(storage / "nothing") == []

    @pytest.mark.parametrize(
        "name",
        ["../secret", "session/../../secret", "link", "out/secret", "fifo", "session", "nothing", "a\0b", "x" * 300],
    )
    def test_nothing_leads_elsewhere(self, files: NearbyFiles, tmp_path: Path, name: str) -> None:
        """Steps up, links, pipes, directories and impossible names are as if they were not there."""
        assert files.read(tmp_path / "storage" / name) == b""
        assert files.read(Path("/etc/passwd")) == b""


class TestNamed:
    """Logs that a person names."""

    def test_database_stands_for_its_sessions(self, home: Home) -> None:
        """A database's path stands for all its sessions, a session's for itself; reading any of them works."""
        writer = Writer(ledger_of(home))
        for number, key in enumerate(("a/b", "c")):
            writer.write(key, LINES[:3], changed=WHEN + number)
        found = logs_of(ledger_of(home), Ledger())
        assert {one.name: stat.size for one, stat in found.items()} == {"a%2Fb": 3, "c": 3}
        assert is_database(ledger_of(home), Ledger())
        for one, stat in found.items():
            assert not is_database(one, Ledger())
            assert logs_of(one, Ledger()) == {one: stat}
        with pytest.raises(LogProblem, match="no such session"):
            logs_of(ledger_of(home) / "d", Ledger())
        with pytest.raises(LogProblem, match="many sessions"):
            open_log(ledger_of(home), Ledger().layout)
        writer.close()

    def test_other_sources_do_not_read_below_a_file(self, home: Home) -> None:
        """A path below a file that is no database cannot be read, and says so."""
        path = home.path / "notebooks" / "one.notebook"
        path.write_bytes(b"[]")
        with pytest.raises(LogProblem) as caught:
            open_log(path / "x", Notebook().layout)
        assert caught.value.reason == Skip.UNREADABLE


def test_status_names_agents_that_are_not_there(home: Home) -> None:
    """Agents without a root, a log or a word in the configuration are named together; the others have their roots."""
    (home.path / "notebooks").rmdir()
    with opened(composed(home)) as assembly:
        distil(assembly)
    status = home.status()
    assert status["absent_agents"] == ["notebook"]
    assert [root["path"] for root in status["sources"]["ledger"]["roots"]] == [str(home.path / "ledgers")]

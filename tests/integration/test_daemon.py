"""The daemon as a process, end to end: whatever happens to logs, events and processes, the same lessons come of it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from watchdog.events import FileOpenedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.inotify_c import InotifyFD

from homes import (
    AT_ONCE,
    AT_ONCE_ANYWHERE,
    CLAUDE,
    PROGRAM,
    ROLLOUT,
    SCANS_ONLY,
    SESSIONS,
    WITHOUT_EVENTS,
    Home,
    learned_at_once,
    until,
)
from selfdistill import logs
from selfdistill.config import Config, Limits, Scanning, Settling
from selfdistill.service.end_marks import has_ended
from selfdistill.service.worker import Worker
from selfdistill.sources.claude_code import ClaudeCode
from selfdistill.store import Store

NAME = CLAUDE[0]
LINES = SESSIONS[NAME].splitlines(keepends=True)
BUSY = Scanning(directories_every_seconds=0.2, hot_every_seconds=0.2)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the invented sessions teach, read whole and in one pass."""
    lessons = learned_at_once(tmp_path_factory.mktemp("reference"))
    assert len(lessons) > 5
    return lessons


def of_session(name: str, directory: Path) -> int:
    """How many lessons one session teaches."""
    home = Home(directory / "alone")
    (home.claude / name).write_bytes(SESSIONS[name])
    printed: dict[str, Any] = json.loads(home.command("run", "--json", "--limit", "0", str(home.claude)))
    count: int = printed["lessons_generated"]
    return count


def exit_record(content: bytes) -> bytes:
    """The record that Claude Code writes when a person leaves with /exit."""
    record = json.loads(content.splitlines()[-1])
    record["uuid"], record["type"] = "1f0e4c0a-0000-4000-8000-00000000e817", "user"
    text = "<command-name>/exit</command-name>\n<command-message>exit</command-message>\n<command-args></command-args>"
    record["message"] = {"role": "user", "content": text}
    return json.dumps(record).encode() + b"\n"


def read_records(home: Home) -> int:
    """How many records of both agents the status tells of."""
    return sum(home.source(name).get("records_total", 0) for name in ("claude_code", "codex"))


def cursor_offset(home: Home, path: Path) -> int:
    """How far the log at this path is distilled, in bytes; -1 if nobody has begun."""
    store = Store.open_read_only(home.state / "lessons.db")
    if store is None:
        return -1
    with contextlib.closing(store):
        log = store.log_at(path)
        cursor = store.cursor(log.id, "heuristic") if log else None
    return cursor.proof.offset if cursor else -1


class TestSameLessons:
    """However the bytes come, the lessons are those of one pass over the whole."""

    def test_appended(self, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
        """Sessions that are written while the daemon runs are lessons a moment later, in `lessons` and in `status`."""
        home = Home(tmp_path)
        with home.daemon():
            home.fill()
            home.waits_for(len(expected))
            assert home.lessons() == expected
        status = home.status()
        assert status["last_lessons_generated"] >= 1
        assert status["total_sessions"] == len(SESSIONS)
        assert home.source()["tracked"] == len(CLAUDE)

    def test_in_pieces_over_restarts(self, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
        """Sessions that come in three pieces cut anywhere, each distilled by another daemon, give the same."""
        home = Home(tmp_path, AT_ONCE_ANYWHERE)
        for piece in range(3):
            for name, content in SESSIONS.items():
                path = (home.codex if name == ROLLOUT else home.claude) / name
                third = len(content) // 3
                path.write_bytes(content[: third * (piece + 1)] if piece < 2 else content)
            with home.daemon():
                until(lambda: home.status()["backlog"] == 0 and home.status()["total_runs"], "all that can be")
        assert home.lessons() == expected

    @pytest.mark.parametrize("late", [False, True], ids=["there", "late"])
    def test_without_events(self, tmp_path: Path, expected: list[dict[str, Any]], late: bool) -> None:
        """With all events lost the scans find new logs and appended lines, also below roots that are not there yet.

        Case 23 of `tests/fault/README.md`.
        """
        home = Home(tmp_path, scanning=SCANS_ONLY)
        if late:
            shutil.rmtree(tmp_path / ".claude")
            shutil.rmtree(tmp_path / ".codex")
        with home.daemon():
            if late:
                Home(tmp_path, scanning=SCANS_ONLY)
            for name in CLAUDE:
                (home.claude / name).write_bytes(SESSIONS[name].splitlines(keepends=True)[0])
            until(lambda: home.status()["backlog"] == len(CLAUDE), "the beginnings")
            time.sleep(2.2)  # from now on the directory is old enough to be believed, so only the logs themselves tell
            for name in CLAUDE:
                with (home.claude / name).open("ab") as file:
                    file.writelines(SESSIONS[name].splitlines(keepends=True)[1:])
            (home.codex / ROLLOUT).write_bytes(SESSIONS[ROLLOUT])
            home.waits_for(len(expected))
            assert home.status()["watcher"]["mode"] == "scan-only"
            assert home.status()["state"] == "watching"
        assert home.lessons() == expected

    def test_killed(self, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
        """SIGKILL, whenever it comes, and a restart: the same lessons."""
        home = Home(tmp_path, AT_ONCE_ANYWHERE)
        for name in CLAUDE:
            with home.daemon() as daemon:
                content = SESSIONS[name]
                (home.claude / name).write_bytes(content[: len(content) // 2])
                time.sleep(0.01)
                daemon.send(signal.SIGKILL)
                daemon.process.wait()
        home.fill()
        with home.daemon():
            home.waits_for(len(expected))
        assert home.lessons() == expected


class TestSettling:
    """A session is distilled when it rests, not before, and at once when it says that it is over."""

    def test_only_after_quiet(self, tmp_path: Path) -> None:
        """Nothing is learned before `settle_seconds` of quiet; an open call waits longer still."""
        home = Home(tmp_path, Settling(settle_seconds=1.2))
        open_call = b"".join(LINES[:2])
        with home.daemon():
            (home.claude / "open.jsonl").write_bytes(open_call)
            path = home.claude / CLAUDE[1]
            path.write_bytes(b"")
            begun = time.monotonic()
            for line in SESSIONS[CLAUDE[1]].splitlines(keepends=True):
                with path.open("ab") as file:
                    file.write(line)
                time.sleep(0.02)
            written = time.monotonic()
            until(lambda: home.status().get("total_lessons"), "lessons")
            distilled = time.monotonic()
            assert distilled - written >= 1.1
            assert distilled - begun < 8
            assert home.status()["settling"] == 1
            assert home.source()["skipped"] == {"unsettled": 1}
            assert cursor_offset(home, home.claude / "open.jsonl") == -1

    def test_an_end_mark_at_once(self, tmp_path: Path) -> None:
        """A session that a person leaves with /exit is distilled without waiting for quiet."""
        home = Home(tmp_path, Settling(settle_seconds=600))
        with home.daemon():
            (home.claude / NAME).write_bytes(SESSIONS[NAME] + exit_record(SESSIONS[NAME]))
            (home.claude / CLAUDE[1]).write_bytes(SESSIONS[CLAUDE[1]])
            until(lambda: home.status()["total_sessions"] == 1 and home.status()["total_lessons"], "lessons")
            assert cursor_offset(home, home.claude / CLAUDE[1]) == -1

    def test_the_look_at_the_end_is_short(self, tmp_path: Path) -> None:
        """The end mark is found in the last 4 KiB, whole lines only; what goes on behind it is no end."""
        path = tmp_path / "s.jsonl"
        path.write_bytes(SESSIONS[NAME] * 3 + exit_record(SESSIONS[NAME]))
        assert has_ended(path, ClaudeCode())
        path.write_bytes(exit_record(SESSIONS[NAME])[:-1])
        assert not has_ended(path, ClaudeCode())
        path.write_bytes(exit_record(SESSIONS[NAME]) + LINES[0])
        assert not has_ended(path, ClaudeCode())
        assert not has_ended(tmp_path / "missing.jsonl", ClaudeCode())

    def test_a_half_written_line_waits(self, tmp_path: Path) -> None:
        """A last line is held back while half of it is there, and read once it is whole, even without its newline.

        Case 25 of `tests/fault/README.md`.
        """
        home = Home(tmp_path, AT_ONCE_ANYWHERE)
        path = home.claude / NAME
        half = len(LINES[-1]) // 2
        with home.daemon():
            path.write_bytes(b"".join(LINES)[:-half])
            until(lambda: cursor_offset(home, path) == len(b"".join(LINES[:-1])), "all whole lines")
            with path.open("ab") as file:
                file.write(LINES[-1][-half:].rstrip(b"\n"))
            until(lambda: cursor_offset(home, path) == len(b"".join(LINES)) - 1, "the last line without its newline")
            with path.open("ab") as file:
                file.write(b"\n")
            until(lambda: cursor_offset(home, path) == len(b"".join(LINES)), "its newline")
            until(lambda: home.status()["backlog"] == 0, "nothing left")
            until(lambda: home.source()["records_total"] == len(LINES), "each of them once")

    def test_a_busy_log_with_a_torn_end_is_not_forgotten(self, tmp_path: Path) -> None:
        """A log that is cut by the longest wait in the middle of a line is taken up again when it rests."""
        home = Home(tmp_path, Settling(settle_seconds=0.5, max_wait_minutes=0.005))
        path, content = home.claude / NAME, b"".join(LINES)
        with home.daemon():
            end = time.monotonic() + 0.9
            written = 0
            while time.monotonic() < end:
                with path.open("ab") as file:
                    file.write(content[written : written + 40])
                written = min(written + 40, len(content) - 1)
                time.sleep(0.02)
            assert cursor_offset(home, path) > 0
            with path.open("ab") as file:
                file.write(content[written:-1])
            until(lambda: cursor_offset(home, path) == len(content) - 1, "the rest, when it is quiet")


class TestWhatHappensToLogs:
    """Logs are renamed, archived, compressed, damaged, locked away; roots come and go."""

    def test_renamed_archived_compressed(self, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
        """A log that moves keeps its cursor: nothing is learned twice and nothing read again (case 21)."""
        home = Home(tmp_path, AT_ONCE_ANYWHERE, BUSY)
        home.fill()
        old, new = home.claude / NAME, home.claude.parent / "elsewhere" / "renamed.jsonl"
        rollout, archived = home.codex / ROLLOUT, home.archive / ROLLOUT
        packed = archived.with_name(f"{ROLLOUT}.zst")
        with home.daemon():
            home.waits_for(len(expected))
            records = sum(data.count(b"\n") for data in SESSIONS.values())
            until(lambda: read_records(home) == records, "the records in the status")
            offset = cursor_offset(home, old)
            runs = home.status()["total_runs"]
            new.parent.mkdir()
            old.rename(new)
            rollout.rename(archived)
            until(lambda: cursor_offset(home, new) == offset, "the cursor at the new name")
            until(lambda: cursor_offset(home, archived) > 0, "the cursor in the archive")
            assert home.status()["total_runs"] == runs  # renamed and nothing else: not even opened
            compressed = zstandard.compress(archived.read_bytes())
            archived.unlink()  # the other way round it may be met as a copy, which is read once more
            packed.write_bytes(compressed)
            until(lambda: cursor_offset(home, packed) == len(SESSIONS[ROLLOUT]), "the cursor of decompressed bytes")
            with new.open("ab") as file:
                file.write(LINES[0].replace(b'"uuid": "', b'"uuid": "0'))
            until(lambda: home.source()["records_total"] == records - 15 + 1, "the one new record")
            home.waits_for(len(expected))
            until(lambda: home.source("codex")["records_total"] == 15, "the rollout's records, once")
        assert home.lessons() == expected

    def test_a_root_that_appears_later(self, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
        """An agent that is installed while the daemon runs is found by the next pass over the directories.

        Case 18 of `tests/fault/README.md`.
        """
        home = Home(tmp_path, scanning=BUSY)
        shutil.rmtree(tmp_path / ".claude")
        shutil.rmtree(tmp_path / ".codex")
        with home.daemon():
            for directory in (home.claude, home.codex):
                directory.mkdir(parents=True)
            home.fill()
            home.waits_for(len(expected))
            assert home.status()["watcher"]["mode"] == ("scan-only" if WITHOUT_EVENTS else "events")
        assert home.lessons() == expected

    @pytest.mark.parametrize("scanning", [BUSY, SCANS_ONLY], ids=["events", "scans"])
    def test_a_root_that_is_removed_and_comes_back(
        self, tmp_path: Path, expected: list[dict[str, Any]], scanning: Scanning
    ) -> None:
        """What was learned stays, and what the new directory holds is found within a scan's period (case 18)."""
        home = Home(tmp_path, scanning=scanning)
        (home.claude / NAME).write_bytes(SESSIONS[NAME])
        with home.daemon():
            until(lambda: home.status()["total_lessons"], "the first lessons")
            shutil.rmtree(tmp_path / ".claude" / "projects")
            time.sleep(0.4)
            home.claude.mkdir(parents=True)
            home.fill()
            home.waits_for(len(expected))
            (home.claude / "later.jsonl").write_bytes(SESSIONS[NAME])
            until(lambda: home.source()["tracked"] == len(CLAUDE) + 1, "a log in the new directory")
        assert home.lessons() == expected

    def test_the_skip_ledger_names_each(self, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
        """Link, FIFO, empty, excluded, machine-run and void logs stand in the ledger and hold up nobody."""
        home = Home(tmp_path)
        home.configure(AT_ONCE, Scanning(), more='[sources.claude_code]\nexclude = ["*/secret-*"]')
        (home.claude / "link.jsonl").symlink_to("/etc/passwd")
        os.mkfifo(home.claude / "fifo.jsonl")
        (home.claude / "empty.jsonl").touch()
        (home.claude / "secret-1.jsonl").write_bytes(SESSIONS[NAME])
        (home.claude / "agent-acompact-1.jsonl").write_bytes(SESSIONS[NAME])
        (home.claude / "void.jsonl").write_bytes(b'{"type": "summary", "summary": "nothing"}\n')
        home.fill()
        with home.daemon():
            home.waits_for(len(expected))
            skipped = {"not_regular": 2, "empty": 1, "excluded": 1, "machine_run": 1, "no_conversation": 1}
            until(lambda: home.source()["skipped"] == skipped, f"{skipped}")
        assert home.lessons() == expected

    def test_an_unreadable_log_is_told_once(self, open_to_all: Path) -> None:
        """A log without permission stands in the ledger, is told of once, and is read when that changes (case 33)."""
        if os.getuid() or not shutil.which("setpriv"):
            pytest.skip("NOT TESTED: needs root and setpriv to become another user")
        home = Home(open_to_all, scanning=BUSY)
        path = home.claude / NAME
        path.write_bytes(SESSIONS[NAME])
        (home.claude / CLAUDE[1]).write_bytes(SESSIONS[CLAUDE[1]])
        for directory in [*open_to_all.rglob("*"), open_to_all]:
            os.chown(directory, 65534, 65534)
        path.chmod(0)
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        with (open_to_all / "daemon.log").open("wb") as log:
            process = subprocess.Popen([*drop, *PROGRAM, "daemon"], env=home.environment(), stderr=log)
        try:
            until(lambda: home.source().get("skipped") == {"unreadable": 1}, "the word in the ledger")
            time.sleep(0.7)  # several hot passes
            assert home.status()["total_lessons"] > 0
            assert "Permission denied" in home.status()["last_error"]["message"]
            assert (open_to_all / "daemon.log").read_text().count("log_failed") == 1
            path.chmod(0o600)
            until(lambda: home.source()["skipped"] == {}, "the log, now that it can be read")
        finally:
            process.kill()
            process.wait()

    def test_garbage_lines_are_counted(self, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
        """A log with lines that are no JSON is distilled around them; how many there were is in the status."""
        home = Home(tmp_path)
        home.fill()
        garbage = [b"\x00" * 300 + b"\n", b"{\xff\xfe\n", b'{"type": "user", "message": \n']
        mixed = [*LINES[:1], garbage[0], *LINES[1:2], garbage[1], *LINES[2:], garbage[2]]
        (home.claude / NAME).write_bytes(b"".join(mixed))
        with home.daemon():
            home.waits_for(len(expected))
            until(lambda: home.source().get("undecodable") == 3, "the count, which a busy machine tells a little later")
        known = {lesson["id"] for lesson in expected}
        assert {lesson["id"] for lesson in home.lessons()} == known


class TestTheProcess:
    """Starting, signals, ending."""

    def test_idle_it_ends_at_once_and_leaves_no_journal(self, tmp_path: Path) -> None:
        """SIGTERM while idle: exit code 0 within a second, state `stopped`, everything in the one database file.

        Case 4 of `tests/fault/README.md`.
        """
        home = Home(tmp_path)
        home.fill()
        with home.daemon() as daemon:
            until(lambda: home.status()["total_lessons"], "lessons")
            begun = time.monotonic()
            daemon.stop()
            assert time.monotonic() - begun < 2
        assert home.status()["state"] == "stopped"
        left = sorted(path.name for path in home.state.iterdir())
        assert left == [
            ".initialised",
            "attempts",
            "daemon.lock",
            "hints",
            "lessons.db",
            "lessons.db.lock",
            "status.toml",
        ]
        home.command("status", expect=3)

    def test_in_the_middle_of_a_huge_log_it_ends_within_5_seconds(self, tmp_path: Path) -> None:
        """SIGTERM while 300 MB are read: exit code 0 in time; what was committed is kept, the rest is read later.

        Case 4 of `tests/fault/README.md`.
        """
        home = Home(tmp_path)
        path = home.claude / NAME
        block = b"".join(LINES) * (1024 * 1024 // len(b"".join(LINES)))
        with path.open("wb") as file:
            for _ in range(300):
                file.write(block)
        with home.daemon(wait=False) as daemon:
            until(lambda: cursor_offset(home, path) > 0, "the first piece")
            begun = time.monotonic()
            daemon.send(signal.SIGTERM)
            assert daemon.process.wait(5) == 0, daemon.log()
            assert time.monotonic() - begun < 5
        assert 0 < cursor_offset(home, path) < path.stat().st_size
        assert home.status()["state"] == "stopped"
        assert home.source()["bytes_behind"] > 0

    def test_a_second_daemon_is_refused(self, tmp_path: Path) -> None:
        """The second daemon on one state directory exits 69 and says who runs; the first goes on."""
        home = Home(tmp_path)
        with home.daemon() as daemon:
            second = subprocess.run(
                [*PROGRAM, "daemon"], env=home.environment(), capture_output=True, text=True, check=False, timeout=20
            )
            assert second.returncode == 69
            assert f"pid {daemon.pid}" in second.stderr
            assert home.status()["pid"] == daemon.pid
            home.command("status")

    def test_hangup_reads_the_configuration_again(self, tmp_path: Path) -> None:
        """After SIGHUP the new settings count; one that cannot be used leaves the old in force and is told.

        Case 6 of `tests/fault/README.md`.
        """
        home = Home(tmp_path, Settling(settle_seconds=600))
        (home.claude / NAME).write_bytes(SESSIONS[NAME])
        with home.daemon() as daemon:
            until(lambda: home.status()["settling"] == 1, "a log that settles")
            home.config.write_text("[settling]\nsettle_seconds = -1\n")
            daemon.send(signal.SIGHUP)
            until(lambda: "config.toml" in home.status().get("last_error", {}).get("message", ""), "the complaint")
            until(lambda: home.status()["settling"] == 1, "the old settings")
            home.configure(AT_ONCE, Scanning())
            daemon.send(signal.SIGHUP)
            until(lambda: home.status().get("total_lessons"), "lessons under the new settings")
            assert home.status()["pid"] == daemon.pid
            assert "last_error" not in home.status()

    def test_a_disk_that_is_full_from_the_start(self, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
        """A store that cannot be made for want of room is a pause: SIGTERM ends it with 0, and with room it goes on."""
        home = Home(tmp_path)
        home.fill()
        for goes_on in (False, True):
            # The status file fits, the store does not.
            with home.daemon(wait=False, limits={"RLIMIT_FSIZE": 8192}) as daemon:
                until(lambda: home.status().get("state") == "paused", "a pause")
                assert home.status()["pid"] == daemon.pid
                assert "lessons.db" in home.status()["reason"]
                if goes_on:
                    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE))
                    daemon.send(signal.SIGHUP)  # else it looks again after a minute
                    home.waits_for(len(expected))
        assert home.lessons() == expected

    def test_a_half_line_is_told(self, tmp_path: Path) -> None:
        """A last line that was never finished is no longer waited for, but counted; finished, it is not."""
        home = Home(tmp_path, AT_ONCE_ANYWHERE)
        whole = SESSIONS[NAME]
        (home.claude / NAME).write_bytes(whole[:-40])
        with home.daemon():
            until(lambda: home.source().get("tails") == 1 and home.status()["backlog"] == 0, "a tail")
            (home.claude / NAME).write_bytes(whole)
            until(lambda: home.source().get("tails") == 0 and home.status()["backlog"] == 0, "no tail")

    def test_too_little_room_is_a_pause(self, tmp_path: Path) -> None:
        """Below `min_free_mib` the state is `paused` and nothing is lost; with room it goes on by itself (case 45)."""
        home = Home(tmp_path)
        home.configure(AT_ONCE, Scanning(), Limits(min_free_mib=1e12))
        home.fill()
        with home.daemon() as daemon:
            until(lambda: home.status()["state"] == "paused" and home.status()["backlog"], "a pause")
            time.sleep(0.3)
            assert home.status()["state"] == "paused"
            assert "MiB are free" in home.status()["reason"]
            assert home.status()["total_lessons"] == 0
            home.command("status", expect=1)
            home.configure(AT_ONCE, Scanning())
            daemon.send(signal.SIGHUP)
            until(lambda: home.status()["total_lessons"] and home.status()["state"] == "watching", "work again")

    def test_a_closed_terminal_does_not_end_it(self, tmp_path: Path, expected: list[dict[str, Any]]) -> None:
        """Whoever read its standard error is gone: the work goes on (case 12)."""
        home = Home(tmp_path)
        reader, writer = os.pipe()
        process = subprocess.Popen([*PROGRAM, "daemon"], env=home.environment(), stdout=writer, stderr=writer)
        os.close(writer)
        os.close(reader)
        try:
            until(lambda: home.status().get("state") == "watching", "a daemon")
            home.fill()
            home.waits_for(len(expected))
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.wait()

    def test_the_supervisor_is_told(self, tmp_path: Path) -> None:
        """WATCHDOG while it works, STATUS when the state changes, STOPPING at the end; a reload is no end.

        Case 62 of `tests/fault/README.md`.
        """
        home = Home(tmp_path)
        name = str(tmp_path / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.bind(name)
            supervisor.settimeout(0.05)
            heard: list[str] = []

            def hears(wanted: str) -> Callable[[], bool]:
                def listen() -> bool:
                    with contextlib.suppress(TimeoutError):
                        while True:
                            heard.append(supervisor.recv(4096).decode())
                    return any(message.startswith(wanted) for message in heard)

                return listen

            with home.daemon(NOTIFY_SOCKET=name, WATCHDOG_USEC="300000") as daemon:
                until(hears("STATUS=watching"), "the state")
                daemon.send(signal.SIGHUP)
                until(lambda: daemon.log().count("reloading"), "a reload")
                heard.clear()
                until(hears("WATCHDOG=1"), "a ping")
                home.configure(AT_ONCE, Scanning(), Limits(min_free_mib=1e12))
                daemon.send(signal.SIGHUP)
                until(hears("STATUS=paused: Only"), "the reason of a pause")
                assert not hears("STOPPING")()
                assert not hears("READY")()
            until(hears("STOPPING=1"), "the end")
            assert heard.index("STOPPING=1") < heard.index("STATUS=stopped")

    def test_ready_is_said_once(self, tmp_path: Path) -> None:
        """READY comes after the lock and the store, and once."""
        home = Home(tmp_path)
        name = str(tmp_path / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.bind(name)
            supervisor.settimeout(0.2)
            with home.daemon(NOTIFY_SOCKET=name):
                assert (home.state / "lessons.db").exists()
            heard = []
            with contextlib.suppress(TimeoutError):
                while True:
                    heard.append(supervisor.recv(4096).decode())
        assert heard.count("READY=1") == 1
        assert heard.count("STOPPING=1") == 1

    def test_a_blind_watcher_is_noticed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """When inotify's reader dies the canary does not come back: the watcher is made anew, and says so.

        Case 17 of `tests/fault/README.md`.
        """
        if sys.platform != "linux":
            pytest.skip("provokes a fault of inotify")
        monkeypatch.setattr(threading, "excepthook", lambda _: None)
        home = Home(tmp_path)
        slow = Scanning(canary_every_seconds=0.5)
        with home.assembly(Config(settling=AT_ONCE, scanning=slow)) as assembly:
            worker = Worker(assembly, logs.logger("test"))
            ready = threading.Event()
            thread = threading.Thread(target=worker.run, args=(ready.set,))
            thread.start()
            try:
                until(lambda: worker._watcher._reader, "a reader of events")
                reader = worker._watcher._reader
                assert isinstance(reader, InotifyFD)
                monkeypatch.setattr(reader, "handle_event", None)
                (home.claude / "deaf.jsonl").touch()
                reader.join(3)
                assert not reader.is_alive()
                (home.claude / NAME).write_bytes(SESSIONS[NAME])
                until(lambda: home.status()["watcher"]["restarts"] == 1, "a new watcher")
                until(lambda: home.status()["total_lessons"], "what was missed")
                tracked = home.source()["tracked"]
                (home.claude / CLAUDE[1]).write_bytes(SESSIONS[CLAUDE[1]])
                until(lambda: home.source()["tracked"] > tracked, "an event to the new one", seconds=5)
            finally:
                worker.stop()
                thread.join(10)


def wake_ups(pid: int) -> int:
    """How often the threads of a process have been woken since they started."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total += int(line.split()[1])
    return total


class Opened(FileSystemEventHandler):
    """Counts the files that anybody opens."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note one."""
        self.paths.append(os.fsdecode(event.src_path))


def test_idle_means_idle(tmp_path: Path) -> None:
    """Over 2,000 logs that rest, seconds pass without a wake-up, and neither a start nor the time after opens a log.

    Case 24 of `tests/fault/README.md`.
    """
    if not Path("/proc/self/task").is_dir():
        pytest.skip("NOT TESTED: counts wake-ups in /proc")
    home = Home(tmp_path)
    for number in range(2000):
        directory = home.claude.parent / f"project-{number // 100}"
        directory.mkdir(exist_ok=True)
        (directory / f"{number}.jsonl").write_bytes(LINES[0] + LINES[-1])
    with home.daemon():
        until(lambda: home.source()["tracked"] == 2000 and home.status()["backlog"] == 0, "2,000 logs", seconds=30)
    opened, observer = Opened(), Observer()
    observer.schedule(opened, str(home.claude.parent), recursive=True, event_filter=[FileOpenedEvent])
    observer.start()
    try:
        (home.claude / NAME).touch()
        (home.claude / NAME).read_bytes()
        until(lambda: opened.paths, "proof that reading would be seen")
        (home.claude / NAME).unlink()
        time.sleep(0.3)  # both may be one event or two, the second a moment later
        opened.paths.clear()
        with home.daemon() as daemon:
            time.sleep(1.5)  # the status file is brought up to date once more
            before = wake_ups(daemon.pid)
            time.sleep(3)
            assert wake_ups(daemon.pid) - before <= 1
        assert opened.paths == []
    finally:
        observer.stop()
        observer.join()

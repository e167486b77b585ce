"""`selfdistill run` as a process: what it reads, what it leaves alone, what it says, and what it leaves behind."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import zstandard

from homes import unsealed
from invented import (
    CLAUDE,
    CODEX,
    FIXTURES,
    LONG_AGO,
    SAMPLE,
    START,
    Claude,
    distil,
    environment_of,
    fill,
    manifest,
    mended,
    parts,
    put,
    repaired,
    rows,
    run,
    state_of,
)
from selfdistill.config import Config
from selfdistill.manifest import Manifest
from selfdistill.model import Lesson, LessonState
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection
from selfdistill.store import Store

MANIFEST_KEYS = {
    *("id", "started_at", "completed_at", "dry_run", "analysis_mode", "sessions_processed", "sessions_skipped"),
    *("sessions_failed", "lessons_generated", "lessons_merged", "log_paths", "lessons", "usage"),
}
ROLES = b'{"role":"user","content":"boil water"}\n{"role":"assistant","content":"It boils."}\n'


def listing(directory: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below a directory with its times, size and mode."""
    found = {}
    for path in (directory, *directory.rglob("*")):
        seen = path.lstat()
        found[str(path)] = (seen.st_mtime_ns, seen.st_size if path.is_file() else 0, seen.st_mode)
    return found


def told(home: Path) -> dict[str, Any]:
    """The status as JSON."""
    found: dict[str, Any] = json.loads(run(home, "status", "--json").stdout)
    return found


class TestNewcomer:
    """Somebody without any logs."""

    def test_the_sample_is_shown_and_nothing_is_left(self, tmp_path: Path) -> None:
        """Without logs the sample's lessons are shown, labelled, and no file or directory is made."""
        before = listing(tmp_path)
        done = run(tmp_path, "run")
        assert (done.returncode, done.stderr) == (0, "")
        assert "sample: nothing was stored" in done.stdout
        assert "pnpm" in done.stdout
        assert listing(tmp_path) == before
        assert run(tmp_path, "lessons", "list", "--all", "--json").stdout.strip() == "[]"

    def test_machines_get_an_empty_manifest(self, tmp_path: Path) -> None:
        """With --json the manifest is that of nothing: sample lessons are for people."""
        before = listing(tmp_path)
        made = manifest(tmp_path)
        assert (made["sessions_processed"], made["lessons"], made["dry_run"]) == (0, [], True)
        assert listing(tmp_path) == before

    def test_empty_roots_are_no_logs(self, tmp_path: Path) -> None:
        """Agents that were installed and never used are as good as none."""
        (tmp_path / CLAUDE).mkdir(parents=True)
        (tmp_path / CODEX).mkdir(parents=True)
        before = listing(tmp_path)
        assert "sample: nothing was stored" in run(tmp_path, "run").stdout
        assert listing(tmp_path) == before


class TestManifest:
    """What a run says of itself."""

    def test_keys_are_the_contract(self, tmp_path: Path) -> None:
        """The manifest has exactly the fields of the design, also those inside lessons and usage."""
        repaired("1").write(tmp_path)
        made = manifest(tmp_path)
        assert set(made) == MANIFEST_KEYS == set(Manifest.__struct_fields__)
        assert set(made["lessons"][0]) == {"signal", "trigger", "action", "confidence"}
        assert set(made["lessons"][0]["trigger"]) == {"condition", "type"}
        assert set(made["lessons"][0]["action"]) == {"type", "description"}
        assert made["usage"] == {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.0}
        assert (made["analysis_mode"], made["dry_run"], made["sessions_processed"]) == ("heuristic", False, 1)
        assert made["started_at"] <= made["completed_at"]
        assert made["completed_at"].endswith("Z")
        assert made["log_paths"] == [str(tmp_path / CLAUDE / f"{repaired('1').session}.jsonl")]

    def test_status_remembers_the_last_run(self, tmp_path: Path) -> None:
        """The status file names the last run, its figures and the totals, and says that no daemon runs."""
        repaired("1").write(tmp_path)
        made = manifest(tmp_path)
        status = tomllib.loads((state_of(tmp_path) / "status.toml").read_text())
        assert (status["state"], status["last_run_id"], status["total_runs"]) == ("stopped", made["id"], 1)
        assert (status["last_sessions_processed"], status["last_lessons_generated"]) == (1, 1)
        assert (status["total_lessons"], status["total_sessions"], status["last_analysis_mode"]) == (1, 1, "heuristic")
        assert run(tmp_path, "status").returncode == 3

    def test_model_without_a_key_is_said(self, tmp_path: Path) -> None:
        """--model without a key says on stderr why nobody is asked, and the manifest says what really ran."""
        repaired("1").write(tmp_path)
        done = run(tmp_path, "run", "--json", "--model", "claude-haiku")
        assert done.returncode == 0
        assert "no model is asked. There is no key" in done.stderr
        assert json.loads(done.stdout)["analysis_mode"] == "heuristic"

    def test_file_names_of_any_bytes(self, tmp_path: Path) -> None:
        """A log whose name is no UTF-8 is distilled, and shown with escapes (case 32)."""
        path = repaired("1").write(tmp_path)
        path.rename(os.fsdecode(os.fsencode(path.parent) + b"/\xff\xfe\x1b[31m.jsonl"))
        made = manifest(tmp_path)
        assert made["lessons_generated"] == 1
        assert made["log_paths"][0].endswith("\\xff\\xfe\\x1b[31m.jsonl")


class TestDryRun:
    """A dry run writes nothing anywhere."""

    def test_without_a_store(self, tmp_path: Path) -> None:
        """It learns the same as a real run and leaves every name and time as it was."""
        logs = fill(tmp_path)
        before = listing(tmp_path)
        made = manifest(tmp_path, "--dry-run", "--limit", "0")
        assert listing(tmp_path) == before
        real = manifest(tmp_path, "--limit", "0")
        same = MANIFEST_KEYS - {"id", "started_at", "completed_at", "dry_run"}
        assert {key: made[key] for key in same} == {key: real[key] for key in same}
        assert (made["dry_run"], real["dry_run"], len(logs) > 20) == (True, False, True)

    def test_with_a_store(self, tmp_path: Path) -> None:
        """Beside an existing store it says what would be new, also with --again and a named path."""
        repaired("1").write(tmp_path)
        manifest(tmp_path)
        path = mended("2").write(tmp_path)
        before = listing(tmp_path)
        assert manifest(tmp_path, "--dry-run")["lessons_generated"] == 1
        assert manifest(tmp_path, "--dry-run", "--again")["sessions_processed"] == 2
        assert manifest(tmp_path, "--dry-run", path)["sessions_processed"] == 1
        assert "nothing was written" in run(tmp_path, "run", "--dry-run").stdout
        assert listing(tmp_path) == before
        assert manifest(tmp_path)["lessons_generated"] == 1


class TestChoice:
    """Which sessions a run takes."""

    def test_limit_takes_the_newest(self, tmp_path: Path) -> None:
        """--limit N takes the N newest sessions, says how many are left, and the next runs take those."""
        paths = [repaired(str(number)).write(tmp_path, at=LONG_AGO + number) for number in range(5)]
        done = run(tmp_path, "run", "--limit", "2")
        assert "3 more settled sessions are left" in done.stdout
        taken = tomllib.loads((state_of(tmp_path) / "status.toml").read_text())
        assert (taken["due"], taken["sources"]["claude_code"]["tracked"]) == (3, 2)
        assert manifest(tmp_path, "--limit", "2")["log_paths"] == [str(paths[2]), str(paths[1])]
        assert manifest(tmp_path, "--limit", "0")["log_paths"] == [str(paths[0])]

    def test_default_limit_is_twenty(self, tmp_path: Path) -> None:
        """Without --limit 20 sessions are taken."""
        for number in range(23):
            repaired(str(number)).write(tmp_path, at=LONG_AGO + number)
        assert manifest(tmp_path)["sessions_processed"] == 20
        assert manifest(tmp_path)["sessions_processed"] == 3

    def test_limit_counts_sessions_not_logs(self, tmp_path: Path) -> None:
        """A session's sub-agent log comes with it and does not count."""
        story = repaired("1")
        story.write(tmp_path, at=LONG_AGO + 9)
        lines = b"".join(story.lines).replace(b'"isSidechain": false', b'"isSidechain": true').replace(b'"1-', b'"9-')
        put(tmp_path / CLAUDE / story.session / "subagents" / "agent-a1.jsonl", lines, at=LONG_AGO)
        repaired("2").write(tmp_path, at=LONG_AGO + 1)
        made = manifest(tmp_path, "--limit", "1")
        assert (made["sessions_processed"], len(made["log_paths"])) == (1, 2)

    def test_since(self, tmp_path: Path) -> None:
        """--since takes what changed later: a day, a time, an age; also of what is named."""
        repaired("1").write(tmp_path, at=LONG_AGO)
        late = repaired("2").write(tmp_path, at=time.time() - 7200)
        assert manifest(tmp_path, "--dry-run", "--since", "2001-01-01")["sessions_processed"] == 2
        assert manifest(tmp_path, "--dry-run", "--since", "3h")["log_paths"] == [str(late)]
        assert manifest(tmp_path, "--dry-run", "--since", "1h")["log_paths"] == []
        assert manifest(tmp_path, "--dry-run", "--since", "3h", tmp_path / CLAUDE)["log_paths"] == [str(late)]

    def test_project(self, tmp_path: Path) -> None:
        """--project takes that project's sessions alone; the limit counts those, however many others are newer."""
        for number in range(5):
            repaired(str(number), cwd="/home/mara/other").write(tmp_path, at=LONG_AGO + 100 + number)
        ours = [repaired(f"{number}a").write(tmp_path, at=LONG_AGO + number) for number in range(3)]
        made = manifest(tmp_path, "--project", "/home/mara/kettle", "--limit", "2")
        assert made["log_paths"] == [str(ours[2]), str(ours[1])]
        assert manifest(tmp_path, "--project", "/home/mara/kettle")["log_paths"] == [str(ours[0])]
        assert manifest(tmp_path, "--project", "/home/mara/kettle")["sessions_processed"] == 0
        assert manifest(tmp_path)["sessions_processed"] == 5

    def test_again(self, tmp_path: Path) -> None:
        """--again reads what was read, adds nothing, and doubles nothing."""
        fill(tmp_path)
        first = manifest(tmp_path, "--limit", "0")
        before, records = rows(state_of(tmp_path)), told(tmp_path)["sources"]["claude_code"]["records_total"]
        again = manifest(tmp_path, "--again", "--limit", "0")
        assert again["sessions_processed"] == first["sessions_processed"] > 10
        assert again["lessons_generated"] == 0
        assert rows(state_of(tmp_path)) == before
        assert told(tmp_path)["sources"]["claude_code"]["records_total"] == records

    def test_log_that_never_rests_is_taken_in_the_end(self, tmp_path: Path) -> None:
        """A log that is written to all the time is distilled half an hour after its first new byte."""
        story, state = repaired("1"), tmp_path / "state"
        now = time.time()

        def passed(minutes: float) -> int:
            story.write(tmp_path, at=now + minutes * 60 - 5)
            assembly = parts(tmp_path, state, Config(), lambda: now + minutes * 60)
            with assembly.store:
                return one_pass(assembly, Selection()).manifest.sessions_processed

        assert passed(0) == 0
        story.say("And now PR 13.")
        assert passed(20) == 0
        story.sh("gh pr diff 13 --name-only")
        assert passed(31) == 1


class TestPaths:
    """Logs that are named."""

    def test_unsettled_log_by_name(self, tmp_path: Path) -> None:
        """A log that has not settled is left for later, unless it is named; named twice it is not read twice."""
        story = repaired("1")
        story.ask("Bash", {"command": "sleep 9"})
        path = story.write(tmp_path, at=time.time())
        assert manifest(tmp_path)["sessions_skipped"] == {"unsettled": 1}
        assert manifest(tmp_path, path)["lessons_generated"] == 1
        assert manifest(tmp_path, path)["sessions_processed"] == 0

    def test_directory(self, tmp_path: Path) -> None:
        """A directory stands for every log below it; what is none is counted and stops nothing."""
        place = tmp_path / "elsewhere"
        put(place / "deep" / "session.jsonl", b"".join(repaired("1").lines))
        put(place / "nonsense.jsonl", b"\x00\x01\x02 nothing\n" * 9)
        put(place / "damaged.jsonl.zst", b"no frame at all")
        put(place / "notes.txt", b"hello")
        (place / "link.jsonl").symlink_to(place / "deep" / "session.jsonl")
        made = manifest(tmp_path, place)
        assert (made["sessions_processed"], made["lessons_generated"]) == (1, 1)
        assert made["sessions_skipped"] == {"no_conversation": 1, "not_regular": 1, "unreadable": 1}
        assert made["sessions_failed"] == 2

    @pytest.mark.parametrize("compressed", [False, True])
    def test_codex_log_anywhere(self, tmp_path: Path, compressed: bool) -> None:
        """A rollout outside of its place is read, compressed or not."""
        data = next((SAMPLE / "codex").glob("*.jsonl")).read_bytes()
        name = "rollout-2026-11-14T09-00-00-x.jsonl"
        path = tmp_path / (name + ".zst" if compressed else name)
        put(path, zstandard.ZstdCompressor().compress(data) if compressed else data)
        made = manifest(tmp_path, path)
        assert (made["sessions_processed"], made["lessons_generated"]) == (1, 2)

    def test_role_content_file(self, tmp_path: Path) -> None:
        """A file of {role, content} lines is read whatever its name, and its last line needs no newline."""
        path = put(tmp_path / "chat.jsonl", ROLES.rstrip(b"\n"))
        assert manifest(tmp_path, path)["sessions_processed"] == 1
        assert told(tmp_path)["sources"]["role_content"]["records_total"] == 2

    @pytest.mark.parametrize("kind", ["absent", "nonsense", "link", "fifo"])
    def test_what_is_no_log(self, tmp_path: Path, kind: str) -> None:
        """A named path that cannot be a log exits 64 and says what is wrong and what to do."""
        path = tmp_path / "odd.jsonl"
        if kind == "nonsense":
            path.write_bytes(b"\x00\x01\x02 nothing\n")
        elif kind == "link":
            path.symlink_to(put(tmp_path / "real.jsonl", ROLES))
        elif kind == "fifo":
            os.mkfifo(path)
        done = run(tmp_path, "run", path)
        assert (done.returncode, done.stdout) == (64, "")
        assert str(path) in done.stderr
        assert len(done.stderr.splitlines()) == 2


class TestUsage:
    """Wrong words and broken files."""

    @pytest.mark.parametrize(
        "words",
        [["--limit", "x"], ["--limit", "-1"], ["--since", "tomorrow"], ["--since", "9y"], ["--lim", "3"], ["--frob"]],
    )
    def test_usage_errors_are_64(self, tmp_path: Path, words: list[str]) -> None:
        """Arguments that make no sense exit 64 and do nothing."""
        repaired("1").write(tmp_path)
        before = listing(tmp_path)
        done = run(tmp_path, "run", *words)
        assert (done.returncode, done.stdout) == (64, "")
        assert done.stderr
        assert listing(tmp_path) == before

    def test_broken_config_is_78(self, tmp_path: Path) -> None:
        """A configuration that cannot be used exits 78, names file and key, and nothing is read."""
        put(tmp_path / ".config/selfdistill/config.toml", b"[settling]\nsettle_secs = 3\n").chmod(0o600)
        done = run(tmp_path, "run")
        assert done.returncode == 78
        assert "settle_secs" in done.stderr
        assert "settle_seconds" in done.stderr
        assert not state_of(tmp_path).exists()

    def test_state_directory_that_cannot_be(self, tmp_path: Path) -> None:
        """A state directory that is a file exits 73 with advice."""
        repaired("1").write(tmp_path)
        put(state_of(tmp_path), b"")
        done = run(tmp_path, "run")
        assert (done.returncode, len(done.stderr.splitlines())) == (73, 2)


class TestNeighbours:
    """Others at work."""

    def test_beside_a_daemon(self, tmp_path: Path) -> None:
        """While a daemon holds the lock, `run` works and leaves the status file alone."""
        repaired("1").write(tmp_path)
        manifest(tmp_path)
        mended("2").write(tmp_path)
        status = state_of(tmp_path) / "status.toml"
        before = (status.read_bytes(), status.stat().st_mtime_ns)
        with (state_of(tmp_path) / "daemon.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert manifest(tmp_path)["lessons_generated"] == 1
            assert (status.read_bytes(), status.stat().st_mtime_ns) == before
        assert manifest(tmp_path)["lessons_generated"] == 0
        assert status.read_bytes() != before[0]

    @pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="NOT ROOT: permissions are not tested")
    def test_unreadable_logs_stop_nobody(self, open_to_all: Path) -> None:
        """A log that may not be read is counted once, in each run, and the others are distilled."""
        home = open_to_all / "home"
        repaired("1").write(home)
        mended("2").write(home).chmod(0)
        for path in (home, *home.rglob("*")):
            os.chown(path, 65534, 65534)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *START, "run", "--json"]
        for processed in (1, 0):
            done = subprocess.run(
                command, env=environment_of(home), capture_output=True, text=True, check=False, cwd=home
            )
            assert done.returncode == 0, done.stderr
            made = json.loads(done.stdout)
            assert (made["sessions_processed"], made["sessions_skipped"]) == (processed, {"unreadable": 1})


class TestLedger:
    """Whatever is not distilled is counted with its reason, by the run and in the status."""

    @pytest.mark.parametrize(
        "reason",
        ["empty", "machine_run", "acompact", "excluded", "unsettled", "unreadable", "not_regular", "no_conversation"],
    )
    def test_every_reason(self, tmp_path: Path, reason: str) -> None:
        """Each kind of log that is left alone shows up in the manifest and in `status --json`, and stops nobody."""
        repaired("1").write(tmp_path)
        odd = tmp_path / CLAUDE / "odd.jsonl"
        guardian = (FIXTURES / "codex" / "guardian.jsonl").read_bytes()
        config = put(
            tmp_path / ".config/selfdistill/config.toml", b'[sources.claude_code]\nexclude = ["*/odd.jsonl"]\n'
        )
        config.chmod(0o600)
        if reason != "excluded":
            config.unlink()
        if reason == "empty":
            put(odd, b"")
        elif reason == "machine_run":
            put(tmp_path / CODEX / "rollout-2026-11-14T09-00-00-g.jsonl", guardian)
        elif reason == "acompact":
            put(odd.parent / "s" / "subagents" / "agent-acompact-1.jsonl", b"".join(mended("2").lines))
        elif reason == "excluded":
            mended("2").write(tmp_path, "odd")
        elif reason == "unsettled":
            mended("2").write(tmp_path, at=time.time())
        elif reason == "unreadable":
            put(tmp_path / CODEX / "rollout-2026-11-14T09-00-00-z.jsonl.zst", b"no frame at all")
        elif reason == "not_regular":
            odd.symlink_to(put(tmp_path / "elsewhere.jsonl", b"".join(mended("2").lines)))
        else:
            put(odd, b'{"type":"file-history-snapshot","messageId":"m","snapshot":{}}\n')
        word = {"acompact": "machine_run"}.get(reason, reason)
        made = manifest(tmp_path)
        assert made["sessions_skipped"] == {word: 1}
        assert made["lessons_generated"] == 1
        skipped = [source["skipped"] for source in told(tmp_path)["sources"].values()]
        assert {word: 1} in skipped
        manifest(tmp_path)
        skipped = [source["skipped"] for source in told(tmp_path)["sources"].values()]
        assert {word: 1} in skipped, "it stays in the ledger"

    def test_grown_log_without_conversation_stays_in_the_ledger(self, tmp_path: Path) -> None:
        """A log in which no conversation has begun counts as such however often it grows, and no longer when it has."""
        snapshot = b'{"type":"file-history-snapshot","messageId":"m","snapshot":{}}\n'
        path = tmp_path / CLAUDE / "odd.jsonl"
        for times in (1, 2):
            put(path, snapshot * times, at=LONG_AGO + times)
            assert manifest(tmp_path)["sessions_skipped"] == {"no_conversation": 1}
        put(path, snapshot * 2 + b"".join(repaired("1").lines), at=LONG_AGO + 9)
        made = manifest(tmp_path)
        assert (made["sessions_skipped"], made["lessons_generated"]) == ({}, 1)
        assert told(tmp_path)["sources"]["claude_code"]["skipped"] == {}

    def test_silence_is_an_alarm(self, tmp_path: Path) -> None:
        """An agent of whose logs none teaches anything is named in the alarms; one whose logs only wait is not."""
        guardian = (FIXTURES / "codex" / "guardian.jsonl").read_bytes()
        put(tmp_path / CODEX / "rollout-2026-11-14T09-00-00-g.jsonl", guardian)
        repaired("1").write(tmp_path, at=time.time())
        manifest(tmp_path)
        (alarm,) = told(tmp_path)["alarms"]
        assert "codex" in alarm
        assert "1 machine_run" in alarm


@pytest.mark.parametrize("column", ["parser_state", "carry"])
def test_log_that_breaks_us_stops_nobody(tmp_path: Path, column: str) -> None:
    """A log whose stored state is broken fails by itself, is quarantined after three tries, and can be read anew."""
    story, state, now = repaired("1"), tmp_path / "state", time.time()
    path = story.write(tmp_path)
    distil(tmp_path, state)
    unsealed(state)
    with sqlite3.connect(state / "lessons.db") as database:
        database.execute(f"UPDATE cursors SET {column} = x'c1'")  # noqa: S608 - a constant
    database.close()
    story.say("And PR 13?").answer("One file.").write(tmp_path)
    mended("2").write(tmp_path)
    made = []
    for minutes in (0, 2, 4, 6):
        assembly = parts(tmp_path, state, clock=lambda minutes=minutes: now + 60 * minutes)  # type: ignore[misc]
        with assembly.store:
            made.append(one_pass(assembly, Selection()))
    assert [one.manifest.sessions_processed for one in made] == [1, 0, 0, 0]
    assert [list(one.failed) for one in made] == [[str(path)]] * 3 + [[]]
    assert [one.manifest.sessions_skipped.get("quarantined", 0) for one in made] == [0, 0, 1, 1]
    healed = distil(tmp_path, state, Selection(again=True, paths=(path,)))[0]
    assert (healed.manifest.sessions_processed, healed.failed) == (1, {})
    assert healed.manifest.sessions_skipped.get("quarantined", 0) == 0


def test_log_of_garbage_stops_nobody(tmp_path: Path) -> None:
    """Lines of garbage of any kind around records are counted, and what is between them is distilled."""
    story = repaired("1")
    odd = [
        b"\x00" * 99,
        b"[1,2]",
        b"{}",
        b'{"type":',
        b"[" * 9000,
        b'{"type":"user","message":7,"timestamp":1e999}',
        b"\xff",
    ]
    lines = [part for line in story.lines for part in (*(piece + b"\n" for piece in odd), line)]
    put(tmp_path / CLAUDE / f"{story.session}.jsonl", b"".join(lines))
    mended("2").write(tmp_path)
    made = manifest(tmp_path)
    assert (made["sessions_processed"], made["lessons_generated"], made["sessions_failed"]) == (2, 2, 0)
    assert told(tmp_path)["sources"]["claude_code"]["undecodable"] > 5


def only_lesson(state: Path) -> Lesson:
    """The one lesson in a store."""
    store = Store.open_read_only(state / "lessons.db")
    assert store is not None
    with store:
        (lesson,) = store.lessons(None, state=None, everywhere=True)
        return lesson


def test_passes_of_one_process(tmp_path: Path) -> None:
    """Several passes go on from each other: a lesson that only knew of the failure gives way to its cure."""
    story = Claude("1").say("Show me PR 12.").sh("gh pr diff 12 --stat", "unknown flag: --stat", error=True)
    story.write(tmp_path)
    first = distil(tmp_path, tmp_path / "state")[0].manifest
    known = only_lesson(tmp_path / "state")
    assert (first.lessons_generated, known.state) == (1, LessonState.PENDING)
    assert "--name-only" not in known.action.description
    story.sh("gh pr diff 12 --name-only", "web/timer.ts").write(tmp_path)
    second = distil(tmp_path, tmp_path / "state")[0].manifest
    cured = only_lesson(tmp_path / "state")
    assert (second.lessons_generated, cured.state) == (1, LessonState.ACTIVE)
    assert "--name-only" in cured.action.description


def test_a_nearly_full_disk_is_said_and_nothing_is_begun(tmp_path: Path) -> None:
    """Below `min_free_mib` a run distills nothing, says why and what to do, and leaves everything pending."""
    home = tmp_path / "home"
    (home / ".config" / "selfdistill").mkdir(parents=True)
    (home / ".config" / "selfdistill" / "config.toml").write_text("[limits]\nmin_free_mib = 1e12\n")
    (home / ".config" / "selfdistill" / "config.toml").chmod(0o600)
    repaired("s1").write(home)
    done = run(home, "run")
    assert done.returncode == 70
    assert "MiB are free" in done.stderr
    assert "min_free_mib" in done.stderr


def test_one_directory_under_two_names_is_read_once(tmp_path: Path) -> None:
    """`~/.config/claude` may be a link to `~/.claude`: its logs are one set, not two."""
    home = tmp_path / "home"
    repaired("s1").write(home)
    (home / ".config").mkdir()
    (home / ".config" / "claude").symlink_to(home / ".claude")
    run(home, "run")
    assert told(home)["sources"]["claude_code"]["logs_seen"] == 1

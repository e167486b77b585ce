"""Deliberate breaks of our own code, each with the tests that must notice it."""

from __future__ import annotations

from typing import Final, NamedTuple

DAEMON: Final = "tests/integration/test_daemon.py"
LIFECYCLE: Final = "tests/integration/test_lifecycle.py"
CRASHES: Final = "tests/fault/test_crashes.py"
FILES: Final = "tests/fault/test_file_faults.py"
GUARDED: Final = "tests/fault/test_guarded.py"
POISON: Final = "tests/fault/test_poison.py"
STORE: Final = "tests/fault/test_store_faults.py"
WATCHING: Final = "tests/fault/test_watching_faults.py"


class Mutant(NamedTuple):
    """One break: in which file of the package which text becomes which, and what is to fail then."""

    name: str
    file: str
    text: str
    becomes: str
    tests: tuple[str, ...]


MUTANTS: Final = (
    Mutant(
        "drop the pass over directories",
        "service/worker.py",
        "self._take_in(survey.directory_pass())",
        "survey.directory_pass()",
        (f"{DAEMON}::TestSameLessons::test_without_events",),
    ),
    Mutant(
        "drop the hash of the tail",
        "ingest/identity.py",
        "if stored is None or stored == seen:",
        "if stored is None or (stored.head, stored.tail_length) == (seen.head, seen.tail_length):",
        (f"{FILES}::TestRewritten::test_case_26_truncated_and_regrown",),
    ),
    Mutant(
        "drop the hash of the head",
        "ingest/identity.py",
        "if stored is None or stored == seen:",
        "if stored is None or seen.tail_length == stored.tail_length:",
        (f"{FILES}::TestRewritten",),
    ),
    Mutant(
        "commit cursors apart from lessons",
        "store/commits.py",
        """        written: list[bool] = []
        with self._database.transaction():
            touched = _Touched()
            for work in works:
                try:
                    self._write(work, touched)
                except CursorMoved:
                    written.append(False)
                else:
                    written.append(True)
""",
        """        written: list[bool] = []
        touched = _Touched()
        for work in works:
            try:
                self._write(work, touched)
            except CursorMoved:
                written.append(False)
            else:
                written.append(True)
        with self._database.transaction():
""",
        ("tests/fault/test_kills.py::test_case_02_kill_at_every_writing_call[12]",),
    ),
    Mutant(
        "commit the cursor before the findings",
        "store/commits.py",
        "        with self._database.transaction():\n            log = self._log(work)\n",
        "        log = self._log(work)\n"
        "        save_cursor(self._database, work.log_id, work.distiller, work.after, self._clock())\n"
        "        if self._database.in_transaction:\n"
        '            self._database.run("COMMIT")\n'
        '            self._database.run("BEGIN IMMEDIATE")\n'
        "        with self._database.transaction():\n",
        ("tests/fault/test_kills.py::test_case_02_kill_at_every_writing_call[12]",),
    ),
    Mutant(
        "forget O_NOFOLLOW",
        "ingest/reading.py",
        "os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK",
        "os.O_RDONLY | os.O_NONBLOCK",
        ("tests/integration/test_ingest_reading.py::test_only_regular_files_are_opened",),
    ),
    Mutant(
        "open what is no regular file",
        "ingest/reading.py",
        "if not stat.S_ISREG(result.st_mode):",
        "if stat.S_ISDIR(result.st_mode):",
        ("tests/integration/test_ingest_reading.py::test_only_regular_files_are_opened",),
    ),
    Mutant(
        "count copies of a record as others",
        "store/findings.py",
        "identity = _encode((distiller, finding.rule, project.key, finding.merge_key, uids))",
        "identity = _encode((distiller, finding.rule, project.key, finding.merge_key, uids, id(finding)))",
        (f"{FILES}::TestRewritten::test_case_30_two_logs_with_one_beginning", "tests/property/test_store_order.py"),
    ),
    Mutant(
        "let the SDK try again by itself",
        "distill/llm/client.py",
        "max_retries=0",
        "max_retries=2",
        # 500 alone: for others the SDK would sleep as long as the service asks, an hour at most.
        ("tests/integration/test_llm_client.py::test_every_misbehaviour_has_its_kind", "-k", "500"),
    ),
    Mutant(
        "rename the status before it is synced",
        "service/status.py",
        "        os.fsync(descriptor)\n\n\ndef _sync_directory",
        "\n\ndef _sync_directory",
        (f"{STORE}::test_case_52_status_is_synced_before_it_is_renamed",),
    ),
    Mutant(
        "write the status in place",
        "service/status.py",
        "        temporary.replace(path)\n",
        "        path.write_bytes(temporary.read_bytes())\n        temporary.unlink()\n",
        ("tests/integration/test_status_command.py::test_no_read_is_ever_torn",),
    ),
    Mutant(
        "skip the lock",
        "service/lifecycle.py",
        "        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "        pass\n",
        (f"{CRASHES}::test_case_09_fifty_daemons_at_once",),
    ),
    Mutant(
        "trust the lock file's path",
        "service/lifecycle.py",
        "    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)",
        "    return True",
        (f"{CRASHES}::test_case_10_lock_file_unlinked", f"{STORE}::TestStateDirectory"),
    ),
    Mutant(
        "believe a stale lock's pid",
        "service/lifecycle.py",
        "        if not _lock_now(descriptor, self.path) or",
        "        if self.path.read_text() or not _lock_now(descriptor, self.path) or",
        (f"{CRASHES}::test_case_11_stale_lock_of_a_living_stranger",),
    ),
    Mutant(
        "keep a second stop signal waiting",
        "service/lifecycle.py",
        "        signal.signal(signal.SIGTERM, signal.SIG_DFL)\n        signal.signal(signal.SIGINT, signal.SIG_DFL)\n",
        "",
        (f"{LIFECYCLE}::test_second_stop_signal_ends_at_once",),
    ),
    Mutant(
        "take a frozen log for a quiet one",
        "service/worker.py",
        "self._one_run(self._still_quiet(few), ahead)",
        "self._one_run(few, ahead)",
        (f"{CRASHES}::test_case_07_stopped_and_continued",),
    ),
    Mutant(
        "never test the watcher",
        "service/worker.py",
        "        if not self._watcher.send_canary():\n            return\n",
        "        return\n",
        (f"{WATCHING}::test_case_16_dispatcher_dies",),
    ),
    Mutant(
        "overlook the overflow",
        "ingest/hints.py",
        'elif "overflow" in message:',
        'elif "deluge" in message:',
        (f"{WATCHING}::test_case_13_queue_overflow",),
    ),
    Mutant(
        "hide the limit of watches",
        "ingest/watching.py",
        "                self._on_failure(os.fsdecode(path), problem)\n                raise\n",
        "                return WatchDescriptor(-1)\n",
        ("tests/integration/test_ingest_watching.py::test_the_watch_limit_is_told",),
    ),
    Mutant(
        "bury logs after one look",
        "ingest/scanning.py",
        "gone = sorted(missed & self._missed) if root.identity == self._identity else []",
        "gone = sorted(missed)",
        ("tests/integration/test_ingest_scanning.py",),
    ),
    Mutant(
        "end on a full disk",
        "store/database.py",
        '("SQLITE_IOERR_WRITE", StoreFull,',
        '("SQLITE_IOERR_WRITE", StoreError,',
        (f"{STORE}::test_case_46_writes_are_refused",),
    ),
    Mutant(
        "give up where the store is busy at the start",
        "service/daemon.py",
        "        except (StoreFull, StoreBusy) as problem:\n",
        "        except ZeroDivisionError as problem:\n",
        (f"{CRASHES}::TestSigterm::test_case_04_sigterm_at_the_start", f"{STORE}::test_case_45_disk_full_at_the_start"),
    ),
    Mutant(
        "take a torn line for a whole one",
        "sources/base.py",
        "        try:\n            _WHOLE_OBJECT.decode(line)\n",
        "        return True\n        try:\n            _WHOLE_OBJECT.decode(line)\n",
        (f"{FILES}::TestRewritten::test_case_25_torn_in_a_character", f"{DAEMON}::TestSettling"),
    ),
    Mutant(
        "split lines as str.splitlines does",
        "ingest/framing.py",
        '        first, newline, others = chunk.partition(b"\\n")\n',
        '        chunk = chunk.replace(b"\\r", b"\\n")\n        first, newline, others = chunk.partition(b"\\n")\n',
        ("tests/unit/ingest/test_ingest_framing.py",),
    ),
    Mutant(
        "let one odd log end the pass",
        "service/running.py",
        "        except BUGS as error:\n",
        "        except ZeroDivisionError as error:\n",
        ("tests/integration/test_run_command.py::test_log_that_breaks_us_stops_nobody",),
    ),
    Mutant(
        "hand lone surrogates to SQLite",
        "store/part.py",
        '    return text.encode("utf-8", "replace").decode("utf-8")',
        "    return text",
        ("tests/unit/store", f"{FILES}::TestPoison"),
    ),
    Mutant(
        "keep secrets",
        "privacy/redaction.py",
        "            redacted = self._once(text)\n",
        "            redacted = text\n",
        (f"{GUARDED}::test_case_61_no_secret_stays",),
    ),
    Mutant(
        "leave files open to others",
        "service/status.py",
        "descriptor = os.open(path, _TEMPORARY_FLAGS, 0o600)",
        "descriptor = os.open(path, _TEMPORARY_FLAGS, 0o644)",
        (f"{GUARDED}::test_case_61_private_under_any_umask", "tests/unit/service/test_service_status.py"),
    ),
    Mutant(
        "ping while the worker hangs",
        "service/daemon.py",
        "        return STUCK_SECONDS + worker.longest_sleep",
        '        return float("inf") + worker.longest_sleep',
        (f"{GUARDED}::test_case_62_hanging_worker",),
    ),
    Mutant(
        "commit without syncing",
        "store/opening.py",
        '"PRAGMA synchronous = FULL",\n    "PRAGMA foreign_keys = ON"',
        '"PRAGMA synchronous = OFF",\n    "PRAGMA foreign_keys = ON"',
        ("tests/unit/store/test_store_opening.py::test_the_guards_are_on",),
    ),
    Mutant(
        "hear only the signals that the main thread gets",
        "service/lifecycle.py",
        "self._previous_wakeup = signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)",
        "self._previous_wakeup = -1",
        ("tests/unit/service/test_service_lifecycle.py::TestSignals",),
    ),
    Mutant(
        "name a new store before it is on the disk",
        "store/opening.py",
        'for pragma in ("PRAGMA synchronous = FULL", *_SYSTEM_PRAGMAS, "PRAGMA journal_mode = WAL"):',
        'for pragma in ("PRAGMA journal_mode = WAL",):',
        (f"{STORE}::test_new_store_is_synced_before_it_has_its_name",),
    ),
    Mutant(
        "begin transactions that may fail at once",
        "store/database.py",
        '"SAVEPOINT nested" if nested else "BEGIN IMMEDIATE"',
        '"SAVEPOINT nested" if nested else "BEGIN"',
        ("tests/unit/store", "tests/property/test_run_promises.py"),
    ),
    Mutant(
        "read a renamed log anew",
        "service/renaming.py",
        "        return found if found is not None and self._store.rename(found.id, path) else None",
        "        return None",
        (f"{WATCHING}::test_case_21_renamed_under_its_writer", f"{DAEMON}::TestWhatHappensToLogs"),
    ),
    Mutant(
        "measure quiet on the wall clock",
        "service/worker.py",
        "            seen = grown(known, now) if known else first_sight(modified, wall, now)",
        "            seen = first_sight(modified, 0.0, wall)",
        ("tests/fault/test_time_faults.py::test_case_42_wall_clock_jumps", f"{DAEMON}::TestSettling"),
    ),
    Mutant(
        "never note which log is read",
        "service/attempts.py",
        "            os.pwrite(self._descriptor, record, 0)",
        "            pass",
        (f"{POISON}::test_poison_is_set_aside",),
    ),
    Mutant(
        "read a suspect log in the daemon's own process",
        "service/running.py",
        "if log.deaths < SUSPECT_DEATHS and log.id not in self._suspects:",
        "if log.id not in self._suspects:",
        (f"{POISON}::test_poison_is_set_aside",),
    ),
    Mutant(
        "read in our own process what has ended one that read ahead",
        "service/reading_ahead.py",
        "if log.id in self._deadly or (reply and reply.exhausted):",
        "if reply and reply.exhausted:",
        (f"{POISON}::test_poison_in_a_backlog",),
    ),
    Mutant(
        "let a process that hangs outlive its parent",
        "service/reading_process.py",
        "fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC",
        "fcntl.fcntl(lifeline, fcntl.F_GETFL)",
        (f"{POISON}::test_no_process_outlives_its_parent",),
    ),
    Mutant(
        "let a log that ends processes be read again when it grows",
        "service/running.py",
        "not named and 0 < left <= QUARANTINE_SECONDS",
        "named and left > 0",
        (f"{POISON}::test_growth_does_not_lift_it",),
    ),
)

"""The schema, as an ordered tuple of steps; each runs once, together with the record that it ran.

An existing database is backed up before its first new step. The idea of one transaction for a step and its record is
sqlite-utils' (`migrations.py: apply`); a process killed in between simply runs the step again.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from selfdistill.store.cues import cueing
from selfdistill.store.database import translate_system
from selfdistill.store.recall_schema import recall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from selfdistill.store.database import Database


_LOGS: Final = (
    # AUTOINCREMENT: the id of a removed log is never given to another one, so work done for it cannot land there.
    """
    CREATE TABLE logs(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source TEXT NOT NULL,
        directory BLOB NOT NULL,
        name BLOB NOT NULL,
        session_hint TEXT NOT NULL,
        session TEXT NOT NULL DEFAULT '',
        parent_session TEXT NOT NULL DEFAULT '',
        machine_run INTEGER NOT NULL DEFAULT 0,
        dev INTEGER NOT NULL,
        ino INTEGER NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        changed_at REAL NOT NULL,
        pending_since REAL,
        distilled_size INTEGER NOT NULL DEFAULT 0,
        turn TEXT,
        skip TEXT,
        skip_detail TEXT NOT NULL DEFAULT '',
        gone_scans INTEGER NOT NULL DEFAULT 0,
        gone_at REAL,
        records_total INTEGER NOT NULL DEFAULT 0,
        records_known INTEGER NOT NULL DEFAULT 0,
        records_ignored INTEGER NOT NULL DEFAULT 0,
        records_unknown INTEGER NOT NULL DEFAULT 0,
        records_undecodable INTEGER NOT NULL DEFAULT 0,
        unknown_types BLOB,
        outcome TEXT,
        failure_probability REAL,
        UNIQUE(directory, name)
    ) STRICT
    """,
    "CREATE INDEX logs_by_inode ON logs(ino, dev)",
    "CREATE INDEX logs_by_hint ON logs(session_hint, source)",
    "CREATE INDEX logs_pending ON logs(mtime_ns) WHERE pending_since IS NOT NULL",
    """
    CREATE TABLE cursors(
        log_id INTEGER NOT NULL REFERENCES logs(id) ON DELETE CASCADE,
        distiller TEXT NOT NULL,
        version INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        offset INTEGER NOT NULL,
        head_length INTEGER NOT NULL,
        head BLOB NOT NULL,
        tail_length INTEGER NOT NULL,
        tail BLOB NOT NULL,
        parser_state BLOB,
        carry BLOB,
        updated_at REAL NOT NULL,
        PRIMARY KEY(log_id, distiller)
    ) STRICT
    """,
    # Beside the cursors, because a log that never got as far as a cursor can fail too.
    """
    CREATE TABLE failures(
        log_id INTEGER NOT NULL REFERENCES logs(id) ON DELETE CASCADE,
        distiller TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        not_before REAL NOT NULL,
        last_error TEXT NOT NULL,
        PRIMARY KEY(log_id, distiller)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE projects(
        cwd TEXT PRIMARY KEY,
        key TEXT NOT NULL,
        root TEXT NOT NULL,
        remote TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
)

_FINDINGS: Final = (
    """
    CREATE TABLE findings(
        id TEXT PRIMARY KEY,
        distiller TEXT NOT NULL,
        version INTEGER NOT NULL,
        rule TEXT NOT NULL,
        project TEXT NOT NULL,
        remote TEXT NOT NULL,
        merge_key TEXT NOT NULL,
        body BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX findings_by_key ON findings(merge_key, project, remote)",
    # `body` is NULL where this log saw what `findings.body` says; copies that differ keep their own (findings.py).
    """
    CREATE TABLE sightings(
        finding_id TEXT NOT NULL REFERENCES findings(id),
        log_id INTEGER NOT NULL REFERENCES logs(id),
        distiller TEXT NOT NULL,
        version INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        session TEXT NOT NULL,
        provisional INTEGER NOT NULL,
        spans BLOB NOT NULL,
        times BLOB NOT NULL,
        body BLOB,
        PRIMARY KEY(finding_id, log_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX sightings_by_log ON sightings(log_id, distiller, provisional)",
)

_LESSONS: Final = (
    # lessons.py reads whole rows by position: later steps add columns at the end only.
    """
    CREATE TABLE lessons(
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        project TEXT NOT NULL,
        merge_key TEXT NOT NULL,
        signal TEXT NOT NULL,
        condition TEXT NOT NULL,
        trigger_type TEXT NOT NULL,
        action_type TEXT NOT NULL,
        action TEXT NOT NULL,
        rationale TEXT NOT NULL,
        confidence REAL NOT NULL,
        scope TEXT NOT NULL,
        tags TEXT NOT NULL,
        state TEXT NOT NULL,
        support INTEGER NOT NULL,
        distiller TEXT NOT NULL,
        version INTEGER NOT NULL,
        model TEXT NOT NULL,
        first_seen REAL,
        last_seen REAL,
        helped INTEGER NOT NULL DEFAULT 0,
        recurred INTEGER NOT NULL DEFAULT 0,
        created_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        UNIQUE(merge_key, project)
    ) STRICT
    """,
    "CREATE INDEX lessons_by_project ON lessons(project)",
    "CREATE INDEX lessons_global ON lessons(scope) WHERE scope = 'global'",
    # Words are indexed without punctuation and stemmed ("commits" finds "commit"). `-` and `_` are no letters here:
    # search.py asks for each word of a query as a phrase, so `--no-verify` still means "no" next to "verify", and
    # whoever types only "verify" finds it too; as letters they would hide `--stat` from a search for "stat".
    # No triggers: before SQLite 3.44 a trigger may not write a full-text table under trusted_schema=OFF ("unsafe use of
    # virtual table"); deriving.py, the one writer of lessons, keeps the index in step.
    """
    CREATE VIRTUAL TABLE lessons_index USING fts5(
        condition, action, rationale, tags,
        content='lessons', content_rowid='number', tokenize='porter unicode61 remove_diacritics 2'
    )
    """,
    # The lesson's row may go and come back with its findings: a verdict is bound to what the row stands for.
    """
    CREATE TABLE verdicts(
        number INTEGER PRIMARY KEY,
        lesson_id TEXT NOT NULL,
        project TEXT NOT NULL,
        merge_key TEXT NOT NULL,
        kind TEXT NOT NULL,
        at REAL NOT NULL,
        note TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX verdicts_by_key ON verdicts(merge_key, project)",
    # Merge keys whose findings alone make their lessons global.
    "CREATE TABLE shared_keys(merge_key TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
)

_RUNS: Final = (
    """
    CREATE TABLE runs(
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        started_at TEXT NOT NULL,
        completed_at TEXT NOT NULL,
        mode TEXT NOT NULL,
        manifest BLOB NOT NULL
    ) STRICT
    """,
    "CREATE TABLE facts(name TEXT PRIMARY KEY, value REAL NOT NULL) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE migrations(
        version INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        applied_at REAL NOT NULL
    ) STRICT
    """,
)


def first_schema(database: Database) -> None:
    """Every table of the first release."""
    for statement in (*_LOGS, *_FINDINGS, *_LESSONS, *_RUNS):
        database.run(statement)


_RECURRENCE: Final = (
    "ALTER TABLE lessons ADD COLUMN covers TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE lessons ADD COLUMN prefers TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE lessons ADD COLUMN over TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE lessons ADD COLUMN first_session TEXT NOT NULL DEFAULT ''",
    # Every failed call by its causes, whether a rule learned from it or not: lessons count what came again.
    """
    CREATE TABLE mishaps(
        project TEXT NOT NULL,
        cause TEXT NOT NULL,
        uid TEXT NOT NULL,
        log_id INTEGER NOT NULL REFERENCES logs(id) ON DELETE CASCADE,
        distiller TEXT NOT NULL,
        generation INTEGER NOT NULL,
        session TEXT NOT NULL,
        at REAL,
        PRIMARY KEY(project, cause, uid, log_id)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX mishaps_by_log ON mishaps(log_id, distiller, generation)",
    """
    CREATE TABLE covered(
        project TEXT NOT NULL,
        cause TEXT NOT NULL,
        number INTEGER NOT NULL REFERENCES lessons(number) ON DELETE CASCADE,
        PRIMARY KEY(project, cause, number)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX covered_by_lesson ON covered(number)",
)


def recurrence(database: Database) -> None:
    """Failures by cause, and what each lesson covers."""
    for statement in _RECURRENCE:
        database.run(statement)


_SPENDING: Final = (
    # One row for each call to a model, by its request key; its answer is kept until it is applied. While it is in a
    # batch, `question` is what the answer will be judged by, and no other call is made about the log.
    """
    CREATE TABLE calls(
        number INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        session TEXT NOT NULL,
        project TEXT NOT NULL,
        model TEXT NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 1,
        batch TEXT NOT NULL DEFAULT '',
        reserved_at REAL NOT NULL,
        error TEXT NOT NULL DEFAULT '',
        answer BLOB,
        log_id INTEGER NOT NULL DEFAULT 0,
        question BLOB
    ) STRICT
    """,
    "CREATE INDEX calls_by_session ON calls(session)",
    "CREATE INDEX calls_open ON calls(state) WHERE state IN ('sent', 'settled')",
    # One row for each attempt, for a call that failed may have been billed. Money in billionths of a dollar.
    """
    CREATE TABLE charges(
        number INTEGER PRIMARY KEY,
        key TEXT NOT NULL REFERENCES calls(key),
        day TEXT NOT NULL,
        run TEXT NOT NULL,
        settled INTEGER NOT NULL DEFAULT 0,
        input_tokens INTEGER NOT NULL DEFAULT 0,
        output_tokens INTEGER NOT NULL DEFAULT 0,
        cache_write_tokens INTEGER NOT NULL DEFAULT 0,
        cache_read_tokens INTEGER NOT NULL DEFAULT 0,
        reserved INTEGER NOT NULL,
        cost INTEGER,
        unpriced INTEGER NOT NULL,
        at REAL NOT NULL
    ) STRICT
    """,
    "CREATE INDEX charges_by_key ON charges(key)",
    "CREATE INDEX charges_by_day ON charges(day)",
    "CREATE INDEX charges_by_run ON charges(run)",
    "CREATE TABLE memos(name TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID",
)


def spending(database: Database) -> None:
    """Calls to a model, what they cost, and small states that are kept."""
    for statement in _SPENDING:
        database.run(statement)


def owing(database: Database) -> None:
    """Since when a log holds what the heuristics have read and a model has not been shown."""
    database.run("ALTER TABLE logs ADD COLUMN owed_since REAL")


def counting(database: Database) -> None:
    """Sessions in the order in which they are counted, and how far cursors reach.

    Without the first 100,000 logs are sorted in 16 MB of memory, without the second all that cursors carry is read.
    """
    session = "CASE WHEN session <> '' THEN session ELSE session_hint END"
    database.run(f"CREATE INDEX logs_of_session ON logs(source, {session})")
    database.run("CREATE INDEX cursors_reach ON cursors(log_id, offset, updated_at)")


MIGRATIONS: Final[tuple[Callable[[Database], None], ...]] = (
    *(first_schema, recurrence, spending, owing, recall, cueing),
    counting,
)
SCHEMA_VERSION: Final = len(MIGRATIONS)


def schema_version(database: Database) -> int:
    """How many migrations the database has seen (`user_version`)."""
    row = database.row("PRAGMA user_version")
    return int(row[0]) if row else 0


def migrate(
    database: Database,
    clock: Callable[[], float],
    migrations: Sequence[Callable[[Database], None]] = MIGRATIONS,
) -> None:
    """Bring the database to the newest schema; each step commits alone. An existing one is backed up first."""
    version = schema_version(database)
    if 0 < version < len(migrations):
        back_up(database)
    for number in range(version + 1, len(migrations) + 1):
        _apply(database, number, migrations[number - 1], clock)


def _apply(database: Database, number: int, migration: Callable[[Database], None], clock: Callable[[], float]) -> None:
    with database.transaction():
        if schema_version(database) >= number:  # another process did it while we waited for the lock
            return
        migration(database)
        database.run("INSERT INTO migrations VALUES (?, ?, ?)", (number, migration.__name__, clock()))
        database.run(f"PRAGMA user_version = {number:d}")  # pragmas take no parameters; `number` is an int


def back_up(database: Database) -> Path:
    """Write a checked copy of the store to `lessons.bak` beside it (0600); an older one stays until it is there."""
    target = database.path.with_suffix(".bak")
    try:
        handle, name = tempfile.mkstemp(prefix=f"{target.name}.new-", dir=target.parent)
        os.close(handle)
        try:
            database.backup(Path(name))
            os.replace(name, target)  # noqa: PTH105 - beside mkstemp's string
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise translate_system(error, target) from error
    return target

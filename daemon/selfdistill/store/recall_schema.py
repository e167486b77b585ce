"""The tables of recall: what was told when, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from selfdistill.store.database import Database

_DELIVERIES: Final = (
    # A lesson is told once in a session. Not bound to the lesson's row, which may go and come back with its findings.
    """
    CREATE TABLE deliveries(
        number INTEGER PRIMARY KEY,
        lesson_id TEXT NOT NULL,
        session TEXT NOT NULL,
        event TEXT NOT NULL,
        at REAL NOT NULL,
        agent TEXT NOT NULL,
        tool TEXT NOT NULL,
        UNIQUE(session, lesson_id)
    ) STRICT
    """,
    "CREATE INDEX deliveries_by_lesson ON deliveries(lesson_id)",
    # How often each generation of a log went well after a delivery, where the lesson's failure could have come.
    # `owed`: parts of the log were read before the delivery was known, so the whole is to be looked at again.
    """
    CREATE TABLE chances(
        log_id INTEGER NOT NULL REFERENCES logs(id) ON DELETE CASCADE,
        delivery INTEGER NOT NULL REFERENCES deliveries(number) ON DELETE CASCADE,
        distiller TEXT NOT NULL,
        generation INTEGER NOT NULL,
        opportunities INTEGER NOT NULL,
        owed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY(log_id, delivery, distiller, generation)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX chances_by_delivery ON chances(delivery)",
    "CREATE INDEX chances_owed ON chances(log_id) WHERE owed",
    # Lines of the spool that could not be used, each once: what went wrong must be seen.
    "CREATE TABLE spoiled(digest BLOB PRIMARY KEY, why TEXT NOT NULL, at REAL NOT NULL) STRICT, WITHOUT ROWID",
    # Columns 28 and 29 of a lesson's row: why it is archived without a person's word, and in how many sessions its
    # failure came although it had been told there (`helped` counts those where it could have come and did not).
    "ALTER TABLE lessons ADD COLUMN reason TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE lessons ADD COLUMN recurred_told INTEGER NOT NULL DEFAULT 0",
    # When the call was made; `at` is when it had failed. What was told in between came too late for it.
    "ALTER TABLE mishaps ADD COLUMN began REAL",
    "CREATE INDEX mishaps_by_session ON mishaps(session, cause)",
    # The project that a log's session began in, and the session that it counts for: a sub-agent's is its parent's.
    "ALTER TABLE logs ADD COLUMN project TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE logs ADD COLUMN counts_for TEXT NOT NULL DEFAULT ''",
    """
    UPDATE logs SET counts_for = coalesce(
        CASE WHEN machine_run THEN nullif(parent_session, '') END, nullif(session, ''), session_hint
    ), project = coalesce(
        (SELECT project FROM mishaps WHERE log_id = logs.id LIMIT 1),
        (SELECT project FROM sightings JOIN findings ON id = finding_id WHERE log_id = logs.id LIMIT 1),
        ''
    )
    """,
    "CREATE INDEX logs_by_project ON logs(project)",
    "CREATE INDEX logs_by_session ON logs(counts_for)",
)

_OPINIONS: Final = (
    # What a verdict says beside its kind: a person's wording as JSON, or the merge key that a lesson was merged into.
    "ALTER TABLE verdicts ADD COLUMN body TEXT NOT NULL DEFAULT ''",
    # Follows from the verdicts: whose findings count for which other key of the same project.
    """
    CREATE TABLE merged(
        project TEXT NOT NULL,
        merge_key TEXT NOT NULL,
        target TEXT NOT NULL,
        PRIMARY KEY(project, merge_key)
    ) STRICT, WITHOUT ROWID
    """,
    # What agents say of a lesson, one word for each of their sessions; bound to the key, as verdicts are.
    """
    CREATE TABLE feedback(
        project TEXT NOT NULL,
        merge_key TEXT NOT NULL,
        session TEXT NOT NULL,
        helpful INTEGER NOT NULL,
        note TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY(project, merge_key, session)
    ) STRICT, WITHOUT ROWID
    """,
    # Column 30 of a lesson's row: sessions that called it helpful, less those that did not.
    "ALTER TABLE lessons ADD COLUMN feedback INTEGER NOT NULL DEFAULT 0",
)


def recall(database: Database) -> None:
    """Deliveries, and what is counted of them."""
    for statement in (*_DELIVERIES, *_OPINIONS):
        database.run(statement)

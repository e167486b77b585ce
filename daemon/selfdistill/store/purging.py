"""Purging: what was learned from a project, a session or everything goes for good, and is not learned again.

Each purged log gets a new id, so that work about it that is under way anywhere finds no log to land in, and a mark that
says up to when its events count no more. Without its cursor it is read again once it grows, to know who speaks where.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from selfdistill.errors import StoreBusy
from selfdistill.manifest import Manifest
from selfdistill.store.backups import backups_of, seal_of
from selfdistill.store.deriving import Deriving
from selfdistill.store.findings import tidy
from selfdistill.store.opening import UNFINISHED
from selfdistill.store.part import storable
from selfdistill.store.rescue import MEMO

if TYPE_CHECKING:
    from pathlib import Path

    from selfdistill.store.database import Row

_BUSY_MILLISECONDS: Final = 30_000
_MARK: Final = "purged "

_IN_LOGS: Final = "IN (SELECT value FROM json_each(:logs))"
_IN_SESSIONS: Final = "IN (SELECT value FROM json_each(:sessions))"
_LOGS: Final = {
    "everything": "SELECT id FROM logs",
    "session": """
        SELECT id FROM logs WHERE :session IN (session, parent_session, session_hint, counts_for)
        UNION SELECT log_id FROM sightings WHERE session = :session
        UNION SELECT log_id FROM mishaps WHERE session = :session
    """,
    # What an unfinished piece of work keeps with its cursor names the directory, whether anything was found or not.
    "project": """
        SELECT id FROM logs WHERE project = :project
        UNION SELECT log_id FROM sightings JOIN findings ON findings.id = finding_id WHERE project = :project
        UNION SELECT log_id FROM mishaps WHERE project = :project
        UNION SELECT log_id FROM cursors JOIN projects ON key = :project
            AND (instr(parser_state, CAST(cwd AS BLOB)) OR instr(carry, CAST(cwd AS BLOB)))
    """,
}
_SIGHTINGS: Final = {
    "everything": "TRUE",
    "session": f"log_id {_IN_LOGS}",
    "project": "finding_id IN (SELECT id FROM findings WHERE project = :project)",
}
_MISHAPS: Final = {"everything": "TRUE", "session": f"log_id {_IN_LOGS}", "project": "project = :project"}
_CALLS: Final = {
    "everything": "TRUE",
    "session": f"session {_IN_SESSIONS} OR log_id {_IN_LOGS}",
    "project": f"project = :project OR session {_IN_SESSIONS} OR log_id {_IN_LOGS}",
}
_BARE: Final = "(SELECT 1 FROM findings AS f WHERE f.merge_key = {0}.merge_key AND f.project = {0}.project)"
# Verdicts and what follows from them go with the last finding of their key.
_OPINIONS: Final = {
    "everything": "TRUE",
    "session": "(project, merge_key) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]')"  # noqa: S608 - our own words
    " FROM json_each(:keys)) AND NOT EXISTS " + _BARE,
    "project": "project = :project",
}
_RESET: Final = """
    UPDATE logs SET id = :new, session = '', parent_session = '', project = '', counts_for = '', turn = NULL,
        pending_since = NULL, distilled_size = size, owed_since = NULL, skip = NULL, skip_detail = '',
        records_total = 0, records_known = 0, records_ignored = 0, records_unknown = 0, records_undecodable = 0,
        unknown_types = NULL, outcome = NULL, failure_probability = NULL
    WHERE id = :old
"""


class Scope(Struct, frozen=True):
    """What to purge: a project by its key, or a session by its id; everything if neither is named."""

    project: str = ""
    session: str = ""

    @property
    def kind(self) -> str:
        """Which of the three it is."""
        return "project" if self.project else "session" if self.session else "everything"


class Purged(Struct, frozen=True):
    """How much was purged. `calls` lose what they say; what they cost stays counted."""

    logs: int
    findings: int
    lessons: int
    verdicts: int
    calls: int


class Mark(Struct, frozen=True):
    """Up to when (seconds since the epoch), or without a time up to which byte, a log's events were purged."""

    at: float
    offset: int


class _OnlyLooked(Exception):
    """Ends the transaction of a purge that is only tried."""

    def __init__(self, purged: Purged) -> None:
        super().__init__()
        self.purged = purged


class Purging(Deriving):
    """Purging."""

    def purged_until(self, log_id: int) -> Mark | None:
        """Up to where a log was purged; None if it never was."""
        row = self._database.row("SELECT body FROM memos WHERE name = ?", (f"{_MARK}{log_id}",))
        return msgspec.json.decode(row[0], type=Mark) if row else None

    def purge(
        self,
        scope: Scope,
        *,
        forget: bool = False,
        dry_run: bool = False,
        memo_of: Callable[[str, bytes], str] = lambda _distiller, _carry: "",
    ) -> Purged:
        """Remove all that is stored of what `scope` says, also from free pages, journal, backups and damaged stores.

        `forget` leaves no mark either: the same may be learned again. `memo_of` names the memo that belongs to a
        distiller's carry, to be forgotten with it. Raises StoreBusy, with the rows gone but not yet their bytes, if
        somebody keeps reading; purge again then.
        """
        try:
            with self._database.transaction():
                self._database.run("PRAGMA defer_foreign_keys = ON")
                purged = self._purge(scope, forget=forget, memo_of=memo_of)
                if dry_run:
                    raise _OnlyLooked(purged)  # noqa: TRY301 - undoes the transaction
        except _OnlyLooked as looked:
            return looked.purged
        remove_copies(self._database.path)
        self._squeeze()
        return purged

    def _purge(self, scope: Scope, *, forget: bool, memo_of: Callable[[str, bytes], str]) -> Purged:
        named: dict[str, Any] = {"project": storable(scope.project), "session": storable(scope.session)}
        logs = [row[0] for row in self._database.rows(_LOGS[scope.kind], named)]
        named["logs"] = _json(logs)
        named["sessions"] = _json(self._purged_sessions(named) if scope.kind != "everything" else [])
        before = self._kept_counts()
        keys = self._drop_findings(scope, named)
        named["keys"] = _json([list(key) for key in keys])
        verdicts = self._drop_opinions(scope, named)
        calls = self._blank_calls(scope, named)
        self._drop_cursors(named, forget=forget, memo_of=memo_of)
        for log_id in logs:
            self._reset(log_id, forget=forget)
        self._drop_places(scope, named)
        self._clean_history(scope)
        self._database.run("INSERT INTO lessons_index(lessons_index) VALUES ('rebuild')")
        after = self._kept_counts()
        return Purged(len(logs), before[0] - after[0], before[1] - after[1], verdicts, calls)

    def _kept_counts(self) -> Row:
        return self._database.rows("SELECT (SELECT count(*) FROM findings), (SELECT count(*) FROM lessons)")[0]

    def _purged_sessions(self, named: dict[str, Any]) -> list[str]:
        """Every id that the purged logs' sessions go by."""
        rows = self._database.rows(f"SELECT session, session_hint FROM logs WHERE id {_IN_LOGS}", named)  # noqa: S608
        return sorted({one for row in rows for one in row if one} | ({named["session"]} - {""}))

    def _drop_findings(self, scope: Scope, named: dict[str, Any]) -> set[tuple[str, str]]:
        """Sightings, the findings and mishaps that nobody else saw, and their lessons; the keys that were touched."""
        where = _SIGHTINGS[scope.kind]
        found = self._database.rows(
            "SELECT DISTINCT id, project, merge_key FROM sightings JOIN findings ON id = finding_id"  # noqa: S608
            f" WHERE {where}",
            named,
        )
        self._database.run(f"DELETE FROM sightings WHERE {where}", named)  # noqa: S608 - our own words
        for finding_id, _, _ in found:
            tidy(self._database, finding_id)
        mishaps = _MISHAPS[scope.kind]
        troubles = {
            (project, cause)
            for project, cause in self._database.rows(
                f"SELECT DISTINCT project, cause FROM mishaps WHERE {mishaps}",  # noqa: S608 - our own words
                named,
            )
        }
        self._database.run(f"DELETE FROM mishaps WHERE {mishaps}", named)  # noqa: S608 - our own words
        self._database.remembered.clear()
        keys = {(project, merge_key) for _, project, merge_key in found}
        self._derive_all(keys, {merge_key for _, merge_key in keys}, troubles)
        return keys

    def _drop_opinions(self, scope: Scope, named: dict[str, Any]) -> int:
        """Verdicts, merges, feedback and tombstones of what is gone; how many verdicts."""
        dropped = 0
        for table in ("feedback", "merged", "lessons", "verdicts"):
            where = _OPINIONS[scope.kind].format(table)
            only = " AND state = 'rejected'" if table == "lessons" and scope.kind == "session" else ""
            dropped = self._database.run(f"DELETE FROM {table} WHERE {where}{only}", named)  # noqa: S608 - our own words
        self._database.run(f"DELETE FROM feedback WHERE session {_IN_SESSIONS}", named)  # noqa: S608
        self._database.run(
            f"DELETE FROM deliveries WHERE session {_IN_SESSIONS} OR lesson_id NOT IN (SELECT id FROM lessons)",  # noqa: S608
            named,
        )
        self._database.run(f"DELETE FROM chances WHERE log_id {_IN_LOGS}", named)  # noqa: S608
        self._database.run("DELETE FROM spoiled")
        self._database.run("DELETE FROM shared_keys WHERE merge_key NOT IN (SELECT merge_key FROM findings)")
        return dropped

    def _blank_calls(self, scope: Scope, named: dict[str, Any]) -> int:
        """What calls say goes, what they cost stays; under another key no answer that is on its way finds them."""
        rows = self._database.rows(f"SELECT number, key FROM calls WHERE {_CALLS[scope.kind]}", named)  # noqa: S608
        for number, key in rows:
            self._database.run(
                "UPDATE calls SET key = ?, session = '', project = '', error = '', answer = NULL, question = NULL,"
                " log_id = 0, batch = '', state = 'failed' WHERE number = ?",
                (f"{_MARK}{number}", number),
            )
            self._database.run("UPDATE charges SET key = ? WHERE key = ?", (f"{_MARK}{number}", key))
        return len(rows)

    def _drop_cursors(self, named: dict[str, Any], *, forget: bool, memo_of: Callable[[str, bytes], str]) -> None:
        if forget:
            carries = self._database.rows(
                f"SELECT distiller, carry FROM cursors WHERE carry IS NOT NULL AND log_id {_IN_LOGS}",  # noqa: S608
                named,
            )
            for distiller, carry in carries:
                self._database.run("DELETE FROM memos WHERE name = ?", (memo_of(distiller, carry),))
        marks = self._database.rows(
            "SELECT id, max(size, coalesce((SELECT max(offset) FROM cursors WHERE log_id = logs.id), 0))"  # noqa: S608
            f" FROM logs WHERE id {_IN_LOGS}",
            named,
        )
        for log_id, offset in marks:
            mark = Mark(self._clock(), offset)
            self._database.run(
                "INSERT OR REPLACE INTO memos VALUES (?, ?)", (f"{_MARK}{log_id}", msgspec.json.encode(mark))
            )
        for table in ("cursors", "failures"):
            self._database.run(f"DELETE FROM {table} WHERE log_id {_IN_LOGS}", named)  # noqa: S608

    def _reset(self, log_id: int, *, forget: bool) -> None:
        """Give a log a new id and nothing else but its place and its mark; or remove it."""
        used = self._database.row(
            "SELECT 1 FROM sightings WHERE log_id = :id UNION ALL SELECT 1 FROM mishaps WHERE log_id = :id LIMIT 1",
            {"id": log_id},
        )
        imported = self._database.row("SELECT 1 FROM logs WHERE id = ? AND source = 'import'", (log_id,))
        if not used and (forget or imported):
            self._database.run("DELETE FROM logs WHERE id = ?", (log_id,))
            self._database.run("DELETE FROM memos WHERE name = ?", (f"{_MARK}{log_id}",))
            return
        row = self._database.row(
            "SELECT max(seq, (SELECT max(id) FROM logs)) + 1 FROM sqlite_sequence WHERE name = 'logs'"
        )
        new = row[0] if row else log_id
        self._database.run(_RESET, {"old": log_id, "new": new})
        self._database.run("UPDATE sqlite_sequence SET seq = ? WHERE name = 'logs'", (new,))
        for table in ("sightings", "mishaps"):  # of other projects
            self._database.run(f"UPDATE {table} SET log_id = ? WHERE log_id = ?", (new, log_id))  # noqa: S608
        if forget:
            self._database.run("DELETE FROM memos WHERE name = ?", (f"{_MARK}{log_id}",))
            self._database.run("UPDATE logs SET pending_since = changed_at, distilled_size = 0 WHERE id = ?", (new,))
        else:
            self._database.run(
                "UPDATE OR REPLACE memos SET name = ? WHERE name = ?", (f"{_MARK}{new}", f"{_MARK}{log_id}")
            )

    def _drop_places(self, scope: Scope, named: dict[str, Any]) -> None:
        """Working directories whose project is gone."""
        left = (
            "key NOT IN (SELECT project FROM findings UNION SELECT project FROM mishaps UNION SELECT project FROM logs)"
        )
        where = {"everything": "TRUE", "session": left, "project": "key = :project"}[scope.kind]
        self._database.run(f"DELETE FROM projects WHERE {where}", named)  # noqa: S608

    def _clean_history(self, scope: Scope) -> None:
        """Runs: all of them, or the lessons and logs in their manifests that are not there any more."""
        self._database.run("DELETE FROM memos WHERE name = ?", (MEMO,))
        if scope.kind == "everything":
            self._database.run("DELETE FROM runs")
            return
        told = {row[:2] for row in self._database.rows("SELECT condition, action FROM lessons")}
        for number, body in self._database.rows("SELECT number, manifest FROM runs"):
            kept = msgspec.json.decode(body, type=Manifest)
            kept = msgspec.structs.replace(
                kept,
                log_paths=(),
                lessons=tuple(one for one in kept.lessons if (one.trigger.condition, one.action.description) in told),
            )
            self._database.run("UPDATE runs SET manifest = ? WHERE number = ?", (msgspec.json.encode(kept), number))

    def _squeeze(self) -> None:
        """Rewrite the file without its free pages, and empty the journal."""
        self._database.rows(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS:d}")
        for (table,) in self._database.rows("SELECT name FROM sqlite_schema WHERE name GLOB 'sqlite_stat*'"):
            self._database.run(f"DELETE FROM {table}")  # noqa: S608 - samples of indexed values
        self._database.run("VACUUM")
        busy = self._database.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]
        if busy:
            raise StoreBusy(
                f"Somebody keeps reading {self._database.path}: what was purged is gone, but not yet its bytes.",
                "End other selfdistill commands, then purge again.",
            )


def remove_copies(path: Path) -> None:
    """Remove backups and damaged stores: they hold what is to be gone."""
    for backup in backups_of(path):
        backup.unlink(missing_ok=True)
        seal_of(backup).unlink(missing_ok=True)
    for directory in (path.parent / "corrupt", *path.parent.glob(f"{UNFINISHED}*")):
        if directory.exists():
            shutil.rmtree(directory)
    for leftover in (*path.parent.glob(f"{path.name}.new-*"), *path.parent.glob(f"{path.stem}.bak.new-*")):
        leftover.unlink(missing_ok=True)


def _json(values: list[Any]) -> str:
    return msgspec.json.encode(values).decode()

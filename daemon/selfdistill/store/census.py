"""What the catalogue adds up to: the figures of `status`."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct, field

from selfdistill.model import Records
from selfdistill.store.part import Part

_MOST_TYPES: Final = 32  # as many names as model.Records holds

# A tail is what stands behind the cursor of a log that was read since it changed: a last line without an end. Told of
# *.jsonl alone (the bytes): other logs are rendered or decompressed, so that cursors count other bytes than the disk.
# Drift is kept as columns beside the log so that 100,000 logs are summed inside SQLite, in the order in which they lie,
# for one source at a time: by an index it takes five times as long, and grouped by source all are sorted in memory.
_CENSUS: Final = """
    SELECT count(*), sum(gone_at IS NOT NULL),
        sum(EXISTS(SELECT 1 FROM cursors WHERE log_id = logs.id)),
        sum(CASE WHEN pending_since IS NOT NULL THEN max(size - distilled_size, 0) ELSE 0 END),
        min(pending_since),
        sum(
            gone_at IS NULL AND substr(name, -6) = x'2e6a736f6e6c'
            AND EXISTS(SELECT 1 FROM cursors WHERE log_id = logs.id AND offset < size AND updated_at >= changed_at)
        ),
        sum(records_total), sum(records_known), sum(records_ignored), sum(records_unknown), sum(records_undecodable),
        max((SELECT max(updated_at) FROM cursors INDEXED BY cursors_reach WHERE log_id = logs.id))
    FROM logs NOT INDEXED WHERE source = ?
"""

# By itself, for only so the index `logs_of_session` spares the sorting.
_SESSIONS: Final = """
    SELECT source, count(DISTINCT CASE WHEN session <> '' THEN session ELSE session_hint END) FROM logs GROUP BY source
"""

_DISTILLED: Final = """
    SELECT sum(sessions) FROM (
        SELECT count(DISTINCT CASE WHEN session <> '' THEN session ELSE session_hint END) AS sessions
        FROM logs INDEXED BY logs_of_session WHERE EXISTS(SELECT 1 FROM cursors WHERE log_id = logs.id) GROUP BY source
    )
"""

_types = msgspec.json.Decoder(dict[str, int])


class SourceCensus(Struct, frozen=True):
    """One source in figures. Bytes are on disk; times are seconds since the epoch, None where there is none.

    `tracked` logs have a cursor; `bytes_behind` and `oldest_pending_since` are about logs with work to do; `tails` are
    logs whose last line is not whole.
    """

    logs: int = 0
    gone: int = 0
    tracked: int = 0
    sessions: int = 0
    bytes_behind: int = 0
    oldest_pending_since: float | None = None
    tails: int = 0
    records: Records = field(default_factory=Records)
    last_success: float | None = None


class Standing(Struct, frozen=True):
    """How the lessons stand.

    `pending` wait for evidence or a person; of the `active` ones that cover a failure (`covering`) `recurred` saw it
    again in a later session.
    """

    active: int = 0
    pending: int = 0
    covering: int = 0
    recurred: int = 0


class Census(Part):
    """Sums over the catalogue; each is one read."""

    def standing(self) -> Standing:
        """How many lessons there are of each kind."""
        row = self._database.row(
            "SELECT sum(state = 'active'), sum(state = 'pending'), sum(state = 'active' AND covers <> '[]'),"
            " sum(state = 'active' AND covers <> '[]' AND recurred > 0) FROM lessons"
        )
        return Standing(*(count or 0 for count in row)) if row else Standing()

    def ledger(self) -> dict[str, dict[str, int]]:
        """How many logs are skipped, by source and by `model.Skip` word."""
        ledger: dict[str, dict[str, int]] = {}
        sql = (
            "SELECT source, skip, count(*) FROM logs NOT INDEXED WHERE skip IS NOT NULL"
            " GROUP BY source, skip ORDER BY source, skip"
        )
        for source, word, count in self._database.rows(sql):
            ledger.setdefault(source, {})[word] = count
        return ledger

    def census(self) -> dict[str, SourceCensus]:
        """Each source in figures: what was seen, what is tracked, what is behind, what was not understood."""
        types = self._unknown_types()
        found = {}
        for source, sessions in self._database.rows(_SESSIONS):
            (row,) = self._database.rows(_CENSUS, (source,))
            found[source] = SourceCensus(
                logs=row[0],
                gone=row[1],
                tracked=row[2],
                sessions=sessions,
                bytes_behind=row[3],
                oldest_pending_since=row[4],
                tails=row[5],
                records=Records(row[6], row[7], row[8], row[9], row[10], types.get(source, {})),
                last_success=row[11],
            )
        return found

    def sessions(self) -> int:
        """How many sessions were distilled, counted for each source."""
        row = self._database.row(_DISTILLED)
        return int(row[0] or 0) if row else 0

    def _unknown_types(self) -> dict[str, dict[str, int]]:
        """The names of unknown records, the most frequent first, at most 32 for a source."""
        totals: dict[str, dict[str, int]] = {}
        for source, types in self._database.rows(
            "SELECT source, unknown_types FROM logs WHERE unknown_types IS NOT NULL"
        ):
            of_source = totals.setdefault(source, {})
            for name, count in _types.decode(types).items():
                of_source[name] = of_source.get(name, 0) + count
        return {
            source: dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_TYPES])
            for source, counts in totals.items()
        }

"""Deliveries: which lesson was told in which session, and whether its failure then stayed away.

What came of a delivery is a pure function of stored facts: the session's failures (`mishaps`) and, for each log, how
often a call went well after it where the failure could have come (`chances`). So neither the order in which spool and
logs are met nor a second reading of a log can count anything twice.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from selfdistill.store.chances import keys_of
from selfdistill.store.cursors import load_cursor, same_place
from selfdistill.store.deriving import Deriving
from selfdistill.store.lessons import lesson_of
from selfdistill.store.part import storable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from selfdistill.model import Cursor, Lesson

UNKNOWN: Final = "unknown lesson"
DAMAGED: Final = "damaged line"

# A log of the session that was read, in part, after the delivery: calls that it should be judged by are already behind.
_OWE: Final = """
    INSERT INTO chances(log_id, delivery, distiller, generation, opportunities, owed)
    SELECT id, :delivery, distiller, generation, 0, 1 FROM logs JOIN cursors ON log_id = id
    WHERE counts_for = :session AND distiller = :distiller AND offset > 0 AND updated_at >= :at
    ON CONFLICT DO UPDATE SET owed = 1
"""


class Delivery(Struct, frozen=True):
    """A lesson told by a hook: which, in which session, when, and at which event and tool of which agent."""

    lesson: str
    session: str
    at: float  # seconds since the epoch
    event: str = ""
    agent: str = ""
    tool: str = ""


class Absorbed(Struct, frozen=True):
    """What became of a spool file's lines: `known` ones had been absorbed before."""

    new: int = 0
    known: int = 0
    unknown: int = 0
    damaged: int = 0


class ToldLesson(Struct, frozen=True):
    """A delivery as judging needs it; `number` is the delivery's, `at` seconds since the epoch."""

    number: int
    at: float
    lesson: Lesson


class Deliveries(Deriving):
    """Taking deliveries in, and judging them by what a log that was read too early holds."""

    def absorb(self, deliveries: Sequence[Delivery], damaged: Sequence[bytes], distiller: str) -> Absorbed:
        """Take a spool file's lines in, all or nothing; taking the same in again changes nothing.

        `distiller` is the one whose readings judge them. Lines that name no lesson, and damaged ones, are noted once.
        """
        with self._database.transaction():
            spoiled = sum(self._spoil(line, DAMAGED) for line in damaged)
            keys = set()
            new = unknown = 0
            for delivery in deliveries:
                row = self._database.row(
                    "SELECT project, merge_key FROM lessons WHERE id = ?", (storable(delivery.lesson),)
                )
                if row is None:
                    unknown += self._spoil(msgspec.json.encode((delivery.lesson, delivery.session)), UNKNOWN)
                else:
                    new += self._enter(delivery, distiller)
                    keys.add((row[0], row[1]))
            self._derive_all(keys, doubtful=())
        return Absorbed(new, len(deliveries) - new - unknown, unknown, spoiled)

    def told_in(self, session: str) -> list[ToldLesson]:
        """What has been told in a session, of lessons that are still there."""
        rows = self._database.rows(
            "SELECT deliveries.number, deliveries.at, lessons.* FROM deliveries JOIN lessons ON id = lesson_id"
            " WHERE session = ? ORDER BY deliveries.number",
            (storable(session),),
        )
        return [ToldLesson(row[0], row[1], lesson_of(row[2:])) for row in rows]

    def told(self) -> dict[str, list[ToldLesson]]:
        """What `told_in` says, of every session that anything was told in."""
        sessions = self._database.rows("SELECT DISTINCT session FROM deliveries")
        return {session: self.told_in(session) for (session,) in sessions}

    def counted_session_of(self, log_id: int) -> str:
        """The session that a log counted for when it was last distilled."""
        row = self._database.row("SELECT counts_for FROM logs WHERE id = ?", (log_id,))
        return str(row[0]) if row else ""

    def spoiled_lines(self) -> dict[str, int]:
        """How many lines of the spool could not be used, by why."""
        return dict(self._database.rows("SELECT why, count(*) FROM spoiled GROUP BY why ORDER BY why"))

    def looked_back(self, log_id: int, distiller: str, cursor: Cursor | None, counts: Mapping[int, int]) -> bool:
        """Judge a log's owed deliveries by `counts` of all that it holds before `cursor`; whether that still holds.

        None as the cursor: the log cannot be read again, so what it might have told stays unknown. What an earlier
        generation held cannot be read again either.
        """
        with self._database.transaction():
            if cursor is not None and not same_place(load_cursor(self._database, log_id, distiller), cursor):
                return False
            owed = self._database.rows(
                "SELECT delivery, generation, lesson_id FROM chances JOIN deliveries ON number = delivery"
                " WHERE log_id = ? AND distiller = ? AND owed",
                (log_id, distiller),
            )
            for delivery, generation, _ in owed:
                seen = cursor is not None and generation == cursor.generation
                if seen and delivery not in counts:
                    continue  # it came in while the log was read
                self._database.run(
                    "UPDATE chances SET owed = 0, opportunities = CASE WHEN ? THEN ? ELSE opportunities END"
                    " WHERE log_id = ? AND delivery = ? AND distiller = ? AND generation = ?",
                    (seen, counts.get(delivery, 0), log_id, delivery, distiller, generation),
                )
            self._derive_all(keys_of(self._database, {lesson_id for _, _, lesson_id in owed}), doubtful=())
        return True

    def _enter(self, delivery: Delivery, distiller: str) -> bool:
        """Enter one delivery; False if its lesson was told before in that session."""
        told = (storable(delivery.session), storable(delivery.lesson))
        known = self._database.row("SELECT number, at FROM deliveries WHERE session = ? AND lesson_id = ?", told)
        if known is not None and known[1] <= delivery.at:
            return False
        what = tuple(map(storable, (delivery.event, delivery.agent, delivery.tool)))
        # Of two tellings the first counts, in whatever order they are absorbed.
        number = self._database.rows(
            "INSERT INTO deliveries(session, lesson_id, at, event, agent, tool) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET at = excluded.at, event = excluded.event, agent = excluded.agent,"
            " tool = excluded.tool RETURNING number",
            (*told, delivery.at, *what),
        )[0][0]
        about = {"delivery": number, "session": told[0], "distiller": distiller, "at": delivery.at}
        self._database.run(_OWE, about)
        return known is None

    def _spoil(self, line: bytes, why: str) -> int:
        """Note a line that cannot be used; 0 if it has been noted before."""
        digest = blake2b(line, digest_size=16).digest()
        return self._database.run(
            "INSERT INTO spoiled VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (digest, why, self._clock())
        )

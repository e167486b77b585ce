"""What one commit tells of earlier deliveries, and what all commits together say of a lesson."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from selfdistill.store.database import Database
    from selfdistill.store.findings import Key, Place

# A call that was made before the lesson was told could not heed it.
_TALLY: Final = """
    SELECT count(*), coalesce(sum(NOT came AND went_well > 0), 0), coalesce(sum(came), 0) FROM (
        SELECT EXISTS(
            SELECT 1 FROM mishaps JOIN json_each(:covers) ON cause = value
            WHERE mishaps.session = deliveries.session AND coalesce(began, mishaps.at) > deliveries.at
        ) AS came, (
            SELECT coalesce(sum(opportunities), 0) FROM chances WHERE delivery = deliveries.number
        ) AS went_well
        FROM deliveries WHERE lesson_id = :id
    )
"""


class Tally(Struct, frozen=True):
    """Of the sessions that a lesson was told in: all, those that it helped, those whose failure came all the same."""

    told: int = 0
    helped: int = 0
    recurred: int = 0


def tally(database: Database, lesson_id: str, covers: Collection[str]) -> Tally:
    """What came of a lesson's deliveries. Where it covers nothing, nothing can tell."""
    if not database.row("SELECT 1 FROM deliveries WHERE lesson_id = ? LIMIT 1", (lesson_id,)):
        return Tally()
    row = database.row(_TALLY, {"id": lesson_id, "covers": msgspec.json.encode(tuple(covers)).decode()})
    return Tally(*row) if row else Tally()


def forget_chances(database: Database, place: Place) -> None:
    """Delete what one generation of a log told, because it is read anew."""
    database.run(
        "DELETE FROM chances WHERE log_id = ? AND distiller = ? AND generation = ?",
        (place.log_id, place.distiller, place.generation),
    )


def add_chances(database: Database, counts: Mapping[int, int], place: Place) -> set[Key]:
    """Add what a commit saw of the session's deliveries; the lessons that were told there.

    `counts` has each delivery that the reader knew of; one that came in since makes this log owe a look back.
    """
    told = database.rows(
        "SELECT deliveries.number, lesson_id FROM deliveries JOIN lessons ON id = lesson_id WHERE session = ?",
        (place.session,),
    )
    where = (place.log_id, place.distiller, place.generation)
    for delivery, _ in told:
        owed = delivery not in counts
        if owed or counts[delivery]:
            database.run(
                "INSERT INTO chances(log_id, distiller, generation, delivery, opportunities, owed)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " opportunities = opportunities + excluded.opportunities, owed = max(owed, excluded.owed)",
                (*where, delivery, counts.get(delivery, 0), owed),
            )
    return keys_of(database, {lesson_id for _, lesson_id in told})


def keys_of(database: Database, lesson_ids: Iterable[str]) -> set[Key]:
    """Project and merge key of those lessons that are still there."""
    statement = "SELECT project, merge_key FROM lessons WHERE id = ?"
    return {(row[0], row[1]) for one in lesson_ids for row in database.rows(statement, (one,))}

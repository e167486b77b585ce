"""Failures by their causes, and how often each came again after a lesson knew it.

A lesson's `recurred` is a pure function of the stored failures and of the lesson's row, like the lesson itself of its
findings: the number of later sessions in which a failure came that the lesson covers. What copies of a log repeat has
the same uid and counts once, for the first of the sessions by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from selfdistill.store.part import storable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from selfdistill.model import Mishap
    from selfdistill.store.database import Database
    from selfdistill.store.findings import Place, ProjectRef

Trouble = tuple[str, str]  # project, cause

_RECURRED: Final = """
    SELECT count(DISTINCT session) FROM (
        SELECT min(mishaps.session) AS session
        FROM lessons JOIN covered USING(number) JOIN mishaps
            ON mishaps.project = covered.project AND mishaps.cause = covered.cause
        WHERE lessons.number = :number AND mishaps.at > lessons.first_seen
            AND mishaps.session <> lessons.first_session
        GROUP BY mishaps.uid
    )
"""


def forget_mishaps(database: Database, place: Place) -> set[Trouble]:
    """Delete one generation's failures of a log that is read anew; what they were."""
    where = "WHERE log_id = ? AND distiller = ? AND generation = ?"
    parameters = (place.log_id, place.distiller, place.generation)
    rows = database.rows(f"SELECT DISTINCT project, cause FROM mishaps {where}", parameters)  # noqa: S608 - a constant
    if rows:
        database.run(f"DELETE FROM mishaps {where}", parameters)  # noqa: S608 - a constant
    return {(project, cause) for project, cause in rows}


def add_mishaps(database: Database, mishaps: Iterable[tuple[ProjectRef, Mishap]], place: Place) -> set[Trouble]:
    """Store the failures of one commit; what they were. A log that told of one before keeps its earlier row."""
    added = set()
    for project, mishap in mishaps:
        trouble = storable(project.key), storable(mishap.cause)
        where = (place.log_id, place.distiller, place.generation, place.session)
        database.run(
            "INSERT INTO mishaps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*trouble, mishap.uid, *where, mishap.at, mishap.began),
        )
        added.add(trouble)
    return added


def cover(database: Database, number: int, project: str, causes: Collection[str]) -> None:
    """Note what a lesson covers from now on."""
    database.run("DELETE FROM covered WHERE number = ?", (number,))
    for cause in causes:
        database.run("INSERT INTO covered VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (project, cause, number))


def covering(database: Database, troubles: Iterable[Trouble]) -> set[int]:
    """The numbers of the lessons that cover any of these."""
    statement = "SELECT number FROM covered WHERE project = ? AND cause = ?"
    return {number for trouble in troubles for (number,) in database.rows(statement, trouble)}


def count_recurrences(database: Database, numbers: Iterable[int]) -> None:
    """Bring the `recurred` of these lessons up to date."""
    for number in sorted(numbers):
        row = database.row(_RECURRED, {"number": number})
        recurred = row[0] if row else 0
        database.run("UPDATE lessons SET recurred = ?1 WHERE number = ?2 AND recurred <> ?1", (recurred, number))

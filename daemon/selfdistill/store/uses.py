"""What telling has come to: each told lesson against the sessions that did not hear it, and failures week by week."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.store.lessons import lesson_of
from selfdistill.store.part import Part, storable

if TYPE_CHECKING:
    from selfdistill.model import Lesson

WEEK_SECONDS: Final = 7 * 86_400.0

# A session's time is that of its last change: of a finished one that is when it failed, near enough.
_SESSIONS: Final = """
    SELECT counts_for, max(mtime_ns) / 1e9 FROM logs
    WHERE project = ? AND EXISTS (SELECT 1 FROM cursors WHERE log_id = logs.id) GROUP BY counts_for
"""
_FAILED: Final = """
    SELECT DISTINCT session FROM covered JOIN mishaps USING(project, cause) WHERE covered.number = ?
"""
# What copies of a log repeat has the same uid. `again`: the cause had come before in another session; `known`: a lesson
# that covers it had been learned.
_WEEKS: Final = """
    SELECT week, count(DISTINCT uid), count(DISTINCT CASE WHEN again THEN uid END),
        count(DISTINCT CASE WHEN known THEN uid END)
    FROM (
        SELECT CAST((at - :since) / :week AS INTEGER) AS week, uid, EXISTS (
            SELECT 1 FROM mishaps AS earlier
            WHERE earlier.project = mishaps.project AND earlier.cause = mishaps.cause
                AND earlier.at < mishaps.at AND earlier.session <> mishaps.session AND earlier.uid <> mishaps.uid
        ) AS again, EXISTS (
            SELECT 1 FROM covered JOIN lessons USING(number)
            WHERE covered.project = mishaps.project AND covered.cause = mishaps.cause
                AND first_seen < mishaps.at AND first_session <> mishaps.session
        ) AS known
        FROM mishaps WHERE at >= :since AND (:project IS NULL OR project = :project)
    ) GROUP BY week ORDER BY week
"""
_TELLING: Final = """
    SELECT coalesce(sum((SELECT count(*) FROM deliveries WHERE lesson_id = id)), 0), coalesce(sum(helped), 0),
        coalesce(sum(recurred_told), 0), coalesce(sum(reason <> ''), 0)
    FROM lessons WHERE id IN (SELECT lesson_id FROM deliveries) AND (:project IS NULL OR project = :project)
"""


class Use(Struct, frozen=True):
    """A lesson that was told in `told` sessions of any project.

    Of the other sessions of its own project, each (in which its failure came, all): `before` it was learned, and
    `untold` ones later; the session that showed it first is in neither.
    """

    lesson: Lesson
    told: int
    before: tuple[int, int]
    untold: tuple[int, int]


class Week(Struct, frozen=True):
    """The failures of seven days from `start` (seconds since the epoch): all, repeated ones, those a lesson covered."""

    start: float
    failures: int = 0
    again: int = 0
    known: int = 0


class Telling(Struct, frozen=True):
    """All deliveries: how many, and in how many of those sessions the lesson helped or its failure came all the same.

    `ignored` lessons are archived for that; of the rest of the deliveries nothing can be told, or not yet.
    """

    deliveries: int = 0
    helped: int = 0
    recurred: int = 0
    ignored: int = 0


class Uses(Part):
    """What telling has come to."""

    def telling(self, project: str | None = None) -> Telling:
        """The sums over all deliveries of one project's lessons, or of all."""
        row = self._database.row(_TELLING, {"project": project and storable(project)})
        return Telling(*row) if row else Telling()

    def uses(self, project: str | None = None) -> list[Use]:
        """Every lesson that was told, of one project or of all; the one told most often first."""
        told: dict[str, set[str]] = {}
        for lesson_id, session in self._database.rows("SELECT lesson_id, session FROM deliveries"):
            told.setdefault(lesson_id, set()).add(session)
        sessions: dict[str, list[tuple[float, str]]] = {}
        found = []
        for row in self._database.rows("SELECT * FROM lessons WHERE id IN (SELECT lesson_id FROM deliveries)"):
            lesson = lesson_of(row)
            if project is not None and lesson.project != storable(project):
                continue
            if lesson.project not in sessions:
                rows = self._database.rows(_SESSIONS, (lesson.project,))
                sessions[lesson.project] = sorted((ended, session) for session, ended in rows)
            found.append(self._use(row[0], lesson, told[lesson.id], sessions[lesson.project]))
        return sorted(found, key=lambda use: (-use.told, use.lesson.id))

    def weeks(self, since: float, count: int, project: str | None = None) -> list[Week]:
        """The failures of `count` weeks from `since` on, by when they came."""
        about = {"since": since, "week": WEEK_SECONDS, "project": project and storable(project)}
        counted = {row[0]: row[1:] for row in self._database.rows(_WEEKS, about)}
        return [Week(since + week * WEEK_SECONDS, *counted.get(week, ())) for week in range(count)]

    def _use(self, number: int, lesson: Lesson, told: set[str], sessions: list[tuple[float, str]]) -> Use:
        learned = bisect_left(sessions, (lesson.first_seen or 0.0, ""))
        failed = {session for (session,) in self._database.rows(_FAILED, (number,))}
        left_out = told | {lesson.first_session}
        return Use(
            lesson, len(told), *(_share(part, failed, left_out) for part in (sessions[:learned], sessions[learned:]))
        )


def _share(sessions: list[tuple[float, str]], failed: set[str], left_out: set[str]) -> tuple[int, int]:
    """Of these sessions, without those left out, how many failed, and how many there are."""
    counted = [session in failed for _, session in sessions if session not in left_out]
    return sum(counted), len(counted)

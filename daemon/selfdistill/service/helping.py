"""Whether telling helps, in all: what `lessons stats` and the status say of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.recall.effects import Effect, Share, Standing, effect
from selfdistill.store import Telling, Week

if TYPE_CHECKING:
    from selfdistill.model import Lesson
    from selfdistill.store import Store, Use

WEEKS: Final = 12


class Judged(Struct, frozen=True):
    """A lesson that was told: in how many sessions, and how it stands."""

    lesson: Lesson
    told: int
    effect: Effect


class Helping(Struct, frozen=True):
    """The sums over all deliveries, how the told lessons stand, and the failures of the last twelve weeks.

    The last week is the one of `now`; weeks begin on Mondays, UTC. `spoiled` lines of the spool could not be used.
    """

    telling: Telling
    standings: dict[str, int]
    weeks: list[Week]
    spoiled: dict[str, int]


def judged(store: Store, project: str | None = None) -> list[Judged]:
    """Every lesson that was told, of one project or of all, the one told most often first."""
    return [Judged(use.lesson, use.told, _effect(use)) for use in store.uses(project)]


def helping(store: Store, now: float, project: str | None = None) -> Helping:
    """What telling has come to; `now` is seconds since the epoch."""
    stand = [one.effect.standing for one in judged(store, project)]
    return Helping(
        telling=store.telling(project),
        standings={standing.value: stand.count(standing) for standing in Standing},
        weeks=store.weeks(first_week(now), WEEKS, project),
        spoiled=store.spoiled_lines(),
    )


def first_week(now: float) -> float:
    """When the first of the last twelve weeks began: a Monday at midnight, UTC."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today - timedelta(days=today.weekday(), weeks=WEEKS - 1)).timestamp()


def _effect(use: Use) -> Effect:
    lesson = use.lesson
    told = Share(lesson.recurred_told, lesson.helped + lesson.recurred_told)
    return effect(Share(*use.before), Share(*use.untold), told)

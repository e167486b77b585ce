"""Lessons out of findings: a pure function of the set of findings that share a merge key, whatever their order.

Support counts independent sessions: sessions that share a record (copies, forks, resumed logs) count once, so that a
copy never confirms itself. Confidence grows with support and never reaches certainty.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from selfdistill.model import Lesson, LessonState, Scope, StoredFinding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CERTAINTY: Final = 0.97  # no rule of ours is surer than this
STEP: Final = 0.45  # what each further session takes away of the remaining doubt


def lesson_id(project: str, merge_key: str) -> str:
    """The identity of a lesson: project and merge key, never its wording."""
    return blake2b(f"{project}\0{merge_key}".encode("utf-8", "replace"), digest_size=8).hexdigest()


def derive(findings: Sequence[StoredFinding]) -> Lesson | None:
    """The lesson that findings of one project and merge key support, before any verdict; None without findings.

    The wording is the strongest finding's (ties: the smallest id), so the order of learning cannot change it.
    """
    if not findings:
        return None
    best = min(findings, key=lambda stored: (-stored.finding.strength, stored.id))
    told = best.finding
    support = independent_sessions(findings)
    needs = min(stored.finding.needs for stored in findings)
    times = [when for stored in findings for seen in stored.sightings for when in seen.times if when is not None]
    return Lesson(
        id=lesson_id(best.project, told.merge_key),
        project=best.project,
        merge_key=told.merge_key,
        signal=told.signal,
        trigger=told.trigger,
        action=told.action,
        rationale=told.rationale,
        confidence=confidence(told.strength, support),
        scope=Scope.PROJECT,
        tags=tuple(sorted({tag for stored in findings for tag in stored.finding.tags})),
        state=LessonState.ACTIVE if support >= needs else LessonState.PENDING,
        support=support,
        distiller=best.distiller,
        version=best.version,
        first_seen=min(times, default=None),
        last_seen=max(times, default=None),
    )


def confidence(strength: float, support: int) -> float:
    """How sure `support` independent sessions make a lesson whose single sighting is `strength` sure (0..1)."""
    doubt = (1 - strength) * (1 - STEP) ** max(0, support - 1)
    return round(min(CERTAINTY, 1 - doubt), 3)


def independent_sessions(findings: Iterable[StoredFinding]) -> int:
    """How many sessions show the findings, those that share a record counted once."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    sessions = set()
    for stored in findings:
        names = [f"s:{seen.session}" for seen in stored.sightings]
        sessions.update(names)
        names += [f"u:{evidence.uid}" for evidence in stored.finding.evidence]
        first = root(names[0])
        for name in names[1:]:
            parent[root(name)] = first
    return len({root(name) for name in sessions})

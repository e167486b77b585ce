"""Lessons out of findings: a pure function of the set of findings that share a merge key, whatever their order.

Support counts independent sessions: sessions that share a record (copies, forks, resumed logs) count once, so that a
copy never confirms itself. Confidence grows with support and never reaches certainty.
"""

from __future__ import annotations

from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from selfdistill.model import Action, Lesson, LessonState, Scope, StoredFinding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from selfdistill.store import Verdict

CERTAINTY: Final = 0.97  # no rule of ours is surer than this
STEP: Final = 0.45  # what each further session takes away of the remaining doubt
CONFIRMED_DOUBT: Final = 0.15  # what a person's approval leaves of it
DISPUTED: Final = "disputed"  # tag of a finding that speaks against the lesson whose merge key it has
DISPUTE: Final = 0.5  # what each session that disputes a lesson leaves of its confidence
MOST_CAUSES: Final = 32
MOST_POINTS: Final = 6


def lesson_id(project: str, merge_key: str) -> str:
    """The identity of a lesson: project and merge key, never its wording."""
    return blake2b(f"{project}\0{merge_key}".encode("utf-8", "replace"), digest_size=8).hexdigest()


def derive(findings: Sequence[StoredFinding], verdict: Verdict | None = None) -> Lesson | None:
    """The lesson that findings of one project and merge key support, or None without findings.

    The wording is the strongest finding's (ties: the smallest id), so the order of learning cannot change it; so are
    distiller and version. The model is that of the strongest finding that has one.
    Findings that dispute it make it less sure, and pending where no fewer sessions dispute than support it.
    Findings of a lesson that a person merged into this one count, but do not word it. Findings from elsewhere make a
    lesson only where there are no others, and it waits for a person.
    Of a person's verdict only an approval counts, as confirmation; state and scope by verdict are the store's matter.
    """
    findings, disputes = _parted([stored for stored in findings if not stored.imported] or findings)
    if not findings:
        return None
    best = min(findings, key=lambda stored: (stored.adopted, -stored.finding.strength, stored.id))
    told = best.finding
    support = independent_sessions(findings)
    needs = min(stored.finding.needs for stored in findings)
    times = [when for stored in findings for seen in stored.sightings for when in seen.times if when is not None]
    confirmed = verdict is not None and verdict.state is LessonState.ACTIVE
    listed = _listed(findings)
    causes = sorted({cause for stored in findings for cause in stored.finding.covers} | {one.cause for one in listed})
    outweighed = independent_sessions(disputes) >= support and not confirmed
    return Lesson(
        id=lesson_id(best.project, told.merge_key),
        project=best.project,
        merge_key=told.merge_key,
        signal=told.signal,
        trigger=told.trigger,
        action=_with_points(told.action, listed),
        rationale=told.rationale,
        confidence=confidence(told.strength, support, confirmed=confirmed, disputed=independent_sessions(disputes)),
        scope=Scope.PROJECT,
        tags=tuple(sorted({tag for stored in (*findings, *disputes) for tag in stored.finding.tags})),
        state=LessonState.PENDING if support < needs or outweighed or best.imported else LessonState.ACTIVE,
        support=support,
        distiller=best.distiller,
        version=best.version,
        model=_model(findings),
        first_seen=min(times, default=None),
        last_seen=max(times, default=None),
        covers=tuple(causes[:MOST_CAUSES]),
        prefers=told.prefers,
        over=told.over,
        first_session=_first_session(findings),
    )


def confidence(strength: float, support: int, *, confirmed: bool = False, disputed: int = 0) -> float:
    """How sure `support` independent sessions make a lesson whose single sighting is `strength` sure (0..1).

    A noisy-OR (Pearl, "Probabilistic Reasoning in Intelligent Systems", 1988, section 4.3.2): each session is a cause
    that can make the lesson true by itself, so the doubts multiply: `1 - (1 - strength) * (1 - STEP) ** (support - 1)`.
    `strength` holds what was verified in the session: a repair whose cure was seen to work starts at 0.7, a rule that a
    person stated once at 0.5. A person's approval leaves CONFIRMED_DOUBT of the doubt; each of `disputed`
    sessions that speak against it halves what is left of the confidence (DISPUTE). Recency is not in it, because
    what is stored must not depend on the clock: recall/ranking.py lets old lessons fade when it ranks them.
    """
    doubt = (1 - strength) * (1 - STEP) ** max(0, support - 1)
    return round(min(CERTAINTY, 1 - doubt * (CONFIRMED_DOUBT if confirmed else 1)) * DISPUTE**disputed, 3)


def _model(findings: Iterable[StoredFinding]) -> str:
    """The model of the strongest finding (ties: the smallest id) that a model was asked for; "" if there is none."""
    asked = [(-stored.finding.strength, stored.id, stored.finding.model) for stored in findings if stored.finding.model]
    return min(asked)[2] if asked else ""


def _parted(findings: Sequence[StoredFinding]) -> tuple[list[StoredFinding], list[StoredFinding]]:
    """The findings that support a lesson, and those that dispute it."""
    disputes = [stored for stored in findings if DISPUTED in stored.finding.tags]
    return [stored for stored in findings if DISPUTED not in stored.finding.tags] if disputes else list(
        findings
    ), disputes


class _Listed(Struct, frozen=True):
    """A point and how many independent sessions showed it."""

    cause: str
    text: str
    sessions: int


def _listed(findings: Sequence[StoredFinding]) -> list[_Listed]:
    """The points that the findings show, those of most sessions first."""
    sightings: dict[str, list[StoredFinding]] = {}
    texts: dict[str, str] = {}
    for stored in findings:
        for point in stored.finding.points:
            sightings.setdefault(point.cause, []).append(stored)
            texts[point.cause] = min(point.text, texts.get(point.cause, point.text))
    counted = [_Listed(cause, texts[cause], independent_sessions(seen)) for cause, seen in sightings.items()]
    counted.sort(key=lambda one: (-one.sessions, one.cause))
    return counted[:MOST_POINTS]


def _with_points(action: Action, listed: Sequence[_Listed]) -> Action:
    """The action with its list."""
    if not listed:
        return action
    points = "; ".join(f"{one.text}, {one.sessions} sessions" if one.sessions > 1 else one.text for one in listed)
    return replace(action, description=f"{action.description} {points}.")


def _first_session(findings: Iterable[StoredFinding]) -> str:
    """The session that showed the lesson first; of those without times the first by name."""
    seen = [
        (min((when for when in sighting.times if when is not None), default=inf), sighting.session)
        for stored in findings
        for sighting in stored.sightings
    ]
    return min(seen)[1] if seen else ""


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

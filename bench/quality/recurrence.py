"""Recurrence on real projects in time order: was a later failure's cause already known, and would it have been told?

Lessons come only from earlier sessions. A session's later failures are its calls that failed by wrong usage, by a check
(once per distinct diagnostic or failing test) or at a guardrail, and those that the product cannot class but whose
message says a cause. What came to the log as a copy of an earlier record counts in neither way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from bench.quality.data import Log, Reader, project_logs, say
from bench.quality.metric import Metric, bootstrap
from bench.quality.replay import Call, Played, play
from bench.quality.telling import Known, Teller
from msgspec import Struct

from selfdistill.model import FailureClass, LessonState
from selfdistill.recall.ranking import rank
from selfdistill.signals.causes import causes, is_covered
from selfdistill.signals.steps import Step

DEPTHS: Final = (1, 3, 5)
ANY_STATE: Final = frozenset({LessonState.ACTIVE, LessonState.PENDING})

OWN_TEST: Final = "expected (a test that the same session wrote)"  # no earlier session can have met it

_FAR: Final = 1_000_000
_LEFT_OUT: Final = frozenset({FailureClass.EXPECTED, FailureClass.ENVIRONMENT, FailureClass.HUMAN})


class Later(Struct, frozen=True):
    """A later failure, by one of its causes: whether a lesson covers it, and its place among those told (0: none)."""

    call: str
    cause: str
    blame: str
    covered: bool
    active: bool
    place: int = 0
    place_by_words: int = 0
    place_by_time: int = 0


class Case(Struct):
    """What one session showed: its later failures, and its calls that did not fail with those that were warned of."""

    project: str
    name: str
    failures: list[Later] = msgspec.field(default_factory=list)
    harmless: int = 0
    alerts: int = 0
    alerts_again: int = 0  # were the session not to remember what it has heard


def measure(data: Path) -> list[Metric]:
    """Coverage, recall at 1, 3 and 5, and alerts per 100 harmless calls, over all projects of a directory."""
    cases, left_out = replay(data)
    if not cases:
        return []
    say(f"recurrence: left out by class: {_listed(left_out)}.")
    failures: Callable[[Case], int] = lambda case: len(case.failures)  # noqa: E731 - a name for a measure
    covered: Callable[[Case], int] = lambda case: sum(one.covered for one in case.failures)  # noqa: E731
    once = _share(lambda case: len(_once(case)), lambda case: sum(one.covered for one in _once(case)))(cases)
    again = _share(lambda case: case.harmless, lambda case: case.alerts_again, 100)(cases)
    rows = [
        ("recurrence_coverage", failures, covered, 1, f"each cause once a session {_shown(once)}; {_by_class(cases)}"),
        ("recurrence_coverage_active", failures, lambda case: sum(one.active for one in case.failures), 1, ""),
        *(
            (f"recall_at_{depth}", covered, _told_within(depth), 1, _baselines(cases, depth, covered))
            for depth in DEPTHS
        ),
        (
            "alerts_per_100",
            lambda case: case.harmless,
            lambda case: case.alerts,
            100,
            f"if a session could hear the same twice {_shown(again)}",
        ),
    ]
    return [
        metric
        for key, base, hits, scale, note in rows
        if (metric := _metric(key, cases, base, hits, scale, note)) is not None
    ]


class Met(NamedTuple):
    """A session, what sessions before it had taught, and the uids of their records: what repeats them is a copy."""

    log: Log
    played: Played
    teller: Teller
    seen: frozenset[str]


def sessions(data: Path) -> Iterator[Met]:
    """Every session of every project, project by project in time order."""
    reader = Reader()
    for logs in _by_project(project_logs(data)).values():
        known = Known()
        seen: set[str] = set()
        for _, log in sorted(logs, key=lambda one: (one[0], one[1].name)):
            source = reader.source(log)
            if source is None:
                continue
            played = play(source, log)
            yield Met(log, played, Teller(known.lessons_for(played.uids)), frozenset(seen))
            seen |= played.uids
            known.learn(played)
    reader.tell("recurrence")


def replay(data: Path) -> tuple[list[Case], Counter[str]]:
    """Every session of every project as a case, in time order; and how many failures were left out, by class."""
    left_out: Counter[str] = Counter()
    return [case_of(met, left_out) for met in sessions(data)], left_out


def case_of(met: Met, left_out: Counter[str]) -> Case:
    """What a session shows when only earlier sessions have taught."""
    case = Case(met.log.project, met.log.name)
    teller = met.teller
    heard: frozenset[str] = frozenset()
    for call in met.played.calls:
        if call.uid in met.seen:
            left_out["copy"] += 1 if call.failed else 0
        elif call.failed:
            case.failures += failures_of(call, teller, left_out)
        elif call.finished:
            case.harmless += 1
            query = msgspec.structs.replace(call.query, told=heard)
            told = rank(query, teller.candidates)
            case.alerts += bool(told)
            case.alerts_again += bool(told or (heard and rank(call.query, teller.candidates)))
            heard |= {one.lesson.id for one in told}
    return case


def failures_of(call: Call, teller: Teller, left_out: Counter[str]) -> Iterable[Later]:
    """A failed call as later failures, one for each of its causes."""
    step = call.step
    blame = step.failure.blame if step is not None and step.failure is not None else None
    if step is None or blame in _LEFT_OUT:
        left_out[blame.value if blame else "unpaired"] += 1
        return []
    own = set(causes(step)) - set(causes(_without_tests(step, call.own_tests)))
    left_out[OWN_TEST] += len(own)
    found = [cause for cause in causes(step) if cause not in own]
    kind = blame.value if blame else ("check" if step.run is not None else "unclassified")
    if not found:
        left_out[f"{kind}, no cause told"] += not own
        return []
    return [_later(cause, kind, call, teller) for cause in found]


def _without_tests(step: Step, names: frozenset[str]) -> Step:
    """The same step, had these tests not failed."""
    if step.run is None or not names:
        return step
    failing = tuple(name for name in step.run.failing if name not in names)
    return msgspec.structs.replace(step, run=msgspec.structs.replace(step.run, failing=failing))


def _later(cause: str, blame: str, call: Call, teller: Teller) -> Later:
    """One later failure."""
    covering = {one.lesson.id: one.lesson for one in teller.candidates if is_covered((cause,), one.lesson.covers)}
    if not covering:
        return Later(call.uid, cause, blame, covered=False, active=False)
    active = any(lesson.state is LessonState.ACTIVE for lesson in covering.values())
    ranked = rank(call.query, teller.candidates, max(DEPTHS), states=ANY_STATE)
    return Later(
        call.uid,
        cause,
        blame,
        covered=True,
        active=active,
        place=_place([one.lesson.id for one in ranked], covering),
        place_by_words=_place(teller.by_words(call.query, max(DEPTHS)), covering),
        place_by_time=_place(teller.by_time(max(DEPTHS)), covering),
    )


def _place(told: Sequence[str], covering: Iterable[str]) -> int:
    """Where the first covering lesson stands among those told, from 1; 0 if it is not told."""
    wanted = set(covering)
    return next((at for at, one in enumerate(told, start=1) if one in wanted), 0)


def _by_project(logs: Iterable[Log]) -> dict[str, list[tuple[datetime, Log]]]:
    """Logs with the time at which their session began, by project; those without one are told."""
    projects: dict[str, list[tuple[datetime, Log]]] = {}
    for log in logs:
        when = _when(log)
        if when is None:
            say(f"recurrence: {log.project}/{log.name} has no time ({log.created_at!r}) and is left out.")
        else:
            projects.setdefault(log.project, []).append((when, log))
    return projects


def _when(log: Log) -> datetime | None:
    """When a session began; a time without a zone is taken as UTC."""
    try:
        when = datetime.fromisoformat(log.created_at)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _metric(
    key: str,
    cases: Sequence[Case],
    base: Callable[[Case], int],
    hits: Callable[[Case], int],
    scale: int,
    note: str,
) -> Metric | None:
    """A share of all projects together with its interval by session, each project's own share in the note."""
    share = _share(base, hits, scale)
    metric = bootstrap(key, cases, share)
    if metric is None:
        return None
    projects = sorted({case.project for case in cases})
    each = [f"{name} {_shown(share([case for case in cases if case.project == name]))}" for name in projects]
    parts = [part for part in (note, ", ".join(each) if len(each) > 1 else "") if part]
    return msgspec.structs.replace(metric, n=sum(map(base, cases)), note="; ".join(parts))


def _share(
    base: Callable[[Case], int], hits: Callable[[Case], int], scale: int = 1
) -> Callable[[Sequence[Case]], float | None]:
    """What share of what is counted is hit, over all cases together; None where there is nothing to count."""

    def share(cases: Sequence[Case]) -> float | None:
        total = sum(map(base, cases))
        return scale * sum(map(hits, cases)) / total if total else None

    return share


def _told_within(depth: int) -> Callable[[Case], int]:
    return lambda case: sum(0 < one.place <= depth for one in case.failures)


def _baselines(cases: Sequence[Case], depth: int, covered: Callable[[Case], int]) -> str:
    """What words alone, and always the latest lessons, would have told."""
    calls = _share(lambda case: len(_calls(case)), lambda case: sum(0 < at <= depth for at in _calls(case)))(cases)
    words = _share(covered, lambda case: sum(0 < one.place_by_words <= depth for one in case.failures))(cases)
    latest = _share(covered, lambda case: sum(0 < one.place_by_time <= depth for one in case.failures))(cases)
    return f"calls with a right lesson {_shown(calls)}, BM25 alone {_shown(words)}, the latest {_shown(latest)}"


def _by_class(cases: Sequence[Case]) -> str:
    """Coverage by class of failure."""
    every, covered = Counter[str](), Counter[str]()
    for case in cases:
        every.update(one.blame for one in case.failures)
        covered.update(one.blame for one in case.failures if one.covered)
    return ", ".join(f"{name} {covered[name]}/{count}" for name, count in every.most_common())


def _once(case: Case) -> list[Later]:
    """A session's failures, each cause once."""
    return list({one.cause: one for one in reversed(case.failures)}.values())


def _calls(case: Case) -> list[int]:
    """For each failing call with a covered cause the best place of a right lesson, far down where none is told."""
    places: dict[str, int] = {}
    for one in case.failures:
        if one.covered:
            places[one.call] = min(places.get(one.call, _FAR), one.place or _FAR)
    return list(places.values())


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common()) or "none"


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

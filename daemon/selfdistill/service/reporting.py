"""What the status file says: the store's figures, the roots' and the watcher's health, and what a person must know."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.ingest.naming import printable
from selfdistill.ingest.roots import Root, RootHealth
from selfdistill.model import Skip
from selfdistill.recall.effects import Standing as Effectiveness
from selfdistill.service.helping import Helping, helping
from selfdistill.service.model_access import model_status
from selfdistill.service.processes import identity
from selfdistill.service.status import Model, Problem, Quarantined, Recall, Source, State, Status, Watcher, moment
from selfdistill.service.status import Root as RootStatus

if TYPE_CHECKING:
    from selfdistill.errors import SelfdistillError
    from selfdistill.service.assembly import Assembly
    from selfdistill.store import SetAside, SourceCensus, Standing

SILENT_SESSIONS: Final = 50  # as many sessions without a single lesson are no accident
DRIFT_SHARE: Final = 0.05  # of a source's records; more unknown ones than that and the format has changed
RESCUE_TOLD_SECONDS: Final = 7 * 24 * 3600.0
_QUARANTINE: Final = "it failed three times; `selfdistill retry SESSION` tries again"
_MOST_QUARANTINED: Final = 20


class Figures(Struct, frozen=True):
    """What the whole catalogue adds up to: 60 ms of queries at 10,000 logs, so a busy daemon may use it twice.

    `taken_at` is on the monotonic clock.
    """

    sources: dict[str, Source]
    absent: list[str]
    sessions: int
    quarantined: list[SetAside]
    outdated: int
    standing: Standing
    recall: Recall
    model: Model
    taken_at: float
    cost_seconds: float


def figures(assembly: Assembly) -> Figures:
    """The figures as of now."""
    begun = time.monotonic()
    store = assembly.store
    sources, absent = _sources(assembly)
    aside = store.set_aside() if _any_quarantined(sources) else []
    quarantined = list({one.path: one for one in reversed(aside) if one.quarantined}.values())
    outdated = store.outdated(assembly.distiller.name, assembly.distiller.version)
    standing = store.standing()
    model = model_status(store, assembly.model, assembly.clock())
    recall = _recall(helping(store, assembly.clock()))
    now = time.monotonic()
    return Figures(sources, absent, store.sessions(), quarantined, outdated, standing, recall, model, now, now - begun)


def snapshot(
    assembly: Assembly,
    *,
    known: Figures | None = None,
    state: State,
    reason: str = "",
    advice: str = "",
    watcher: Watcher | None = None,
    started_at: float | None = None,
    settling: int = 0,
    due: int = 0,
    next_wake_at: float | None = None,
    last_error: Problem | None = None,
) -> Status:
    """The status as of now, but for the `known` figures if there are any; reads the store, writes nothing."""
    known = known or figures(assembly)
    totals = assembly.store.totals()
    last = totals.last
    return Status(
        state=state,
        version=version("selfdistill"),
        reason=reason,
        advice=advice,
        pid=os.getpid(),
        process=identity(os.getpid()),
        started_at=moment(started_at),
        config=str(assembly.places.config),
        alarms=alarms(known.sources, known.sessions, totals.lessons) + rescue_alarms(assembly),
        watcher=watcher or Watcher(),
        settling=settling,
        due=due,
        backlog=settling + due,
        next_wake_at=moment(next_wake_at),
        analysis_mode="heuristic" if known.model.state == "off" else "mixed",
        model=known.model,
        quarantined_sessions=len(known.quarantined),
        quarantined=[
            Quarantined(one.session, one.reason if one.deadly else _QUARANTINE, moment(one.not_before))
            for one in known.quarantined[:_MOST_QUARANTINED]
        ],
        outdated_sessions=known.outdated,
        pending_lessons=known.standing.pending,
        covering_lessons=known.standing.covering,
        recurred_lessons=known.standing.recurred,
        recall=known.recall,
        total_sessions=known.sessions,
        last_run_id=last.id if last else None,
        last_run_at=datetime.fromisoformat(last.completed_at) if last else None,
        total_runs=totals.runs,
        total_lessons=totals.lessons,
        last_analysis_mode=last.analysis_mode if last else None,
        last_sessions_processed=last.sessions_processed if last else None,
        last_lessons_generated=last.lessons_generated if last else None,
        last_usage=last.usage if last else None,
        last_error=last_error,
        sources=known.sources,
        absent_agents=known.absent,
    )


def _recall(found: Helping) -> Recall:
    """What telling has come to, as the status file has it."""
    telling = found.telling
    return Recall(
        deliveries=telling.deliveries,
        helped=telling.helped,
        recurred=telling.recurred,
        unproven=found.standings[Effectiveness.UNPROVEN],
        helping=found.standings[Effectiveness.HELPING],
        not_helping=found.standings[Effectiveness.NOT_HELPING],
        ignored=telling.ignored,
        spoiled_lines=sum(found.spoiled.values()),
        known_failures_by_week=[week.known for week in found.weeks],
        repeated_failures_by_week=[week.again for week in found.weeks],
    )


def without_store(state: State, problem: SelfdistillError) -> Status:
    """What can be said while the store cannot be opened: that we are here, and why nothing is done."""
    return Status(
        state=state,
        version=version("selfdistill"),
        reason=problem.message,
        advice=problem.advice,
        pid=os.getpid(),
        process=identity(os.getpid()),
        last_error=Problem(problem.message, problem.advice, moment(time.time())),
    )


def alarms(sources: Mapping[str, Source], sessions: int, lessons: int) -> list[str]:
    """Sentences about silence and drift: a tool that captures nothing must say so."""
    found = []
    if sessions >= SILENT_SESSIONS and not lessons:
        found.append(
            f"{sessions} sessions gave no lesson at all: look at one with `selfdistill inspect PATH` and report it."
        )
    for name, source in sources.items():
        for_good = {word: count for word, count in source.skipped.items() if word not in {Skip.UNSETTLED, Skip.GONE}}
        if source.enabled and source.logs_seen and sum(for_good.values()) == source.logs_seen:
            reasons = ", ".join(f"{count} {reason}" for reason, count in for_good.items())
            found.append(f"Nothing of {name} is distilled: all {source.logs_seen} logs are skipped ({reasons}).")
        if source.unknown_records > DRIFT_SHARE * max(1, _records(source)):
            types = ", ".join(list(source.unknown_types)[:5])
            found.append(
                f"Many records of {name} are of unknown types ({types}): its format has changed; update selfdistill."
            )
    return found


def rescue_alarms(assembly: Assembly) -> list[str]:
    """What was done about a damaged store in the last week."""
    rescue = assembly.store.last_rescue()
    if rescue is None or assembly.clock() - rescue.at > RESCUE_TOLD_SECONDS:
        return []
    return [f"{rescue.sentence()} {rescue.advice()}"]


def _records(source: Source) -> int:
    return source.records_total


def _any_quarantined(sources: Mapping[str, Source]) -> bool:
    return any(Skip.QUARANTINED in source.skipped for source in sources.values())


def _sources(assembly: Assembly) -> tuple[dict[str, Source], list[str]]:
    """Every agent that is there, was there or was configured, in figures; and the names of the others."""
    census, ledger = assembly.store.census(), assembly.store.ledger()
    roots = assembly.survey.roots or {root.path: root for root in assembly.survey.examine()}
    shown: dict[str, Source] = {}
    absent: list[str] = []
    for watched in assembly.survey.watched:
        name = watched.source.name
        found = [roots[path] for path in watched.roots if path in roots]
        settings, counted = assembly.config.sources.get(name), census.get(name)
        present = [root for root in found if root.health is not RootHealth.MISSING]
        told = found if (settings and settings.roots) or (counted and not present) else present
        if not told and settings is None and counted is None:
            absent.append(name)
            continue
        shown[name] = _source(counted, ledger.get(name, {}), told)
        shown[name].roots_absent = len(found) - len(told)
    for name, settings in assembly.config.sources.items():
        if not settings.enabled:
            shown[name] = Source(enabled=False)
    return shown, absent


def _source(census: SourceCensus | None, skipped: dict[str, int], roots: list[Root]) -> Source:
    """One source's figures."""
    shown = Source(roots=[_root(root) for root in roots], skipped=skipped)
    if census is None:
        return shown
    shown.logs_seen = census.logs - census.gone
    shown.tails = census.tails
    shown.tracked = census.tracked
    shown.sessions = census.sessions
    shown.bytes_behind = census.bytes_behind
    shown.oldest_unprocessed_since = moment(census.oldest_pending_since)
    shown.records_total = census.records.total
    shown.undecodable = census.records.undecodable
    shown.unknown_records = census.records.unknown
    shown.unknown_types = {printable(name): count for name, count in census.records.unknown_types.items()}
    shown.last_success_at = moment(census.last_success)
    return shown


def _root(root: Root) -> RootStatus:
    """A root's health in words; a root that does not exist is no trouble: the agent is not installed."""
    if root.health is RootHealth.OK:
        return RootStatus(printable(root.path))
    return RootStatus(printable(root.path), root.health.value, root.advice)

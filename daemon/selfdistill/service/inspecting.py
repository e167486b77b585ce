"""One log as a timeline: its events, the signals they give, its episodes, its outcome, and what would be learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct, field

from selfdistill.distill.heuristic.distiller import HeuristicDistiller
from selfdistill.errors import LogProblem, UsageError
from selfdistill.ingest.naming import printable
from selfdistill.ingest.reading import Lines, OpenLog, open_log
from selfdistill.model import Event, EventKind, Finding, Outcome, Records, Session, Signal, Turn
from selfdistill.service.pipeline import CleanPlaces, Piece
from selfdistill.service.recognising import is_database, logs_of, source_of
from selfdistill.service.run_report import iso
from selfdistill.signals.observing import Observer
from selfdistill.signals.outcome import judge
from selfdistill.signals.steps import HumanTurn, Moment

if TYPE_CHECKING:
    from selfdistill.sources.base import Parser, Source

TEXT: Final = 400  # characters of an event's text that are shown


class Episode(Struct):
    """One human request and the work until the next."""

    request: str
    offset: int
    signals: list[Signal] = field(default_factory=list)
    events: int = 0
    outcome: Outcome | None = None


class Inspection(Struct):
    """Everything about one log, all texts redacted."""

    source: str
    session: Session
    records: Records
    turn: Turn
    events: list[dict[str, Any]]
    signals: list[Signal]
    episodes: list[Episode]
    findings: list[Finding]
    outcome: Outcome


class Choice(Struct):
    """The sessions of a database, newest first: each can be named."""

    source: str
    sessions: list[Chosen]


class Chosen(Struct):
    """One session of a database: its path, the ISO time of its last change, its messages."""

    path: str
    changed_at: str
    messages: int


def inspect(path: Path, redact: Callable[[str], str]) -> Inspection | Choice:
    """Read a whole log and explain it, or list the sessions of a database; UsageError if it cannot be read."""
    try:
        source = source_of(path)
        if is_database(path, source):
            return _choice(path, source)
        with open_log(path, source.layout) as opened:
            return _inspect(opened, source, redact)
    except LogProblem as problem:
        raise UsageError(problem.message, problem.advice) from problem


def _choice(path: Path, source: Source) -> Choice:
    """The sessions of a database, the one that changed last first."""
    found = sorted(logs_of(path, source).items(), key=lambda one: (-one[1].mtime_ns, one[0]))
    return Choice(source.name, [Chosen(printable(log), iso(stat.mtime_ns / 1e9), stat.size) for log, stat in found])


def _inspect(opened: OpenLog, source: Source, redact: Callable[[str], str]) -> Inspection:
    """Explain a log that is open."""
    parser = source.open(opened.path, None)
    lines = Lines(opened)
    inspection = _explain(Piece(lines, parser, CleanPlaces(redact), lambda: False, at_rest=True), parser, redact)
    inspection.source = source.name
    inspection.records.total += lines.oversized_count
    inspection.records.undecodable += lines.oversized_count
    return inspection


def _observed(piece: Piece, redact: Callable[[str], str]) -> Iterator[tuple[Event, Observer]]:
    """Every event, an unterminated last line included, as the pipeline gives them; each session is seen anew."""
    observer: Observer | None = None
    while not piece.ended:
        if observer is None or piece.ends_session:
            observer = Observer(None, redact, human=lambda: not piece.session.machine_run, excerpts=True)
        for event in piece.events():
            yield event, observer


def _explain(piece: Piece, parser: Parser, redact: Callable[[str], str]) -> Inspection:
    """Fold the events as the distiller does, keeping what it sees."""
    observer = Observer(None, redact, human=lambda: False)  # for a log without an event
    distiller = HeuristicDistiller(redact)
    shown: list[dict[str, Any]] = []
    signals: list[Signal] = []
    findings: list[Finding] = []
    episodes: list[Episode] = []
    for event, observer in _observed(piece, redact):
        shown.append(_shown(event, redact))
        before = judge(observer.carried.episode)
        moments: list[Moment] = []

        def see(moment: Moment, moments: list[Moment] = moments, observer: Observer = observer) -> None:
            moments.append(moment)
            findings.extend(distiller.findings(observer, moment))

        observer.observe(event, see)
        for moment in moments:
            # A turn's signals speak of the work before it, so they belong to the episode that it ends.
            if episodes:
                episodes[-1].signals += moment.signals
                episodes[-1].outcome = judge(observer.carried.episode) if event.kind is not EventKind.USER else before
            signals += moment.signals
            if isinstance(moment.happened, HumanTurn) and event.kind is EventKind.USER:
                episodes.append(Episode(moment.happened.text[:TEXT], event.span.offset))
        if episodes:
            episodes[-1].events += 1
    session = msgspec.structs.replace(
        parser.session, cwd=redact(parser.session.cwd), repository_url=redact(parser.session.repository_url)
    )
    return Inspection(
        "", session, parser.records, parser.turn, shown, signals, episodes, findings, judge(observer.carried.session)
    )


def _shown(event: Event, redact: Callable[[str], str]) -> dict[str, Any]:
    """An event as JSON shows it: redacted, its long texts cut."""
    table: dict[str, Any] = msgspec.to_builtins(event)
    for key in ("text",):
        if key in table:
            table[key] = redact(table[key])[:TEXT]
    if isinstance(table.get("input"), dict):
        table["input"] = {key: redact(value)[:TEXT] for key, value in table["input"].items()}
    return table

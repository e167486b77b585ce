"""`run`: one pass over what is due, beside or without a daemon; and the sample for newcomers."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Final

from msgspec import Struct, field

from selfdistill.config import Config, Places, SourceSettings
from selfdistill.errors import LogProblem, StoreFull, UsageError
from selfdistill.ingest.scanning import scan_root
from selfdistill.manifest import Manifest
from selfdistill.model import Skip, Stat
from selfdistill.service import reporting
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.service.backfill import PROCESSES_FROM_BYTES, ahead_for
from selfdistill.service.lifecycle import try_lock
from selfdistill.service.model_pass import Asked, Desk, ask_model, logs_to_ask, mode_of, usage_of
from selfdistill.service.order import due_logs, newest_sessions
from selfdistill.service.pipeline import BYTES_PER_MIB
from selfdistill.service.recognising import logs_of, source_of
from selfdistill.service.run_report import manifest, new_run_id
from selfdistill.service.running import Progress, Run, Selection
from selfdistill.service.spool import take_in
from selfdistill.service.status import State, write
from selfdistill.service.watched import watched_sources
from selfdistill.sources import SOURCES, Source
from selfdistill.store import PendingLog

SAMPLE: Final = Path(__file__).parent.parent / "sample"


class Pass(Struct, frozen=True):
    """What a pass has done: its manifest, and what it leaves for later."""

    manifest: Manifest
    sessions_left: int  # settled, but beyond the limit
    bytes_read: int
    failed: dict[str, str]
    to_ask: list[PendingLog]  # what the model is, or would be, asked about
    asked: Asked | None  # what came of it; None if no model may be asked, or this is a dry run
    logs_known: int


def desk_of(assembly: Assembly) -> Desk:
    """What asking works with, in this thread and on this store."""
    return Desk(
        assembly.store,
        assembly.config,
        assembly.redact,
        assembly.model,
        threading.Event(),
        assembly.clock,
        assembly.pipeline.attempts.directory,
    )


def _check_space(assembly: Assembly) -> None:
    """Refuse to begin on a disk that is nearly full, as the daemon does."""
    free = shutil.disk_usage(assembly.places.state).free
    if free < assembly.config.limits.min_free_mib * BYTES_PER_MIB:
        raise StoreFull(
            f"Only {free // BYTES_PER_MIB} MiB are free on the disk of {assembly.places.state}; nothing was distilled.",
            "Free some space, or lower `limits.min_free_mib`.",
        )


class Chosen(Struct):
    """What a pass is to read, and what it is known beforehand not to."""

    logs: list[PendingLog]
    left: int = 0  # sessions beyond the limit
    skipped: Counter[str] = field(default_factory=Counter)
    refused: dict[str, str] = field(default_factory=dict)  # path -> why it cannot be read


def one_pass(
    assembly: Assembly,
    selection: Selection,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    backfill: bool = False,
    processes_from: int = PROCESSES_FROM_BYTES,
) -> Pass:
    """Survey, choose, distill, ask the model if there is one, and keep the manifest; a dry run asks and keeps nothing.

    `backfill` hands the model's part over as a batch instead of waiting for it. From `processes_from` bytes of logs on
    several processes read.
    """
    started, run_id = assembly.clock(), new_run_id()
    store = assembly.store
    if not selection.dry_run:
        _check_space(assembly)
    take_in(assembly, keep=selection.dry_run)
    chosen = _named_logs(assembly, selection) if selection.paths else _due_logs(assembly, selection)
    with ahead_for(assembly, chosen.logs, again=selection.again, least_bytes=processes_from) as ahead:
        run = Run(store, assembly.pipeline, assembly.config.settling, assembly.clock, ahead)
        run.report.failed.update(chosen.refused)
        run.report.skipped.update(chosen.skipped)
        run.process(chosen.logs, selection, on_progress)
    run.report.skipped |= _standing_skips(assembly)  # the greater figure: this run's own refusals stand there too
    left = chosen.left or newest_sessions(run.not_looked_at, 0)[1]
    to_ask = logs_to_ask(store, assembly.config, selection, run.distilled, assembly.clock())
    asked, mode = None, "heuristic"
    if not selection.dry_run and assembly.model.access.usable:
        asked = ask_model(desk_of(assembly), to_ask, run_id, backfill=backfill)
        mode = mode_of(run.report.sessions, asked.tally.sessions)
        run.report.learn(asked.tally.created, asked.tally.merged)
        run.report.sessions |= asked.tally.sessions
    made = manifest(
        run.report,
        started=started,
        completed=assembly.clock(),
        dry_run=selection.dry_run,
        mode=mode,
        run_id=run_id,
        usage=usage_of(store, run_id),
    )
    if not selection.dry_run:
        store.add_run(made)
        _tell(assembly, settling=run.report.skipped[Skip.UNSETTLED], due=left)
    return Pass(
        manifest=made,
        sessions_left=left,
        bytes_read=run.report.bytes_read,
        failed=run.report.failed,
        to_ask=to_ask,
        asked=asked,
        logs_known=sum(source.logs for source in store.census().values()),
    )


def sample_pass(config: Config, home: Path) -> tuple[Pass, list[tuple[str, str, float]]]:
    """A pass over the bundled, invented sample, in memory: what a newcomer without logs would learn from.

    Also gives the lessons: (when, do, confidence).
    """
    with tempfile.TemporaryDirectory(prefix="selfdistill-sample-") as directory:
        roots = {"claude_code": str(SAMPLE / "claude"), "codex": str(SAMPLE / "codex")}
        sources = {name: SourceSettings(roots=(root,)) for name, root in roots.items()}
        sources["role_content"] = SourceSettings(enabled=False)
        places = Places(config=Path(directory) / "config.toml", state=Path(directory))
        sampled = Config(settling=config.settling, limits=config.limits, privacy=config.privacy, sources=sources)
        assembly = assemble(sampled, places, home, {}, rehearsal=True)
        with assembly.store:
            paths = tuple(sorted(SAMPLE.rglob("*.jsonl")))
            done = one_pass(assembly, Selection(limit=0, dry_run=True, paths=paths))
            lessons = assembly.store.lessons(None, everywhere=True)
            return done, [(one.trigger.condition, one.action.description, one.confidence) for one in lessons]


def any_logs(config: Config, home: Path, environment: Mapping[str, str]) -> bool:
    """Whether there is anything at all below the agents' roots; looks no further than the first log."""
    return any(
        directory.found or directory.problems
        for watched in watched_sources(SOURCES, config, home, environment)
        for root in watched.roots
        for directory in scan_root(root, watched.source.owns, watched.excludes)
    )


def _due_logs(assembly: Assembly, selection: Selection) -> Chosen:
    """The logs whose time has come, of the newest sessions; those that have not settled are entered in the ledger."""
    store = assembly.store
    assembly.survey.full_pass()
    candidates = store.present() if selection.again else store.pending()
    wanted = [log for log in candidates if _is_wanted(log, selection)]
    due, waiting = due_logs(wanted, assembly.config.settling, assembly.clock())
    with store.transaction():
        for log in waiting:
            if log.skip is None:
                store.skip(log.id, Skip.UNSETTLED, "it has not been quiet for long enough")
    logs, left = newest_sessions(due, 0 if selection.project else selection.limit)
    return Chosen(logs, left, Counter({Skip.UNSETTLED: len(waiting)}))


def _is_wanted(log: PendingLog, selection: Selection) -> bool:
    """Whether a log is new enough and not set aside."""
    return _is_young(log, selection) and log.skip not in {
        Skip.QUARANTINED,
        Skip.EXCLUDED,
        Skip.NOT_REGULAR,
        Skip.GONE,
        Skip.EMPTY,
    }


def _standing_skips(assembly: Assembly) -> Counter[str]:
    """What the ledger has besides this run's own skips: logs that no run will ever read."""
    standing = {Skip.EMPTY, Skip.EXCLUDED, Skip.NOT_REGULAR, Skip.QUARANTINED, Skip.UNREADABLE}
    found: Counter[str] = Counter()
    for words in assembly.store.ledger().values():
        found.update({word: count for word, count in words.items() if word in standing})
    return found


def _named_logs(assembly: Assembly, selection: Selection) -> Chosen:
    """The logs that the user named; each is entered in the catalogue if it is new.

    What cannot be read is a UsageError where it is named itself; in a named directory it is counted and left out.
    """
    ids: set[int] = set()
    chosen = Chosen([])
    for path in selection.paths:
        if not path.is_dir():
            try:
                ids |= _enter(assembly, path)
            except LogProblem as problem:
                raise UsageError(problem.message, problem.advice) from problem
            continue
        for directory in scan_root(path, _may_be_log, lambda _: False):
            chosen.skipped.update(problem for _, problem in directory.problems)
            for found, _ in directory.found:
                try:
                    ids |= _enter(assembly, found)
                except LogProblem as problem:
                    chosen.skipped[problem.reason] += 1
                    chosen.refused[str(found)] = problem.message
    chosen.logs = [log for log in assembly.store.present() if log.id in ids and _is_young(log, selection)]
    return chosen


def _enter(assembly: Assembly, path: Path) -> set[int]:
    """The catalogue's ids of a named log, or of the sessions in a named database; LogProblem if nobody can read it."""
    source = source_of(path)
    found = logs_of(path, source)
    with assembly.store.transaction():
        return {_see(assembly, source, log, stat) for log, stat in found.items()}


def _see(assembly: Assembly, source: Source, path: Path, stat: Stat) -> int:
    modified = min(assembly.clock(), stat.mtime_ns / 1e9)
    hint = source.session_hint(path)
    return assembly.store.see(source.name, hint, path, stat, changed_at=modified, pending_since=modified)


def _may_be_log(path: PurePath) -> bool:
    """Whether a file in a named directory is worth a look: by its name, for there may be anything."""
    return path.name.endswith((".jsonl", ".jsonl.zst")) or any(source.owns(path) for source in SOURCES)


def _is_young(log: PendingLog, selection: Selection) -> bool:
    """Whether a log changed since the time that was asked for."""
    return selection.since is None or log.stat.mtime_ns / 1e9 >= selection.since


def _tell(assembly: Assembly, *, settling: int, due: int) -> None:
    """Write the status file, unless a daemon holds the lock: then that is its business."""
    with _lock(assembly) as ours:
        if ours:
            told = reporting.snapshot(assembly, state=State.STOPPED, settling=settling, due=due)
            write(told, assembly.places.status)


@contextmanager
def _lock(assembly: Assembly) -> Iterator[bool]:
    with try_lock(assembly.places.lock) as ours:
        yield ours

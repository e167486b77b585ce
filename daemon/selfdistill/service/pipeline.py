"""One session's way through: open, recognise, read whole lines, parse, distill; the store commits the result.

Nothing here writes: a `Reading` is what would be committed, so a dry run and a lost race cost nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from msgspec import Struct

from selfdistill.distill.base import Batch, Distillate, Distiller
from selfdistill.errors import LogProblem, SelfdistillError
from selfdistill.ingest.identity import Sameness, judge
from selfdistill.ingest.reading import Lines, OpenLog, open_log
from selfdistill.model import Cursor, Event, Finding, Mishap, Proof, Session, Skip, Turn
from selfdistill.privacy.redaction import Redactor
from selfdistill.projects import normalised_remote, resolve
from selfdistill.service.attempts import NOT_NOTED, Attempts
from selfdistill.service.exclusion import is_excluded
from selfdistill.service.judging import Told, Watch
from selfdistill.service.running import BUGS
from selfdistill.store import Commit, Mark, PendingLog, ProjectRef, counted_session

if TYPE_CHECKING:
    from selfdistill.config import Config
    from selfdistill.sources.base import Parser, Source

BYTES_PER_MIB: Final = 1024 * 1024
_MOST_NAMES: Final = 4096
_LONGEST_TOOL: Final = 64
PIECE_BYTES: Final = 64 * BYTES_PER_MIB


class Stopped(Exception):
    """The process is to end; what was read since the last commit is dropped and read again."""


# How a reading may end while this process goes on as it should; whatever else ends it counts as a death.
FORESEEN: Final = (SelfdistillError, Stopped, KeyboardInterrupt, SystemExit, *BUGS)


class Reading(Struct, frozen=True):
    """What reading one log gave: the work to commit, and where the conversation stands.

    `more`: whole lines may follow. `ends_session`: another session of the log begins there.
    """

    log: PendingLog
    work: Commit
    turn: Turn
    session: str
    bytes_read: int
    more: bool = False
    ends_session: bool = False


class Known(Told, Protocol):
    """What reading a log asks of the store; a process that reads for another has a copy of it."""

    def cursor(self, log_id: int, distiller: str, /) -> Cursor | None:
        """How far a distiller has come in a log."""

    def project(self, cwd: str, /) -> tuple[str, str, str] | None:
        """(key, root, remote) of the project of a directory; None if not decided yet."""

    def remember_project(self, cwd: str, key: str, root: str, remote: str, /) -> tuple[str, str, str]:
        """Keep that decision unless there is one; the one that holds."""

    def counted_session_of(self, log_id: int, /) -> str:
        """The session that a log counted for when it was last distilled."""

    def purged_until(self, log_id: int, /) -> Mark | None:
        """Up to where a log's events were purged."""


class Pipeline:
    """Reads logs for one distiller. One per process; not for several threads."""

    def __init__(
        self,
        store: Known,
        distiller: Distiller,
        sources: Mapping[str, Source],
        config: Config,
        stopped: Callable[[], bool] = lambda: False,
        attempts: Attempts = NOT_NOTED,
    ) -> None:
        self.stopped = stopped
        self.attempts = attempts
        self._store = store
        self._distiller = distiller
        self._sources = sources
        self.config = config
        self._projects: dict[tuple[str, str], ProjectRef] = {}
        self._redact = Redactor(config.privacy.extra_patterns)
        self._places = CleanPlaces(self._redact)
        self._blank = distiller.distill(Batch((), Session), None).carry
        self.distiller = distiller.name

    def read(
        self, log: PendingLog, *, again: bool = False, at_rest: bool = True, before: Cursor | None = None
    ) -> Reading:
        """Read what is new in a log and distill it; raises LogProblem if it cannot be read.

        A log that is rewritten meanwhile is read once more.

        `again` starts over whatever the cursor says. `at_rest`: the log has been quiet long enough for a last line
        without a newline to be whole. At most 64 MiB of one session are read; `work.complete` says whether that was
        all. `before` is where a reading has come that will be committed together with this one; None: what the store
        says.
        """
        before = before or self._store.cursor(log.id, self._distiller.name)
        with self.attempts.at(log, self.distiller, FORESEEN):
            try:
                return self._read(log, before, again=again, at_rest=at_rest)
            except LogProblem as problem:
                if problem.reason != Skip.UNSETTLED:
                    raise
            return self._read(log, before, again=again, at_rest=at_rest)

    def _read(self, log: PendingLog, before: Cursor | None, *, again: bool, at_rest: bool) -> Reading:
        """What reading gives, if the log stays as it is meanwhile."""
        source = self._sources[log.source]
        with open_log(log.path, source.layout) as opened:
            start = self._start(before, opened, again=again)
            parser = source.open(log.path, start.parser_state)
            limits = self.config.limits
            lines = Lines(
                opened,
                start.proof,
                chunk=limits.chunk_kib * 1024,
                longest_line=int(limits.max_line_mib * BYTES_PER_MIB),
            )
            purged = self._store.purged_until(log.id)
            piece = Piece(lines, parser, self._places, self.stopped, at_rest=at_rest, purged=purged)
            watch = Watch(self._store, Counted(piece, log))
            distillate = self._distiller.distill(Batch(piece.events(), lambda: piece.session, watch.see), start.carry)
            proof = lines.proof
            opened.confirm(proof)
            state = without_secrets(parser.state(), self._redact)
            skip = self._skip(piece, distillate, start)
            carry = self._blank if skip is Skip.EXCLUDED else distillate.carry
            kept = None if piece.ends_session else carry  # another session knows nothing of this one
            after = Cursor(proof, start.generation, self._distiller.version, state, kept)
            records = parser.records
            records.total += lines.oversized_count
            records.undecodable += lines.oversized_count
            work = Commit(
                log_id=log.id,
                distiller=self._distiller.name,
                version=self._distiller.version,
                before=before,
                after=after,
                session=piece.session,
                records=records,
                stat=opened.stat,
                findings=() if skip else tuple(self._attributed(piece, distillate)),
                mishaps=() if skip else tuple(self._misfortunes(piece.session, distillate)),
                restart=again,
                complete=piece.ended and (at_rest or not lines.rest_length),
                outcome=None if skip is Skip.EXCLUDED else distillate.outcome,
                skip=skip,
                project="" if skip else self.project(parser.session.cwd, parser.session.repository_url).key,
                chances={} if skip else watch.counts(),
            )
            return Reading(
                log=log,
                work=work,
                turn=parser.turn,
                session=piece.session.id or log.session_hint or str(log.id),
                bytes_read=proof.offset - start.proof.offset,
                more=not piece.ended,
                ends_session=piece.ends_session,
            )

    def look_back(self, log: PendingLog) -> tuple[Cursor, dict[int, int]]:
        """Judge the deliveries of a log's session by all of it that was distilled; up to which cursor, and the counts.

        For deliveries that became known after parts of the log were read. Raises LogProblem where that cannot be read
        again.
        """
        session = self._store.counted_session_of(log.id)
        cursor = self._store.cursor(log.id, self._distiller.name) or Cursor(Proof())
        source = self._sources[log.source]
        with self.attempts.at(log, self.distiller, FORESEEN), open_log(log.path, source.layout) as opened:
            if judge(cursor.proof, opened.proof(cursor.proof.offset)) in {Sameness.REWRITTEN, Sameness.REPLACED}:
                raise LogProblem(f"{log.path} was rewritten.", "Nothing to do: it is read anew.", reason=Skip.GONE)
            parser = source.open(log.path, None)
            lines = Lines(opened, longest_line=int(self.config.limits.max_line_mib * BYTES_PER_MIB))
            piece = Piece(lines, parser, self._places, self.stopped, at_rest=True, end=cursor.proof.offset)
            watch = Watch(self._store, lambda: session)
            self._distiller.distill(Batch(piece.events(), lambda: piece.session, watch.see), None)
            return cursor, watch.counts()

    def _start(self, before: Cursor | None, opened: OpenLog, *, again: bool) -> Cursor:
        """The cursor to go on from: the stored one if the log still is the one it was made for."""
        if before is None:
            return Cursor(Proof())
        if again:
            return Cursor(Proof(), generation=before.generation)
        if judge(before.proof, opened.proof(before.proof.offset)) in {Sameness.REWRITTEN, Sameness.REPLACED}:
            return Cursor(Proof(), generation=before.generation + 1)
        return before

    def _attributed(self, piece: Piece, distillate: Distillate) -> Iterator[tuple[ProjectRef, Finding, bool]]:
        """Each finding with the project it belongs to; of a session that has ended all are final."""
        session, may_change = piece.session, not piece.ends_session
        for provisional, findings in ((False, distillate.findings), (may_change, distillate.provisional)):
            for finding in findings:
                yield self.project(finding.cwd or session.cwd, session.repository_url), finding, provisional

    def _misfortunes(self, session: Session, distillate: Distillate) -> Iterator[tuple[ProjectRef, Mishap]]:
        """Each mishap with the project it belongs to."""
        for mishap in distillate.mishaps:
            yield self.project(mishap.cwd or session.cwd, session.repository_url), mishap

    def project(self, cwd: str, repository_url: str) -> ProjectRef:
        """The project of a working directory: decided once, then remembered.

        Only the disk decides, and a remote that a log names counts for that log alone: with what other logs told,
        the order in which logs are met would show in the store.
        """
        known = self._projects.get((cwd, repository_url))
        if known is None:
            clean = self._places[cwd]
            stored = self._store.project(clean)
            if stored is None:
                found = resolve(clean)
                stored = self._store.remember_project(clean, found.key, found.root, found.remote)
            remote = stored[2] or self._redact(normalised_remote(repository_url))
            known = self._projects[cwd, repository_url] = ProjectRef(stored[0], remote)
        return known

    def _skip(self, piece: Piece, distillate: Distillate, start: Cursor) -> Skip | None:
        """Why nothing of a log is learned, if so: another program's doing, a project to leave alone, no words."""
        if piece.session.ignored:
            return Skip.MACHINE_RUN
        if is_excluded({piece.session.cwd, *piece.cwds}, self.config.privacy.exclude):
            return Skip.EXCLUDED
        follows_session = start.carry is None and start.proof.offset > 0
        blank = not distillate.events and distillate.carry == self._blank and not follows_session
        return Skip.NO_CONVERSATION if blank else None


class Counted:
    """The session that a log counts for, as far as its records have told; asked at each call, so worked out once."""

    def __init__(self, piece: Piece, log: PendingLog) -> None:
        self._piece = piece
        self._log = log
        self._of: Session | None = None
        self._name = ""

    def __call__(self) -> str:
        """Its name."""
        session = self._piece.session
        if session is not self._of:
            log = self._log
            self._of = session
            self._name = counted_session(session, log.session, log.session_hint, os.fsencode(log.path))
        return self._name


class CleanPlaces(dict[str, str]):
    """Working directories and tools' names as they may be kept: redacted. Logs have few, so each is looked at once."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def __missing__(self, cwd: str) -> str:
        """The directory or tool without secrets in its name."""
        if len(self) >= _MOST_NAMES:
            self.clear()
        clean = self[cwd] = self._redact(cwd)
        return clean


def without_secrets(state: bytes, redact: Callable[[str], str]) -> bytes:
    """A parser's state as it may be stored: a queued prompt, a directory or a URL in it may hold a secret."""
    table = msgspec.msgpack.decode(state)
    seen = table.pop("recent", [])  # ids of records: up to a thousand, and no texts
    # One look at all texts together: 30 us for a state of 1 KB, where each text by itself would take 1 ms.
    together = "\n".join(_texts(table))
    if redact(together) == together:
        return state
    return msgspec.msgpack.encode({**_redacted(table, redact), "recent": seen})


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - whatever a state holds
    """Every text in a state but the names of its fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:  # noqa: ANN401 - whatever a state holds
    """The same state with every text redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redacted(inner, redact) for key, inner in value.items()}
    return [_redacted(inner, redact) for inner in value] if isinstance(value, list) else value


class Piece:
    """The events of the next whole lines of a log: of one session, and at most PIECE_BYTES of them, or all up to `end`.

    Pieces keep a huge log from holding up the others, and a killed process loses one piece at most. They change
    nothing in the result: a distiller goes on where it stopped.
    """

    def __init__(
        self,
        lines: Lines,
        parser: Parser,
        places: CleanPlaces,
        stopped: Callable[[], bool],
        *,
        at_rest: bool,
        end: int | None = None,
        purged: Mark | None = None,
    ) -> None:
        self._purged = purged
        self._lines = lines
        self._limit = lines.offset + PIECE_BYTES if end is None else end
        self._parser = parser
        self._places = places
        self._stopped = stopped
        self._at_rest = at_rest
        self.cwds: set[str] = set()  # where the session worked in this piece
        self.ended = False  # all whole lines that the log held were read
        self._left: Session | None = None

    @property
    def session(self) -> Session:
        """Whose events these are: the line that begins another session may still tell some of the last one."""
        return self._parser.session if self._left is None else self._left

    @property
    def ends_session(self) -> bool:
        """Whether another session of the log begins behind this piece."""
        return self._left is not None

    def events(self) -> Iterator[Event]:
        """The events; raises Stopped when the process is to end."""
        lines, parser, feed = self._lines, self._parser, self._parser.feed
        self._left = None
        for offset, line in lines:
            events = self._kept(feed(line, offset))
            self._left = parser.left
            for event in events:
                yield self._clean(event)
            if lines.offset >= self._limit or self._left is not None:
                return
            if self._stopped():
                raise Stopped
        self.ended = True
        if self._at_rest and lines.rest_length and parser.is_whole(lines.rest):
            taken = lines.take_rest()
            if taken is not None:
                events = self._kept(feed(taken[1], taken[0]))
                self._left = parser.left
                yield from map(self._clean, events)

    def _kept(self, events: Iterable[Event]) -> Iterable[Event]:
        """The events without those that a person has purged: the parser has seen them, nobody else does."""
        mark = self._purged
        if mark is None:
            return events
        return [one for one in events if (one.span.offset >= mark.offset if one.at is None else one.at > mark.at)]

    def _clean(self, event: Event) -> Event:
        """An event, its working directory and tool without secrets: what a distiller keeps is stored."""
        self.cwds.add(event.cwd)
        cwd, tool = self._places[event.cwd], self._places[event.tool][:_LONGEST_TOOL]
        if cwd == event.cwd and tool == event.tool:
            return event
        return msgspec.structs.replace(event, cwd=cwd, tool=tool)

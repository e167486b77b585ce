"""From what lies on disk to the catalogue: which logs there are, which changed, which are gone.

Hints of the watcher and the periodic passes all end here; only a pass over the directories tells the truth.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from selfdistill.errors import LogProblem
from selfdistill.ingest.identity import same_bytes
from selfdistill.ingest.members import database_of, stat_of_database, stat_of_document
from selfdistill.ingest.roots import Root, examine_root
from selfdistill.ingest.scanning import NOT_TRUSTED_NS, Absences, Directory, directory_times, scan_root, stat_logs
from selfdistill.ingest.stillness import Stillness
from selfdistill.layouts import Database
from selfdistill.model import Skip, Stat
from selfdistill.service.listing import Listings, same_state
from selfdistill.service.renaming import Renaming
from selfdistill.service.watched import Change, Watched, owner_among

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from selfdistill.layouts import Layout
    from selfdistill.store import KnownLog, PendingLog, Store

MAX_HOT: Final = 20_000  # logs stat'ed one by one between full passes; more than that and the full pass must do
PART_LOGS: Final = 1000  # new or changed logs, and directories, between two halts of a full pass
PART_DIRECTORIES: Final = 100
_GONE_SCANS: Final = 2  # as many listings without it, and the catalogue takes a log for gone
_NOTHING: Final = Stat(0, 0, 0, 0, 0)
_CLOSED: Final = frozenset({Skip.GONE, Skip.UNREADABLE, Skip.EXCLUDED})  # an unchanged stat does not settle these


class Survey:
    """Keeps the catalogue true. One pass is one transaction for each directory; never raises for what a log does."""

    def __init__(self, store: Store, watched: tuple[Watched, ...], clock: Callable[[], float], distiller: str) -> None:
        self._store = store
        self.watched = watched
        # As texts: PurePath.is_relative_to takes 20 us, and a full pass asks twice for each log.
        self._places = tuple((f"{root}/", one) for one in watched for root in one.roots)
        self._excludes = any(one.exclude for one in watched)
        self._sources = {one.source.name: one.source for one in watched}
        self._clock = clock
        self._renaming = Renaming(store, distiller)
        self._times: dict[Path, int] = {}  # directory -> mtime at its last listing
        self._absences: dict[Path, Absences] = {}
        self.hot: dict[Path, Stat] = {}  # logs that changed lately, as they were seen last
        self.roots: dict[Path, Root] = {}
        self._twins: set[Path] = set()  # second names of a directory that is a root already: not read twice
        self._composed: set[Path] = set()  # those among the hot that are no plain files of lines
        self._companions: dict[Path, tuple[Path, ...]] = {}  # directory -> the documents that have files in it
        self._listings = Listings()
        self.stillness = Stillness()

    def examine(self) -> tuple[Root, ...]:
        """Look at every root again; also says what `roots` is."""
        self.roots = {path: examine_root(path) for watched in self.watched for path in watched.roots}
        named: dict[tuple[int, int] | None, Path] = {}
        self._twins = {
            path
            for path, root in self.roots.items()
            if root.identity is not None and named.setdefault(root.identity, path) != path
        }
        return tuple(self.roots.values())

    def owner(self, path: PurePath) -> Watched | None:
        """The source whose log this is, if it lies below one of its roots."""
        return owner_among(self._places, path)

    def full_pass(self) -> list[Change]:
        """Look at every log of every root."""
        return [change for part in self.full_pass_in_parts() for change in part]

    def full_pass_in_parts(self) -> Iterator[list[Change]]:
        """The same with a halt after every hundred directories or so: 100,000 logs take seconds and 200 MB at once."""
        changes: list[Change] = []
        self.stillness.begin(self._store.foreign_writes())
        self._times.clear()
        self._companions.clear()
        self._listings.begin()
        for root in self.examine():
            unseen: list[Path] = []
            if root.scannable and root.path not in self._twins:
                for count, directory in enumerate(self._scan(root.path)):
                    changes += self._take_in(directory, unseen)
                    if len(changes) >= PART_LOGS or count % PART_DIRECTORIES == 0:
                        yield changes
                        changes = []
                unseen += self._vanished_directories(root.path)
            self._bury(root, unseen)
        yield changes

    def directory_pass(self) -> list[Change]:
        """Look only into directories whose own time changed, and into new roots: finds new logs, not growth."""
        changes: list[Change] = []
        changed = list(directory_times(self._times))
        for found in self.examine():
            if found.scannable and found.path not in self._times and found.path not in self._twins:
                for directory in self._scan(found.path):
                    changes += self._take_in(directory, [])
        for path in changed:
            root = next((root for root in self.roots if path.is_relative_to(root)), None)
            if root is None or not self.roots[root].scannable:
                continue
            del self._times[path]
            for directory in self._scan(root, below=path, known=self._times):
                changes += self._take_in(directory, [])
        return changes

    def hot_pass(self, younger_than: float) -> list[Change]:
        """Look at the logs that changed since `younger_than` (seconds since the epoch).

        Only what looks different goes to the catalogue: a query each would cost 1.5 % of a core at 10,000 logs.
        """
        self.hot = {path: stat for path, stat in self.hot.items() if stat.mtime_ns / 1e9 >= younger_than}
        self._composed.intersection_update(self.hot)
        seen = dict(stat_logs(path for path in self.hot if path not in self._composed))
        seen |= {path: self._stat(path) for path in self._composed}
        return self.look([path for path, now in seen.items() if now != self.hot[path]], hinted=False)

    def look(self, paths: Iterable[Path], *, hinted: bool = True) -> list[Change]:
        """Look at these paths: logs, what belongs to logs, or directories in which there may be some.

        A database that takes long to list is left to the passes if this is only a hint.
        """
        changes: list[Change] = []
        composed: set[Path] = set()
        with self._store.transaction():
            for path, seen in stat_logs(paths):
                composed.update(self._behind(path))
                if seen is Skip.NOT_REGULAR and path.is_dir() and not path.is_symlink():
                    root = next((root for root in self.roots if path.is_relative_to(root)), None)
                    for directory in self._scan(root, below=path) if root else ():
                        changes += self._take_in(directory, [])
                elif (owner := self.owner(path)) and path not in composed:
                    wanted = Skip.EXCLUDED if owner.excludes(path) else seen
                    changes += self._note(owner, path, wanted, self._store.log_at(path))
        for owner, path, layout in self._composed_of(sorted(composed)):
            changes += self._take_in_composed(owner, path, layout, hinted=hinted)
        return changes

    def look_once_more(self, logs: Iterable[PendingLog]) -> list[Change]:
        """Those of these logs that were written to since the catalogue saw them, as far as a `stat` alone tells."""
        plain = {log.path: log.stat for log in logs if log.path not in self._composed}
        changed = [path for path, now in stat_logs(plain) if isinstance(now, Stat) and now != plain[path]]
        return self.look(changed, hinted=False) if changed else []

    def load_hot(self, younger_than: float) -> None:
        """After a start: the logs that changed lately, from the catalogue."""
        young = self._store.changed_since(int(younger_than * 1e9), MAX_HOT)
        paths = [(log.path, log.stat) for log in young]
        # A full pass lists the databases soon; their sessions are no files that could be looked at.
        self.hot = {path: seen for path, seen in paths if not self._is_database(path.parent)}
        self._composed = {path for path in self.hot if self._layout(path) is not None}

    def _scan(
        self, root: Path, *, below: Path | None = None, known: Mapping[Path, int] | None = None
    ) -> Iterator[Directory]:
        beneath = f"{root}/"
        near = tuple(one for one in self._places if one[0].startswith(beneath) or beneath.startswith(one[0]))

        def owned(path: PurePath) -> bool:
            return owner_among(near, path) is not None

        def excluded(path: PurePath) -> bool:
            owner = owner_among(near, path) if self._excludes else None
            return owner is not None and owner.excludes(path)

        return scan_root(root, owned, excluded, below=below, known=known or {}, still=self.stillness.of)

    def _take_in(self, directory: Directory, unseen: list[Path]) -> list[Change]:
        """One listing into the catalogue; logs known but not listed are added to `unseen`."""
        if directory.complete or directory.mtime_ns == NOT_TRUSTED_NS:
            self._times[directory.path] = directory.mtime_ns
        if directory.unchanged:
            return []
        changes: list[Change] = []
        composed: list[tuple[Watched, Path, Layout]] = []
        known = self._store.known(str(directory.path))
        with self._store.transaction():
            for path, stat in directory.found:
                earlier = known.pop(path.name, None)
                if earlier is not None and self._needs_no_look(earlier, path, stat):
                    continue
                if here := self._composed_of([path]):
                    composed += here
                elif owner := self.owner(path):
                    changes += self._note(owner, path, stat, earlier)
            for path, problem in directory.problems:
                if owner := self.owner(path):
                    self._note_problem(owner, path, problem, known.pop(path.name, None))
                    self._close_sessions(owner, path, problem)
        composed += self._composed_of(self._companions.get(directory.path, ()))
        for owner, path, layout in composed:
            changes += self._take_in_composed(owner, path, layout)
        missing = [log.path for log in known.values() if log.skip is not Skip.GONE]
        self.stillness.compared(directory, agrees=directory.complete and not (changes or composed or missing))
        unseen += missing if directory.complete else []
        return changes

    def _needs_no_look(self, known: KnownLog, path: Path, seen: Stat) -> bool:
        """Whether a listed log is a plain file and as the catalogue has it: most are, at every pass."""
        source = self._sources.get(known.source)
        return source is not None and source.layout(path) is None and _is_as_known(known, seen)

    def _composed_of(self, paths: Iterable[Path]) -> list[tuple[Watched, Path, Layout]]:
        """Those of the paths that are documents or databases, with what they are."""
        owners = ((self.owner(path), path) for path in paths)
        layouts = ((owner, path, owner.source.layout(path)) for owner, path in owners if owner)
        return [(owner, path, layout) for owner, path, layout in layouts if layout is not None]

    def _take_in_composed(self, owner: Watched, path: Path, layout: Layout, *, hinted: bool = False) -> list[Change]:
        """A document with what belongs to it, or a database's sessions, into the catalogue."""
        if isinstance(layout, Database):
            return self._take_in_database(owner, path, layout, hinted=hinted)
        seen = Skip.EXCLUDED if owner.excludes(path) else self._stat(path)
        if isinstance(seen, Stat):
            self._composed.add(path)
        return self._note(owner, path, seen, self._store.log_at(path))

    def _take_in_database(self, owner: Watched, path: Path, layout: Database, *, hinted: bool) -> list[Change]:
        """The sessions of a database into the catalogue, if something was committed to it since it was listed."""
        seen = Skip.EXCLUDED if owner.excludes(path) else stat_of_database(path)
        listings = self._listings
        if seen is not Skip.GONE:
            listings.note_present(path)
        if isinstance(seen, Skip):
            self._note_problem(owner, path, seen, self._store.log_at(path))
            self._close_sessions(owner, path, seen)
            return []
        if listings.is_known(path, seen) or (hinted and listings.is_too_soon(path)):
            return []
        try:
            found = listings.list(path, layout, seen)
        except LogProblem as problem:
            self._warm(path, listings.known(path))
            self._note_problem(owner, path, Skip(problem.reason), self._store.log_at(path), problem.message)
            return []
        changes: list[Change] = []
        known = self._store.known(str(path))
        with self._store.transaction():
            self._forget_problem(path)
            for log, stat in found.items():
                earlier = known.pop(log.name, None)
                changes += self._note(owner, log, same_state(stat, earlier, seen), earlier, session=True)
            missing = [log for log in known.values() if log.gone_scans < _GONE_SCANS]
            if any([not self._store.missing(log.id) for log in missing]):  # noqa: C419 - each one is to be counted
                listings.doubt(path)  # a second listing says whether they are gone
        self._warm(path, listings.known(path))
        self._composed.add(path)
        return changes

    def _close_sessions(self, owner: Watched, path: Path, problem: Skip) -> None:
        """The sessions of a database that the user excludes are excluded with it."""
        if problem is Skip.EXCLUDED and isinstance(owner.source.layout(path), Database):
            for log in self._store.known(str(path)).values():
                self._note_problem(owner, log.path, problem, log)

    def _forget_problem(self, path: Path) -> None:
        """A database that is listed now needs no entry of its own in the ledger any more."""
        log = self._store.log_at(path)
        if log is not None and log.skip is not None:
            self._store.skip(log.id, None)
            for _ in range(_GONE_SCANS):
                self._store.missing(log.id)

    def _stat(self, path: Path) -> Stat | Skip:
        """What a log looks like that is more than a plain file."""
        layout = self._layout(path)
        if layout is None or isinstance(layout, Database):
            return stat_of_database(path)
        companions = layout.companions(path)
        for directory in map(Path, companions):
            others = self._companions.get(directory, ())
            if path not in others:
                self._companions[directory] = (*others, path)
        return stat_of_document(path, companions)

    def _layout(self, path: Path) -> Layout | None:
        owner = self.owner(path)
        return owner.source.layout(path) if owner else None

    def _is_database(self, path: Path) -> bool:
        return isinstance(self._layout(path), Database)

    def _behind(self, path: Path) -> set[Path]:
        """The documents and databases that a path belongs to: as one of them, as a companion, as SQLite's side file."""
        near = {path, database_of(path) or path}
        return {one for one in near if self._layout(one) is not None} | set(self._companions.get(path.parent, ()))

    def _warm(self, path: Path, seen: Stat) -> None:
        """Look at this log often for a while."""
        if len(self.hot) < MAX_HOT:
            self.hot[path] = seen

    def _note(
        self, owner: Watched, path: Path, seen: Stat | Skip, known: KnownLog | None, *, session: bool = False
    ) -> list[Change]:
        """What one look at one log says, into the catalogue; `session`: it lives in a database."""
        if isinstance(seen, Skip):
            self._note_problem(owner, path, seen, known)
            return []
        if known is not None and _is_as_known(known, seen):
            return []
        unread = known is None or not known.distilled_size  # a name may be met while its file is still being written
        moved = self._renaming.earlier(owner.source, path, seen, session=session) if unread and seen.size else None
        if moved is not None:
            self.hot.pop(moved.path, None)
        if not session:
            self._warm(path, seen)
        if moved is not None and same_bytes(moved.stat, seen) and moved.skip not in _CLOSED:
            return self._note_renamed(owner, path, seen, moved)
        now = self._clock()
        modified = min(now, seen.mtime_ns / 1e9)
        wanted = seen.size > 0
        log_id = self._store.see(
            owner.source.name,
            owner.source.session_hint(path),
            path,
            seen,
            changed_at=modified,
            pending_since=modified if wanted else None,
        )
        self._store.skip(log_id, None if wanted else Skip.EMPTY)
        return [Change(log_id, owner.source.name, path, seen)] if wanted else []

    def _note_renamed(self, owner: Watched, path: Path, seen: Stat, moved: KnownLog) -> list[Change]:
        """A log that has a new name and nothing else: what it owed it still owes, no more."""
        hint = owner.source.session_hint(path)
        log_id = self._store.see(
            owner.source.name, hint, path, seen, changed_at=moved.changed_at, pending_since=moved.pending_since
        )
        return [Change(log_id, owner.source.name, path, seen)] if moved.pending_since is not None else []

    def _note_problem(
        self, owner: Watched, path: Path, problem: Skip, known: KnownLog | None, detail: str = ""
    ) -> None:
        """A log that is owned but cannot or must not be read: in the ledger, with its reason."""
        if problem is Skip.GONE or (known is not None and known.skip is problem):
            return
        hint = owner.source.session_hint(path)
        stat = known.stat if known else _NOTHING
        log_id = self._store.see(owner.source.name, hint, path, stat, changed_at=self._clock(), pending_since=None)
        self._store.skip(log_id, problem, detail)

    def _vanished_directories(self, root: Path) -> list[Path]:
        """Logs of directories that the catalogue knows and the scan did not meet."""
        names = {watched.source.name for watched in self.watched if root in watched.roots}
        known = {directory for name in names for directory in self._store.directories(name)}
        seen = {*map(str, self._times), *map(str, self._listings.present)}
        beneath = (str(root), f"{root}/")
        missing = [one for one in known - seen if one == beneath[0] or one.startswith(beneath[1])]
        return [log.path for directory in missing for log in self._store.known(directory).values()]

    def _bury(self, root: Root, unseen: list[Path]) -> None:
        """Believe that logs are gone when two scans in a row say so."""
        gone = self._absences.setdefault(root.path, Absences()).confirm(root, unseen)
        if not gone:
            return
        with self._store.transaction():
            for path in gone:
                log = self._store.log_at(path)
                if log is not None:
                    self._store.missing(log.id)
                    self._store.missing(log.id)  # both scans agree; the catalogue counts them one by one
                self.hot.pop(path, None)


def _is_as_known(known: KnownLog, seen: Stat) -> bool:
    """Whether an unchanged log needs no other look: it is settled, or was read and excluded for its project."""
    if known.stat != seen or known.gone_scans:
        return False
    read = known.skip is Skip.EXCLUDED and known.distilled_size >= known.stat.size > 0
    return read or known.skip not in _CLOSED

"""From what lies on disk to the catalogue: which logs there are, which changed, which are gone.

Hints of the watcher and the periodic passes all end here; only a pass over the directories tells the truth.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.errors import LogProblem
from selfdistill.ingest.identity import Vanished, origin
from selfdistill.ingest.reading import open_log
from selfdistill.ingest.roots import Root, examine_root
from selfdistill.ingest.scanning import NOT_TRUSTED_NS, Absences, Directory, directory_times, scan_root, stat_logs
from selfdistill.model import Skip, Stat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from selfdistill.config import Config
    from selfdistill.sources.base import Source
    from selfdistill.store import KnownLog, Store

MAX_HOT: Final = 20_000  # logs stat'ed one by one between full passes; more than that and the full pass must do
_FIRST_HOT: Final = 256  # read at first: hot logs are few, and 20,000 rows at once would be 20 MB
_NOTHING: Final = Stat(0, 0, 0, 0, 0)
_CLOSED: Final = frozenset({Skip.GONE, Skip.UNREADABLE, Skip.EXCLUDED})  # an unchanged stat does not settle these


class Watched(Struct, frozen=True):
    """One agent's logs as configured: where, and what to leave alone."""

    source: Source
    roots: tuple[Path, ...]
    exclude: tuple[str, ...] = ()

    def excludes(self, path: PurePath) -> bool:
        """Whether the user wants this log left alone."""
        return any(fnmatchcase(str(path), pattern) for pattern in self.exclude)


class Change(Struct, frozen=True):
    """A log that is new or looks different from what the catalogue knew."""

    id: int
    source: str
    path: Path
    stat: Stat


def watched_sources(
    sources: Iterable[Source], config: Config, home: Path, environment: Mapping[str, str]
) -> tuple[Watched, ...]:
    """The enabled sources with their roots: the configured ones, else the agent's own."""
    watched = []
    for source in sources:
        settings = config.sources.get(source.name)
        if settings is not None and not settings.enabled:
            continue
        configured = tuple(Path(root) for root in settings.roots) if settings else ()
        roots = configured or source.roots(home, environment)
        watched.append(Watched(source, roots, settings.exclude if settings else ()))
    return tuple(watched)


class Survey:
    """Keeps the catalogue true. One pass is one transaction for each directory; never raises for what a log does."""

    def __init__(self, store: Store, watched: tuple[Watched, ...], clock: Callable[[], float], distiller: str) -> None:
        self._store = store
        self.watched = watched
        # As texts: PurePath.is_relative_to takes 20 us, and a full pass asks twice for each log.
        self._places = tuple((f"{root}/", one) for one in watched for root in one.roots)
        self._clock = clock
        self._distiller = distiller  # whose cursors say where a renamed log came from
        self._times: dict[Path, int] = {}  # directory -> mtime at its last listing
        self._absences: dict[Path, Absences] = {}
        self.hot: dict[Path, Stat] = {}  # logs that changed lately, as they were seen last
        self.roots: dict[Path, Root] = {}
        self._twins: set[Path] = set()  # second names of a directory that is a root already: not read twice

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
        text = str(path)
        for prefix, watched in self._places:
            if text.startswith(prefix) and watched.source.owns(path):
                return watched
        return None

    def full_pass(self) -> list[Change]:
        """Look at every log of every root."""
        changes: list[Change] = []
        self._times.clear()
        for root in self.examine():
            unseen: list[Path] = []
            if root.scannable and root.path not in self._twins:
                for directory in self._scan(root.path):
                    changes += self._take_in(directory, unseen)
                unseen += self._vanished_directories(root.path)
            self._bury(root, unseen)
        return changes

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
        return self.look([path for path, seen in stat_logs(tuple(self.hot)) if seen != self.hot[path]])

    def look(self, paths: Iterable[Path]) -> list[Change]:
        """Look at these paths: logs, or directories in which there may be some."""
        changes: list[Change] = []
        for path, seen in stat_logs(paths):
            if seen is Skip.NOT_REGULAR and path.is_dir() and not path.is_symlink():
                root = next((root for root in self.roots if path.is_relative_to(root)), None)
                for directory in self._scan(root, below=path) if root else ():
                    changes += self._take_in(directory, [])
            elif owner := self.owner(path):
                wanted = Skip.EXCLUDED if owner.excludes(path) else seen
                changes += self._note(path, wanted, self._store.log_at(path))
        return changes

    def load_hot(self, younger_than: float) -> None:
        """After a start: the logs that changed lately, from the catalogue."""
        limit = _FIRST_HOT
        newest = self._store.present(limit)
        while len(newest) == limit < MAX_HOT and newest[-1].stat.mtime_ns / 1e9 >= younger_than:
            limit *= 4
            newest = self._store.present(limit)
        self.hot = {log.path: log.stat for log in newest if log.stat.mtime_ns / 1e9 >= younger_than}

    def _scan(
        self, root: Path, *, below: Path | None = None, known: Mapping[Path, int] | None = None
    ) -> Iterator[Directory]:
        def excluded(path: PurePath) -> bool:
            owner = self.owner(path) if any(watched.exclude for watched in self.watched) else None
            return owner is not None and owner.excludes(path)

        return scan_root(root, lambda path: self.owner(path) is not None, excluded, below=below, known=known or {})

    def _take_in(self, directory: Directory, unseen: list[Path]) -> list[Change]:
        """One listing into the catalogue; logs known but not listed are added to `unseen`."""
        changes: list[Change] = []
        known = self._store.known(str(directory.path))
        with self._store.transaction():
            for path, stat in directory.found:
                changes += self._note(path, stat, known.pop(path.name, None))
            for path, problem in directory.problems:
                if self.owner(path):
                    self._note(path, problem, known.pop(path.name, None))
        if directory.complete:
            self._times[directory.path] = directory.mtime_ns
            unseen += [log.path for log in known.values() if log.skip is not Skip.GONE]
        elif directory.mtime_ns == NOT_TRUSTED_NS:
            self._times[directory.path] = NOT_TRUSTED_NS
        return changes

    def _note(self, path: Path, seen: Stat | Skip, known: KnownLog | None) -> list[Change]:
        """What one look at one log says, into the catalogue."""
        if isinstance(seen, Skip):
            self._note_problem(path, seen, known)
            return []
        if known is not None and known.stat == seen and not known.gone_scans and _is_settled(known):
            return []
        owner = self.owner(path)
        if owner is None:
            return []
        moved = self._moved(owner, path, seen) if known is None and seen.size else None
        if moved is not None and _same_bytes(moved.stat, seen) and moved.skip not in _CLOSED:
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
        if len(self.hot) < MAX_HOT:
            self.hot[path] = seen
        return [Change(log_id, owner.source.name, path, seen)] if wanted else []

    def _moved(self, owner: Watched, path: Path, seen: Stat) -> KnownLog | None:
        """The log that this new path held under a name that is gone: renamed in the catalogue, cursor and all.

        The same inode, size and time need no proof (reading asks for one anyway); else the bytes must be those that
        its cursor has read: so a log that was archived, compressed or brought to another disk is not read twice.
        """
        hint = owner.source.session_hint(path)
        known = self._store.moved_candidates(owner.source.name, hint, seen.dev, seen.ino)
        gone = {str(log.id): log for log in known if next(iter(stat_logs([log.path])))[1] is Skip.GONE}
        found = next((log for log in gone.values() if _same_bytes(log.stat, seen)), None)
        if gone and found is None:
            found = gone.get(self._origin(gone, path, seen, owner.source))
        if found is None or not self._store.rename(found.id, path):
            return None
        self.hot.pop(found.path, None)
        return found

    def _origin(self, gone: Mapping[str, KnownLog], path: Path, seen: Stat, source: Source) -> str:
        """Which of the vanished logs' cursors fits the bytes at this path; "" for none."""
        cursors = {key: self._store.cursor(log.id, self._distiller) for key, log in gone.items()}
        vanished = [Vanished(key, gone[key].stat, cursor.proof) for key, cursor in cursors.items() if cursor]
        if not vanished:
            return ""
        try:
            with open_log(path, source.layout) as opened:
                found = origin(vanished, seen, opened.proof)
        except LogProblem:  # whoever distills it meets the same problem, and the ledger tells it then
            return ""
        return found.key if found else ""

    def _note_renamed(self, owner: Watched, path: Path, seen: Stat, moved: KnownLog) -> list[Change]:
        """A log that has a new name and nothing else: what it owed it still owes, no more."""
        hint = owner.source.session_hint(path)
        log_id = self._store.see(
            owner.source.name, hint, path, seen, changed_at=moved.changed_at, pending_since=moved.pending_since
        )
        if len(self.hot) < MAX_HOT:
            self.hot[path] = seen
        return [Change(log_id, owner.source.name, path, seen)] if moved.pending_since is not None else []

    def _note_problem(self, path: Path, problem: Skip, known: KnownLog | None) -> None:
        """A log that is owned but cannot or must not be read: in the ledger, with its reason."""
        owner = self.owner(path)
        if problem is Skip.GONE or owner is None or (known is not None and known.skip is problem):
            return
        hint = owner.source.session_hint(path)
        stat = known.stat if known else _NOTHING
        log_id = self._store.see(owner.source.name, hint, path, stat, changed_at=self._clock(), pending_since=None)
        self._store.skip(log_id, problem)

    def _vanished_directories(self, root: Path) -> list[Path]:
        """Logs of directories that the catalogue knows and the scan did not meet."""
        names = {watched.source.name for watched in self.watched if root in watched.roots}
        known = {Path(directory) for name in names for directory in self._store.directories(name)}
        missing = [path for path in known if path.is_relative_to(root) and path not in self._times]
        return [log.path for path in missing for log in self._store.known(str(path)).values()]

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


def _is_settled(known: KnownLog) -> bool:
    """Whether an unchanged log needs no other look: also one that was read, and excluded for its project."""
    read = known.skip is Skip.EXCLUDED and known.distilled_size >= known.stat.size > 0
    return read or known.skip not in _CLOSED


def _same_bytes(one: Stat, other: Stat) -> bool:
    """Whether two stats are of one file that nobody wrote to in between; a rename changes its ctime only."""
    return (one.dev, one.ino, one.size, one.mtime_ns) == (other.dev, other.ino, other.size, other.mtime_ns)

"""One agent's logs as configured, a change of one of them, and whose log a path is."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from msgspec import Struct

from selfdistill.model import Stat

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from selfdistill.config import Config
    from selfdistill.sources.base import Source


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


def owner_among(places: Iterable[tuple[str, Watched]], path: PurePath) -> Watched | None:
    """The source whose log this is."""
    text = str(path)
    for prefix, watched in places:
        if text.startswith(prefix) and watched.source.owns(path):
            return watched
    return None

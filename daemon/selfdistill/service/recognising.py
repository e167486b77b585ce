"""Whose log a path is that a person names, and which logs are behind it: itself, or the sessions of a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from selfdistill.errors import LogProblem
from selfdistill.ingest.naming import printable
from selfdistill.ingest.reading import open_log
from selfdistill.ingest.sessions import sessions
from selfdistill.layouts import Database
from selfdistill.model import Skip, Stat
from selfdistill.sources import SOURCES, for_path

if TYPE_CHECKING:
    from selfdistill.sources.base import Source

_HEAD: Final = 64 * 1024


def source_of(path: Path) -> Source:
    """The source that reads a log, by its place or its first bytes; LogProblem if none does or it cannot be read."""
    file = path.parent if is_session(path) else path
    with open_log(file) as opened:
        source = for_path(file, opened.read_at(0, _HEAD))
    if source is None:
        agents = ", ".join(one.name for one in SOURCES)
        raise LogProblem(
            f"{printable(path)} is not a log that selfdistill can read.",
            f"It reads the logs of these agents: {agents}.",
            reason=Skip.NO_CONVERSATION,
        )
    return source


def is_session(path: Path) -> bool:
    """Whether a path names a session in a database, `FILE/KEY`."""
    return path.parent.is_file()


def is_database(path: Path, source: Source) -> bool:
    """Whether a path names a file with many sessions."""
    return not is_session(path) and isinstance(source.layout(path), Database)


def logs_of(path: Path, source: Source) -> dict[Path, Stat]:
    """The logs that a path stands for, and what each looks like. Raises LogProblem."""
    layout = None if is_session(path) else source.layout(path)
    if isinstance(layout, Database):
        return sessions(path, layout)
    with open_log(path, source.layout) as opened:
        return {path: opened.stat}

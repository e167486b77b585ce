"""Which project a directory belongs to, for whoever asks for lessons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from selfdistill.projects import resolve

if TYPE_CHECKING:
    from selfdistill.store import Store


def project_of(store: Store, directory: str | None) -> str:
    """The key of the project that a directory (default: the current one) belongs to, as the store decided it."""
    cwd = str(Path(directory or ".").absolute())
    decided = store.project(cwd)
    return decided[0] if decided else resolve(cwd, "", store.known_roots()).key

"""What every part of the store works with, and how values become columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfdistill.store.cues import Cueing
    from selfdistill.store.database import Database
    from selfdistill.store.lessons import Derive, Ignored


def never_ignored(_helped: int, _recurred: int) -> str:
    """Archive no lesson for being ignored."""
    return ""


class Part:
    """One subject of the store; `Store` is all of them over one connection."""

    def __init__(
        self,
        database: Database,
        *,
        derive: Derive,
        clock: Callable[[], float],
        cueing: Cueing,
        ignored: Ignored = never_ignored,
    ) -> None:
        self._database = database
        self._derive = derive
        self._clock = clock
        self._ignored = ignored
        self._cueing = cueing


def storable(text: str) -> str:
    """The text as SQLite takes it: a lone surrogate, which kills an INSERT (reliability.md 2.3), becomes `?`."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")

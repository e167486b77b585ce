"""`doctor --repair`: the store checked page by page and put right if need be, its lessons derived anew, a copy made."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from selfdistill.errors import StoreBusy, StoreCorrupt
from selfdistill.service.assembly import open_or_rescue
from selfdistill.service.state_directory import prepare_state_directory
from selfdistill.store import Rescue, Store, condemn, put_right

if TYPE_CHECKING:
    from selfdistill.config import Places

_PATIENCE_SECONDS: Final = 1.0


def repair(places: Places, clock: Callable[[], float] = time.time) -> list[str]:
    """Put the state directory and the store right; what was found and done, in sentences.

    Beside a running daemon a damaged store is only marked: the daemon, which has it open, puts it right at its next
    look. Raises what cannot be put right: StoreTooNew, StoreForeign, StoreFull, PermissionProblem, CannotCreate.
    """
    prepare_state_directory(places.state)
    try:
        rescued = put_right(places.database, clock, patience_seconds=_PATIENCE_SECONDS)
    except StoreBusy:
        return [_left_to_the_daemon(places)]
    if not places.database.exists():
        return ["There is no store yet: nothing to repair."]
    store, later = open_or_rescue(places, clock)
    with store:
        store.rederive()
        store.back_up_if_due()
        lessons = store.lessons(None, state=None, everywhere=True)
        return [*_told(rescued or later), f"{len(lessons)} lessons were derived anew."]


def _told(rescued: Rescue | None) -> list[str]:
    if rescued is None:
        return ["The store is sound."]
    return [rescued.sentence(), "`selfdistill run --limit 0`, or the daemon, reads the logs again."]


def _left_to_the_daemon(places: Places) -> str:
    try:
        store = Store.open_read_only(places.database)
        if store is not None:
            with store:
                store.check()
    except StoreCorrupt as damage:
        condemn(places.database, damage.message)
        return f"{damage.message} Whoever has it open, the daemon for one, puts it right at its next look."
    return "The store is sound, and in use."

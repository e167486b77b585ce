"""Purging as people ask for it: the store, its copies, the spool, the status file; a daemon is told to begin anew."""

from __future__ import annotations

import os
import shutil
import signal
import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from selfdistill.distill.llm.known import Before
from selfdistill.service.assembly import open_or_rescue
from selfdistill.service.lifecycle import try_lock
from selfdistill.service.processes import identity, is_alive, may_be_same
from selfdistill.service.questions import DISTILLER, shown_memo
from selfdistill.service.state_directory import prepare_state_directory

if TYPE_CHECKING:
    from selfdistill.config import Places
    from selfdistill.store import Purged, Scope


def purge(places: Places, scope: Scope, *, forget: bool, dry_run: bool = False) -> Purged:
    """Remove what is stored of a project, a session or everything; how much that was. `dry_run`: nothing is removed.

    Raises what opening the store raises, and StoreBusy if it cannot be had alone for a moment.
    """
    prepare_state_directory(places.state)
    store, _ = open_or_rescue(places)
    with store:
        purged = store.purge(scope, forget=forget, dry_run=dry_run, memo_of=_memo_of)
    if not dry_run:
        _drop_spool(places, scope)
        _renew_status(places)
    return purged


def _memo_of(distiller: str, carry: bytes) -> str:
    """Under which name it is kept what a model was shown of a conversation; "" for other distillers."""
    if distiller != DISTILLER or not carry:
        return ""
    return shown_memo(msgspec.msgpack.decode(carry, type=Before).shown.family)


def _drop_spool(places: Places, scope: Scope) -> None:
    """What hooks have noted and nobody has taken in: a session's file, or all, for they do not name projects."""
    if not places.spool.is_dir():
        return
    for path in places.spool.iterdir():
        if scope.session in path.name:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _renew_status(places: Places) -> None:
    """The status file names sessions and logs: a daemon writes it anew at once, else it goes."""
    with try_lock(places.lock) as alone:
        if alone:
            places.status.unlink(missing_ok=True)
            return
    with suppress(OSError, tomllib.TOMLDecodeError):  # its next heartbeat renews it anyway
        table = tomllib.loads(places.status.read_text())
        pid = int(table.get("pid", 0))
        if is_alive(pid) and may_be_same(str(table.get("process", "")), identity(pid)):
            os.kill(pid, signal.SIGHUP)

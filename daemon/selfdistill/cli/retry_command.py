"""`selfdistill retry`: sessions that were set aside after failures get another chance."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Final

from selfdistill.distill.merging import derive
from selfdistill.errors import UsageError
from selfdistill.ingest.naming import printable
from selfdistill.store import Store

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from selfdistill.cli.context import Context
    from selfdistill.store import SetAside

_SHORTEST_PREFIX: Final = 4


def add_arguments(parser: ArgumentParser) -> None:
    """One session or all of them."""
    parser.add_argument("session", nargs="?", metavar="SESSION", help="its id as `status` shows it, or how that begins")
    parser.add_argument("--all", action="store_true", help="every session that was set aside")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.epilog = "A running daemon takes them up at its next full pass (15 minutes); `selfdistill run` at once."


def run(arguments: Namespace, context: Context) -> int:
    """Lift the quarantine and the waiting time, and say of what."""
    if bool(arguments.session) == arguments.all:
        raise UsageError("Name one session, or say --all.", "`selfdistill status` lists those that are set aside.")
    lifted = _lift(arguments.session or "", context)
    if arguments.json:
        print(json.dumps([_table(one) for one in lifted], indent=2))
    elif not lifted:
        print("Nothing is set aside." if arguments.all else f"{arguments.session} is not set aside: nothing to lift.")
    else:
        for one in lifted:
            print(f"{one.session}  {printable(one.path)}: failed {one.attempts} times ({one.reason})")
        print("Lifted. `selfdistill run` tries at once; a running daemon within 15 minutes.")
    return 0


def _lift(wanted: str, context: Context) -> list[SetAside]:
    """What was set aside of a session ("": of all), now lifted. Raises UsageError for one that is not known."""
    if not context.places.database.exists():
        if wanted:
            raise UsageError(f"No session {wanted} is known: nothing was distilled yet.", "Try: selfdistill run")
        return []
    with Store.open(context.places.database, derive=derive) as store:
        aside = store.set_aside()
        session = _meant(wanted, [one.session for one in aside], store) if wanted else None
        lifted = [one for one in aside if session in {None, one.session}]
        store.retry(session)
    return lifted


def _meant(wanted: str, aside: Sequence[str], store: Store) -> str:
    """The id that a person means: whole, or as its beginning if only one session begins so."""
    for known in (sorted(set(aside)), store.sessions_like(wanted)):
        begun = [one for one in known if one.startswith(wanted)] if len(wanted) >= _SHORTEST_PREFIX else []
        if wanted in known:
            return wanted
        if len(begun) == 1:
            return begun[0]
        if begun:
            raise UsageError(f"{wanted} begins {len(begun)} sessions: {', '.join(begun[:5])}.", "Write more of it.")
    near = difflib.get_close_matches(wanted, sorted({*aside, *store.sessions_like("")}), n=3, cutoff=0.5)
    raise UsageError(
        f"No session {wanted} is known.",
        f"Did you mean {' or '.join(near)}?" if near else "`selfdistill status` lists those that are set aside.",
    )


def _table(one: SetAside) -> dict[str, object]:
    return {
        "session": one.session,
        "source": one.source,
        "path": printable(one.path),
        "distiller": one.distiller,
        "attempts": one.attempts,
        "not_before": one.not_before,
        "reason": one.reason,
        "quarantined": one.quarantined,
    }

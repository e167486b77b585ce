"""`selfdistill purge`: removes for good what was learned and kept of a project, a session, or everything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from selfdistill.errors import UsageError
from selfdistill.projects import resolve
from selfdistill.service.purging import purge
from selfdistill.store import Scope

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from selfdistill.cli.context import Context
    from selfdistill.store import Purged


def add_arguments(parser: ArgumentParser) -> None:
    """What to purge, and whether it may come back."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--project", metavar="DIR", help="what was learned in this project")
    what.add_argument("--session", metavar="ID", help="what this session, with its sub-agents, has shown")
    what.add_argument("--all", action="store_true", help="everything that was ever learned or decided")
    parser.add_argument("--forget", action="store_true", help="also forget that it was purged: the logs are read again")
    parser.add_argument("--dry-run", action="store_true", help="say how much it would be, remove nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.epilog = (
        "The agents' own logs are never touched. Backups and damaged stores that were kept are removed in any case, "
        "since they hold the same. What was logged to the journal or by launchd is not ours to remove."
    )


def run(arguments: Namespace, context: Context) -> int:
    """Purge; 0 when it is done, or when there is nothing."""
    scope = _scope(arguments)
    if not context.places.database.exists():
        print("Nothing is stored.")
        return 0
    would = purge(context.places, scope, forget=arguments.forget, dry_run=True)
    if arguments.dry_run:
        print(f"Would remove {_words(would)}; nothing was removed.")
        return 0
    _confirm(arguments, would)
    print(f"Removed {_words(purge(context.places, scope, forget=arguments.forget))}, and all backups.")
    again = (
        "They are learned again from the logs, if those are still there"
        if arguments.forget
        else "They are not learned again"
    )
    print(f"{again}; the logs themselves were not touched.")
    return 0


def _scope(arguments: Namespace) -> Scope:
    """The arguments in the store's words."""
    if arguments.session is not None:
        if not arguments.session:
            raise UsageError(
                "--session names no session.", "See `selfdistill lessons show ID` for the ids of sessions."
            )
        return Scope(session=arguments.session)
    if arguments.project is not None:
        if not arguments.project:
            raise UsageError("--project names no project.", "Give its directory.")
        path = Path(arguments.project).absolute()
        return Scope(project=resolve(str(path)).key if path.exists() else arguments.project)
    return Scope()


def _confirm(arguments: Namespace, would: Purged) -> None:
    """Ask, unless that was answered; raises UsageError where nobody can."""
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("Nobody is here to say yes.", "Look with --dry-run, then give --yes.")
    if input(f"Remove {_words(would)} for good? [y/N] ").strip().casefold() not in {"y", "yes"}:
        raise UsageError("Nothing was removed.")


def _words(purged: Purged) -> str:
    return (
        f"{purged.lessons} lessons, {purged.findings} findings, {purged.verdicts} verdicts and the words of "
        f"{purged.calls} calls, out of {purged.logs} logs"
    )

"""`selfdistill hooks install|uninstall|status`: lessons for the agents, through hooks in their settings."""

from __future__ import annotations

import difflib
import json
import sys
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from selfdistill.errors import UsageError
from selfdistill.ingest.naming import printable
from selfdistill.service.hook_overview import NAMES, Target, overview, targets, troubles
from selfdistill.service.hook_settings import (
    Edit,
    Standing,
    apply_install,
    apply_uninstall,
    plan_install,
    plan_uninstall,
)
from selfdistill.service.state_directory import prepare_state_directory

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from selfdistill.cli.context import Context


def add_arguments(parser: ArgumentParser) -> None:
    """install, uninstall, status."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    install = actions.add_parser("install", help="write our hooks into agents' settings; nothing else in them changes")
    uninstall = actions.add_parser("uninstall", help="take our hooks out again")
    for one in (install, uninstall):
        one.add_argument("--agent", action="append", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
        one.add_argument("--dry-run", action="store_true", help="show what would change, write nothing")
        one.add_argument(
            "--project", action="store_true", help="in this project's .claude/settings.local.json, not in your home"
        )
    status = actions.add_parser("status", help="which agents have our hooks, and what trouble they had")
    status.add_argument("--json", action="store_true")


def run(arguments: Namespace, context: Context) -> int:
    """Do the action; ConfigError for a settings file that is not understood, with nothing touched."""
    if arguments.action == "status":
        return _status(context, as_json=arguments.json)
    project = _checkout(Path.cwd()) if arguments.project else None
    meant = targets(context.home, context.environment, arguments.agent or (), project)
    if arguments.action == "install":
        return _install(meant, context, named=bool(arguments.agent), dry_run=arguments.dry_run)
    return _uninstall(meant, context, dry_run=arguments.dry_run)


def _install(meant: list[Target], context: Context, *, named: bool, dry_run: bool) -> int:
    chosen = [target for target in meant if target.present or named]
    if not chosen:
        raise UsageError(
            "There is no agent here that hooks could be written for.",
            f"Name one with --agent: {', '.join(NAMES)}.",
        )
    state = context.places.state
    plans = [(target, plan_install(target.agent, target.path, state)) for target in chosen]  # all, before the first
    if not dry_run:
        prepare_state_directory(state)
        import_module("selfdistill.recall.hook")  # so that it lies there compiled: not every installer does that
    for target, edit in plans:
        done = "already installed in" if not edit.changes else "would be written into" if dry_run else "installed in"
        _tell(target, edit, done, dry_run=dry_run)
        if not dry_run:
            apply_install(edit, state)
        if target.agent.advice and edit.changes:
            print(f"  {target.agent.advice}")
    return 0


def _uninstall(meant: list[Target], context: Context, *, dry_run: bool) -> int:
    state = context.places.state
    plans = [(target, plan_uninstall(target.agent, target.path, state)) for target in meant]
    for target, edit in plans:
        if edit.changes:
            _tell(target, edit, "would be taken out of" if dry_run else "taken out of", dry_run=dry_run)
        if not dry_run:
            apply_uninstall(edit, state)
    if not any(edit.changes for _, edit in plans):
        print("There are no hooks of ours.")
    return 0


def _tell(target: Target, edit: Edit, done: str, *, dry_run: bool) -> None:
    """One line, and for a dry run the difference."""
    print(f"{target.agent.title}: {done} {printable(target.path)}")
    if dry_run and edit.changes:
        old, new = ((text or b"").decode("utf-8", "replace").splitlines() for text in (edit.before, edit.after))
        for line in difflib.unified_diff(old, new, "now", "then", lineterm=""):
            print(f"  {line}")


def _status(context: Context, *, as_json: bool) -> int:
    """What stands where; 1 if hooks of ours do nothing as they are."""
    found = overview(context.home, context.environment, context.places.state, _checkout(Path.cwd()))
    trouble = troubles(context.places.state)
    code = int(any(one.standing in {Standing.GONE, Standing.OTHER, Standing.UNREADABLE} for one in found))
    if as_json:
        print(json.dumps({"hooks": msgspec.to_builtins(found), "troubles": msgspec.to_builtins(trouble)}, indent=2))
        return code
    for one in found:
        standing = one.standing.value if one.present or one.standing is not Standing.ABSENT else "agent not found"
        print(f"{one.title:12} {standing:15} {one.path}")
        for line in filter(None, (one.reason, one.advice)):
            print(f"{'':12} {line}")
    if trouble.count:
        when = datetime.fromtimestamp(trouble.last_at, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        more = " or more" if trouble.full else ""
        print(f"\n{trouble.count}{more} times a hook could not answer; the last, {when}: {printable(trouble.last)}")
        print(f"All are in {trouble.path}; delete it to begin anew.")
    sys.stdout.flush()
    return code


def _checkout(directory: Path) -> Path:
    """The top of the working tree around a directory, where agents look for a project's settings; else itself."""
    return next((place for place in (directory, *directory.parents) if (place / ".git").exists()), directory)

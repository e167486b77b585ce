"""`selfdistill init`: a commented configuration, and which agents' logs there are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import tomli_w

from selfdistill.cli import configuration
from selfdistill.cli.settings import settings
from selfdistill.errors import CannotCreate, LogProblem
from selfdistill.ingest.naming import printable
from selfdistill.ingest.roots import RootHealth, examine_root
from selfdistill.ingest.scanning import scan_root
from selfdistill.ingest.sessions import sessions
from selfdistill.layouts import Database
from selfdistill.service.watched import watched_sources
from selfdistill.sources import SOURCES

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from selfdistill.cli.context import Context
    from selfdistill.service.watched import Watched


def add_arguments(parser: ArgumentParser) -> None:
    """Nothing is ever overwritten, so there is nothing to force."""
    parser.add_argument(
        "--print", action="store_true", dest="only_print", help="print the configuration, write nothing"
    )


def run(arguments: Namespace, context: Context) -> int:
    """Write the configuration unless there is one, then say what was found."""
    text = configuration.example(tuple(source.name for source in SOURCES))
    roots = _resolved_roots(context)
    text += roots
    if arguments.only_print:
        print(text, end="")
        return 0
    path = context.places.config
    if path.exists():
        print(f"Kept the configuration {path}.")
    else:
        _write(context, text)
        named = " but the roots that this shell's environment names" if roots else ""
        print(f"Wrote {path}: every line{named} is commented out, the defaults count.")
    absent = []
    config = settings(context)
    for watched in watched_sources(SOURCES, config, context.home, context.environment):
        name = watched.source.name
        configured = bool(config.sources[name].roots) if name in config.sources else False
        found = _found(watched, configured=configured)
        print("".join(f"{line}\n" for line in found), end="")
        absent += [] if found else [name]
    if absent:
        print(f"Not found here, and read as soon as they are: {', '.join(absent)}.")
    print("\nNext: `selfdistill run` distills what is there; `selfdistill daemon` stays and watches.")
    return 0


def _write(context: Context, text: str) -> None:
    """The configuration, 0600 in a directory of ours."""
    path = context.places.config
    try:
        os.umask(0o077)  # `mode` is not for the parents that mkdir makes on the way
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - the descriptor has the mode
            file.write(text)
    except OSError as error:
        raise CannotCreate(
            f"Cannot write the configuration {path}: {error.strerror}.", "Make its directory writable, or use --config."
        ) from error


def _resolved_roots(context: Context) -> str:
    """Roots that only this shell knows, written down: a service does not see the shell's variables."""
    tables = []
    for source in SOURCES:
        usual = source.roots(context.home, {})
        here = source.roots(context.home, context.environment)
        if here != usual and any(context.environment.get(name) for name in source.variables):
            table = tomli_w.dumps({"roots": [str(root) for root in here]}).rstrip()
            tables.append(f"[sources.{source.name}]\n{table}\n")
    said = "\n# From this shell's environment, which a service does not see:\n"
    return said + "".join(tables) if tables else ""


def _found(watched: Watched, *, configured: bool) -> list[str]:
    """What there is of one agent; a place that does not exist is worth a line only if the user named it."""
    lines = []
    for root in watched.roots:
        health = examine_root(root)
        shown = f"{watched.source.name:14} {printable(root)}"
        if health.health is RootHealth.MISSING and not configured:
            continue
        if not health.scannable:
            lines.append(f"{shown}: {health.health.value}. {health.advice}".rstrip())
            continue
        logs = size = unreadable = 0
        for directory in scan_root(root, watched.source.owns, watched.excludes):
            size += sum(stat.size for _, stat in directory.found)
            counts = [_count(path, watched) for path, _ in directory.found]
            logs += sum(count for count in counts if count is not None)
            unreadable += counts.count(None)
        but = f", {unreadable} databases that cannot be read" if unreadable else ""
        lines.append(f"{shown}: {logs} logs, {size / 1e6:.1f} MB{but}")
    return lines


def _count(path: Path, watched: Watched) -> int | None:
    """How many logs a file is: one, or the sessions of a database; None where that does not tell."""
    layout = watched.source.layout(path)
    if not isinstance(layout, Database):
        return 1
    try:
        return len(sessions(path, layout))
    except LogProblem:
        return None

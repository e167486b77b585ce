"""`selfdistill init`: a commented configuration, and which agents' logs there are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import tomli_w

from selfdistill.cli import configuration
from selfdistill.cli.settings import settings
from selfdistill.errors import CannotCreate
from selfdistill.ingest.naming import printable
from selfdistill.ingest.roots import examine_root
from selfdistill.ingest.scanning import scan_root
from selfdistill.service.watched import watched_sources
from selfdistill.sources import SOURCES

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from selfdistill.cli.context import Context
    from selfdistill.service.watched import Watched

_ROOT_VARIABLES = ("CLAUDE_CONFIG_DIR", "CODEX_HOME")


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
    for watched in watched_sources(SOURCES, settings(context), context.home, context.environment):
        for line in _found(watched):
            print(line)
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
    named = {name: context.environment[name] for name in _ROOT_VARIABLES if context.environment.get(name)}
    if not named:
        return ""
    lines = ["\n# From this shell's environment, which a service does not see:"]
    for source in SOURCES:
        usual = source.roots(context.home, {})
        here = source.roots(context.home, context.environment)
        if here != usual:
            table = tomli_w.dumps({"roots": [str(root) for root in here]}).rstrip()
            lines.append(f"[sources.{source.name}]\n{table}")
    return "\n".join(lines) + "\n"


def _found(watched: Watched) -> list[str]:
    """What there is of one agent."""
    lines = []
    for root in watched.roots:
        health = examine_root(root)
        shown = printable(root)
        if not health.scannable:
            lines.append(f"{watched.source.name:14} {shown}: {health.health.value}. {health.advice}".rstrip())
            continue
        logs = size = 0
        for directory in scan_root(root, watched.source.owns, watched.excludes):
            logs += len(directory.found)
            size += sum(stat.size for _, stat in directory.found)
        lines.append(f"{watched.source.name:14} {shown}: {logs} logs, {size / 1e6:.1f} MB")
    return lines

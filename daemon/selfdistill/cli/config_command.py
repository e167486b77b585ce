"""`selfdistill config show|check|path`: which settings count, whether the file is sound, and where it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from selfdistill.cli import configuration
from selfdistill.config import Config, SourceSettings
from selfdistill.sources import SOURCES

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from selfdistill.cli.context import Context


def add_arguments(parser: ArgumentParser) -> None:
    """What may stand behind `config`."""
    parser.add_argument("action", choices=("show", "check", "path"), help="print it, test it, or say where it is")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(arguments: Namespace, context: Context) -> int:
    """Print what was asked for; a config file that cannot be used raises, which exits 78 (77: permissions)."""
    if arguments.action == "path":
        _print_path(context, as_json=arguments.json)
        return 0
    config = _load(context)
    if arguments.action == "show":
        table = configuration.as_table(config)
        print(json.dumps(table, indent=2) if arguments.json else configuration.effective(config), end="")
        print(end="\n" if arguments.json else "")
    else:
        _print_check(context, as_json=arguments.json)
    return 0


def _load(context: Context) -> Config:
    """The settings that count, with those of the agents that the file does not mention filled in."""
    names = tuple(source.name for source in SOURCES)
    config = configuration.load(context.places.config, names, context.home, required=context.config_given)
    sources = {name: config.sources.get(name, SourceSettings()) for name in names}
    return msgspec.structs.replace(config, sources=sources)


def _print_path(context: Context, *, as_json: bool) -> None:
    places = context.places
    if as_json:
        print(json.dumps({"config": str(places.config), "exists": places.config.exists(), "state": str(places.state)}))
    else:
        print(places.config)


def _print_check(context: Context, *, as_json: bool) -> None:
    path = context.places.config
    exists = path.exists()
    if as_json:
        print(json.dumps({"config": str(path), "exists": exists, "ok": True}))
    else:
        print(f"{path}: ok" if exists else f"{path}: there is none; the defaults count")

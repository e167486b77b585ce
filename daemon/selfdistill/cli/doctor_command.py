"""`selfdistill doctor`: one line for each thing that could stand in the way, and what to do about it."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import msgspec

from selfdistill.cli import status_command
from selfdistill.cli.settings import settings
from selfdistill.config import Config
from selfdistill.errors import ConfigError, PermissionProblem, SelfdistillError
from selfdistill.service.checkup import Patient, examine
from selfdistill.service.diagnosis import Level, Line, verdict
from selfdistill.service.repairing import repair

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from selfdistill.cli.context import Context

EXIT_CODES: Final = {Level.OK: 0, Level.WARN: 1, Level.FAIL: 2}
_LEVELS: Final = {
    status_command.HEALTHY: Level.OK,
    status_command.DEGRADED: Level.WARN,
    status_command.STALE: Level.FAIL,
    status_command.NOT_RUNNING: Level.OK,
    status_command.NEVER_STARTED: Level.OK,
}


def add_arguments(parser: ArgumentParser) -> None:
    """Whether to look only, and how to tell."""
    parser.add_argument(
        "--repair", action="store_true", help="first put a damaged store right: from a backup, or from the logs"
    )
    parser.add_argument("--json", action="store_true", help="as JSON: verdict, exit_code, checks")
    parser.epilog = (
        "exit codes: 0 all is well, 1 there are warnings, 2 something fails. Without --repair nothing is changed. "
        "Nothing but a bare connection to the model's service, if a model may be asked, leaves this machine."
    )


def run(arguments: Namespace, context: Context) -> int:
    """Look at everything, print a line for each check."""
    repaired = _repaired(context) if arguments.repair else []
    lines = [*repaired, *examine(_patient(context))]
    worst = verdict(lines)
    if arguments.json:
        checks = msgspec.to_builtins(lines)
        print(json.dumps({"verdict": worst.value, "exit_code": EXIT_CODES[worst], "checks": checks}, indent=2))
    else:
        print("\n".join(_told(lines)))
    return EXIT_CODES[worst]


def _repaired(context: Context) -> list[Line]:
    """What was put right, or why it could not be."""
    try:
        return [Line("repair", Level.OK, sentence, "") for sentence in repair(context.places)]
    except SelfdistillError as problem:
        return [Line("repair", Level.FAIL, problem.message, problem.advice)]


def _patient(context: Context) -> Patient:
    """What is to be looked at; a configuration that cannot be used is a finding, not the end."""
    config, refusal = Config(), None
    try:
        config = settings(context)
    except (ConfigError, PermissionProblem) as problem:
        refusal = problem
    snapshot = status_command.read(str(context.places.status))
    found = status_command.judge(snapshot, time.time())
    what = found.reason or "It runs, and is healthy."
    runs = found.exit_code in {status_command.HEALTHY, status_command.DEGRADED}
    died = found.exit_code == status_command.NOT_RUNNING and (snapshot.table or {}).get("state") != "stopped"
    level = Level.WARN if died else _LEVELS[found.exit_code]
    advice = "" if level is Level.OK else found.advice or "See: selfdistill status"
    daemon = Line("daemon", level, what, advice)
    return Patient(context.places, context.home, context.environment, config, refusal, daemon, runs)


def _told(lines: Sequence[Line]) -> list[str]:
    """The lines for people; advice stands below what it is about."""
    told = []
    for line in lines:
        told.append(f"{line.level.value:4}  {line.check:13} {line.what}")
        if line.advice:
            told.append(f"{'':20}{line.advice}")
    return told

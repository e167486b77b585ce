"""`selfdistill service`: the daemon as a systemd user unit or a launchd agent."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Final

import msgspec

from selfdistill.cli.settings import settings
from selfdistill.errors import ServiceProblem
from selfdistill.service.hands import Doing, Saying
from selfdistill.service.installation import installation
from selfdistill.service.installing import install, refuse_sudo, supervisor, uninstall
from selfdistill.service.model_access import model_access
from selfdistill.sources import SOURCES

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from selfdistill.cli.context import Context
    from selfdistill.config import Config
    from selfdistill.service.hands import Hand
    from selfdistill.service.installing import Supervisor
    from selfdistill.service.standing import Standing

ACTIONS: Final = ("install", "uninstall", "start", "stop", "restart", "status", "logs")
NOT_ACTIVE: Final = 3  # as `selfdistill status` and LSB have them
NOT_INSTALLED: Final = 4
_KEY: Final = "ANTHROPIC_API_KEY"


def add_arguments(parser: ArgumentParser) -> None:
    """What may stand behind `service`."""
    parser.add_argument("action", choices=ACTIONS, help="status: of the service; of the daemon: selfdistill status")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be written and run")
    parser.add_argument("--lines", type=int, default=50, metavar="N", help="logs: the last N lines (default 50)")
    parser.add_argument("--follow", action="store_true", help="logs: stay, and show what comes")
    parser.add_argument("--json", action="store_true", help="status: as JSON")
    parser.epilog = (
        "install writes down where this shell has state and logs (CLAUDE_CONFIG_DIR, CODEX_HOME, XDG_...), for a "
        "service does not see the shell; do it again when that changes. uninstall keeps what was learned. Exit "
        "codes of status: 0 active, 3 not active, 4 not installed; 71: there is no systemd or launchd of yours."
    )


def run(arguments: Namespace, context: Context) -> int:
    """Do it, or with --dry-run say what would be done."""
    hand: Hand = Saying(print) if arguments.dry_run else Doing(context.environment, print)
    chosen = supervisor(hand, context.home, context.environment)
    match arguments.action:
        case "install":
            _install(chosen, hand, context)
        case "uninstall":
            uninstall(chosen, hand, context.places)
        case "status":
            return _status(chosen, as_json=arguments.json)
        case "logs":
            return _logs(chosen, arguments)
        case verb:
            getattr(chosen, verb)()
            hand.say("Done." if not arguments.dry_run else "Nothing was done.")
    return 0


def _install(chosen: Supervisor, hand: Hand, context: Context) -> None:
    config = settings(context)  # a configuration that cannot be used is found here, not in the service's log
    made = installation(context.places, context.home, context.environment, SOURCES, config_given=context.config_given)
    refuse_sudo(context.environment)
    install(chosen, hand, made, context.places)
    _tell_of_key(config, hand, context)


def _tell_of_key(config: Config, hand: Hand, context: Context) -> None:
    """A key that only this shell has is no use to the service, and its file is no place for one."""
    without_key = {name: value for name, value in context.environment.items() if name != _KEY}
    usable_here, usable_there = (
        model_access(config.llm, environment).access.usable for environment in (context.environment, without_key)
    )
    if usable_here and not usable_there:
        hand.say(
            f"The service does not see {_KEY}, and a key does not belong into its file: name a file with the key in "
            "`[llm] api_key_file`."
        )


def _status(chosen: Supervisor, *, as_json: bool) -> int:
    standing = chosen.standing()
    code = 0 if standing.active else NOT_ACTIVE if standing.installed else NOT_INSTALLED
    if as_json:
        table = msgspec.to_builtins(standing, enc_hook=str)
        print(json.dumps({"supervisor": chosen.name, **table, "exit_code": code}, indent=2))
    else:
        print("\n".join(_lines(chosen.name, standing)))
    return code


def _lines(name: str, standing: Standing) -> list[str]:
    """The standing for people."""
    if not standing.installed:
        return [f"There is no service of ours in {name}. Install it: selfdistill service install"]
    pid = f", pid {standing.pid}" if standing.pid else ""
    answers = {True: "yes", False: "no", None: "not known"}
    lines = [f"{name}: {standing.state}{pid}", f"file: {standing.file}", f"program: {standing.program}"]
    lines.append(f"starts at login: {answers[standing.at_login]}")
    if name == "systemd":
        lines.append(f"runs without a login (lingering): {answers[standing.without_login]}")
        lines.append(f"hardened: {answers[standing.hardened]}")
    lines += [f"sets {key}={value}" for key, value in sorted(standing.environment.items())]
    return [*lines, "How the daemon fares: selfdistill status"]


def _logs(chosen: Supervisor, arguments: Namespace) -> int:
    """Hand the terminal over to the program that shows the log."""
    words = chosen.log_command(max(0, arguments.lines), follow=arguments.follow)
    if arguments.dry_run:
        print(f"Would run: {' '.join(words)}")
        return 0
    try:
        return subprocess.run(words, check=False).returncode  # noqa: S603 - our own words
    except FileNotFoundError as error:
        raise ServiceProblem(f"There is no {words[0]} here.", "Look at: selfdistill status") from error

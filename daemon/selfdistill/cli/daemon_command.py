"""`selfdistill daemon`: the service, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from selfdistill import logs
from selfdistill.cli.settings import settings
from selfdistill.errors import AlreadyRunning, ConfigError, PermissionProblem, SelfdistillError, UsageError
from selfdistill.privacy.redaction import Redactor
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.service.daemon import Daemon
from selfdistill.service.lifecycle import DaemonLock, Notifier, Signals
from selfdistill.service.state_directory import prepare_state_directory

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

    from selfdistill.cli.context import Context
    from selfdistill.config import Config

# The same as RestartPreventExitStatus in the systemd unit (service/units.py).
FOR_GOOD: Final = frozenset(kind.exit_code for kind in (UsageError, AlreadyRunning, PermissionProblem, ConfigError))


def add_arguments(parser: ArgumentParser) -> None:
    """Settings come from the configuration; one word for a supervisor."""
    parser.add_argument(
        "--launchd",
        action="store_true",
        help="end with 0 where no restart heals (64, 69, 77, 78): launchd would start us every minute, for ever",
    )
    parser.epilog = (
        "Ends with SIGTERM. SIGHUP reads the configuration again; one that cannot be used leaves the old in force. "
        "One daemon per state directory."
    )


def run(arguments: Namespace, context: Context) -> int:
    """Watch and distill until a signal; the exit code, or for launchd 0 where another start would not help."""
    logs.set_up("info", Redactor(()))  # until the configuration is read
    try:
        code = _watch(context)
    except SelfdistillError as error:
        if not arguments.launchd or error.exit_code not in FOR_GOOD:
            raise
        logs.logger("daemon").error("ended_for_good", error=error.message, advice=error.advice, code=error.exit_code)
        return 0
    return 0 if arguments.launchd and code in FOR_GOOD else code


def _watch(context: Context) -> int:
    """Watch and distill until a signal."""
    config = _in_force(settings(context))
    log = logs.logger("daemon")
    prepare_state_directory(context.places.state)

    def assembly(stopped: Callable[[], bool]) -> Assembly:
        nonlocal config
        complaint = None
        try:
            config = _in_force(settings(context))
        except (ConfigError, PermissionProblem) as problem:  # only after SIGHUP: at the start it has just been read
            complaint = problem
            log.warning("config_refused", error=problem.message, advice=problem.advice)
        return assemble(config, context.places, context.home, context.environment, stopped=stopped, complaint=complaint)

    signals = Signals()
    with DaemonLock(context.places.lock) as lock:
        signals.install()
        return Daemon(assembly, lock, Notifier(context.environment), signals, log).run()


def _in_force(config: Config) -> Config:
    """The same configuration, now that what we say of ourselves follows it."""
    logs.set_up(config.logging.level, Redactor(config.privacy.extra_patterns))
    return config

"""`selfdistill daemon`: the service, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfdistill import logs
from selfdistill.cli.settings import settings
from selfdistill.errors import ConfigError, PermissionProblem
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


def add_arguments(parser: ArgumentParser) -> None:
    """No arguments of its own; settings come from the configuration."""
    parser.epilog = (
        "Ends with SIGTERM. SIGHUP reads the configuration again; one that cannot be used leaves the old in force. "
        "One daemon per state directory."
    )


def run(_arguments: Namespace, context: Context) -> int:
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

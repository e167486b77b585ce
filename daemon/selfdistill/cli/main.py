"""The command line: finds the command, imports only that one, turns our errors into messages and exit codes.

`status` and `hook` are dispatched before anything else is imported: argparse alone would cost them a quarter of their
time.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from selfdistill.cli.context import Context

USAGE_ERROR: Final = 64  # argparse's own 2 would read as "stale" beside the codes of `status`
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141  # what a shell shows for a program that SIGPIPE ended
_OPTIONS_WITH_VALUE: Final = ("--config", "--state-dir")

# name -> (module under selfdistill.cli, help). A module has add_arguments(parser) and run(arguments, context) -> int.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "init": ("init_command", "write a commented config file and say which agents' logs there are"),
    "run": ("run_command", "one pass now over the sessions that are due"),
    "daemon": ("daemon_command", "watch, distill and stay, in the foreground"),
    "status": ("status_command", "how the daemon is doing, from its status file alone"),
    "hooks": ("hooks_command", "lessons for your agents: install, uninstall or look at the hooks in their settings"),
    "hook": ("hook_command", "what an agent's hook does: an event on standard input, lessons on standard output"),
    "lessons": ("lessons_command", "list, show, search, review and judge what was learned"),
    "export": ("export_command", "lessons into AGENTS.md or CLAUDE.md, as Markdown, or as JSON for another store"),
    "mcp": ("mcp_command", "lessons and runs for agents over MCP, on standard input and output"),
    "inspect": ("inspect_command", "one log as a timeline: events, signals, outcome, and why"),
    "retry": ("retry_command", "give sessions that were set aside after failures another chance"),
    "service": ("service_command", "run the daemon as a service: systemd user unit or launchd agent"),
    "doctor": ("doctor_command", "look whether anything here stands in the way, and say what to do"),
    "purge": ("purge_command", "remove for good what was kept of a project, a session or everything"),
    "config": ("config_command", "show, check or locate the configuration"),
}


def main(argv: list[str] | None = None) -> int:
    """Given the words after the program's name, do the command and return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    try:
        code = _dispatch(words)
        sys.stdout.flush()
    except BrokenPipeError:
        # What reads us has gone (`| head`); the interpreter's own last flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def command_of(words: Sequence[str]) -> str:
    """The first word that is neither an option nor an option's value, or ""."""
    rest = iter(words)
    for word in rest:
        if word in _OPTIONS_WITH_VALUE:
            next(rest, "")
        elif not word.startswith("-"):
            return word
    return ""


def _dispatch(words: Sequence[str]) -> int:
    command = command_of(words)
    if command == "status":
        from selfdistill.cli import status_command  # noqa: PLC0415 - before anything heavier, see above

        return status_command.main(words)
    if command == "hook":
        from selfdistill.cli import hook_command  # noqa: PLC0415 - as above

        hook_command.main(words)
    from selfdistill.errors import SelfdistillError  # noqa: PLC0415 - after the fast path

    try:
        return _run(words, command)
    except SelfdistillError as error:
        sys.stderr.write(f"selfdistill: {error.message}\n" + (f"  {error.advice}\n" if error.advice else ""))
        return error.exit_code


def _run(words: Sequence[str], command: str) -> int:
    """Parse with argparse, import the one module that was asked for, and run it."""
    import importlib  # noqa: PLC0415 - after the fast path
    from contextlib import nullcontext  # noqa: PLC0415

    from selfdistill.cli.lean import left_out  # noqa: PLC0415

    with left_out() if command == "daemon" else nullcontext():
        module = importlib.import_module(f"selfdistill.cli.{COMMANDS[command][0]}") if command in COMMANDS else None
    parser, command_parsers = _parser()
    if module is not None:
        module.add_arguments(command_parsers[command])
    try:
        arguments = parser.parse_args(words)
    except SystemExit as end:  # argparse exits by itself: 0 behind --help and --version, 2 on wrong usage
        return USAGE_ERROR if end.code else 0
    if arguments.version:
        _print_version()
        return 0
    if module is None:
        parser.print_help(sys.stderr)
        return USAGE_ERROR
    code: int = module.run(arguments, _context(arguments))
    return code


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The whole parser, and that of each command, still without its own arguments."""
    import argparse  # noqa: PLC0415 - 6 ms that `status` does not pay

    parser = argparse.ArgumentParser(
        prog="selfdistill",
        description="Distills your AI coding agents' conversation logs into lessons.",
        epilog="exit codes: 0 ok, 64 wrong usage, 69 another daemon runs, 70 internal, "
        "71 no supervisor, 73 cannot create, 77 permission, 78 configuration; `status` and `doctor` have their own: "
        "see their --help",
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="PATH", help="another configuration file")
    parser.add_argument("--state-dir", metavar="DIR", help="another state directory (also SELFDISTILL_STATE_DIR)")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    return parser, {
        name: commands.add_parser(name, help=help_text, description=_sentence(help_text), allow_abbrev=False)
        for name, (_, help_text) in COMMANDS.items()
    }


def _print_version() -> None:
    from importlib.metadata import version  # noqa: PLC0415 - 30 ms that only --version pays

    sys.stdout.write(f"selfdistill {version('selfdistill')}\n")


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _context(arguments: argparse.Namespace) -> Context:
    """Where things are: the environment's places unless the options name others."""
    from pathlib import Path  # noqa: PLC0415 - after the fast path

    from selfdistill.cli.context import Context  # noqa: PLC0415 - msgspec, after the fast path
    from selfdistill.config import Places, places  # noqa: PLC0415

    environment, home = dict(os.environ), Path.home()
    usual = places(home, environment)
    return Context(
        places=Places(
            config=Path(arguments.config).absolute() if arguments.config else usual.config,
            state=Path(arguments.state_dir).absolute() if arguments.state_dir else usual.state,
        ),
        environment=environment,
        home=home,
        config_given=bool(arguments.config),
    )

"""`selfdistill mcp`: the MCP server on standard input and output; an agent starts it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from selfdistill import logs
from selfdistill.cli.settings import settings
from selfdistill.privacy.redaction import Redactor
from selfdistill.service.agent_tools import Desk
from selfdistill.service.mcp_server import serve

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from selfdistill.cli.context import Context

_START: Final = "import sys; from selfdistill.cli.main import main; sys.exit(main())"


def add_arguments(parser: ArgumentParser) -> None:
    """Nothing to choose."""
    parser.epilog = "for Claude Code: claude mcp add selfdistill -- selfdistill mcp"


def run(_arguments: Namespace, context: Context) -> int:
    """Serve until standard input ends; UsageError without the extra `mcp`."""
    config = settings(context)
    logs.set_up(config.logging.level, Redactor(config.privacy.extra_patterns))
    if sys.stdin.isatty():
        print("selfdistill mcp speaks MCP on standard input; agents start it. Ctrl-D ends it.", file=sys.stderr)
    program = [sys.executable, "-c", _START]
    if context.config_given:
        program += ["--config", str(context.places.config)]
    serve(Desk(context.places, context.home, context.environment, lambda: settings(context)), program)
    return 0

"""The configuration that counts, for every command that needs one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfdistill.cli import configuration
from selfdistill.sources import SOURCES

if TYPE_CHECKING:
    from selfdistill.cli.context import Context
    from selfdistill.config import Config


def settings(context: Context) -> Config:
    """The loaded configuration; raises ConfigError or PermissionProblem."""
    names = tuple(source.name for source in SOURCES)
    return configuration.load(context.places.config, names, context.home, required=context.config_given)

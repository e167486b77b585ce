"""What every command is given beside its own arguments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from selfdistill.config import Places


class Context(Struct, frozen=True):
    """Where things are. `config_given`: the user named the config file, so it must exist."""

    places: Places
    environment: Mapping[str, str]
    home: Path
    config_given: bool = False

"""What a service must be told, because it does not have the shell's environment: program, state, agents' variables."""

from __future__ import annotations

import os
import pwd
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from selfdistill.errors import ServiceProblem
from selfdistill.service.units import Installation

if TYPE_CHECKING:
    from selfdistill.config import Places
    from selfdistill.sources import Source

PROGRAM: Final = "selfdistill"
STATE_VARIABLE: Final = "SELFDISTILL_STATE_DIR"
CONFIG_VARIABLE: Final = "XDG_CONFIG_HOME"
# Environments that their tool throws away: `uvx`, `uv run --with`, `pipx run`.
_FLEETING: Final = (("uv", "archive-v0"), ("uv", "builds-v0"), ("uv", "environments-v2"), ("pipx", ".cache"))
_INSTALL: Final = "Install it for good, with `pipx install` or `uv tool install`, and do this again with that one."


def installation(
    places: Places,
    home: Path,
    environment: Mapping[str, str],
    sources: Iterable[Source],
    *,
    config_given: bool,
    program: Path | None = None,
) -> Installation:
    """What this shell and this Python say; raises ServiceProblem where there is no program that will stay.

    `program` is the `selfdistill` to run, found beside the running Python if it is not named.
    """
    names = variables(sources)
    known = {name: environment[name] for name in names if environment.get(name)}
    if home != _home_of_user():
        known["HOME"] = str(home)
    return Installation(
        program=program or find_program(),
        state=places.state.absolute(),
        options=("--config", str(places.config)) if config_given else (),
        environment={**known, STATE_VARIABLE: str(places.state.absolute())},
        unset=tuple(name for name in names if name not in known),
    )


def variables(sources: Iterable[Source]) -> tuple[str, ...]:
    """Every variable that moves our configuration or an agent's logs."""
    return tuple(sorted({CONFIG_VARIABLE, *(name for source in sources for name in source.variables)}))


def find_program(candidates: Sequence[Path] | None = None) -> Path:
    """The absolute path of the `selfdistill` that belongs to the running Python.

    Links are not followed: pipx and uv move what is behind theirs when they upgrade. Raises ServiceProblem if there is
    none, or if it lies where its tool throws it away.
    """
    for candidate in _beside_python() if candidates is None else candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            _refuse_fleeting(candidate)
            return candidate
    raise ServiceProblem(f"There is no program {PROGRAM} beside {sys.executable}.", _INSTALL)


def _beside_python() -> list[Path]:
    """Where installers put programs: beside Python (venv, pipx, uv), the system's place, the user's (`pip --user`)."""
    directories = [
        os.path.dirname(os.path.abspath(sys.executable)),  # noqa: PTH100, PTH120 - resolve() would follow venv's link
        sysconfig.get_path("scripts"),
        sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user")),
    ]
    return [Path(directory) / PROGRAM for directory in directories]


def _refuse_fleeting(program: Path) -> None:
    for places in (program.parts, program.resolve().parts):
        if any(pair in pairwise(places) for pair in _FLEETING):
            raise ServiceProblem(f"{program} is a passing installation: a service would lose it.", _INSTALL)


def _home_of_user() -> Path | None:
    """The home that a supervisor gives; None for a user without an entry."""
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None

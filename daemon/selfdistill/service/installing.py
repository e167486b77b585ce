"""Making the daemon a service of this user and unmaking it: what must hold before, and what is said behind."""

from __future__ import annotations

import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from selfdistill.errors import AlreadyRunning, PermissionProblem, ServiceProblem
from selfdistill.ingest.naming import printable
from selfdistill.service.installation import STATE_VARIABLE
from selfdistill.service.launchd import Launchd
from selfdistill.service.lifecycle import try_lock
from selfdistill.service.processes import is_alive
from selfdistill.service.state_directory import prepare_state_directory
from selfdistill.service.systemd import Systemd

if TYPE_CHECKING:
    from selfdistill.config import Places
    from selfdistill.service.hands import Hand
    from selfdistill.service.units import Installation

SETTLE_SECONDS: Final = 10.0  # for the first round; on a huge home it takes longer, which is no failure
_LOOK_SECONDS: Final = 0.05
Supervisor = Systemd | Launchd


def supervisor(hand: Hand, home: Path, environment: Mapping[str, str], platform: str = sys.platform) -> Supervisor:
    """What runs services on this platform; raises ServiceProblem where nothing does that we know."""
    if platform == "darwin":
        return Launchd(hand, home, environment)
    if platform == "linux":
        return Systemd(hand, home, environment)
    raise ServiceProblem(f"There are no services of ours on {platform}.", "Run it yourself: selfdistill daemon")


def install(chosen: Supervisor, hand: Hand, installation: Installation, places: Places) -> None:
    """Install and start the service, and say what it was told.

    Raises ServiceProblem, AlreadyRunning (a daemon in some terminal would keep the service from starting),
    PermissionProblem or CannotCreate.
    """
    if not hand.rehearses:
        chosen.check()
        prepare_state_directory(places.state)
        _refuse_other_daemon(chosen, places)
    chosen.install(installation, lambda: is_through_first_round(places.status))
    for line in told(installation):
        hand.say(line)


def told(installation: Installation) -> list[str]:
    """What was written down of this shell, for a person."""
    variables = {name: value for name, value in installation.environment.items() if name != STATE_VARIABLE}
    lines = [f"Its state, lessons included: {printable(Path(installation.state))}"]
    if installation.options:
        lines.append(f"Its configuration: {installation.options[-1]}")
    if variables:
        lines.append("Written down from this shell, because a service does not see it:")
        lines += [f"  {name}={value}" for name, value in sorted(variables.items())]
    return lines


def uninstall(chosen: Supervisor, hand: Hand, places: Places) -> None:
    """Stop and remove the service; what was learned stays, and it is said where."""
    environment = chosen.written()[1]
    state = Path(environment.get(STATE_VARIABLE) or places.state)
    if not chosen.uninstall():
        hand.say("The service is not installed: nothing to do.")
    kept = [str(path) for path in (state, places.config) if path.exists()]
    if kept:
        hand.say(f"Your data stays: {', '.join(kept)}. Remove it yourself if you want it gone.")


def refuse_sudo(environment: Mapping[str, str]) -> None:
    """Raise PermissionProblem behind sudo: the service would be root's, and read root's logs."""
    if environment.get("SUDO_UID", "0") != "0":
        raise PermissionProblem(
            "A service for root would read root's logs, not yours.", "Do it as yourself, without sudo."
        )


def is_through_first_round(status: Path, patience_seconds: float = SETTLE_SECONDS) -> bool:
    """Wait until the daemon of this status file has done its first round; whether a daemon lives in the end.

    A daemon that is still at its first round when patience ends lives too.
    """
    end = time.monotonic() + patience_seconds
    while True:
        state, pid = _read(status)
        lives = state != "stopped" and is_alive(pid)
        if (lives and state not in {"", "starting"}) or time.monotonic() >= end:
            return lives
        time.sleep(_LOOK_SECONDS)


def _read(status: Path) -> tuple[str, int]:
    """State and process of a status file; "" and 0 where it does not tell."""
    try:
        table = tomllib.loads(status.read_text("utf-8"))
    except (OSError, ValueError):
        return "", 0
    pid = table.get("pid")
    return str(table.get("state", "")), pid if isinstance(pid, int) else 0


def _refuse_other_daemon(chosen: Supervisor, places: Places) -> None:
    """Raise AlreadyRunning if somebody else's daemon works on this state."""
    if chosen.standing().active:
        return
    with try_lock(places.lock) as free:
        if not free:
            raise AlreadyRunning(
                f"A daemon runs on {places.state} already, but not as a service.",
                "End it first (`selfdistill status` tells its pid), then do this again.",
            )

"""`service` against a real systemd user manager: a trial start decides on the hardening, and nothing is left behind."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfdistill.service.units import UNIT
from support.user_manager import PACKAGE, NoManagerError, UserManager, user_manager, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"NOT TESTED against systemd itself: {why_not()}")

# What `service` does, but for the search of the installed program: under test is the one in this tree.
ACT = """
import os, sys
from pathlib import Path
from selfdistill.config import places
from selfdistill.errors import SelfdistillError
from selfdistill.service.hands import Doing
from selfdistill.service.installation import installation
from selfdistill.service.installing import install, supervisor, uninstall
from selfdistill.sources import SOURCES
home, environment, hand = Path.home(), dict(os.environ), Doing(os.environ, print)
ours, chosen = places(home, environment), supervisor(Doing(os.environ, print), home, environment)
program = Path(sys.argv[2])
made = installation(ours, home, environment, SOURCES, config_given=False, program=program)
try:
    if sys.argv[1] == "install":
        install(chosen, hand, made, ours)
    elif sys.argv[1] == "uninstall":
        uninstall(chosen, hand, ours)
    elif sys.argv[1] == "standing":
        print(chosen.standing())
    else:
        getattr(chosen, sys.argv[1])()
except SelfdistillError as error:
    sys.exit(f"{error.exit_code} {error.message} {error.advice}")
"""


@pytest.fixture(scope="module")
def manager() -> Iterator[UserManager]:
    """One manager for all tests here; what it runs ends with it."""
    try:
        with user_manager() as running:
            yield running
    except NoManagerError as problem:
        pytest.skip(f"NOT TESTED against systemd itself: {problem}")


def act(manager: UserManager, verb: str, program: Path | None = None, **environment: str) -> str:
    """What `service VERB` says to this user."""
    words = (sys.executable, "-c", ACT, verb, program or manager.program)
    done = manager.run(*words, PYTHONPATH=str(PACKAGE), **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shown(manager: UserManager, name: str) -> str:
    """A property of the unit, as systemd has it."""
    return manager.run("systemctl", "--user", "show", f"--property={name}", "--value", UNIT).stdout.strip()


def test_a_service_is_installed_hardened_and_leaves_nothing_but_data(manager: UserManager) -> None:
    """It runs closed off and with the shell's roots; again changes nothing; uninstalled, only its data is left."""
    logs = manager.home / "logs of % mine"
    said = act(manager, "install", CLAUDE_CONFIG_DIR=str(logs))
    assert "Started, hardened" in said
    assert f"CLAUDE_CONFIG_DIR={logs}" in said
    assert "loginctl enable-linger" in said
    pid = shown(manager, "MainPID")
    assert (shown(manager, "ActiveState"), shown(manager, "ProtectSystem")) == ("active", "strict")
    assert f'"CLAUDE_CONFIG_DIR={logs}"' in shown(manager, "Environment")
    status = tomllib.loads((manager.home / ".local/state/selfdistill/status.toml").read_text())
    assert (status["state"], status["pid"]) == ("watching", int(pid))

    assert "installed like that" in act(manager, "install", CLAUDE_CONFIG_DIR=str(logs))
    assert shown(manager, "MainPID") == pid

    assert str(manager.home / ".local/state/selfdistill") in act(manager, "uninstall")
    left = {path for path in manager.home.rglob("*") if not path.is_dir()}
    assert {path.parent.name for path in left} == {"selfdistill"}
    assert shown(manager, "LoadState") == "not-found"


def test_hardening_that_does_not_work_here_is_given_up(manager: UserManager) -> None:
    """A daemon that does not live with the drop-in is started without it, and that is said."""
    fragile = manager.program.with_name("fragile")
    fragile.write_text(f'#!/bin/sh\ntest -w "$HOME" || exit 9\nexec "{manager.program}" "$@"\n')
    fragile.chmod(0o755)
    said = act(manager, "install", fragile)
    assert "without the hardening" in said
    assert "exit status 9" in said
    assert (shown(manager, "ActiveState"), shown(manager, "ProtectSystem")) == ("active", "no")
    assert not list(manager.home.rglob("hardening.conf"))

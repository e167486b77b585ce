"""`service` against a `systemctl` and a `launchctl` of ours, which write down what they are asked."""

from __future__ import annotations

import json
import os
import plistlib
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from homes import PROGRAM, Home
from selfdistill.config import places
from selfdistill.errors import AlreadyRunning, PermissionProblem, ServiceProblem
from selfdistill.service.hands import Doing
from selfdistill.service.installing import install, refuse_sudo, supervisor, uninstall
from selfdistill.service.lifecycle import DaemonLock
from selfdistill.service.units import Installation

# Answers like the real ones as far as we ask; `$FAKE/fails` holds verbs that fail, `$FAKE/on` is there while it runs.
SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$FAKE/calls"
shift
verb=$1
for word in $(cat "$FAKE/fails" 2>/dev/null); do
    [ "$word" = "$verb" ] && { echo "refused: $verb"; exit 1; }
    [ "$word" = hardened ] && [ "$verb" = restart ] && [ -e "$DROP_IN" ] && exit 1
done
case $verb in
    start|restart) touch "$FAKE/on" ;;
    stop|disable) rm -f "$FAKE/on" ;;
    show) if [ -e "$FAKE/on" ]; then echo ActiveState=active; else echo ActiveState=failed; fi
          printf 'SubState=x\\nUnitFileState=enabled\\nMainPID=1\\nResult=exit-code\\nExecMainStatus=226\\n' ;;
esac
exit 0
"""
LAUNCHCTL = """#!/bin/sh
echo "$@" >> "$FAKE/calls"
case $1 in
    bootstrap) [ -e "$FAKE/on" ] && { echo "Bootstrap failed: 5: Input/output error"; exit 5; }; touch "$FAKE/on" ;;
    bootout) rm -f "$FAKE/on" ;;
    print) case $2 in
        gui/*/*) [ -e "$FAKE/on" ] || exit 113; printf '\\tstate = running\\n\\tpid = 42\\n' ;;
    esac ;;
esac
exit 0
"""


class Desk:
    """A home, a fake supervisor, and what was said and asked."""

    def __init__(self, path: Path) -> None:
        self.home = path / "home"
        self.fake = path / "fake"
        for directory in (self.home, self.fake):
            directory.mkdir()
        for name, text in (("systemctl", SYSTEMCTL), ("launchctl", LAUNCHCTL)):
            (self.fake / name).write_text(text)
            (self.fake / name).chmod(0o755)
        self.unit = self.home / ".config/systemd/user/selfdistill.service"
        self.drop_in = self.unit.parent / "selfdistill.service.d/hardening.conf"
        self.agent = self.home / "Library/LaunchAgents/dev.selfdistill.daemon.plist"
        self.environment = {"PATH": f"{self.fake}:/usr/bin:/bin", "FAKE": str(self.fake), "DROP_IN": str(self.drop_in)}
        self.places = places(self.home, {}, "linux")
        self.said: list[str] = []
        self.hand = Doing(self.environment, self.said.append)
        self.made = Installation(Path("/opt/selfdistill"), self.places.state, (), {"CODEX_HOME": "/srv/codex"})

    def install(self, platform: str = "linux") -> list[str]:
        """Install it, as on that platform; what was asked of the supervisor."""
        self.said.clear()
        (self.fake / "calls").unlink(missing_ok=True)
        # The status of a daemon that is through its first round: this very process.
        self.places.state.mkdir(parents=True, exist_ok=True)
        self.places.state.chmod(0o700)
        self.places.status.write_text(f'state = "watching"\npid = {os.getpid()}\n')
        install(supervisor(self.hand, self.home, self.environment, platform), self.hand, self.made, self.places)
        return self.calls()

    def calls(self) -> list[str]:
        """What the fake was asked to change."""
        lines = (self.fake / "calls").read_text().splitlines()
        return [line for line in lines if " show " not in line and not line.startswith("print")]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A user without a service."""
    return Desk(tmp_path)


class TestSystemd:
    """A user unit."""

    def test_install_again_and_uninstall(self, desk: Desk) -> None:
        """Installed it is enabled and started once; again nothing is touched; uninstalled no file of it is left."""
        calls = desk.install()
        assert [call.split()[1] for call in calls] == [
            "daemon-reload",
            "enable",
            "daemon-reload",
            "reset-failed",
            "restart",
        ]
        assert "Environment=CODEX_HOME=/srv/codex" in desk.unit.read_text()
        before = desk.unit.stat()
        assert [call.split()[1] for call in desk.install()] == ["enable"]
        assert desk.unit.stat().st_mtime_ns == before.st_mtime_ns
        assert stat.S_IMODE(desk.places.state.stat().st_mode) == 0o700

        uninstall(supervisor(desk.hand, desk.home, desk.environment, "linux"), desk.hand, desk.places)
        assert str(desk.places.state) in desk.said[-1]
        assert not list(desk.unit.parent.rglob("*"))
        uninstall(supervisor(desk.hand, desk.home, desk.environment, "linux"), desk.hand, desk.places)
        assert "not installed" in desk.said[-2]

    def test_another_shell_makes_another_unit(self, desk: Desk) -> None:
        """Installed again from a shell with other roots, the unit is written anew and the daemon started with it."""
        desk.install()
        desk.made = Installation(desk.made.program, desk.made.state, (), {"CODEX_HOME": "/srv/other"})
        assert "--user restart selfdistill.service" in desk.install()
        assert "Environment=CODEX_HOME=/srv/other" in desk.unit.read_text()

    def test_what_fails_is_said(self, desk: Desk) -> None:
        """Without the hardening if only that is refused; an error with systemd's reason if it does not start at all."""
        (desk.fake / "fails").write_text("hardened")
        desk.install()
        assert not desk.drop_in.parent.exists()
        assert any("without the hardening" in line and "226" in line for line in desk.said)
        (desk.fake / "fails").write_text("restart")
        (desk.fake / "on").unlink()
        with pytest.raises(ServiceProblem, match="does not start: exit-code, exit status 226"):
            desk.install()
        assert not desk.drop_in.exists()

    def test_uninstall_without_a_manager(self, desk: Desk) -> None:
        """Where systemd does not answer any more the files go all the same, the link for the login too; ours alone."""
        desk.install()
        wanted = desk.unit.parent / "default.target.wants" / desk.unit.name
        wanted.parent.mkdir()
        wanted.symlink_to(desk.unit)
        (desk.drop_in.parent / "mine.conf").write_text("[Service]\n")
        (desk.fake / "systemctl").unlink()
        desk.environment["PATH"] = str(desk.fake)
        hand = Doing(desk.environment, desk.said.append)
        uninstall(supervisor(hand, desk.home, desk.environment, "linux"), hand, desk.places)
        left = [path for path in desk.unit.parent.rglob("*") if not path.is_dir()]
        assert left == [desk.drop_in.parent / "mine.conf"]
        assert any("could not be told" in line for line in desk.said)
        assert any("settings of your own" in line for line in desk.said)

    def test_a_daemon_in_a_terminal_comes_first(self, desk: Desk) -> None:
        """While a daemon runs that is no service, nothing is written: the service could not start beside it."""
        desk.places.state.mkdir(mode=0o700, parents=True)
        with DaemonLock(desk.places.lock), pytest.raises(AlreadyRunning, match="not as a service"):
            desk.install()
        assert not desk.unit.exists()

    def test_driving(self, desk: Desk) -> None:
        """start, stop and restart are handed on; what systemd refuses is an error, and so is an absent unit."""
        driven = supervisor(desk.hand, desk.home, desk.environment, "linux")
        with pytest.raises(ServiceProblem, match="not installed"):
            driven.start()
        desk.install()
        for verb in ("stop", "start", "restart"):
            getattr(driven, verb)()
            assert desk.calls()[-1] == f"--user {verb} selfdistill.service"
        (desk.fake / "fails").write_text("stop")
        with pytest.raises(ServiceProblem, match="could not stop"):
            driven.stop()


class TestLaunchd:
    """An agent; launchd itself is not to be had here."""

    def test_install_again_and_uninstall(self, desk: Desk) -> None:
        """Loaded once; a changed agent is unloaded first, for launchd refuses a second one; uninstalled it is gone."""
        assert [call.split()[0] for call in desk.install("darwin")] == ["enable", "bootstrap"]
        agent = plistlib.loads(desk.agent.read_bytes())
        assert agent["EnvironmentVariables"] == {"CODEX_HOME": "/srv/codex"}
        (desk.fake / "calls").write_text("")
        assert desk.install("darwin") == []
        desk.made = Installation(desk.made.program, desk.made.state)
        assert [call.split()[0] for call in desk.install("darwin")] == ["bootout", "enable", "bootstrap"]

        driven = supervisor(desk.hand, desk.home, desk.environment, "darwin")
        assert (driven.standing().active, driven.standing().pid) == (True, 42)
        driven.restart()
        assert desk.calls()[-1].startswith("kickstart -k gui/")
        driven.stop()
        assert driven.standing().state == "not loaded"
        driven.start()
        assert driven.standing().active
        uninstall(driven, desk.hand, desk.places)
        assert not desk.agent.exists()
        assert not (desk.fake / "on").exists()


def service(home: Home, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command, as a process."""
    return subprocess.run(
        [*PROGRAM, "service", *words],
        env={**home.environment(), **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def times(directory: Path) -> dict[Path, tuple[int, int]]:
    """Every file below, with what changes when it is written."""
    return {path: (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in directory.rglob("*")}


def test_a_dry_run_touches_nothing(tmp_path: Path) -> None:
    """--dry-run shows files and commands, and neither writes nor runs anything."""
    home = Home(tmp_path / "home")
    before = times(home.path)
    done = service(home, "install", "--dry-run", environment={"CODEX_HOME": "/srv/codex", "PATH": "/nowhere"})
    assert done.returncode == 0, done.stderr
    assert "    Environment=CODEX_HOME=/srv/codex" in done.stdout
    assert "Would run: systemctl --user restart selfdistill.service" in done.stdout
    assert times(home.path) == before


def test_without_a_supervisor_it_says_so(tmp_path: Path) -> None:
    """Where there is no systemctl, or no user manager, the error says what to do, and nothing is written."""
    home = Home(tmp_path / "home")
    absent = service(home, "install", environment={"PATH": "/nowhere"})
    assert (absent.returncode, "selfdistill daemon" in absent.stderr) == (71, True)
    standing = service(home, "status", "--json")
    assert (standing.returncode, json.loads(standing.stdout)["installed"]) == (4, False)
    assert not (home.path / ".config" / "systemd").exists()


def test_launchd_is_told_of_no_failure_that_no_restart_heals(tmp_path: Path) -> None:
    """A configuration that cannot be used ends with 78, for launchd with 0 and the same words in the log."""
    home = Home(tmp_path / "home")
    home.config.write_text("[settling]\nsettle_second = 3\n")
    for words, code in (([], 78), (["--launchd"], 0)):
        done = subprocess.run(
            [*PROGRAM, "daemon", *words],
            env=home.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == code, done.stderr
        assert "settle_second" in done.stderr


def test_root_behind_sudo_is_refused() -> None:
    """A service installed by sudo would be root's: refused, unless root itself is the user."""
    refuse_sudo({"SUDO_UID": "0"})
    with pytest.raises(PermissionProblem, match="root"):
        refuse_sudo({"SUDO_UID": "1000"})

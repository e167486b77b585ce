"""The service files: accepted by systemd without a word, as closed as we say, and a plist that launchd can read."""

from __future__ import annotations

import configparser
import os
import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from selfdistill.cli.daemon_command import FOR_GOOD
from selfdistill.service.units import Installation, systemd_drop_in, systemd_unit

REPOSITORY = Path(__file__).parents[2]
BASE_EXPOSURE = 6.5
HARDENED_EXPOSURE = 2.0
# launchd.plist(5): launchd ignores a key that it does not know, or whose value is of another kind, without a word.
LAUNCHD_KEYS = {
    **dict.fromkeys(("Label", "ProcessType", "StandardOutPath", "StandardErrorPath"), str),
    **dict.fromkeys(("RunAtLoad", "LowPriorityIO"), bool),
    **dict.fromkeys(("ThrottleInterval", "ExitTimeOut", "Nice", "Umask"), int),
    **dict.fromkeys(("KeepAlive", "EnvironmentVariables"), dict),
    "ProgramArguments": list,
}

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="NOT TESTED: systemd-analyze is not installed here"
)


def install(directory: Path, *, hardened: bool) -> Path:
    """Copy the unit, with its drop-in or without, and put a program where it expects one."""
    units = directory / "units"
    shutil.copytree(REPOSITORY / "systemd", units)
    if not hardened:
        shutil.rmtree(units / "selfdistill.service.d")
    program = directory / ".local" / "bin" / "selfdistill"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return units / "selfdistill.service"


def analyze(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    runtime = home / "runtime"
    runtime.mkdir(mode=0o700)
    environment = {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), "PATH": os.environ["PATH"]}
    command = ["systemd-analyze", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def settings(path: Path) -> dict[str, str]:
    """The [Service] section; of a repeated key the last line."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[method-assign, assignment]  # systemd's keys have capitals
    parser.read(path)
    return dict(parser["Service"])


@needs_systemd
def test_systemd_accepts_what_is_written(tmp_path: Path) -> None:
    """The same for the files that `service install` writes, whatever is in the paths."""
    odd = tmp_path / 'a "b" \\c'
    program = tmp_path / "a b %c $d" / "selfdistill"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    made = Installation(program, odd, ("--config", str(odd)), {"CODEX_HOME": str(odd)}, ("GROK_HOME",))
    unit = tmp_path / "selfdistill.service"
    unit.write_text(systemd_unit(made))
    drop_in = tmp_path / "selfdistill.service.d" / "hardening.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(systemd_drop_in(made))
    done = analyze(tmp_path, "--user", "verify", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("hardened", [False, True])
def test_systemd_accepts_the_unit_without_a_word(tmp_path: Path, hardened: bool) -> None:
    """`systemd-analyze verify` has nothing to say; it exits 0 on unknown keys, so any output is a failure."""
    done = analyze(tmp_path, "--user", "verify", str(install(tmp_path, hardened=hardened)))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_verify_would_speak_up(tmp_path: Path) -> None:
    """The check above can fail: an unknown key in the drop-in makes systemd-analyze talk."""
    unit = install(tmp_path, hardened=True)
    with (unit.parent / "selfdistill.service.d" / "hardening.conf").open("a") as file:
        file.write("ProtectEverything=yes\n")
    done = analyze(tmp_path, "--user", "verify", str(unit))
    assert "ProtectEverything" in done.stdout + done.stderr


@needs_systemd
@pytest.mark.parametrize(("hardened", "limit"), [(False, BASE_EXPOSURE), (True, HARDENED_EXPOSURE)])
def test_exposure(tmp_path: Path, hardened: bool, limit: float) -> None:
    """The exposure score that systemd gives is at most 6.5 for the plain unit and at most 2.0 with the drop-in.

    Case 62 of `tests/fault/README.md`.
    """
    unit = install(tmp_path, hardened=hardened)
    threshold = f"--threshold={round(limit * 10)}"
    done = analyze(tmp_path, "security", "--offline=true", "--no-pager", threshold, str(unit))
    assert done.returncode == 0, done.stdout.splitlines()[-1:] + done.stderr.splitlines()


def test_unit_keeps_its_promises() -> None:
    """Watched and notified, ends within 15 s, restarts after a crash but not where no restart heals."""
    unit = settings(REPOSITORY / "systemd" / "selfdistill.service")
    assert unit["Type"] == "notify"
    assert unit["NotifyAccess"] == "main"
    assert unit["WatchdogSec"] == "120"
    assert unit["TimeoutStopSec"] == "15"
    assert unit["Restart"] == "on-failure"
    assert set(unit["RestartPreventExitStatus"].split()) == {str(code) for code in FOR_GOOD} >= {"77", "78"}
    assert unit["UMask"] == "0077"
    assert unit["ExecStart"] == "%h/.local/bin/selfdistill daemon"


def test_plain_unit_needs_no_namespace() -> None:
    """What Ubuntu's user managers refuse, and StateDirectory=, which differs between versions, is not in the unit."""
    unit = settings(REPOSITORY / "systemd" / "selfdistill.service")
    drop_in = settings(REPOSITORY / "systemd" / "selfdistill.service.d" / "hardening.conf")
    assert not [key for key in unit if key.startswith(("Protect", "Private", "Capability", "ReadWrite", "State"))]
    assert drop_in["PrivateUsers"] == "yes"
    assert drop_in["ReadWritePaths"] == "%h/.local/state/selfdistill"
    assert "StateDirectory" not in drop_in


def test_launchd_agent() -> None:
    """The plist has keys launchd knows: back after a crash only, 15 s to end, in the background, private (case 62)."""
    with (REPOSITORY / "launchd" / "dev.selfdistill.daemon.plist").open("rb") as file:
        agent = plistlib.load(file)
    kinds = {name: type(value) for name, value in agent.items()}
    assert kinds == {name: LAUNCHD_KEYS[name] for name in agent}
    assert agent["Label"] == "dev.selfdistill.daemon"
    assert agent["ProgramArguments"][1:] == ["daemon", "--launchd"]
    assert agent["KeepAlive"] == {"SuccessfulExit": False}
    assert (agent["ThrottleInterval"], agent["ExitTimeOut"], agent["Umask"]) == (60, 15, 0o077)
    assert (agent["ProcessType"], agent["LowPriorityIO"]) == ("Background", True)
    paths = [agent["ProgramArguments"][0], agent["StandardOutPath"], agent["StandardErrorPath"]]
    assert all(path.startswith("/Users/YOU/") for path in paths)

"""What is written for systemd and launchd, and how it is read back."""

from __future__ import annotations

import plistlib
from pathlib import Path, PurePath

import pytest

from selfdistill.config import places
from selfdistill.errors import ServiceProblem
from selfdistill.service import units
from selfdistill.service.installation import STATE_VARIABLE, find_program, installation, variables
from selfdistill.service.standing import written_environment
from selfdistill.service.units import Installation
from selfdistill.sources import SOURCES

REPOSITORY = Path(__file__).parents[3]
ODD = 'a "b" \\c %d $e é <&>'
MADE = Installation(
    PurePath("/opt/a b/%d $e é/selfdistill"),
    PurePath("/var/my state"),
    ("--config", f"/etc/{ODD}.toml"),
    {"CLAUDE_CONFIG_DIR": f"/srv/{ODD}", "XDG_DATA_HOME": "/srv/data"},
    ("CODEX_HOME",),
)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("systemd/selfdistill.service", units.example_unit()),
        ("systemd/selfdistill.service.d/hardening.conf", units.example_drop_in()),
        ("launchd/dev.selfdistill.daemon.plist", units.example_agent()),
    ],
)
def test_the_examples_are_what_is_written(path: str, text: str) -> None:
    """The files that people read at the top of the repository are those that the wheel writes."""
    assert (REPOSITORY / path).read_text() == text


def test_a_unit_is_read_back_as_it_was_meant() -> None:
    """Quotes, blanks, backslashes and percent signs of paths come through a unit file unchanged."""
    text = units.systemd_unit(MADE)
    assert written_environment(text) == (str(MADE.program), MADE.environment)
    assert "%%d" in text.partition("ExecStart")[2].partition("\n")[0]
    assert "$$e" in text.partition("--config")[2].partition("\n")[0]
    assert "UnsetEnvironment=CODEX_HOME\n" in text
    assert 'ReadWritePaths="/var/my state"\n' in units.systemd_drop_in(MADE)


def test_an_agent_is_read_back_as_it_was_meant() -> None:
    """The same for a property list, whose characters are escaped as XML."""
    agent = plistlib.loads(units.launchd_agent(MADE).encode())
    assert agent["ProgramArguments"] == [str(MADE.program), *MADE.options, "daemon", "--launchd"]
    assert agent["EnvironmentVariables"] == MADE.environment
    assert agent["StandardErrorPath"] == "/var/my state/daemon.log"


@pytest.mark.parametrize("path", ["/srv/a\nExecStartPre=/bin/evil", "/srv/\udcff"])
def test_what_no_file_can_say_is_refused(path: str) -> None:
    """A path that would break out of its line, or is no text, is named in an error instead of being written."""
    odd = Installation(PurePath("/opt/selfdistill"), PurePath(path), (), {STATE_VARIABLE: path})
    for write in (units.systemd_unit, units.launchd_agent, units.systemd_drop_in):
        with pytest.raises(ServiceProblem, match=r"cannot name '.*/srv/"):
            write(odd)


def test_what_systemd_cannot_start_is_refused() -> None:
    """A program whose path holds quotes is named in an error: systemd would call the unit invalid."""
    with pytest.raises(ServiceProblem, match="quotes"):
        units.systemd_unit(Installation(PurePath("/opt/it's/selfdistill"), PurePath("/srv")))


def test_the_shell_is_written_down(tmp_path: Path) -> None:
    """State and every variable that moves an agent's logs are set as in this shell; those it has not are unset."""
    environment = {"CODEX_HOME": "/srv/codex", "XDG_STATE_HOME": "/srv/state", "OTHER": "x", "CLAUDE_CONFIG_DIR": ""}
    made = installation(
        places(tmp_path, environment, "linux"), tmp_path, environment, SOURCES, config_given=False, program=tmp_path
    )
    expected = {"CODEX_HOME": "/srv/codex", STATE_VARIABLE: "/srv/state/selfdistill", "HOME": str(tmp_path)}
    assert made.environment == expected
    assert set(made.unset) == set(variables(SOURCES)) - {"CODEX_HOME"}
    assert {"CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"} <= set(made.unset)
    assert made.options == ()


def test_a_program_that_stays_is_found(tmp_path: Path) -> None:
    """The first program that can be run is taken as it is named, for the place behind its link moves on upgrades."""
    target = tmp_path / "venvs" / "1.0" / "selfdistill"
    target.parent.mkdir(parents=True)
    target.write_text("")
    link = tmp_path / "bin" / "selfdistill"
    link.parent.mkdir()
    link.symlink_to(target)
    with pytest.raises(ServiceProblem, match="no program"):
        find_program([tmp_path / "absent", link])
    target.chmod(0o755)
    assert find_program([tmp_path / "absent", link]) == link


@pytest.mark.parametrize("place", ["uv/archive-v0/x/bin", "pipx/.cache/x/bin"])
def test_a_passing_installation_is_refused(tmp_path: Path, place: str) -> None:
    """What `uvx` and `pipx run` throw away is no home for a service, also behind a link."""
    program = tmp_path / place / "selfdistill"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    link = tmp_path / "selfdistill"
    link.symlink_to(program)
    for found in (program, link):
        with pytest.raises(ServiceProblem, match="passing installation"):
            find_program([found])

"""The command line's frame: dispatch, usage errors, our errors, signals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfdistill.cli.main import COMMANDS, command_of

START = [sys.executable, "-c", "import sys; from selfdistill.cli.main import main; sys.exit(main())"]


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run([*START, *words], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["status"], "status"),
        (["--config", "status", "run"], "run"),
        (["--state-dir", "x", "status"], "status"),
        (["--state-dir=x", "status"], "status"),
        (["--help"], ""),
        (["--config"], ""),
        ([], ""),
    ],
)
def test_command_is_found_behind_options(words: list[str], command: str) -> None:
    """The command is the first word that is neither an option nor an option's value."""
    assert command_of(words) == command


@pytest.mark.parametrize(
    "words", [["frobnicate"], ["--frobnicate"], ["config"], ["config", "frob"], ["config", "path", "--jso"], []]
)
def test_wrong_usage_is_64(tmp_path: Path, words: list[str]) -> None:
    """Unknown commands and options, cut-short ones and missing words exit 64, say so on stderr, and do nothing."""
    done = run(tmp_path, *words)
    assert done.returncode == 64
    assert "usage: selfdistill" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_lists_every_command(tmp_path: Path) -> None:
    """--help exits 0, lists every command, and performs none."""
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert all(f"    {name} " in done.stdout for name in COMMANDS)
    assert list(tmp_path.iterdir()) == []


def test_version(tmp_path: Path) -> None:
    """--version prints name and version."""
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "selfdistill")


def test_state_option_wins_over_the_environment(tmp_path: Path) -> None:
    """--state-dir names the state directory for every command."""
    done = run(tmp_path, "--state-dir", "/elsewhere", "config", "path", "--json")
    assert '"state": "/elsewhere"' in done.stdout


@pytest.mark.parametrize("words", [["--help"], ["status", "--json"]])
def test_reader_that_goes_away_is_no_error(tmp_path: Path, words: list[str]) -> None:
    """`selfdistill ... | true` prints no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [*START, *words], env=environment, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141

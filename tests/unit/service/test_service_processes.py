"""A process is told from a later one with its number."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from selfdistill.service import processes


def test_own_identity_is_stable_and_not_anothers() -> None:
    """The identity of a process stays while it lives and is no other process's."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        mine, theirs = processes.identity(os.getpid()), processes.identity(other.pid)
        other.communicate(b"\n")
    assert mine
    assert mine == processes.identity(os.getpid())
    assert not processes.may_be_same(mine, theirs)
    assert not processes.is_alive(other.pid)
    assert processes.identity(other.pid) == ""


@pytest.mark.parametrize(
    ("recorded", "now", "same"),
    [
        ("boot:7", "boot:7", True),
        ("boot:7", "boot:8", False),
        ("boot:7", "later:7", False),
        (":7", "boot:7", True),
        (":7", "boot:8", False),
        ("", "boot:7", True),
        ("boot:7", "", True),
    ],
)
def test_only_what_both_know_decides(recorded: str, now: str, same: bool) -> None:
    """Boot and start time decide where both sides know them; what one side does not know decides nothing."""
    assert processes.may_be_same(recorded, now) is same


@pytest.mark.parametrize(("pid", "alive"), [(1, True), (0, False), (-1, False), (2**22 + 1, False), (2**70, False)])
def test_odd_numbers_are_nobody(pid: int, alive: bool) -> None:
    """Process groups, impossible and absurd numbers are not alive; other users' processes are."""
    assert processes.is_alive(pid) is alive

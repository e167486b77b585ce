"""Tells one process from a later one with the same number. Imports nothing heavy: `status` uses it at start-up."""

from __future__ import annotations

import os
import sys

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_START_TIME_FIELD = 19  # of the fields after "(name)"; proc(5) counts it as field 22 of the whole line


def boot_id() -> str:
    """The kernel's name of this boot, or "" where it has none (macOS)."""
    try:
        with open(_BOOT_ID, encoding="ascii") as file:  # noqa: PTH123 - pathlib costs `status` 5 ms of start-up
            return file.read().strip()
    except OSError:
        return ""


def identity(pid: int) -> str:
    """What no other process with this number has had: its boot and start time; "" if the kernel does not tell."""
    if sys.platform == "linux":
        return _linux_identity(pid)
    return _ps_identity(pid)


def may_be_same(recorded: str, now: str) -> bool:
    """Whether two identities can be one process's: what either does not know decides nothing.

    A hardened daemon (ProcSubset=pid) cannot read the boot id, an ordinary reader can.
    """
    boot_then, _, start_then = recorded.rpartition(":")
    boot_now, _, start_now = now.rpartition(":")
    known = [pair for pair in ((boot_then, boot_now), (start_then, start_now)) if all(pair)]
    return all(one == other for one, other in known)


def is_alive(pid: int) -> bool:
    """Whether a process with this number exists, whoever owns it."""
    if pid <= 0:  # 0 and below name process groups: kill(2) would ask for something else
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    except OverflowError:  # a number that no kernel can have given
        return False
    return True


def _linux_identity(pid: int) -> str:
    """Boot id and start time in clock ticks since boot, from /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - as above
            fields = file.read().rpartition(b")")[2].split()  # the name itself may hold blanks and brackets
    except OSError:
        return ""
    return f"{boot_id()}:{fields[_START_TIME_FIELD].decode()}"


def _ps_identity(pid: int) -> str:
    """Start time as `ps` prints it: the only answer macOS gives without a compiled helper."""
    import subprocess  # noqa: PLC0415 - 8 ms that Linux, where `status` runs this module, need not pay

    answer = subprocess.run(  # noqa: S603 - a fixed program and a number
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return f":{answer.stdout.strip().replace(':', '.')}" if answer.stdout.strip() else ""

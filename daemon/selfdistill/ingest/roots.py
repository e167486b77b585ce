"""How a watched directory is doing, in a word, a sentence and an advice."""

from __future__ import annotations

import os
import stat
from enum import StrEnum
from pathlib import Path
from typing import Final

from msgspec import Struct

from selfdistill.ingest.naming import printable

MOUNTS: Final = Path("/proc/self/mountinfo")
# File systems on which other machines (or the host of a virtual one) write without any event here.
NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "davfs", "fakeowner", "fuse", "lustre", "nfs", "nfs4", "prl_fs"}
    | {"smb", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"}
)


class RootHealth(StrEnum):
    """What can be done with a root."""

    OK = "ok"
    MISSING = "missing"
    UNREADABLE = "unreadable"
    NOT_A_DIRECTORY = "not_a_directory"
    NETWORK = "network"  # readable, but no events: scans only


class Root(Struct, frozen=True, omit_defaults=True):
    """A root as it is now. `identity` is the directory's (device, inode), None where it cannot be observed.

    Two roots with one identity are one directory under two names. An `empty` root says nothing about the logs that
    were in it: a file system that is not mounted looks like that.
    """

    path: Path
    health: RootHealth
    explanation: str = ""
    advice: str = ""
    identity: tuple[int, int] | None = None
    file_system: str = ""
    empty: bool = True

    @property
    def scannable(self) -> bool:
        """Whether a scan of it tells what is there."""
        return self.health in {RootHealth.OK, RootHealth.NETWORK}


def examine_root(path: Path) -> Root:
    """Look at a root (a symbolic link is followed). Never raises."""
    shown = printable(path)
    try:
        result = path.stat()
    except FileNotFoundError:
        return Root(path, RootHealth.MISSING, f"{shown} does not exist.", "Nothing to do: it is read when it appears.")
    except OSError as problem:
        return _unreadable(path, problem)
    if not stat.S_ISDIR(result.st_mode):
        advice = "Name a directory under `roots` in the configuration."
        return Root(path, RootHealth.NOT_A_DIRECTORY, f"{shown} is not a directory.", advice)
    try:
        with os.scandir(path) as entries:
            empty = next(entries, None) is None
    except OSError as problem:
        return _unreadable(path, problem)
    identity = (result.st_dev, result.st_ino)
    kind = file_system_of(path)
    if kind in NETWORK_FILE_SYSTEMS or kind.startswith("fuse."):
        what = f"{shown} lies on {kind}, where changes by others cause no events."
        advice = "Nothing to do: it is scanned; set `scanning.watch = false` if nothing else is to be watched."
        return Root(path, RootHealth.NETWORK, what, advice, identity, kind, empty)
    return Root(path, RootHealth.OK, f"{shown} is readable.", "", identity, kind, empty)


def file_system_of(path: Path) -> str:
    """The type of the file system that holds `path` ("ext4", "nfs4" ...), "" where the system does not tell (macOS)."""
    try:
        mounts = MOUNTS.read_bytes()
    except OSError:
        return ""
    return mounted_type(mounts, os.fsencode(os.path.realpath(path)))


def mounted_type(mounts: bytes, path: bytes) -> str:
    """The type of the innermost mount above an absolute path; `mounts` as in proc(5), /proc/PID/mountinfo."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields, _, described = line.partition(b" - ")
        point = _unescaped(fields.split()[4])
        inside = path == point or path.startswith(point.rstrip(b"/") + b"/")
        if inside and len(point) >= best:  # the later of two mounts on one point covers the earlier
            best, kind = len(point), os.fsdecode(described.split()[0])
    return kind


def _unescaped(point: bytes) -> bytes:
    """A mount point with its octal escapes (space, tab, newline, backslash) undone."""
    for escape, character in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        point = point.replace(escape, character)
    return point


def _unreadable(path: Path, problem: OSError) -> Root:
    explanation = f"{printable(path)} cannot be listed: {problem.strerror}."
    advice = "Give the user that runs selfdistill the right to read and enter it."
    return Root(path, RootHealth.UNREADABLE, explanation, advice)

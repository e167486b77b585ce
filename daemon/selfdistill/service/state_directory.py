"""Makes the state directory private and refuses one that cannot be trusted with transcripts."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from selfdistill.errors import CannotCreate, PermissionProblem

_MOUNTS: Final = Path("/proc/self/mountinfo")
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH
_OPEN_TO_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_ELSEWHERE: Final = "Name a private local directory with SELFDISTILL_STATE_DIR."

# WAL keeps its index in memory shared through mmap, and flock must reach every holder: neither crosses a network.
_NETWORK_TYPES: Final = frozenset(
    {"9p", "afs", "ceph", "cifs", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "prl_fs"}
    | {"smb2", "smb3", "smbfs", "vboxsf", "vmhgfs"}
)
# FUSE is refused unless it is one of these: they encrypt or stack a local disk and honour mmap and locks.
_LOCAL_FUSE: Final = frozenset({"fuse.cryfs", "fuse.encfs", "fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.bindfs"})


def prepare_state_directory(path: Path, *, mounts: Path = _MOUNTS) -> None:
    """Given the state directory's path, make it (0700) or check it; from here on this process makes private files.

    A directory of ours that others may only read or enter is tightened: its name and files were never theirs to
    change. One that others may write could hold planted files, so it is refused (as watchman does).

    Raises:
        PermissionProblem: it is another user's, reached through another user's link, or others may write to it.
        CannotCreate: it cannot be made, is no directory, or lies on a network file system.
    """
    os.umask(0o077)
    _make(path)
    _refuse_foreign_link(path)
    found = _status_of(path)
    if not stat.S_ISDIR(found.st_mode):
        raise CannotCreate(f"The state directory {path} is not a directory.", f"Move it away. {_ELSEWHERE}")
    if found.st_uid != os.geteuid():
        raise PermissionProblem(
            f"The state directory {path} belongs to user {found.st_uid}, not to you ({os.geteuid()}).",
            f"Run selfdistill as the user whose logs it reads, without sudo. {_ELSEWHERE}",
        )
    if found.st_mode & _WRITABLE_BY_OTHERS:
        raise PermissionProblem(
            f"Others may write to the state directory {path} (mode {stat.S_IMODE(found.st_mode):04o}).",
            f"Look whether its files are yours, then: chmod 700 '{path}'",
        )
    _tighten(path, found.st_mode)
    _refuse_network(path, mounts)


def _make(path: Path) -> None:
    """The directory and its parents, all 0700 through the umask, as the XDG specification wants them."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        return  # a file or a dangling link stands there: the checks that follow say which
    except OSError as error:
        raise CannotCreate(f"Cannot make the state directory {path}: {error.strerror}.", _ELSEWHERE) from error


def _status_of(path: Path) -> os.stat_result:
    """The directory behind the path, links followed."""
    try:
        return path.stat()
    except OSError as error:
        raise CannotCreate(f"Cannot look at the state directory {path}: {error.strerror}.", _ELSEWHERE) from error


def _refuse_foreign_link(path: Path) -> None:
    """A link is as good as its owner: whoever may change it decides where our database goes."""
    link = path.lstat()
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid()):
        raise PermissionProblem(
            f"The state directory {path} is a symbolic link that user {link.st_uid} made.",
            f"Remove the link if you do not know it. {_ELSEWHERE}",
        )


def _tighten(path: Path, mode: int) -> None:
    """Mode 0700, unless it is that already."""
    if not mode & _OPEN_TO_OTHERS and mode & stat.S_IRWXU == stat.S_IRWXU:
        return
    try:
        path.chmod(stat.S_IRWXU)
    except OSError as error:  # a read-only mount, for one
        raise PermissionProblem(
            f"Cannot make the state directory {path} private: {error.strerror}.", f"Try: chmod 700 '{path}'"
        ) from error


def _refuse_network(path: Path, mounts: Path) -> None:
    """SQLite's WAL and our lock need a local disk; where the kernel lists no mounts (macOS) nothing is known."""
    try:
        table = mounts.read_bytes()
    except FileNotFoundError:
        return
    file_system = file_system_type(table, path.resolve())
    if _is_network(file_system):
        raise CannotCreate(
            f"The state directory {path} lies on a network file system ({file_system}): SQLite would corrupt there.",
            _ELSEWHERE,
        )


def _is_network(file_system: str) -> bool:
    """Whether a file system's type means a network, a virtual machine's share, or a FUSE we do not know."""
    if file_system.startswith("fuse."):
        return file_system not in _LOCAL_FUSE
    return file_system in _NETWORK_TYPES


def file_system_type(table: bytes, path: Path) -> str:
    """Given the bytes of /proc/self/mountinfo and a resolved path, the type of the file system it lies on, or ""."""
    deepest, found = -1, ""
    for line in table.splitlines():
        fields, separator, described = line.partition(b" - ")
        if not separator:
            continue
        point = Path(os.fsdecode(_unescape(fields.split()[4])))
        # >= : of two mounts at one place the later one hides the earlier
        if path.is_relative_to(point) and len(point.parts) >= deepest:
            deepest, found = len(point.parts), os.fsdecode(described.split()[0])
    return found


def _unescape(field: bytes) -> bytes:
    r"""The kernel writes blank, tab, newline and backslash as \040, \011, \012 and \134."""
    for escaped, plain in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        field = field.replace(escaped, plain)
    return field

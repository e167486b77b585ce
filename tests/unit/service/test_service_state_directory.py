"""The state directory is private, ours, and local, or the start is refused with a reason."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from selfdistill.errors import CannotCreate, PermissionProblem
from selfdistill.service.state_directory import file_system_type, prepare_state_directory

ROOT_MOUNT = b"1 0 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"


@pytest.fixture(autouse=True)
def _umask_restored() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_is_made_private_with_its_parents(tmp_path: Path) -> None:
    """A missing directory appears with mode 0700, parents too, and what is made later is private."""
    path = tmp_path / "state" / "selfdistill"
    prepare_state_directory(path)
    (path / "file").touch()
    assert [mode_of(path), mode_of(path.parent), mode_of(path / "file")] == [0o700, 0o700, 0o600]


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o711, 0o500])
def test_readable_by_others_is_tightened(tmp_path: Path, mode: int) -> None:
    """A directory of ours that others may read becomes 0700 without a word."""
    tmp_path.chmod(mode)
    prepare_state_directory(tmp_path)
    assert mode_of(tmp_path) == 0o700


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_writable_by_others_is_refused(tmp_path: Path, mode: int) -> None:
    """A directory that others may write could hold planted files: refused, untouched, with the command to run."""
    tmp_path.chmod(mode)
    with pytest.raises(PermissionProblem, match="Others may write") as caught:
        prepare_state_directory(tmp_path)
    assert f"chmod 700 '{tmp_path}'" in caught.value.advice
    assert mode_of(tmp_path) == mode


def test_file_in_its_place_is_refused(tmp_path: Path) -> None:
    """A file where the directory should be is named, not overwritten."""
    (tmp_path / "state").write_text("mine")
    with pytest.raises(CannotCreate, match="not a directory"):
        prepare_state_directory(tmp_path / "state")
    assert (tmp_path / "state").read_text() == "mine"


def test_below_a_file_is_refused(tmp_path: Path) -> None:
    """A path that leads through a file cannot be made, and the error says which."""
    (tmp_path / "file").touch()
    with pytest.raises(CannotCreate, match="file/state"):
        prepare_state_directory(tmp_path / "file" / "state")


def test_dangling_link_is_refused(tmp_path: Path) -> None:
    """A link to nowhere is said, not followed into the making of a directory elsewhere."""
    (tmp_path / "state").symlink_to(tmp_path / "gone")
    with pytest.raises(CannotCreate, match="state"):
        prepare_state_directory(tmp_path / "state")
    assert not (tmp_path / "gone").exists()


def test_own_link_to_own_directory_is_followed(tmp_path: Path) -> None:
    """Somebody may keep his state on another disk of his by a link of his own."""
    (tmp_path / "there").mkdir(mode=0o755)
    (tmp_path / "state").symlink_to(tmp_path / "there")
    prepare_state_directory(tmp_path / "state")
    assert mode_of(tmp_path / "there") == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: another user's directory can only be made by root")
@pytest.mark.parametrize("kind", ["directory", "link"])
def test_foreign_owner_is_refused(tmp_path: Path, kind: str) -> None:
    """Another user's directory, or another user's link to ours, is refused with exit code 77 (case 61)."""
    path = tmp_path / "state"
    if kind == "directory":
        path.mkdir(mode=0o700)
    else:
        path.symlink_to(tmp_path)
    os.chown(path, 65534, 65534, follow_symlinks=False)
    with pytest.raises(PermissionProblem, match="65534") as caught:
        prepare_state_directory(path)
    assert caught.value.exit_code == 77


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: dropping to another user needs root")
def test_unwritable_parent_is_said(tmp_path: Path) -> None:
    """Without the right to make the directory, the error names it and another way, and exits 73."""
    program = (
        "import sys; from pathlib import Path; from selfdistill.errors import SelfdistillError\n"
        "from selfdistill.service.state_directory import prepare_state_directory\n"
        "try: prepare_state_directory(Path('/proc/selfdistill-state'))\n"
        "except SelfdistillError as e: print(e.message, e.advice); sys.exit(e.exit_code)\n"
    )
    import_root = Path(__file__).parents[3] / "daemon"
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", program],
        env={"PYTHONPATH": str(import_root)},
        cwd=tmp_path.anchor,
        capture_output=True,
        text=True,
        check=False,
    )
    if "Permission denied" in done.stderr:
        pytest.skip("NOT TESTED: the unprivileged user cannot read the interpreter or the tree")
    assert done.returncode == 73, done.stderr
    assert "/proc/selfdistill-state" in done.stdout
    assert "SELFDISTILL_STATE_DIR" in done.stdout


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        *((kind, True) for kind in ("nfs4", "nfs", "cifs", "smb3", "9p", "vboxsf", "fuse.sshfs", "fuse.rclone")),
        *((kind, False) for kind in ("ext4", "btrfs", "overlay", "tmpfs", "fuseblk", "fuse.gocryptfs")),
    ],
)
def test_network_file_system_is_refused(tmp_path: Path, kind: str, refused: bool) -> None:
    """State on a network file system is refused, with its type: SQLite's WAL needs a local disk."""
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(ROOT_MOUNT + f"2 1 0:40 / {tmp_path}/mnt rw - {kind} server:/x rw\n".encode())
    path = tmp_path / "mnt" / "state"
    if refused:
        with pytest.raises(CannotCreate, match=kind):
            prepare_state_directory(path, mounts=mounts)
    else:
        prepare_state_directory(path, mounts=mounts)


def test_unknown_mounts_are_accepted(tmp_path: Path) -> None:
    """Where the kernel lists no mounts, as on macOS, the directory is accepted."""
    prepare_state_directory(tmp_path / "state", mounts=tmp_path / "absent")
    assert (tmp_path / "state").is_dir()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/mara/x", "ext4"),
        ("/mnt/a b/x", "nfs4"),
        ("/mnt/a bc", "ext4"),
        ("/mnt/twice", "cifs"),
        ("/mnt/a b/deep/er", "xfs"),
    ],
)
def test_deepest_and_latest_mount_counts(path: str, expected: str) -> None:
    """The deepest mount above a path decides, at one place the latest, blanks in names and all."""
    table = (
        ROOT_MOUNT
        + rb"2 1 0:40 / /mnt/a\040b rw,nosuid shared:2 master:3 - nfs4 host:/x rw"
        + b"\n3 1 0:41 / /mnt/twice rw - ext4 /dev/b rw\n4 3 0:42 / /mnt/twice rw - cifs //h/y rw\n"
        + rb"5 2 0:43 / /mnt/a\040b/deep rw - xfs /dev/c rw"
        + b"\nnonsense\n"
    )
    assert file_system_type(table, Path(path)) == expected

"""Roots: the file system type out of a mount table."""

from __future__ import annotations

import pytest

from selfdistill.ingest.roots import mounted_type

MOUNTS = b"""22 27 0:21 / / rw,relatime - ext4 /dev/sda1 rw
23 22 0:22 / /home rw shared:1 - nfs4 server:/home rw
24 23 0:23 / /home/me/with\\040space rw - fuse.sshfs me@host: rw
25 22 0:24 / /over rw - ext4 /dev/sdb1 rw
26 22 0:25 / /over rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/etc", "ext4"),
        (b"/home", "nfs4"),
        (b"/home/me", "nfs4"),
        (b"/homes", "ext4"),
        (b"/home/me/with space/logs", "fuse.sshfs"),
        (b"/over/x", "cifs"),
    ],
)
def test_the_innermost_and_latest_mount_counts(path: bytes, kind: str) -> None:
    """A path is on the mount that covers it last, also where the mount point needs escapes."""
    assert mounted_type(MOUNTS, path) == kind

"""A real systemd user manager for an unprivileged user, in namespaces of its own, where root runs the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import selfdistill

PACKAGE = Path(selfdistill.__file__).parents[1]
SYSTEMD = Path("/lib/systemd/systemd")
NOBODY = 65534
DROP = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
_HIERARCHIES = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
# The manager asks whether systemd runs the machine (/run/systemd/system), and needs a cgroup that is its own. Python
# may lie in root's home, where its user could not start it: that becomes an empty home with only Python in it.
# What PrivateTmp= would hide is bound to another place.
_ENTER = (
    r"""
echo $$ > "$1/cgroup.procs"
mkdir "$2/../venv" "$2/../package" "$2/../python"
exec unshare --mount --cgroup --propagation private sh -c '
set -e
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind "$6" "$1/venv" && mount --bind "$7" "$1/package"
if [ -n "$4" ]; then
    mount --bind "$5" "$1"/python
    mount -t tmpfs -o mode=755 tmpfs "$4" && mkdir -p "$5" && mount --move "$1"/python "$5"
fi
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/systemd/unit-root {runtime}
mount --bind "$3" {runtime}
exec {drop} env -i HOME="$2" XDG_RUNTIME_DIR={runtime} PATH="$PATH" {systemd} --user --log-target=console
' sh "$2/.." "$2" "$3" "$4" "$5" "$6" "$7"
""".replace("{drop}", " ".join(DROP))
    .replace("{systemd}", str(SYSTEMD))
    .replace("{runtime}", f"/run/user/{NOBODY}")
)


class NoManagerError(Exception):
    """No manager can be had on this machine after all; the text is what it said."""


class UserManager:
    """A user's home, and the environment in which `systemctl --user` reaches that user's manager."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.program = directory / "a place" / "selfdistill"
        self.runtime = directory / "runtime"
        for path in (directory, self.home, self.runtime):
            path.mkdir(exist_ok=True)
            os.chown(path, NOBODY, NOBODY)
        self.runtime.chmod(0o700)
        self.program.parent.mkdir()
        self.program.write_text(
            f"#!{directory}/venv/bin/python\nimport sys\nsys.path[:0] = ['{directory}/package']\n"
            "from selfdistill.cli.main import main\nsys.exit(main())\n"
        )
        self.program.chmod(0o755)

    def environment(self, **more: str) -> dict[str, str]:
        """What a shell of this user has."""
        return {"HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.runtime), "PATH": os.environ["PATH"], **more}

    def run(self, *words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command as this user."""
        return subprocess.run(
            [*DROP, *words], env=self.environment(**more), capture_output=True, text=True, check=False, timeout=60
        )


def why_not() -> str:
    """Why no manager can be had here; "" if one can."""
    if os.getuid() != 0:
        return "only root can give a manager a cgroup of its own"
    missing = [name for name in ("systemctl", "setpriv", "unshare") if shutil.which(name) is None]
    if not SYSTEMD.exists() or missing:
        return f"{', '.join(missing) or SYSTEMD} is not installed here"
    if _hierarchy() is None:
        return "there is no cgroup2 hierarchy that can be written"
    return ""


@contextmanager
def user_manager() -> Iterator[UserManager]:
    """A running manager; nothing of it stays. Raises NoManagerError where it does not start."""
    hierarchy = _hierarchy()
    assert hierarchy is not None
    cgroup = hierarchy / f"selfdistill-test-{os.getpid()}"
    cgroup.mkdir()
    for path in (cgroup, *cgroup.glob("cgroup.*")):
        if path.is_dir() or path.name in {"cgroup.procs", "cgroup.threads", "cgroup.subtree_control"}:
            os.chown(path, NOBODY, NOBODY)
    directory = Path(tempfile.mkdtemp(prefix="selfdistill-user-", dir="/opt"))  # PrivateTmp= hides /tmp
    directory.chmod(0o755)
    manager = UserManager(directory)
    with (directory / "manager.log").open("wb") as log:
        process = subprocess.Popen(
            ["sh", "-c", _ENTER, "sh", cgroup, manager.home, manager.runtime, *_python()],
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        _await(manager, process, directory / "manager.log")
        yield manager
    finally:
        manager.run("systemctl", "--user", "exit")
        _end(process, cgroup)
        shutil.rmtree(directory)


def _python() -> list[str]:
    """The directory above Python that others may not enter, "" if there is none; Python, its environment, and us."""
    above = [path for path in reversed(Path(sys.base_prefix).parents) if not path.stat().st_mode & 0o001]
    return [str(above[0]) if above else "", sys.base_prefix, sys.prefix, str(PACKAGE)]


def _hierarchy() -> Path | None:
    for path in _HIERARCHIES:
        if (path / "cgroup.procs").exists() and (path / "cgroup.controllers").exists() and os.access(path, os.W_OK):
            return path
    return None


def _await(manager: UserManager, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 20
    while not (manager.runtime / "systemd" / "private").exists():
        if process.poll() is not None or time.monotonic() > end:
            raise NoManagerError(log.read_text().strip())
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes], cgroup: Path) -> None:
    """Wait for the manager, then remove its cgroups; they are empty a moment after their last process has gone."""
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    end = time.monotonic() + 5
    for directory, _, _ in os.walk(cgroup, topdown=False):
        while True:
            try:
                Path(directory).rmdir()
            except OSError:
                assert time.monotonic() < end, f"{directory} is still in use"
                time.sleep(0.02)
            else:
                break

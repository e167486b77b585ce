"""Which project a session belongs to: the repository of its working directory, whatever worktree that is in.

Reads `.git` itself, without running git, so that a session of a deleted or foreign directory costs some `stat`s.
Layouts are git's own (gitrepository-layout(5), git-worktree(1)) and those of agents that make worktrees. Reads only.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

# Strings, not `Path`s: what a log says is odd at times (5,000 characters, Windows, relative), and stays as it is.
from posixpath import basename, dirname, expanduser, join, normpath, split
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAX_LEVELS: Final = 64
_MAX_PATH_CHARACTERS: Final = 4096
_MAX_POINTER_BYTES: Final = 4096
_MAX_CONFIG_BYTES: Final = 262_144
_MAX_REMOTE_CHARACTERS: Final = 512


class Project(Struct, frozen=True):
    """A project: `key` tells it from others, `root` is its main directory, `remote` is `host/path`, "" where unknown.

    The key is the root's absolute path, not resolved through symbolic links; a working directory outside of any
    repository is its own project; "" for a session that does not tell its directory.
    """

    key: str
    root: str
    remote: str = ""


def resolve(cwd: str, repository_url: str = "", known_roots: Iterable[str] = ()) -> Project:
    """The project of a session that ran in `cwd`; never raises.

    All worktrees of a repository are one project, a submodule is its own. For a directory that is gone: the nearest
    of the repositories around it and of `known_roots`, else what its path tells of a worktree, else the path.
    `repository_url` (from the log) gives the remote where the disk does not.
    """
    path = _lexical(cwd)
    told = normalised_remote(repository_url)
    if not path.startswith("/"):
        return Project(path, path, told)
    there = _is_directory(path)
    found = _repository_around(path)
    if found is None or not there:
        known = max((root for root in known_roots if _contains(root, path)), key=len, default="")
        if not there and len(known) > (len(found[0]) if found else 0):
            found = known, join(known, ".git")
    if found is not None:
        root, git = found
        return Project(root, root, _remote_in(join(git, "config")) or told)
    root = path if there else _root_by_layout(path, tuple(known_roots))
    return Project(root, root, told)


def normalised_remote(url: str) -> str:
    """`host/path` of a remote's URL in any of git's spellings, without credentials, port or `.git`; "" if it has none.

    The host is folded to lower case; a path on this machine is no remote.
    """
    url = url.strip()[:_MAX_REMOTE_CHARACTERS]
    match = _URL.match(url) or _SCP.match(url)
    if match is None or (match.re is _URL and match["scheme"].casefold() == "file"):
        return ""
    path = unquote(match["path"]).strip("/").removesuffix(".git").strip("/")
    host = match["host"].casefold()
    return f"{host}/{path}" if path and host and path.isprintable() else ""


_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?:[^/]*@)?(?P<host>[^/:@\s]+)(?::\d*)?/(?P<path>[^?#\s]+)"
)
_SCP: Final = re.compile(r"(?:[^/@\s]+@)?(?P<host>[^/:@\s]{2,}):(?!//|\\)(?P<path>[^\s:]+)\Z")


def _lexical(cwd: str) -> str:
    """The path without `.`, `..`, doubled and trailing separators, and what no path can hold."""
    path = cwd[:_MAX_PATH_CHARACTERS].replace("\0", "").strip()
    if not path:
        return ""
    return "/" + normpath(path).lstrip("/") if path.startswith("/") else path.rstrip("/\\") or path


def _contains(root: str, path: str) -> bool:
    """Whether the path is the root or below it; the file system's root and the home contain nothing but themselves."""
    return path == root or (root not in _too_wide() and path.startswith(f"{root}/"))


def _too_wide() -> tuple[str, str, str]:
    """Directories that hold everything: a repository there (dotfiles) is the project of its own directory only."""
    return "", "/", expanduser("~")


def _is_directory(path: str) -> bool:
    """Whether the directory is there; False when that cannot be told."""
    try:
        return stat.S_ISDIR(Path(path).stat().st_mode)
    except (OSError, ValueError):  # ValueError: lone surrogates in the path
        return False


def _repository_around(path: str) -> tuple[str, str] | None:
    """Main directory and git directory of the repository that the path is in, None outside of any."""
    for directory in _upwards(path):
        if directory != path and directory in _too_wide():
            return None
        found = _repository_at(directory)
        if found is not None:
            return found
    return None


def _upwards(path: str) -> Iterator[str]:
    """The path and its parents."""
    for _ in range(_MAX_LEVELS):
        yield path
        parent = dirname(path)
        if parent == path:
            return
        path = parent


def _repository_at(directory: str) -> tuple[str, str] | None:
    """Main directory and git directory of the repository whose working tree begins at this directory."""
    git = join(directory, ".git")
    if _read(join(git, "HEAD"), _MAX_POINTER_BYTES):
        return directory, git
    pointer = _read(git, _MAX_POINTER_BYTES)
    if not pointer.startswith("gitdir:"):
        return None
    target = normpath(join(directory, pointer.removeprefix("gitdir:").strip()))
    shared = _read(join(target, "commondir"), _MAX_POINTER_BYTES).strip()
    if shared:
        common = normpath(join(target, shared))
        return _main_directory(common), common
    pruned = _ADMINISTRATION.match(target)  # of a worktree whose administration is gone
    if pruned is not None and not _is_directory(target):
        return pruned["root"], join(pruned["root"], ".git")
    return directory, target


_ADMINISTRATION: Final = re.compile(r"(?P<root>.+)/\.git/worktrees/[^/]+\Z", re.DOTALL)


def _main_directory(common: str) -> str:
    """The main working tree of a shared git directory: beside it, where `core.worktree` says, else the directory."""
    parent, name = split(common)
    if name in {".git", ".bare"}:
        return parent
    worktree = _WORKTREE.search(_read(join(common, "config"), _MAX_CONFIG_BYTES))
    return normpath(join(common, worktree[1].strip())) if worktree else common


_WORKTREE: Final = re.compile(r"^\s*worktree\s*=\s*(.+)$", re.MULTILINE)
_REMOTE: Final = re.compile(r'^\s*\[remote "([^"\n]*)"\]', re.IGNORECASE)
_REMOTE_URL: Final = re.compile(r'^\s*url\s*=\s*"?([^"\n#;]+)', re.IGNORECASE)


def _remote_in(config: str) -> str:
    """The remote `origin`, else the first one, that a git configuration names."""
    remotes: dict[str, str] = {}
    section = ""
    for line in _read(config, _MAX_CONFIG_BYTES).splitlines():
        if line.lstrip().startswith("["):
            match = _REMOTE.match(line)
            section = match[1] if match else ""
        elif section and (match := _REMOTE_URL.match(line)):
            remotes.setdefault(section, normalised_remote(match[1]))
    return remotes.get("origin") or next(filter(None, remotes.values()), "")


def _read(path: str, limit: int) -> str:
    """The beginning of a regular file, "" when it cannot be read; never waits (a FIFO may lie where a file should)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return os.read(descriptor, limit).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)


# Where agents and people put worktrees: git-worktree users, Claude Code, Codex, Conductor, Cursor. `name` alone is the
# repository's name, its place is not told.
_LAYOUTS: Final = (
    re.compile(r"(?P<root>.+?)/\.git/worktrees/[^/]+"),
    re.compile(r"(?P<name_root>.+?/\.codex/worktrees/[^/]+/(?P<name>[^/]+))"),
    re.compile(r"(?P<name_root>.+?/\.cursor/worktrees/(?P<name>[^/]+))/[^/]+"),
    re.compile(r"(?P<name_root>.+?/conductor/workspaces/(?P<name>[^/]+))/[^/]+"),
    re.compile(r"(?P<root>.+?)/\.[a-z]+/worktrees/[^/]+"),
    re.compile(r"(?P<root>.+?)/(?:\.worktrees|\.trees|worktrees|\.conductor)/[^/]+"),
    re.compile(r"(?P<root>.+?)[-.]worktrees/[^/]+"),
)


def _root_by_layout(path: str, known_roots: tuple[str, ...]) -> str:
    """The repository that the path of a vanished worktree tells of, else the path."""
    for layout in _LAYOUTS:
        match = layout.match(path)
        if match is None:
            continue
        groups = match.groupdict()
        if "name" in groups:
            named = [root for root in known_roots if basename(root) == groups["name"]]
            return named[0] if len(named) == 1 else groups["name_root"]
        if groups["root"] not in _too_wide():
            return groups["root"]
    return path

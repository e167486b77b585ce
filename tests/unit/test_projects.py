"""Which project a session belongs to, on real repositories, worktrees and submodules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from selfdistill.projects import Project, normalised_remote, resolve

if TYPE_CHECKING:
    from pathlib import Path

needs_git = pytest.mark.skipif(
    shutil.which("git") is None, reason="git is not installed: layouts of git are NOT tested"
)


def git(directory: Path, *arguments: str) -> None:
    """Run git without the user's or the machine's configuration."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ("-c", "user.name=x", "-c", "user.email=x@x.test", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, env=environment)


@pytest.fixture(name="repository")
def made_repository(tmp_path: Path) -> Path:
    """A repository with one commit and a remote."""
    directory = tmp_path / "code" / "tool"
    (directory / "deep" / "er").mkdir(parents=True)
    git(directory, "init", "-q", "-b", "main")
    git(directory, "commit", "-q", "--allow-empty", "-m", "x")
    git(directory, "remote", "add", "fork", "https://example.test/fork/tool")
    git(directory, "remote", "add", "origin", "https://joe:s3cr3t@Example.test/acme/tool.git")
    return directory


@needs_git
def test_directory_in_a_repository_is_the_repositorys_project(repository: Path) -> None:
    """Any directory of a repository has the repository's root as key, and the remote `origin` without credentials."""
    expected = Project(str(repository), str(repository), "example.test/acme/tool")
    assert resolve(str(repository)) == expected
    assert resolve(f"{repository}/deep/../deep/er/", "https://other.test/a/b") == expected


@needs_git
def test_worktrees_are_one_project(repository: Path, tmp_path: Path) -> None:
    """A worktree, wherever it is, belongs to the main repository."""
    git(repository, "worktree", "add", "-q", str(tmp_path / "elsewhere"), "-b", "one")
    git(repository, "worktree", "add", "-q", ".worktrees/two", "-b", "two")
    for place in (tmp_path / "elsewhere", repository / ".worktrees" / "two"):
        assert resolve(str(place)) == resolve(str(repository))


@needs_git
def test_worktree_with_lost_administration_still_finds_its_repository(repository: Path, tmp_path: Path) -> None:
    """A worktree that git has forgotten belongs to the repository that its `.git` file names."""
    git(repository, "worktree", "add", "-q", str(tmp_path / "elsewhere"), "-b", "one")
    shutil.rmtree(repository / ".git" / "worktrees")
    assert resolve(str(tmp_path / "elsewhere")).key == str(repository)


@needs_git
def test_bare_repository_with_worktrees_is_one_project(repository: Path, tmp_path: Path) -> None:
    """Worktrees of a bare clone share one key: the directory around `.bare`, else the bare repository."""
    home = tmp_path / "hub"
    home.mkdir()
    git(home, "clone", "-q", "--bare", str(repository), ".bare")
    git(home / ".bare", "worktree", "add", "-q", "../main-tree", "main")
    assert resolve(str(home / "main-tree")).key == str(home)
    git(home, "clone", "-q", "--bare", str(repository), "tool.git")
    git(home / "tool.git", "worktree", "add", "-q", "../other-tree", "main")
    assert resolve(str(home / "other-tree")).key == str(home / "tool.git")


@needs_git
def test_submodule_is_its_own_project(repository: Path, tmp_path: Path) -> None:
    """A submodule has its own key and remote, also in a worktree of the submodule."""
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q", "-b", "main")
    git(other, "commit", "-q", "--allow-empty", "-m", "x")
    git(repository, "submodule", "add", "-q", str(other), "vendored")
    vendored = repository / "vendored"
    git(vendored, "remote", "set-url", "origin", "git@example.test:acme/other.git")
    assert resolve(str(vendored)) == Project(str(vendored), str(vendored), "example.test/acme/other")
    git(vendored, "worktree", "add", "-q", str(tmp_path / "sub-tree"), "-b", "two")
    assert resolve(str(tmp_path / "sub-tree")).key == str(vendored)


@needs_git
def test_home_is_a_repository_only_for_itself(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dotfiles in a repository at home do not make everything below home one project."""
    monkeypatch.setenv("HOME", str(repository))
    below = str(repository / "deep" / "er")
    assert resolve(below).key == below
    assert resolve(str(repository)).remote == "example.test/acme/tool"


@needs_git
def test_directory_that_is_gone_belongs_to_what_is_around_it(repository: Path, tmp_path: Path) -> None:
    """A deleted directory belongs to the nearest repository on disk or among the known roots around it."""
    assert resolve(str(repository / "gone" / "deep")).key == str(repository)
    nested = str(repository / "gone")
    assert resolve(f"{nested}/deep", "", [nested, "/", str(tmp_path)]).key == nested
    assert resolve("/gone/tool/src", "git@h.test:a/b", ["/gone/tool", "/gone"]) == Project(
        "/gone/tool", "/gone/tool", "h.test/a/b"
    )


@pytest.mark.parametrize(
    ("cwd", "known", "key"),
    [
        ("/gone/tool/.worktrees/joe/topic/src", (), "/gone/tool"),
        ("/gone/tool/.claude/worktrees/topic", (), "/gone/tool"),
        ("/gone/tool/worktrees/topic", (), "/gone/tool"),
        ("/gone/tool-worktrees/topic/src", (), "/gone/tool"),
        ("/gone/tool.worktrees/topic", (), "/gone/tool"),
        ("/gone/tool/.git/worktrees/topic", (), "/gone/tool"),
        ("/gone/tool/.conductor/lima", (), "/gone/tool"),
        ("/gone/joe/.codex/worktrees/1a2b/tool/src", (), "/gone/joe/.codex/worktrees/1a2b/tool"),
        ("/gone/joe/.codex/worktrees/1a2b/tool/src", ("/gone/code/tool",), "/gone/code/tool"),
        ("/gone/joe/.codex/worktrees/1a2b/tool", ("/x/tool", "/y/tool"), "/gone/joe/.codex/worktrees/1a2b/tool"),
        ("/gone/joe/conductor/workspaces/tool/lima", (), "/gone/joe/conductor/workspaces/tool"),
        ("/gone/joe/.cursor/worktrees/tool/x1", (), "/gone/joe/.cursor/worktrees/tool"),
        ("/gone/plain/directory", (), "/gone/plain/directory"),
        ("/gone/tools", ("/gone/tool",), "/gone/tools"),
    ],
)
def test_path_of_a_vanished_worktree_tells_its_repository(cwd: str, known: tuple[str, ...], key: str) -> None:
    """Agents' habits of placing worktrees lead to the repository, when nothing is left on disk."""
    assert resolve(cwd, "", known).key == key


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        ("git@github.com:a/b.git", "github.com/a/b"),
        ("ssh://git@github.com/a/b", "github.com/a/b"),
        ("ssh://git@GitHub.com:22/a/b.git", "github.com/a/b"),
        ("https://user:tok@github.com/a/b.git/", "github.com/a/b"),
        ("https://tok@en@github.com/a/b", "github.com/a/b"),
        ("https://github.com/a/b?x=1#y", "github.com/a/b"),
        ("host.test:group/sub/b.git", "host.test/group/sub/b"),
        ("git://h.test/A%20b", "h.test/A b"),
        ("file:///srv/b.git", ""),
        ("/srv/b.git", ""),
        ("../b", ""),
        ("C:\\code\\b", ""),
        ("https://github.com/", ""),
        ("", ""),
        ("https://", ""),
    ],
)
def test_remote_is_normalised(url: str, remote: str) -> None:
    """All spellings of a remote are one, without credentials."""
    assert normalised_remote(url) == remote


def test_repository_url_of_the_log_stands_in_for_the_disk(tmp_path: Path) -> None:
    """Outside of any repository the log's URL is the remote; the directory is the project."""
    assert resolve(str(tmp_path), "https://h.test/a/b") == Project(str(tmp_path), str(tmp_path), "h.test/a/b")


@pytest.mark.parametrize(
    "cwd",
    [
        "",
        " ",
        "\0",
        "a\0b",
        "relative/path",
        "C:\\Users\\joe\\code",
        "/" + "x/" * 2500,
        "//double",
        "/\ud800",
        "~",
        "/" * 5000,
    ],
)
def test_odd_paths_are_survived(cwd: str) -> None:
    """No path raises; an empty one has the empty key."""
    project = resolve(cwd, cwd, [cwd])
    assert project.root == project.key
    assert (project.key == "") == (not cwd.strip("\0 "))
    assert resolve("C:\\Users\\joe\\code").key == "C:\\Users\\joe\\code"


def test_things_that_are_no_repository(tmp_path: Path) -> None:
    """An empty `.git`, a FIFO, garbage and a pointer to nowhere make no repository of a directory around."""
    for name in ("empty", "fifo", "garbage"):
        (tmp_path / name).mkdir()
    (tmp_path / "empty" / ".git").mkdir()
    os.mkfifo(tmp_path / "fifo" / ".git")
    (tmp_path / "garbage" / ".git").write_bytes(b"\xff\0\xfe")
    for place in tmp_path.iterdir():
        assert resolve(str(place)) == Project(str(place), str(place), "")
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / ".git").write_text("gitdir: /nowhere/at/all\n")
    assert resolve(str(tmp_path / "lost")).key == str(tmp_path / "lost")


def test_pointer_in_a_pipe_is_not_taken(tmp_path: Path) -> None:
    """What another program has written into a FIFO named `.git` stays there for its reader."""
    os.mkfifo(tmp_path / ".git")
    pipe = os.open(tmp_path / ".git", os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(pipe, b"gitdir: /gone/tool/.git/worktrees/x\n")
        assert resolve(str(tmp_path)).key == str(tmp_path)
        assert os.read(pipe, 100).startswith(b"gitdir:")
    finally:
        os.close(pipe)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv to drop rights"
)
@needs_git
def test_unreadable_repository_is_a_plain_directory(repository: Path) -> None:
    """A `.git` that we may not read leaves the directory its own project."""
    for directory in (repository, *repository.parents):
        if directory.stat().st_uid == 0 and directory.name.startswith(("pytest", "code", "tool", "test")):
            directory.chmod(0o755)
    (repository / ".git").chmod(0o700)
    program = textwrap.dedent(f"""
        from selfdistill.projects import resolve
        print(resolve({str(repository / "deep")!r}).key)
    """)
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run([*drop, sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"another user may not run this interpreter here: {done.stderr[-200:]}")
    assert done.stdout.strip() == str(repository / "deep")

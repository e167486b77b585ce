"""Reverts: work that was taken back, told by commands that restore files and by edits that undo an earlier edit."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from selfdistill.signals.invocations import invocations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from selfdistill.signals.memory import Edited
    from selfdistill.signals.steps import Step


_TAKES_BACK: Final = ("restore", "checkout", "reset", "revert")


def digest(text: str) -> str:
    """A short digest of an edited text, enough to see that a later edit puts it back."""
    return blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest() if text else ""


def restores_files(command: str) -> bool:
    """Whether a command throws work away: `git restore F`, `git checkout -- F`, `git reset --hard`, `git revert`."""
    if "git" not in command or not any(map(command.__contains__, _TAKES_BACK)):
        return False
    for invocation in invocations(command):
        words = invocation.arguments
        if invocation.key == "git revert" and "--abort" not in words:
            return True
        if invocation.key == "git restore" and "--staged" not in words:
            return True
        if invocation.key == "git checkout" and "--" in words:
            return True
        if invocation.key == "git reset" and "--hard" in words:
            return True
    return False


def takes_back(edits: Sequence[Edited], newest: Step) -> bool:
    """Whether the newest edit takes an earlier edit of the same file back exactly."""
    if not edits or newest.failed or newest.before == newest.after:
        return False
    path = digest(newest.path)
    return any((edit.path, edit.before, edit.after) == (path, newest.after, newest.before) for edit in edits)


def restored_paths(command: str) -> tuple[str, ...]:
    """The files that a command restores by name; none where it takes back whole commits."""
    paths: list[str] = []
    for invocation in invocations(command):
        words = invocation.arguments
        if invocation.key == "git restore" and "--staged" not in words:
            paths += [word for word in words[1:] if not word.startswith("-")]
        elif invocation.key == "git checkout" and "--" in words:
            paths += words[words.index("--") + 1 :]
    return tuple(paths)

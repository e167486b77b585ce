"""Writes our hooks into agents' settings files, takes them out again, and says how they stand.

These files belong to people: only our own entries change, byte for byte; a file that cannot be understood is left
alone. What stands there without our hooks is kept in our own state directory (`hooks/`) with a receipt, so that
uninstalling restores the exact bytes where nobody else has changed the file since.
"""

from __future__ import annotations

import hashlib
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from selfdistill.errors import CannotCreate, ConfigError, SelfdistillError
from selfdistill.service.hook_agents import HookAgent, is_ours, paths_of, wanted
from selfdistill.service.json_editing import JsonProblem, Node, parse, plain, with_entry, without_child
from selfdistill.service.replacing import read_whole, replace_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BYTES: Final = 16_777_216
_RECEIPTS: Final = "hooks"


class Standing(StrEnum):
    """How our hooks stand with one agent."""

    INSTALLED = "installed"
    ABSENT = "not installed"
    GONE = "path gone"  # what they start is not there any more: they do nothing
    OTHER = "other version"  # ours, but not what this version would write
    UNREADABLE = "unreadable"  # the settings file cannot be read or understood


class HookStatus(Struct, frozen=True):
    """How our hooks stand in one settings file, why, and what to do about it."""

    agent: str
    title: str
    path: str
    standing: Standing
    present: bool  # whether the agent seems to be used at all: its directory is there
    reason: str = ""
    advice: str = ""


class Edit(Struct, frozen=True):
    """What is to become of one settings file; None for no file, equal for nothing to do.

    `without` is what stands there without our hooks: what uninstalling restores.
    """

    path: Path
    before: bytes | None
    after: bytes | None
    without: bytes | None = None

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.before != self.after


class _Receipt(Struct, frozen=True):
    """What we wrote (BLAKE2b), and the name of the copy of what was there before, "" for no file."""

    path: str
    written: str
    before: str
    made_directory: bool = False


def hook_status(agent: HookAgent, path: Path, state: Path, *, present: bool = True) -> HookStatus:
    """How our hooks stand in a settings file; never raises for what it finds there."""

    def told(standing: Standing, reason: str = "", advice: str = "") -> HookStatus:
        return HookStatus(agent.name, agent.title, str(path), standing, present, reason, advice)

    again = "Run: selfdistill hooks install"
    try:
        text = _text(path, read_whole(path, MAX_BYTES))
        ours = _our_commands(agent, _hooks(path, text))
    except SelfdistillError as problem:
        return told(Standing.UNREADABLE, problem.message, problem.advice)
    if not ours:
        return told(Standing.ABSENT)
    gone = [place for _, command in ours for place in paths_of(command) if not place.exists()]
    if gone:
        return told(Standing.GONE, f"{gone[0]} is not there any more, so the hooks do nothing.", again)
    if sorted(ours) != sorted(_our_commands(agent, {event: [one] for event, one in wanted(agent, state).items()})):
        return told(Standing.OTHER, "They are not what this version of selfdistill would write.", again)
    if plain(parse(text)).get("disableAllHooks") is True:
        return told(Standing.INSTALLED, "`disableAllHooks` is set there, so no hook runs.", "Take it out to use them.")
    return told(Standing.INSTALLED)


def plan_install(agent: HookAgent, path: Path, state: Path) -> Edit:
    """The edit that puts our hooks into a settings file; raises ConfigError where the file is not understood."""
    before = read_whole(path, MAX_BYTES)
    text = _text(path, before) or agent.skeleton
    entries = wanted(agent, state)
    should = sorted(_our_commands(agent, {event: [entry] for event, entry in entries.items()}))
    if sorted(_our_commands(agent, _hooks(path, text))) == should:
        return Edit(path, before, before)
    base = _restored(path, state, before)
    if base is None and before is not None:
        text = _text(path, before)
        base = _stripped(agent, text).encode() if text else before
    text = _text(path, base)
    try:
        for event, entry in entries.items():
            text = with_entry(text or agent.skeleton, ("hooks", event), entry)
        return Edit(path, before, text.encode(), base)
    except (JsonProblem, UnicodeEncodeError) as problem:
        raise _not_understood(path, str(problem)) from problem


def plan_uninstall(agent: HookAgent, path: Path, state: Path) -> Edit:
    """The edit that takes our hooks out: back to the exact bytes of before if nobody has changed the file since."""
    before = read_whole(path, MAX_BYTES)
    if before is None:
        return Edit(path, None, None)
    receipt = _receipt(path, state)
    if receipt is not None and receipt.written == _digest(before):
        if not receipt.before:
            return Edit(path, before, None)
        base = _restored(path, state, before)
        if base is not None:
            return Edit(path, before, base)
    text = _text(path, before)
    if not _our_commands(agent, _hooks(path, text)):
        return Edit(path, before, before)
    kept = _stripped(agent, text)
    if agent.own_file and not _hooks(path, kept):
        return Edit(path, before, None)
    return Edit(path, before, kept.encode())


def apply_install(edit: Edit, state: Path) -> None:
    """Do an edit that `plan_install` gave, with the receipt written first; the state directory must be prepared."""
    if edit.after is None or not edit.changes:
        return
    directory = Path(os.path.realpath(edit.path)).parent
    old = _receipt(edit.path, state)
    again = old is not None and edit.before is not None and old.written == _digest(edit.before)
    made = old.made_directory if old is not None and again else not directory.exists()
    kept = old.before if old is not None and again else _keep(edit, state)
    receipt = _Receipt(str(edit.path), _digest(edit.after), kept, made)
    _private(_receipt_path(edit.path, state), msgspec.json.encode(receipt))
    if old is not None and old.before != kept:
        _drop(old, state)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreate(f"Cannot make {directory}: {error.strerror}.", "Nothing was changed.") from error
    replace_whole(edit.path, edit.before, edit.after)


def apply_uninstall(edit: Edit, state: Path) -> None:
    """Do an edit that `plan_uninstall` gave; the receipt goes, and with it a directory that we made if it is empty."""
    receipt = _receipt(edit.path, state)
    if edit.changes:
        replace_whole(edit.path, edit.before, edit.after)
    if edit.changes and edit.after is None and receipt is not None and receipt.made_directory:
        _remove_if_empty(Path(os.path.realpath(edit.path)).parent)
    if receipt is not None:
        _receipt_path(edit.path, state).unlink(missing_ok=True)
        _drop(receipt, state)


def _remove_if_empty(directory: Path) -> None:
    """A directory that was made for our file alone."""
    if not any(directory.iterdir()):
        directory.rmdir()


def _hooks(path: Path, text: str) -> dict[str, Any]:
    """The `hooks` of a settings text, {} where there are none; raises ConfigError where they have another shape."""
    if not text:
        return {}
    try:
        found = plain(parse(text))
    except JsonProblem as problem:
        raise _not_understood(path, str(problem)) from problem
    hooks = found.get("hooks", {}) if isinstance(found, dict) else None
    if not isinstance(hooks, dict) or not all(isinstance(entries, list) for entries in hooks.values()):
        raise _not_understood(path, "its hooks are not an object of arrays")
    return hooks


def _our_commands(agent: HookAgent, hooks: dict[str, Any]) -> list[tuple[str, str]]:
    """(event, shell line) of every hook of ours."""
    return [
        (event, one[agent.command])
        for event, entries in hooks.items()
        for entry in entries
        for one in _commands_in(entry)
        if is_ours(one.get(agent.command))
    ]


def _commands_in(entry: object) -> Iterator[dict[str, Any]]:
    """The hooks of one entry, whether it is a group of them or one by itself."""
    if isinstance(entry, dict):
        group = entry.get("hooks", [entry])
        yield from (one for one in group if isinstance(one, dict)) if isinstance(group, list) else ()


def _stripped(agent: HookAgent, text: str) -> str:
    """A settings text without our hooks, and without what has become empty by that."""
    while True:
        shorter = _without_one(agent, text)
        if shorter == text:
            return text
        text = shorter


def _without_one(agent: HookAgent, text: str) -> str:
    """The text without one hook of ours and what it leaves empty; the same text if there is none."""
    root = parse(text)
    trail = _trail(agent, root)
    if not trail:
        return text
    while len(trail) > 1 and len(trail[-1][0].children) == 1:
        trail.pop()  # the container would be empty: it goes, too
    return without_child(text, *trail[-1])


def _trail(agent: HookAgent, root: Node) -> list[tuple[Node, int]]:
    """The way to the first hook of ours: each container on it and which of its children comes next."""
    hooks = root.get("hooks")
    for event, child in enumerate(hooks.children if hooks else ()):
        for index, entry in enumerate(child.node.items):
            here = [(root, _index(root, hooks)), (hooks, event), (child.node, index)]
            group = entry.get("hooks") if entry.kind == "object" else None
            if group is None and is_ours(_member(entry, agent.command)):
                return here  # type: ignore[return-value]  # hooks is no None in here
            for place, one in enumerate(group.items if group else ()):
                if is_ours(_member(one, agent.command)):
                    whole = [(entry, _index(entry, group)), (group, place)] if len(group.items) > 1 else []  # type: ignore[union-attr]
                    return [*here, *whole]  # type: ignore[list-item]
    return []


def _index(parent: Node, node: Node | None) -> int:
    """Which child of its parent a node is."""
    return next(index for index, child in enumerate(parent.children) if child.node is node)


def _member(node: Node, name: str) -> object:
    """The scalar that an object holds under a name, None where there is none."""
    found = node.get(name) if node.kind == "object" else None
    return found.value if found else None


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _receipt_path(path: Path, state: Path) -> Path:
    return state / _RECEIPTS / f"{_digest(os.fsencode(path))}.json"


def _receipt(path: Path, state: Path) -> _Receipt | None:
    """The receipt of our last installation in a settings file; None if there is none that can be read."""
    try:
        return msgspec.json.decode(_receipt_path(path, state).read_bytes(), type=_Receipt)
    except (OSError, msgspec.DecodeError):
        return None  # then the hooks are taken out entry by entry


def _restored(path: Path, state: Path, current: bytes | None) -> bytes | None:
    """What stood in a settings file before us, if it still is as we left it; else None."""
    receipt = _receipt(path, state)
    if receipt is None or not receipt.before or current is None or receipt.written != _digest(current):
        return None
    try:
        kept = (state / _RECEIPTS / receipt.before).read_bytes()
    except OSError:
        return None
    return kept if receipt.before.startswith(_digest(kept)) else None


def _keep(edit: Edit, state: Path) -> str:
    """A copy of what is there before we change it; its name, "" for no file."""
    if edit.without is None:
        return ""
    name = f"{_digest(edit.without)}.before"
    _private(state / _RECEIPTS / name, edit.without)
    return name


def _drop(receipt: _Receipt, state: Path) -> None:
    """Delete the copy that a receipt names."""
    if receipt.before:
        (state / _RECEIPTS / receipt.before).unlink(missing_ok=True)


def _private(path: Path, content: bytes) -> None:
    """A file of ours in the state directory, 0600, whole or not there."""
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise CannotCreate(f"Cannot make {path.parent}: {error.strerror}.", "Nothing was changed.") from error
    replace_whole(path, read_whole(path), content)


def _not_understood(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"The settings file {path} cannot be used: {why}.", "Nothing was changed. Mend it, then run the command again."
    )


def _text(path: Path, found: bytes | None) -> str:
    """A settings file's text, "" for no file and for one with nothing in it."""
    try:
        text = (found or b"").decode()
    except UnicodeDecodeError as error:
        raise _not_understood(path, "it is not UTF-8") from error
    return text if text.strip("\ufeff \t\r\n") else ""

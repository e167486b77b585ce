"""All agents' hooks at a glance: which settings files are meant, how they stand, what trouble the hooks had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from selfdistill.errors import UsageError
from selfdistill.recall.answering import MAX_TROUBLE_BYTES, TROUBLES
from selfdistill.service.hook_agents import HOOK_AGENTS, HookAgent
from selfdistill.service.hook_settings import HookStatus, hook_status

NAMES: Final = tuple(agent.name for agent in HOOK_AGENTS)


class Target(Struct, frozen=True):
    """One settings file. `present`: the agent's directory is there, so that it seems to be used."""

    agent: HookAgent
    path: Path
    present: bool


class Troubles(Struct, frozen=True):
    """What the hooks could not do: how often, when last (epoch seconds) and what; the file holds the first 64 KiB."""

    count: int = 0
    last_at: int = 0
    last: str = ""
    path: str = ""
    full: bool = False


def targets(
    home: Path, environment: Mapping[str, str], names: Sequence[str] = (), project: Path | None = None
) -> list[Target]:
    """The settings files that are meant: of the named agents, of all, or those of a project.

    Raises UsageError where a named agent has no file of its user's own in a project: what is there is shared by git.
    """
    chosen = [agent for agent in HOOK_AGENTS if agent.name in names or not names]
    if project is None:
        return [
            Target(agent, agent.settings(home, environment), agent.directory(home, environment).is_dir())
            for agent in chosen
        ]
    for agent in chosen:
        if names and not agent.project_file:
            raise UsageError(
                f"{agent.title} has no settings file in a project that is yours alone.",
                f"Without --project its hooks go into {agent.settings(home, environment)}.",
            )
    return [Target(agent, project / agent.project_file, present=True) for agent in chosen if agent.project_file]


def overview(home: Path, environment: Mapping[str, str], state: Path, project: Path | None = None) -> list[HookStatus]:
    """How the hooks of each agent stand, and those in a project's own file if there are any; never raises."""
    found = targets(home, environment)
    if project is not None:
        found += [target for target in targets(home, environment, project=project) if target.path.exists()]
    return [hook_status(target.agent, target.path, state, present=target.present) for target in found]


def troubles(state: Path) -> Troubles:
    """What the hooks have noted of their troubles; nothing where the file is not there or cannot be read."""
    path = state / TROUBLES
    try:
        lines = path.read_bytes()[: 2 * MAX_TROUBLE_BYTES].decode("utf-8", "replace").splitlines()
    except OSError:
        return Troubles()
    if not lines:
        return Troubles()
    at, _, last = lines[-1].partition(" ")
    full = sum(len(line) + 1 for line in lines) >= MAX_TROUBLE_BYTES
    return Troubles(len(lines), int(at) if at.isdecimal() else 0, last, str(path), full)

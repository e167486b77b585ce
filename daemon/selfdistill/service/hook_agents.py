"""Which agents can be told lessons by hooks, where each keeps its hooks, and how an entry of ours looks there.

What the events are called and what an answer looks like stands in `recall/answering.py` (DIALECTS), which answers.
Every shape here is from the agent's own documentation, see the README for those that are left out and why.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from selfdistill.recall import answering, hook_start

SCRIPT: Final = Path(hook_start.__file__)
TIMEOUT_SECONDS: Final = 5  # the hook ends itself after one; this is for a machine that cannot even start it

_OURS: Final = "/selfdistill/recall/hook_start.py"


class HookAgent(Struct, frozen=True):
    """One agent's hooks: `folder` in the home (or where `variable` says), `file` in it.

    `grouped`: an event's entries are groups with a list of hooks in each (Claude Code's way). `command`: the field that
    holds the shell line. `timeout`: its field, and how many units of it are a second. `skeleton`: a file that does not
    exist begins as this. `own_file`: nobody else writes into the file. `advice`: what is to be done after installing.
    """

    name: str
    title: str
    folder: str
    file: str
    variable: str = ""
    grouped: bool = True
    typed: bool = True
    command: str = "command"
    timeout: tuple[str, int] = ("timeout", 1)
    skeleton: str = "{}\n"
    own_file: bool = False
    project_file: str = ""
    advice: str = ""

    def directory(self, home: Path, environment: Mapping[str, str]) -> Path:
        """Where the agent keeps its things, whether it is there or not."""
        named = environment.get(self.variable, "") if self.variable else ""
        return Path(named) if named.startswith("/") else home / self.folder

    def settings(self, home: Path, environment: Mapping[str, str]) -> Path:
        """The file that its hooks stand in."""
        return self.directory(home, environment) / self.file

    def entry(self, command: str) -> dict[str, Any]:
        """What stands in an event's array for one command."""
        field, units = self.timeout
        typed = {"type": "command"} if self.typed else {}
        one: dict[str, Any] = {**typed, self.command: command, field: TIMEOUT_SECONDS * units}
        return {"hooks": [one]} if self.grouped else one


HOOK_AGENTS: Final[tuple[HookAgent, ...]] = (
    HookAgent(
        "claude_code",
        "Claude Code",
        ".claude",
        "settings.json",
        variable="CLAUDE_CONFIG_DIR",
        project_file=".claude/settings.local.json",
    ),
    HookAgent(
        "codex",
        "Codex",
        ".codex",
        "hooks.json",
        variable="CODEX_HOME",
        advice="Codex runs a new or changed hook only after you have trusted it: type /hooks in Codex.",
    ),
    HookAgent("gemini_cli", "Gemini CLI", ".gemini", "settings.json", timeout=("timeout", 1000)),
    HookAgent("qwen_code", "Qwen Code", ".qwen", "settings.json", timeout=("timeout", 1000)),
    HookAgent(
        "cursor",
        "Cursor",
        ".cursor",
        "hooks.json",
        grouped=False,
        typed=False,
        skeleton='{\n  "version": 1\n}\n',
    ),
    HookAgent(
        "copilot",
        "Copilot CLI",
        ".copilot",
        "hooks/selfdistill.json",
        variable="COPILOT_HOME",
        grouped=False,
        command="bash",
        timeout=("timeoutSec", 1),
        skeleton='{\n  "version": 1\n}\n',
        own_file=True,
    ),
)


def command_line(agent: str, event: str, state: Path, python: str = sys.executable, script: Path = SCRIPT) -> str:
    """The shell line for one event, with absolute paths: an agent's environment need not be the shell's.

    Whatever happens it exits with 0 and says nothing but an answer: Python itself exits with 2 where the script is
    gone (an upgrade, a deleted environment), and 2 means "block" to nearly every agent, for each call and each prompt.
    """
    words = (python, "-I", "-S", str(script), event, agent, str(state))
    return f"{shlex.join(words)} 2>/dev/null || :"


def wanted(agent: HookAgent, state: Path, python: str = sys.executable) -> dict[str, dict[str, Any]]:
    """What is to stand in the agent's settings: event -> entry."""
    events = answering.DIALECTS[agent.name]
    return {event: agent.entry(command_line(agent.name, event, state, python)) for event in events}


def is_ours(command: object) -> bool:
    """Whether a shell line in an agent's settings is one of ours, of whatever version and place."""
    return isinstance(command, str) and _OURS in command


def paths_of(command: str) -> list[Path]:
    """The interpreter and the script that one of our shell lines starts; empty where that cannot be told."""
    try:
        words = shlex.split(command)
    except ValueError:
        return []
    return [Path(words[0]), *(Path(word) for word in words if word.endswith(_OURS))]

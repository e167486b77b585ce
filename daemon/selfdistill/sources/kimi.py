"""Kimi Code and Kimi CLI: `wire.jsonl` (formats.md section 16).

Sources: MoonshotAI/kimi-code `packages/agent-core/src` (agent/records/types.ts, agent/context, agent/permission,
loop/events.ts) and MoonshotAI/kimi-cli `src/kimi_cli/wire` (file.py, types.py; the older program, another envelope).

Tool calls are numbered within a session (`Bash_0`), so uids hang on the time as well: a fork copies both.

Kimi cannot express: its own version; Kimi CLI also neither directory nor model, nor whether a step that stopped was
interrupted by the user or by an error (it is told as an interrupt). A main agent's directory is in the system prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Final

from msgspec import Raw, Struct, field

from selfdistill.model import Session
from selfdistill.sources.base import Facts, remembered
from selfdistill.sources.decoding import glances
from selfdistill.sources.kimi_wire import KimiMemory, KimiParser

LOG_NAME: Final = "wire.jsonl"
_CONTEXT: Final = re.compile(r"(?:context|turn|llm|usage|full_compaction)\.[a-z_]+")


class _Glance(Struct):
    """What tells Kimi's records from others'."""

    type: str | None = None
    protocol_version: str | None = None
    time: Raw = field(default_factory=Raw)


class Kimi:
    """Sessions of Kimi Code and of the older Kimi CLI."""

    name: Final = "kimi"
    variables: Final = ("KIMI_CODE_HOME",)
    facts: Final = Facts(
        agent="Kimi Code, Kimi CLI",
        versions="wire protocols 1.1 to 1.6",
        where="`~/.kimi-code/sessions`, `~/.kimi/sessions`",
        read="messages, tools with results and exit codes, rejections, interrupts, compactions, sub-agents' logs",
        left_out="thinking, requests and token counts, `context.jsonl`, `state.json`",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directories of both programs; `KIMI_CODE_HOME` moves the newer one's."""
        named = environment.get("KIMI_CODE_HOME", "")
        base = Path(named) if named.startswith("/") else home / ".kimi-code"
        return base / "sessions", home / ".kimi" / "sessions"

    def owns(self, path: PurePath) -> bool:
        """Tell by the one name."""
        return path.name == LOG_NAME

    def session_hint(self, path: PurePath) -> str:
        """Return the directory that is named like the session, above those of its agents."""
        parts = path.parts
        return parts[-4] if len(parts) > 3 and parts[-3] == "agents" else path.parent.name or path.stem  # noqa: PLR2004

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by the agent's directory, or by the first record and what follows it."""
        return (self.owns(path) and bool({".kimi-code", ".kimi"} & set(path.parts))) or any(
            (glance.type == "metadata" and glance.protocol_version)
            or (bytes(glance.time) and _CONTEXT.fullmatch(glance.type or ""))
            for glance in glances(head, _Glance)
        )

    def layout(self, _path: PurePath) -> None:
        """Return None: lines, only ever added; a migration rewrites the file, which the cursor's proof notices."""

    def open(self, path: PurePath, state: bytes | None) -> KimiParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, KimiMemory, path)
        return KimiParser(memory or KimiMemory(session=self._first_facts(path)))

    def _first_facts(self, path: PurePath) -> Session:
        """What the place says: every sub-agent has a directory beside that of `main`."""
        hint, parts = self.session_hint(path), path.parts
        if len(parts) > 3 and parts[-3] == "agents" and parts[-2] != "main":  # noqa: PLR2004
            return Session(id=hint, parent=hint, machine_run=True)
        return Session(id=hint)

"""Which texts of Codex user messages a person typed (formats.md 3.4): about half are injected."""

from __future__ import annotations

import re
from typing import Final

from selfdistill.sources.injections import without_own, without_wrapped

_INJECTED: Final = (
    "# AGENTS.md instructions",
    "<INSTRUCTIONS>",
    "<environment_context",
    "<environments_context",
    "<user_instructions>",
    "<user_shell_command>",
    "<turn_aborted>",
    "<skill>",
    "<skills_instructions>",
    "<subagent_notification>",
    "<recommended_plugins>",
    "<agent_message_board_notification>",
    "<heartbeat>",
    "<task>",
    "<permissions instructions>",
    "<personality_spec>",
    "<collaboration_mode>",
    "<apps_instructions>",
    "<plugins_instructions>",
    "<model_switch>",
    "<goal_context>",
    "<hook_prompt",
    "<user_action>",
    "<realtime_conversation>",
    "Warning: The maximum number of unified exec processes",
    "Another language model started to solve this problem",
)
_IDE: Final = re.compile(
    r"\A\s*# Context from my IDE setup:.*?^## My request for Codex:[ \t]*\n?", re.DOTALL | re.MULTILINE
)
_TEMPLATE: Final = re.compile(r"\A\s*## User Input\s.{0,4000}?You \*\*MUST\*\* consider the user input", re.DOTALL)


def typed_text(text: str) -> str:
    """Return what a person typed of a user message's text, "" where a program wrote it.

    A custom prompt (spec-kit's are the common ones) is a program's text, like a slash command.
    """
    if text.lstrip().startswith(_INJECTED) or _TEMPLATE.match(text):
        return ""
    typed = without_wrapped(without_own(text))
    if typed.lstrip().startswith("# Context from my IDE setup"):
        typed = _IDE.sub("", typed, count=1) if _IDE.match(typed) else ""
    return typed.strip()

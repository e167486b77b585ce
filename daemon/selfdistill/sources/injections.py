"""Text that programs put into conversations: found by its wrapping, taken out of what a person typed.

Programs write about a third of all "user" messages (shared/formats.md 1.3); each source adds its own agent's list.
"""

from __future__ import annotations

import re
from typing import Final

OWN_NAME: Final = "selfdistill"
_OWN: Final = re.compile(
    r"<!--\s*selfdistill[: ]?(?:begin|start)\b.*?(?:<!--\s*selfdistill[: ]?(?:end|stop)\b.*?-->|\Z)"
    # Gemini CLI and Qwen Code write what a hook tells with its angle brackets escaped.
    r"|(?:<|&lt;)selfdistill(?:\s[^>]*?)?(?:>|&gt;).*?(?:(?:<|&lt;)/selfdistill(?:>|&gt;)|\Z)"
    r"|<!--\s*selfdistill\b.*?(?:-->|\Z)",
    re.DOTALL,
)
_WRAPPED: Final = re.compile(
    r"<(system-reminder|ide_opened_file|ide_selection|ide_diagnostics|user-prompt-submit-hook|session-start-hook"
    r"|post-tool-use-hook|new-diagnostics)(?:\s[^>]*)?>.*?</\1>",
    re.DOTALL,
)


def without_own(text: str) -> str:
    """Return the text without what selfdistill itself injected, so that it never learns from its own lessons.

    An own block that is cut off (long tool outputs are) ends with the text.
    """
    return _OWN.sub("", text) if OWN_NAME in text else text


def without_wrapped(text: str) -> str:
    """Return what is left of a user's message without the blocks that harness and editor put around it."""
    return _WRAPPED.sub("", text) if "</" in text else text


def is_own_prompt(text: str) -> bool:
    """Whether a prompt is one of our own distiller: it opens with our marker and asks for something after it."""
    return text.lstrip().startswith("<selfdistill") and bool(without_own(text).strip())


def is_own_place(cwd: str) -> bool:
    """Whether a directory is selfdistill's own state, where no one but our distiller starts an agent."""
    return cwd.rstrip("/").endswith(("/.local/state/selfdistill", "/Application Support/selfdistill"))

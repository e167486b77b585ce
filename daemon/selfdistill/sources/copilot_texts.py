"""The texts of GitHub Copilot CLI: who typed a prompt, what a result says, how a command ended."""

from __future__ import annotations

import re
from typing import Final

from selfdistill.sources.copilot_records import Execution, Failure, Result, UserMessage
from selfdistill.sources.decoding import exit_status
from selfdistill.sources.injections import without_own, without_wrapped

_EXIT: Final = re.compile(
    r"\n?<(?:exited|command with id: [^<>\n]{1,80} exited|shellId: [^<>\n]{1,80} completed)"
    r" with exit code (-?\d{1,10})>\s*\Z"
)
_AROUND: Final = re.compile(
    r"<(current_datetime|reminder|system_reminder|tools_changed_notice|agent_instructions)>.*?</\1>", re.DOTALL
)
_NAG: Final = "You have not yet marked the task as complete"
_SLASH: Final = re.compile(r"/[\w:.-]+(\s|$)")
_REFUSED: Final = re.compile(r"(?:The user|User) (?:rejected|denied|declined)|rejected by (?:the )?user", re.IGNORECASE)
_DENIED: Final = re.compile(r"Permission denied|denied by (?:a |an )?(?:rule|policy|hook)|blocked by", re.IGNORECASE)
_TAIL: Final = 400  # the line with the exit code is the last one and shorter


def typed_text(message: UserMessage) -> str:
    """What a person typed of a user message, "" where a program wrote it.

    Some versions leave `content` empty; then it is looked for in what the model got.
    """
    if message.source not in {None, "", "user"} or message.inputOrigin or message.isAutopilotContinuation:
        return ""
    text = without_wrapped(without_own(message.content or _AROUND.sub("", message.transformedContent or ""))).strip()
    program = message.agentMode == "shell" or text.startswith((_NAG, "<system_notification>")) or _SLASH.match(text)
    return "" if program else text


def output_of(done: Execution) -> str:
    """Return the text of a result, or why there is none."""
    error = (done.error.message or "") if isinstance(done.error, Failure) else done.error or ""
    result = (done.result.content or "") if isinstance(done.result, Result) else done.result or ""
    return error or result if done.success is False else result or error


def with_exit_code(text: str) -> tuple[str, int | None]:
    """Return a command's output and the exit code that its last line tells."""
    found = _EXIT.search(text[-_TAIL:]) if text.endswith(">") or text[-_TAIL:].rstrip().endswith(">") else None
    if found is None:
        return text, None
    return text[: len(text) - len(found[0])], exit_status(int(found[1]))


def refused(failure: Failure | str | None, text: str) -> bool:
    """Return whether a person did not allow the call."""
    return (isinstance(failure, Failure) and failure.code == "rejected") or bool(_REFUSED.match(text))


def denied(failure: Failure | str | None, text: str) -> bool:
    """Return whether a rule did not allow the call."""
    return (isinstance(failure, Failure) and failure.code == "denied") or bool(_DENIED.match(text))

"""The records of Claude Code's logs (versions 1.0.117 to 2.1.289): only the fields that are used, typed.

Half of the bytes stand in fields that are not named here (`toolUseResult` alone 32 %): they are skipped for free.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw, Struct, field


class Part(Struct, frozen=True, gc=False):
    """A piece of a tool result."""

    type: str = ""
    text: str = ""


class Block(Struct, frozen=True, gc=False):
    """A content block of a message."""

    type: str = ""
    text: str = ""
    id: str = ""
    name: str = ""
    input: Raw = field(default_factory=Raw)
    tool_use_id: str = ""
    content: str | list[Part] | None = None
    is_error: bool | None = None


class Message(Struct, frozen=True, gc=False):
    """A message as the API knows it."""

    content: str | list[Block] | None = None
    stop_reason: str | None = None
    model: str = ""


class Embedded(Struct, frozen=True, gc=False):
    """A sub-agent's message inside a progress record of its parent's log."""

    type: str = ""
    uuid: str = ""
    timestamp: str = ""
    message: Message | None = None


class Progress(Struct, frozen=True, gc=False):
    """What a progress record reports; only sub-agents' messages are read."""

    type: str = ""
    message: Embedded | None = None


class BlockingError(Struct, frozen=True, gc=False):
    """What a hook objected to."""

    blockingError: str = ""  # noqa: N815 - the log's own name


class Origin(Struct, frozen=True, gc=False):
    """Who a prompt is from (2.1.2x and later)."""

    kind: str = ""


class Attachment(Struct, frozen=True, gc=False):
    """Something the harness put beside the conversation."""

    type: str = ""
    prompt: str | list[Part] | None = None
    commandMode: str | None = None  # noqa: N815
    blockingError: BlockingError | str | None = None  # noqa: N815
    origin: Origin | None = None


class ToolUseResult(Struct, frozen=True, gc=False):
    """The harness's own view of a result; the one fact the message does not hold."""

    userModified: bool | None = None  # noqa: N815


class Record(Struct, frozen=True, gc=False):
    """One line."""

    type: str = ""
    subtype: str = ""
    uuid: str = ""
    timestamp: str | None = None
    sessionId: str = ""  # noqa: N815
    cwd: str = ""
    version: str = ""
    entrypoint: str | None = None
    isSidechain: bool | None = None  # noqa: N815
    isMeta: bool | None = None  # noqa: N815
    isCompactSummary: bool | None = None  # noqa: N815
    isVisibleInTranscriptOnly: bool | None = None  # noqa: N815
    isApiErrorMessage: bool | None = None  # noqa: N815
    message: Message | None = None
    content: str | None = None
    operation: str = ""
    attachment: Attachment | None = None
    data: Progress | None = None
    origin: Origin | None = None
    promptSource: str | None = None  # noqa: N815
    planContent: str | None = None  # noqa: N815
    toolDenialKind: str | None = None  # noqa: N815
    userFeedback: str | None = None  # noqa: N815
    toolUseResult: ToolUseResult | str | list[Raw] | None = None  # noqa: N815
    error: Raw = field(default_factory=Raw)
    pendingBackgroundAgentCount: int | None = None  # noqa: N815


STATE_RECORDS: Final = frozenset(
    [
        "summary",
        "ai-title",
        "custom-title",
        "agent-name",
        "agent-color",
        "agent-setting",
        "last-prompt",
        "mode",
        "permission-mode",
        "atis-latch",
        "pr-link",
        "frame-link",
        "bridge-session",
        "cost-state",
        "worktree-state",
        "relocated",
        "continued-in",
        "tag",
        "content-replacement",
        "ended-by-model",
        "file-history-snapshot",
        "file-history-delta",
        "progress",
        "started",
        "result",
        "marble-origami-commit",
        "marble-origami-snapshot",
        "speculation-accept",
        "task-summary",
        "attribution-snapshot",
    ]
)
SYSTEM_STATE: Final = frozenset(
    [
        "compact_boundary",
        "microcompact_boundary",
        "bridge_status",
        "session_start",
        "hook_success",
        "memory_saved",
        "permission_retry",
        "agents_killed",
        "scheduled_task_fire",
        "thinking",
        "turn_duration",
        "stop_hook_summary",
    ]
)
SYSTEM_TOLD: Final = frozenset(
    [
        "api_error",
        "local_command",
        "informational",
        "away_summary",
        "model_refusal_fallback",
        "api_refusal",
        "error",
        "warning",
        "permission_denied",
    ]
)

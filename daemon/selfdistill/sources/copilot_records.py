"""The records of GitHub Copilot CLI's logs: only the fields that are used, typed.

The program is closed; its events are described by github/copilot-sdk, `nodejs/src/generated/session-events.ts`. Those
that it calls ephemeral are not written, but some versions did.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw, Struct, field


class Line(Struct, frozen=True, gc=False):
    """One event with its envelope."""

    type: str | None = None
    id: str | None = None
    timestamp: str | None = None
    agentId: str | None = None  # noqa: N815 - the log's own names
    data: Raw = field(default_factory=Raw)


class Context(Struct, frozen=True, gc=False):
    """Where the session works."""

    cwd: str | None = None
    repository: str | None = None
    repositoryHost: str | None = None  # noqa: N815
    hostType: str | None = None  # noqa: N815


class Start(Struct, frozen=True, gc=False):
    """`session.start` and `session.resume`."""

    sessionId: str | None = None  # noqa: N815
    copilotVersion: str | None = None  # noqa: N815
    selectedModel: str | None = None  # noqa: N815
    detachedFromSpawningParentSessionId: str | None = None  # noqa: N815
    context: Context | None = None


class UserMessage(Struct, frozen=True, gc=False):
    """`user.message`: what was typed, and what the model got of it."""

    content: str | None = None
    transformedContent: str | None = None  # noqa: N815
    source: str | None = None
    delivery: str | None = None
    agentMode: str | None = None  # noqa: N815
    inputOrigin: str | None = None  # noqa: N815
    isAutopilotContinuation: bool | None = None  # noqa: N815


class ToolRequest(Struct, frozen=True, gc=False):
    """A call that the model asks for."""

    toolCallId: str | None = None  # noqa: N815
    name: str = ""
    arguments: Raw = field(default_factory=Raw)


class AssistantMessage(Struct, frozen=True, gc=False):
    """`assistant.message`."""

    content: str | None = None
    model: str | None = None
    toolRequests: list[ToolRequest] | None = None  # noqa: N815
    parentToolCallId: str | None = None  # noqa: N815


class Result(Struct, frozen=True, gc=False):
    """What a call has given back."""

    content: str | None = None


class Failure(Struct, frozen=True, gc=False):
    """Why a call gave back nothing."""

    message: str | None = None
    code: str | None = None


class Execution(Struct, frozen=True, gc=False):
    """`tool.execution_start`, `tool.execution_complete` and `tool.user_requested`."""

    toolCallId: str | None = None  # noqa: N815
    toolName: str = ""  # noqa: N815
    arguments: Raw = field(default_factory=Raw)
    model: str | None = None
    success: bool | None = None
    result: Result | str | None = None
    error: Failure | str | None = None
    parentToolCallId: str | None = None  # noqa: N815


class Verdict(Struct, frozen=True, gc=False):
    """What became of a request for permission."""

    kind: str | None = None
    feedback: str | None = None
    message: str | None = None


class Permission(Struct, frozen=True, gc=False):
    """`permission.completed`."""

    toolCallId: str | None = None  # noqa: N815
    result: Verdict | None = None


class Occasion(Struct, frozen=True, gc=False):
    """What a notification is about."""

    type: str | None = None


class Note(Struct, frozen=True, gc=False):
    """What the other events carry; each has some of these."""

    message: str | None = None
    content: str | None = None
    summary: str | None = None
    summaryContent: str | None = None  # noqa: N815
    reason: str | None = None
    error: Failure | str | None = None
    newModel: str | None = None  # noqa: N815
    cwd: str | None = None
    kind: Occasion | str | None = None


_SESSION: Final = (
    "autopilot_objective_changed background_tasks_changed canvas.closed canvas.opened canvas.recorded"
    " canvas.registry_changed canvas.removed canvas.unavailable commands_changed compaction_start context_cleared"
    " custom_agents_updated custom_notification extensions_loaded handoff idle info limits_changed"
    " managed_settings_enforced managed_settings_resolved mcp_server_status_changed mcp_servers_loaded mode_changed"
    " mode_notice_delivered permissions_changed plan_changed remote_steerable_changed schedule_cancelled"
    " schedule_created schedule_rearmed session_limits_changed skills_loaded title_changed todos_changed tools_updated"
    " truncation usage_checkpoint usage_info workspace_file_changed auto_mode_resolved"
)
_PAIRS: Final = (
    "auto_mode_switch command elicitation exit_plan_mode external_tool mcp.headers_refresh mcp.oauth sampling"
    " session_limits_exhausted user_input"
)
STATE: Final = frozenset({
    *(f"session.{name}" for name in _SESSION.split()),
    *(f"{name}.{step}" for name in _PAIRS.split() for step in ("requested", "completed", "queued", "execute")),
    *("assistant.idle", "assistant.intent", "assistant.message_delta", "assistant.message_start"),
    *("assistant.reasoning", "assistant.reasoning_delta", "assistant.streaming_delta", "assistant.thinking"),
    *("assistant.tool_call_delta", "assistant.usage", "assistant.server_tool_progress", "binary_asset"),
    *("capabilities.changed", "commands.changed", "hook.end", "hook.progress", "hook.start", "mcp.oauth_completed"),
    *("mcp.oauth_required", "model.call_finished", "pending_messages.modified", "permission.requested"),
    *("skill.invoked", "subagent.completed", "subagent.configured", "subagent.deselected", "subagent.selected"),
    *("subagent.started", "system.message", "tool.execution_partial_result", "tool.execution_progress"),
    *("tool_search.activated",),
})  # fmt: skip

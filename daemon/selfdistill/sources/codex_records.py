"""The records of Codex rollouts (0.2x to 0.160): only the fields that are used, typed."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw, Struct, field


class Part(Struct, frozen=True, gc=False):
    """A piece of a message or of a tool's output."""

    type: str = ""
    text: str = ""


class Output(Struct, frozen=True, gc=False):
    """A tool's output as an object (MCP and some in-between versions)."""

    content: str | list[Part] | None = None
    text: str | None = None
    success: bool | None = None


class Action(Struct, frozen=True):
    """What a local shell call or a web search does."""

    command: str | list[str] | None = None
    query: str | None = None
    url: str | None = None


class Passthrough(Struct, frozen=True, gc=False):
    """What new versions say about the pieces of a message."""

    content_item_kinds: list[str] | None = None


class Item(Struct, frozen=True):
    """The payload of a `response_item`, and a whole line of the bare envelope before 0.32."""

    type: str = ""
    role: str = ""
    id: str | None = None
    name: str = ""
    call_id: str | None = None
    content: str | list[Part] | None = None
    phase: str | None = None
    arguments: str | dict[str, Any] | None = None
    input: str | dict[str, Any] | None = None
    output: str | list[Part] | Output | None = None
    action: Action | None = None
    status: str | None = None
    internal_chat_message_metadata_passthrough: Passthrough | None = None


class TurnItem(Struct, frozen=True):
    """What `item_completed` reports (paginated mode, about 0.149 and later)."""

    type: str = ""
    id: str | None = None
    content: str | list[Part] | None = None
    text: str | None = None
    command: str | list[str] | None = None
    cwd: str | None = None
    aggregated_output: str | None = None
    exit_code: int | None = None
    status: str | None = None
    phase: str | None = None


class EventMessage(Struct, frozen=True):
    """The payload of an `event_msg`."""

    type: str = ""
    message: str | None = None
    phase: str | None = None
    reason: str | None = None
    num_turns: int | None = None
    call_id: str | None = None
    command: str | list[str] | None = None
    cwd: str | None = None
    exit_code: int | None = None
    aggregated_output: str | None = None
    success: bool | None = None
    item: TurnItem | None = None
    error: Raw = field(default_factory=Raw)


class Git(Struct, frozen=True, gc=False):
    """Where the work is kept."""

    repository_url: str | None = None


class Spawn(Struct, frozen=True, gc=False):
    """Who started a sub-agent's thread."""

    parent_thread_id: str | None = None


class Subagent(Struct, frozen=True, gc=False):
    """What kind of sub-agent a thread is."""

    other: str | None = None
    thread_spawn: Spawn | None = None


class Origin(Struct, frozen=True, gc=False):
    """The source of a thread that is no plain word."""

    subagent: str | Subagent | None = None


class Meta(Struct, frozen=True, gc=False):
    """The payload of `session_meta`, and the first line of the bare envelope."""

    id: str | None = None
    cwd: str | None = None
    originator: str | None = None
    cli_version: str | None = None
    source: str | Origin | None = None
    thread_source: str | None = None
    parent_thread_id: str | None = None
    git: Git | None = None


class Context(Struct, frozen=True, gc=False):
    """The payload of `turn_context`."""

    cwd: str | None = None
    model: str | None = None


class Compacted(Struct, frozen=True, gc=False):
    """The payload of `compacted`."""

    message: str | None = None


class Line(Struct, frozen=True, gc=False):
    """One line; in the bare envelope there is no payload."""

    timestamp: str | None = None
    type: str = ""
    payload: Raw = field(default_factory=Raw)
    record_type: str | None = None
    id: str | None = None
    role: str | None = None
    git: Raw = field(default_factory=Raw)
    instructions: Raw = field(default_factory=Raw)


ITEM_STATE: Final = frozenset(
    [
        "reasoning",
        "ghost_snapshot",
        "compaction",
        "compaction_trigger",
        "context_compaction",
        "tool_search_call",
        "tool_search_output",
        "image_generation_call",
        "other",
    ]
)
EVENT_STATE: Final = frozenset(
    [
        "token_count",
        "agent_reasoning",
        "agent_reasoning_raw_content",
        "agent_reasoning_section_break",
        "web_search_begin",
        "web_search_end",
        "context_compacted",
        "thread_settings_applied",
        "thread_goal_updated",
        "thread_name_updated",
        "sub_agent_activity",
        "entered_review_mode",
        "exited_review_mode",
        "guardian_assessment",
        "image_generation_end",
        "view_image_tool_call",
        "exec_command_begin",
        "patch_apply_begin",
        "mcp_tool_call_begin",
        "mcp_tool_call_end",
        "turn_diff",
        "plan_update",
        "plan_delta",
        "item_started",
        "dynamic_tool_call_request",
        "dynamic_tool_call_response",
        "collab_agent_spawn_begin",
        "collab_agent_spawn_end",
        "collab_agent_interaction_begin",
        "collab_agent_interaction_end",
        "collab_waiting_begin",
        "collab_waiting_end",
        "collab_close_begin",
        "collab_close_end",
        "collab_resume_begin",
        "collab_resume_end",
        "session_configured",
        "shutdown_complete",
        "raw_response_item",
        "user_input_requested",
        "request_user_input",
        "hook_started",
        "hook_completed",
        "model_reroute",
        "skills_update_available",
        "undo_started",
        "mcp_startup_update",
        "mcp_startup_complete",
        "deprecation_notice",
    ]
)
LINE_STATE: Final = frozenset(
    [
        "world_state",
        "inter_agent_communication",
        "inter_agent_communication_metadata",
        "token_usage_record",
        "retained_context",
        "security_risk_score",
        "realtime_item",
    ]
)

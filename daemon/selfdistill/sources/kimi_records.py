"""The records of Kimi's `wire.jsonl`, of both programs: only the fields that are used, typed."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw, Struct, field

STATE: Final = frozenset(
    [
        *("metadata", "forked", "permission.set_mode", "permission.record_approval_result", "context.clear"),
        *("plan_mode.enter", "plan_mode.cancel", "plan_mode.exit", "swarm_mode.enter", "swarm_mode.exit"),
        *("tools.register_user_tool", "tools.unregister_user_tool", "tools.set_active_tools", "tools.update_store"),
        *("full_compaction.begin", "full_compaction.cancel", "full_compaction.complete", "micro_compaction.apply"),
        *("goal.create", "goal.update", "goal.clear", "llm.tools_snapshot", "mcp.tools_discovered"),
        *("plugin.session_start", "runtime.set_binding", "turn.launch", "turn.steer", "usage.record"),
        *("token_counting.measured", "token_counting.turn_recorded"),
    ]
)
LOOP_STATE: Final = frozenset({"llm.request", "step.retrying"})
WIRE_STATE: Final = frozenset(
    [
        *("CompactionEnd", "HookTriggered", "HookResolved", "MCPLoadingBegin", "MCPLoadingEnd", "StatusUpdate"),
        *("PlanDisplay", "ApprovalRequest", "ApprovalResponse", "ApprovalRequestResolved", "ToolCallRequest"),
        *("QuestionRequest", "QuestionResponse", "ToolCallPart"),
    ]
)


class Part(Struct, frozen=True, gc=False):
    """A piece of content."""

    type: str = ""
    text: str = ""


class Origin(Struct, frozen=True, gc=False):
    """Who a message is from."""

    kind: str = ""
    phase: str = ""


class Message(Struct, frozen=True, gc=False):
    """A message of the context."""

    role: str = ""
    content: str | list[Part] | None = None
    origin: Origin | None = None


class Result(Struct, frozen=True, gc=False):
    """What a tool gave back; Kimi CLI names its fields in the other way."""

    output: str | list[Part] | None = None
    isError: bool | None = None  # noqa: N815 - the log's own names
    is_error: bool | None = None
    message: str | None = None


class LoopEvent(Struct, frozen=True, gc=False):
    """Something that happened in the agent's loop."""

    type: str = ""
    uuid: str = ""
    part: Part | None = None
    toolCallId: str = ""  # noqa: N815
    name: str = ""
    args: Raw = field(default_factory=Raw)
    result: Result | None = None
    finishReason: str | None = None  # noqa: N815


class Disclosure(Struct, frozen=True, gc=False):
    """What the agent was told about its surroundings."""

    cwd: str = ""


class Envelope(Struct, frozen=True, gc=False):
    """A message of Kimi CLI's wire."""

    type: str = ""
    payload: Raw = field(default_factory=Raw)


class Line(Struct, frozen=True, gc=False):
    """One line, of either program."""

    type: str = ""
    time: float | None = None
    timestamp: float | None = None
    message: Raw = field(default_factory=Raw)
    event: LoopEvent | None = None
    cwd: str = ""
    modelAlias: str = ""  # noqa: N815
    model: str = ""
    systemPrompt: str = ""  # noqa: N815
    environmentDisclosure: Disclosure | None = None  # noqa: N815
    summary: str = ""
    count: int | None = None
    reason: str | None = None


class Payload(Struct, frozen=True, gc=False):
    """What a message of Kimi CLI's wire may carry."""

    type: str = ""
    text: str = ""
    user_input: str | list[Part] | None = None
    id: str = ""
    function: dict[str, Any] | None = None
    tool_call_id: str = ""
    return_value: Result | None = None
    title: str = ""
    body: str = ""
    event: Envelope | None = None

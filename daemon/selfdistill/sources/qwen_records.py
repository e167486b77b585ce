"""The records of Qwen Code's logs: only the fields that are used, typed.

Source: QwenLM/qwen-code, `packages/core/src/services/chatRecordingService.ts`.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw, Struct, field

from selfdistill.sources.gemini_texts import Part


class Body(Struct, frozen=True, gc=False):
    """A message in the way of Google's API."""

    parts: list[Part | str] | None = None


class CallResult(Struct, frozen=True, gc=False):
    """How a call ended, beside the answer that the model gets."""

    callId: str | None = None  # noqa: N815 - the log's own names
    status: str | None = None


class Record(Struct, frozen=True, gc=False):
    """One line."""

    uuid: str | None = None
    sessionId: str | None = None  # noqa: N815
    timestamp: str | None = None
    type: str | None = None
    subtype: str | None = None
    provenance: str | None = None
    cwd: str | None = None
    version: str | None = None
    model: str | None = None
    message: Body | None = None
    toolCallResult: CallResult | None = None  # noqa: N815
    systemPayload: Raw = field(default_factory=Raw)  # noqa: N815
    isSidechain: bool | None = None  # noqa: N815
    externalInputKind: str | None = None  # noqa: N815


class Trouble(Struct, frozen=True, gc=False):
    """Why a turn failed."""

    message: str | None = None


class Telemetry(Struct, frozen=True, gc=False):
    """What the program counts; two of its events tell what no other record does."""

    name: str | None = field(default=None, name="event.name")
    call_id: str | None = None
    decision: str | None = None
    error: str | None = None
    error_message: str | None = None


class Payload(Struct, frozen=True, gc=False):
    """What system records carry; each subtype has some of these."""

    displayText: str | None = None  # noqa: N815
    rawCommand: str | None = None  # noqa: N815
    phase: str | None = None
    state: str | None = None
    error: Trouble | None = None
    compressedHistory: list[Body] | None = None  # noqa: N815
    parentSessionId: str | None = None  # noqa: N815
    uiEvent: Telemetry | None = None  # noqa: N815


SYSTEM_STATE: Final = frozenset({
    *("session_notes", "at_command", "attribution_snapshot", "background_task_completed", "custom_title"),
    *("session_source", "session_execution_engine", "omni_recall", "session_model", "session_approval_mode"),
    *("agent_bootstrap", "agent_launch_prompt", "agent_retry", "agent_session_ready", "file_history_snapshot"),
    *("user_text_elements", "session_artifact_event", "session_artifact_snapshot", "session_sources_snapshot"),
    *("branch_checkpoint", "goal_state", "goal_runtime", "goal_turn_end"),
    *("managed_session_header_v1", "managed_session_event_v1", "managed_session_commit_v1"),
})  # fmt: skip

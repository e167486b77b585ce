"""The records of Gemini CLI's logs: only the fields that are used, typed.

Source: google-gemini/gemini-cli, `packages/core/src/services/chatRecordingTypes.ts`.
"""

from __future__ import annotations

from msgspec import Raw, Struct, field

from selfdistill.sources.gemini_texts import Content


class ToolCall(Struct, frozen=True, gc=False):
    """A call with its result, rewritten until it has one."""

    id: str | None = None
    name: str = ""
    args: Raw = field(default_factory=Raw)
    result: Content = None
    status: str = ""
    timestamp: str | None = None


class Message(Struct, frozen=True, gc=False):
    """A message of the conversation."""

    id: str | None = None
    timestamp: str | None = None
    type: str | None = None
    content: Content = None
    displayContent: Content = None  # noqa: N815 - the log's own names
    model: str | None = None
    toolCalls: list[ToolCall] | None = None  # noqa: N815


class Settings(Struct, frozen=True, gc=False):
    """`$set`: facts of the session; with `messages` the whole history."""

    sessionId: str | None = None  # noqa: N815
    directories: list[str] | None = None
    messages: list[Message] | None = None


class Patch(Struct, frozen=True, gc=False):
    """`$patch`: a change of the history that the model sees."""

    updates: list[Message] | None = None


class Line(Message, frozen=True, gc=False):
    """One line: a message, or one of the log's own records."""

    sessionId: str | None = None  # noqa: N815
    kind: str | None = None
    directories: list[str] | None = None
    settings: Settings | None = field(default=None, name="$set")
    patch: Patch | None = field(default=None, name="$patch")
    rewound: str | None = field(default=None, name="$rewindTo")

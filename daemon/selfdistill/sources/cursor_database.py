"""The editor's database of Cursor: a table of keys and JSON texts, one row for a conversation and each of its bubbles.

The database has gigabytes, so rows are asked for by key or range of keys, never searched. Of a bubble, which holds some
eighty fields, a line keeps those that tell what happened and stay as they are. Chats of 2024 (one row with all
conversations of a workspace) are read too. A finished shell command without an exit code has ended with 0: the field
is left out where it is 0 (so other readers found).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from msgspec import Raw, Struct, field

from selfdistill.layouts import Database, Queries, Rendered
from selfdistill.model import Event, Span, ToolKind
from selfdistill.sources.base import Tool
from selfdistill.sources.conversation import ConversationMemory, ConversationParser, Given
from selfdistill.sources.decoding import bounded_id, digest, seconds, typed
from selfdistill.sources.documents import document_in, line_of, undecodable

_MODERN_SESSIONS: Final = """
    SELECT substr(key, 14) AS key,
        coalesce(json_extract(data, '$.lastUpdatedAt'), json_extract(data, '$.createdAt'), 0) || ':' || length(data)
            AS changed,
        json_array_length(data, '$.fullConversationHeadersOnly')
            + coalesce(json_array_length(data, '$.conversation'), 0) AS size
    FROM (SELECT key, CAST(value AS TEXT) AS data FROM cursorDiskKV
          WHERE key >= 'composerData:' AND key < 'composerData;')
    WHERE json_valid(data) AND size > 0
"""
_MODERN_RECORDS: Final = """
    WITH composer AS (
        SELECT CAST(value AS TEXT) AS data FROM cursorDiskKV WHERE key = 'composerData:' || :key),
    sound AS (SELECT data, json_extract(data, '$.status') IS NOT 'generating' AS finished
              FROM composer WHERE json_valid(data))
    SELECT 0 AS part, 0 AS number, 'composer' AS record, data AS value, 1 AS finished FROM sound
    UNION ALL
    SELECT 1, header.key, 'bubble', header.value, finished
    FROM sound, json_each(sound.data, '$.conversation') AS header
    UNION ALL
    SELECT 2, header.key, 'bubble', CAST(bubble.value AS TEXT), finished
    FROM sound, json_each(sound.data, '$.fullConversationHeadersOnly') AS header
    JOIN cursorDiskKV AS bubble
        ON bubble.key = 'bubbleId:' || :key || ':' || json_extract(header.value, '$.bubbleId')
"""
_OLD_SESSIONS: Final = """
    SELECT json_extract(each.value, '$.composerId') AS key,
        json_extract(each.value, '$.createdAt') || ':' || length(each.value) AS changed,
        json_array_length(each.value, '$.conversation') AS size
    FROM ItemTable, json_each(CAST(ItemTable.value AS TEXT), '$.allComposers') AS each
    WHERE ItemTable.key = 'composer.composerData' AND json_valid(CAST(ItemTable.value AS TEXT)) AND size > 0
    UNION ALL
    SELECT json_extract(each.value, '$.tabId'),
        json_extract(each.value, '$.lastSendTime') || ':' || length(each.value),
        json_array_length(each.value, '$.bubbles') AS size
    FROM ItemTable, json_each(CAST(ItemTable.value AS TEXT), '$.tabs') AS each
    WHERE ItemTable.key = 'workbench.panel.aichat.view.aichat.chatdata'
        AND json_valid(CAST(ItemTable.value AS TEXT)) AND size > 0
"""
_OLD_RECORDS: Final = """
    SELECT 3 AS part, bubble.key AS number, 'bubble' AS record, bubble.value AS value, 1 AS finished
    FROM ItemTable, json_each(CAST(ItemTable.value AS TEXT), '$.allComposers') AS each,
        json_each(each.value, '$.conversation') AS bubble
    WHERE ItemTable.key = 'composer.composerData' AND json_valid(CAST(ItemTable.value AS TEXT))
        AND json_extract(each.value, '$.composerId') = :key
    UNION ALL
    SELECT 4, bubble.key, 'bubble', bubble.value, 1
    FROM ItemTable, json_each(CAST(ItemTable.value AS TEXT), '$.tabs') AS each,
        json_each(each.value, '$.bubbles') AS bubble
    WHERE ItemTable.key = 'workbench.panel.aichat.view.aichat.chatdata'
        AND json_valid(CAST(ItemTable.value AS TEXT)) AND json_extract(each.value, '$.tabId') = :key
"""
_USERS: Final = (1, "user")
_AGENTS: Final = (2, "ai")
_RUNNING: Final = ("loading", "pending", "running", "")  # a tuple: what a log holds may be unhashable


def queries(tables: Mapping[str, frozenset[str]]) -> Queries | None:
    """Return what to ask, by the tables there are; None for a database that is no editor's."""
    sessions, records = [], []
    if tables.get("cursorDiskKV", frozenset()) >= {"key", "value"}:
        sessions, records = [_MODERN_SESSIONS], [_MODERN_RECORDS]
    if tables.get("ItemTable", frozenset()) >= {"key", "value"}:
        sessions.append(_OLD_SESSIONS)
        records.append(_OLD_RECORDS)
    if not sessions:
        return None
    return Queries(
        sessions=" UNION ALL ".join(sessions),
        records=" UNION ALL ".join(records) + " ORDER BY part, number",
    )


class _Row(Struct, gc=False):
    """A row as it is asked for."""

    record: str = ""
    value: str | None = None


_row_of: Final = msgspec.json.Decoder(_Row).decode


def rendered(row: Rendered) -> Iterator[Rendered]:
    """Return a conversation's or bubble's line: what stays as it is. A call that still runs is not finished."""
    try:
        asked = _row_of(row.line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        yield row
        return
    if asked.value is None:
        return  # a bubble that was taken away
    value = document_in(asked.value.encode("utf-8", "surrogatepass"))
    if not isinstance(value, dict):
        yield undecodable(asked.value.encode("utf-8", "replace"))
        return
    made = _composer(value) if asked.record == "composer" else _bubble(value)
    tool = made.get("tool")
    running = isinstance(tool, dict) and (tool.get("status") or "") in _RUNNING
    kept = {name: each for name, each in made.items() if each not in (None, "")}
    yield line_of(kept, finished=row.finished and not running)


LAYOUT: Final = Database(queries=queries, rendered=rendered)


def _of(value: Any, *names: str) -> Any:  # noqa: ANN401 - any JSON
    """What stands at a path of names, None where there is nothing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _composer(value: dict[str, Any]) -> dict[str, Any]:
    """What a conversation says of itself that stays as it is."""
    return {
        "record": "composer",
        "created": value.get("createdAt"),
        "cwd": _of(value, "workspaceIdentifier", "uri", "fsPath"),
    }


def _bubble(value: dict[str, Any]) -> dict[str, Any]:
    """What a bubble says of all it holds."""
    tool, uris = value.get("toolFormerData"), value.get("workspaceUris")
    return {
        "record": "bubble",
        "id": value.get("bubbleId") or value.get("id"),
        "type": value.get("type"),
        "text": value.get("text"),
        "created": value.get("createdAt") or _of(value, "timingInfo", "clientRpcSendTime"),
        "model": _of(value, "modelInfo", "modelName") or value.get("modelType"),
        "workspace": value.get("workspaceProjectDir") or (uris[0] if isinstance(uris, list) and uris else None),
        "silent": True if value.get("thinking") or value.get("capabilityType") else None,
        "tool": {name: tool[name] for name in _TOOL_FIELDS if name in tool} if isinstance(tool, dict) else None,
    }


_TOOL_FIELDS: Final = ("name", "toolCallId", "status", "rawArgs", "params", "result", "error", "userDecision")


class ToolData(Struct, frozen=True, gc=False):
    """A call with its result: arguments and result are JSON within JSON."""

    name: str = ""
    call_id: str = field(default="", name="toolCallId")
    status: str = ""
    raw_args: str = field(default="", name="rawArgs")
    params: str = ""
    result: str = ""
    error: str | Raw | None = None
    decision: str = field(default="", name="userDecision")


class Line(Struct, frozen=True, gc=False):
    """A rendered record."""

    record: str = ""
    id: str = ""
    type: int | str | None = None
    text: str = ""
    created: str | float | None = None
    model: str = ""
    cwd: str = ""
    workspace: str = ""
    silent: bool = False
    tool: ToolData | None = None


class _Result(Struct, gc=False):
    """What a call gave back, as far as tools agree."""

    output: str | None = None
    contents: str | None = None
    rejected: bool | None = None
    error: str | Raw | None = None
    exit_code: int | None = field(default=None, name="exitCodeV2")
    old_exit_code: int | None = field(default=None, name="exitCode")
    ended: str | None = field(default=None, name="endedReason")


class _Error(Struct, gc=False):
    """An error in the words for the model, or for the person."""

    for_model: str | None = field(default=None, name="modelVisibleErrorMessage")
    for_person: str | None = field(default=None, name="clientVisibleErrorMessage")
    error: str | None = None
    message: str | None = None


_line_decoder: Final = msgspec.json.Decoder(Line)
_result_decoder: Final = msgspec.json.Decoder(_Result)
_error_decoder: Final = msgspec.json.Decoder(_Error)


class BubbleParser(ConversationParser[ConversationMemory, Line]):
    """Reads one rendered conversation of the editor."""

    def __init__(self, memory: ConversationMemory) -> None:
        super().__init__(memory, _line_decoder, Line)

    def read(self, record: Line, span: Span) -> list[Event]:
        """Return what one record says."""
        self.span, self.at = span, seconds(record.created)
        if record.record == "composer":
            self.learn(cwd=record.cwd)
            return []
        if record.record != "bubble" or record.type not in (*_USERS, *_AGENTS):
            self.unknown(f"bubble/{record.type}" if record.record == "bubble" else record.record or "(no record)")
            return []
        if record.workspace:
            self.learn(cwd=unquote(record.workspace.removeprefix("file://")))
        uid = bounded_id(record.id) or digest(str(record.created), str(record.type), record.text)
        if record.type in _USERS:
            follow_up = record.text.startswith("Briefly inform the user about the task result")
            return self.asked(uid, record.text, "" if follow_up else None)
        self.learn(model=record.model)
        tool = record.tool
        made = self.said(uid, record.text)
        if tool is not None and (tool.name or tool.call_id):
            return made + self._used(uid, tool)
        if not made:
            self.ignored()  # a thought, or a mark of the editor
        return made

    def _used(self, uid: str, tool: ToolData) -> list[Event]:
        """A call, and its result once there is one."""
        identity = bounded_id(tool.call_id) or uid
        given = tool.raw_args if tool.raw_args.startswith("{") and len(tool.raw_args) > 2 else tool.params  # noqa: PLR2004 - "{}"
        call = self.called(f"{uid}:c", identity, tool.name.removesuffix("_v2"), given)
        if tool.status in _RUNNING:
            return [call]
        self.open_call(identity, Tool(call.tool, call.tool_kind))
        results = self.returned(f"{uid}:r", identity, _given(tool, shell=call.tool_kind is ToolKind.SHELL))
        if tool.status == "cancelled" and len(results) == 1:
            results.append(self.interrupted(f"{uid}:i", ""))
        return [call, *results]


def _given(tool: ToolData, *, shell: bool) -> Given:
    """What a call gave back, or why it did not run."""
    result = typed(Raw(tool.result.encode("utf-8", "replace")), _result_decoder, _Result)
    if tool.decision == "rejected" or result.rejected:
        return Given(result.output or "", is_error=True, refused=True)
    error = _error_text(tool.error) or _error_text(result.error)
    text = result.output if result.output is not None else result.contents
    text = tool.result if text is None else text
    code = result.exit_code if result.exit_code is not None else result.old_exit_code
    if tool.status in {"error", "cancelled"} or error:
        return Given("\n".join(filter(None, (error, text))), is_error=True, exit_code=code)
    if shell and code is None and tool.result and not (result.ended or "").endswith("ABORTED"):
        code = 0
    return Given(text, is_error=bool(code), exit_code=code)


def _error_text(error: str | Raw | None) -> str:
    """An error's words: they stand in JSON, or in JSON within JSON, or plainly."""
    if not error:
        return ""
    raw = error if isinstance(error, str) else bytes(error).decode("utf-8", "replace")
    if not raw.startswith("{"):
        return "" if raw == "null" else raw
    told = typed(Raw(raw.encode("utf-8", "replace")), _error_decoder, _Error)
    return told.for_model or told.for_person or told.error or told.message or raw

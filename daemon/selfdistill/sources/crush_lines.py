"""Crush's messages as lines: one for each part, in the order of the rows; and the questions to its database.

A message's row is written again as it grows, and gets its end only after the results of its tools: so the end of a
message that goes on with tools is no line, and of a message that grows no more is told than what is finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Struct, field

from selfdistill.layouts import Queries, Rendered
from selfdistill.sources.decoding import coerce, read_tolerantly

_GOES_ON: Final = frozenset({"tool_use"})
_LAST_WORDS: Final = frozenset({"end_turn", "max_tokens", "content_filter", "stop"})


class Data(Struct, frozen=True):
    """What a part holds."""

    text: str = ""
    hidden: bool = False
    id: str = ""
    name: str = ""
    input: str = ""
    finished: bool = True
    tool_call_id: str = ""
    content: str = ""
    is_error: bool = False
    reason: str = ""
    message: str = ""
    details: str = ""
    command: str = ""
    output: str = ""
    exit_code: int | None = None


class Part(Struct, frozen=True):
    """A part of a message."""

    type: str = ""
    data: Data = field(default_factory=Data)


class Row(Struct, frozen=True):
    """A row of the database: a message, or the session."""

    role: str = ""
    id: str = ""
    parts: str | None = None
    model: str | None = None
    created: float | None = None
    summary: int | None = None
    parent: str | None = None


class Line(Struct, frozen=True, omit_defaults=True):
    """One part of a message."""

    type: str = ""
    id: str = ""
    number: int = 0
    role: str = ""
    created: float | None = None
    model: str = ""
    summary: bool = False
    ends: bool = False
    parent: str = ""
    data: Data = field(default_factory=Data)


class _Parts(Struct, frozen=True):
    parts: list[Part] | None = None


_encode: Final = msgspec.json.Encoder().encode
_decode_row: Final = msgspec.json.Decoder(Row).decode
_decode_parts: Final = msgspec.json.Decoder(list[Part]).decode


def queries(tables: Mapping[str, frozenset[str]]) -> Queries | None:
    """The questions to Crush's tables; which message is a summary stands in it since 2025-11, before in its session."""
    sessions, messages = tables.get("sessions", frozenset()), tables.get("messages", frozenset())
    if not {"parent_session_id", "message_count"} <= sessions or not {"session_id", "parts", "role"} <= messages:
        return None
    summary = "0"
    if "is_summary_message" in messages:
        summary = "is_summary_message"
    elif "summary_message_id" in sessions:
        summary = "id in (select summary_message_id from sessions where id = :key)"
    model = "model" if "model" in messages else "null"
    return Queries(
        sessions="""select s.id, s.updated_at || '/' || coalesce((select m.rowid || '/' || m.updated_at || '/'
                || length(m.parts) from messages m where m.session_id = s.id order by m.rowid desc limit 1), ''),
            s.message_count from sessions s where s.id not like 'title-%'""",
        records=f"""select role, id, parts, model, created, summary, parent, finished from (
            select 0 as stage, 0 as place, 'session' as role, id, null as parts, null as model, null as created,
                0 as summary, parent_session_id as parent, 1 as finished from sessions where id = :key
            union all select 1, rowid, role, id, parts, {model}, created_at, {summary}, null,
                role <> 'assistant' or instr(parts, '"type":"finish"') > 0
            from messages where session_id = :key)
        order by stage, created, place""",  # noqa: S608 - names of columns only
    )


def rendered(row: Rendered) -> Iterator[Rendered]:
    """Return a line for each part of a message; of one that grows, up to the first part that may still change."""
    given = _row(row.line)
    if given.role == "session":
        yield Rendered(_encode(Line(type="session", id=given.id, parent=given.parent or "")))
        return
    parts = _parts(given.parts or "")
    if parts is None:
        line = (given.parts or "").replace("\n", " ").encode("utf-8", "replace")
        yield Rendered(line, row.finished) if line.strip() else row  # no JSON: it counts as undecodable
        return
    for number, part in enumerate(_told(given, parts)):
        finished = row.finished or (part.type == "tool_call" and part.data.finished) or _precedes_call(parts, part)
        yield Rendered(_encode(_line(given, number, part, parts)), finished)
        if not finished:
            return


def _row(line: bytes) -> Row:
    """The row that a line holds."""
    try:
        return _decode_row(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        found, _ = read_tolerantly(line)
        return coerce(found[0].value if found else None, Row)


def _parts(text: str) -> list[Part] | None:
    """The parts of a message, None where they are no JSON list."""
    try:
        return _decode_parts(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        found, complete = read_tolerantly(text.encode("utf-8", "surrogatepass"))
        whole = complete and len(found) == 1 and isinstance(found[0].value, list)
        return coerce({"parts": found[0].value}, _Parts).parts if whole else None


def _told(row: Row, parts: list[Part]) -> Iterator[Part]:
    """The parts that tell something: an end is one only of the agent's turn, or of a command of the user."""
    shell = row.role == "user" and any(part.type == "shell_command" for part in parts)
    for part in parts:
        if part.type != "finish" or (row.role == "assistant" and part.data.reason not in _GOES_ON):
            yield part
    if shell:
        yield Part("finish", Data(reason="stop"))


def _precedes_call(parts: list[Part], part: Part) -> bool:
    """Whether a whole call stands after a part, which then grows no more."""
    later = parts[parts.index(part) + 1 :] if part in parts else []
    return any(each.type == "tool_call" and each.data.finished for each in later)


def _line(row: Row, number: int, part: Part, parts: list[Part]) -> Line:
    """The line of one part."""
    reasons = {each.data.reason for each in parts if each.type == "finish"}
    ends = row.role == "assistant" and part.type == "text" and bool(reasons & _LAST_WORDS)
    return Line(
        type=part.type,
        id=row.id,
        number=number,
        role=row.role,
        created=row.created,
        model=row.model or "",
        summary=bool(row.summary),
        ends=ends,
        data=part.data,
    )

"""OpenCode's messages as lines: what a part says once it is finished, wherever it is kept.

Four stores hold the same conversation: tables of messages and parts, since 2.0 one table of messages, before 1.2 a file
for each message and part, and what `opencode export` prints. All are made into the same lines, of what never changes
later: no titles, costs, diffs, marks of pruning. A tool's part gives two lines, its call and its result. In the message
that is being written the lines end with the first that may still change; prompts queued meanwhile come after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

import msgspec
from msgspec import Raw, Struct

from selfdistill.layouts import Files, Rendered
from selfdistill.sources.decoding import seconds
from selfdistill.sources.opencode_records import (
    Entry,
    Export,
    Failure,
    Info,
    Message,
    Output,
    Part,
    Row,
    Stamp,
    Times,
    decoded,
)

_UNENDING: Final = frozenset({"tool-calls", "unknown"})  # after these reasons the agent goes on (session/prompt.ts)
_RUNNING: Final = frozenset({"pending", "running", "streaming"})
_ENDED: Final = frozenset({"completed", "error", "success"})


class Known(Struct, frozen=True):
    """What the lines of one message share."""

    id: str
    role: str
    created: Stamp
    cwd: str = ""
    model: str = ""
    summary: bool = False
    running: bool = False
    ends: bool = False  # it is complete, and the agent's turn with it


_encode: Final = msgspec.json.Encoder().encode


def render(path: PurePath, files: Files) -> Iterator[Rendered]:
    """Return the lines of a session in files: an export, or the session's file with those of messages and parts."""
    data = files.read(path)
    export = decoded(data, Export)
    if export is None:
        if data.strip():
            yield Rendered(data.replace(b"\n", b" "))
        return
    if export.messages is not None:
        yield from _session(decoded(export.info, Info) or Info())
        yield from _conversation([_entry(raw) for raw in export.messages])
        return
    yield from _session(decoded(data, Info) or Info())
    yield from _conversation(list(_kept(path, files)))


def rendered(row: Rendered) -> Iterator[Rendered]:
    """Return the lines of one row of the database; of a text that is no JSON, that text."""
    given = decoded(row.line, Row) or Row()
    if given.kind == "session":
        yield from _session(Info(given.id, given.parent, given.cwd or "", given.version or ""))
    elif given.kind == "end":
        failure = decoded(given.error, Failure) if given.error else None
        yield _end(_known_of(given), given.completed, given.finish or "", failure)
    elif given.kind == "part" and (part := decoded(given.data or "", Part)) is not None:
        yield from _part(_known_of(given), part, given.id, row.finished, closing=bool(given.closing))
    elif given.kind == "message" and (message := decoded(given.data or "", Message)) is not None:
        yield from _newer(message, given.id, given.role or message.type, running=not row.finished)
    else:
        yield _broken(given.data or "", row)


def _broken(text: str, row: Rendered) -> Rendered:
    """Return a text of a row that is no JSON as the line, so that it counts as undecodable; the row where it is one."""
    line = text.replace("\n", " ").encode("utf-8", "replace")
    return Rendered(line, row.finished) if line.strip() else row


def _known_of(row: Row) -> Known:
    """What a row says of its message."""
    return Known(
        id=row.id,
        role=row.role or "",
        created=row.created,
        cwd=row.cwd or "",
        model=row.model or "",
        summary=bool(row.summary),
        running=bool(row.running),
        ends=row.completed is not None and bool(row.finish) and row.finish not in _UNENDING,
    )


def _known(message: Message, identity: str, role: str, *, running: bool) -> Known:
    """What the lines of a message share."""
    return Known(
        id=identity,
        role=role,
        created=message.time.created,
        cwd=message.place,
        model=message.model_name,
        summary=bytes(message.summary) == b"true",
        running=running,
        ends=message.time.completed is not None and bool(message.finish) and message.finish not in _UNENDING,
    )


def _kept(path: PurePath, files: Files) -> Iterator[tuple[Raw, list[Raw]]]:
    """The messages of a session before 1.2, each with its parts: `storage/message/SESSION`, `storage/part/MESSAGE`.

    The first versions kept them below `storage/session`, the parts once more below the session.
    """
    first = path.parent.name == "info"
    storage, session = (path.parent.parent if first else path.parent.parent.parent), path.stem
    messages = storage / "message" / session
    for name in files.names(messages):
        if not name.endswith(".json"):
            continue
        place = storage / "part" / (session if first else "") / name.removesuffix(".json")
        parts = [Raw(files.read(place / part)) for part in files.names(place) if part.endswith(".json")]
        yield Raw(files.read(messages / name)), parts


def _entry(raw: Raw) -> tuple[Raw, list[Raw]]:
    """A message of an export and its parts; in 2.x the message has its parts inside."""
    entry = decoded(raw, Entry) or Entry()
    return (entry.info, entry.parts or []) if bytes(entry.info) else (raw, [])


def _conversation(entries: list[tuple[Raw, list[Raw]]]) -> Iterator[Rendered]:
    """The lines of messages in the order of their times; what is queued behind a running one is left out."""
    read = [(decoded(raw, Message), raw, parts) for raw, parts in entries]
    messages = [(message, parts) for message, _, parts in read if message is not None]
    messages.sort(key=lambda entry: (seconds(entry[0].time.created) or 0, entry[0].id))
    answers = [number for number, (message, _) in enumerate(messages) if _role(message) == "assistant"]
    last = answers[-1] if answers and not messages[answers[-1]][0].done else len(messages)
    for _, raw, _ in (entry for entry in read if entry[0] is None):
        yield Rendered(bytes(raw).replace(b"\n", b" ") or b"null")
    for number, (message, parts) in enumerate(messages[: last + 1]):
        if message.type:
            yield from _newer(message, message.id, message.type, running=number == last)
        else:
            yield from _older(message, parts, running=number == last)


def _role(message: Message) -> str:
    return message.role or message.type


def _older(message: Message, raws: list[Raw], *, running: bool) -> Iterator[Rendered]:
    """The lines of a message of 1.x."""
    known = _known(message, message.id, message.role, running=running)
    parts = [decoded(raw, Part) for raw in raws]
    speaking = [number for number, part in enumerate(parts) if part is not None and part.type in {"text", "tool"}]
    for number, part in enumerate(parts):
        if part is None:
            yield Rendered(bytes(raws[number]).replace(b"\n", b" ") or b"null")
            continue
        closing = not speaking or number >= speaking[-1]
        finished = not (running and unfinished(part, closing=closing))
        yield from _part(known, part, part.id, finished, closing=closing)
        if not finished:
            return
    if message.role == "assistant" and message.done:
        yield _end(known, message.time.completed, message.finish or "", message.error)


def unfinished(part: Part, *, closing: bool) -> bool:
    """Whether a part of the running message may still change; of its last text it is open whether it ends the turn."""
    if part.type == "tool":
        return part.state.status in _RUNNING
    times = part.time or Times()
    return (part.type == "text" and closing) or (times.start is not None and times.end is None)


def _session(info: Info) -> Iterator[Rendered]:
    """The line that says whose session it is."""
    yield _line("session", id=info.id, parent=info.parentID or "", cwd=info.directory, version=info.version)


def _part(known: Known, part: Part, identity: str, finished: bool, *, closing: bool) -> Iterator[Rendered]:  # noqa: FBT001
    """The lines of one part."""
    if part.type == "tool":
        yield from _tool(known, part, part.callID, part.tool, finished)
        return
    text, program = part.text, bool(part.synthetic or part.ignored)
    if part.type == "subtask":
        text, program = part.prompt, True
    elif part.type == "retry" and part.error is not None:
        text = _reason(part.error)
    elif part.type != "text":
        yield _line(part.type or "(no type)", finished=finished, id=identity)
        return
    times = part.time or Times()
    yield _line(
        part.type,
        known,
        finished=finished,
        at=times.end or times.start or known.created,
        text=text,
        program=program,
        ends=known.ends and closing and part.type == "text",
    )


def _tool(known: Known, part: Part, identity: str, tool: str, finished: bool) -> Iterator[Rendered]:  # noqa: FBT001
    """A tool's call and, when it has ended, its result. A call has its message's time: its own is reset as it runs."""
    state = part.state
    whole = finished or state.status == "running"
    arguments = Raw(msgspec.json.format(state.input, indent=-1)) if bytes(state.input).startswith(b"{") else Raw(b"{}")
    yield _line("call", known, finished=whole, at=known.created, call=identity, tool=tool, input=arguments)
    if state.status not in _ENDED:
        return
    texts = "\n".join(said.text for said in state.content or () if said.text)
    failure = _reason(state.error) if isinstance(state.error, Failure) else state.error
    extra = state.metadata if state.metadata is not None and state.metadata.exit is not None else state.structured
    times = part.time if state.time is None else state.time
    ended = None if times is None else times.end or times.completed
    yield _line(
        "result",
        known,
        at=ended or known.created,
        call=identity,
        tool=tool,
        status=state.status,
        text=failure or state.output or texts,
        exit=None if extra is None else extra.exit,
    )


def _newer(message: Message, identity: str, role: str, *, running: bool) -> Iterator[Rendered]:
    """The lines of a message of 2.x."""
    known = _known(message, identity, role, running=running)
    if role == "assistant":
        yield from _answer(message, known)
    elif role == "shell":
        yield from _command(message, known)
    elif role == "compaction":
        finished = message.status != "running"
        text = bytes(message.summary).startswith(b'"') and message.status != "failed"
        summary = str(msgspec.json.decode(message.summary)) if text else ""
        yield _line("summary", known, finished=finished, at=known.created, text=summary)
    elif role == "location-switched":
        yield _line("location", cwd=message.location.directory if message.location is not None else "")
    elif role == "idle":
        yield _line("idle", known, at=known.created, outcome=message.outcome)
    elif role in {"user", "synthetic", "skill"}:
        asked = Known(identity, "user", known.created)
        yield _line("text", asked, at=known.created, text=message.text, program=role != "user")
    else:
        yield _line(role or "(no type)", id=identity)


def _answer(message: Message, known: Known) -> Iterator[Rendered]:
    """The lines of what the agent said and did in one step of 2.x."""
    parts = message.content or []
    speaking = [number for number, part in enumerate(parts) if part.type in {"text", "tool"}]
    for number, part in enumerate(parts):
        closing = not speaking or number >= speaking[-1]
        finished = not (known.running and unfinished(part, closing=closing))
        if part.type == "tool":
            yield from _tool(known, part, part.id, part.name, finished)
        else:
            yield from _part(known, part, known.id, finished, closing=closing)
        if not finished:
            return
    if message.done:
        yield _end(known, message.time.completed, message.finish or "", message.error)


def _command(message: Message, known: Known) -> Iterator[Rendered]:
    """A command that the user ran: a call and a result, after which it is the user's turn again."""
    made = Known(known.id, "user", known.created)
    arguments = Raw(_encode({"command": message.command}))
    yield _line("call", made, at=known.created, call=known.id, tool="shell", input=arguments)
    if message.status == "running":
        return
    output = message.output.output if isinstance(message.output, Output) else message.output or ""
    at = message.time.completed or known.created
    yield _line("result", made, at=at, call=known.id, tool="shell", status="completed", text=output, exit=message.exit)
    yield _end(made, at, "stop", None)


def _end(known: Known, at: Stamp, finish: str, failure: Failure | None) -> Rendered:
    """The line that ends a message."""
    name, reason = ("", "") if failure is None else (failure.name or failure.type or "error", _reason(failure))
    return _line(
        "end", known, at=at or known.created, finish=finish, goes_on=finish in _UNENDING, error=name, text=reason
    )


def _reason(failure: Failure) -> str:
    """What an error says."""
    return failure.message or (failure.data.message if failure.data is not None else "") or failure.name or failure.type


def _line(kind: str, known: Known | None = None, *, finished: bool = True, **values: object) -> Rendered:
    """A line: what it says, what its message says; what is not said is no field."""
    shared: dict[str, object] = {}
    if known is not None:
        shared = {
            "id": known.id,
            "role": known.role,
            "created": known.created,
            "cwd": known.cwd,
            "model": known.model,
            "summary": known.summary,
        }
    given = {"type": kind, **shared, **values}
    said = {name: value for name, value in given.items() if value is not None and value is not False and value != ""}
    return Rendered(_encode(said), finished)

"""The records of OpenCode's stores (0.6 to 2.0): only the fields that are used, typed."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from selfdistill.sources.decoding import coerce, read_tolerantly

S = TypeVar("S", bound=Struct)
Stamp = float | str | None


class Times(Struct, frozen=True, gc=False):
    """When something was made, started and ended: milliseconds."""

    created: Stamp = None
    completed: Stamp = None
    start: Stamp = None
    end: Stamp = None


class Said(Struct, frozen=True, gc=False):
    """A text of a tool's result."""

    text: str = ""


class Failure(Struct, frozen=True, gc=False):
    """What went wrong: in 1.x a name and data, in 2.x a type and a message."""

    name: str = ""
    type: str = ""
    message: str = ""
    data: Failure | None = None


class Extra(Struct, frozen=True, gc=False):
    """What tools add to their results."""

    exit: float | None = None


class State(Struct, frozen=True):
    """Where a tool stands."""

    status: str = ""
    input: Raw = field(default_factory=Raw)
    output: str | None = None
    content: list[Said] | None = None
    error: str | Failure | None = None
    metadata: Extra | None = None
    structured: Extra | None = None
    time: Times | None = None


class Part(Struct, frozen=True):
    """A part of a message, of 1.x (`callID`, `tool`) and 2.x (`id`, `name`)."""

    type: str = ""
    id: str = ""
    text: str = ""
    prompt: str = ""
    synthetic: bool | None = None
    ignored: bool | None = None
    callID: str = ""  # noqa: N815 - as OpenCode writes it
    tool: str = ""
    name: str = ""
    state: State = field(default_factory=State)
    error: Failure | None = None
    time: Times | None = None


class Model(Struct, frozen=True, gc=False):
    """A model's name."""

    id: str = ""
    modelID: str = ""  # noqa: N815


class Place(Struct, frozen=True, gc=False):
    """Where the agent works."""

    cwd: str = ""
    directory: str = ""


class Output(Struct, frozen=True, gc=False):
    """What a command of the user printed (2.x)."""

    output: str = ""


class Message(Struct, frozen=True):
    """A message, of 1.x (`role`) and 2.x (`type`)."""

    id: str = ""
    role: str = ""
    type: str = ""
    time: Times = field(default_factory=Times)
    modelID: str = ""  # noqa: N815
    model: Model | str | None = None
    path: Place | str | None = None
    location: Place | None = None
    finish: str | None = None
    error: Failure | None = None
    summary: Raw = field(default_factory=Raw)  # true, a text (2.x), or what a prompt changed: megabytes
    text: str = ""
    content: list[Part] | None = None
    command: str = ""
    output: str | Output | None = None
    exit: float | None = None
    status: str = ""
    outcome: str = ""

    @property
    def done(self) -> bool:
        """Whether nothing more will be added."""
        return self.time.completed is not None or self.error is not None

    @property
    def place(self) -> str:
        """The directory that the message names."""
        return self.path.cwd if isinstance(self.path, Place) else ""

    @property
    def model_name(self) -> str:
        """The model that the message names."""
        named = self.model
        return self.modelID or ((named.modelID or named.id) if isinstance(named, Model) else "")


class Info(Struct, frozen=True, gc=False):
    """What a session's file says of it."""

    id: str = ""
    parentID: str | None = None  # noqa: N815
    directory: str = ""
    version: str = ""


class Entry(Struct, frozen=True):
    """A message of an export with its parts."""

    info: Raw = field(default_factory=Raw)
    parts: list[Raw] | None = None


class Export(Struct, frozen=True):
    """What `opencode export` prints."""

    info: Raw = field(default_factory=Raw)
    messages: list[Raw] | None = None


class Row(Struct, frozen=True):
    """A row of the database: one part, the end of a message, a whole message of 2.x, or the session."""

    kind: str = ""
    id: str = ""
    data: str | None = None
    role: str | None = None
    created: Stamp = None
    completed: Stamp = None
    model: str | None = None
    cwd: str | None = None
    finish: str | None = None
    error: str | None = None
    summary: int | None = None
    running: int | None = None
    closing: int | None = None
    parent: str | None = None
    version: str | None = None


_decoders: dict[type[Struct], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Part, Message, Info, Entry, Export, Row, Failure)
}


def decoded(data: bytes | str | Raw, kind: type[S]) -> S | None:
    """Return the struct that some JSON makes, None where it is no JSON object. Never raises."""
    try:
        made: S = _decoders[kind].decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else bytes(data)
        found, complete = read_tolerantly(raw)
        whole = complete and len(found) == 1 and isinstance(found[0].value, dict)
        return coerce(found[0].value, kind) if whole else None
    return made

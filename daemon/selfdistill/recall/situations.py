"""The moment a lesson may be told in: what is known when lessons are asked for."""

from __future__ import annotations

from msgspec import Struct

from selfdistill.model import ToolKind


class Query(Struct, frozen=True):
    """What is known at the moment lessons are asked for.

    Before a call: its tool, command or path, and other input; after a failure also its causes and its error text; at a
    prompt only the request. `told`: ids of lessons that this session has heard.
    """

    kind: ToolKind | None = None
    tool: str = ""
    command: str = ""
    path: str = ""
    cwd: str = ""
    written: str = ""  # what an edit or a write puts into the file
    text: str = ""  # whatever else the call is given: a pattern, a prompt, a name
    request: str = ""
    causes: tuple[str, ...] = ()
    error: str = ""
    project: str = ""
    told: frozenset[str] = frozenset()

"""The moment a lesson may be told in: a call about to be made, taken apart into what lessons are compared with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.model import ToolKind
from selfdistill.signals.causes import general_path
from selfdistill.signals.commands import is_check_command
from selfdistill.signals.invocations import invocations, unquoted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfdistill.signals.invocations import Invocation

MAX_CHARACTERS: Final = 2_000  # of a text; a pasted log is a query, too

_TOKEN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]+|\d{3,}")
_PIECES: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_SPLIT: Final = re.compile(r"[\s=,;:()\[\]{}|]+")
_STOP: Final = frozenset(
    """
    about add again all also and any are been but can did does for from get has have how into its just let make may
    more need not now one our out please see should some than that the their then there these this use was what when
    which will with work would you your
    """.split()  # noqa: SIM905 - a list of words is read as words
)


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


class Situation(Struct, frozen=True):
    """A query taken apart, once for all lessons."""

    query: Query
    commands: tuple[Invocation, ...]
    keys: frozenset[str]  # "gh pr diff"; and the program alone
    pieces: frozenset[str]  # the parts of the command's words, options without dashes
    paths: frozenset[str]  # in general form
    check: str  # "test", "lint" ... if the command is one
    extension: str  # of the file at hand, with the dot
    words: frozenset[str]


def situation(query: Query) -> Situation:
    """What lessons are compared with."""
    commands = invocations(query.command) if query.kind is ToolKind.SHELL else ()
    words = [unquoted(word) for one in commands for word in one.words]
    places = [query.path, *words] if query.path else words
    name = query.path.rpartition("/")[2]
    return Situation(
        query=query,
        commands=commands,
        keys=frozenset(name for one in commands for name in (one.key, one.program)),
        pieces=frozenset(piece.lstrip("-") for word in words for piece in (*_SPLIT.split(word), word)),
        paths=frozenset(general_path(place, query.cwd) for place in places if place),
        check=is_check_command(query.command) if commands else "",
        extension=f".{name.rpartition('.')[2]}" if "." in name else "",
        words=tokens(
            (query.tool, query.command, query.path, query.text[:2000], query.request[:2000], query.error[:2000])
        ),
    )


def tokens(texts: Iterable[str]) -> frozenset[str]:
    """The words of texts as they are matched: lower case, names also by their parts (`boilTimer`: `boil`, `timer`)."""
    found: dict[str, None] = {}
    for text in texts:
        for word in _TOKEN.findall(text[:MAX_CHARACTERS]):
            found[word.casefold()] = None
            if not word.islower():
                found.update(dict.fromkeys(piece.casefold() for piece in _PIECES.findall(word)))
    return frozenset(word for word in found if len(word) > 2 and word not in _STOP)  # noqa: PLR2004 - "an", "of"

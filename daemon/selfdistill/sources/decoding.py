"""What every source shares when it turns a line into typed records: times, made-up ids, and the tolerant reader.

The fast path is a typed `msgspec` decoder (1 GB/s on real logs, fields nobody names cost nothing). A line that it
refuses goes once through `read_tolerantly`; only what that refuses too is undecodable.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache, lru_cache
from hashlib import blake2b
from sys import intern
from typing import Any, Final, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import FieldInfo, fields

S = TypeVar("S", bound=Struct)

MAXIMUM_ID: Final = 80  # the longest real ids (Codex items) have 55 characters
MAXIMUM_FACT: Final = 512
MAXIMUM_TOOL: Final = 128  # what Anthropic allows; cut to half when its secrets are out
MILLISECONDS_FROM: Final = 1e11  # as seconds that is the year 5138; agents that write numbers write milliseconds
_EXIT_LIMIT: Final = 2**31

_json_reader: Final = json.JSONDecoder(strict=False)


class Found(NamedTuple):
    """One JSON value of a line: where it stands in the line's bytes, and what it is (strings are valid Unicode)."""

    start: int
    length: int
    value: Any


def read_tolerantly(line: bytes) -> tuple[list[Found], bool]:
    """Return the JSON values that stand on a line, and whether they are all of it.

    Accepts what real logs hold and strict readers refuse: several objects on one line (8 lines in 406 real files),
    lone surrogates, NaN, control characters, invalid UTF-8. Never raises.
    """
    text = line.decode("utf-8", "surrogateescape")
    found: list[Found] = []
    end, offset = 0, 0
    while True:
        start = _skip_space(text, end)
        if start == len(text):
            return found, True
        offset += _byte_length(text, end, start)
        try:
            value, end = _json_reader.raw_decode(text, start)
            clean = _clean(value)
        except (ValueError, RecursionError):
            return found, False
        length = _byte_length(text, start, end)
        found.append(Found(offset, length, clean))
        offset += length


def _skip_space(text: str, position: int) -> int:
    """The next position that holds no white space."""
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _byte_length(text: str, start: int, end: int) -> int:
    """How many bytes of the line a stretch of its text takes."""
    return len(text[start:end].encode("utf-8", "surrogateescape"))


def _clean(value: object) -> object:
    """The same value without lone surrogates, which neither UTF-8 nor SQLite can hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    return value


def glances(head: bytes, kind: type[S]) -> Iterator[S]:
    """Return the first records of a log as far as `kind` names their fields; a cut last line is left out."""
    for record in _records(head):
        yield coerce(record, kind)


@lru_cache(maxsize=1)
def _records(head: bytes) -> list[dict[object, object]]:
    """The objects at the beginning of a log; every source is asked about the same one in turn."""
    found = (value for line in head.split(b"\n") for value in read_tolerantly(line)[0])
    return [one.value for one in found if isinstance(one.value, dict)]


def coerce(value: object, kind: type[S]) -> S:
    """Return the struct that a decoded value makes, where fields of an odd type count as absent. Never raises."""
    given = value if isinstance(value, dict) else {}
    known: dict[str, object] = {}
    for field in _fields(kind):
        if field.encode_name in given:
            made = _coerced(given[field.encode_name], field.type)
            if made is not UNSET:
                known[field.name] = made
    return kind(**known)


@cache
def _fields(kind: type[Struct]) -> tuple[FieldInfo, ...]:
    """The fields of a struct; `fields` evaluates the annotations each time, 0.3 ms."""
    return fields(kind)


def _coerced(value: object, kind: Any) -> object:  # noqa: ANN401 - any annotation of a field
    """The value as the annotated type, or UNSET where it cannot be that."""
    if get_origin(kind) in (Union, types.UnionType):
        made = (_coerced(value, option) for option in get_args(kind))
        return next((option for option in made if option is not UNSET), UNSET)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return coerce(value, kind) if isinstance(value, dict) else UNSET
    if get_origin(kind) is list:
        return _coerced_items(value, get_args(kind)[0])
    try:
        return Raw(msgspec.json.encode(value)) if kind is Raw else msgspec.convert(value, kind)
    except (ValueError, OverflowError, TypeError, RecursionError):
        return UNSET


def _coerced_items(value: object, kind: Any) -> object:  # noqa: ANN401 - any annotation of an element
    """The elements that fit, in order; UNSET where there is no list."""
    if not isinstance(value, list):
        return UNSET
    return [made for made in (_coerced(item, kind) for item in value) if made is not UNSET]


def typed(payload: Raw, decoder: msgspec.json.Decoder[S], kind: type[S]) -> S:
    """Return the struct that a piece of JSON makes, where fields of an odd type count as absent. Never raises."""
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError):
        found, _ = read_tolerantly(bytes(payload))
        return coerce(found[0].value if found else None, kind)


def json_text(value: object) -> str:
    """Return a decoded value as JSON again, an empty object where it is nested too deep to be written. Never raises.

    A reader follows as deep as Python's stack allows, and a writer that is called further up does not come that far.
    """
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        return "{}"


def seconds(stamp: str | float | None) -> float | None:
    """Return a time of a log as seconds since the epoch, None where it is none.

    Logs write ISO 8601 (UTC where it names no zone), seconds, or milliseconds.
    """
    if isinstance(stamp, str):
        try:
            moment = datetime.fromisoformat(stamp)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    if stamp is None or not 0 < stamp < MILLISECONDS_FROM * 1000:
        return None
    return stamp / 1000 if stamp >= MILLISECONDS_FROM else float(stamp)


def digest(*parts: str) -> str:
    """Return the 16 hexadecimal digits that stand for these texts where a log gives no id."""
    return blake2b("\x1f".join(parts).encode(), digest_size=8).hexdigest()


def bounded_id(name: str) -> str:
    """Return the id, or what stands for one that is too long to be remembered."""
    return name if len(name) <= MAXIMUM_ID and name.isascii() else digest(name)


def tool_name(name: str) -> str:
    """Return a tool's name at a length that a parser's state can carry many of."""
    return intern(name[:MAXIMUM_TOOL])


def fact(text: str) -> str:
    """Return a fact of a session (path, model, URL) at a length that a parser's state can carry."""
    return text[:MAXIMUM_FACT]


def exit_status(code: int | None) -> int | None:
    """Return an exit status that may be stored, None for figures no process ends with."""
    return code if code is not None and -_EXIT_LIMIT <= code < _EXIT_LIMIT else None

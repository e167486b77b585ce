"""Finds keys that tell by their shape: provider keys (also broken over lines or in base64), PEM blocks."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from selfdistill.privacy.judging import is_random
from selfdistill.privacy.tokens import NAMELIKE, PREFIX, PREFIX_IN_BASE64, SHAPES, TOKEN, token_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_KEY_CHARACTERS: Final = 4096
_MAX_LINES: Final = 64  # of a wrapped key
_MAX_LINE: Final = 256
_MAX_JUDGED: Final = 64  # characters of a key that decide whether it is one


class Secret(NamedTuple):
    """Where a secret stands in a text, and its kind."""

    start: int
    end: int
    kind: str


_CHUNK: Final = re.compile(r"[A-Za-z0-9_.+/=~-]*")
_WRAP: Final = re.compile(r"(?:\\\r?\n|\r?\n|\\r\\n|\\n)[ \t]*(?=[A-Za-z0-9_+/-])")
# The rest of a random string on its next line: a digit, or capitals where words have none.
_RANDOM: Final = re.compile(r"(?=.*(?:\d|[a-z][A-Z]|[A-Z]{2}[a-z])).{4,}")
# Where no name goes on: not after its characters, but after encoded ones.
_FREE: Final = re.compile(r"(?<![A-Za-z0-9_-])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt])|(?<=\\u00[0-9a-fA-F]{2})")
_HEXADECIMAL: Final = re.compile(r"[0-9a-f]{16}")


class Wrapped(NamedTuple):
    """A run of key characters with its line breaks taken out, and where each piece stood in the text."""

    joined: str
    pieces: tuple[tuple[int, int], ...]

    def end(self, length: int) -> int:
        """The place in the text after the first `length` joined characters."""
        for start, stop in self.pieces:
            if length <= stop - start:
                return start + length
            length -= stop - start
        return self.pieces[-1][1]


def unwrapped(text: str, start: int, *, until: re.Pattern[str] | None = None) -> Wrapped:
    """The run of key characters at `start`, with those of the next lines that seem to go on with it.

    A next line goes on when `until` does not match yet what there is, or when it looks random.
    """
    end = _end_of_chunk(text, start)
    joined, pieces = text[start:end], [(start, end)]
    while len(pieces) < _MAX_LINES and len(joined) < MAX_KEY_CHARACTERS and (wrap := _WRAP.match(text, end)):
        end = _end_of_chunk(text, wrap.end())
        chunk = text[wrap.end() : end]
        if not _RANDOM.match(chunk) and (until is None or until.match(joined)):
            break
        joined += chunk
        pieces.append((wrap.end(), end))
    return Wrapped(joined, tuple(pieces))


def _end_of_chunk(text: str, start: int, limit: int = MAX_KEY_CHARACTERS) -> int:
    """The end of the key characters at `start`, at most `limit` of them."""
    match = _CHUNK.match(text, start, start + limit)
    return match.end() if match else start


def find_keys(text: str, start: int, end: int) -> Iterator[Secret]:
    """Provider keys that begin in this part of the text."""
    position, last_end = start, -1
    while match := PREFIX.search(text, position, end):
        position = match.end()
        free = match.start() == last_end or _FREE.match(text, match.start()) is not None
        if secret := _key_at(text, match.start(), free=free):
            position = last_end = secret.end
            yield secret
    for match in PREFIX_IN_BASE64.finditer(text, start, end):
        run = unwrapped(text, match.start())
        # The name of a tool may go on behind it (`mcp__` + key + `__get`), with what only base64 for URLs has.
        for encoded in (run.joined, re.split("[_-]", run.joined, maxsplit=1)[0]):
            if kind := _kind_in_base64(encoded):
                yield Secret(match.start(), run.end(len(encoded)), kind)
                break
    for match in SHAPES.finditer(text, start, end):
        kind = match.lastgroup or ""
        yield Secret(match.start(kind), match.end(kind), kind)


def _key_at(text: str, start: int, *, free: bool) -> Secret | None:
    """The provider key that begins here, on one line or on several; `free`: not in the middle of a name."""
    if not free and (head := TOKEN.match(text, start, start + _MAX_LINE)) and not _is_key_in_name(head):
        return None
    found = TOKEN.match(text, start, start + MAX_KEY_CHARACTERS)
    end = _end_of_chunk(text, start, _MAX_LINE) if found is None else found.end()
    if not _WRAP.match(text, end):
        return None if found is None else Secret(start, end, token_kind(found))
    run = unwrapped(text, start, until=TOKEN)
    found = TOKEN.match(run.joined)
    if found is None or not (free or _is_key_in_name(found)):
        return None
    return Secret(start, run.end(found.end()), token_kind(found))


def _is_key_in_name(found: re.Match[str]) -> bool:
    """Whether what has the shape of a key, in the middle of a name, is one rather than the rest of the name."""
    if token_kind(found) not in NAMELIKE:
        return True
    head = found[0][:_MAX_JUDGED]
    return is_random(head) or _HEXADECIMAL.search(head) is not None


def _kind_in_base64(encoded: str) -> str:
    """The kind of the key that this base64 text holds, "" for none."""
    decoded = decoded_base64(encoded)
    match = TOKEN.match(decoded)
    return token_kind(match) if match else ""


def decoded_base64(encoded: str) -> str:
    """The printable ASCII text in a base64 or base64url text, "" when there is none."""
    body = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    body = body[: len(body) // 4 * 4] if len(body) % 4 == 1 else body + "=" * (-len(body) % 4)
    try:
        text = base64.b64decode(body, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return text if text.rstrip("\n").isprintable() else ""


_HEAD_CHARACTERS: Final = 12
ASCII_IN_BASE64: Final = re.compile(r"(?:[A-Za-f][A-Za-z0-9+/]{3}){3}")  # each third byte below 128
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{16,2000}={0,2}(?![A-Za-z0-9+/_-])")
# A letter in the name: GitHub's node ids decode to `04:User12345`.
_USER_AND_PASSWORD: Final = re.compile(r"(?=[^:]*[A-Za-z])[A-Za-z0-9_.@+-]{2,64}:[!-~]{4,}\n?\Z")


def may_be_base64(text: str, start: int) -> bool:
    """Whether the run, whose head matches `ASCII_IN_BASE64`, decodes to printable characters there.

    9 random bytes are printable once in 7,000 times, so the head decides for nearly all.
    """
    return bool(decoded_base64(text[start : start + _HEAD_CHARACTERS]))


def find_basic_credentials(text: str, start: int) -> Iterator[Secret]:
    """`user:password` in base64, wherever it stands."""
    match = _BASE64.match(text, start)
    if match is not None and _USER_AND_PASSWORD.match(decoded_base64(match[0])):
        yield Secret(match.start(), match.end(), "basic")


_GAP: Final = r"(?: |\+|%20)"
_PEM_BEGIN: Final = re.compile(
    rf"-----BEGIN{_GAP}(?:[A-Z0-9]{{1,20}}{_GAP}){{0,4}}PRIVATE{_GAP}KEY(?:{_GAP}BLOCK)?-----"
)
_PEM_END: Final = re.compile(rf"-----END{_GAP}(?:[A-Z0-9]{{1,20}}{_GAP}){{0,4}}PRIVATE{_GAP}KEY(?:{_GAP}BLOCK)?-----")
# Code that only names the marker goes on with a quote and code; a key goes on with its body, or is cut off.
_PEM_BODY: Final = re.compile(
    r"(?:\\+[nr]|%0[AaDd]|[\s\"'+,\\>|#*-]){0,80}(?:[A-Za-z0-9+/=]{8}|Proc-Type|Version:|Comment:|$)"
)
_PEM_IN_BASE64: Final = re.compile(r"LS0tLS1CRUdJTi(?!BDRV|BQVU|BUUl)[A-Za-z0-9+/=\s]{24,}")


def find_pem(text: str) -> Iterator[Secret]:
    """Private keys in PEM; one without an END reaches to the end of the text, because the rest may be its body."""
    position = 0
    while begin := _PEM_BEGIN.search(text, position):
        position = begin.end()
        if not _PEM_BODY.match(text, begin.end()):
            continue
        end = _PEM_END.search(text, begin.end())
        position = len(text) if end is None else end.end()
        yield Secret(begin.start(), position, "private-key")


def find_encoded_pem(text: str) -> Iterator[Secret]:
    """Private keys in PEM in base64, as Kubernetes keeps them."""
    for match in _PEM_IN_BASE64.finditer(text):
        yield Secret(match.start(), match.end(), "private-key")

"""Takes secrets out of text: every secret becomes `[REDACTED:kind]`, everything else stays as it is.

One look at the text, folded to lower-case ASCII, decides where to look closer; all work after it is done at key words
and at long runs of key characters only. Measured on one core: 56 MB/s for prose, 24 MB/s for code and tool output.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Final

from selfdistill.errors import ConfigError
from selfdistill.privacy.keys import (
    ASCII_IN_BASE64,
    Secret,
    find_basic_credentials,
    find_encoded_pem,
    find_keys,
    find_pem,
    may_be_base64,
)
from selfdistill.privacy.pairs import (
    find_command_passwords,
    find_named,
    find_random_near,
    find_url_credentials,
)
from selfdistill.privacy.scrubbing import scrub
from selfdistill.privacy.tokens import HEAD_CHARACTERS, HEADS, HIDDEN, PART_END_CHARACTERS, PART_ENDS, TAILS

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Redactor", "scrub"]

_MAX_PASSES: Final = 4  # the second finds nothing in all but contrived texts; see `Redactor.__call__`
_MARK: Final = re.compile(r"\[REDACTED:[a-z0-9-]+\]")

# Parts of all key words, in lower case; `strong` ones make a random string near them a secret.
_PASS_WORDS: Final = ((b"passw", True), (b"passphrase", True))
_WORDS: Final = (
    (b"pwd", False),
    (b"secret", True),
    (b"token", True),
    (b"auth", False),
    (b"key", False),
    (b"cookie", False),
    (b"credential", True),
    (b"bearer", True),
    (b"sig=", False),
)
_URLS: Final = (b"://", b"%3a%2f%2f", b":\\/\\/")

# Keys so short that half of one, broken over two lines, is no run of 16.
_SHORT_KEYS: Final = (b"akia", b"asia", b"glpat-", b"sq0")

_RUN_CHARACTERS: Final = b"abcdefghijklmnopqrstuvwxyz0123456789_-"
_FOLD: Final = bytes(range(256)).lower()
_RUNS: Final = bytes(97 if code in _RUN_CHARACTERS else 32 for code in range(256))
_MIN_RUN_CHARACTERS: Final = 16
_MIN_GLUED: Final = 28  # a name of two characters, and the shortest keys but those of `_SHORT_KEYS`
_MIN_RUN: Final = b"a" * _MIN_RUN_CHARACTERS


class Redactor:
    """Replaces each secret in a text by `[REDACTED:kind]`; a second call changes nothing.

    `extra_patterns` are regular expressions of the user; what they match is redacted as `custom`. Raises ConfigError
    that names the first invalid one.
    """

    def __init__(self, extra_patterns: tuple[str, ...] = ()) -> None:
        self._extra = tuple(_compiled(pattern) for pattern in extra_patterns)

    def __call__(self, text: str) -> str:
        """The text without secrets; the same object when there are none."""
        for _ in range(_MAX_PASSES):
            # What is taken out changes what stands next to the rest: look again until nothing is found.
            redacted = self._once(text)
            if redacted == text:
                break
            text = redacted
        return text

    def _once(self, text: str) -> str:
        """The text without the secrets that one look finds."""
        found = sorted(chain(_secrets(text), *(_matches(pattern, text) for pattern in self._extra)))
        if not found:
            return text
        marks = [match.span() for match in _MARK.finditer(text)] if "[REDACTED:" in text else []
        parts: list[str] = []
        position = 0
        for start, end, kind in _apart(found, marks):
            parts += (text[position:start], f"[REDACTED:{kind}]")
            position = end
        return "".join(parts) + text[position:]


def _apart(found: list[Secret], marks: list[tuple[int, int]]) -> Iterator[Secret]:
    """The secrets without overlaps and without those inside a mark; overlapping ones become one of the first's kind."""
    current: Secret | None = None
    for secret in found:
        if secret.start >= secret.end or any(start < secret.end and secret.start < end for start, end in marks):
            continue
        if current is None:
            current = secret
        elif secret.start < current.end:
            current = Secret(current.start, max(current.end, secret.end), current.kind)
        else:
            yield current
            current = secret
    if current is not None:
        yield current


def _compiled(pattern: str) -> re.Pattern[str]:
    """The compiled pattern of the user."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"privacy.extra_patterns: {pattern!r} is no regular expression: {error}",
            "Correct the pattern in config.toml; backslashes need 'single quotes' in TOML.",
        ) from error


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[Secret]:
    """What a pattern of the user finds."""
    for match in pattern.finditer(text):
        yield Secret(*match.span(), "custom")


def _secrets(text: str) -> Iterator[Secret]:
    """Every secret of the built-in kinds, in no order; they may overlap."""
    folded = text.encode("ascii", "replace").translate(_FOLD)  # one byte a character: the places stay the same
    if _MIN_RUN in (runs := folded.translate(_RUNS)):
        yield from _in_runs(text, runs)
    for head in _SHORT_KEYS:
        if head in folded:
            for position in _places(folded, head):
                yield from find_keys(text, position, position + len(head))
    has_pass = b"pass" in folded  # each search costs 2 % of all: one decides for three
    for word, strong in (*_PASS_WORDS, *_WORDS) if has_pass else _WORDS:
        if word in folded:
            yield from _at_word(text, folded, word, strong=strong)
    yield from _in_lines(text, folded, has_pass=has_pass)


def _in_lines(text: str, folded: bytes, *, has_pass: bool) -> Iterator[Secret]:
    """Secrets in URLs, PEM blocks and command lines."""
    if b"@" in folded or b"%40" in folded:
        for sign in _URLS:
            for position in _places(folded, sign):
                if secret := find_url_credentials(text, position):
                    yield secret
    if b"-----begin" in folded:
        yield from find_pem(text)
    if b"-" in folded and (
        b"mysql" in folded
        or b"mariadb" in folded
        or b"redis-cli" in folded
        or b"curl" in folded
        or (has_pass and b"sshpass" in folded)
    ):
        yield from find_command_passwords(text)


def _in_runs(text: str, runs: bytes) -> Iterator[Secret]:
    """Keys in the runs of 16 and more key characters, or broken over lines of which one has such a run."""
    start = runs.find(_MIN_RUN)
    while start >= 0:
        end = runs.find(b" ", start)
        end = len(text) if end < 0 else end
        # Real logs have such a run every 160 characters, nearly all of them names and hashes: one look at each.
        if (
            text[start : start + HEAD_CHARACTERS] in HEADS
            or (end - start >= _MIN_GLUED and _has_inside(text[start:end]))
            or _goes_on(text, start, end)
        ):
            yield from find_keys(text, _beginning(text, start), end)
        if ASCII_IN_BASE64.match(text, start) and may_be_base64(text, start):
            yield from find_basic_credentials(text, start)
        start = runs.find(_MIN_RUN, end)
    if "LS0tLS1CRUdJTi" in text:
        yield from find_encoded_pem(text)


_KEY_CHARACTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
_MAX_BEFORE: Final = 64
_BLANKS: Final = frozenset(" \t\n")
_BLANKS_BEFORE: Final = frozenset(" \t\n\r\\") | frozenset(_KEY_CHARACTERS)


def _has_inside(run: str) -> bool:
    """Whether a key may begin inside a run: after a joint (`mcp_` + key), or at the end of a word (`Agent` + key)."""
    if ("_" in run or "-" in run) and not PART_ENDS.isdisjoint(
        [part[-PART_END_CHARACTERS:] for part in run.replace("-", "_").split("_")]
    ):
        return True
    return HIDDEN.search(run, 1) is not None


def _goes_on(text: str, start: int, end: int) -> bool:
    """Whether the run goes on with a key: after `SG.`, `123:`, `%3D`, an escape, or with the next line of one."""
    previous = text[start - 1 : start]
    if previous in _BLANKS:
        return text[start - 2 : start - 1] in _BLANKS_BEFORE and _goes_on_from_line(text, start)
    if previous in {"%", "\\"} or text[start - 2 : start - 1] in {"%", "\\"}:
        return True
    if previous == ".":
        return text[start - HEAD_CHARACTERS : start] in TAILS
    return (
        (previous == ":" and text.startswith("AA", start))
        or (previous == "/" and text[start - 2 : start - 1] == "s")
        or (text[end : end + 1] == "." and text[start] in "MNO")
        or text.startswith("-us", end - 5)
        or text.startswith("-us", end - 4)
    )


def _goes_on_from_line(text: str, start: int) -> bool:
    """Whether the line before this one ends with the beginning of a key."""
    line = text[max(0, start - _MAX_BEFORE) : start].rstrip(" \t")
    if not line.endswith("\n"):
        return False
    line = line.rstrip("\\\r\n")
    word = line[len(line.rstrip(_KEY_CHARACTERS)) :]
    return word[:HEAD_CHARACTERS] in HEADS or 0 < len(word) < HEAD_CHARACTERS or _has_inside(word)


def _beginning(text: str, start: int) -> int:
    """Where a key could begin whose run begins at `start`: at the last word before it, also over a line break."""
    before = text[max(0, start - _MAX_BEFORE) : start]
    kept = before.rstrip(_JOINED)
    if kept.rstrip(" \t").endswith("\n"):
        kept = kept.rstrip().rstrip(_JOINED)
    return start - len(before) + len(kept)


_JOINED: Final = _KEY_CHARACTERS + ":%\\+/="


def _at_word(text: str, folded: bytes, word: bytes, *, strong: bool) -> Iterator[Secret]:
    """Secrets that follow a key word, or stand near a strong one."""
    covered = random_until = -1
    for position in _places(folded, word):
        if position >= covered and (secret := find_named(text, position, position + len(word))):
            covered = secret.end
            yield secret
        if strong and position > random_until:
            random_until = position + 40
            yield from find_random_near(text, position)


def _places(folded: bytes, word: bytes) -> Iterator[int]:
    """Where a word stands."""
    position = folded.find(word)
    while position >= 0:
        yield position
        position = folded.find(word, position + len(word))

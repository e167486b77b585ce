"""Tells secrets from what merely stands where a secret could: placeholders, code, types, prose, hashes."""

from __future__ import annotations

import re
from typing import Final

_MIN_CHARACTERS: Final = 4
_MIN_RANDOM: Final = 16
_MIN_WORD: Final = 8
_MAX_COUNT_DIGITS: Final = 11  # longer numbers are no counts or limits
_MAX_ENGLISH_WORD: Final = 20

_PLACEHOLDER: Final = re.compile(
    r"""\$|%[({A-Z]|<|\{|\[|@\{|\.{2,}|\u2026|\*{2,}|[xX]{3,}|\#\{|-{2,}|_{2,}\w*_{2,}\Z|:|/\*|\\
    |(?:process|import\.meta)\.|os\.|env[.\[(]|ENV[.\[]|secrets?\.|config\.|settings\.|self\.|this\.|getenv|System\.
    |(?:your|my|some|the|an?|example|sample|dummy|fake|placeholder|redacted|insert|enter|replace|changeme|change|todo)
    (?:[-_ .]|\Z)
    |(?:null|none|nil|true|false|undefined|string|str|int|integer|bool|boolean|number|bytes|any|object|optional|required|void
    |unknown|never|yes|no|on|off|password|passwd|token|secret|auth|basic|bearer|oauth2?|key|inherit|missing|invalid|valid
    |expired|empty|unset|set|hidden|text|value|default|disabled|enabled|include|same-origin|omit|test|prompt)\Z""",
    re.VERBOSE | re.IGNORECASE,
)
_ATTRIBUTE: Final = re.compile(r"[A-Za-z_]\w*(?:(?:\.|->|::|\?\.)[A-Za-z_]\w*)+\Z")
_WORD: Final = re.compile(r"[A-Za-z]+(?:[_.-][A-Za-z]+)*\Z")
_PATH: Final = re.compile(r"(?:[~.]{0,2}/|[A-Za-z]:\\|https?:)[^\s]*\Z")
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_FOLDER: Final = re.compile(r"(?:\A|/)[a-z_]{4,}(?:/|\Z)|(?:/[^/]*){5}")
_STAND_IN: Final = re.compile(r"\.{3}|\u2026|x{4}|\*{3}|your[-_]|[-_]here\b|[-_]\Z", re.IGNORECASE)
_CHANGE: Final = re.compile(r"(?<=[a-z])[A-Z0-9]|(?<=[A-Z])[a-z0-9]|(?<=[0-9])[A-Za-z]")
# Chance gives 0.4 changes between letters and digits a character with one case; hexadecimal counts are below 0.25.
_MIN_CHANGES: Final = 0.25
# Parts of names as code writes them (`LocalConfig`): of strings by chance they are 0.36 +- 0.1, of names above 0.8.
_SYLLABLES: Final = re.compile(r"[A-Z]?[a-z]{2,}")
_MAX_SYLLABLES: Final = 0.78
_MAX_SYLLABLES_OF_LETTERS: Final = 0.55
_DIGIT: Final = re.compile(r"\d")


def is_random(value: str) -> bool:
    """Whether a string of 16 characters or more looks drawn by lot; words, names, paths, hashes and UUIDs do not.

    Of random base62 strings of 32 characters 99.8 % pass.
    """
    if len(value) < _MIN_RANDOM:
        return False
    letters = value.strip("=")
    has_digit = _DIGIT.search(letters) is not None
    has_one_case = letters.upper() == letters or letters.lower() == letters
    if (has_one_case and not has_digit) or _UUID.search(value) or _FOLDER.search(value):
        return False
    if not letters.strip("0123456789abcdefABCDEF-"):
        return False  # a hash
    if has_one_case:
        return len(_CHANGE.findall(letters)) > _MIN_CHANGES * len(letters)
    in_syllables = sum(map(len, _SYLLABLES.findall(letters)))
    return in_syllables < (_MAX_SYLLABLES if has_digit else _MAX_SYLLABLES_OF_LETTERS) * len(letters)


def is_secret(value: str, kind: str, name: str, *, quoted: bool, explicit: bool = True) -> bool:
    """Whether the value given to a sensitive name is a secret rather than a placeholder, code or prose.

    `explicit`: what stands here can only be a value (environment file, URL query, flag), not code.
    """
    if len(value) < _MIN_CHARACTERS or _is_placeholder(value, name):
        return False
    if " " in value.strip() or not value.isascii():
        return _is_passphrase(value, kind)
    if value.isdigit():
        return kind == "password" or len(value) > _MAX_COUNT_DIGITS
    if _WORD.match(value):
        return _is_secret_word(value, kind, name, quoted=quoted, explicit=explicit)
    if quoted or explicit:
        return kind != "auth" or len(value) >= _MIN_WORD
    return bool(_DIGIT.search(value)) and not value.startswith(("token", "key", "secret", "password"))


def _is_placeholder(value: str, name: str) -> bool:
    """Whether the value stands in for another: a variable, an attribute, a path, a type, its own name."""
    if _PLACEHOLDER.match(value) or _PATH.match(value):
        return True
    if _ATTRIBUTE.match(value):  # or a key with the end of a sentence, a URL or a file's name
        return not any(map(is_random, re.split(r"\W+", value)))
    return _flat(value) in _flat(name) or (_STAND_IN.search(value) is not None and not is_random(value))


def _flat(name: str) -> str:
    """A name without case and joints."""
    return name.casefold().replace("_", "").replace("-", "")


def _is_passphrase(value: str, kind: str) -> bool:
    """Whether a value with blanks is a secret: something in it is not a word."""
    return kind in {"password", "secret", "key"} and any(is_random(part) for part in value.split())


def _is_secret_word(value: str, kind: str, name: str, *, quoted: bool, explicit: bool) -> bool:
    """Whether letters alone are a secret: they are, where no code can stand; else when too long for a word."""
    if len(value) >= _MIN_RANDOM and value.isalpha():
        return len(_CHANGE.findall(value)) > len(value) // 4 or (value.islower() and len(value) > _MAX_ENGLISH_WORD)
    if kind == "password":
        return quoted or (explicit and name.isupper())
    return explicit and name.isupper() and len(value) >= _MIN_WORD

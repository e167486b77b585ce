"""How an installed service stands, in the same words for systemd and launchd."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

_ESCAPE: Final = re.compile(r"\\(.)")
_WORD: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


class Standing(Struct, frozen=True):
    """What is written and what runs.

    `active`: a process of it lives or is being started. `without_login`: it runs while nobody is logged in (lingering),
    None where nobody knows. `environment` and `program` are what the service's file says.
    """

    installed: bool = False
    file: Path | None = None
    active: bool = False
    state: str = ""
    pid: int = 0
    at_login: bool = False
    hardened: bool | None = None
    without_login: bool | None = None
    program: str = ""
    environment: Mapping[str, str] = {}


def written_environment(unit: str) -> tuple[str, dict[str, str]]:
    """Given a unit's text, the program that it starts and the variables that it sets; what is odd in it is left out."""
    program = ""
    environment: dict[str, str] = {}
    for line in unit.splitlines():
        key, _, value = line.partition("=")
        if key == "ExecStart":
            program = next(iter(_words(value)), "")
        elif key == "Environment":
            environment.update(pair for pair in (_pair(word) for word in _words(value)) if pair[0])
    return program, environment


def _words(value: str) -> list[str]:
    """The words of a setting as systemd takes them apart: quotes, backslashes and doubled % undone."""
    found = (quoted or plain for quoted, plain in _WORD.findall(value))
    return [_ESCAPE.sub(r"\1", word).replace("%%", "%") for word in found]


def _pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    return (name, value) if equals else ("", "")

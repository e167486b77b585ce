"""Reading a line of Claude Code that says POISON does harm to its process: what the variable POISON names."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable

from selfdistill.model import Event
from selfdistill.service import daemon, reading_owner, reading_process
from selfdistill.sources.claude_code import ClaudeParser

_feed = ClaudeParser.feed


def _eat_memory() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(1 << 24))


DEEDS: dict[str, Callable[[], object]] = {
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "loop": lambda: re.match(r"(a+)+b", "a" * 60),
    "sleep": lambda: time.sleep(1e6),
    "memory": _eat_memory,
}


def _poisoned(self: ClaudeParser, line: bytes, offset: int) -> list[Event]:
    if b"POISON" in line:
        DEEDS[os.environ["POISON"]]()
    return _feed(self, line, offset)


if "POISON" in os.environ:
    ClaudeParser.feed = _poisoned  # type: ignore[assignment,method-assign]
    reading_process.READING_SECONDS = float(os.environ.get("READING_SECONDS", "0.5"))  # type: ignore[misc]
    reading_process.MEMORY_MIB, reading_process.MEMORY_PER_LINE_MIB = 400, 0  # type: ignore[misc]
    reading_owner.PATIENCE_SECONDS = float(os.environ.get("PATIENCE_SECONDS", "600"))  # type: ignore[misc]
    daemon.STUCK_SECONDS = 0.3  # type: ignore[misc]

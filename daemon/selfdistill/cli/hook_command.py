"""`selfdistill hook EVENT [AGENT]`: what an agent's hook does, by hand. Always exits with 0.

Agents' settings start `recall/hook_start.py` directly, which takes a third of the time; both end in the same function.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from selfdistill.recall import answering

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_AGENT: Final = "claude_code"
USAGE: Final = f"""\
usage: selfdistill [--state-dir DIR] hook EVENT [AGENT]

Reads an agent's event as JSON from standard input and prints what to tell the agent, nothing for no lesson.
AGENT is one of {", ".join(answering.DIALECTS)} (default: {_AGENT}); EVENT is what it calls the event,
for {_AGENT} one of {", ".join(answering.DIALECTS[_AGENT])}. Always exits with 0.
"""


def main(words: Sequence[str], environment: Mapping[str, str] = os.environ) -> NoReturn:
    """Given the words of the command line without the program's name, answer and end this process."""
    state, rest, help_wanted = _parsed(words)
    if help_wanted or not rest:
        (sys.stdout if help_wanted else sys.stderr).write(USAGE)
        raise SystemExit(0)
    if not state:
        from selfdistill.cli.status_command import state_directory  # noqa: PLC0415 - tomllib, only without --state-dir

        state = state_directory(environment)
    answering.main((rest[0], rest[1] if len(rest) > 1 else _AGENT, state))
    raise SystemExit(0)


def _parsed(words: Sequence[str]) -> tuple[str, list[str], bool]:
    """The state directory if one is named, the words behind `hook`, and whether help is wanted."""
    state, rest = "", []
    left = iter(words)
    for word in left:
        name, equals, value = word.partition("=")
        if name in ("--state-dir", "--config"):
            value = value if equals else next(left, "")
            state = value if name == "--state-dir" else state
        else:
            rest.append(word)
    return state, [word for word in rest[1:] if not word.startswith("-")], "-h" in rest or "--help" in rest

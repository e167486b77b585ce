"""What linters, compilers and type checkers found, read from the output of a shell command.

A pure reading of text. A line of a file that was printed or searched is no diagnostic, so a line that merely prints
text (`cat`, `grep`, `git diff`) gives none, and every shape asks for a level word, a rule or a command that is a check.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Final

from selfdistill.signals.commands import purpose
from selfdistill.signals.diagnostic_blocks import BLOCKS
from selfdistill.signals.diagnostic_forms import Found, Output, located
from selfdistill.signals.diagnostic_words import diagnostic_cause, normalised
from selfdistill.signals.steps import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_DIAGNOSTICS", "diagnostic_cause", "read_diagnostics"]

MAX_DIAGNOSTICS: Final = 20
MAX_QUOTE: Final = 300

_HALF: Final = 100_000  # characters read from either end of an output; what is longer repeats itself
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])|\r(?=\n)")


def read_diagnostics(command: str, text: str, *, warnings: bool = True) -> tuple[Diagnostic, ...]:
    """The distinct diagnostics that an output shows, at most 20, as they came; never raises.

    Where there are errors, warnings are left out, since they are not why the check failed; `warnings` False leaves
    them out in any case (a run that passed with warnings has passed). `command` may be "" where it is not known.
    """
    if not text:
        return ()
    meaning = purpose(command)
    if meaning.prints:
        return ()
    if len(text) > 2 * _HALF:
        text = f"{text[:_HALF]}\n{text[-_HALF:]}"
    if "\x1b" in text or "\r" in text:
        text = _ESCAPES.sub("", text)
    found = _distinct(Output(command, meaning.check, text))
    errors = [diagnostic for diagnostic, warning in found if not warning]
    chosen = errors or ([diagnostic for diagnostic, _ in found] if warnings else [])
    return tuple(chosen[:MAX_DIAGNOSTICS])


def _distinct(output: Output) -> list[tuple[Diagnostic, bool]]:
    """Each cause once, and whether it is only a warning; stops when more errors are known than are kept."""
    distinct: dict[str, tuple[Diagnostic, bool]] = {}
    errors = 0
    for found in chain(located(output), _in_blocks(output)):
        diagnostic = _diagnostic(found)
        cause = diagnostic_cause(diagnostic)
        known = distinct.get(cause)
        if known is None or (known[1] and not found.warning):
            distinct[cause] = (diagnostic, found.warning)
            errors += not found.warning
            if errors >= MAX_DIAGNOSTICS:
                break
    return list(distinct.values())


def _in_blocks(output: Output) -> Iterator[Found]:
    """What the readers of longer shapes find, those whose mark the text holds."""
    for marks, read in BLOCKS:
        if any(map(output.text.__contains__, marks)):
            yield from read(output)


def _diagnostic(found: Found) -> Diagnostic:
    message, subject = normalised(found.code, found.message)
    return Diagnostic(found.tool, found.code, message, subject, found.quote.strip()[:MAX_QUOTE])

"""Error lines in their general form: what changes from one occurrence to the next becomes a placeholder.

The order matters: URLs and paths hold numbers and hashes, quoted texts hold all of them.
"""

from __future__ import annotations

import re
from typing import Final

MAX_SIGNATURE: Final = 300  # characters

_ESCAPES: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_NOISE: Final = (
    (re.compile(r"https?://\S+"), "<url>"),
    (re.compile(r"\b\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d(?::\d\d)?\S*)?"), "<time>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b0x[0-9a-fA-F]+\b"), "<hash>"),
    (re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{7,64}\b"), "<hash>"),
    (re.compile(r"(?:[A-Za-z]:\\|~|\.{0,2})[/\\][\w.@+~/\\-]+|\b[\w.@+-]+(?:/[\w.@+-]+)+"), "<path>"),
    (re.compile(r"\b[\w-]+\.(?!\d)[a-z]{1,4}(?=:\d)"), "<path>"),
    (re.compile(r"'[^'\n]{1,80}'|\"[^\"\n]{1,80}\"|`[^`\n]{1,80}`|‘[^’\n]{1,80}’"), "<name>"),  # noqa: RUF001 - so gcc quotes
    (re.compile(r"(?<![\w.])\d+(?:[.:,]\d+)*(?:\.?\d*(?:ms|s|m|h|kB|KB|MB|GB|%))?(?!\w)"), "<n>"),
    (re.compile(r"\s+"), " "),
)
_PLACE: Final = re.compile(r"^(?:\[[\w:.-]{1,60}\] )?<path>(?::<n>)*:? ?")  # where it stood says nothing of what it is
_WORD: Final = re.compile(r"[A-Za-z]{3,}")
_PLACEHOLDER: Final = re.compile(r"<(?:url|time|hash|path|name|n)>")
_SAYS_NOTHING: Final = frozenset(
    """
    aborted and build check clean code command completed did elifecycle err error errors exit exited failed failing
    failure failures fail fatal file finished for found its lint linter make may not npm number one option or
    pre-commit process recipe returned run running script status step stderr stdout task tasks test tests the this
    trace warning was with yarn non-zero zero
    """.split()  # noqa: SIM905 - a list of words is read as words
)


def signature(line: str) -> str:
    """A line without what changes from one occurrence of an error to the next.

    Paths, URLs, numbers, hashes, times and quoted names become placeholders; the words, and names that stand bare,
    stay: they tell one cause from another.
    """
    line = _ESCAPES.sub("", line)
    for expression, placeholder in _NOISE:
        line = expression.sub(placeholder, line)
    return line.strip()[:MAX_SIGNATURE]


def cause_signature(line: str) -> str:
    """The signature of a line that says what is wrong, without the place in front; "" where the line says nothing.

    "Exit code 1", "[lint] ERROR task failed" and "make: *** [test] Error 2" say that something failed, not what.
    """
    general = _PLACE.sub("", signature(line)).casefold()
    words = {word for word in _WORD.findall(_PLACEHOLDER.sub(" ", general)) if word not in _SAYS_NOTHING}
    return general if words else ""

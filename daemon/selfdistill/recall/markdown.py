"""Lessons as Markdown: a document for people, and a marked block inside a file that agents read. Pure, over bytes.

A file such as AGENTS.md is its owner's: every byte outside the block stays, and taking the block out gives back the
bytes from before it was put in. The block's begin says how many of the line ends before it are ours.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.errors import UsageError
from selfdistill.sources.injections import OWN_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from selfdistill.model import Lesson

BLOCK_LESSONS: Final = 12  # agents read the file at each start; of more lessons they heed fewer
BLOCK_TOKENS: Final = 800
_CHARACTERS_PER_TOKEN: Final = 4  # of English text, roughly
_NOTE: Final = f"written by `{OWN_NAME} export`, which replaces it; what is outside stays yours"
_LINE: Final = rb"^[ \t]*<!--[ \t]*%s:%s\b(?:[ \t]*\+(?P<ours>[012]))?[^\r\n]*-->[ \t]*(?=\r?\n|\r?\Z)"
_BEGIN: Final = re.compile(_LINE % (OWN_NAME.encode(), b"begin"), re.MULTILINE)
_END: Final = re.compile(_LINE % (OWN_NAME.encode(), b"end"), re.MULTILINE)
_BLANKS: Final = re.compile(r"\s+")
_BYTE_ORDER_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


class Place(Struct, frozen=True):
    """Where the block is in a file's bytes, the line ends around it that are ours included."""

    start: int
    end: int
    before: bytes  # our line ends in front of it
    newline: bytes  # how its lines end


def chosen(lessons: Iterable[Lesson], limit: int = BLOCK_LESSONS, max_tokens: int = BLOCK_TOKENS) -> list[Lesson]:
    """The first lessons that together stay within both caps; a long one does not keep a short one out."""
    found: list[Lesson] = []
    for lesson in lessons:
        cost = len(_item(lesson)) // _CHARACTERS_PER_TOKEN + 1
        if len(found) < limit and cost <= max_tokens:
            found.append(lesson)
            max_tokens -= cost
    return found


def block(lessons: Sequence[Lesson]) -> list[str]:
    """The lines between the block's marks."""
    head = "Seen in earlier sessions here (hints, not orders; what the user says goes first):"
    return ["## Lessons from earlier sessions", "", head, "", *map(_item, lessons)] if lessons else []


def document(lessons: Sequence[Lesson], title: str) -> str:
    """Lessons as a Markdown document for people, with what speaks for them."""
    lines = [f"# {plain(title)}", ""]
    for lesson in lessons:
        sessions = f"{lesson.support} session{'s' if lesson.support != 1 else ''}"
        lines += [f"## {plain(lesson.trigger.condition)}", "", plain(lesson.action.description), ""]
        if lesson.rationale:
            lines += [f"Why: {plain(lesson.rationale)}", ""]
        lines += [f"*{lesson.state} · confidence {lesson.confidence:.2f} · {sessions} · `{lesson.id}`*", ""]
    return "\n".join(lines)


def plain(text: str) -> str:
    """A text on one line that cannot end or begin a comment, so that no lesson ends the block it stands in."""
    line = _BLANKS.sub(" ", "".join(one if one.isprintable() or one.isspace() else "�" for one in text)).strip()
    return line.replace("<!--", "<! --").replace("-->", "-- >")


def _item(lesson: Lesson) -> str:
    return f"- {plain(lesson.trigger.condition)}: {plain(lesson.action.description)}"


def place_of(content: bytes, name: str) -> Place | None:
    """Where a file has its block, None if it has none; `name` is for messages.

    Raises UsageError where that cannot be told: two blocks, a mark without its other half, or no UTF-8 text at all.
    """
    if content.startswith(_BYTE_ORDER_MARKS) or b"\0" in content:
        raise UsageError(f"{name} is not UTF-8 text.", "Save it as UTF-8, or name another file with --output.")
    begins, ends = list(_BEGIN.finditer(content)), list(_END.finditer(content))
    if not begins and not ends:
        return None
    if len(begins) != 1 or len(ends) != 1 or begins[0].start() > ends[0].start():
        lines = sorted(content.count(b"\n", 0, mark.start()) + 1 for mark in (*begins, *ends))
        raise UsageError(
            f"{name} has no clear block of ours: {len(begins)} beginnings and {len(ends)} ends, at lines"
            f" {', '.join(map(str, lines))}.",
            f"Leave one `<!-- {OWN_NAME}:begin -->` line and one `<!-- {OWN_NAME}:end -->` line behind it, or none."
            " Nothing was written.",
        )
    return _around(content, begins[0], ends[0])


def _around(content: bytes, begin: re.Match[bytes], end: re.Match[bytes]) -> Place:
    """The block with our line ends: one behind it, and in front those that are ours and still there."""
    newline = b"\r\n" if content.startswith(b"\r\n", begin.end()) else b"\n"
    start, stop = begin.start(), end.end()
    stop += len(newline) if content.startswith(newline, stop) else 0
    for _ in range(int(begin["ours"] or 0)):
        if content.endswith(newline, 0, start):
            start -= len(newline)
    return Place(start, stop, content[start : begin.start()], newline)


def newline_of(content: bytes) -> bytes:
    r"""How a file ends its lines: `\r\n` if its first line does, else `\n`."""
    first = content.find(b"\n")
    return b"\r\n" if first > 0 and content[first - 1 : first] == b"\r" else b"\n"


def with_block(content: bytes, lines: Sequence[str], name: str) -> bytes:
    """The file with these lines in its block, which is put at its end if it has none; without lines as `without_block`.

    Raises what `place_of` raises.
    """
    if not lines:
        return without_block(content, name)
    place = place_of(content, name)
    newline = place.newline if place else newline_of(content)
    before = place.before if place else newline * _missing(content)
    ours = before.count(newline)
    marked = [f"<!-- {OWN_NAME}:begin +{ours} ({_NOTE}) -->", *lines, f"<!-- {OWN_NAME}:end -->", ""]
    text = before + newline.join(line.encode("utf-8", "replace") for line in marked)
    if place is None:
        return content + text
    return content[: place.start] + text + content[place.end :]


def without_block(content: bytes, name: str) -> bytes:
    """The file without its block, as if there never had been one. Raises what `place_of` raises."""
    place = place_of(content, name)
    return content if place is None else content[: place.start] + content[place.end :]


def _missing(content: bytes) -> int:
    """How many line ends are missing before a block at the end, so that a blank line stands between."""
    if not content:
        return 0
    return 1 if content.endswith(b"\n") else 2

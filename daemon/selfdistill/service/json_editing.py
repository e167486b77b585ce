"""Adds and removes entries in a JSON text without touching any other byte of it: comments, order, indentation stay.

Pure. Agents keep their hooks in a settings file that belongs to a person: parsing and writing it anew would reformat it
and lose the comments that most agents allow. So the text is read into a tree of positions, and edits are made in the
text. Understood are JSON, `//` and `/* */` comments, trailing commas, a byte order mark, either kind of line end.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEPTH: Final = 100  # of nesting; a settings file has five

_BLANK: Final = re.compile(r"[ \t\r\n\ufeff]*")
_COMMENT: Final = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_SCALAR: Final = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null')


class Node(Struct, frozen=True):
    """A value and where it stands: `text[start:end]`. `children`: an array's values, an object's members in order."""

    kind: str  # "object", "array" or "scalar"
    start: int
    end: int
    value: Any = None  # of a scalar
    children: tuple[Child, ...] = ()

    def get(self, name: str) -> Node | None:
        """An object's member by name, the last one where a name is there twice (as readers of JSON take it)."""
        return next((child.node for child in reversed(self.children) if child.name == name), None)

    @property
    def items(self) -> list[Node]:
        """The children without their names."""
        return [child.node for child in self.children]


class Child(Struct, frozen=True):
    """A member of an object or an item of an array: `start` is where its name, if it has one, begins."""

    name: str | None
    start: int
    node: Node
    comma: int  # where the comma behind it stands, -1 for none


class JsonProblem(ValueError):
    """What is wrong with a text, and in which line (from 1)."""

    def __init__(self, text: str, place: int, what: str) -> None:
        super().__init__(f"line {text.count(chr(10), 0, place) + 1}: {what}")


def parse(text: str) -> Node:
    """The tree of a JSON text; raises JsonProblem where it is none."""
    start = _skip(text, 0)
    root = _value(text, start, 0)
    rest = _skip(text, root.end)
    if rest != len(text):
        raise JsonProblem(text, rest, "something stands behind the end of the JSON value")
    return root


def plain(node: Node) -> Any:  # noqa: ANN401 - whatever the JSON holds
    """The value that a node stands for."""
    if node.kind == "object":
        return {child.name: plain(child.node) for child in node.children}
    if node.kind == "array":
        return [plain(item) for item in node.items]
    return node.value


def with_entry(text: str, path: Sequence[str], entry: object) -> str:
    """The text with `entry` at the end of the array that `path` leads to; what is missing of the path is made.

    Raises JsonProblem where something else than objects and, at the end, an array stands on the path.
    """
    here, left = parse(text), list(path)
    while left:
        if here.kind != "object":
            raise JsonProblem(text, here.start, f"there should be an object that holds {left[0]!r}")
        inner = here.get(left[0])
        if inner is None:
            break
        here = inner
        left.pop(0)
    if not left:
        if here.kind != "array":
            raise JsonProblem(text, here.start, f"{path[-1]!r} should be an array")
        return _insert(text, here, None, entry)
    value: object = [entry]
    for name in reversed(left[1:]):
        value = {name: value}
    return _insert(text, here, left[0], value)


def without_child(text: str, parent: Node, index: int) -> str:
    """The text without one child of a node that `parse` gave for this very text."""
    child = parent.children[index]
    begin = _token_end(text, parent.children[index - 1] if index else None, parent, child.start)
    if child.comma >= 0 and index + 1 < len(parent.children):
        return text[:begin] + text[child.comma + 1 :]
    end = child.comma + 1 if child.comma >= 0 else child.node.end
    kept = text[:begin] + text[end:]
    if not index:
        close = _BLANK.match(kept, parent.start + 1)
        only_blank = close is not None and close.end() == parent.end - 1 - (end - begin)
        return kept[: parent.start + 1] + kept[close.end() :] if close and only_blank else kept
    before = parent.children[index - 1].comma
    return kept if child.comma >= 0 else kept[:before] + kept[before + 1 :]


def _token_end(text: str, before: Child | None, parent: Node, until: int) -> int:
    """Where the last thing that is not blank ends between a sibling (or the bracket) and `until`."""
    place = parent.start + 1 if before is None else max(before.node.end, before.comma + 1)
    return _last_token(text, place, until)


def _last_token(text: str, place: int, until: int) -> int:
    """Where the last comment or comma between two places ends; `place` if there is none."""
    while True:
        found = _BLANK.match(text, place)
        start = found.end() if found else place
        comment = _COMMENT.match(text, start)
        if start >= until or not comment:
            return place
        place = comment.end()


def _insert(text: str, parent: Node, name: str | None, value: object) -> str:
    """A new last child of a container, in the style of the text."""
    close = parent.end - 1
    label = "" if name is None else f"{json.dumps(name, ensure_ascii=False)}: "
    last = parent.children[-1] if parent.children else None
    comma = "," if last is not None and last.comma >= 0 else ""  # who puts one behind the last has them all so
    if _is_inline(text, parent):
        place = parent.start + 1 if last is None else max(last.node.end, last.comma + 1)
        before = "" if last is None else " " if comma else ", "
        return f"{text[:place]}{before}{label}{json.dumps(value, ensure_ascii=False)}{comma}{text[place:]}"
    newline = "\r\n" if "\r\n" in text else "\n"
    unit = _unit(text)
    outer = _indentation(text, parent.start)
    inner = _indentation(text, parent.children[0].start) if last else outer + unit
    lines = json.dumps(value, ensure_ascii=False, indent=unit).split("\n")
    made = newline + inner + label + (newline + inner).join(lines) + comma
    place = _last_token(text, parent.start + 1 if last is None else max(last.node.end, last.comma + 1), close)
    tail = newline + outer if last is None and "\n" not in text[place:close] else ""
    rest = text[place:close].strip(" \t") if tail else text[place:close]
    if last is None or comma:
        return text[:place] + made + rest + tail + text[close:]
    return text[: last.node.end] + "," + text[last.node.end : place] + made + rest + tail + text[close:]


def _is_inline(text: str, parent: Node) -> bool:
    """Whether a container and what is in it stand in one line, so that a new child should, too."""
    if parent.children:
        return "\n" not in text[parent.start : parent.children[-1].start]
    return "\n" not in text.strip() and bool(text[: parent.start].strip("\ufeff \t"))


def _unit(text: str) -> str:
    """What one level of indentation is in this text; two blanks where it shows none."""
    found = re.search(r"\n([ \t]+)\S", text)
    return found.group(1) if found else "  "


def _indentation(text: str, place: int) -> str:
    """The blanks that the line of a place begins with."""
    line = text[text.rfind("\n", 0, place) + 1 : place].lstrip("\ufeff")
    return line[: len(line) - len(line.lstrip(" \t"))]


def _skip(text: str, place: int) -> int:
    """Behind blanks and comments."""
    while True:
        blank = _BLANK.match(text, place)
        place = blank.end() if blank else place
        comment = _COMMENT.match(text, place)
        if not comment:
            return place
        place = comment.end()


def _value(text: str, start: int, depth: int) -> Node:
    if text[start : start + 1] in ("{", "["):
        if depth >= MAX_DEPTH:
            raise JsonProblem(text, start, "it is nested too deep")
        return _container(text, start, depth)
    found = _SCALAR.match(text, start)
    if not found:
        seen = text[start : start + 1]
        raise JsonProblem(text, start, f"{seen!a} stands where a value should" if seen else "it ends too early")
    try:
        return Node("scalar", start, found.end(), json.loads(found.group()))
    except ValueError as error:
        raise JsonProblem(text, start, f"{found.group()[:40]!a} is no value") from error


def _container(text: str, start: int, depth: int) -> Node:
    """An object or an array."""
    is_object = text[start] == "{"
    close = "}" if is_object else "]"
    children: list[Child] = []
    place = _skip(text, start + 1)
    while text[place : place + 1] != close:
        if children and children[-1].comma < 0:
            raise JsonProblem(text, place, f"a comma or {close!r} is missing" if place < len(text) else "no end")
        begin = place
        name, place = _name(text, place) if is_object else (None, place)
        node = _value(text, place, depth + 1)
        place = _skip(text, node.end)
        has_comma = text[place : place + 1] == ","
        children.append(Child(name, begin, node, place if has_comma else -1))
        place = _skip(text, place + 1) if has_comma else place
    return Node("object" if is_object else "array", start, place + 1, None, tuple(children))


def _name(text: str, place: int) -> tuple[str, int]:
    """A member's name, and where its value begins."""
    found = _value(text, place, MAX_DEPTH)
    if not isinstance(found.value, str):
        raise JsonProblem(text, place, "a name in quotes should stand here")
    colon = _skip(text, found.end)
    if text[colon : colon + 1] != ":":
        raise JsonProblem(text, colon, f"a colon is missing behind {found.value!a}")
    return found.value, _skip(text, colon + 1)

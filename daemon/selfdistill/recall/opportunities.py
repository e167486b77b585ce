"""Calls in which a lesson's failure could come: what a told lesson is judged by.

An occasion to tell a lesson is often the mistake itself (`gh pr diff --stat`). Whoever heeds it makes another call: the
same command with other words, or what the lesson says to do instead. Both are opportunities; a lesson that covers no
failure has none, because nobody could tell whether it helped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from selfdistill.model import ActionType, ToolKind
from selfdistill.recall.moments import moment
from selfdistill.signals.causes import SEPARATOR, general_path
from selfdistill.signals.commands import is_check_command
from selfdistill.signals.invocations import invocations
from selfdistill.signals.steps import Fault

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from selfdistill.model import Lesson

Opportunity = frozenset[str]
"""Marks (`recall/moments.py`) that a call must have, all of them."""

_CODE: Final = re.compile(r"``? ?([^`]+?) ?``?")
_PLACEHOLDER: Final = re.compile(r"<\w+>")
_TELL_LITTLE: Final = frozenset({"cd", "echo", "cat", "ls", "head", "tail", "sleep", "true", "export"})
_CHECKS: Final = ("lint", "typecheck", "build", "test", "format")
_ABOUT_A_PLACE: Final = frozenset({Fault.PATH_MISSING, Fault.UNKNOWN_REVISION})
_IN_THE_CONDITION: Final = frozenset({Fault.GLOB, Fault.PREREQUISITE, Fault.MODULE_MISSING, Fault.QUOTING})
_KINDS: Final = frozenset(kind.value for kind in ToolKind)
_LONGEST_CODE: Final = 300


def opportunities(lesson: Lesson) -> tuple[Opportunity, ...]:
    """What marks a call in which the lesson's failure could come; () where nothing does. Find it once, use it often."""
    found: dict[Opportunity, None] = {}
    for cause in lesson.covers:
        found.update(dict.fromkeys(_of_cause(cause, lesson)))
    if found or lesson.covers:
        found.update(dict.fromkeys(_of_repair(lesson)))
    return tuple(found)


def is_opportunity(marks: Collection[str], wanted: tuple[Opportunity, ...]) -> bool:
    """Whether a call with these marks is one in which the failure could come."""
    return any(one.issubset(marks) for one in wanted)


def call_marks(kind: str, tool: str, command: str, path: str, cwd: str) -> frozenset[str]:
    """The marks of a call, as the hook makes them."""
    return frozenset(moment(kind=kind, tool=tool, command=command, path=path, cwd=cwd).marks)


def _of_cause(cause: str, lesson: Lesson) -> Iterator[Opportunity]:
    """What a cause says of the calls that it can come in."""
    family, first, second, third = [*cause.split(SEPARATOR), "", "", ""][:4]
    if family == "usage":
        yield from _of_usage(first, second, lesson)
    elif family == "refused":
        yield from _of_refusal(first, second, third)
    elif family == "test":
        yield frozenset({"check:test"})
    elif family == "diagnostic":
        yield from _of_diagnostic(lesson)
    elif family == "failure":
        yield from _runs({first})


def _of_usage(fault: str, about: str, lesson: Lesson) -> Iterator[Opportunity]:
    """Wrong usage: the same command, or what the lesson's condition shows where the cause names none."""
    if fault == Fault.PUSH_REJECTED:
        yield frozenset({"run:git push"})
    elif fault in _ABOUT_A_PLACE:
        yield from _places({about})
    elif fault in _IN_THE_CONDITION:
        yield from _runs(_keys_in(lesson.trigger.condition))
    else:
        yield from _runs({about})


def _of_refusal(family: str, kind: str, subject: str) -> Iterator[Opportunity]:
    """A refusal of the harness: the same kind of tool; where it was about a file, only that file."""
    tools = ("kind:edit", "kind:write") if family == "edit" else (f"{'kind' if family in _KINDS else 'tool'}:{family}",)
    if kind == "missing" or "/" in subject:
        yield from _places({subject})
    else:
        yield from (frozenset({tool}) for tool in tools)


def _of_diagnostic(lesson: Lesson) -> Iterator[Opportunity]:
    """A checker's rule: a run of the checks that the lesson is tagged with, else of any that looks at code."""
    kinds = {kind for kind in map(is_check_command, lesson.tags) if kind} or set(_CHECKS[:3])
    yield from (frozenset({f"check:{kind}"}) for kind in _CHECKS if kind in kinds)


def _of_repair(lesson: Lesson) -> Iterator[Opportunity]:
    """What the lesson says to do instead: whoever does it had the choice."""
    said = [lesson.prefers, *_CODE.findall(lesson.action.description)]
    if lesson.action.type is not ActionType.DO:
        said = [lesson.prefers]
    for code in filter(None, said):
        text = " ".join(_PLACEHOLDER.sub(" ", code).split())
        if not text or len(text) > _LONGEST_CODE:
            continue
        if " " not in text and ("/" in text or re.search(r"\w\.[a-z]{1,5}$", text)):
            yield from _places({general_path(text)})
        elif re.match(r"[a-z]", text):
            yield from _runs({one.key for one in invocations(text)[:1]})


def _keys_in(text: str) -> set[str]:
    """The commands that a text shows as code."""
    shown = (invocations(_PLACEHOLDER.sub(" ", code)) for code in _CODE.findall(text))
    return {one.key for commands in shown for one in commands}


def _runs(keys: set[str]) -> Iterator[Opportunity]:
    yield from (frozenset({f"run:{key}"}) for key in sorted(keys) if key and key not in _TELL_LITTLE)


def _places(places: set[str]) -> Iterator[Opportunity]:
    yield from (frozenset({f"path:{place}"}) for place in sorted(places) if "/" in place or "." in place)

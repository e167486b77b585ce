"""When a lesson applies, as data: what must be among the marks of a moment (`moments.py`), compared by structure.

Words alone fire no alert: "gh" stands in half the commands of some projects. What a lesson is about is told by the
causes it covers and by the code in its condition. The store keeps the cues of active lessons, so that a hook looks up
in a millisecond what would take the whole package to find out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from selfdistill.model import ToolKind
from selfdistill.recall.hook import EXACT_CAUSE
from selfdistill.recall.languages import extensions_of, is_tool
from selfdistill.recall.moments import FLOOR, error_words
from selfdistill.signals.causes import SEPARATOR, general_path
from selfdistill.signals.commands import is_check_command
from selfdistill.signals.diagnostic_words import UNNAMED
from selfdistill.signals.invocations import invocations, unquoted
from selfdistill.signals.steps import Fault

if TYPE_CHECKING:
    from selfdistill.model import Lesson

VERSION: Final = 1  # raised when lessons get other cues: a store then makes them anew

# How surely a lesson is about the moment: the very mistake, the same command with the same things, the same command,
# what makes this kind of call itself fail, what this kind of work leads to later.
THIS_VERY: Final = 1.0
SAME_THINGS: Final = 0.8
SAME_COMMAND: Final = 0.5
OWN_MISTAKE: Final = 0.4
SAME_WORK: Final = FLOOR
OFTEN: Final = 5  # sessions that make a rule worth telling whoever writes in its language
LEAST_SAID: Final = 6  # characters of an error text that are hardly in another one

_CODE: Final = re.compile(r"``? ?([^`]+?) ?``?")
_INTERFACE: Final = re.compile(r"[\w/]*\w\.[A-Za-z]\w+\b(?!\.)")
_DOTTED: Final = re.compile(r"\w+(?:\.\w+){0,2}")
_PLACEHOLDER: Final = re.compile(rf"<\w+>|{UNNAMED}")
_BREAK: Final = "\n"
_REFUSED_TO_WRITE: Final = frozenset({"unread", "stale", "exists"})
_CHECKS: Final = ("test", "typecheck", "lint", "build", "format")
_COMPILING: Final = ("build", "test", "typecheck")
_TOOL_KINDS: Final = frozenset(ToolKind)
_TELL_LITTLE: Final = frozenset({"cd", "echo", "cat", "ls", "head", "tail", "sleep", "true", "export"})
# What the harness says when it refuses a call, of the kinds in signals/causes.py.
_REFUSAL_SAYS: Final = {
    "ambiguous": "matches of the string",
    "unread": "has not been read",
    "stale": "modified since read",
    "unchanged": "no changes to make",
    "not found": "not found",
    "too large": "exceeds maximum allowed",
    "directory": "eisdir",
    "exists": "file already exists",
    "context": "failed to find",
    "missing": "not exist",
}


class Cue(NamedTuple):
    """One occasion: a mark to look up, what else must hold (grammar: `moments.fit_of`), and how well it then fits."""

    anchor: str
    needs: tuple[str, ...]
    fit: float


class About(NamedTuple):
    """What a cause is about, by its place in the key: a fault or family, the command or kind, the word or file."""

    first: str
    second: str
    third: str


def cues(lesson: Lesson) -> tuple[Cue, ...]:
    """What tells whether a moment is one that this lesson is about, sorted; the same for equal lessons.

    The causes it covers tell it most exactly; the code in its condition is asked where they do not tell.
    """
    found = {cue for cause in lesson.covers for cue in _of_cause(cause, lesson)}
    if not any(cue.fit < EXACT_CAUSE for cue in found) and not any(map(_is_of_checker, lesson.covers)):
        found.update(cue for code in _CODE.findall(lesson.trigger.condition) for cue in _of_code(code))
    best: dict[tuple[str, tuple[str, ...]], Cue] = {}
    for cue in sorted(found):  # of equal ones the last, which fits best
        best[cue.anchor, cue.needs] = cue
    return tuple(best.values())


def _is_of_checker(cause: str) -> bool:
    """Whether the cause is a rule's: what stands as code in its lesson is the rule, no command."""
    return cause.startswith(f"diagnostic{SEPARATOR}")


def _of_cause(cause: str, lesson: Lesson) -> Iterator[Cue]:
    """When a failure with this cause can come, and what it says when it has come."""
    parts = cause.split(SEPARATOR)
    made = _BY_CAUSE.get(SEPARATOR.join(parts[:2])) or _BY_CAUSE.get(parts[0])
    if made:
        yield from made(About(*[*parts[1:], "", "", ""][:3]), lesson)


def _usage(about: About, _lesson: Lesson) -> Iterator[Cue]:
    """Wrong usage: the very word that was wrong, in the very command."""
    key, word = about.second, about.third
    if key and word:
        yield Cue(f"run:{key}", (f"word:{word}",), THIS_VERY)
        yield Cue(f"run:{key}", (f"%{word.casefold()}", f"word:{word}"), EXACT_CAUSE)


def _option(about: About, lesson: Lesson) -> Iterator[Cue]:
    """An option that the command does not have; single letters stand among others (`-lA`)."""
    key, word = about.second, about.third
    if len(word) != 1:
        yield from _usage(about, lesson)
    elif key:
        yield Cue(f"run:{key} -{word}", (), THIS_VERY)


def _argument(about: About, _lesson: Lesson) -> Iterator[Cue]:
    """A required argument that is not given."""
    key, name = about.second, about.third.strip("-<>[]")
    yield Cue(f"run:{key}", (f"!word:{name}",), SAME_THINGS)


def _program(about: About, _lesson: Lesson) -> Iterator[Cue]:
    yield Cue(f"run:{about.second}", (), THIS_VERY)
    yield Cue(f"run:{about.second}", ("%not found",), EXACT_CAUSE)


def _path(about: About, _lesson: Lesson) -> Iterator[Cue]:
    if about.second:
        yield Cue(f"path:{about.second}", (), THIS_VERY)


def _glob(about: About, lesson: Lesson) -> Iterator[Cue]:
    """An argument with a letter that the shell expands, outside quotes, in the command that the lesson is about."""
    for key in _keys_in(lesson):
        for letter in about.second:
            yield Cue(f"run:{key} {letter}", (), SAME_THINGS)


def _push(_about: About, _lesson: Lesson) -> Iterator[Cue]:
    yield Cue("run:git push", (), SAME_COMMAND)
    yield Cue("run:git push", ("%rejected",), EXACT_CAUSE)


def _same_command(about: About, lesson: Lesson) -> Iterator[Cue]:
    """The message came without a sign in the command: whoever runs the same again may see it again."""
    for key in _keys_in(lesson):
        yield Cue(f"run:{key}", (), SAME_COMMAND)
    yield from _said(about.second)


def _refused(about: About, _lesson: Lesson) -> Iterator[Cue]:
    """A refusal of the harness: the same kind of tool, and the same file or name where the refusal was about one."""
    family, kind, subject = about
    anchors = [f"kind:{family}" if family in _TOOL_KINDS else f"tool:{family}"]
    anchors += ["kind:write"] if family == "edit" and kind in _REFUSED_TO_WRITE else []
    says = _REFUSAL_SAYS.get(kind)
    for anchor in anchors:
        if not subject:
            yield Cue(anchor, (), OWN_MISTAKE)
        else:
            yield Cue(anchor, (f"path:{subject}",), THIS_VERY)
            yield Cue(anchor, (f"&{subject}",), THIS_VERY)
        if says and not subject:
            yield Cue(anchor, (f"%{says}",), EXACT_CAUSE)
    if not says:
        yield from _said(kind, anchors[0])


def _test(about: About, _lesson: Lesson) -> Iterator[Cue]:
    """A failing test: a run that names it, a run of its file, else any run of tests."""
    file, _, rest = about.first.rpartition("::")
    place = file.partition("::")[0]
    name = re.split(r"[/\[]| > ", rest)[0]
    yield Cue("check:test", (f"~{name}",), THIS_VERY)  # `-run TestBoil`, `-k test_boils`
    if place:
        yield Cue(f"path:{place}", ("check:test",), SAME_THINGS)
    yield Cue("check:test", (), SAME_WORK)
    yield from _said(rest)


def _diagnostic(about: About, lesson: Lesson) -> Iterator[Cue]:
    """A rule of a checker: writing an interface that its lesson names, and for a list of rules any run of the check.

    A check is run and a file of its language is written all day: there one list of the commonest rules is told, not
    each of a dozen rules; and where files are written only if many sessions have shown it.
    """
    rule = about.first
    is_list = lesson.merge_key.partition(SEPARATOR)[0] == "check_habit"
    if is_list:
        yield from _checks_of(rule, lesson)
    if is_tool(rule):  # a compiler's message: what does not compile yet is mended anyway
        yield from _said(about.second)
        return
    often = is_list and lesson.support >= OFTEN
    for ending in extensions_of(rule, lesson.tags):
        for name in _interfaces(lesson):
            yield Cue(f"edits:{ending}", (f"writes:{name}",), SAME_THINGS)
        if often:
            yield Cue(f"edits:{ending}", (), SAME_WORK)
    yield from _said(rule.replace("/", _BREAK), least=4)  # golangci-lint says `unused-parameter: ... (revive)`


def _checks_of(rule: str, lesson: Lesson) -> Iterator[Cue]:
    """The runs of the checks that apply a list's rules: a compiler's message without a rule comes in each of them."""
    kinds = tuple(sorted({kind for kind in map(is_check_command, lesson.tags) if kind}))
    of_compiler = is_tool(rule)
    for tag in lesson.tags:
        for need in [(f"check:{check}",) for check in _COMPILING] if of_compiler else [()]:
            yield Cue(f"run:{tag}", need, SAME_COMMAND)
    for check in (_COMPILING if of_compiler else _CHECKS) if of_compiler or not kinds else kinds:
        yield Cue(f"check:{check}", (), SAME_WORK)


def _interfaces(lesson: Lesson) -> list[str]:
    """The functions and methods that a lesson says to leave or to take care of, as they stand in code.

    A message names what to leave before what to take; an advice names after "Seen with" where the rule was broken.
    """
    names = _INTERFACE.findall(lesson.trigger.condition)[:1]
    names += _INTERFACE.findall(lesson.action.description.partition("Seen with")[2])
    ends = {name.rpartition("/")[2] for name in (lesson.over, *names) if name}
    return sorted(end for end in ends if _DOTTED.fullmatch(end))


def _failure(about: About, _lesson: Lesson) -> Iterator[Cue]:
    key = about.first
    if key and key not in _TELL_LITTLE:
        yield Cue(f"run:{key}", (), SAME_COMMAND)
    yield from _said(about.second, f"run:{key}" if key else "")


def _said(general: str, anchor: str = "", least: int = LEAST_SAID) -> Iterator[Cue]:
    """A message came that is this one in its general form: each of its texts between placeholders is in it."""
    texts = _PLACEHOLDER.sub(_BREAK, general.casefold()).split(_BREAK)
    telling = sorted({text.strip() for text in texts if len(text.strip()) >= least})
    words = sorted((word for text in telling for word in error_words(text)), key=lambda word: (-len(word), word))
    if telling and (anchor or words):
        yield Cue(anchor or f"error:{words[0]}", tuple(f"%{text}" for text in telling), EXACT_CAUSE)


def _of_code(code: str) -> Iterator[Cue]:
    """When the code in a lesson's condition is about to be run, read or written."""
    text = " ".join(_PLACEHOLDER.sub(" ", code).split())
    if not text or len(text) > 300:  # noqa: PLR2004 - a script, not a command
        return
    if " " not in text and ("/" in text or re.search(r"\w\.[a-z]{1,5}$", text)):
        place = general_path(text)
        if "/" in place or "." in place:
            yield Cue(f"path:{place}", (), THIS_VERY)
    else:
        yield from _of_command(text)


def _of_command(text: str) -> Iterator[Cue]:
    """How much of a command is in the call: all its options and words, or only program and subcommand."""
    commands = [one for one in invocations(text) if one.program not in _TELL_LITTLE]
    if not commands or not re.match(r"[a-z]", commands[0].program):
        return
    key = commands[0].key
    wanted = {unquoted(word).lstrip("-").partition("=")[0] for word in commands[0].arguments} - {"", *key.split()}
    most = SAME_COMMAND if is_check_command(text) else SAME_THINGS  # the same check is run all day, mostly rightly
    if wanted:
        yield Cue(f"run:{key}", tuple(f"+word:{word}" for word in sorted(wanted)), most)
    else:
        yield Cue(f"run:{key}", (), SAME_WORK + (most - SAME_WORK) / 2)


def _keys_in(lesson: Lesson) -> list[str]:
    """The commands that a lesson's condition shows."""
    shown = (invocations(_PLACEHOLDER.sub(" ", code)) for code in _CODE.findall(lesson.trigger.condition))
    return sorted({one.key for commands in shown for one in commands if one.program not in _TELL_LITTLE})


_BY_CAUSE: Final[dict[str, Callable[[About, Lesson], Iterator[Cue]]]] = {
    **{
        f"usage{SEPARATOR}{fault}": made
        for fault, made in {
            Fault.UNKNOWN_OPTION: _option,
            Fault.ARGUMENT_MISSING: _argument,
            Fault.PROGRAM_MISSING: _program,
            Fault.PATH_MISSING: _path,
            Fault.UNKNOWN_REVISION: _path,
            Fault.GLOB: _glob,
            Fault.PUSH_REJECTED: _push,
            Fault.PREREQUISITE: _same_command,
            Fault.MODULE_MISSING: _same_command,
            Fault.QUOTING: _same_command,
        }.items()
    },
    "usage": _usage,
    "refused": _refused,
    "test": _test,
    "diagnostic": _diagnostic,
    "failure": _failure,
}

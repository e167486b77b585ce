"""When a lesson applies, compared by structure: the command with its flag, the kind of tool, the file, the check.

Words alone fire no alert: "gh" stands in half the commands of some projects. What a lesson is about is told by the
causes it covers and by the code in its condition.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from selfdistill.model import ToolKind
from selfdistill.recall.languages import extensions_of, is_tool
from selfdistill.signals.causes import SEPARATOR, general_path
from selfdistill.signals.commands import is_check_command
from selfdistill.signals.invocations import invocations, unquoted
from selfdistill.signals.steps import Fault

if TYPE_CHECKING:
    from selfdistill.model import Lesson
    from selfdistill.recall.situations import Situation

# How surely a lesson is about the moment: the very mistake, the same command with the same things, the same command,
# what makes this kind of call itself fail, what this kind of work leads to later.
THIS_VERY: Final = 1.0
SAME_THINGS: Final = 0.8
SAME_COMMAND: Final = 0.5
OWN_MISTAKE: Final = 0.4
SAME_WORK: Final = 0.3
TELLING_PREFIX: Final = 8  # characters of a test's name that are hardly another word's
OFTEN: Final = 5  # sessions that make a rule worth telling whoever writes in its language

Occasion = Callable[["Situation"], float]

_CODE: Final = re.compile(r"``? ?([^`]+?) ?``?")
_INTERFACE: Final = re.compile(r"[\w/]*\w\.[A-Za-z]\w+\b(?!\.)")
_PLACEHOLDER: Final = re.compile(r"<\w+>")
_REFUSED_TO_WRITE: Final = frozenset({"unread", "stale", "exists"})
_COMPILING: Final = frozenset({"build", "test", "typecheck"})
_TELL_LITTLE: Final = frozenset({"cd", "echo", "cat", "ls", "head", "tail", "sleep", "true", "export"})


def occasions(lesson: Lesson) -> tuple[Occasion, ...]:
    """What tells whether a moment is one that this lesson is about, taken from the lesson once.

    The causes it covers tell it most exactly; the code in its condition is asked where they do not tell.
    """
    found = tuple(filter(None, (_of_cause(cause, lesson) for cause in lesson.covers)))
    return found or tuple(filter(None, (_of_code(code) for code in _CODE.findall(lesson.trigger.condition))))


def _of_cause(cause: str, lesson: Lesson) -> Occasion | None:
    """When a failure with this cause can come."""
    parts = cause.split(SEPARATOR)
    made = _BY_CAUSE.get(SEPARATOR.join(parts[:2])) or _BY_CAUSE.get(parts[0])
    about = About(*[*parts[1:], "", "", ""][:3])
    return made(about, lesson) if made else None


class About(NamedTuple):
    """What a cause is about, by its place in the key: a fault or family, the command or kind, the word or file."""

    first: str
    second: str
    third: str


def _usage(about: About, _lesson: Lesson) -> Occasion | None:
    """Wrong usage: the very word that was wrong, in the very command."""
    key, word = about.second, about.third
    if not key or not word:
        return None
    return lambda now: THIS_VERY if key in now.keys and word in now.pieces else 0.0


def _option(about: About, lesson: Lesson) -> Occasion | None:
    """An option that the command does not have; single letters stand among others (`-lA`)."""
    key, word = about.second, about.third
    if len(word) != 1:
        return _usage(about, lesson)
    among = re.compile(r"-[A-Za-z]*" + re.escape(word))

    def fit(now: Situation) -> float:
        flags = (given for one in now.commands if one.key == key for given in one.arguments)
        return THIS_VERY if any(map(among.match, flags)) else 0.0

    return fit


def _argument(about: About, _lesson: Lesson) -> Occasion:
    """A required argument that is not given."""
    key, name = about.second, about.third.strip("-<>[]")
    return lambda now: SAME_THINGS if key in now.keys and name not in now.pieces else 0.0


def _program(about: About, _lesson: Lesson) -> Occasion:
    return lambda now: THIS_VERY if about.second in now.keys else 0.0


def _path(about: About, _lesson: Lesson) -> Occasion | None:
    place = about.second
    return (lambda now: THIS_VERY if place in now.paths else 0.0) if place else None


def _glob(about: About, lesson: Lesson) -> Occasion | None:
    """An argument with a letter that the shell expands, outside quotes, in the command that the lesson is about."""
    keys, letters = _keys_in(lesson), about.second

    def fit(now: Situation) -> float:
        bare = (word for one in now.commands if one.key in keys for word in one.arguments if word == unquoted(word))
        return SAME_THINGS if any(letter in word for word in bare for letter in letters) else 0.0

    return fit if keys and letters else None


def _push(_about: About, _lesson: Lesson) -> Occasion:
    return lambda now: SAME_COMMAND if "git push" in now.keys else 0.0


def _same_command(_about: About, lesson: Lesson) -> Occasion | None:
    """The message came without a sign in the command: whoever runs the same again may see it again."""
    keys = _keys_in(lesson)
    return (lambda now: SAME_COMMAND if not keys.isdisjoint(now.keys) else 0.0) if keys else None


def _refused(about: About, _lesson: Lesson) -> Occasion:
    """A refusal of the harness: the same kind of tool, and the same file or name where the refusal was about one."""
    family, kind, subject = about

    def fit(now: Situation) -> float:
        replaces = now.query.kind is ToolKind.WRITE and kind in _REFUSED_TO_WRITE
        if family not in {now.query.kind, now.query.tool} and not (family == "edit" and replaces):
            return 0.0
        if not subject:
            return OWN_MISTAKE
        named = subject in now.paths or subject in now.query.text.casefold()
        return THIS_VERY if named else 0.0

    return fit


def _test(about: About, _lesson: Lesson) -> Occasion:
    """A failing test: a run that names it, a run of its file, else any run of tests."""
    file, _, rest = about.first.rpartition("::")
    place = file.partition("::")[0]
    name = re.split(r"[/\[]| > ", rest)[0]

    def fit(now: Situation) -> float:
        if now.check != "test":
            return 0.0
        if any(len(piece) >= TELLING_PREFIX and name.startswith(piece) for piece in now.pieces):
            return THIS_VERY  # `-run TestBoil`, `-k test_boils`
        return SAME_THINGS if place and place in now.paths else SAME_WORK

    return fit


def _diagnostic(about: About, lesson: Lesson) -> Occasion:
    """A rule of a checker: writing an interface that its lesson names, and for a list of rules any run of the check.

    A check is run and a file of its language is written all day: there one list of the commonest rules is told, not
    each of a dozen rules; and where files are written only if many sessions have shown it.
    """
    endings = extensions_of(about.first, lesson.tags)
    tags = frozenset(lesson.tags)
    kinds = frozenset(filter(None, map(is_check_command, lesson.tags)))
    anywhere = not kinds or is_tool(about.first)  # a compiler's message without a rule: every check compiles
    names = _interfaces(lesson)
    is_list = lesson.merge_key.partition(SEPARATOR)[0] == "check_habit"
    often = is_list and lesson.support >= OFTEN

    def fit(now: Situation) -> float:
        if now.query.kind in {ToolKind.EDIT, ToolKind.WRITE}:
            if now.extension not in endings or is_tool(about.first):  # what does not compile yet is mended anyway
                return 0.0
            if names and names.search(now.query.written):
                return SAME_THINGS
            return SAME_WORK if often else 0.0
        if not is_list or (is_tool(about.first) and now.check not in _COMPILING):
            return 0.0
        if not tags.isdisjoint(now.keys):
            return SAME_COMMAND
        return SAME_WORK if now.check and (anywhere or now.check in kinds) else 0.0

    return fit


def _interfaces(lesson: Lesson) -> re.Pattern[str] | None:
    """The functions and methods that a lesson says to leave or to take care of, as they stand in code.

    A message names what to leave before what to take; an advice names after "Seen with" where the rule was broken.
    """
    names = _INTERFACE.findall(lesson.trigger.condition)[:1]
    names += _INTERFACE.findall(lesson.action.description.partition("Seen with")[2])
    ends = sorted({name.rpartition("/")[2] for name in (lesson.over, *names) if name})
    return re.compile("|".join(rf"(?<!\w){re.escape(end)}(?!\w)" for end in ends)) if ends else None


def _failure(about: About, _lesson: Lesson) -> Occasion | None:
    key = about.first
    return (lambda now: SAME_COMMAND if key in now.keys else 0.0) if key and key not in _TELL_LITTLE else None


def _of_code(code: str) -> Occasion | None:
    """When the code in a lesson's condition is about to be run, read or written."""
    text = " ".join(_PLACEHOLDER.sub(" ", code).split())
    if not text or len(text) > 300:  # noqa: PLR2004 - a script, not a command
        return None
    if " " not in text and ("/" in text or re.search(r"\w\.[a-z]{1,5}$", text)):
        place = general_path(text)
        return (lambda now: THIS_VERY if place in now.paths else 0.0) if "/" in place or "." in place else None
    return _of_command(text)


def _of_command(text: str) -> Occasion | None:
    """How much of a command is in the call: all its options and words, or only program and subcommand."""
    commands = [one for one in invocations(text) if one.program not in _TELL_LITTLE]
    if not commands or not re.match(r"[a-z]", commands[0].program):
        return None
    key = commands[0].key
    wanted = {unquoted(word).lstrip("-").partition("=")[0] for word in commands[0].arguments} - set(key.split())
    check = is_check_command(text)

    def fit(now: Situation) -> float:
        if key not in now.keys:
            return 0.0
        shared = len(wanted & now.pieces) / len(wanted) if wanted else 0.5
        most = SAME_THINGS if not check else SAME_COMMAND  # the same check is run all day, most of the time rightly
        return SAME_WORK + (most - SAME_WORK) * shared if shared else 0.0

    return fit


def _keys_in(lesson: Lesson) -> frozenset[str]:
    """The commands that a lesson's condition shows."""
    shown = (invocations(_PLACEHOLDER.sub(" ", code)) for code in _CODE.findall(lesson.trigger.condition))
    return frozenset(one.key for commands in shown for one in commands if one.program not in _TELL_LITTLE)


_BY_CAUSE: Final[dict[str, Callable[[About, Lesson], Occasion | None]]] = {
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

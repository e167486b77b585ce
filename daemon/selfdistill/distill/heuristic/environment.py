"""Facts about the machine and the project's set-up: what must be installed, set or freed before a command works.

Proven by the same command working after exactly that.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.distill.heuristic.evidence import called, failure_of
from selfdistill.distill.heuristic.wording import code, general_words, merge_key, message
from selfdistill.model import Action, ActionType, Finding, Polarity, ToolKind, Trigger, TriggerType
from selfdistill.signals.invocations import Invocation, invocations, unquoted
from selfdistill.signals.steps import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import Step

STRENGTH: Final = 0.7

_INSTALLS: Final = re.compile(
    r"^(?:(?:uv )?pip3? install|uv sync|uv add|poetry (?:install|add)|pdm install|pipenv install"
    r"|npm (?:install|i|ci)|pnpm (?:install|i|add)"
    r"|yarn(?: install| add)?$|bun (?:install|add)|bundle install|composer install|brew install|apt(?:-get)? install"
    r"|cargo install|go install|rustup component|mise (?:install|use)|npx playwright install"
    r"|make (?:install|setup|deps))\b"
)
_PORT_TAKEN: Final = re.compile(
    r"EADDRINUSE|[Aa]ddress already in use|[Pp]ort \d+ is (?:already )?(?:in use|allocated|taken)"
)
_PORT: Final = re.compile(r"\b(?P<port>\d{4,5})\b")
_DENIED: Final = re.compile(r"[Pp]ermission denied|EACCES|must be run as root|requires root|are you root")
_CARRIAGE_RETURN: Final = re.compile(
    r"\$'\\r'|(?:bash|sh|python3?|node)\\r\b|\r'?: (?:command not found|No such file)|\^M: bad interpreter"
)
_SURROUNDINGS: Final = re.compile(
    rf"{_PORT_TAKEN.pattern}|{_DENIED.pattern}|{_CARRIAGE_RETURN.pattern}|\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b"
)
_REMOVES_RETURNS: Final = re.compile(r"dos2unix|\\r|autocrlf|--renormalize")
_ASSIGNED: Final = re.compile(r"(?:^|\s|&&\s*|export )(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>[^\s;&|]*)")
_PUBLIC_VALUE: Final = re.compile(r"[\w./:,-]{0,24}")
_PUBLIC_NAME: Final = re.compile(r"PATH$|FLAGS$|_ENV$|^CI$|HOME$|_MODE$|VERSION$|ENABLED$|LEVEL$")


class Fact(Struct, frozen=True):
    """What made the failed command work, as advice, and what it is known by."""

    advice: str
    key: tuple[str, ...]


def environment_facts(memory: Memory, newest: Step) -> Iterator[Finding]:
    """Findings for commands that failed on their surroundings and now work, with what came between."""
    if newest.failed or newest.kind is not ToolKind.SHELL or not memory.failed:
        return
    for step in reversed(memory.unsettled()):
        if step.kind is not ToolKind.SHELL or step.sidechain != newest.sidechain or not _is_about_surroundings(step):
            continue
        again = _same_command(step, newest)
        if again is None:
            continue
        between = tuple(memory.worked_since(step))
        fact = next((fact for prove in _PROOFS if (fact := prove(step, newest, between))), None)
        if fact:
            yield _finding(step, newest, again, fact)


def _is_about_surroundings(step: Step) -> bool:
    """Whether a failure's message is about something beside the command."""
    failure = step.failure
    return failure is not None and (
        failure.fault in {Fault.PROGRAM_MISSING, Fault.MODULE_MISSING} or _names_surroundings(failure.line)
    )


@lru_cache(maxsize=64)  # asked of the same few lines at every call that works
def _names_surroundings(line: str) -> bool:
    return bool(_SURROUNDINGS.search(line))


def _same_command(failed: Step, worked: Step) -> Invocation | None:
    """The simple command of a failed line that a line that worked runs again; a changed number may be its port."""
    later = [_without_numbers(invocation.words) for invocation in invocations(worked.command)]
    meant = invocations(failed.command)
    return next((one for one in reversed(meant) if one.program != "cd" and _without_numbers(one.words) in later), None)


def _without_numbers(words: Sequence[str]) -> list[str]:
    return [_PORT.sub("<port>", word) for word in words]


def _installed(step: Step, newest: Step, between: tuple[str, ...]) -> Fact | None:
    """A missing program or module: what was installed in between."""
    failure = step.failure
    if failure is None or failure.fault not in {Fault.PROGRAM_MISSING, Fault.MODULE_MISSING}:
        return None
    for line in (*reversed(between), newest.command):
        for invocation in invocations(line):
            if _INSTALLS.match(" ".join(invocation.words)):
                shown = general_words(invocation.words, [word for word in invocation.words if failure.named in word])
                return Fact(
                    f"Run {code(shown)} first: {code(failure.named)} is missing until then.", (failure.named, "install")
                )
    return None


def _variable_set(step: Step, newest: Step, _between: tuple[str, ...]) -> Fact | None:
    """A variable set in front of the command that worked, which the message names or which tells where modules are."""
    failure = step.failure
    before = {found["name"] for found in _ASSIGNED.finditer(step.command)}
    for found in _ASSIGNED.finditer(newest.command):
        name, value = found["name"], unquoted(found["value"])
        explains = failure is not None and (
            re.search(rf"\b{name}\b", failure.line) or (failure.fault is Fault.MODULE_MISSING and name == "PYTHONPATH")
        )
        if name not in before and explains:
            public = _PUBLIC_NAME.search(name) and _PUBLIC_VALUE.fullmatch(value)
            return Fact(f"Set {code(f'{name}={value}' if public else name)} for it.", (name, "variable"))
    return None


def _allowed(step: Step, newest: Step, between: tuple[str, ...]) -> Fact | None:
    """Permission denied: the same with `sudo`, or after `chmod`."""
    if step.failure is None or not _DENIED.search(step.failure.line):
        return None
    if "sudo " in newest.command and "sudo " not in step.command:
        return Fact("It needs `sudo` here.", ("sudo", invocations(step.command)[-1].key))
    made = next((line for line in (*between, newest.command) if line.startswith("chmod ")), "")
    commands = invocations(made)
    return (
        Fact(f"Run {code(general_words(commands[0].words))} first.", ("chmod", *commands[0].words[-1:]))
        if commands
        else None
    )


def _port_freed(step: Step, newest: Step, between: tuple[str, ...]) -> Fact | None:
    """A port that was taken: the other port that worked, or the command that freed it."""
    if step.failure is None or not _PORT_TAKEN.search(step.failure.line):
        return None
    old, new = _PORT.search(step.command), _PORT.search(newest.command)
    if old and new and old["port"] != new["port"]:
        return Fact(
            f"Port {old['port']} is taken here; {code(new['port'])} worked.", ("port", old["port"], new["port"])
        )
    for line in between:
        if (
            any(invocation.program in {"kill", "pkill", "killall", "fuser"} for invocation in invocations(line))
            or "xargs kill" in line
        ):
            return Fact(f"Stop what holds the port first: {code(general_words(line.split()))}.", ("port", "freed"))
    return None


def _returns_removed(step: Step, newest: Step, between: tuple[str, ...]) -> Fact | None:
    """A script with Windows line ends, and the command that removed them."""
    if step.failure is None or not _CARRIAGE_RETURN.search(step.failure.line):
        return None
    if any(_REMOVES_RETURNS.search(line) for line in (*between, newest.command)):
        advice = r"The scripts have Windows line ends (CRLF): remove them first, with `sed -i 's/\r$//'` for example."
        return Fact(advice, ("crlf",))
    return None


_PROOFS: Final[tuple[Callable[[Step, Step, tuple[str, ...]], Fact | None], ...]] = (
    _returns_removed,
    _variable_set,
    _installed,
    _allowed,
    _port_freed,
)


def _finding(step: Step, newest: Step, again: Invocation, fact: Fact) -> Finding:
    """A fact as a finding."""
    line = message(step.failure.line) if step.failure else ""
    return Finding(
        rule="environment_fact",
        merge_key=merge_key("environment_fact", *fact.key),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(f"{code(general_words(again.words))} fails: {line}", TriggerType.ERROR_REPORT),
        action=Action(ActionType.DO, fact.advice),
        rationale="The same command worked after that in the same session.",
        strength=STRENGTH,
        tags=("environment", again.program),
        cwd=step.cwd,
        evidence=(
            *failure_of(step),
            called(newest, "working call"),
        ),
    )

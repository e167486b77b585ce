"""The project's own test, lint, build and format commands, proven by runs that passed.

Told only where an agent would not come upon them by itself: another command than the ecosystem's usual one, or the one
that worked after a wrong one. Every passing run of a second session makes them surer.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from selfdistill.distill.heuristic.evidence import called
from selfdistill.distill.heuristic.wording import code, merge_key
from selfdistill.model import Action, ActionType, Finding, Polarity, ToolKind, Trigger, TriggerType
from selfdistill.signals.invocations import Invocation, invocations
from selfdistill.signals.memory import check_of
from selfdistill.signals.runs import is_check_command
from selfdistill.signals.steps import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import Step

STRENGTH: Final = 0.5
AFTER_WRONG_STRENGTH: Final = 0.6
SESSIONS: Final = 2
MAX_LENGTH: Final = 60  # characters of a command that is a habit, not an experiment

# Runners of a project's own tasks, and launchers of its own environment: what follows them is the project's choice.
_OWN: Final = frozenset(
    {"mise", "just", "task", "make", "gmake", "tox", "nox", "hatch", "invoke", "rake", "bazel", "bazelisk", "nx",
     "turbo", "pants", "moon", "earthly", "dagger", "uv", "poetry", "pdm", "pipenv", "pixi", "bundle", "docker",
     "devbox", "gradlew", "mvnw", "bin", "pnpm", "yarn", "bun", "lerna", "rush", "composer", "mix"}
)  # fmt: skip
# What an agent tries first anyway.
_USUAL: Final = frozenset(
    {"npm test", "npm run test", "npm run build", "npm run lint", "make", "make test", "make build", "make lint",
     "yarn test", "pnpm test", "pnpm build", "yarn build", "bun test", "mix test", "composer test", "pnpm run build",
     "pnpm run test", "yarn run test", "yarn run build", "docker build", "mix format", "mix compile"}
)  # fmt: skip
_WRONG_COMMAND: Final = frozenset(
    {Fault.UNKNOWN_COMMAND, Fault.PROGRAM_MISSING, Fault.MODULE_MISSING, Fault.UNKNOWN_OPTION, Fault.ARGUMENT_MISSING}
)
_SAID: Final = {
    "test": "run the tests",
    "lint": "lint",
    "build": "build",
    "format": "format the code",
    "typecheck": "check the types",
}
_PLACE_OPTIONS: Final = frozenset(
    {"-C", "--dir", "--prefix", "--filter", "-F", "-e", "--project", "-f", "--workspace", "-w"}
)
# Variables that say where code and settings are; others (`GOOS`, a key) belong to one run.
_ASSIGNMENT: Final = re.compile(
    r"(?P<assignments>(?:(?:[A-Z_]*PATH|[A-Z_]*_ENV|[A-Z_]*_MODULE|CI|CGO_ENABLED|NODE_OPTIONS)=[\w./:-]{0,30} )+)"
)
_SCRIPT: Final = re.compile(r"test|spec|lint|build|fmt|format|type")
_PLAIN: Final = re.compile(r"[\w./:@=+-]+")
_NOT_DURABLE: Final = re.compile(r"^(?:/|~|\$)|[0-9a-f]{7,}|^\d+$")


def project_commands(memory: Memory, newest: Step) -> Iterator[Finding]:
    """The finding of the first run of a project's own check that passes in a session."""
    if newest.failed or newest.kind is not ToolKind.SHELL or newest.sidechain:
        return
    check = check_of(newest)
    if check not in _SAID or not _is_proof(newest, check):
        return
    habit = _habit(newest.command, check)
    if habit is None or not memory.has_not_told(habit.key):
        return
    wrong = _wrong_before(memory, check, habit.invocation)
    if wrong or _is_own(habit.invocation, habit.command):
        yield _finding(newest, check, habit.command, wrong)


class _Habit(NamedTuple):
    """The command of a line that runs a check, in its general form."""

    invocation: Invocation
    command: str
    key: str


@lru_cache(maxsize=256)  # a session runs the same few checks all day
def _habit(line: str, check: str) -> _Habit | None:
    """What a line runs for a check, None if that is no habit."""
    found = next((one for one in invocations(line) if is_check_command(" ".join(one.words)) == check), None)
    command = _general(found, line, check) if found else ""
    return _Habit(found, command, merge_key("project_command", check, command)) if found and command else None


def _is_proof(step: Step, check: str) -> bool:
    """Whether the result shows that the check passed: counted tests, or an exit status that is its own."""
    if check == "test":
        return step.run is not None and step.run.passed > 0 and step.run.ok
    return not any(joint in step.command for joint in ("|", ";", "\n"))


def _general(invocation: Invocation, line: str, check: str) -> str:
    """The command up to the name of what it does, with the options that say where; "" if it is no habit."""
    names = invocation.key.split()
    words = invocation.words
    end = max(words.index(names[-1]) + 1 if names[-1] in words else 1, 1)
    while len(words) > end + 1 and words[end] in _PLACE_OPTIONS:
        end += 2
    shown = words[:end]
    if is_check_command(" ".join(shown)) != check:
        shown = words
    if "/" in shown[0] and not _SCRIPT.search(invocation.program):
        return ""  # `./check-setup.sh` is a check of something else
    durable = all(_PLAIN.fullmatch(word) and not _NOT_DURABLE.search(word) for word in shown)
    command = _assignments(line, shown[0]) + " ".join(shown)
    return command if durable and len(command) <= MAX_LENGTH else ""


def _assignments(line: str, program: str) -> str:
    """The variables that are set for a command at the beginning of a line: part of the command."""
    found = _ASSIGNMENT.match(line)
    return found["assignments"] if found and line.startswith(found["assignments"] + program) else ""


def _is_own(invocation: Invocation, command: str) -> bool:
    """Whether a command is the project's own rather than what every agent would try."""
    if command in _USUAL:
        return False
    return invocation.program in _OWN or "=" in command.split(" ", maxsplit=1)[0] or "/" in invocation.words[0]


def _wrong_before(memory: Memory, check: str, worked: Invocation) -> Step | None:
    """The failed attempt of this session to run the same kind of check by another command, used wrongly."""
    for step in reversed(memory.unsettled()):
        failure = step.failure
        if failure is None or failure.fault not in _WRONG_COMMAND or is_check_command(step.command) != check:
            continue
        if all(invocation.program != worked.program for invocation in invocations(step.command)):
            return step
    return None


def _finding(step: Step, check: str, command: str, wrong: Step | None) -> Finding:
    """A proven command as a finding."""
    evidence = [called(step, "working call")]
    rationale = "It ran and passed here."
    if wrong is not None:
        evidence.insert(0, called(wrong, "failed call"))
        rationale = "Another command failed in the same session; this one ran and passed."
    return Finding(
        rule="project_command",
        merge_key=merge_key("project_command", check, command),
        signal=Polarity.POSITIVE,
        trigger=Trigger(f"About to {_SAID[check]} in this project", TriggerType.GENERAL),
        action=Action(ActionType.DO, f"Run {code(command)}."),
        rationale=rationale,
        strength=AFTER_WRONG_STRENGTH if wrong is not None else STRENGTH,
        needs=SESSIONS,
        tags=(check, "command"),
        cwd=step.cwd,
        evidence=tuple(evidence),
    )

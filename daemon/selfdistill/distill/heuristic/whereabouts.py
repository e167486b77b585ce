"""Files that were not where they were looked for, and where they were found; names that a message corrects."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Final

from selfdistill.distill.heuristic.evidence import answered, failure_of
from selfdistill.distill.heuristic.wording import code, merge_key, within
from selfdistill.model import Action, ActionType, Finding, Polarity, ToolKind, Trigger, TriggerType
from selfdistill.signals.causes import SEPARATOR
from selfdistill.signals.steps import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.signals.memory import Memory
    from selfdistill.signals.steps import Step

STRENGTH: Final = 0.6
NAMED_STRENGTH: Final = 0.7  # the harness itself names the right one
COMMON_NAMES: Final = frozenset(
    {"README.md", "__init__.py", "index.ts", "index.js", "index.tsx", "main.go", "main.py", "main.rs", "mod.rs",
     "lib.rs", "package.json", "go.mod", "Cargo.toml", "Makefile", "conftest.py", "setup.py", "types.ts", "utils.ts",
     "SKILL.md"}
)  # fmt: skip

GUESSED_STRENGTH: Final = 0.3
GUESSED_SESSIONS: Final = 10
GUESSED: Final = (SEPARATOR.join(("refused", "read", "missing")),)

_DID_YOU_MEAN: Final = re.compile(r"Did you mean [\"'`]?(?P<right>[^\"'`?\n]{2,200}?)[\"'`]?\?")
_AGENT: Final = re.compile(r"Agent type '(?P<wrong>[^'\n]+)' not found\. Available agents?: (?P<known>[^\n]+)")


def found_elsewhere(memory: Memory, newest: Step) -> Iterator[Finding]:
    """Findings for missing files that the newest working call has read or listed under another path."""
    if newest.failed or not newest.quote:
        return
    for failed in memory.failed:
        step = failed.step
        if step.settled or step.kind is ToolKind.SHELL or step.failure is None:
            continue
        if step.failure.fault is not Fault.PATH_MISSING:
            continue
        wrong = within(step.path, step.cwd, memory.root)
        right = within(newest.quote, newest.cwd or step.cwd, memory.root)
        if _is_move(wrong, right):
            yield _moved(step, newest, wrong, right)


def _is_move(wrong: str, right: str) -> bool:
    """Whether two paths of the project are two places of one file, whose name says which file it is."""
    if not wrong or not right or wrong == right:
        return False
    name = wrong.rstrip("/").rsplit("/", 1)[-1]
    return name == right.rstrip("/").rsplit("/", 1)[-1] and name not in COMMON_NAMES


def _moved(step: Step, newest: Step, wrong: str, right: str) -> Finding:
    """A file's place as a finding."""
    return Finding(
        rule="file_elsewhere",
        merge_key=merge_key("file_elsewhere", wrong, right),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(f"Looking for {code(wrong)}", TriggerType.ERROR_REPORT),
        action=Action(ActionType.DO, f"It is at {code(right)}."),
        rationale=f"There is no {code(wrong)}; the file was then found under the other path.",
        strength=STRENGTH,
        tags=("path",),
        cwd=step.cwd,
        evidence=(
            *failure_of(step),
            answered(newest, "found"),
        ),
    )


def guessed_paths(memory: Memory, newest: Step) -> Iterator[Finding]:
    """A finding for a file that was read or searched where there is none, once a session.

    Every agent guesses paths now and then: only a project where they keep guessing wrong learns from it.
    """
    failure = newest.failure
    if failure is None or failure.fault is not Fault.PATH_MISSING or newest.kind is not ToolKind.READ:
        return
    key = merge_key("guessed_path")
    if memory.has_not_told(key):
        yield Finding(
            rule="guessed_path",
            merge_key=key,
            signal=Polarity.NEGATIVE,
            trigger=Trigger("About to read a file by a path that nothing here has shown yet", TriggerType.GENERAL),
            action=Action(ActionType.DO, "Search for the file's name or list its directory first."),
            rationale="Paths that were guessed here did not exist.",
            strength=GUESSED_STRENGTH,
            needs=GUESSED_SESSIONS,
            tags=("path",),
            cwd=newest.cwd,
            covers=GUESSED,
            evidence=(*failure_of(newest),),
        )


def named_by_message(memory: Memory, newest: Step) -> Iterator[Finding]:
    """Findings for a wrong file or agent name whose refusal names the right one."""
    if newest.failure is None or newest.kind is ToolKind.SHELL:
        return
    line = newest.failure.line
    if "Did you mean " in line and newest.path and (found := _DID_YOU_MEAN.search(line)):
        proposed = posixpath.join(posixpath.dirname(newest.path), found["right"])
        wrong, right = (within(path, newest.cwd, memory.root) for path in (newest.path, proposed))
        if wrong and right and wrong != right:
            yield _named(newest, f"Looking for {code(wrong)}", f"The file is {code(right)}.", (wrong, right))
    elif "Available agent" in line and (found := _AGENT.search(line)):
        wrong = found["wrong"]
        known = [name.strip() for name in found["known"].split(",")]
        rights = [name for name in known if name.rsplit(":", 1)[-1] == wrong.rsplit(":", 1)[-1] and name != wrong]
        if len(rights) == 1:
            condition = f"About to start the agent {code(wrong)}"
            yield _named(newest, condition, f"Its full name is {code(rights[0])}.", (wrong, rights[0]))


def _named(step: Step, condition: str, description: str, key: tuple[str, str]) -> Finding:
    """A name that the message gives, as a finding."""
    return Finding(
        rule="named_by_message",
        merge_key=merge_key("named_by_message", *key),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(condition, TriggerType.ERROR_REPORT),
        action=Action(ActionType.DO, description),
        rationale="The refusal of the other name says so.",
        strength=NAMED_STRENGTH,
        tags=("name",),
        cwd=step.cwd,
        evidence=(*failure_of(step),),
    )

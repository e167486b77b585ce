"""A test failed, files were edited, and it passed: where the cause was, in the agent's own words if it gave any.

Perishable knowledge: it waits until the same test fails again in another session before it is told.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from selfdistill.distill.heuristic.evidence import answered, called
from selfdistill.distill.heuristic.wording import code, merge_key, sentence
from selfdistill.model import Action, ActionType, Evidence, Finding, Polarity, Trigger, TriggerType
from selfdistill.signals.invocations import invocations, unquoted
from selfdistill.signals.runs import is_check_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selfdistill.signals.memory import Memory, TestWatch
    from selfdistill.signals.steps import Statement, Step

STRENGTH: Final = 0.4
WITH_CAUSE: Final = 0.5
MAX_FILES: Final = 3
MAX_TESTS: Final = 5  # more failing at once have no single cause

_FILES: Final = (".py", ".js", ".ts", ".jsx", ".tsx", ".rb", ".go", ".rs")
_SELECTS_NOTHING: Final = frozenset(
    {"-v", "-vv", "-q", "-x", "-count=1", "-race", "-s", "--", "-run", "-k", "-t", "-timeout"}
)
_TEST_FILE: Final = re.compile(
    r"(?:^|/)(?:tests?|__tests__|spec|testdata|fixtures|integration_tests?)/"
    r"|(?:^|/)test_[^/]*$|[_.-](?:test|spec)s?\.\w+$"
)

# The cue, and then enough words to be an explanation: "found and fixed the root cause" explains nothing.
_CAUSE: Final = re.compile(
    r"\b(?:root cause(?: of [^.:\n]{1,60})? ?(?:was|is|:)"
    r"|the (?:issue|problem|bug|failure|cause) (?:was|is|were) (?!on line|in line)"
    r"|was (?:caused by|failing because|because)|(?:failed|fails|failing) because"
    r"|the fix (?:was|is) to|turned out (?:that|to))[^.\n]{25,}",
    re.IGNORECASE,
)
_SENTENCE_END: Final = re.compile(r"\.(?=\s|$)|\n|$")
_SENTENCE_START: Final = re.compile(r"[.!?:]\s+|\n")
_CAUSE_LENGTHS: Final = range(30, 400)  # characters of a sentence that can say a cause


def fixed_tests(memory: Memory, newest: Step) -> Iterator[Finding]:
    """The finding of a test that passes after edits, at the moment it passes."""
    watch = memory.tests
    if watch is not None and is_fix(watch, newest):
        yield from _findings(watch, newest, None, "")


def stated_causes(memory: Memory, statement: Statement) -> Iterator[Finding]:
    """The same finding with the cause, when the agent names it after the test passed."""
    watch = memory.tests
    if watch is None or watch.fixed_by is None:
        return
    cause = _stated_cause(statement.text)
    if cause:
        yield from _findings(watch, watch.fixed_by, statement, cause)


def _stated_cause(text: str) -> str:
    """The sentence in which a cause is named, or ""."""
    found = _CAUSE.search(text)
    if found is None:
        return ""
    start = max((mark.end() for mark in _SENTENCE_START.finditer(text, 0, found.start())), default=0)
    ending = _SENTENCE_END.search(text, found.end())
    cause = text[start : ending.end() if ending else len(text)].strip(" -*#>\n")
    return cause if len(cause) in _CAUSE_LENGTHS else ""


def is_fix(watch: TestWatch, newest: Step) -> bool:
    """Whether the newest run shows the failure mended: after edits it ran the failing test again, and all passed."""
    failed, passed = watch.step.run, newest.run
    if failed is None or passed is None or watch.fixed_by is not None:
        return False
    if passed.failed + passed.errors or not passed.passed or passed.runner != failed.runner:
        return False
    return _runs_again(_test_words(watch.step.command), _test_words(newest.command), watch.step)


def _runs_again(before: list[str], now: list[str], failed: Step) -> bool:
    """Whether a test command runs what an earlier one ran: all of it, or at least the failing test by name."""
    if not before or not now or before[0] != now[0]:
        return False
    narrower = [word for word in now if word not in before]
    names = failed.run.failing if failed.run else ()
    return all(any(word and word in name for name in names) for word in map(_filter, narrower))


def _test_words(command: str) -> list[str]:
    """The key and the arguments of the test command in a command line, options that select no tests left out."""
    for one in invocations(command):
        if is_check_command(" ".join(one.words)) == "test":
            chosen = [word for word in one.arguments if word not in _SELECTS_NOTHING and word not in one.key.split()]
            return [one.key, *chosen]
    return []


def _filter(word: str) -> str:
    """A word that selects tests, without quotes, anchors and the option it belongs to."""
    return unquoted(word).rsplit("=", 1)[-1].strip("^$()./")


def _findings(watch: TestWatch, passed: Step, statement: Statement | None, cause: str) -> Iterator[Finding]:
    """A mended test as a finding; none where only tests were edited, since then the test itself was being written."""
    failed = watch.step
    tests = [name for name in (failed.run.failing if failed.run else ()) if _is_test_name(name)]
    files = [_short(path, failed.cwd) for path in watch.edited if not is_test_file(path)]
    if not tests or len(tests) > MAX_TESTS or not files:
        return
    test = min(tests, key=len)
    if not cause and (watch.new_test or all(_stem(path) in _letters(test) for path in files)):
        return  # a test written to fail first, or one whose name says where to look
    where = ", ".join(code(path) for path in dict.fromkeys(files[-MAX_FILES:]))
    description = f"Look at {where} first: editing there made it pass."
    if cause:
        description = f"Look at {where} first. {sentence(cause)}"
    evidence = [
        called(failed, "failing run"),
        answered(failed, "failing test", test),
        called(passed, "passing run"),
    ]
    if statement:
        evidence.append(Evidence(statement.uid, statement.span, cause[:600], "agent's cause", statement.at))
    yield Finding(
        rule="fixed_test",
        merge_key=merge_key("fixed_test", test),
        signal=Polarity.POSITIVE,
        trigger=Trigger(f"{code(test)} fails", TriggerType.DEBUGGING),
        action=Action(ActionType.DO, description),
        rationale="The run failed, these files were edited, and the same run passed.",
        strength=WITH_CAUSE if cause else STRENGTH,
        needs=2,
        tags=("test", failed.run.runner if failed.run else ""),
        cwd=failed.cwd,
        evidence=tuple(evidence),
    )


def _stem(path: str) -> str:
    """The letters of a file's name without its extension."""
    return _letters(path.rsplit("/", 1)[-1].split(".", 1)[0])


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _is_test_name(name: str) -> bool:
    """Whether a failing name is a test's; a package or file that failed as a whole says too little."""
    return "::" in name or (
        not ("/" in name.split(" ", maxsplit=1)[0] and "." in name.split("/", maxsplit=1)[0])
        and not name.endswith(_FILES)
    )


def is_test_file(path: str) -> bool:
    """Whether a file holds tests."""
    return bool(_TEST_FILE.search(path))


def _short(path: str, cwd: str) -> str:
    """A path as seen from the session's directory."""
    return path.removeprefix(f"{cwd}/") if cwd else path

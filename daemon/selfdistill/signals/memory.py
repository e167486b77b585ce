"""What must be remembered of earlier calls so that a failure and its fix still pair: bounded, and the same in any cut.

Only unsettled failures, the commands that worked since the oldest of them, and the latest edits are kept; a session
without failures carries almost nothing. The horizon counts calls, not time or bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct, field

from selfdistill.model import FailureClass, ToolKind
from selfdistill.signals.commands import is_check_command, may_check
from selfdistill.signals.edits import digest
from selfdistill.signals.invocations import MAX_COMMAND
from selfdistill.signals.steps import Fault, HumanTurn, Statement, Step

HORIZON: Final = 40  # calls; repairs further apart are rarely about the same thing
MAX_FAILED: Final = 8
MAX_TOLD: Final = 6
MAX_EDITS: Final = 12
MAX_PATH: Final = 400
MAX_TOLD_KEYS: Final = 24
BRIEF: Final = 200  # characters kept of a command that worked

_CHANGES: Final = frozenset({ToolKind.EDIT, ToolKind.WRITE})
_LISTED: Final = 400  # characters of an output on either side of a file's name that can hold its path


class Worked(Struct, omit_defaults=True):
    """A shell command that worked after a failure still unexplained."""

    number: int
    command: str


class Edited(Struct, frozen=True, array_like=True):
    """An edit as digests: of the path, of the text replaced and of the text put there."""

    path: str
    before: str
    after: str


class Failed(Struct, omit_defaults=True):
    """A failed step and its number among the session's calls.

    `reread`: its file was read since. `weighed`: it was asked whether it teaches something without a repair.
    """

    number: int
    step: Step
    reread: bool = False
    weighed: bool = False


class Told(Struct, omit_defaults=True):
    """A person's substitution ("use X, not Y") that has not been followed yet."""

    number: int
    turn: HumanTurn
    use: str
    instead_of: str
    durable: bool


class TestWatch(Struct, omit_defaults=True):
    """A failing test run that waits for its fix: the run, and the edits since."""

    step: Step
    edited: list[str] = []
    new_test: bool = False  # tests were written or edited before it failed: it may have been meant to fail
    fixed_by: Step | None = None  # set when the tests passed; the agent's next statement may name the cause


class Claim(Struct, omit_defaults=True):
    """The agent's word that a check passes, given after edits that nothing had checked."""

    statement: Statement
    check: str


class Struggle(Struct, omit_defaults=True):
    """Failures of one attempt and the call that then worked; a person's next words may approve of it."""

    failed: list[Step]
    worked: Step


def check_of(step: Step) -> str:
    """What kind of check a finished step ran ("test", "lint" ...), "" for none."""
    if step.run is not None:
        return "test"
    if step.kind is not ToolKind.SHELL or not may_check(step.command):
        return ""
    return step.check or is_check_command(step.command)


def at_once(redact: Callable[[str], str], texts: Iterable[str]) -> Callable[[str], str]:
    """What redacts these texts: nothing at all if all together they hold no secret, which is nearly always so.

    One look at 5 KB costs 0.1 ms, one at each of 40 short texts 0.6 ms.
    """
    together = "\n".join(texts)
    return str if redact(together) == together else redact


def clean_step(step: Step, redact: Callable[[str], str]) -> None:
    """Redact a step's texts as wholes, then cut them to what may be quoted or kept."""
    step.command = redact(step.command)[:MAX_COMMAND] if step.command else ""
    step.path = redact(step.path)[:MAX_PATH] if step.path else ""


class Memory(Struct, omit_defaults=True):
    """The carried state of a session's calls."""

    number: int = 0
    failed: list[Failed] = field(default_factory=list)
    worked: list[Worked] = field(default_factory=list)
    edits: list[Edited] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    tests: TestWatch | None = None
    last_shell: Step | None = None
    failing: dict[str, Step] = field(default_factory=dict)  # kind of check -> its last run, if that failed
    ran: list[str] = field(default_factory=list)  # kinds of checks that ran since the last edit
    root: str = ""  # the topmost directory that the session has worked in
    wrote_tests: bool = False  # a test file was written or edited, so that a failing test may be a new one
    edited: bool = False  # something was edited in this session
    claimed: Claim | None = None
    struggle: Struggle | None = None
    take_back: HumanTurn | None = None  # a person asked to undo work, with a reason
    told_keys: list[str] = field(default_factory=list)  # digests of merge keys that are told once in a session

    def unsettled(self) -> list[Step]:
        """Failed steps whose outcome no rule has told yet, oldest first."""
        return [failed.step for failed in self.failed if not failed.step.settled]

    def number_of(self, step: Step) -> int:
        """The position of a remembered failure among the session's calls."""
        return next((failed.number for failed in self.failed if failed.step.uid == step.uid), self.number)

    def worked_since(self, step: Step) -> list[str]:
        """Commands that worked between a remembered failure and now, oldest first."""
        start = self.number_of(step)
        return [worked.command for worked in self.worked if worked.number > start]

    def sought(self, path: str, output: str) -> str:
        """The path, of a call that worked, by which a file is found or read again that an earlier call failed on.

        Its own path, or one that its output lists; "" if it has to do with no earlier failure.
        """
        for failed in reversed(self.failed):
            wanted = failed.step.path
            if not wanted:
                continue
            if path == wanted and failed.step.kind in _CHANGES:
                return path
            if _is_missing(failed.step):
                name = wanted.rstrip("/").rsplit("/", 1)[-1]
                if path != wanted and path.rstrip("/").rsplit("/", 1)[-1] == name:
                    return path
                found = _listed(output, name) if name else ""
                if found:
                    return found
        return ""

    def has_not_told(self, merge_key: str) -> bool:
        """Whether nothing with this merge key has been told in this session yet."""
        return digest(merge_key) not in self.told_keys

    def note_told(self, merge_key: str) -> None:
        """Remember that this has been told, so that it is told once in a session."""
        if self.has_not_told(merge_key):
            self.told_keys.append(digest(merge_key))
            del self.told_keys[:-MAX_TOLD_KEYS]

    def count(self) -> None:
        """Take in a call that tells nothing; it only moves the horizon."""
        self.number += 1
        if self.failed or self.told:
            self._forget()

    def remember(self, step: Step) -> None:
        """Take a finished step in and drop what the horizon has passed."""
        self.number += 1
        if step.failed:
            self.failed.append(Failed(self.number, step))
        elif step.kind is ToolKind.SHELL and self.failed:
            self.worked.append(Worked(self.number, step.command))
        if step.before and not step.failed:
            self.edits.append(Edited(digest(step.path), step.before, step.after))
            del self.edits[:-MAX_EDITS]
        if step.kind is ToolKind.SHELL:
            self.last_shell = step
        elif step.kind in {ToolKind.READ, ToolKind.SEARCH} and not step.failed:
            for failed in self.failed:
                failed.reread = failed.reread or failed.step.path == step.path
        if step.cwd and (not self.root or self.root.startswith(f"{step.cwd}/")):
            self.root = step.cwd
        self._follow_checks(step)
        if self.failed or self.told or self.worked:
            self._forget()

    def _follow_checks(self, step: Step) -> None:
        """Note which checks fail, and which have run since the last edit."""
        if step.kind in _CHANGES:
            if not step.failed:
                self.edited = True
                self.ran.clear()
                self.claimed = None
                self._create(step.path)
            return
        check = check_of(step)
        if not check:
            return
        found_fault = step.failure is not None and step.failure.blame is FailureClass.CHECK
        if found_fault or (step.run is not None and step.run.failed + step.run.errors):
            self.failing[check] = step
        else:
            self.failing.pop(check, None)
        if check not in self.ran:
            self.ran.append(check)
        if self.claimed is not None and self.claimed.check == check:
            self.claimed = None

    def _create(self, path: str) -> None:
        """A file that was missing is there now: that it was missing is no lesson."""
        for failed in self.failed:
            if failed.step.path == path and _is_missing(failed.step):
                failed.weighed = True

    @property
    def attentive(self) -> bool:
        """Whether the agent's own words can tell something: a cause, or a claim that a check contradicts."""
        return self.tests is not None or self.edited or bool(self.failing)

    @property
    def listening(self) -> bool:
        """Whether a later command can still prove something about an earlier failure or a person's words."""
        return bool(self.failed or self.told or self.tests or self.claimed or self.take_back)

    def clean(self, redact: Callable[[str], str]) -> None:
        """Redact what is remembered, as wholes, then cut it. Doing it again changes nothing."""
        redact = at_once(redact, self._texts())
        for step in self._steps():
            clean_step(step, redact)
        for worked in self.worked:
            worked.command = redact(worked.command)[:BRIEF]
        if self.tests is not None:
            self.tests.edited = [redact(path)[:MAX_PATH] for path in self.tests.edited]
        self.root = redact(self.root)
        if self.claimed is not None:
            self.claimed.statement.text = redact(self.claimed.statement.text)

    def _steps(self) -> Iterator[Step]:
        """Every step that is remembered."""
        yield from (failed.step for failed in self.failed)
        yield from (told.turn.rejected for told in self.told if told.turn.rejected)
        yield from self.failing.values()
        if self.struggle is not None:
            yield from (*self.struggle.failed, self.struggle.worked)
        watched = (self.tests.step, self.tests.fixed_by) if self.tests is not None else ()
        yield from (step for step in (self.last_shell, *watched) if step is not None)

    def _texts(self) -> Iterator[str]:
        """Every text that is remembered as it came."""
        for step in self._steps():
            yield step.command
            yield step.path
        yield from (worked.command for worked in self.worked)
        yield from self.tests.edited if self.tests is not None else ()
        yield self.root
        yield from (self.claimed.statement.text,) if self.claimed is not None else ()

    def forget_settled(self) -> None:
        """Drop the failures of which a rule has told what became of them."""
        self.failed = [failed for failed in self.failed if not failed.step.settled]
        self._forget()

    def _forget(self) -> None:
        """Keep the state bounded. Called for every step, so that it looks before it copies."""
        oldest = self.number - HORIZON
        if self.failed and (self.failed[0].number <= oldest or len(self.failed) > MAX_FAILED):
            self.failed = [failed for failed in self.failed if failed.number > oldest][-MAX_FAILED:]
        if self.told and (self.told[0].number <= oldest or len(self.told) > MAX_TOLD):
            self.told = [told for told in self.told if told.number > oldest][-MAX_TOLD:]
        start = self.failed[0].number if self.failed else self.number
        if self.worked and self.worked[0].number <= start:
            self.worked = [worked for worked in self.worked if worked.number > start]


def _is_missing(step: Step) -> bool:
    """Whether a call failed because there is no such file."""
    return step.failure is not None and step.failure.fault is Fault.PATH_MISSING and step.kind is not ToolKind.SHELL


def _listed(output: str, name: str) -> str:
    """The first path in a listing that ends in this file name, if there is exactly one such path."""
    found = ""
    at = output.find(f"/{name}")
    while at >= 0:
        end = at + len(name) + 1
        if output[end : end + 1] in {"", "\n", "\r"}:
            start = max(output.rfind("\n", max(0, at - _LISTED), at), -1) + 1
            line = output[start:end]
            if found and line != found:
                return ""
            found = line if " " not in line and "\t" not in line else ""
        at = output.find(f"/{name}", end)
    return found

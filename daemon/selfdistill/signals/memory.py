"""What must be remembered of earlier calls so that a failure and its fix still pair: bounded, and the same in any cut.

Only unsettled failures, the commands that worked since the oldest of them, and the latest edits are kept; a session
without failures carries almost nothing. The horizon counts calls, not time or bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from msgspec import Struct, field

from selfdistill.model import ToolKind
from selfdistill.signals.edits import digest
from selfdistill.signals.invocations import MAX_COMMAND
from selfdistill.signals.steps import HumanTurn, Step

HORIZON: Final = 40  # calls; repairs further apart are rarely about the same thing
MAX_FAILED: Final = 8
MAX_TOLD: Final = 6
MAX_EDITS: Final = 12
MAX_PATH: Final = 400
BRIEF: Final = 200  # characters kept of a command that worked


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
    """A failed step and its number among the session's calls."""

    number: int
    step: Step


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
    fixed_by: Step | None = None  # set when the tests passed; the agent's next statement may name the cause


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
        if self.failed or self.told or self.worked:
            self._forget()

    @property
    def listening(self) -> bool:
        """Whether a later command can still prove something about an earlier failure or a person's words."""
        return bool(self.failed or self.told or self.tests)

    def clean(self, redact: Callable[[str], str]) -> None:
        """Redact what is remembered, as wholes, then cut it. Doing it again changes nothing."""
        redact = at_once(redact, self._texts())
        for step in self._steps():
            clean_step(step, redact)
        for worked in self.worked:
            worked.command = redact(worked.command)[:BRIEF]
        if self.tests is not None:
            self.tests.edited = [redact(path)[:MAX_PATH] for path in self.tests.edited]

    def _steps(self) -> Iterator[Step]:
        """Every step that is remembered."""
        yield from (failed.step for failed in self.failed)
        yield from (told.turn.rejected for told in self.told if told.turn.rejected)
        watched = (self.tests.step, self.tests.fixed_by) if self.tests is not None else ()
        yield from (step for step in (self.last_shell, *watched) if step is not None)

    def _texts(self) -> Iterator[str]:
        """Every text that is remembered as it came."""
        for step in self._steps():
            yield step.command
            yield step.path
        yield from (worked.command for worked in self.worked)
        yield from self.tests.edited if self.tests is not None else ()

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

"""A state machine over logs and crashes: whatever is done to files in whatever order, each line is learned from once.

Hypothesis appends, tears, truncates, rotates, renames, copies, replaces and deletes logs, kills and restarts the
program and lets it look, now everywhere, now at one log. The oracle is a tally: a distiller with one finding a line.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from homes import AT_ONCE_ANYWHERE
from selfdistill.config import Config
from selfdistill.distill.base import Batch, Distillate
from selfdistill.distill.merging import derive
from selfdistill.model import Action, ActionType, Evidence, Finding, Polarity, Trigger, TriggerType
from selfdistill.service.pipeline import Pipeline, Stopped
from selfdistill.service.running import Run, Selection
from selfdistill.service.surveying import Survey
from selfdistill.service.watched import watched_sources
from selfdistill.sources.claude_code import ClaudeCode
from selfdistill.store import Store

MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None  # noqa: S108 - a directory of its own in there
CONFIG = Config(settling=AT_ONCE_ANYWHERE)
EXAMPLES, MANY_EXAMPLES = 20, 5_000
HOUR_SECONDS = 3600.0


class Tally:
    """A distiller that finds something in each record: its id."""

    name = "tally"
    version = 1

    def distill(self, batch: Batch, carry: bytes | None) -> Distillate:
        """One finding for each event."""
        del carry
        found = tuple(
            Finding(
                rule="tally",
                merge_key=event.uid,
                signal=Polarity.NEUTRAL,
                trigger=Trigger(event.uid, TriggerType.CONSTRAINT),
                action=Action(ActionType.DO, event.uid),
                evidence=(Evidence(event.uid, event.span, event.text, "user"),),
                strength=0.5,
            )
            for event in batch.events
        )
        return Distillate(found, b"", events=len(found))


def uid(number: int) -> str:
    """The id of a line."""
    return f"{number:08d}-0000-4000-8000-000000000000"


def record(number: int) -> bytes:
    """One line without its newline; no two are of one length, so no two logs are of one size by chance."""
    message = {"role": "user", "content": "x" * number}
    return json.dumps({"type": "user", "uuid": uid(number), "message": message, "cwd": "/k"}).encode()


class Log:
    """What the oracle knows of one file: its whole lines, and what of the last one is still to be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[int] = []
        self.torn: int | None = None
        self.to_come = b""
        self.renamed = self.replaced = False  # since somebody looked


class FileActions(RuleBasedStateMachine):
    """The machine."""

    logs = Bundle("logs")

    @initialize()
    def begin(self) -> None:
        """An empty home, and a store."""
        self.place = Path(tempfile.mkdtemp(prefix="selfdistill-machine-", dir=MEMORY))
        self.root = self.place / "home/.claude/projects/k"
        self.root.mkdir(parents=True)
        self.numbers = 0
        self.names = 0
        self.lives = 0
        self.living: list[Log] = []
        self.allowed: Counter[int] = Counter()  # line -> how often it may be read
        self.owed: set[int] = set()  # lines that were there when somebody looked undisturbed
        self.lines_until_kill = 0
        self.open()

    def open(self) -> None:
        """Another process begins."""
        self.state = self.place / f"state-{self.lives}"
        self.state.mkdir(exist_ok=True)
        self.store = Store.open(self.state / "lessons.db", derive=derive, clock=self.clock)
        source = ClaudeCode()
        self.pipeline = Pipeline(self.store, Tally(), {source.name: source}, CONFIG, self.is_killed)
        watched = watched_sources((source,), CONFIG, self.place / "home", {})
        self.survey = Survey(self.store, watched, self.clock, Tally.name)

    @staticmethod
    def clock() -> float:
        """An hour ahead, so that every log has rested long enough."""
        return time.time() + HOUR_SECONDS

    def is_killed(self) -> bool:
        """Whether the process is to be killed at this line."""
        self.lines_until_kill -= 1
        return self.lines_until_kill == 0

    def fresh_name(self) -> Path:
        """A path that never was."""
        self.names += 1
        return self.root / f"log-{self.names}.jsonl"

    def next_line(self) -> int:
        """A line that never was."""
        self.numbers += 1
        return self.numbers

    def write(self, log: Log, data: bytes, mode: str = "ab") -> None:
        """Write to a log, so that its times tell."""
        before = log.path.stat().st_ctime_ns if log.path.exists() else 0
        with log.path.open(mode) as file:
            file.write(data)
        while log.path.stat().st_ctime_ns == before:  # the kernel's clock ticks every 4 ms
            time.sleep(0.001)
            log.path.touch()

    @rule(target=logs)
    def create(self) -> Log:
        """A log with one line."""
        log = Log(self.fresh_name())
        self.living.append(log)
        self.append(log, 1, torn=0.0)
        return log

    @rule(log=logs, count=st.integers(1, 4), torn=st.sampled_from([0.0, 0.0, 0.3, 0.7, 1.0]))
    def append(self, log: Log, count: int, torn: float) -> None:
        """Some lines, the last of them perhaps in part, or whole but without its newline."""
        if log not in self.living:
            return
        data = log.to_come
        if log.torn is not None:
            self.finish(log, log.torn)
        log.torn, log.to_come = None, b""
        for position in range(count):
            number = self.next_line()
            line = record(number) + b"\n"
            if position == count - 1 and torn:
                cut = max(1, int((len(line) - 1) * torn))
                data += line[:cut]
                log.to_come = line[cut:]
                log.torn = number
                if torn == 1.0:
                    self.finish(log, number)
                    log.torn = None
            else:
                data += line
                self.finish(log, number)
        self.write(log, data)

    def finish(self, log: Log, number: int) -> None:
        """A line is whole now."""
        log.lines.append(number)
        self.allowed[number] += 1

    @rule(log=logs, share=st.sampled_from([0.0, 0.3, 0.6]))
    def truncate(self, log: Log, share: float) -> None:
        """Cut at a line's end, or to nothing; what stays may be read again."""
        if log not in self.living:
            return
        log.lines = log.lines[: int(len(log.lines) * share)]
        log.torn, log.to_come = None, b""
        self.allow_again(log)
        self.write(log, b"".join(record(number) + b"\n" for number in log.lines), "r+b")
        with log.path.open("r+b") as file:
            file.truncate(sum(len(record(number)) + 1 for number in log.lines))

    def allow_again(self, log: Log) -> None:
        """The lines of this log may be read once more."""
        self.allowed.update(log.lines)

    @rule(log=logs)
    def rename(self, log: Log) -> None:
        """Another name, the same file."""
        if log in self.living:
            log.path = log.path.rename(self.fresh_name())
            log.renamed = True
            self.allow_for_lost_identity(log)

    def allow_for_lost_identity(self, log: Log) -> None:
        """Another name and another inode before anybody looked: nothing tells that it is the same log."""
        if log.renamed and log.replaced:
            self.allow_again(log)

    @rule(log=logs, target=logs)
    def rotate(self, log: Log) -> Log:
        """The log gets another name and its old name a new log."""
        if log not in self.living:
            return log
        new = Log(log.path)
        log.path = log.path.rename(self.fresh_name())
        self.allow_again(log)
        self.living.append(new)
        self.append(new, 1, torn=0.0)
        return new

    @rule(log=logs, target=logs)
    def copy(self, log: Log) -> Log:
        """A fork: the same lines in another file, which goes on by itself."""
        if log not in self.living:
            return log
        fork = Log(self.fresh_name())
        fork.lines, fork.torn, fork.to_come = list(log.lines), log.torn, log.to_come
        shutil.copyfile(log.path, fork.path)
        self.allow_again(fork)
        self.living.append(fork)
        return fork

    @rule(log=logs)
    def replace(self, log: Log) -> None:
        """An atomic replacement by the same and one line more."""
        if log not in self.living:
            return
        longer = self.place / "longer"
        shutil.copyfile(log.path, longer)
        longer.replace(log.path)
        log.replaced = True
        self.allow_for_lost_identity(log)
        self.append(log, 1, torn=0.0)

    @rule(log=consumes(logs))
    def delete(self, log: Log) -> None:
        """It is gone, with whatever nobody has read of it."""
        if log in self.living:
            self.living.remove(log)
            log.path.unlink()

    @rule(log=logs)
    def hint(self, log: Log) -> None:
        """An event leads the program to one log."""
        self.survey.look([log.path])
        self.distil()

    @rule()
    def look(self) -> None:
        """A pass over everything, undisturbed: all that is whole on disk is learned now."""
        self.survey.full_pass()
        self.distil()
        for log in self.living:
            self.owed.update(log.lines)
            log.renamed = log.replaced = False
        self.check()

    def distil(self) -> None:
        """Distill what is pending."""
        run = Run(self.store, self.pipeline, CONFIG.settling, self.clock)
        run.process(self.store.pending(), Selection(limit=0))
        assert not run.report.failed

    @rule(line=st.integers(1, 12))
    def kill_in_a_pass(self, line: int) -> None:
        """The process is killed at some line of a pass, or just behind it."""
        self.lines_until_kill = line
        with suppress(Stopped):
            self.survey.full_pass()
            self.distil()
        self.lines_until_kill = 0
        self.lives += 1
        shutil.copytree(self.state, self.place / f"state-{self.lives}")  # as it is on disk, with its journal
        self.store.close()
        self.open()

    @rule()
    def restart(self) -> None:
        """The process ends in good order, and another one begins."""
        self.store.close()
        self.open()

    def check(self) -> None:
        """Nothing is lost, and nothing read more often than it had to be."""
        found = {row[0] for row in self.store._database.rows("SELECT merge_key FROM findings")}
        assert {uid(number) for number in self.owed} <= found
        assert found <= {uid(number) for number in self.allowed}
        read = sum(source.records.total for source in self.store.census().values())
        assert len(found) <= read <= self.allowed.total()

    def teardown(self) -> None:
        """One last look; the database is sound."""
        if not hasattr(self, "place"):
            return
        try:
            self.look()
            self.store._database.check()
        finally:
            self.store.close()
            shutil.rmtree(self.place)


def budget(examples: int) -> settings:
    """Settings for so many examples; they are as slow as files and SQLite are."""
    return settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


class TestFileActions(FileActions.TestCase):  # type: ignore[valid-type,misc]
    """Some examples with each run."""

    settings = budget(EXAMPLES)


@pytest.mark.full
class TestManyFileActions(FileActions.TestCase):  # type: ignore[valid-type,misc]
    """As many as Vector runs of its own machine (`lib/file-source`)."""

    settings = budget(MANY_EXAMPLES)

"""A small desk to work with the store: invented logs and findings, and a way of deriving that anybody can check."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import pytest

from selfdistill.model import (
    Action,
    ActionType,
    Cursor,
    Evidence,
    Finding,
    Lesson,
    LessonState,
    Mishap,
    Polarity,
    Proof,
    Records,
    Scope,
    Session,
    Span,
    Stat,
    StoredFinding,
    Trigger,
    TriggerType,
)
from selfdistill.store import Commit, Committed, Derive, ProjectRef, Store, Verdict

MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of its own in there
KETTLE = ProjectRef("kettle", "git@example.org:mara/kettle.git")
TEAPOT = ProjectRef("teapot", "git@example.org:mara/teapot.git")


def derive(findings: Sequence[StoredFinding], verdict: Verdict | None) -> Lesson | None:
    """One lesson for one or more findings; support is the number of sessions that saw any."""
    del verdict
    if not findings:
        return None
    first = findings[0]
    finding = first.finding
    sessions = {sighting.session for stored in findings for sighting in stored.sightings}
    times = [time for stored in findings for sighting in stored.sightings for time in sighting.times if time]
    return Lesson(
        id=blake2b(f"{first.project}\n{finding.merge_key}".encode(), digest_size=8).hexdigest(),
        project=first.project,
        merge_key=finding.merge_key,
        signal=finding.signal,
        trigger=finding.trigger,
        action=finding.action,
        rationale=finding.rationale,
        confidence=1 - 0.5 ** len(sessions),
        scope=Scope.PROJECT,
        tags=finding.tags,
        state=LessonState.ACTIVE if len(sessions) >= finding.needs else LessonState.PENDING,
        support=len(sessions),
        distiller=first.distiller,
        version=max(stored.version for stored in findings),
        first_seen=min(times, default=None),
        last_seen=max(times, default=None),
        covers=finding.covers,
        prefers=finding.prefers,
        over=finding.over,
        first_session=min(sessions),
    )


def finding(
    key: str, *uids: str, at: int = 0, condition: str = "", action: str = "", tags: tuple[str, ...] = ()
) -> Finding:
    """A finding with one record of evidence for each uid, the first one at byte `at`."""
    return Finding(
        rule="command_repair",
        merge_key=key,
        signal=Polarity.NEGATIVE,
        trigger=Trigger(condition or f"{key} fails", TriggerType.DEBUGGING),
        action=Action(ActionType.DO, action or f"repair {key}"),
        evidence=tuple(
            Evidence(uid, Span(at + 100 * number, 90), f"quote of {uid}", "failed call", 1000.0 + at)
            for number, uid in enumerate(uids)
        ),
        strength=0.5,
        tags=tags,
    )


def cursor(offset: int, *, version: int = 1, generation: int = 0) -> Cursor:
    """A cursor at this byte."""
    proof = Proof(offset, min(offset, 1024), b"head", min(offset, 256), b"tail%d" % offset)
    return Cursor(proof, generation, version, b"state", b"carry")


def stat(number: int, size: int = 1000, changed: int = 1) -> Stat:
    """What stat says of an invented log."""
    return Stat(dev=1, ino=number, size=size, mtime_ns=changed, ctime_ns=changed)


class Clock:
    """A clock that stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now


@dataclass
class Desk:
    """A store with ways to fill it in one line."""

    path: Path
    clock: Clock = field(default_factory=Clock)
    stores: list[Store] = field(default_factory=list)
    after: dict[tuple[int, str], Cursor] = field(default_factory=dict)
    derive: Derive = derive

    def open(self, busy_seconds: float = 5.0) -> Store:
        """Another open store on the same file."""
        store = Store.open(self.path, derive=self.derive, clock=self.clock, busy_seconds=busy_seconds)
        self.stores.append(store)
        return store

    def log(self, store: Store, name: str, number: int = 1) -> int:
        """A log that waits."""
        path = Path("/home/mara/.agent/logs") / name
        return store.see("claude_code", Path(name).stem, path, stat(number), changed_at=1.0, pending_since=1.0)

    def commit(
        self,
        store: Store,
        log_id: int,
        *findings: Finding,
        project: ProjectRef = KETTLE,
        provisional: bool = False,
        restart: bool = False,
        version: int = 1,
        distiller: str = "heuristic",
        session: str = "",
        mishaps: Sequence[Mishap] = (),
        chances: Mapping[int, int] | None = None,
        looked: Stat | None = None,
    ) -> Committed:
        """Commit findings at the next cursor of this log."""
        before = self.after.get((log_id, distiller))
        after = cursor((before.proof.offset if before else 0) + 100, version=version)
        done = store.commit(
            Commit(
                log_id=log_id,
                distiller=distiller,
                version=version,
                before=before,
                after=after,
                session=Session(id=session),
                records=Records(total=2, known=1, unknown=1, unknown_types={"novelty": 1}),
                stat=looked or stat(log_id),
                findings=[(project, found, provisional) for found in findings],
                mishaps=[(project, mishap) for mishap in mishaps],
                restart=restart,
                project=project.key,
                chances=chances or {},
            )
        )
        self.after[log_id, distiller] = after
        return done


@pytest.fixture
def desk() -> Iterator[Desk]:
    """An empty state directory with a desk before it; in memory where possible, so that no test waits for a disk."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as base:
        Path(base).chmod(0o755)
        state = Path(base) / "state"
        state.mkdir(mode=0o700)
        desk = Desk(state / "lessons.db")
        yield desk
        for store in desk.stores:
            store.close()


@pytest.fixture
def store(desk: Desk) -> Store:
    """An open, empty store."""
    return desk.open()


@pytest.fixture
def make_finding() -> Callable[..., Finding]:
    """The maker of findings."""
    return finding


@pytest.fixture
def make_cursor() -> Callable[..., Cursor]:
    """The maker of cursors."""
    return cursor


@pytest.fixture
def make_stat() -> Callable[..., Stat]:
    """The maker of stats."""
    return stat


@pytest.fixture
def kettle() -> ProjectRef:
    """One project with a git remote."""
    return KETTLE


@pytest.fixture
def teapot() -> ProjectRef:
    """Another project with another remote."""
    return TEAPOT

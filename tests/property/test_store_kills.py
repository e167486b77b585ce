"""Processes that commit numbered findings are killed at any instant: nothing lost, nothing doubled.

Each life is forked from this process, which has all imports done (the zygote of reliability.md, section 9).
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from selfdistill.model import (
    Action,
    ActionType,
    Cursor,
    Evidence,
    Finding,
    Lesson,
    LessonState,
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
from selfdistill.store import Commit, ProjectRef, Store, Verdict
from support.examples import TIMES

KILLS = 50 * TIMES
LONGEST_LIFE_SECONDS = 0.06
WIDTH = 8  # bytes of one acknowledged number


def derive(findings: Sequence[StoredFinding], verdict: Verdict | None) -> Lesson | None:
    """One lesson for each number."""
    del verdict
    if not findings:
        return None
    finding = findings[0].finding
    return Lesson(
        id=finding.merge_key,
        project=findings[0].project,
        merge_key=finding.merge_key,
        signal=finding.signal,
        trigger=finding.trigger,
        action=finding.action,
        rationale="",
        confidence=0.5,
        scope=Scope.PROJECT,
        tags=(),
        state=LessonState.ACTIVE,
        support=len(findings),
        distiller="heuristic",
        version=1,
    )


def numbered(number: int) -> Finding:
    """The finding with this number, long enough to need pages of its own now and then."""
    return Finding(
        rule="rule",
        merge_key=f"number {number}",
        signal=Polarity.NEGATIVE,
        trigger=Trigger(f"it fails {number}", TriggerType.DEBUGGING),
        action=Action(ActionType.DO, "repair it"),
        evidence=(Evidence(f"u{number}", Span(number, 1), "quote " * 50, "failed call"),),
        strength=0.5,
    )


def live(path: Path, acknowledge: int, batch: int) -> None:
    """Go on where the last life ended, and say each number only once it is committed; first say 0."""
    store = Store.open(path, derive=derive)
    os.write(acknowledge, b"%*d" % (WIDTH, 0))
    stat = Stat(1, 1, 100, 1, 1)
    log_id = store.see("codex", "s", Path("/home/mara/s.jsonl"), stat, changed_at=1.0, pending_since=1.0)
    while True:
        with store.transaction():
            for _ in range(batch):
                before = store.cursor(log_id, "heuristic")
                number = before.proof.offset + 1 if before else 1
                after = Cursor(Proof(number, 1, b"h", 1, b"%d" % number), 0, 1)
                found = [(ProjectRef("kettle"), numbered(number), False)]
                store.commit(Commit(log_id, "heuristic", 1, before, after, Session("s"), Records(), stat, found))
        os.write(acknowledge, b"%*d" % (WIDTH, number))


def last_words(path: Path, batch: int, life_seconds: float, *, from_birth: bool = False) -> int:
    """The last number that a process acknowledged before it was killed, so long after birth or its first word."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            live(path, writer, batch)
        finally:
            os._exit(99)
    os.close(writer)
    said = b"" if from_birth else os.read(reader, WIDTH)
    time.sleep(life_seconds)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "the process ended by itself"
    while chunk := os.read(reader, 65536):
        said += chunk
    os.close(reader)
    return int(said[-WIDTH:] or b"0")


def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """After many kills at random instants the store holds exactly the numbers up to its cursor, and is sound."""
    path = tmp_path / "lessons.db"
    chance = random.Random(20261123)  # noqa: S311 - repeatable on purpose
    acknowledged = 0
    for life in range(KILLS):
        batch = 1 if life % 3 else 5
        said = last_words(path, batch, chance.random() * LONGEST_LIFE_SECONDS, from_birth=life % 4 == 0)
        acknowledged = max(acknowledged, said)
    with Store.open(path, derive=derive) as store:
        (known,) = store.present()
        cursor = store.cursor(known.id, "heuristic")
        assert cursor is not None
        last = cursor.proof.offset
        assert last >= acknowledged > KILLS
        lessons = {lesson.merge_key for lesson in store.lessons("kettle")}
        assert lessons == {f"number {number}" for number in range(1, last + 1)}
        assert len(store.search("fails", "kettle", limit=-1)) == last
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("SELECT count(*) FROM findings").fetchone() == (last,)
    assert connection.execute("SELECT count(*) FROM sightings").fetchone() == (last,)
    connection.close()

"""Which process came first, in which order logs were met and how commits were batched leaves no trace."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

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
from selfdistill.store import Commit, ProjectRef, Store, Verdict
from support.examples import examples

LOGS = 4
MEMORY = Path("/dev/shm")  # noqa: S108 - no waiting for the disk: what is tested here is order
# Project "d" is seen with two remotes, as after a move of the repository.
PROJECTS = [
    ProjectRef("a", "r1"),
    ProjectRef("b", "r2"),
    ProjectRef("c", ""),
    ProjectRef("d", "r1"),
    ProjectRef("d", "r3"),
]

Step = tuple[list[tuple[ProjectRef, Finding, bool]], int, bool]


def derive(findings: Sequence[StoredFinding], verdict: Verdict | None) -> Lesson | None:
    """A lesson that shows all that it was given, and in which order; only log ids may differ between stores."""
    del verdict
    if not findings:
        return None
    shown = [
        (
            found.id,
            found.version,
            found.remote,
            found.finding.action.description,
            [seen.session for seen in found.sightings],
        )
        for found in findings
    ]
    first = findings[0]
    key = first.finding.merge_key
    sessions = {seen.session for found in findings for seen in found.sightings}
    return Lesson(
        id=blake2b(f"{first.project}\n{key}".encode(), digest_size=8).hexdigest(),
        project=first.project,
        merge_key=key,
        signal=first.finding.signal,
        trigger=first.finding.trigger,
        action=first.finding.action,
        rationale=repr(shown),
        confidence=1 - 0.5 ** len(sessions),
        scope=Scope.PROJECT,
        tags=(),
        state=LessonState.ACTIVE,
        support=len(sessions),
        distiller=first.distiller,
        version=first.version,
        first_seen=1.0,
        covers=(key,),
        first_session=min(sessions),
    )


@st.composite
def findings(draw: st.DrawFn) -> tuple[ProjectRef, Finding, bool]:
    """A finding out of few, so that logs share them and copies differ."""
    uids = draw(st.lists(st.sampled_from("uvw"), min_size=1, max_size=2, unique=True))
    start = draw(st.integers(0, 3))
    found = Finding(
        rule="rule",
        merge_key=draw(st.sampled_from(["k1", "k2"])),
        signal=Polarity.NEGATIVE,
        trigger=Trigger("it fails", TriggerType.DEBUGGING),
        action=Action(ActionType.DO, draw(st.sampled_from(["this", "that"]))),
        evidence=tuple(
            Evidence(uid, Span(start + place, 1), uid, "failed call", 1.0) for place, uid in enumerate(uids)
        ),
        strength=0.5,
    )
    return draw(st.sampled_from(PROJECTS)), found, draw(st.booleans())


# What one log is distilled to, commit by commit: findings, version of the distiller, restart.
steps = st.lists(st.tuples(st.lists(findings(), max_size=3), st.integers(1, 2), st.booleans()), min_size=1, max_size=3)
worlds = st.lists(steps, min_size=2, max_size=LOGS)


def cursor(number: int, version: int) -> Cursor:
    """The cursor after this many commits."""
    return Cursor(Proof(number, number, b"h", number, b"t%d" % number), 0, version)


def work_of(store: Store, log: int, number: int, before: Cursor | None, step: Step) -> Commit:
    """One step of one log, ready to be committed."""
    found, version, restart = step
    stat = Stat(1, log, 100, 1, 1)
    path = Path(f"/home/mara/logs/{log}.jsonl")
    log_id = store.see("codex", f"s{log}", path, stat, changed_at=1.0, pending_since=1.0)
    after = cursor(number + 1, version)
    # Every record of evidence fails in its log a moment after it was written, so that copies fail at other times.
    mishaps = [
        (project, Mishap(evidence.uid, finding.merge_key, at=1.0 + log))
        for project, finding, _ in found
        for evidence in finding.evidence
    ]
    return Commit(
        log_id, "heuristic", version, before, after, Session(), Records(total=1), stat, found, mishaps, restart=restart
    )


def contents(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """All that was stored, without numbers that only count insertions, and without our own times."""
    queries = {
        "findings": "SELECT * FROM findings",
        "sightings": "SELECT name, sightings.* FROM sightings JOIN logs ON id = log_id",
        "lessons": "SELECT * FROM lessons",
        "shared": "SELECT * FROM shared_keys",
        "mishaps": "SELECT mishaps.project, cause, uid, name, mishaps.session, at, began"
        " FROM mishaps JOIN logs ON id = log_id",
        "logs": "SELECT name, records_total, pending_since, distilled_size FROM logs",
    }
    rows = {name: store._database.rows(query) for name, query in queries.items()}
    rows["sightings"] = [(*row[:2], *row[3:]) for row in rows["sightings"]]
    rows["lessons"] = [(*row[1:22], *row[24:]) for row in rows["lessons"]]
    store._database.run("INSERT INTO lessons_index(lessons_index, rank) VALUES ('integrity-check', 1)")
    return {name: sorted(found, key=repr) for name, found in rows.items()}


def distilled(world: list[list[Step]], turns: list[int], batches: list[tuple[int, int]]) -> dict[str, Any]:
    """What two stores on one file make of the world, if logs get their turns in this order and in these batches.

    A batch is (which store, how many commits); when they run out, commits go alone.
    """
    queue = [(log, number) for number in range(3) for log in range(len(world)) if number < len(world[log])]
    order = [queue.pop(turn % len(queue)) for turn in turns if queue] + queue
    # Within one log the order is fixed: that is what its cursor is for.
    counts = dict.fromkeys(range(len(world)), 0)
    cursors: dict[int, Cursor] = {}
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        path = Path(directory) / "lessons.db"
        with Store.open(path, derive=derive) as one, Store.open(path, derive=derive) as other:
            while order:
                which, size = batches.pop() if batches else (0, 1)
                store = (one, other)[which]
                works = []
                for log, _ in order[:size]:
                    number = counts[log]
                    works.append(work_of(store, log, number, cursors.get(log), world[log][number]))
                    cursors[log] = works[-1].after
                    counts[log] += 1
                if size % 2:  # each by itself, and all at once: lessons are derived as often, or once
                    with store.transaction():
                        for work in works:
                            store.commit(work)
                else:
                    assert all(store.commit_all(works)[0])
                order = order[size:]
            return contents(one)


FLIP = Finding(
    "rule",
    "k1",
    Polarity.NEGATIVE,
    Trigger("it fails", TriggerType.DEBUGGING),
    Action(ActionType.DO, "this"),
    (Evidence("u", Span(0, 1), "u", "failed call"),),
    0.5,
)


@examples(30)
@given(
    world=worlds,
    turns=st.lists(st.integers(0, 11), max_size=12),
    batches=st.lists(st.tuples(st.integers(0, 1), st.integers(1, 4)), max_size=12),
)
@example(
    world=[[([(PROJECTS[0], FLIP, True)], 2, False), ([], 2, False)], [([(PROJECTS[0], FLIP, False)], 1, False)]],
    turns=[0, 1, 0],
    batches=[],
)
def test_order_leaves_no_trace(world: list[list[Step]], turns: list[int], batches: list[tuple[int, int]]) -> None:
    """Any order of logs, any batching and any share between two processes give the same rows."""
    assert distilled(world, turns, list(batches)) == distilled(world, [], [])


@examples(10)
@given(world=worlds)
def test_a_restart_is_a_fresh_start(world: list[list[Step]]) -> None:
    """Logs that are distilled again from the beginning leave the same findings and lessons as logs distilled once."""
    once = [[(log[-1][0], log[-1][1], True)] for log in world]
    again = [[*log, (log[-1][0], log[-1][1], True)] for log in world]
    known, renewed = distilled(once, [], []), distilled([log[-3:] for log in again], [2, 1, 0], [(1, 2)])
    for table in ("findings", "sightings", "lessons", "shared"):
        assert known[table] == renewed[table]

"""Duplicates after running everything twice: the real pipeline over all real logs, its store in a temporary directory.

Everything is read once, once more (nothing is due), once more from the start (`run --again`), and once more as copies
under other names. Lessons or findings that the second and third time add are duplicates.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.quality.data import Log, real_logs, say
from bench.quality.metric import Metric
from msgspec import Struct

from selfdistill.config import Config, Places
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection


class Learned(Struct):
    """What a store holds: how many lessons, how many findings they rest on, how many sessions those stand for."""

    lessons: int
    findings: int
    support: int
    alike: int = 0  # lessons that say word for word what another one of the same project says

    def __sub__(self, other: Learned) -> Learned:
        """What came on top."""
        return Learned(self.lessons - other.lessons, self.findings - other.findings, self.support - other.support)

    @property
    def any(self) -> int:
        """How much there is of anything that must not double."""
        return max(0, self.lessons) + max(0, self.findings) + max(0, self.support)


def measure(data: Path) -> list[Metric]:
    """The share of what was learned that a repetition adds: 0 is right, 1 is everything twice."""
    with tempfile.TemporaryDirectory(prefix="selfdistill-reruns-") as directory:
        place = Path(directory)
        count = _lay_out(data, place / "logs")
        if not count:
            return []
        _lay_out(data, place / "copies")
        return _measure(place, count)


def _lay_out(data: Path, place: Path) -> int:
    """Write every log below a directory, one directory for each project; returns how many there are."""
    count = 0
    for log in real_logs(data):
        _write(log, place / log.project, count)
        count += 1
    return count


def _write(log: Log, directory: Path, number: int) -> None:
    """One log under a name of its own; Codex' names say when a session began, so they stay."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / log.name
    (path if not path.exists() else directory / f"{number}-{log.name}").write_bytes(log.content)


def _measure(place: Path, count: int) -> list[Metric]:
    """Run four times over what lies below the directory, and compare what is known after each."""
    assembly = assemble(Config(), Places(config=place / "config.toml", state=place / "state"), place, {})
    with assembly.store:
        first = _learn(assembly, Selection(limit=0, paths=(place / "logs",)))
        second = _learn(assembly, Selection(limit=0, paths=(place / "logs",)))
        again = _learn(assembly, Selection(limit=0, paths=(place / "logs",), again=True))
        copied = _learn(assembly, Selection(limit=0, paths=(place / "copies",)))
    if not first.lessons:
        say("reruns: no log taught anything, so nothing could double.")
        return []
    doubled = max((second - first).any, (again - first).any) / first.any
    note = (
        f"{count} logs, {first.findings} findings; on top: a second run {_told(second - first)}, from the start "
        f"{_told(again - first)}, a copy of every log {_told(copied - first)} (lessons, findings, sessions); "
        f"{first.alike} lessons say what another one of their project says"
    )
    return [Metric("rerun_duplicates", doubled, first.lessons, doubled, doubled, baseline=1.0, note=note)]


def _learn(assembly: Assembly, selection: Selection) -> Learned:
    """What is known after a run."""
    done = one_pass(assembly, selection)
    for path, problem in sorted(done.failed.items()):
        say(f"reruns: {path} could not be distilled: {problem}")
    return _known(assembly)


def _known(assembly: Assembly) -> Learned:
    """What the store holds, lessons in every state."""
    lessons = assembly.store.lessons(None, state=None, everywhere=True)
    findings = {finding.id for lesson in lessons for finding in assembly.store.evidence(lesson.id)}
    said = {(lesson.project, lesson.trigger.condition, lesson.action.description) for lesson in lessons}
    return Learned(
        lessons=len(lessons),
        findings=len(findings),
        support=sum(lesson.support for lesson in lessons),
        alike=len(lessons) - len(said),
    )


def _told(added: Learned) -> str:
    return f"{added.lessons:+d}, {added.findings:+d}, {added.support:+d}"

"""What happened in a run, and its record, the manifest."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from selfdistill.manifest import Manifest, ManifestLesson, Usage
from selfdistill.model import Lesson


class Report(Struct):
    """What a run has done so far."""

    sessions: set[str]
    skipped: Counter[str]
    failed: dict[str, str]
    created: dict[str, Lesson]
    merged: dict[str, Lesson]
    paths: list[str]
    bytes_read: int = 0

    @classmethod
    def empty(cls) -> Report:
        """Nothing done yet."""
        return cls(set(), Counter(), {}, {}, {}, [])

    def learn(self, created: Mapping[str, Lesson], merged: Mapping[str, Lesson]) -> None:
        """Take in what a commit did to the lessons."""
        self.created.update(created)
        for lesson_id, lesson in merged.items():
            target = self.created if lesson_id in self.created else self.merged
            target[lesson_id] = lesson


def new_run_id() -> str:
    """A name for a run that no other has."""
    return f"run-{uuid.uuid4().hex[:12]}"


def manifest(
    report: Report,
    *,
    started: float,
    completed: float,
    dry_run: bool,
    mode: str,
    run_id: str = "",
    usage: Usage = Usage(),  # noqa: B008 - frozen
) -> Manifest:
    """The record of a run."""
    lessons = sorted(report.created.values(), key=lambda lesson: (-lesson.confidence, lesson.id))
    return Manifest(
        id=run_id or new_run_id(),
        started_at=iso(started),
        completed_at=iso(completed),
        dry_run=dry_run,
        analysis_mode=mode,
        sessions_processed=len(report.sessions),
        sessions_skipped=dict(sorted(report.skipped.items())),
        sessions_failed=len(report.failed),
        lessons_generated=len(report.created),
        lessons_merged=len(report.merged),
        log_paths=tuple(dict.fromkeys(report.paths)),  # a huge log is read in several pieces
        lessons=tuple(ManifestLesson(one.signal, one.trigger, one.action, one.confidence) for one in lessons),
        usage=usage,
    )


def iso(when: float) -> str:
    """A time as ISO 8601 in UTC, milliseconds."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

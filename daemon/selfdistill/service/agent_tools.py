"""What agents may ask of us over MCP: the doing of each tool. Knows nothing of the protocol."""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from selfdistill.config import Config, Places
from selfdistill.errors import StoreBusy, UsageError
from selfdistill.model import Lesson, LessonState, ToolKind
from selfdistill.privacy.redaction import Redactor
from selfdistill.recall import hook
from selfdistill.recall.ranking import as_moment
from selfdistill.recall.situations import Query
from selfdistill.service.agent_words import (
    MARK,
    MOST_LESSONS,
    FeedbackAnswer,
    FeedbackArguments,
    GetArguments,
    LessonAnswer,
    LessonsAnswer,
    RetrieveArguments,
    SearchArguments,
    Shown,
    StatusAnswer,
    StatusArguments,
    Told,
)
from selfdistill.service.assembly import open_store
from selfdistill.service.processes import identity, is_alive, may_be_same
from selfdistill.service.project_at import project_of
from selfdistill.service.state_directory import prepare_state_directory
from selfdistill.store import Store

if TYPE_CHECKING:
    from collections.abc import Mapping

_EVIDENCE: Final = 12  # records that are shown
_NO_RUNS: Final = "No self-distill runs found."  # the original tool's words
_NO_LESSONS: Final = "There are no lessons yet. run_self_distill learns them from this machine's conversation logs."


class Desk:
    """What the tools work on.

    One of them at a time uses the store in this process: a snapshot may not be closed beside a connection that writes
    (store/snapshot.py). A run is a process of its own.
    """

    def __init__(
        self, places: Places, home: Path, environment: Mapping[str, str], load_config: Callable[[], Config]
    ) -> None:
        self.places = places
        self.home = home
        self.environment = environment
        self.load_config = load_config
        self.session = f"mcp-{uuid4()}"
        self._one_at_a_time = threading.Lock()

    def redact(self, text: str) -> str:
        """The text without secrets."""
        return Redactor(self.load_config().privacy.extra_patterns)(text)

    def status(self, _arguments: StatusArguments) -> StatusAnswer:
        """The last run and the totals, out of the store; the daemon's state, out of its status file."""
        with self._one_at_a_time:
            store = Store.open_read_only(self.places.database)
            if store is None:
                return StatusAnswer(_NO_RUNS, None, None, 0, 0, None, None, None, 0, 0, self._daemon())
            with store:
                totals, sessions, pending = store.totals(), store.sessions(), store.standing().pending
        last = totals.last
        return StatusAnswer(
            message=f"The last run was completed at {last.completed_at}." if last else _NO_RUNS,
            last_run_id=last.id if last else None,
            last_run_at=last.completed_at if last else None,
            total_runs=totals.runs,
            total_lessons=totals.lessons,
            last_analysis_mode=last.analysis_mode if last else None,
            last_sessions_processed=last.sessions_processed if last else None,
            last_lessons_generated=last.lessons_generated if last else None,
            total_sessions=sessions,
            pending_lessons=pending,
            daemon=self._daemon(),
        )

    def search(self, arguments: SearchArguments) -> LessonsAnswer:
        """Active lessons that share words with a text."""
        with self._one_at_a_time:
            store = Store.open_read_only(self.places.database)
            if store is None:
                return LessonsAnswer(MARK, (), _NO_LESSONS)
            with store:
                found = store.search(arguments.query, project_of(store, arguments.directory), arguments.limit)
        return LessonsAnswer(
            MARK,
            tuple(_told(one) for one in found),
            "" if found else "No lesson of this project shares a word with it.",
        )

    def retrieve(self, arguments: RetrieveArguments) -> LessonsAnswer:
        """The lessons whose moment this is, as hooks would tell them: for the error, command, files and request."""
        with self._one_at_a_time:
            store = Store.open_read_only(self.places.database)
            if store is None:
                return LessonsAnswer(MARK, (), _NO_LESSONS)
            with store:
                fitting = self._fitting(arguments)
                told = [_told(store.lesson(name), why) for name, why in fitting.items()]
        silence = "Nothing is known about this moment; that is the usual answer. search_lessons looks by words alone."
        return LessonsAnswer(MARK, tuple(told), "" if told else silence)

    def get(self, arguments: GetArguments) -> LessonAnswer:
        """One lesson with its evidence."""
        with self._one_at_a_time:
            store = Store.open_read_only(self.places.database)
            if store is None:
                raise UsageError(f"There is no lesson {arguments.id}.", _NO_LESSONS)
            with store:
                lesson = _tellable(store, arguments.id)
                findings = store.evidence(lesson.id)
        shown = [
            Shown(one.role, stored.sightings[0].session, one.quote)
            for stored in findings
            for one in stored.finding.evidence
        ]
        return LessonAnswer(
            marker=MARK,
            lesson=_told(lesson),
            project=lesson.project,
            tags=lesson.tags,
            distiller=f"{lesson.distiller} {lesson.version}",
            model=lesson.model,
            helped=lesson.helped,
            recurred=lesson.recurred,
            feedback=lesson.feedback,
            evidence=tuple(shown[:_EVIDENCE]),
        )

    def feedback(self, arguments: FeedbackArguments) -> FeedbackAnswer:
        """Keep what this session says of a lesson."""
        note = self.redact(arguments.note)
        with self._one_at_a_time:
            if not self.places.database.exists():
                raise UsageError(f"There is no lesson {arguments.id}.", _NO_LESSONS)
            prepare_state_directory(self.places.state)
            with open_store(self.places) as store:
                lesson = _tellable(store, arguments.id)
                after = store.say(lesson.id, self.session, helpful=arguments.helpful, note=note)
        heard = (
            "It is told a little sooner" if arguments.helpful else "It sinks a little, and a person is asked about it"
        )
        return FeedbackAnswer(after.id, after.feedback, after.state, f"Kept. {heard}; only people approve or reject.")

    def _fitting(self, arguments: RetrieveArguments) -> dict[str, str]:
        """Ids of the lessons to tell, best first, with the part of the question that each answers."""
        cwd = str(Path(arguments.directory or ".").absolute())
        found: dict[str, str] = {}
        for event, query, why in _questions(arguments, cwd):
            try:
                lessons = hook.lessons_for(event, str(self.places.database), cwd, as_moment(query), "", found)
            except (hook.sqlite3.Error, OSError) as error:  # type: ignore[attr-defined]  # sqlite3 is the store's
                raise StoreBusy(
                    f"The store {self.places.database} cannot be read now: {error}.", "Try again in a moment."
                ) from error
            found.update((one.id, why) for one in lessons[: MOST_LESSONS - len(found)])
        return found

    def _daemon(self) -> str:
        """What the daemon says of itself, if it lives."""
        try:
            table = tomllib.loads(self.places.status.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return "never started"
        except (OSError, ValueError):
            return "unknown: the status file cannot be read"
        pid, state = table.get("pid"), str(table.get("state", ""))
        if state == "stopped" or not isinstance(pid, int) or not is_alive(pid):
            return "not running"
        return state if may_be_same(str(table.get("process", "")), identity(pid)) else "not running"


def _questions(arguments: RetrieveArguments, cwd: str) -> Iterator[tuple[str, Query, str]]:
    """The moments that a question is about, most telling first: the hook's event, the query, and what to call it."""
    task, command = arguments.task, arguments.command
    if arguments.error:
        shell = Query(kind=ToolKind.SHELL, tool="Bash", command=command) if command else Query()
        failed = Query(kind=shell.kind, tool=shell.tool, command=command, cwd=cwd, error=arguments.error, request=task)
        yield "post_tool_failure", failed, "the error"
    if command:
        yield "pre_tool_use", Query(kind=ToolKind.SHELL, tool="Bash", command=command, cwd=cwd), "the command"
    for name in arguments.files:
        path = str(Path(cwd) / name)
        yield "pre_tool_use", Query(kind=ToolKind.EDIT, tool="Edit", path=path, cwd=cwd), f"the file {name}"
    yield "user_prompt", Query(request=task, cwd=cwd), "the task"


def _tellable(store: Store, prefix: str) -> Lesson:
    """The active lesson whose id begins so; UsageError for any other."""
    lesson = store.lesson(prefix)
    if lesson.state is not LessonState.ACTIVE:
        raise UsageError(
            f"The lesson {lesson.id} is {lesson.state}, so agents are not told it.",
            "Go on without it; a person can look at it with `selfdistill lessons show`.",
        )
    return lesson


def _told(lesson: Lesson, because: str = "") -> Told:
    return Told(
        id=lesson.id,
        trigger=lesson.trigger,
        action=lesson.action,
        rationale=lesson.rationale,
        confidence=lesson.confidence,
        support=lesson.support,
        scope=lesson.scope,
        because=because,
    )

"""What agents may ask of us over MCP, as data: the arguments and the answer of each tool.

Answers that hold lessons begin with our mark, so that our own distiller, meeting them in a log, takes them out again.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from selfdistill.manifest import Manifest, ManifestLesson
from selfdistill.model import Action, LessonState, Scope, Trigger
from selfdistill.sources.injections import OWN_NAME

MARK: Final = f"<{OWN_NAME}>"
MOST_FILES: Final = 20
MOST_LESSONS: Final = 5  # that one moment is told; more are noise

Text = Annotated[str, Meta(max_length=20_000)]
Name = Annotated[str, Meta(max_length=4_096)]
LessonId = Annotated[
    str, Meta(min_length=1, max_length=64, description="A lesson's `id` as another tool gave it, or its beginning.")
]
Directory = Annotated[
    str, Meta(max_length=4_096, description="A directory of the project; default: where this server was started.")
]
Marked = Annotated[str, Meta(description="Tells selfdistill's own log reader to leave this answer out.")]


class _Arguments(Struct, forbid_unknown_fields=True, rename="camel"):
    """Arguments have the original tool's names."""


class _Answer(Struct, rename="camel"):
    """Answers have the original tool's names."""


class RunArguments(_Arguments):
    """What to distill."""

    dry_run: Annotated[bool, Meta(description="Analyse and report only: nothing is written, no model is asked.")] = (
        False
    )
    limit: Annotated[int, Meta(ge=0, le=1_000_000, description="At most so many sessions, newest first; 0: all.")] = 20
    model: Annotated[
        str | None,
        Meta(
            description="Also ask this Anthropic model, e.g. claude-haiku-4-5; needs a key: the configuration's, or"
            " ANTHROPIC_API_KEY. Without it the configuration decides (default: no model, nothing is sent)."
        ),
    ] = None


class StatusArguments(_Arguments):
    """Nothing to say."""


class SearchArguments(_Arguments):
    """What to look for."""

    query: Annotated[str, Meta(min_length=1, max_length=20_000, description="Any text; lessons that share words come.")]
    limit: Annotated[int, Meta(ge=1, le=100)] = 10
    directory: Directory | None = None


class RetrieveArguments(_Arguments):
    """What is about to be done, or has just failed."""

    task: Annotated[Text, Meta(description="What you are asked to do, in a sentence or two.")]
    files: Annotated[
        tuple[Name, ...], Meta(max_length=MOST_FILES, description="Files that you are about to change.")
    ] = ()
    error: Annotated[Text, Meta(description="The message of a failure, as it was printed.")] = ""
    command: Annotated[Text, Meta(description="The shell command that you are about to run, or that failed.")] = ""
    directory: Directory | None = None


class GetArguments(_Arguments):
    """Which lesson."""

    id: LessonId


class FeedbackArguments(_Arguments):
    """What you have to say of a lesson."""

    id: LessonId
    helpful: Annotated[bool, Meta(description="Whether it was right and of use in what you just did.")]
    note: Annotated[str, Meta(max_length=1_000, description="Why, in a sentence; people read it.")] = ""


class Cost(_Answer):
    """What the run has cost at a model's provider."""

    input_tokens: int
    output_tokens: int
    cost_usd: float


class RunAnswer(_Answer):
    """The manifest of a run."""

    marker: Marked
    id: str
    started_at: str
    completed_at: str
    dry_run: bool
    analysis_mode: Annotated[str, Meta(description="What really ran: heuristic, llm or mixed.")]
    sessions_processed: int
    sessions_skipped: Annotated[dict[str, int], Meta(description="How many logs were not read, by reason.")]
    sessions_failed: int
    lessons_generated: int
    lessons_merged: Annotated[int, Meta(description="Known lessons that were confirmed or changed.")]
    log_paths: tuple[str, ...]
    lessons: Annotated[tuple[ManifestLesson, ...], Meta(description="The new ones; confidence is 0 to 1.")]
    usage: Cost
    notes: Annotated[tuple[str, ...], Meta(description="What a person would have been told beside it.")]


class StatusAnswer(_Answer):
    """The last run, the totals, and the daemon."""

    message: str
    last_run_id: str | None
    last_run_at: str | None
    total_runs: int
    total_lessons: int
    last_analysis_mode: str | None
    last_sessions_processed: int | None
    last_lessons_generated: int | None
    total_sessions: int
    pending_lessons: Annotated[int, Meta(description="Lessons that wait for evidence or a person; none is told.")]
    daemon: Annotated[str, Meta(description="What the daemon does, e.g. watching; `not running`, `never started`.")]


class Told(_Answer):
    """A lesson as agents are told it."""

    id: str
    trigger: Trigger
    action: Action
    rationale: str
    confidence: float
    support: Annotated[int, Meta(description="Independent sessions that show it.")]
    scope: Scope
    because: Annotated[str, Meta(description="What of the question it answers.")] = ""


class LessonsAnswer(_Answer):
    """Lessons, best first."""

    marker: Marked
    lessons: tuple[Told, ...]
    message: str = ""


class Shown(_Answer):
    """One record that shows a lesson; secrets are redacted."""

    role: str
    session: str
    quote: str


class LessonAnswer(_Answer):
    """One lesson with what it rests on."""

    marker: Marked
    lesson: Told
    project: str
    tags: tuple[str, ...]
    distiller: str
    model: str
    helped: Annotated[
        int, Meta(description="Sessions that were told, in which the failure could have come and did not.")
    ]
    recurred: Annotated[int, Meta(description="Later sessions in which the failure came again.")]
    feedback: Annotated[int, Meta(description="Agents' sessions that called it helpful, less those that did not.")]
    evidence: tuple[Shown, ...]


class FeedbackAnswer(_Answer):
    """How the lesson stands after it."""

    id: str
    feedback: int
    state: LessonState
    message: str


def run_answer(made: Manifest, notes: tuple[str, ...]) -> RunAnswer:
    """A manifest as the original tool named its parts."""
    usage = made.usage
    return RunAnswer(
        marker=MARK,
        id=made.id,
        started_at=made.started_at,
        completed_at=made.completed_at,
        dry_run=made.dry_run,
        analysis_mode=made.analysis_mode,
        sessions_processed=made.sessions_processed,
        sessions_skipped=made.sessions_skipped,
        sessions_failed=made.sessions_failed,
        lessons_generated=made.lessons_generated,
        lessons_merged=made.lessons_merged,
        log_paths=made.log_paths,
        lessons=made.lessons,
        usage=Cost(usage.input_tokens, usage.output_tokens, usage.cost_usd),
        notes=notes,
    )

"""From a log that is owed to the model to the question about it, and from the answer to what is committed.

A question is made of what one reading gave, so that the answer can be judged without the log: in a batch, a day later,
by another process. Nothing here writes or sends.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from selfdistill.distill.base import Batch, Distillate
from selfdistill.distill.llm.asking import Answer, Request, Stop
from selfdistill.distill.llm.budget import request_key
from selfdistill.distill.llm.choosing import Selection, select
from selfdistill.distill.llm.known import Before, Known, before_summary, known_lesson, remembered, resembling
from selfdistill.distill.llm.prices import takes_effort
from selfdistill.distill.llm.prompt import PROMPT_VERSION, Prompt, build
from selfdistill.distill.llm.reply import Judged, judge
from selfdistill.distill.llm.schema import SCHEMA
from selfdistill.distill.llm.shown import Beginning, beginnings, joined, repeated, split
from selfdistill.distill.llm.transcript import Episode, chronicle
from selfdistill.distill.merging import DISPUTED
from selfdistill.model import Action, Finding, Polarity, Trigger
from selfdistill.service.attempts import NOT_NOTED, Attempts
from selfdistill.service.pipeline import Pipeline, Reading
from selfdistill.store import Commit, ProjectRef
from selfdistill.store.part import storable

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfdistill.config import Config
    from selfdistill.model import Lesson
    from selfdistill.privacy.redaction import Redactor
    from selfdistill.sources.base import Source
    from selfdistill.store import PendingLog, Store

DISTILLER: Final = "llm"
MAX_OUTPUT_TOKENS: Final = 4000  # five operations with their quotes are about 2,500
_COMPRESSION: Final = 6


class Question(Struct, frozen=True):
    """What is asked about the new part of one log, and all that its answer needs to be judged and committed.

    `work` is the commit without findings; `carry` is what the session's next part will be told, without what is learned
    here.
    """

    request: Request
    work: Commit
    session: str
    project: ProjectRef
    projects: dict[str, ProjectRef]  # working directory -> project
    selection: Selection
    known: tuple[Known, ...]
    carry: Before
    shown: tuple[Beginning, ...]

    @property
    def prompt(self) -> Prompt:
        """What the model is told."""
        return Prompt(self.request.system, self.request.user)


class Applied(Struct, frozen=True):
    """An answer as it is stored until it is committed: the whole commit, what was refused, what the model was shown."""

    work: Commit
    refused: dict[str, int]
    shown: tuple[Beginning, ...] = ()


class Chronicler:
    """Reads events for the model as a distiller: what it gives is not findings but `episodes`, to be asked about."""

    name = DISTILLER
    version = PROMPT_VERSION

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact
        self.episodes: tuple[Episode, ...] = ()

    def distill(self, batch: Batch, carry: bytes | None) -> Distillate:
        """Take in a part; the carry is not changed before the answer is known."""
        self.episodes = chronicle(batch.events, self._redact, human=lambda: not batch.session().machine_run)
        entries = sum(len(episode.entries) for episode in self.episodes)
        return Distillate((), carry or b"", events=entries)


class Questions:
    """Makes questions about logs. For one thread."""

    def __init__(
        self,
        store: Store,
        sources: Mapping[str, Source],
        config: Config,
        redact: Redactor,
        stopped: Callable[[], bool] = lambda: False,
        attempts: Attempts = NOT_NOTED,
    ) -> None:
        self._store = store
        self._redact = redact
        self._budget_tokens = config.llm.budget_tokens
        # A lone surrogate could be neither sent nor stored.
        self._chronicler = Chronicler(lambda text: redact(storable(text)))
        self._pipeline = Pipeline(store, self._chronicler, sources, config, stopped, attempts)
        self._expected: dict[bytes, set[bytes]] = {}

    def about(self, log: PendingLog, model: str, *, share: float = 1.0) -> Question | Commit:
        """What to ask about what is new in a log; a Commit where there is nothing to ask: it only moves the cursor.

        `share` of the token budget is used. Raises LogProblem if the log cannot be read, and pipeline.Stopped.
        """
        try:
            reading = self._pipeline.read(log)
        finally:
            self._pipeline.attempts.rest()
        work = msgspec.structs.replace(reading.work, second=True, skip=None)
        episodes = self._chronicler.episodes
        if reading.work.skip is not None or not episodes:
            return work
        earlier = _before(work) or Before()
        ends = beginnings(episodes, earlier.shown)
        repeats = repeated(ends, self._shown(ends[0].family))
        before = remembered(episodes[:repeats], (), earlier)
        selection = select(episodes[repeats:], int(self._budget_tokens * share))
        carry = remembered(episodes[repeats:], (), before)
        if not selection.text:
            return _carrying(work, carry)
        return self._question(reading, work, selection, model, before, carry, tuple(ends[repeats:]))

    def expect(self, question: Question) -> None:
        """Take what a question shows as shown, though its answer is not there yet."""
        for one in question.shown:
            self._expected.setdefault(one.family, set()).add(one.digest)

    def _shown(self, family: bytes) -> set[bytes]:
        """The beginnings of a conversation that a model was shown, in whichever log."""
        kept = self._store.memo(shown_memo(family)) or b""
        return {*split(kept), *self._expected.get(family, ())}

    def _question(
        self,
        reading: Reading,
        work: Commit,
        selection: Selection,
        model: str,
        before: Before,
        carry: Before,
        shown: tuple[Beginning, ...],
    ) -> Question:
        session = reading.work.session
        place = self._redact(session.cwd)  # as in the entries, whose events the pipeline has cleaned
        project = self._pipeline.project(place, session.repository_url)
        known = self._known(project.key, selection.text)
        prompt = build(selection, _name_of(project.key), known, before_summary(before))
        start = work.before.proof.offset if work.before else 0
        # A rewritten log begins anew: that its bytes are other ones must show in the key.
        begun = f"{reading.session}#{work.after.generation}" if work.after.generation else reading.session
        request = Request(
            key=request_key(begun, start, work.after.proof.offset, model, PROMPT_VERSION),
            model=model,
            system=prompt.system,
            user=prompt.user,
            max_output_tokens=MAX_OUTPUT_TOKENS,
            schema=SCHEMA,
            effort="low" if takes_effort(model) else "",
        )
        cwds = {entry.cwd for entry in selection.shown.values()} | {place, ""}
        return Question(
            request=request,
            # The answer is kept with all of it, where a directory or a URL may hold a secret that no commit looks at.
            work=msgspec.structs.replace(work, session=msgspec.structs.replace(session, cwd=place, repository_url="")),
            session=reading.session,
            project=project,
            projects={cwd: self._pipeline.project(cwd or place, session.repository_url) for cwd in cwds},
            selection=selection,
            known=known,
            carry=carry,
            shown=shown,
        )

    def _known(self, project: str, transcript: str) -> tuple[Known, ...]:
        """The lessons that the transcript may be about, also those that a person rejected: not to be found again."""
        lessons = {one.id: one for one in self._store.lessons(project, state=None)}
        likely = resembling((known_lesson(one) for one in lessons.values()), transcript)
        return tuple(self._told(lessons[one.id]) for one in likely)

    def _told(self, lesson: Lesson) -> Known:
        """A lesson as the model is told of it, with what its evidence asks for.

        What disputes it says nothing of how many sessions it needs.
        """
        findings = (stored.finding for stored in self._store.evidence(lesson.id))
        needs = min((finding.needs for finding in findings if DISPUTED not in finding.tags), default=1)
        return known_lesson(lesson, needs=needs, approved=self._store.is_judged(lesson))


def judged(question: Question, answer: Answer, redact: Callable[[str], str]) -> Applied:
    """The answer as what is to be committed. One that is not whole teaches nothing, and is not asked for again."""
    if answer.stop is not Stop.COMPLETE:
        return Applied(_with(question, ()), {str(answer.stop): 1}, question.shown)
    verdict = judge(answer.text, question.selection, question.known, redact)
    learned = (*verdict.findings, *_disputes(question, verdict))
    return Applied(_with(question, learned), verdict.refused, question.shown)


def note_shown(store: Store, shown: Iterable[Beginning]) -> None:
    """Note what the model was shown; for the transaction that commits its answer."""
    families: dict[bytes, list[bytes]] = {}
    for one in shown:
        families.setdefault(one.family, []).append(one.digest)
    for family, digests in families.items():
        name = shown_memo(family)
        store.keep_memo(name, joined(store.memo(name) or b"", digests))


def encoded(question: Question) -> bytes:
    """The question as it is kept while it is in a batch."""
    return zlib.compress(msgspec.msgpack.encode(question), _COMPRESSION)


def decoded(kept: bytes) -> Question:
    """The question that was kept so."""
    return msgspec.msgpack.decode(zlib.decompress(kept), type=Question)


def _with(question: Question, findings: Iterable[Finding]) -> Commit:
    """The question's commit with what was learned."""
    learned = tuple(msgspec.structs.replace(one, model=question.request.model) for one in findings)
    told = [f"{one.trigger.condition}: {one.action.description}" for one in learned]
    carry = msgspec.structs.replace(
        question.carry, lessons=tuple(dict.fromkeys((*question.carry.lessons, *sorted(told))))[-8:]
    )
    placed = tuple((question.projects.get(one.cwd, question.project), one, False) for one in learned)
    return _carrying(msgspec.structs.replace(question.work, findings=placed), carry)


def _carrying(work: Commit, carry: Before) -> Commit:
    """The commit with what the session's next part will be told; nothing where a session of the log has ended."""
    kept = None if work.after.carry is None else msgspec.msgpack.encode(carry)
    return msgspec.structs.replace(work, after=msgspec.structs.replace(work.after, carry=kept))


def shown_memo(family: bytes) -> str:
    """Where it is kept which beginnings of a conversation were shown; another prompt may see more in them."""
    return f"shown:{PROMPT_VERSION}:{family.hex()}"


def _disputes(question: Question, verdict: Judged) -> Iterable[Finding]:
    """Contradictions as findings under the lesson's own key: merging weighs them against those that support it."""
    known = {lesson.id: lesson for lesson in question.known}
    for one in verdict.contradicted:
        lesson = known[one.id]
        yield Finding(
            rule="llm-contradiction",
            merge_key=one.merge_key,
            signal=Polarity.NEGATIVE,
            trigger=Trigger(lesson.condition, lesson.trigger_type),
            action=Action(lesson.action_type, lesson.action),
            evidence=one.evidence,
            strength=one.strength,
            rationale=one.rationale,
            tags=(DISPUTED,),
        )


def _before(work: Commit) -> Before | None:
    """What earlier parts of the session left; nothing where the log begins anew."""
    if work.before is None or not work.before.carry or work.before.generation != work.after.generation:
        return None
    return msgspec.msgpack.decode(work.before.carry, type=Before)


def _name_of(project: str) -> str:
    """A project's name without the places above it, which tell of the user and not of the project."""
    return PurePath(project).name or project

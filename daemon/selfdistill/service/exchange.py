"""Lessons as JSON that goes from one store to another: each with all its fields and all that it rests on.

A file may come from anybody. Each lesson in it is checked by itself; what cannot be used is counted with its reason.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from selfdistill.distill.merging import DISPUTED, lesson_id
from selfdistill.errors import UsageError
from selfdistill.model import Evidence, Finding, Lesson, LessonState, Span, StoredFinding
from selfdistill.store.findings import IMPORT
from selfdistill.store.imports import PREFIX, Abroad, Foreign

FORMAT: Final = "selfdistill-lessons"
VERSION: Final = 1
MAX_LESSONS: Final = 10_000
MAX_TEXT: Final = 4_000  # characters of a condition, an action or a rationale
MAX_QUOTE: Final = 2_000
MAX_NAME: Final = 4_096  # characters of a path, an id or a key
MAX_FINDINGS: Final = 1_000  # of one lesson
MAX_RECORDS: Final = 100  # of one finding
MAX_TAGS: Final = 64
_BEYOND: Final = 1 << 62  # SQLite's integers end at 2**63 - 1


class Record(Struct, frozen=True):
    """One record that shows a lesson; `quote` is redacted."""

    uid: str
    role: str
    quote: str


class Seen(Struct, frozen=True):
    """One log that shows a finding, with places and times (seconds since the epoch) of its records in their order."""

    log: str
    session: str
    spans: tuple[Span, ...]
    times: tuple[float | None, ...]
    generation: int = 0


class Basis(Struct, frozen=True):
    """One finding that a lesson rests on."""

    distiller: str
    version: int
    rule: str
    strength: float
    records: tuple[Record, ...]
    seen: tuple[Seen, ...]
    needs: int = 1
    tags: tuple[str, ...] = ()
    model: str = ""


class Shared(Struct, frozen=True):
    """A lesson on its way, a line of JSONL or a member of `lessons`."""

    format: str
    version: int
    lesson: Lesson
    evidence: tuple[Basis, ...]


class Taken(Struct):
    """What a file holds: findings to take in, the ids of their lessons, and what was refused by its reason."""

    foreign: list[Foreign]
    ids: list[str]
    refused: Counter[str]


def shared(lesson: Lesson, findings: Iterable[StoredFinding], path_of: Callable[[int], object]) -> Shared:
    """A lesson as it goes abroad; `path_of` tells a log's path by its id."""
    return Shared(FORMAT, VERSION, lesson, tuple(_basis(stored, path_of) for stored in findings))


def _basis(stored: StoredFinding, path_of: Callable[[int], object]) -> Basis:
    finding = stored.finding
    distiller, version, rule = stored.distiller, stored.version, finding.rule
    if stored.imported:  # it goes on as what it was where it was found
        distiller, _, rule = finding.rule.partition("/")
    return Basis(
        distiller=distiller,
        version=version,
        rule=rule,
        strength=finding.strength,
        records=tuple(Record(one.uid, one.role, one.quote) for one in finding.evidence),
        seen=tuple(
            Seen(
                str(path_of(seen.log_id) or "").removeprefix(PREFIX),
                seen.session,
                seen.spans,
                seen.times,
                seen.generation,
            )
            for seen in stored.sightings
        ),
        needs=finding.needs,
        tags=finding.tags,
        model=finding.model,
    )


def as_json(found: Sequence[Shared]) -> bytes:
    """One JSON document."""
    table = {"format": FORMAT, "version": VERSION, "lessons": found}
    return msgspec.json.format(msgspec.json.encode(table), indent=2) + b"\n"


def as_json_lines(found: Sequence[Shared]) -> bytes:
    """One line of JSON for each lesson."""
    return b"".join(msgspec.json.encode(one) + b"\n" for one in found)


def read(content: bytes, name: str, redact: Callable[[str], str], project: str | None = None) -> Taken:
    """What a file of ours holds, redacted; with `project` every lesson becomes one of that project.

    Raises UsageError if the file is none of ours at all: `name` is for the message.
    """
    taken = Taken([], [], Counter())
    for raw in _entries(content, name, taken.refused):
        try:
            foreign = _checked(_decoded(raw), redact, project)
        except _Refused as refused:
            taken.refused[refused.reason] += 1
        else:
            taken.foreign += foreign
            taken.ids.append(lesson_id(foreign[0].project, foreign[0].finding.merge_key))
    return taken


class _Refused(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _entries(content: bytes, name: str, refused: Counter[str]) -> list[msgspec.Raw]:
    """The lessons of a file, each still as JSON."""
    try:
        whole = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        entries = _lines(content, name, refused)
    else:
        _check_head(whole, name)
        if "lesson" in whole:  # JSONL with one line
            return [msgspec.Raw(content)]
        entries = _listed(whole, name)
    if len(entries) > MAX_LESSONS:
        raise UsageError(f"{name} holds {len(entries)} lessons, more than {MAX_LESSONS}.", "Split it.")
    return entries


def _check_head(whole: dict[str, msgspec.Raw], name: str) -> None:
    """Refuse what is not ours, or newer than we are."""
    try:
        told = msgspec.json.decode(whole.get("format", msgspec.Raw(b'""')), type=str)
        version = msgspec.json.decode(whole.get("version", msgspec.Raw(b"0")), type=int)
    except msgspec.DecodeError:
        told, version = "", 0
    if told != FORMAT:
        raise _foreign(name)
    if version != VERSION:
        raise UsageError(
            f"{name} has version {version} of the format, this selfdistill knows {VERSION}.",
            "Update selfdistill, or export again with an older one.",
        )


def _listed(whole: dict[str, msgspec.Raw], name: str) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(whole.get("lessons", msgspec.Raw(b"null")), type=list[msgspec.Raw])
    except msgspec.DecodeError as error:
        raise _foreign(name) from error


def _lines(content: bytes, name: str, refused: Counter[str]) -> list[msgspec.Raw]:
    """The lines of JSONL; the first tells whether the file is ours, a broken one later is counted."""
    lines = [line for line in content.splitlines() if line.strip()]
    try:
        _check_head(msgspec.json.decode(lines[0] if lines else b"", type=dict[str, msgspec.Raw]), name)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _foreign(name) from error
    entries = []
    for line in lines:
        try:
            msgspec.json.decode(line)
            entries.append(msgspec.Raw(line))
        except (msgspec.DecodeError, RecursionError):
            refused["no JSON"] += 1
    return entries


def _foreign(name: str) -> UsageError:
    return UsageError(
        f"{name} is no export of selfdistill.", "`selfdistill export --to json` (or jsonl) writes what can be imported."
    )


def _decoded(raw: msgspec.Raw) -> Shared:
    try:
        found = msgspec.json.decode(raw, type=Shared)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _Refused("wrong shape") from error
    if (found.format, found.version) != (FORMAT, VERSION):
        raise _Refused("another version")
    return found


def _checked(found: Shared, redact: Callable[[str], str], project: str | None) -> list[Foreign]:
    """The findings of a lesson that may be taken in; raises _Refused."""
    lesson = found.lesson
    if lesson.state is LessonState.REJECTED:
        raise _Refused("rejected where it comes from")
    if lesson.id != lesson_id(lesson.project, lesson.merge_key):
        raise _Refused("its id is not its own")
    _check_texts(lesson)
    told = _clean(lesson, redact)
    home = lesson.project if project is None else project
    foreign = [_as_foreign(told, home, basis, redact) for basis in found.evidence if DISPUTED not in basis.tags]
    if not foreign:
        raise _Refused("without evidence")
    if len(foreign) > MAX_FINDINGS:
        raise _Refused("too long")
    return foreign


def _check_texts(lesson: Lesson) -> None:
    told = (lesson.trigger.condition, lesson.action.description, lesson.rationale, *lesson.tags)
    names = (lesson.project, lesson.merge_key, lesson.prefers, lesson.over, lesson.model, *lesson.covers)
    if not lesson.trigger.condition.strip() or not lesson.action.description.strip():
        raise _Refused("it says nothing")
    _check_length(told, MAX_TEXT)
    _check_length(names, MAX_NAME)
    if len(lesson.tags) > MAX_TAGS or len(lesson.covers) > MAX_TAGS:
        raise _Refused("too long")
    # What agents are told must not drive a terminal, hide, or turn round what stands beside it.
    if any(unicodedata.category(one) in {"Cc", "Cf", "Cs"} and one not in "\n\t" for text in told for one in text):
        raise _Refused("control characters")


def _check_length(texts: Iterable[str], most: int) -> None:
    if any(len(text) > most for text in texts):
        raise _Refused("too long")


def _clean(lesson: Lesson, redact: Callable[[str], str]) -> Lesson:
    """The lesson without secrets."""
    return replace(
        lesson,
        trigger=replace(lesson.trigger, condition=redact(lesson.trigger.condition)),
        action=replace(lesson.action, description=redact(lesson.action.description)),
        rationale=redact(lesson.rationale),
        tags=tuple(redact(tag) for tag in lesson.tags),
    )


def _as_foreign(lesson: Lesson, project: str, basis: Basis, redact: Callable[[str], str]) -> Foreign:
    """One finding of a lesson, in the lesson's words."""
    _check_basis(basis)
    finding = Finding(
        rule=f"{basis.distiller}/{basis.rule}",
        merge_key=lesson.merge_key,
        signal=lesson.signal,
        trigger=lesson.trigger,
        action=lesson.action,
        evidence=tuple(Evidence(one.uid, Span(0, 0), redact(one.quote), one.role) for one in basis.records),
        strength=basis.strength,
        needs=basis.needs,
        rationale=lesson.rationale,
        tags=tuple(tag for tag in basis.tags if tag in lesson.tags),
        covers=lesson.covers,
        prefers=lesson.prefers,
        over=lesson.over,
        model=basis.model,
    )
    seen = tuple(Abroad(one.log, one.session, one.generation, one.spans, one.times) for one in basis.seen)
    return Foreign(project, finding, basis.version, seen)


def _check_basis(basis: Basis) -> None:
    """Refuse figures and lengths that no finding of ours has."""
    count = len(basis.records)
    if not basis.records or not basis.seen:
        raise _Refused("without evidence")
    if count > MAX_RECORDS or len(basis.seen) > MAX_FINDINGS or len(basis.tags) > MAX_TAGS:
        raise _Refused("too long")
    _check_length((one.quote for one in basis.records), MAX_QUOTE)
    _check_length((*_names(basis), *(one.uid for one in basis.records), *(one.role for one in basis.records)), MAX_NAME)
    if any(len(seen.spans) != count or len(seen.times) != count for seen in basis.seen):
        raise _Refused("wrong shape")
    if not 0 <= basis.strength <= 1 or not 1 <= basis.needs <= MAX_FINDINGS or basis.distiller == IMPORT:
        raise _Refused("impossible figures")
    whole = [basis.version, *(seen.generation for seen in basis.seen), *_offsets(basis)]
    if any(not 0 <= number < _BEYOND for number in whole):
        raise _Refused("impossible figures")


def _names(basis: Basis) -> Iterable[str]:
    yield from (basis.distiller, basis.rule, basis.model, *basis.tags)
    for seen in basis.seen:
        yield from (seen.log, seen.session)


def _offsets(basis: Basis) -> Iterable[Any]:
    return (figure for seen in basis.seen for span in seen.spans for figure in (span.offset, span.length))

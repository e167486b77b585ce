"""Findings and where they were seen: the stored facts.

A finding is one row, however many copies of a log show it; each log that shows it adds a sighting. Which log came first
must not show: where copies differ (another version of the distiller, another git remote), the finding's row holds the
greatest of the variants that are still sighted, and a sighting of any other variant keeps that beside itself.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from selfdistill.model import Evidence, Finding, Sighting, Span, StoredFinding
from selfdistill.store.part import storable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfdistill.store.database import Database, Row

Key = tuple[str, str]  # project, merge key: what lessons are derived for

IMPORT: Final = "import"  # the distiller of findings that came in a file

_NOWHERE: Final = Span(0, 0)

_LOAD: Final = """
    SELECT id, findings.distiller, findings.version, project, remote, findings.body,
        log_id, generation, session, spans, times
    FROM findings JOIN sightings ON finding_id = id
    WHERE merge_key = ? AND project = ?
"""


class ProjectRef(Struct, frozen=True):
    """The project that a finding belongs to, and its git remote ("" if it has none)."""

    key: str
    remote: str = ""


class _Body(Struct, frozen=True, array_like=True):
    """What all copies share, as one blob: the finding without places and times."""

    remote: str
    finding: Finding


class _Uids(Struct, frozen=True):
    uid: str


class _Evidence(Struct, frozen=True):
    evidence: tuple[_Uids, ...]


class _Slim(Struct, frozen=True, array_like=True):
    """A `_Body` of which only the evidence's uids are decoded."""

    remote: str
    finding: _Evidence


_bodies = msgspec.json.Decoder(_Body)
_slim_bodies = msgspec.json.Decoder(_Slim)
_spans = msgspec.json.Decoder(tuple[Span, ...])
_times = msgspec.json.Decoder(tuple[float | None, ...])
_encode = msgspec.json.Encoder().encode


class Seen(Struct, frozen=True):
    """A finding as one log shows it, ready for its rows; `finding` is without places and times."""

    id: str
    project: str
    remote: str
    provisional: bool
    finding: Finding
    spans: tuple[Span, ...]
    times: tuple[float | None, ...]
    body: bytes


def prepare(distiller: str, findings: Iterable[tuple[ProjectRef, Finding, bool]]) -> list[Seen]:
    """The findings of one commit, each once: of doubles the closed one stays, or else the earliest."""
    chosen: dict[str, tuple[tuple[bool, list[tuple[int, int]]], Seen]] = {}
    for project, finding, provisional in findings:
        seen = _seen(distiller, project, finding, provisional=provisional)
        rank = (provisional, [(evidence.span.offset, evidence.span.length) for evidence in finding.evidence])
        if seen.id not in chosen or rank < chosen[seen.id][0]:
            chosen[seen.id] = rank, seen
    return [seen for _, seen in chosen.values()]


def _seen(distiller: str, project: ProjectRef, finding: Finding, *, provisional: bool) -> Seen:
    try:
        return _encoded(distiller, project, finding, provisional=provisional)
    except UnicodeEncodeError:
        clean = ProjectRef(storable(project.key), storable(project.remote))
        sound = msgspec.convert(_sound(msgspec.to_builtins(finding)), Finding)
        return _encoded(distiller, clean, sound, provisional=provisional)


def _encoded(distiller: str, project: ProjectRef, finding: Finding, *, provisional: bool) -> Seen:
    evidence = finding.evidence
    uids = sorted({item.uid for item in evidence})
    identity = _encode((distiller, finding.rule, project.key, finding.merge_key, uids))
    shared = tuple([Evidence(item.uid, _NOWHERE, item.quote, item.role) for item in evidence])
    bare = msgspec.structs.replace(finding, evidence=shared)
    return Seen(
        id=blake2b(identity, digest_size=16).hexdigest(),
        project=project.key,
        remote=project.remote,
        provisional=provisional,
        finding=bare,
        spans=tuple([item.span for item in evidence]),
        times=tuple([item.at for item in evidence]),
        body=_encode(_Body(project.remote, bare)),
    )


def _sound(value: Any) -> Any:  # noqa: ANN401 - JSON-shaped values are of any type
    """The same value without lone surrogates, which neither JSON nor SQLite can hold."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {key: _sound(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_sound(item) for item in value]
    return value


def forget(database: Database, log_id: int, distiller: str, *, generation: int | None) -> dict[str, Key]:
    """Delete this log's provisional sightings of this distiller, and all of one generation if it is named.

    Gives the findings concerned and their keys. Sightings of earlier generations stay: those bytes are gone and cannot
    be read again, but what was seen was seen.
    """
    parameters = (log_id, distiller, -1 if generation is None else generation)
    concerned = database.rows(
        "SELECT id, project, merge_key FROM sightings JOIN findings ON id = finding_id"
        " WHERE log_id = ? AND sightings.distiller = ? AND (provisional OR generation = ?)",
        parameters,
    )
    for row in concerned:
        database.remembered.pop(("findings", row[1], row[2]), None)
    if concerned:
        where = "WHERE log_id = ? AND distiller = ? AND (provisional OR generation = ?)"
        database.run(f"DELETE FROM sightings {where}", parameters)  # noqa: S608 - a constant
    return {row[0]: (row[1], row[2]) for row in concerned}


class Place(Struct, frozen=True):
    """Where and by whom the findings of one commit were seen."""

    log_id: int
    distiller: str
    version: int
    generation: int
    session: str


def add(database: Database, seen: Seen, place: Place) -> bool:
    """Add a finding and its sighting; True if the row of a known finding changed.

    A log that showed the finding before keeps its earlier sighting: a log is read from front to back, once.
    """
    finding = seen.finding
    identity = (seen.id, place.distiller, place.version, finding.rule, seen.project, seen.remote, finding.merge_key)
    inserted = database.run(
        "INSERT INTO findings VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", (*identity, seen.body)
    )
    own_body, raised = None, False
    if not inserted:
        if database.row("SELECT 1 FROM sightings WHERE finding_id = ? AND log_id = ?", (seen.id, place.log_id)):
            return False
        own_body, raised = _reconcile(database, seen, place.version)
    where = (place.log_id, place.distiller, place.version, place.generation, place.session)
    database.run(
        "INSERT INTO sightings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (seen.id, *where, seen.provisional, _encode(seen.spans), _encode(seen.times), own_body),
    )
    _remember(database, seen, place, alone=bool(inserted))
    return raised


def _remember(database: Database, seen: Seen, place: Place, *, alone: bool) -> None:
    """Keep what `load_findings` read in this transaction in step: reading a key anew for each log is quadratic."""
    key = ("findings", seen.project, seen.finding.merge_key)
    known: dict[str, StoredFinding] | None = database.remembered.get(key)
    if known is None:
        return
    if not alone:
        del database.remembered[key]
        return
    sighting = Sighting(place.log_id, place.generation, place.session, seen.spans, seen.times)
    known[seen.id] = StoredFinding(
        id=seen.id,
        distiller=place.distiller,
        version=place.version,
        project=seen.project,
        remote=seen.remote,
        finding=seen.finding,
        sightings=(sighting,),
        imported=place.distiller == IMPORT,
    )


def _reconcile(database: Database, seen: Seen, version: int) -> tuple[bytes | None, bool]:
    """Compare a new variant with the row: what its sighting must keep beside itself, and whether the row rose."""
    row = database.row("SELECT version, body FROM findings WHERE id = ?", (seen.id,))
    mine = (version, seen.body)
    if row is None or row == mine:
        return None, False
    if mine < row:
        return seen.body, False
    database.run("UPDATE sightings SET body = ? WHERE finding_id = ? AND body IS NULL", (row[1], seen.id))
    _set_variant(database, seen.id, version, seen.body)
    return None, True


def tidy(database: Database, finding_id: str) -> None:
    """After sightings went: delete the finding if none is left, else let its row hold the greatest variant."""
    rows = database.rows("SELECT version, body FROM sightings WHERE finding_id = ?", (finding_id,))
    if not rows:
        database.run("DELETE FROM findings WHERE id = ?", (finding_id,))
    elif all(body is not None for _, body in rows):
        version, body = max(rows)
        _set_variant(database, finding_id, version, body)
        database.run(
            "UPDATE sightings SET body = NULL WHERE finding_id = ? AND version = ? AND body = ?",
            (finding_id, version, body),
        )


def _set_variant(database: Database, finding_id: str, version: int, body: bytes) -> None:
    database.run(
        "UPDATE findings SET version = ?, remote = ?, body = ? WHERE id = ?",
        (version, _slim_bodies.decode(body).remote, body, finding_id),
    )


def load_findings(database: Database, project: str, merge_key: str) -> list[StoredFinding]:
    """Every finding of one key with its sightings, in an order that does not depend on how they came in."""
    known: dict[str, StoredFinding] | None = database.remembered.get(("findings", project, merge_key))
    if known is None:
        groups: dict[str, list[Row]] = {}
        for row in database.rows(_LOAD, (merge_key, project)):
            groups.setdefault(row[0], []).append(row)
        known = {finding_id: _stored(rows) for finding_id, rows in groups.items()}
        if database.in_transaction:
            database.remembered["findings", project, merge_key] = known
    return [known[finding_id] for finding_id in sorted(known)]


def _stored(rows: list[Row]) -> StoredFinding:
    first = rows[0]
    sightings = [Sighting(row[6], row[7], row[8], _spans.decode(row[9]), _times.decode(row[10])) for row in rows]
    if len(sightings) > 1:
        # Not by log id: ids follow the order in which logs were met.
        sightings.sort(key=_sighting_rank)
    return StoredFinding(
        id=first[0],
        distiller=first[1],
        version=first[2],
        project=first[3],
        remote=first[4],
        finding=_bodies.decode(first[5]).finding,
        sightings=tuple(sightings),
        imported=first[1] == IMPORT,
    )


def _sighting_rank(sighting: Sighting) -> tuple[str, int, list[tuple[int, int]], int]:
    spans = [(span.offset, span.length) for span in sighting.spans]
    return sighting.session, sighting.generation, spans, sighting.log_id


def is_shared(database: Database, merge_key: str) -> bool:
    """Whether findings of two projects with two different git remotes, which share no evidence, carry this key."""
    row = database.row(
        "SELECT count(DISTINCT remote) > 1 AND count(DISTINCT project) > 1"
        " FROM findings WHERE merge_key = ? AND remote <> ''",
        (merge_key,),
    )
    if not row or not row[0]:
        return False
    rows = database.rows(
        "SELECT project, remote, body FROM findings WHERE merge_key = ? AND remote <> '' ORDER BY project", (merge_key,)
    )
    shown = [(project, remote, _uids(body)) for project, remote, body in rows]
    return any(
        project != other_project and remote != other_remote and uids.isdisjoint(other_uids)
        for position, (project, remote, uids) in enumerate(shown)
        for other_project, other_remote, other_uids in reversed(shown[position + 1 :])
    )


def _uids(body: bytes) -> frozenset[str]:
    return frozenset([item.uid for item in _slim_bodies.decode(body).finding.evidence])

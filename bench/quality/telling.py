"""What earlier sessions have taught, and two simple ways of choosing from it to compare the product's ranking with."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from selfdistill.distill.heuristic.distiller import HeuristicDistiller
from selfdistill.distill.merging import derive
from selfdistill.model import Finding, Lesson, Sighting, StoredFinding
from selfdistill.recall.hook import word_scores
from selfdistill.recall.ranking import Candidate, as_moment, candidate
from selfdistill.recall.situations import Query

if TYPE_CHECKING:
    from bench.quality.replay import Played


class Known:
    """The findings of the sessions so far, as the store would keep them, and the lessons derived from them."""

    def __init__(self) -> None:
        self._findings: dict[str, dict[str, StoredFinding]] = {}  # merge key -> id -> finding
        self._prepared: dict[str, Candidate] = {}  # merge key -> lesson

    def learn(self, played: Played) -> None:
        """Take in what a session taught."""
        touched = set()
        for finding in played.findings:
            stored = _stored(finding, played)
            same = self._findings.setdefault(finding.merge_key, {})
            known = same.get(stored.id)
            same[stored.id] = (
                stored
                if known is None
                else msgspec.structs.replace(known, sightings=(*known.sightings, *stored.sightings))
            )
            touched.add(finding.merge_key)
        for key in touched:
            self._prepare(key, list(self._findings[key].values()), self._prepared)

    def lessons_for(self, uids: set[str]) -> list[Candidate]:
        """The lessons at the beginning of a session with these records: a copy of it is no earlier session."""
        prepared = dict(self._prepared)
        for key, findings in self._findings.items():
            own = [one for one in findings.values() if _is_of(one, uids)]
            if own:
                prepared.pop(key, None)
                self._prepare(key, [one for one in findings.values() if not _is_of(one, uids)], prepared)
        return list(prepared.values())

    @staticmethod
    def _prepare(key: str, findings: Sequence[StoredFinding], into: dict[str, Candidate]) -> None:
        lesson = derive(findings)
        if lesson is not None:
            into[key] = candidate(lesson)


class Teller:
    """The lessons of one moment, and the baselines that choose from them."""

    def __init__(self, candidates: list[Candidate]) -> None:
        self.candidates = candidates

    def by_words(self, query: Query, limit: int, among: Sequence[Candidate] | None = None) -> list[str]:
        """The ids of the best lessons by BM25 alone; `among`: of these only."""
        chosen = self.candidates if among is None else among
        scores = word_scores(as_moment(query).words, [one.known.words for one in chosen])
        order = sorted(range(len(scores)), key=lambda at: -scores[at])
        return [chosen[at].lesson.id for at in order[:limit] if scores[at]]

    def by_time(self, limit: int, among: Sequence[Candidate] | None = None) -> list[str]:
        """The ids of the lessons seen last; `among`: of these only."""
        lessons: list[Lesson] = [one.lesson for one in (self.candidates if among is None else among)]
        return [one.id for one in sorted(lessons, key=lambda one: -(one.last_seen or 0.0))[:limit]]


def _stored(finding: Finding, played: Played) -> StoredFinding:
    uids = sorted({one.uid for one in finding.evidence})
    identity = "\0".join((finding.rule, finding.merge_key, *uids)).encode("utf-8", "replace")
    spans = tuple(one.span for one in finding.evidence)
    times = tuple(one.at for one in finding.evidence)
    return StoredFinding(
        id=blake2b(identity, digest_size=16).hexdigest(),
        distiller=HeuristicDistiller.name,
        version=HeuristicDistiller.version,
        project=played.project,
        remote="",
        finding=finding,
        sightings=(Sighting(0, 0, played.session, spans, times),),
    )


def _is_of(stored: StoredFinding, uids: set[str]) -> bool:
    return any(one.uid in uids for one in stored.finding.evidence)

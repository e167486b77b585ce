"""Lessons from elsewhere: findings that came in a file, with where they were seen there.

They are findings like any other, by the distiller `import`, so deriving keeps them. What they may count for is decided
where lessons are derived (`distill/merging.py`): beside findings of this machine they only add evidence.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from selfdistill.model import Evidence, Finding, Span
from selfdistill.store.deriving import Committed, Deriving
from selfdistill.store.findings import IMPORT, Place, ProjectRef, add, prepare
from selfdistill.store.part import storable

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX: Final = "import:"  # of the path of a log that is on another machine

# `gone_at`: nobody looks for it on this disk, nobody reads it again.
_LOG: Final = """
    INSERT INTO logs(source, directory, name, session_hint, session, dev, ino, size, mtime_ns, ctime_ns,
        changed_at, gone_at)
    VALUES ('import', ?, ?, ?, ?, 0, 0, 0, 0, 0, ?, ?)
    ON CONFLICT(directory, name) DO UPDATE SET source = source RETURNING id
"""


class Abroad(Struct, frozen=True):
    """Where a finding was seen on another machine, with the places and times of its evidence in its order."""

    log: str
    session: str
    generation: int
    spans: tuple[Span, ...]
    times: tuple[float | None, ...]


class Foreign(Struct, frozen=True):
    """A finding from a file; `version` is that of the distiller that found it."""

    project: str
    finding: Finding
    version: int
    seen: tuple[Abroad, ...]


class Imports(Deriving):
    """Taking lessons in."""

    def take_in(self, foreign: Iterable[Foreign]) -> Committed:
        """Store findings from elsewhere and derive their lessons, in one transaction; taken in twice they count once.

        They never make a lesson global: their project has no git remote here.
        """
        touched, doubtful = set(), set()
        with self._database.transaction():
            for one in foreign:
                for abroad in one.seen:
                    (seen,) = prepare(IMPORT, [(ProjectRef(one.project), _as_seen(one.finding, abroad), False)])
                    place = Place(
                        self._distant_log(abroad), IMPORT, one.version, abroad.generation, storable(abroad.session)
                    )
                    if add(self._database, seen, place):
                        doubtful.add(seen.finding.merge_key)
                    touched.add((seen.project, seen.finding.merge_key))
            return self._derive_all(touched, doubtful)

    def _distant_log(self, abroad: Abroad) -> int:
        """The catalogue's row for a log that is not here."""
        directory, name = os.path.split(f"{PREFIX}{storable(abroad.log) or storable(abroad.session)}")
        session, now = storable(abroad.session), self._clock()
        row = self._database.row(_LOG, (os.fsencode(directory), os.fsencode(name), session, session, now, now))
        return int(row[0]) if row else 0


def _as_seen(finding: Finding, abroad: Abroad) -> Finding:
    """The finding with its evidence where this log shows it."""
    places = zip(finding.evidence, abroad.spans, abroad.times, strict=True)
    return replace(
        finding, evidence=tuple(Evidence(one.uid, span, one.quote, one.role, at) for one, span, at in places)
    )

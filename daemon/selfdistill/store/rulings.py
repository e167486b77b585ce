"""What a person decided about a lesson, out of all that was recorded; and whose findings count for which lesson."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from selfdistill.errors import UsageError
from selfdistill.model import LessonState, Scope
from selfdistill.store.findings import load_findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from selfdistill.model import StoredFinding
    from selfdistill.store.database import Database
    from selfdistill.store.findings import Key


class VerdictKind(StrEnum):
    """What a person may say of a lesson. The last word on its state, its scope and its wording wins."""

    APPROVE = "approve"  # active, whatever the evidence
    REJECT = "reject"  # a tombstone: never told, never learned again
    ARCHIVE = "archive"  # kept, not told
    MERGE = "merge"  # archived, its findings count for another lesson
    RESTORE = "restore"  # takes the four above back
    GLOBAL = "global"  # told in every project
    LOCAL = "local"  # told in its own project only, even if other projects show the same
    EDIT = "edit"  # a person's wording instead of the derived one
    UNDO = "undo"  # takes the last of the others back


class Words(Struct, frozen=True, omit_defaults=True):
    """A person's wording of a lesson; "" leaves the derived one."""

    condition: str = ""
    action: str = ""


class Verdict(Struct, frozen=True):
    """What a person decided about a lesson, in all. None: left to the evidence.

    `into`: the merge key that its findings count for; its own state is ARCHIVED then.
    """

    state: LessonState | None = None
    scope: Scope | None = None
    at: float = 0.0
    note: str = ""
    words: Words = Words()
    into: str = ""
    restored: bool = False  # a person took a state back, and wants it told: it is never archived of itself again

    @property
    def is_empty(self) -> bool:
        """Whether nothing is decided."""
        return self.state is None and self.scope is None and self.words == Words() and not self.restored


class Ruling(Struct, frozen=True):
    """One decision of a person, as it was recorded. `at` is seconds since the epoch."""

    kind: VerdictKind
    at: float
    note: str
    body: str  # EDIT: `Words` as JSON; MERGE: the merge key


_STATE_OF: Final = {
    VerdictKind.APPROVE: LessonState.ACTIVE,
    VerdictKind.REJECT: LessonState.REJECTED,
    VerdictKind.ARCHIVE: LessonState.ARCHIVED,
    VerdictKind.MERGE: LessonState.ARCHIVED,
}
_SCOPE_OF: Final = {VerdictKind.GLOBAL: Scope.GLOBAL, VerdictKind.LOCAL: Scope.PROJECT}

_words = msgspec.json.Decoder(Words)


def rulings(database: Database, project: str, merge_key: str) -> list[Ruling]:
    """Everything that was decided about a key, oldest first."""
    rows = database.rows(
        "SELECT kind, at, note, body FROM verdicts WHERE merge_key = ? AND project = ? ORDER BY number",
        (merge_key, project),
    )
    return [Ruling(VerdictKind(kind), at, note, body) for kind, at, note, body in rows]


def standing(decided: Iterable[Ruling]) -> Verdict | None:
    """What the decisions come to, oldest first; None if none of them still counts."""
    verdict = Verdict()
    for ruling in not_undone(decided):
        verdict = _after(verdict, ruling)
    return None if verdict.is_empty else verdict


def not_undone(decided: Iterable[Ruling]) -> list[Ruling]:
    """The decisions that were not taken back."""
    left: list[Ruling] = []
    for ruling in decided:
        if ruling.kind is not VerdictKind.UNDO:
            left.append(ruling)
        elif left:
            left.pop()
    return left


def _after(verdict: Verdict, ruling: Ruling) -> Verdict:
    said = replace(verdict, at=ruling.at, note=ruling.note)
    if ruling.kind in _SCOPE_OF:
        return replace(said, scope=_SCOPE_OF[ruling.kind])
    if ruling.kind is VerdictKind.EDIT:
        return replace(said, words=_words.decode(ruling.body))
    into = ruling.body if ruling.kind is VerdictKind.MERGE else ""
    restored = ruling.kind is VerdictKind.RESTORE
    return replace(said, state=_STATE_OF.get(ruling.kind), into=into, restored=restored)


def note_merge(database: Database, project: str, merge_key: str, target: str) -> None:
    """Keep for which key another one's findings count; "" is its own. UsageError if that goes round in a circle."""
    database.remembered.pop("merged", None)
    database.run("DELETE FROM merged WHERE project = ? AND merge_key = ?", (project, merge_key))
    if not target:
        return
    database.run("INSERT INTO merged VALUES (?, ?, ?)", (project, merge_key, target))
    if target == merge_key or merge_key in adopted_keys(database, project, merge_key):
        raise UsageError(
            "Two lessons cannot be merged into each other.", "Take the other merge back first: `lessons restore ID`."
        )


def roots(database: Database, keys: Iterable[Key]) -> set[Key]:
    """The keys that findings of these count for, beside their own."""
    merged = _merged(database)
    found: set[Key] = set()
    if merged:
        for key in keys:
            while key in merged and merged[key] not in found:
                key = merged[key]  # noqa: PLW2901 - follows the chain
                found.add(key)
    return found


def all_findings(database: Database, project: str, merge_key: str) -> list[StoredFinding]:
    """What counts for a key: its own findings, and under its name those of lessons that were merged into it."""
    own = load_findings(database, project, merge_key)
    others = [
        _adopted(stored, merge_key)
        for other in sorted(adopted_keys(database, project, merge_key))
        for stored in load_findings(database, project, other)
    ]
    return own + others


def adopted_keys(database: Database, project: str, merge_key: str) -> set[str]:
    """The keys whose findings count for this one, directly or by way of another."""
    merged = _merged(database)
    found: set[str] = set()
    waiting = [(project, merge_key)] if merged else []
    while waiting:
        wanted = waiting.pop()
        new = [source for source, target in merged.items() if target == wanted and source[1] not in found]
        found.update(source[1] for source in new)
        waiting += new
    return found


def _adopted(stored: StoredFinding, merge_key: str) -> StoredFinding:
    return replace(stored, finding=replace(stored.finding, merge_key=merge_key), adopted=True)


def _merged(database: Database) -> dict[Key, Key]:
    """Every merged key and its target; few, so they are read once for a transaction."""
    known: dict[Key, Key] | None = database.remembered.get("merged")
    if known is None:
        rows: Sequence[tuple[str, str, str]] = database.rows("SELECT project, merge_key, target FROM merged")
        known = {(project, merge_key): (project, target) for project, merge_key, target in rows}
        if database.in_transaction:
            database.remembered["merged"] = known
    return known

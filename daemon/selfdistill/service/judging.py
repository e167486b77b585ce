"""Watches the calls of a log for what they say of lessons that were told in its session.

Only sessions that were told anything pay: one look-up for each session, and a comparison of marks for each call after
a delivery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from selfdistill.recall.opportunities import Opportunity, call_marks, is_opportunity, opportunities

if TYPE_CHECKING:
    from collections.abc import Callable

    from selfdistill.signals.completing import OpenCall
    from selfdistill.store import ToldLesson


class Told(Protocol):
    """Whoever knows what was told in a session."""

    def told_in(self, session: str, /) -> list[ToldLesson]:
        """What has been told in a session, of lessons that are still there."""


class Watch:
    """Counts, for each delivery of a log's session, later calls that ran where the lesson's failure could have come.

    `session` says which session the log counts for, as far as is known when it is called.
    """

    def __init__(self, store: Told, session: Callable[[], str]) -> None:
        self._store = store
        self._session = session
        self._known: str | None = None
        self._begun = False  # a call was seen
        self._late = False  # after that the log turned out to be another session's
        self._told: list[tuple[int, float, tuple[Opportunity, ...]]] = []
        self._counts: dict[int, int] = {}

    def see(self, call: OpenCall) -> None:
        """Take a call that did what it was to do into the counts."""
        self._learn()
        self._begun = True
        if call.at is None or not self._told:
            return
        waiting = [(number, wanted) for number, at, wanted in self._told if wanted and call.at > at]
        if not waiting:
            return
        marks = call_marks(call.kind.value, call.tool, call.command, call.path, call.cwd)
        for number, wanted in waiting:
            self._counts[number] += is_opportunity(marks, wanted)

    def counts(self) -> dict[int, int]:
        """The count of each delivery; none if only later calls told whose session this is: then all is owed."""
        self._learn()
        return {} if self._late else {number: self._counts[number] for number, _, _ in self._told}

    def _learn(self) -> None:
        """Look up what was told in the session; its name may be known only after some records."""
        session = self._session()
        if session == self._known:
            return
        self._known, self._late = session, self._begun
        self._told = [(one.number, one.at, opportunities(one.lesson)) for one in self._store.told_in(session)]
        self._counts = dict.fromkeys((number for number, _, _ in self._told), 0)

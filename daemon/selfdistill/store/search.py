"""Finding lessons by words: BM25 over what they say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from selfdistill.model import LessonState
from selfdistill.store.lessons import VISIBLE, lesson_of
from selfdistill.store.part import Part, storable

if TYPE_CHECKING:
    from selfdistill.model import Lesson

SIMILAR: Final = 0.7
_WORD: Final = re.compile(r"\w[\w./-]+")
_MOST_WORDS: Final = 64  # a pasted stack trace is a query too

# Weights: when a lesson applies counts most, then what to do, then tags, then why.
# S608: both halves are constants of this room, no input is pasted into SQL.
_SEARCH: Final = (
    "SELECT l.* FROM lessons_index JOIN lessons AS l ON l.number = lessons_index.rowid"  # noqa: S608
    " WHERE lessons_index MATCH :query AND "
    + VISIBLE
    + " ORDER BY bm25(lessons_index, 4.0, 3.0, 1.0, 2.0), l.confidence DESC, l.id LIMIT :limit"
)


class Search(Part):
    """Searching lessons."""

    def search(
        self,
        query: str,
        project: str | None,
        limit: int = 10,
        *,
        state: LessonState | None = LessonState.ACTIVE,
        everywhere: bool = False,
    ) -> list[Lesson]:
        """The lessons that share words with any text, best first (BM25), as far as they may be told in this project."""
        wanted = match_expression(query)
        if not wanted:
            return []
        parameters = {
            "query": wanted,
            "project": project and storable(project),
            "state": state,
            "everywhere": everywhere,
            "limit": limit,
        }
        return [lesson_of(row) for row in self._database.rows(_SEARCH, parameters)]

    def similar(self, lesson: Lesson) -> list[Lesson]:
        """At most three lessons of the same project that say nearly the same in other words: for a person to look at.

        Similar is what has SIMILAR of the words of the shorter text in common; alike lessons are never merged for it.
        """
        mine = _words(lesson)
        found = self.search(" ".join(sorted(mine)), lesson.project, 20, state=None)
        others = [other for other in found if other.id != lesson.id and other.project == lesson.project]
        return [other for other in others if _overlap(mine, _words(other)) >= SIMILAR][:3]


def _words(lesson: Lesson) -> frozenset[str]:
    """The words of a lesson's condition and action."""
    return frozenset(_WORD.findall(f"{lesson.trigger.condition} {lesson.action.description}".casefold()))


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """The overlap coefficient (Szymkiewicz-Simpson) of two sets of words."""
    return len(one & other) / max(1, min(len(one), len(other)))


def match_expression(query: str) -> str:
    """Any text as an FTS5 expression: each word a quoted phrase, any of them may match; "" if there are no words."""
    words = dict.fromkeys(storable(query).replace("\0", " ").split())
    return " OR ".join('"' + word.replace('"', '""') + '"' for word in list(words)[:_MOST_WORDS])

"""Finding lessons by words: BM25 over what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from selfdistill.model import LessonState
from selfdistill.store.lessons import VISIBLE, lesson_of
from selfdistill.store.part import Part, storable

if TYPE_CHECKING:
    from selfdistill.model import Lesson

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


def match_expression(query: str) -> str:
    """Any text as an FTS5 expression: each word a quoted phrase, any of them may match; "" if there are no words."""
    words = dict.fromkeys(storable(query).replace("\0", " ").split())
    return " OR ".join('"' + word.replace('"', '""') + '"' for word in list(words)[:_MOST_WORDS])

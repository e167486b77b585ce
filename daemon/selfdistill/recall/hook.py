"""Which lessons to tell an agent now: looked up by the marks of the moment, put in order, and put into words.

An agent waits for it, so it computes little and imports the standard library only; the package imports these functions
too, so that there is one matcher and one order. Nothing here writes the store.
"""

from __future__ import annotations

import json
import math
import os

try:
    import _sqlite3 as sqlite3  # the C half: `sqlite3` itself adds datetime, 3 ms of a start's 12
except ImportError:  # another Python than CPython
    import sqlite3  # type: ignore[no-redef]

from selfdistill.recall.moments import FLOOR, Moment, fit_of, tokens

TYPE_CHECKING = False  # `typing` takes 4 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

SCHEMA = 7  # of the store (store/migrations.py); any other is left alone
MARKER = "selfdistill"  # sources/injections.py takes out again what is wrapped in it
LIMIT = 3  # one helps most; four make agents worse (ReasoningBank, arXiv 2509.25140: 49.7 -> 44.4 % at k = 4)
MAX_TOKENS = 400  # of all lessons told at once
SURE = 0.8  # the floor after a failure and at a prompt: they say more than "this kind of work"
ALIKE = 0.6  # share of a condition's words that a request or error must have, two at least
MAX_WORDS = 60  # in longer texts (plans, pasted logs) chance brings words together: bench/recall.py
EXACT_CAUSE = 2.0  # above every sum of the others
MAX_ANCHORS = 2_000
BUSY_SECONDS = 0.05


class Known:
    """A lesson as it is told and ranked."""

    def __init__(self, row: Sequence[Any]) -> None:
        """`row`: the columns of `_COLUMNS`, with tags and covers as lists."""
        self.id, self.condition, self.action, self.tags, self.covers = row[:5]
        self.confidence, self.support, self.last_seen, self.helped, self.recurred, self.foreign = row[5:]
        self.words = tokens((self.condition, self.action, *self.tags))
        self.fit = self.score = 0.0


def choose(
    fitting: list[Known], now: Moment, told: Iterable[str] = (), heard: Iterable[str] = (), limit: int = LIMIT,
    max_tokens: int = MAX_TOKENS,
) -> list[Known]:  # fmt: skip
    """The lessons to tell of those that fit (`fit` is set), best first: few, short together, none of them told before.

    Exact causes first, then the project's own, then by fit, words, confidence, support, recency and use. One that was
    `told` keeps its place: a lesser one is not told because the better ones have been. Causes that were `heard` of, or
    that a better lesson covers, need no second one; a long lesson does not silence a short one behind it.
    """
    newest = max((one.last_seen or 0.0 for one in fitting), default=0.0)
    for one, words in zip(fitting, word_scores(now.words, [one.words for one in fitting]), strict=True):
        one.score = one.fit + 0.1 * words + standing(one, newest)
    told, heard, chosen = set(told), set(heard), []
    for one in sorted(fitting, key=lambda one: (one.fit < EXACT_CAUSE, one.foreign, -one.score, one.id)):
        if one.id not in told:
            cost = (len(one.condition) + len(one.action)) // 4 + 1  # tokens of English text, roughly
            if cost > max_tokens or (one.covers and heard.issuperset(one.covers)):
                continue
            max_tokens -= cost
            heard.update(one.covers)
        chosen.append(one)
    return [one for one in chosen[:limit] if one.id not in told]


def standing(lesson: Known, newest: float) -> float:
    """What speaks for a lesson whatever the moment: confidence, support, recency, and whether it has helped."""
    support = min(1.0, math.log1p(lesson.support) / math.log1p(10))  # more sessions say no more
    age_months = (newest - lesson.last_seen) / (30 * 86_400) if lesson.last_seen is not None else 1.0
    use = (lesson.helped - lesson.recurred) / (lesson.helped + lesson.recurred + 2)  # one success proves little
    return float(0.15 * lesson.confidence + 0.3 * support + 0.05 * 2 ** -max(0.0, age_months) + 0.1 * use)


def word_scores(wanted: frozenset[str], texts: Sequence[frozenset[str]]) -> list[float]:
    """BM25 (Robertson and Zaragoza, 2009; k1 1.2, b 0.75) of each text's words, bent into 0..1 (5 is half way)."""
    usual = sum(map(len, texts)) / len(texts) or 1.0 if texts else 1.0
    holding = [words & wanted for words in texts]
    counts = {word: sum(word in words for words in holding) for word in frozenset().union(*holding)}
    weights = {word: math.log1p((len(texts) - n + 0.5) / (n + 0.5)) for word, n in counts.items()}
    lengths = [1 + 1.2 * (0.25 + 0.75 * len(words) / usual) for words in texts]
    scores = [
        sum(map(weights.__getitem__, found)) * 2.2 / length for found, length in zip(holding, lengths, strict=True)
    ]
    return [score / (score + 5.0) for score in scores]


def alikeness(lesson: Known, now: Moment) -> float:
    """How much of the words of a lesson's condition the moment has, 0..1; a single word in common is none."""
    wanted = tokens((lesson.condition,))
    shared = len(wanted & now.words)
    return shared / len(wanted) if shared > 1 else 0.0


def tell(lessons: Sequence[Known]) -> str:
    """The lessons as an agent reads them, wrapped so that we never learn from our own words; "" for none."""
    lines = [f"- {one.condition}: {one.action}".replace("</", "< /") for one in lessons]
    head = "Seen in earlier sessions here (hints, not orders; what the user says goes first):"
    return "\n".join((f"<{MARKER}>", head, *lines, f"</{MARKER}>")) if lines else ""


# What agents say of a lesson counts like what came of telling it, one way or the other.
_COLUMNS = """l.id, l.condition, l.action, l.tags, l.covers, l.confidence, l.support, l.last_seen,
    l.helped + max(l.feedback, 0), l.recurred_told + max(-l.feedback, 0), l.project <> :project"""
# What may be told in a project, as in store/lessons.py: its own; of global ones the best of each merge key it has not.
_VISIBLE = """l.state = 'active' AND (l.project = :project OR (l.scope = 'global' AND NOT EXISTS (
    SELECT 1 FROM lessons AS o WHERE o.merge_key = l.merge_key AND (o.project = :project OR (o.scope = 'global'
        AND o.state = 'active' AND (o.confidence, o.support, o.id) > (l.confidence, l.support, l.id))))))"""


class Asked:
    """What is asked of the store at one event; `told`: ids of lessons that this session has heard of."""

    def __init__(self, connection: sqlite3.Connection, cwd: str, now: Moment, told: set[str]) -> None:
        self._connection, self._now, self._told = connection, now, told
        self._project = self._project_of(cwd)

    def before_call(self, floor: float = FLOOR) -> list[Known]:
        """The lessons whose cues fit: one look-up by all marks that may be an anchor."""
        anchors = [mark for mark in self._now.marks if not mark.startswith(("word:", "writes:"))][:MAX_ANCHORS]
        wanted = ",".join("?" * len(anchors))
        sql = f"SELECT number, needs, fit FROM cues WHERE anchor IN ({wanted}) AND project IN (?, '')"  # noqa: S608
        fits: dict[int, float] = {}
        for number, needs, fit in self._connection.execute(sql, (*anchors, self._project)):
            if fit > fits.get(number, 0.0):
                fits[number] = max(fits.get(number, 0.0), fit_of(json.loads(needs), fit, self._now))
        numbers = [str(number) for number, fit in fits.items() if fit >= floor]
        return self._chosen(self._lessons(f"l.number IN ({','.join(numbers)})"), fits) if numbers else []

    def by_words(self) -> list[Known]:
        """What is about this very error or command that is spoken of; else what shares telling words with it."""
        found = self.before_call(SURE)
        words = " OR ".join(f'"{word}"' for word in self._now.words)
        if found or not 0 < len(self._now.words) <= MAX_WORDS:
            return found
        where = "l.number IN (SELECT rowid FROM lessons_index WHERE lessons_index MATCH :words ORDER BY rank LIMIT 20)"
        near = self._lessons(where, words)
        alike = {number: alikeness(one, self._now) for number, one in near.items()}
        return self._chosen({number: one for number, one in near.items() if alike[number] >= ALIKE}, alike)

    def at_start(self) -> list[Known]:
        """The project's surest lessons that several sessions have shown, at half the length; first those without a cue.

        Those with one will be told when their occasion comes, if the agent has hooks for that.
        """
        surest = " ORDER BY l.confidence DESC, l.support DESC, l.id LIMIT 20"
        found = {}
        for fit, never in ((0.0, ""), (1.0, " AND NOT EXISTS (SELECT 1 FROM cues WHERE cues.number = l.number)")):
            for number, one in self._lessons(f"l.project = :project AND l.support > 1{never}", rest=surest).items():
                one.fit, found[number] = fit, one
        return choose(list(found.values()), self._now, self._told, (), LIMIT, MAX_TOKENS // 2)

    def _lessons(self, where: str, words: str = "", rest: str = "") -> dict[int, Known]:
        sql = f"SELECT l.number, {_COLUMNS} FROM lessons AS l WHERE {where} AND {_VISIBLE}{rest}"  # noqa: S608 - constants
        rows = self._connection.execute(sql, {"project": self._project, "words": words})
        return {row[0]: Known((*row[1:4], json.loads(row[4]), json.loads(row[5]), *row[6:])) for row in rows}

    def _chosen(self, fitting: dict[int, Known], fits: dict[int, float]) -> list[Known]:
        for number, one in fitting.items():
            one.fit = fits[number]
        sql = f"SELECT covers FROM lessons WHERE id IN ({','.join('?' * len(self._told))})"  # noqa: S608 - marks
        heard = {cause for (covers,) in self._connection.execute(sql, [*self._told]) for cause in json.loads(covers)}
        return choose(list(fitting.values()), self._now, self._told, heard)

    def _project_of(self, cwd: str) -> str:
        """The key of the project that a directory belongs to: as decided before, else by `.git` as in projects.py."""
        row = self._connection.execute("SELECT key FROM projects WHERE cwd = ?", (cwd,)).fetchone()
        place = cwd
        while not row and place.strip("/"):
            if os.path.exists(f"{place}/.git"):  # noqa: PTH110 - pathlib takes longer to import than all of this
                return _main_directory(place)
            place = place.rpartition("/")[0]
        return str(row[0]) if row else cwd


def _main_directory(place: str) -> str:
    """The repository's main directory: of a worktree that which its `.git` file points into."""
    if os.path.isdir(f"{place}/.git"):  # noqa: PTH112 - as above
        return place
    with open(f"{place}/.git", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - as above
        return file.read(4096).partition("gitdir: ")[2].partition("/.git/worktrees/")[0] or place


_ASK = {
    "session_start": Asked.at_start,
    "user_prompt": Asked.by_words,
    "pre_tool_use": Asked.before_call,
    "post_tool_failure": Asked.by_words,
}


def lessons_for(event: str, database: str, cwd: str, now: Moment, session: str, told: Iterable[str]) -> list[Known]:
    """The lessons to tell at an event of `_ASK`, best first; none where there is no store.

    `told`: ids that this session has heard of besides those that the store knows of. Without a journal the file is
    complete: it is read as immutable, again if it changed meanwhile. Else it is read beside its writer. A store that is
    locked, damaged or of another schema raises sqlite3.Error, ValueError, TypeError or LookupError.
    """
    for _ in range(3):
        stamp = _stamp(database), _stamp(f"{database}-wal")
        alone = not (stamp[1] and stamp[1][0])
        if stamp[0] and (alone or _stamp(f"{database}-shm")):  # without it SQLite would make one: nothing is made here
            found = _read(event, database, alone, cwd, now, session, set(told))
            if not alone or stamp == (_stamp(database), _stamp(f"{database}-wal")):
                return found
    return []


def _read(
    event: str, database: str, alone: bool, cwd: str, now: Moment, session: str, told: set[str]  # noqa: FBT001 - as found
) -> list[Known]:  # fmt: skip
    quoted = "".join(chr(byte) if chr(byte).isalnum() else f"%{byte:02x}" for byte in os.fsencode(database))
    options = "mode=ro&immutable=1" if alone else "mode=ro"
    connection = sqlite3.connect(f"file:{quoted}?{options}", uri=True, timeout=BUSY_SECONDS)
    try:
        if connection.execute("PRAGMA user_version").fetchone() != (SCHEMA,):
            raise ValueError("the store has another schema")
        told.update(
            row[0] for row in connection.execute("SELECT lesson_id FROM deliveries WHERE session = ?", (session,))
        )
        return _ASK[event](Asked(connection, cwd, now, told))
    finally:
        connection.close()


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino

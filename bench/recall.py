"""Tell lessons to real sessions as hooks would, and count: `python -m bench.recall [--data DIR] [--json]`.

The sessions of DIR/projects (default `../shared`) are met in time order; lessons come from earlier ones only. Three
ways to choose are held to the same rules (at most three lessons, none twice in a session): the product's, with the very
functions of its hooks (marks, cues, order), BM25 alone, and always the three lessons that were seen last.

* coverage: of later failures, those whose cause an earlier session's lesson covers, and where that lesson is active
* recall@1, recall@3: of covered failures, those whose lesson comes first, or among three, from what is known before the
  call; pending lessons count, as in `bench.quality`
* alerts: calls before which something is told, for each 100 that do not fail; precision: of all calls before which
  something is told, those that then fail by a cause it covers; "in session": those where that comes in the session
* warned: of failures with an active lesson, those whose session had been told it when they came
* prompts: of requests, those at which something is told (the product only), and its precision in the session
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.quality.__main__ import DEFAULT
from bench.quality.recurrence import Met, case_of, failures_of, sessions
from msgspec.structs import replace

from selfdistill.model import Lesson, LessonState
from selfdistill.recall.hook import ALIKE, LIMIT, MAX_WORDS, SURE, alikeness
from selfdistill.recall.ranking import Candidate, as_moment, rank
from selfdistill.recall.situations import Query
from selfdistill.signals.causes import is_covered

if TYPE_CHECKING:
    from bench.quality.replay import Call

Choose = Callable[[Query, Sequence[Candidate]], list[str]]
"""The ids of the lessons to tell before a call, of those that may be told; the query says which have been."""

WAYS: Final = ("product", "BM25 alone", "latest three")


def product(query: Query, candidates: Sequence[Candidate]) -> list[str]:
    """What the hook tells before a call."""
    return [one.lesson.id for one in rank(query, candidates)]


def at_prompt(request: str, told: frozenset[str], candidates: Sequence[Candidate]) -> list[str]:
    """What the hook tells at a request: what it names exactly, else what it shares telling words with."""
    query = Query(request=request, told=told)
    exact = rank(query, candidates, floor=SURE)
    now = as_moment(query)
    if exact or not 0 < len(now.words) <= MAX_WORDS:
        return [one.lesson.id for one in exact]
    near = [one for one in candidates if alikeness(one.known, now) >= ALIKE and one.lesson.id not in told]
    return [one.lesson.id for one in near[:LIMIT]]


class Tally(Counter[str]):
    """What was counted of one way to choose."""

    def share(self, hits: str, of: str, scale: float = 1.0) -> float | None:
        """`hits` of `of`, None where there is nothing to count."""
        return round(scale * self[hits] / self[of], 4) if self[of] else None


def measure(data: Path) -> dict[str, dict[str, float | None]]:
    """Every figure of every way to choose."""
    tallies = {way: Tally() for way in WAYS}
    for met in sessions(data):
        _count_failures(met, tallies)
        active = [one for one in met.teller.candidates if one.lesson.state is LessonState.ACTIVE]
        ways: dict[str, Choose] = {
            "product": product,
            "BM25 alone": lambda query, _: met.teller.by_words(query, LIMIT, active),  # noqa: B023 - used within
            "latest three": lambda _query, _: met.teller.by_time(LIMIT, active),  # noqa: B023 - used within
        }
        for way, choose in ways.items():
            _tell(met, active, choose, tallies[way], prompts=way == "product")
    return {way: _figures(tally) for way, tally in tallies.items()}


def _count_failures(met: Met, tallies: dict[str, Tally]) -> None:
    for one in case_of(met, Counter()).failures:
        for way, place in zip(WAYS, (one.place, one.place_by_words, one.place_by_time), strict=True):
            tallies[way].update(failures=1, covered=one.covered, covered_active=one.active)
            tallies[way].update(first=place == 1, among_three=0 < place <= LIMIT)


def _tell(met: Met, active: Sequence[Candidate], choose: Choose, tally: Tally, *, prompts: bool) -> None:
    """Go through a session as hooks would."""
    lessons = {one.lesson.id: one.lesson for one in active}
    causes = {call.uid: _causes(met, call) for call in met.played.calls if call.uid not in met.seen}
    failing = [cause for found in causes.values() for cause in found]
    told: frozenset[str] = frozenset()
    request = ""
    for call in met.played.calls:
        if call.uid in met.seen:
            continue
        if prompts and call.query.request != request:
            request = call.query.request
            said = at_prompt(request, told, active)
            told |= frozenset(said)
            tally.update(requests=1, prompts=bool(said), prompts_right=_is_about(said, lessons, failing))
        said = [one for one in choose(replace(call.query, told=told), active) if one not in told]
        told |= frozenset(said)
        tally.update(calls=1, alerts=bool(said), harmless=call.finished and not call.failed)
        tally.update(false_alerts=bool(said) and call.finished and not call.failed)
        tally.update(
            right=_is_about(said, lessons, causes[call.uid]), right_in_session=_is_about(said, lessons, failing)
        )
        for cause in causes[call.uid]:
            known = {one for one, lesson in lessons.items() if is_covered((cause,), lesson.covers)}
            tally.update(warnable=bool(known), warned=not known.isdisjoint(told))


def _causes(met: Met, call: Call) -> list[str]:
    """The causes by which a call failed, as they are counted; none where it did not."""
    return [one.cause for one in failures_of(call, met.teller, Counter())] if call.failed else []


def _is_about(told: Sequence[str], lessons: dict[str, Lesson], causes: Sequence[str]) -> bool:
    return any(is_covered(causes, lessons[one].covers) for one in told)


def _figures(tally: Tally) -> dict[str, float | None]:
    return {
        "failures": tally["failures"],
        "coverage": tally.share("covered", "failures"),
        "coverage active": tally.share("covered_active", "failures"),
        "recall@1": tally.share("first", "covered"),
        "recall@3": tally.share("among_three", "covered"),
        "alerts per 100 harmless calls": tally.share("false_alerts", "harmless", 100),
        "alerts": tally["alerts"],
        "precision": tally.share("right", "alerts"),
        "precision in session": tally.share("right_in_session", "alerts"),
        "warned": tally.share("warned", "warnable"),
        "prompts per 100": tally.share("prompts", "requests", 100),
        "prompts' precision in session": tally.share("prompts_right", "prompts"),
    }


def table(figures: dict[str, dict[str, float | None]]) -> str:
    """The figures, a row each and a column for each way to choose."""
    lines = [f"{'':32}" + "".join(f"{way:>14}" for way in figures)]
    for name in figures[WAYS[0]]:
        shown = ("-" if (value := figures[way][name]) is None else f"{value:.4g}" for way in figures)
        lines.append(f"{name:32}" + "".join(f"{value:>14}" for value in shown))
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    """Run from the command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.recall", description=__doc__)
    parser.add_argument("--data", type=Path, default=DEFAULT, metavar="DIR", help=f"holds projects/ ({DEFAULT})")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args(words)
    figures = measure(arguments.data.resolve())
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())

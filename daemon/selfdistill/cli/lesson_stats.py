"""`selfdistill lessons stats`: what was told, whether it helped, and how often known failures still come."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from selfdistill.cli.lesson_screen import shown
from selfdistill.cli.status_screen import bars
from selfdistill.recall.effects import Standing
from selfdistill.service.helping import Helping, Judged, helping, judged
from selfdistill.service.project_at import project_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

    from selfdistill.recall.effects import Share
    from selfdistill.store import Store

_MOST_LISTED: Final = 20
_MEANING: Final = {
    Standing.HELPING: "its failure comes in a smaller share of the sessions that were told (probability 0.9)",
    Standing.NOT_HELPING: "it comes in more than half of those that were told and had an opportunity (0.9)",
    Standing.UNPROVEN: "too few sessions to tell",
}


def add_arguments(actions: _SubParsersAction[ArgumentParser]) -> None:
    """Add the action."""
    stats = actions.add_parser("stats", help="what was told, and whether the failure stayed away")
    stats.add_argument("--project", metavar="DIR", help="only of the project of this directory")
    stats.add_argument("--json", action="store_true")


def show(store: Store, arguments: Namespace, now: float) -> None:
    """Print the figures; `now` is seconds since the epoch."""
    project = project_of(store, arguments.project) if arguments.project else None
    all_in_all, lessons = helping(store, now, project), judged(store, project)
    if arguments.json:
        print(json.dumps(_table(all_in_all, lessons), indent=2))
        return
    print("\n".join([*_sums(all_in_all), *_chart(all_in_all), *_listed(lessons)]))


def _table(found: Helping, lessons: list[Judged]) -> dict[str, Any]:
    """Everything as JSON has it."""
    told: dict[str, Any] = msgspec.to_builtins(found)
    told["weeks"] = [{**week, "start": _day(week["start"])} for week in told["weeks"]]
    told["lessons"] = [
        {"id": one.lesson.id, "deliveries": one.told, "state": one.lesson.state, **msgspec.to_builtins(one.effect)}
        for one in lessons
    ]
    return told


def _sums(found: Helping) -> list[str]:
    """Deliveries and standings."""
    telling = found.telling
    open_ones = telling.deliveries - telling.helped - telling.recurred
    came = f"{telling.helped:,} helped, {telling.recurred:,} failed all the same, {open_ones:,} cannot be told"
    lines = [
        f"told       {telling.deliveries:,} times, once a session: {came}",
        f"lessons    {', '.join(f'{count:,} {word}' for word, count in found.standings.items())}",
    ]
    if telling.ignored:
        lines.append(
            f"archived   {telling.ignored:,} that were ignored: `selfdistill lessons restore ID` tells one again"
        )
    if found.spoiled:
        why = ", ".join(f"{count:,} {why}" for why, count in found.spoiled.items())
        lines.append(f"not used   {sum(found.spoiled.values()):,} lines that hooks wrote: {why}")
    return lines


def _chart(found: Helping) -> list[str]:
    """Failures by week: those that a lesson had covered, and all that had come before."""
    rows = (
        ("known", [week.known for week in found.weeks], "a lesson had covered it"),
        ("repeated", [week.again for week in found.weeks], "it had come in another session"),
        ("all", [week.failures for week in found.weeks], "every failure with a cause"),
    )
    first = _day(found.weeks[0].start)
    return [
        f"\nfailures by week, the last {len(found.weeks)} from {first} on",
        *(f"  {name:<9}{bars(counts)}  {counts[-1]:>4,} this week  ({what})" for name, counts, what in rows),
    ]


def _listed(lessons: list[Judged]) -> list[str]:
    """The lessons that were told most often, with the counts of sessions in which the failure came."""
    lines = []
    for one in lessons[:_MOST_LISTED]:
        effect = one.effect
        archived = f" [{one.lesson.state.value}]" if one.lesson.state != "active" else ""
        counts = f"untold {_of(effect.untold)} · before {_of(effect.before)}"
        lines += [
            f"\n{one.lesson.id[:8]}  {effect.standing.value}{archived}: {shown(one.lesson.trigger.condition)}",
            f"    told {_of(effect.told)} ({one.told:,} in all) · {counts}",
        ]
    if lessons:
        lines.append("\nfailed of sessions; told: of those that had an opportunity")
        seen = {one.effect.standing for one in lessons}
        lines += [f"{standing.value}: {_MEANING[standing]}" for standing in Standing if standing in seen]
    return lines


def _of(share: Share) -> str:
    return f"{share.failed:,} of {share.sessions:,}"


def _day(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).date().isoformat()

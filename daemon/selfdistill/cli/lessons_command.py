"""`selfdistill lessons ...`: what was learned, what it rests on, and a person's verdicts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from selfdistill.errors import UsageError
from selfdistill.ingest.naming import printable
from selfdistill.model import LessonState, Scope
from selfdistill.projects import resolve
from selfdistill.service.assembly import open_store
from selfdistill.service.state_directory import prepare_state_directory
from selfdistill.store import Store, VerdictKind

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from selfdistill.cli.context import Context
    from selfdistill.model import Lesson, StoredFinding

VERDICTS: Final = tuple(kind.value for kind in VerdictKind if kind not in {VerdictKind.EDIT, VerdictKind.MERGE})
_QUOTED_LINES: Final = 8
_STATES: Final = (*(state.value for state in LessonState), "any")


def add_arguments(parser: ArgumentParser) -> None:
    """list, show, search, and one action for each verdict."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="lessons of this project, surest first")
    search = actions.add_parser("search", help="lessons that share words with a text, best first")
    search.add_argument("text", nargs="+")
    for chosen in (listing, search):
        chosen.add_argument("--project", metavar="DIR", help="another project than the current directory's")
        chosen.add_argument("--all", action="store_true", help="of every project")
        chosen.add_argument("--state", choices=_STATES, default="active", help="default: active")
        chosen.add_argument("--limit", type=int, default=50, help="at most so many; 0: all")
        chosen.add_argument("--json", action="store_true")
    show = actions.add_parser("show", help="one lesson with its evidence")
    show.add_argument("id", help="the id or its beginning")
    show.add_argument("--json", action="store_true")
    for name in VERDICTS:
        verdict = actions.add_parser(name, help=_HELP[name])
        verdict.add_argument("id", nargs="+", help="ids or their beginnings")
        verdict.add_argument("--note", default="", help="why")


_HELP: Final = {
    "approve": "make it active, whatever the evidence",
    "reject": "never tell it, never learn it again",
    "archive": "keep it, do not tell it",
    "restore": "take approve, reject, archive or merge back",
    "global": "tell it in every project",
    "local": "tell it in its own project only",
    "undo": "take the last decision about it back, whatever it was",
}


def run(arguments: Namespace, context: Context) -> int:
    """Do the action; UsageError for an unknown or ambiguous id."""
    if arguments.action in VERDICTS:
        return _decide(arguments, context)
    store = Store.open_read_only(context.places.database)
    if store is None:
        print("[]" if arguments.json else "No lessons yet: there is no store. `selfdistill run` makes one.")
        return 0
    with store:
        if arguments.action == "show":
            _show(store, store.lesson(arguments.id), as_json=arguments.json)
        else:
            _list(store, arguments)
    return 0


def _decide(arguments: Namespace, context: Context) -> int:
    """Record verdicts; all ids are looked up before the first is written."""
    if not context.places.database.exists():
        raise UsageError("There are no lessons yet.", "`selfdistill run` learns them from the agents' logs.")
    prepare_state_directory(context.places.state)
    with open_store(context.places) as store:
        chosen = [store.lesson(prefix) for prefix in arguments.id]
        with store.transaction():
            for lesson in chosen:
                after = store.decide(lesson.id, VerdictKind(arguments.action), arguments.note)
                stands = _stands(after) if after else "gone: nothing supports it"
                print(f"{lesson.id}  {stands}  {shown(lesson.action.description)}")
    return 0


def _stands(lesson: Lesson) -> str:
    """State and scope in words."""
    return f"{lesson.state.value} (global)" if lesson.scope is Scope.GLOBAL else lesson.state.value


def shown(text: str) -> str:
    """A text out of a log on one line, safe for terminals; unlike in paths, a backslash stays one."""
    return printable(text).replace("\\\\", "\\")


def _list(store: Store, arguments: Namespace) -> None:
    """Lessons as a list."""
    project = None if arguments.all else _project(store, arguments.project)
    state = None if arguments.state == "any" else LessonState(arguments.state)
    limit = arguments.limit or -1
    if arguments.action == "search":
        found = store.search(" ".join(arguments.text), project, limit, state=state, everywhere=arguments.all)
    else:
        found = store.lessons(project, state=state, everywhere=arguments.all, limit=limit)
    if arguments.json:
        print(json.dumps([msgspec.to_builtins(lesson) for lesson in found], indent=2))
        return
    for lesson in found:
        print(_line(lesson, with_project=arguments.all))
    if not found:
        waiting = len(store.lessons(project, state=LessonState.PENDING, everywhere=arguments.all))
        where = "anywhere" if project is None else f"in {printable(project)}"
        print(f"No such lessons {where}." + (f" {waiting} wait for more evidence: --state pending." if waiting else ""))


def _project(store: Store, directory: str | None) -> str:
    """The key of the project that a directory belongs to, as the store decided it."""
    cwd = str(Path(directory or ".").absolute())
    decided = store.project(cwd)
    return decided[0] if decided else resolve(cwd, "", store.known_roots()).key


def _line(lesson: Lesson, *, with_project: bool) -> str:
    """A lesson in two lines."""
    marks = "".join(
        (" (global)" if lesson.scope == "global" else "", "" if lesson.state == "active" else f" [{lesson.state}]")
    )
    where = f"  {printable(lesson.project)}" if with_project else ""
    seen = f"{lesson.support} session{'s' if lesson.support != 1 else ''}"
    return (
        f"{lesson.id[:8]}  {lesson.confidence:.2f}  {seen}{marks}{where}\n"
        f"    when  {shown(lesson.trigger.condition)}\n"
        f"    do    {shown(lesson.action.description)}"
    )


def _show(store: Store, lesson: Lesson, *, as_json: bool) -> None:
    """A lesson with everything that it rests on."""
    findings = store.evidence(lesson.id)
    opposites, alike = store.contradicting(lesson), store.similar(lesson)
    if as_json:
        table = {
            "lesson": msgspec.to_builtins(lesson),
            "evidence": _evidence_table(store, findings),
            "contradicts": [other.id for other in opposites],
            "similar": [other.id for other in alike],
        }
        print(json.dumps(table, indent=2))
        return
    print(_line(lesson, with_project=True))
    print(f"    why   {shown(lesson.rationale)}")
    print(f"    {lesson.signal.value} · {lesson.trigger.type.value} · {_maker(lesson)}")
    print(f"    {_recurrence(lesson)}")
    for word, others in (("contradicts", opposites), ("see also", alike)):
        for other in others:
            print(f"    {word} {other.id[:8]}: {shown(other.action.description)}")
    for row in _evidence_table(store, findings):
        place = f"{printable(row['log'])} @{row['offset']}+{row['length']}"
        print(f"\n  {row['role']}  {row['at'] or ''}  session {shown(row['session'])}\n    {place}")
        for text in row["quote"].splitlines()[:_QUOTED_LINES]:
            print(f"    | {shown(text)}")


def _maker(lesson: Lesson) -> str:
    """Who found it: the distiller, its version, and the model if one was asked."""
    return f"{lesson.distiller} {lesson.version}{f' · {printable(lesson.model)}' if lesson.model else ''}"


def _recurrence(lesson: Lesson) -> str:
    """Whether what the lesson is about came again after it was learned."""
    if not lesson.covers:
        return "about no failure that could be recognised when it comes again"
    if not lesson.recurred:
        return "the failure has not come again in any later session"
    return f"the failure came again in {lesson.recurred} later session{'s' if lesson.recurred > 1 else ''}"


def _evidence_table(store: Store, findings: list[StoredFinding]) -> list[dict[str, Any]]:
    """One row for each record that shows the lesson, at its first sighting."""
    rows = []
    for stored in findings:
        seen = stored.sightings[0]
        for number, evidence in enumerate(stored.finding.evidence):
            when = seen.times[number]
            rows.append(
                {
                    "role": evidence.role,
                    "quote": evidence.quote,
                    "session": seen.session,
                    "log": str(store.path(seen.log_id) or "?"),
                    "generation": seen.generation,
                    "offset": seen.spans[number].offset,
                    "length": seen.spans[number].length,
                    "uid": evidence.uid,
                    "at": None if when is None else datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds"),
                    "also_in_logs": len(stored.sightings) - 1,
                }
            )
    return rows

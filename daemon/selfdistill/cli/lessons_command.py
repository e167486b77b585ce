"""`selfdistill lessons ...`: what was learned, what it rests on, and a person's verdicts."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import msgspec

from selfdistill.cli import lesson_changes, lesson_stats, review
from selfdistill.cli.lesson_screen import card, evidence_table, line, shown, stands
from selfdistill.errors import UsageError
from selfdistill.ingest.naming import printable
from selfdistill.model import LessonState
from selfdistill.service.assembly import open_store
from selfdistill.service.project_at import project_of
from selfdistill.service.state_directory import prepare_state_directory
from selfdistill.store import Store, VerdictKind

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from selfdistill.cli.context import Context
    from selfdistill.model import Lesson

VERDICTS: Final = tuple(kind.value for kind in VerdictKind if kind not in {VerdictKind.EDIT, VerdictKind.MERGE})
_STATES: Final = (*(state.value for state in LessonState), "any")


def add_arguments(parser: ArgumentParser) -> None:
    """list, show, search, one action for each verdict, and what changes, takes in and reviews lessons."""
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
    lesson_changes.add_arguments(actions)
    review.add_arguments(actions)
    lesson_stats.add_arguments(actions)


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
    if arguments.action == "import":
        return lesson_changes.take_in(arguments, context)
    if arguments.action in CHANGES:
        must_exist(context)
        return CHANGES[arguments.action](arguments, context)
    store = Store.open_read_only(context.places.database)
    if store is None:
        print("[]" if arguments.json else "No lessons yet: there is no store. `selfdistill run` makes one.")
        return 0
    with store:
        if arguments.action == "stats":
            lesson_stats.show(store, arguments, time.time())
        elif arguments.action == "show":
            _show(store, store.lesson(arguments.id), as_json=arguments.json)
        else:
            _list(store, arguments)
    return 0


CHANGES: Final = {"edit": lesson_changes.edit, "merge": lesson_changes.merge, "review": review.run}


def must_exist(context: Context) -> None:
    """Raise UsageError where there is no store yet."""
    if not context.places.database.exists():
        raise UsageError("There are no lessons yet.", "`selfdistill run` learns them from the agents' logs.")


def _decide(arguments: Namespace, context: Context) -> int:
    """Record verdicts; all ids are looked up before the first is written."""
    must_exist(context)
    prepare_state_directory(context.places.state)
    with open_store(context.places) as store:
        chosen = [store.lesson(prefix) for prefix in arguments.id]
        with store.transaction():
            for lesson in chosen:
                after = store.decide(lesson.id, VerdictKind(arguments.action), arguments.note)
                now = stands(after) if after else "gone: nothing supports it"
                print(f"{lesson.id}  {now}  {shown(lesson.action.description)}")
    return 0


def _list(store: Store, arguments: Namespace) -> None:
    """Lessons as a list."""
    project = None if arguments.all else project_of(store, arguments.project)
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
        print(line(lesson, with_project=arguments.all))
    if not found:
        waiting = len(store.lessons(project, state=LessonState.PENDING, everywhere=arguments.all))
        where = "anywhere" if project is None else f"in {printable(project)}"
        print(f"No such lessons {where}." + (f" {waiting} wait for more evidence: --state pending." if waiting else ""))


def _show(store: Store, lesson: Lesson, *, as_json: bool) -> None:
    """A lesson with everything that it rests on."""
    if as_json:
        table = {
            "lesson": msgspec.to_builtins(lesson),
            "evidence": evidence_table(store, store.evidence(lesson.id)),
            "verdicts": msgspec.to_builtins(store.rulings(lesson)),
            "feedback": msgspec.to_builtins(store.opinions(lesson)),
            "contradicts": [other.id for other in store.contradicting(lesson)],
            "similar": [other.id for other in store.similar(lesson)],
        }
        print(json.dumps(table, indent=2))
        return
    for text in card(store, lesson):
        print(text)

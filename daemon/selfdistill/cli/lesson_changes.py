"""`selfdistill lessons edit, merge, import`: a person's wording, two lessons that are one, lessons from elsewhere."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from selfdistill.cli.lesson_screen import line, shown, stands
from selfdistill.cli.settings import settings
from selfdistill.errors import UsageError
from selfdistill.ingest.naming import printable
from selfdistill.model import LessonState
from selfdistill.privacy.redaction import Redactor
from selfdistill.service import exchange
from selfdistill.service.assembly import open_store
from selfdistill.service.project_at import project_of
from selfdistill.service.replacing import read_whole
from selfdistill.service.state_directory import prepare_state_directory
from selfdistill.store import Words

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Callable

    from selfdistill.cli.context import Context
    from selfdistill.model import Lesson

_FORM: Final = """\
# Change what stands behind `when:` and `do:`. An empty part brings back what was derived.
# Lines that begin with # are left out.
when: {condition}
do: {action}
"""


def add_arguments(actions: _SubParsersAction[ArgumentParser]) -> None:
    """The three actions."""
    editing = actions.add_parser("edit", help="say it in other words; without options in $EDITOR")
    editing.add_argument("id", help="the id or its beginning")
    editing.add_argument("--condition", metavar="TEXT", help='when it applies; "" brings the derived words back')
    editing.add_argument("--action", metavar="TEXT", dest="words", help='what to do then; "" likewise')
    editing.add_argument("--note", default="", help="why")
    merging = actions.add_parser("merge", help="let its evidence, also future, count for another lesson")
    merging.add_argument("id", help="the id or its beginning; this one is archived")
    merging.add_argument("into", help="the one that stays")
    merging.add_argument("--note", default="", help="why")
    importing = actions.add_parser("import", help="take in what `export --to json` (or jsonl) wrote; it waits for you")
    importing.add_argument("file", type=Path)
    importing.add_argument("--project", metavar="DIR", help="file them under this project instead of their own")
    importing.add_argument("--dry-run", action="store_true", help="check the file, write nothing")


def edit(arguments: Namespace, context: Context) -> int:
    """Give a lesson a person's wording."""
    redact = Redactor(settings(context).privacy.extra_patterns)
    prepare_state_directory(context.places.state)
    with open_store(context.places) as store:
        lesson = store.lesson(arguments.id)
        before = words_of(lesson)
        if arguments.condition is None and arguments.words is None:
            wanted = _in_editor(before, context)
        else:
            wanted = Words(
                before.condition if arguments.condition is None else arguments.condition,
                before.action if arguments.words is None else arguments.words,
            )
        if wanted == before:
            print("unchanged")
            return 0
        after = store.edit(lesson.id, changed(wanted, before, redact), arguments.note)
        print(line(after, with_project=False) if after else f"{lesson.id}  gone: nothing supports it")
    return 0


def words_of(lesson: Lesson) -> Words:
    """What a lesson says now."""
    return Words(lesson.trigger.condition, lesson.action.description)


def changed(wanted: Words, before: Words, redact: Callable[[str], str]) -> Words:
    """The wording to keep, on one line each and without secrets. What is as it was stays as it was."""
    condition, action = (" ".join(redact(text).split()) for text in (wanted.condition, wanted.action))
    return Words(
        condition if wanted.condition != before.condition else before.condition,
        action if wanted.action != before.action else before.action,
    )


def _in_editor(before: Words, context: Context) -> Words:
    """The wording as a person's editor left it; UsageError without an editor, or if it fails."""
    editor = context.environment.get("VISUAL") or context.environment.get("EDITOR")
    if not editor:
        raise UsageError("There is no editor: EDITOR is not set.", "Say it with --condition and --action.")
    with tempfile.TemporaryDirectory(prefix="selfdistill-") as directory:
        path = Path(directory) / "lesson.txt"
        path.write_text(_FORM.format(condition=shown(before.condition), action=shown(before.action)))
        try:
            code = subprocess.call([*shlex.split(editor), os.fspath(path)])  # noqa: S603 - the user's own editor
        except (OSError, ValueError) as error:
            raise UsageError(f"The editor {printable(editor)} cannot be started: {error}.", "Set EDITOR.") from error
        if code:
            raise UsageError(f"The editor {printable(editor)} ended with code {code}.", "Nothing was changed.")
        return _from_form(path.read_text(errors="replace"), before)


def _from_form(text: str, before: Words) -> Words:
    parts = {"when": "", "do": ""}
    name = ""
    for one in text.splitlines():
        head, colon, rest = one.partition(":")
        if one.startswith("#"):
            continue
        if colon and head in parts:
            name, one = head, rest  # noqa: PLW2901 - the line without its name
        if name:
            parts[name] = f"{parts[name]} {one}".strip()
    old = {"when": before.condition, "do": before.action}
    kept = {part: old[part] if said == shown(old[part]) else said for part, said in parts.items()}
    return Words(kept["when"], kept["do"])


def merge(arguments: Namespace, context: Context) -> int:
    """Let one lesson's evidence count for another."""
    prepare_state_directory(context.places.state)
    with open_store(context.places) as store:
        lesson, into = store.lesson(arguments.id), store.lesson(arguments.into)
        after = store.merge(lesson.id, into.id, arguments.note)
        if after:
            print(f"{lesson.id}  merged into\n{line(after, with_project=False)}")
    return 0


def take_in(arguments: Namespace, context: Context) -> int:
    """Take in a file of lessons; UsageError if nothing in it can be used."""
    name = printable(arguments.file)
    content = read_whole(arguments.file)
    if content is None:
        raise UsageError(f"{name} does not exist.", "Name what `selfdistill export --to json --output F` wrote.")
    redact = Redactor(settings(context).privacy.extra_patterns)
    if arguments.dry_run and arguments.project is None:
        _tell_refused(exchange.read(content, name, redact), name, dry=True)
        return 0
    prepare_state_directory(context.places.state)
    with open_store(context.places) as store:
        project = project_of(store, arguments.project) if arguments.project is not None else None
        taken = exchange.read(content, name, redact, project)
        if arguments.dry_run:
            _tell_refused(taken, name, dry=True)
            return 0
        done = store.take_in(taken.foreign)
        standing = [store.lesson(one) for one in dict.fromkeys(taken.ids)]
        _tell_refused(taken, name, dry=False)
        for lesson in done.created:
            print(f"{lesson.id[:8]}  {stands(lesson)}  {shown(lesson.action.description)}")
        _tell_known(standing, {lesson.id for lesson in done.created})
    return 0


def _tell_refused(taken: exchange.Taken, name: str, *, dry: bool) -> None:
    refused = ", ".join(f"{count} {reason}" for reason, count in sorted(taken.refused.items()))
    if refused and not taken.ids:
        raise UsageError(f"No lesson of {name} can be used: {refused}.", "Nothing was taken in.")
    print(f"{len(taken.ids)} lessons {'can be ' if dry else ''}taken in" + (f"; refused: {refused}" if refused else ""))


def _tell_known(standing: list[Lesson], new: set[str]) -> None:
    """What became of those that were here before."""
    known = [lesson for lesson in standing if lesson.id not in new]
    rejected = sum(lesson.state is LessonState.REJECTED for lesson in known)
    if known:
        print(f"{len(known)} of them were known" + (f", {rejected} stay rejected" if rejected else ""))
    if new:
        print("They wait for you: `selfdistill lessons review`")

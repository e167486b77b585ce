"""`selfdistill export`: lessons into a file that agents read, a document for people, or JSON for another store."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from selfdistill.errors import UsageError
from selfdistill.ingest.naming import printable
from selfdistill.model import LessonState
from selfdistill.recall import markdown
from selfdistill.service import exchange
from selfdistill.service.project_at import project_of
from selfdistill.service.replacing import read_whole, replace_whole
from selfdistill.store import Store

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from selfdistill.cli.context import Context
    from selfdistill.model import Lesson

BLOCK_FILES: Final = {"agents-md": "AGENTS.md", "claude-md": "CLAUDE.md"}
_FORMS: Final = (*BLOCK_FILES, "markdown", "json", "jsonl")
_STATES: Final = (*(state.value for state in LessonState), "any")
_NEW_FILE_MODE: Final = 0o644  # of an AGENTS.md: it is for everybody who works there


def add_arguments(parser: ArgumentParser) -> None:
    """Which lessons, in which form, and where to."""
    parser.add_argument(
        "--to",
        choices=_FORMS,
        required=True,
        help="agents-md, claude-md: a marked block in AGENTS.md or CLAUDE.md of the project, replaced in place; "
        "markdown: for people; json, jsonl: all fields and evidence, for `lessons import`",
    )
    parser.add_argument("--project", metavar="DIR", help="another project than the current directory's")
    parser.add_argument("--all", action="store_true", help="of every project; not for a block")
    parser.add_argument("--state", choices=_STATES, default="active", help="default: active; not for a block")
    parser.add_argument(
        "--output", metavar="F", type=Path, help="another file; without it documents go to the terminal"
    )
    parser.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help=f"at most N lessons (a block: {markdown.BLOCK_LESSONS}, and about {markdown.BLOCK_TOKENS} tokens)",
    )
    parser.add_argument("--remove", action="store_true", help="take the block out of the file again")
    parser.add_argument("--dry-run", action="store_true", help="show what would be written, write nothing")


def run(arguments: Namespace, context: Context) -> int:
    """Write or print; UsageError where the arguments do not fit, or the file's block is not clear."""
    is_block = arguments.to in BLOCK_FILES
    _check(arguments, is_block=is_block)
    store = Store.open_read_only(context.places.database)
    if store is None:
        if arguments.remove:
            return _keep_block([], _block_file(arguments), arguments)
        raise UsageError("There are no lessons yet.", "`selfdistill run` learns them from the agents' logs.")
    with store:
        if not is_block:
            return _write_document(store, arguments)
        project = project_of(store, arguments.project)
        told = [] if arguments.remove else markdown.chosen(tellable(store, project), arguments.limit)
    return _keep_block(told, _block_file(arguments), arguments)


def tellable(store: Store, project: str) -> list[Lesson]:
    """The lessons that may be told in a project, surest first; none that another active one contradicts."""
    found = store.lessons(project)
    return [one for one in found if not any(other.state is LessonState.ACTIVE for other in store.contradicting(one))]


def _check(arguments: Namespace, *, is_block: bool) -> None:
    if arguments.limit is None:
        arguments.limit = markdown.BLOCK_LESSONS if is_block else -1
    elif arguments.limit < 1:
        raise UsageError(f"--limit {arguments.limit} makes no sense.", "Give a number of lessons.")
    if arguments.remove and not is_block:
        raise UsageError("--remove takes a block out.", f"It goes with --to {' or '.join(BLOCK_FILES)}.")
    if is_block and (arguments.all or arguments.state != "active"):
        raise UsageError(
            "A block holds what may be told in one project: its active lessons.", "Leave out --all and --state."
        )


def _block_file(arguments: Namespace) -> Path:
    """The file that keeps the block: beside `.git` in the working tree at hand, if no other is named."""
    if arguments.output:
        return Path(arguments.output).absolute()
    directory = Path(arguments.project or ".").absolute()
    if not directory.is_dir():
        raise UsageError(f"{printable(directory)} is no directory.", "Name the project's directory.")
    tree = next((one for one in (directory, *directory.parents) if (one / ".git").exists()), directory)
    return tree / BLOCK_FILES[arguments.to]


def _keep_block(lessons: list[Lesson], path: Path, arguments: Namespace) -> int:
    """Bring the block of a file up to date, or out of it; a file that held nothing else goes with it."""
    before, name = read_whole(path), printable(path)
    after: bytes | None = markdown.with_block(before or b"", markdown.block(lessons), name)
    if not after:
        after = before if before == b"" else None
    if arguments.dry_run:
        _print_difference(before or b"", after or b"", name)
        return 0
    replace_whole(path, before, after, new_mode=_NEW_FILE_MODE)
    if not lessons:
        why = "" if arguments.remove else "no lesson may be told here; "
        print(f"{why}{name} has no block of ours" + ("" if before == after else " any more"))
    else:
        print(f"{name}: {'unchanged, ' if before == after else ''}{len(lessons)} lessons")
    return 0


def _print_difference(before: bytes, after: bytes, name: str) -> None:
    old, new = (content.decode("utf-8", "replace").splitlines() for content in (before, after))
    lines = list(difflib.unified_diff(old, new, f"{name} now", f"{name} then", lineterm=""))
    print("\n".join(printable(line).replace("\\\\", "\\") for line in lines) or f"{name} would stay as it is")


def _write_document(store: Store, arguments: Namespace) -> int:
    """The lessons in one of the forms that are no block."""
    project = None if arguments.all else project_of(store, arguments.project)
    state = None if arguments.state == "any" else LessonState(arguments.state)
    lessons = store.lessons(project, state=state, everywhere=arguments.all, limit=arguments.limit)
    content = _rendered(store, lessons, arguments.to, project)
    if arguments.output is None:
        sys.stdout.write(content.decode("utf-8", "replace"))
        return 0
    path = arguments.output.absolute()
    if not arguments.dry_run:
        replace_whole(path, read_whole(path), content)
    would = "would be " if arguments.dry_run else ""
    print(f"{len(lessons)} lessons {would}written to {printable(path)}")
    return 0


def _rendered(store: Store, lessons: list[Lesson], form: str, project: str | None) -> bytes:
    if form == "markdown":
        where = "" if project is None else f" of {project}"
        return markdown.document(lessons, f"Lessons{where}").encode("utf-8", "replace")
    found = [exchange.shared(lesson, store.evidence(lesson.id), store.path) for lesson in lessons]
    return exchange.as_json(found) if form == "json" else exchange.as_json_lines(found)

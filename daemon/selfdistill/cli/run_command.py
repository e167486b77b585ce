"""`selfdistill run`: one pass now over what is due, with or without a daemon beside it."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from selfdistill.cli import model_options
from selfdistill.cli.lesson_screen import shown
from selfdistill.cli.settings import settings
from selfdistill.errors import UsageError
from selfdistill.ingest.naming import printable
from selfdistill.projects import resolve
from selfdistill.service.assembly import assemble
from selfdistill.service.one_pass import Pass, any_logs, desk_of, one_pass, sample_pass
from selfdistill.service.running import Progress, Selection

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from selfdistill.cli.context import Context
    from selfdistill.config import Config
    from selfdistill.manifest import Manifest

_AGE: Final = re.compile(r"(\d+)([mhdw])")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SHOWN: Final = 10


def add_arguments(parser: ArgumentParser) -> None:
    """What to distill, and how to tell."""
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="only these logs or directories, settled or not"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be learned, write nothing anywhere")
    parser.add_argument("--again", action="store_true", help="distill anew what was distilled already; verdicts stay")
    parser.add_argument(
        "--limit", type=int, default=20, metavar="N", help="at most N sessions, newest first (20); 0: all"
    )
    model_options.add_arguments(parser)
    parser.add_argument(
        "--since", metavar="T", help="only logs changed since: 2026-11-01, 2026-11-01T09:30, or 7d, 12h"
    )
    parser.add_argument("--project", metavar="DIR", help="only sessions that worked in this project")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")


def run(arguments: Namespace, context: Context) -> int:
    """One pass; 0 unless something of our own failed."""
    config = settings(context)
    selection = _selection(arguments)
    model_options.check(arguments, config, context)
    new_here = not context.places.database.exists() and not selection.paths
    if new_here and not any_logs(config, context.home, context.environment):
        selection = msgspec.structs.replace(selection, dry_run=True)  # nothing to keep: leave no files behind
    assembly = assemble(
        config,
        context.places,
        context.home,
        context.environment,
        rehearsal=selection.dry_run,
        chosen_model=arguments.model or "",
    )
    with assembly.store:
        with _progress(enabled=not arguments.json) as on_progress:
            done = one_pass(assembly, selection, on_progress, backfill=arguments.backfill)
        if not selection.dry_run:
            assembly.store.back_up_if_due()
        if arguments.estimate or arguments.show_prompt:
            return model_options.tell_questions(arguments, desk_of(assembly), done.to_ask)
    if assembly.rescued:
        sys.stderr.write(f"selfdistill: {assembly.rescued.sentence()}\n  {assembly.rescued.advice()}\n")
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(done.manifest), indent=2).decode())
        return 0
    if not done.logs_known and not selection.paths:
        _tell_sample(config, context)
        return 0
    _tell(done, selection)
    return 0


def _selection(arguments: Namespace) -> Selection:
    """The arguments in the service's words; raises UsageError."""
    if arguments.limit < 0:
        raise UsageError(f"--limit {arguments.limit} makes no sense.", "Give a number of sessions; 0 means all.")
    paths = tuple(path.absolute() for path in arguments.paths)
    for path in paths:
        if not path.exists():
            raise UsageError(f"{printable(path)} does not exist.", "Name a log, or a directory of logs.")
    return Selection(
        limit=arguments.limit,
        since=_since(arguments.since) if arguments.since else None,
        project=resolve(str(Path(arguments.project).absolute()), "").key if arguments.project else "",
        paths=paths,
        again=arguments.again,
        dry_run=arguments.dry_run or arguments.estimate or arguments.show_prompt,
    )


def _since(text: str) -> float:
    """A time or an age as seconds since the epoch; local time where none is named."""
    age = _AGE.fullmatch(text)
    if age:
        return time.time() - int(age[1]) * _SECONDS[age[2]]
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except ValueError as error:
        raise UsageError(
            f"--since {text} is no time.", "Write 2026-11-01, 2026-11-01T09:30, or an age such as 7d."
        ) from error


@contextmanager
def _progress(*, enabled: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A progress bar on a terminal, nothing elsewhere."""
    if not enabled or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - 60 ms that only a terminal pays
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as Bar  # noqa: PLC0415

    columns = (
        TextColumn("distilling"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[extra]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, extra="")

        def show(progress: Progress) -> None:
            extra = f"{progress.bytes_read / 1e6:.0f} MB, {progress.lessons} lessons"
            bar.update(task, total=progress.total, completed=progress.done, extra=extra)

        yield show


def _tell(done: Pass, selection: Selection) -> None:
    """The manifest for people."""
    made = done.manifest
    dry = " (dry run: nothing was written)" if made.dry_run else ""
    print(f"{made.sessions_processed} sessions distilled, {done.bytes_read / 1e6:.1f} MB{dry}")
    print(f"{made.lessons_generated} new lessons, {made.lessons_merged} known ones confirmed or changed")
    skipped = ", ".join(
        f"{count} {reason.replace('_', ' ')}" for reason, count in made.sessions_skipped.items() if count
    )
    if skipped:
        print(f"skipped: {skipped}")
    for path, message in list(done.failed.items())[:_SHOWN]:
        print(f"failed: {printable(path)}: {message}")
    model_options.tell_asked(done.asked)
    if done.sessions_left:
        print(f"{done.sessions_left} more settled sessions are left: `selfdistill run --limit 0` takes all")
    _tell_lessons(made)
    if made.lessons_generated and not selection.dry_run:
        print("\nAll of them: `selfdistill lessons list --all`; evidence: `selfdistill lessons show ID`")


def _tell_lessons(made: Manifest) -> None:
    """The surest new lessons."""
    for lesson in made.lessons[:_SHOWN]:
        print(f"\n  {lesson.confidence:.2f}  when  {shown(lesson.trigger.condition)}")
        print(f"        do    {shown(lesson.action.description)}")
    if len(made.lessons) > _SHOWN:
        print(f"\n  ... and {len(made.lessons) - _SHOWN} more")


def _tell_sample(config: Config, context: Context) -> None:
    """No agent's logs here: show what would happen, on invented ones."""
    print("No agent's logs were found (looked for Claude Code and Codex; see `selfdistill init`).")
    done, lessons = sample_pass(config, context.home)
    print(f"Here is what it does with {done.manifest.sessions_processed} invented sessions. sample: nothing was stored")
    for condition, description, confidence in lessons:
        print(f"\n  {confidence:.2f}  when  {condition}\n        do    {description}")
    print("\nUse Claude Code or Codex, then run this again; or name a log: `selfdistill run PATH`.")

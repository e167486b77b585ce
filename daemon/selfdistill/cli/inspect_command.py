"""`selfdistill inspect PATH`: one log as a timeline, and why its outcome and lessons are what they are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from selfdistill.cli.lesson_screen import shown
from selfdistill.cli.settings import settings
from selfdistill.ingest.naming import printable
from selfdistill.privacy.redaction import Redactor
from selfdistill.service.inspecting import Choice, Inspection, inspect

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from selfdistill.cli.context import Context

_WIDTH: Final = 100
_REQUEST: Final = 60


def add_arguments(parser: ArgumentParser) -> None:
    """The log, and how to show it."""
    parser.add_argument("path", type=Path, help="a log of any agent; of a database FILE/SESSION, or FILE for a list")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")


def run(arguments: Namespace, context: Context) -> int:
    """Explain one log; nothing is stored."""
    inspection = inspect(arguments.path.absolute(), Redactor(settings(context).privacy.extra_patterns))
    if isinstance(inspection, Choice):
        _print_choice(arguments.path, inspection, as_json=arguments.json)
    elif arguments.json:
        print(json.dumps(_table(inspection), indent=2, ensure_ascii=True))
    else:
        _print(arguments.path, inspection)
    return 0


def _print_choice(path: Path, choice: Choice, *, as_json: bool) -> None:
    """The sessions of a database, and how to see one."""
    if as_json:
        print(json.dumps(msgspec.to_builtins(choice), indent=2, ensure_ascii=True))
        return
    print(f"{printable(path)}\n  read by {choice.source}: {len(choice.sessions)} sessions\n")
    for one in choice.sessions:
        print(f"  {one.changed_at[:16].replace('T', ' ')}  {one.messages:6,} messages  {one.path}")
    print("\nSee one of them with `selfdistill inspect PATH`, its path being one of the above.")


def _table(inspection: Inspection) -> dict[str, Any]:
    table: dict[str, Any] = msgspec.to_builtins(inspection)
    for name in ("session", "records"):  # whole, also where nothing is to tell: readers rely on the keys
        part = getattr(inspection, name)
        table[name] = {field: getattr(part, field) for field in part.__struct_fields__}
    return table


def _print(path: Path, inspection: Inspection) -> None:
    """The timeline for people."""
    session, records = inspection.session, inspection.records
    who = "machine-run" if session.machine_run else "a person's"
    place = printable(session.cwd) or "?"
    print(f"{printable(path)}\n  read by {inspection.source}: session {shown(session.id) or '?'}, {who}, in {place}")
    if session.ignored:
        print(f"  skipped whole: {session.ignored}")
    print(
        f"  {records.total} records: {records.known} known, {records.ignored} ignored on purpose, "
        f"{records.unknown} unknown, {records.undecodable} undecodable; the turn is {inspection.turn.value}"
    )
    for name, count in records.unknown_types.items():
        print(f"    unknown: {printable(name)} x{count}")
    signals_at = {span.offset: signal for signal in inspection.signals for span in signal.spans[:1]}
    print()
    for event in inspection.events:
        print(_line(event))
        signal = signals_at.get(event["span"][0])
        if signal and event["kind"] != "tool_result":
            print(f"{'':21}^ {signal.kind.value} ({signal.polarity.value}) {shown(signal.detail)}")
    _print_summary(inspection)


def _line(event: dict[str, Any]) -> str:
    """One event on one line."""
    when = datetime.fromtimestamp(event["at"], UTC).strftime("%m-%d %H:%M:%S") if event.get("at") else ""
    given = event.get("input", {})
    words = given.get("command") or given.get("path") or event.get("text", "")
    mark = " FAILED" if event.get("is_error") or event.get("exit_code") else ""
    what = event["kind"] if event["kind"] != "user" else f"user ({event.get('author', 'program')})"
    flat = shown(" ".join(f"{event.get('tool', '')} {words}".split()))
    return f"{when:14} {what:15}{mark} {flat[:_WIDTH]}"


def _print_summary(inspection: Inspection) -> None:
    """Episodes, findings, outcome."""
    print(f"\n{len(inspection.episodes)} episodes:")
    for episode in inspection.episodes:
        verdict = (
            f"{episode.outcome.verdict.value} ({episode.outcome.failure_probability:.2f})" if episode.outcome else "?"
        )
        kinds = ", ".join(signal.kind.value for signal in episode.signals) or "no signal"
        request = shown(" ".join(episode.request.split())[:_REQUEST])
        print(f"  @{episode.offset:<9} {verdict:16} {request}  [{kinds[:_WIDTH]}]")
    print(f"\n{len(inspection.findings)} findings:")
    for finding in inspection.findings:
        print(f"  {finding.rule}: when {shown(finding.trigger.condition)}")
        print(f"    do {shown(finding.action.description)}")
    outcome = inspection.outcome
    parts = ", ".join(f"{name} {weight:+.1f}" for name, weight in outcome.contributions) or "nothing speaks either way"
    print(f"\noutcome: {outcome.verdict.value}, probability of failure {outcome.failure_probability:.2f} ({parts})")

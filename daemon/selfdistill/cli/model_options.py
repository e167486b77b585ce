"""What `run` says and takes about the model: its options, estimates, prompts, and what came of asking."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from selfdistill.distill.llm.prices import DEFAULT_MODEL
from selfdistill.errors import UsageError
from selfdistill.ingest.naming import printable
from selfdistill.service.asking import End
from selfdistill.service.model_access import model_access
from selfdistill.service.model_pass import estimate, would_ask

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from selfdistill.cli.context import Context
    from selfdistill.config import Config
    from selfdistill.service.model_pass import Asked, Desk, Estimate
    from selfdistill.service.spread import Spread
    from selfdistill.store import PendingLog

_NAME: Final = re.compile(r"[A-Za-z0-9._:/@-]{1,128}")


def add_arguments(parser: ArgumentParser) -> None:
    """Which model, and what to do about it."""
    parser.add_argument(
        "--model",
        metavar="M",
        help=f"ask this model ({DEFAULT_MODEL}); then ANTHROPIC_API_KEY counts too",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--estimate", action="store_true", help="say what asking a model would cost; writes and sends nothing"
    )
    what.add_argument(
        "--show-prompt", action="store_true", help="print exactly what a model would be sent; writes and sends nothing"
    )
    what.add_argument(
        "--backfill", action="store_true", help="hand the model's part over as a batch: half the price, collected later"
    )


def check(arguments: Namespace, config: Config, context: Context) -> None:
    """Refuse what cannot work; say on stderr why a model that was asked for is not asked."""
    if arguments.model is not None and not _NAME.fullmatch(arguments.model):
        raise UsageError(f"--model {printable(arguments.model)} is no model's name.", f"For example {DEFAULT_MODEL}.")
    if arguments.backfill and arguments.dry_run:
        raise UsageError("--backfill sends something, --dry-run nothing.", "Leave one of them out; see --estimate.")
    wanted = bool(arguments.model or arguments.backfill) and not (arguments.dry_run or arguments.estimate)
    access = model_access(config.llm, context.environment, arguments.model or "").access
    for warning in access.warnings:
        print(f"selfdistill: {warning}", file=sys.stderr)
    if wanted and not arguments.show_prompt and not access.usable:
        print(f"selfdistill: no model is asked. {access.reason}", file=sys.stderr)


def tell_questions(arguments: Namespace, desk: Desk, logs: Sequence[PendingLog]) -> int:
    """What would be asked: its cost, or its words."""
    if arguments.estimate:
        made = estimate(desk, logs)
        _print_estimate(made, desk, as_json=arguments.json)
        return 0
    shown = [
        {"path": printable(path), "model": question.request.model, "system": question.prompt.system,
         "user": question.prompt.user, "schema": question.request.schema}
        for path, question in would_ask(desk, logs)
    ]  # fmt: skip
    if arguments.json:
        print(json.dumps(shown, indent=2))
        return 0
    for prompt in shown:
        print(f"# {prompt['path']} to {prompt['model']}\n\n{prompt['system']}\n\n{prompt['user']}\n")
    print(f"# {len(shown)} requests would be sent; nothing was.")
    return 0


def tell_asked(asked: Asked | None) -> None:
    """What came of asking, if anybody was asked."""
    if asked is None:
        return
    tally, handed = asked.tally, asked.handed
    print(f"the model was asked about {len(tally.sessions)} sessions")
    if tally.refused:
        print(f"refused of its answers: {', '.join(f'{count} {why}' for why, count in sorted(tally.refused.items()))}")
    for path, why in list(tally.failed.items())[:10]:
        print(f"not answered: {path}: {why}")
    if handed.submitted or handed.waiting:
        print(f"in batches: {handed.submitted} handed over now, {handed.waiting} still under way")
    if tally.under_way:
        print(f"being asked by another process: {tally.under_way}; again in 5 minutes, should it have died")
    if tally.end is not End.DONE:
        print(f"asking ended ({tally.end.replace('_', ' ')}): {tally.reason} {tally.left} logs stay owed.")


def _print_estimate(made: Estimate, desk: Desk, *, as_json: bool) -> None:
    if as_json:
        likely, most = (None if sum_ is None else float(sum_) for sum_ in (made.likely_usd, made.most_usd))
        table = {
            "model": made.model,
            "sessions": made.sessions,
            "input_tokens": made.input_tokens,
            "cached_tokens": made.cached_tokens,
            "likely_usd": likely,
            "most_usd": most,
            "session_tokens": _table(made.session_tokens),
            "session_usd": _table(made.session_usd),
            "daily_usd": float(desk.model.daily_cap),
            "usable": desk.model.access.usable,
            "reason": desk.model.access.reason,
        }
        print(json.dumps(table, indent=2))
        return
    print(f"{made.model}: {made.sessions} sessions, about {made.input_tokens:,} input tokens; nothing was sent")
    _print_sessions(made)
    if made.likely_usd is None:
        print("Its price is not known: only tokens can be counted, and `daily_usd` cannot hold.")
    else:
        print(
            f"about ${_dollars(made.likely_usd)}, at most ${_dollars(made.most_usd)}; about half of it with --backfill"
        )
        print(f"`daily_usd` allows ${desk.model.daily_cap:.2f} a day; sessions beyond it wait for another day")
    if not desk.model.access.usable:
        print(f"As things are no model is asked: {desk.model.access.reason}")


def _print_sessions(made: Estimate) -> None:
    """What one session takes: the middle one, and a long one."""
    if made.session_tokens is None:
        return
    half, most = (f"{count:,} tokens" for count in (made.session_tokens.p50, made.session_tokens.p95))
    if made.session_usd is not None:
        half, most = f"{half} (${_dollars(made.session_usd.p50)})", f"{most} (${_dollars(made.session_usd.p95)})"
    print(f"half of the sessions take at most {half}, 95 in 100 at most {most}")


def _table(found: Spread[int] | Spread[Decimal] | None) -> dict[str, float] | None:
    """Percentiles as JSON has them."""
    if found is None:
        return None
    figures = msgspec.structs.asdict(found)
    return {name: figure if isinstance(figure, int) else float(figure) for name, figure in figures.items()}


def _dollars(amount: Decimal | None) -> str:
    return f"{amount or Decimal(0):.4f}"

"""The screen of `status`: pure text from the status file's table. What is wrong comes first, with what to do.

Every text of the file is escaped here, once: a path may hold control characters, and a terminal obeys them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from datetime import datetime

    from selfdistill.cli.status_command import Snapshot, Verdict

    Line = list[tuple[str, str]]  # (style, text) pairs; plain styles are ""

BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
_VERDICT_STYLES: Final = (GREEN, YELLOW, YELLOW, RED, YELLOW)
_HEADINGS: Final = ("seen", "tracked", "sessions", "behind", "oldest", "last success")
MISSING: Final = "missing"  # usual: an agent that is not installed, or its other default place
_LABEL_WIDTH: Final = 10
_SHOWN_NAMES: Final = 6
_BLOCKS: Final = "▁▂▃▄▅▆▇█"


def lines(snapshot: Snapshot, verdict: Verdict, now: float) -> list[Line]:
    """The whole screen, line by line; `now` is epoch seconds."""
    table = snapshot.table or {}
    drawn: list[Line] = [_headline(table, verdict, now), *_wrong(table, verdict)]
    if snapshot.table is None:
        return drawn
    drawn += [[], *_sources(table, now), [], *_summary(table, now)]
    beat = f"{span(now - snapshot.heartbeat)} ago · {clean(snapshot.path)}"
    return [*drawn, _labelled("heartbeat", beat)]


def render(line: Line, *, colour: bool, width: int | None = None) -> str:
    """One line as a terminal gets it, cut to `width` columns; without colour it is plain text."""
    left, parts = width, []
    for style, part in line:
        shown = part if left is None else part[:left]
        left = None if left is None else left - len(shown)
        parts.append(f"\x1b[{style}m{shown}\x1b[0m" if colour and style and shown else shown)
    return "".join(parts)


def clean(value: object) -> str:
    r"""A text that a terminal shows and does not obey: whatever is not printable becomes \x1b or \u202e."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(value))


def text(table: dict[str, Any], key: str) -> str:
    """A text of the file, escaped; "" if it is absent or something else."""
    value = table.get(key)
    return clean(value) if isinstance(value, str) else ""


def span(seconds: float) -> str:
    """A duration in the one unit that says enough: 12 s, 3 min, 5 h, 4 d."""
    seconds = abs(seconds)
    for limit, unit, length in ((120, "s", 1), (7_200, "min", 60), (172_800, "h", 3_600)):
        if seconds < limit:
            return f"{int(seconds / length)} {unit}"
    return f"{int(seconds / 86_400)} d"


def size(count: int) -> str:
    """Bytes as people read them, decimal units: 0 B, 1.2 MB."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:  # noqa: PLR2004 - the step between the units
            return f"{amount:.1f} {unit}" if unit != "B" else f"{count} B"
        amount /= 1000
    return f"{amount:.1f} GB"


def bars(counts: list[int]) -> str:
    """One character for each count, the highest for the greatest; a dot for none."""
    most = max(counts, default=0)
    return "".join(_BLOCKS[(count * len(_BLOCKS) - 1) // most] if count > 0 else "·" for count in counts)


def _headline(table: dict[str, Any], verdict: Verdict, now: float) -> Line:
    """The verdict and, of a running daemon, what it is doing and for how long."""
    line: Line = [(_VERDICT_STYLES[verdict.exit_code], "● "), (BOLD, f"selfdistill: {verdict.word}")]
    running = verdict.word in ("healthy", "degraded", "stale") and table
    if not running:
        return line
    started = table.get("started_at")
    since = f" for {span(now - _epoch(started))}" if _is_time(started) else ""
    facts = f" · {text(table, 'state')}{since} · pid {clean(table.get('pid'))} · {text(table, 'version')}"
    return [*line, (DIM, facts)]


def _wrong(table: dict[str, Any], verdict: Verdict) -> list[Line]:
    """Everything that wants a person's eye, worst first, each with its advice."""
    found = [(verdict.reason, verdict.advice)] if verdict.reason else []
    alarms = table.get("alarms")
    found += [(clean(alarm), "") for alarm in alarms] if isinstance(alarms, list) else []
    for name, source in _tables(table, "sources"):
        found += _wrong_roots(name, source)
    watcher = _table(table, "watcher")
    if text(watcher, "mode") == "scan-only" and text(watcher, "reason"):
        found.append((f"No file events, scans only: {text(watcher, 'reason')}", ""))
    error = _table(table, "last_error")
    if text(error, "message"):
        found.append((f"Last error: {text(error, 'message')}", text(error, "advice")))
    found += _set_aside(table)
    return [line for what, advice in found for line in _complaint(what, advice)]


def _wrong_roots(name: str, source: dict[str, Any]) -> list[tuple[str, str]]:
    """The roots of one agent that cannot be read as they should; a missing one only if all its logs went with it."""
    roots = _roots(source)
    vanished = number(source, "logs_seen") > 0 and all(text(root, "health") == MISSING for root in roots)
    return [
        (f"{clean(name)}: {text(root, 'path')} is {text(root, 'health')}", text(root, "advice"))
        for root in roots
        if text(root, "health") not in ("", "ok", MISSING) or (vanished and text(root, "health") == MISSING)
    ]


def _roots(source: dict[str, Any]) -> list[dict[str, Any]]:
    roots = source.get("roots")
    return [root for root in roots if isinstance(root, dict)] if isinstance(roots, list) else []


def _set_aside(table: dict[str, Any]) -> list[tuple[str, str]]:
    """Sessions in quarantine, and those an older version distilled."""
    found = []
    quarantined, outdated = number(table, "quarantined_sessions"), number(table, "outdated_sessions")
    if quarantined:
        found.append((f"{quarantined:,} sessions are in quarantine{_first_reason(table)}.", ""))
    if outdated:
        found.append((f"{outdated:,} sessions were distilled by an older version.", "Renew: selfdistill run --again"))
    return found


def _first_reason(table: dict[str, Any]) -> str:
    listed = table.get("quarantined")
    first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    return f", e.g. {text(first, 'session')}: {text(first, 'reason')}" if first else ""


def _complaint(what: str, advice: str) -> list[Line]:
    drawn: list[Line] = [[(YELLOW, "  ! "), ("", clean(what))]]
    return [*drawn, [(DIM, f"    {clean(advice)}")]] if advice else drawn


def _sources(table: dict[str, Any], now: float) -> list[Line]:
    """One row per agent, with what was skipped and what was not understood below it."""
    sources = [(clean(name), source) for name, source in _tables(table, "sources")]
    absent = table.get("absent_agents")
    names = ", ".join(map(clean, absent)) if isinstance(absent, list) else ""
    others: list[Line] = [[(DIM, f"  not found here: {names}")]] if names else []
    if not sources:
        return [[("", "  No agent's logs are there.")], *others]
    rows = [[name, *_cells(source, now)] for name, source in sources]
    widths = [max(map(len, column)) for column in zip(("agent", *_HEADINGS), *rows, strict=True)]
    drawn: list[Line] = [[(DIM, _row(["agent", *_HEADINGS], widths))]]
    for row, (_, source) in zip(rows, sources, strict=True):
        drawn.append([("", _row(row, widths))])
        drawn += [[(DIM, f"      {note}")] for note in _notes(source)]
    return drawn + others


def _row(cells: list[str], widths: list[int]) -> str:
    """The first cell to the left, figures to the right."""
    rest = "".join(f"  {cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=True))
    return f"  {cells[0]:<{widths[0]}}{rest}"


def _cells(source: dict[str, Any], now: float) -> list[str]:
    if source.get("enabled") is False:
        return ["off", *["-"] * (len(_HEADINGS) - 1)]
    behind = number(source, "bytes_behind")
    return [
        *(f"{number(source, key):,}" for key in ("logs_seen", "tracked", "sessions")),
        size(behind) if behind else "-",
        *(_ago(source.get(key), now) for key in ("oldest_unprocessed_since", "last_success_at")),
    ]


def _notes(source: dict[str, Any]) -> list[str]:
    """Skips by reason, absent roots, drift, undecodable lines and unfinished tails, where there are any."""
    notes = []
    skipped = _counts(source, "skipped")
    if skipped:
        notes.append(f"skipped: {skipped}")
    notes += [f"not there: {text(root, 'path')}" for root in _roots(source) if text(root, "health") == MISSING]
    unknown, total = number(source, "unknown_records"), number(source, "records_total")
    if unknown:
        notes.append(
            f"drift: {unknown:,} of {total:,} records are of unknown types: {_counts(source, 'unknown_types')}"
        )
    if number(source, "undecodable"):
        notes.append(f"undecodable: {number(source, 'undecodable'):,} lines")
    if number(source, "tails"):
        notes.append(f"unfinished last lines: {number(source, 'tails'):,}")
    return notes


def _summary(table: dict[str, Any], now: float) -> list[Line]:
    """Queue, last run, totals, model and watcher: one line each."""
    return [
        _labelled("queue", _queue(table, now)),
        _labelled("last run", _last_run(table, now)),
        _labelled("totals", _totals(table)),
        *([_labelled("helping", _helping(table))] if number(table, "covering_lessons") else []),
        *([_labelled("told", _told(_table(table, "recall")))] if number(_table(table, "recall"), "deliveries") else []),
        *([_labelled("repeats", _repeats(_table(table, "recall")))] if _by_week(table, "repeated") else []),
        _labelled("model", _model(_table(table, "model"))),
        *(
            [_labelled("spent", _spent(_table(table, "model"), now))]
            if _table(_table(table, "model"), "last_call")
            else []
        ),
        _labelled("watcher", _watcher(_table(table, "watcher"))),
    ]


def _queue(table: dict[str, Any], now: float) -> str:
    counts = " · ".join(f"{number(table, key):,} {key}" for key in ("due", "settling", "backlog"))
    wake = table.get("next_wake_at")
    return f"{counts} · next look in {span(max(0.0, _epoch(wake) - now))}" if _is_time(wake) else counts


def _last_run(table: dict[str, Any], now: float) -> str:
    if not text(table, "last_run_id"):
        return "none yet"
    sessions, lessons = number(table, "last_sessions_processed"), number(table, "last_lessons_generated")
    return (
        f"{_ago(table.get('last_run_at'), now)} ago · {text(table, 'last_analysis_mode')} · "
        f"{sessions:,} sessions, {lessons:,} lessons{_cost_of(_table(table, 'last_usage'))} · "
        f"{text(table, 'last_run_id')}"
    )


def _cost_of(usage: dict[str, Any]) -> str:
    """What the model took in a run, if it was asked."""
    if not number(usage, "input_tokens"):
        return ""
    return f" · {_tokens(usage)}, {_dollars(usage.get('cost_usd'))}"


def _totals(table: dict[str, Any]) -> str:
    pending = number(table, "pending_lessons")
    waiting = f" ({pending:,} pending)" if pending else ""
    lessons, sessions, runs = (number(table, f"total_{key}") for key in ("lessons", "sessions", "runs"))
    return f"{lessons:,} lessons{waiting} · {sessions:,} sessions · {runs:,} runs"


def _helping(table: dict[str, Any]) -> str:
    """Of the active lessons about failures, how many did not see theirs again."""
    covering, recurred = number(table, "covering_lessons"), number(table, "recurred_lessons")
    return f"{covering - recurred:,} of {covering:,} lessons about failures did not see theirs again"


def _told(recall: dict[str, Any]) -> str:
    """What came of the lessons that were told."""
    deliveries, helped, recurred = (number(recall, key) for key in ("deliveries", "helped", "recurred"))
    stand = ", ".join(
        f"{number(recall, key):,} {key.replace('_', ' ')}" for key in ("helping", "not_helping", "unproven")
    )
    spoiled = number(recall, "spoiled_lines")
    lost = f" · {spoiled:,} lines of hooks could not be used" if spoiled else ""
    return f"{deliveries:,} times: {helped:,} helped, {recurred:,} failed all the same · lessons: {stand}{lost}"


def _repeats(recall: dict[str, Any]) -> str:
    """Failures by week that were no news: all, and those that a lesson covered."""
    repeated, known = (_by_week({"recall": recall}, name) for name in ("repeated", "known"))
    charts = f"{bars(repeated)} {repeated[-1]:,} this week"
    return f"{charts} · known to a lesson {bars(known)} {known[-1]:,}" if known else charts


def _by_week(table: dict[str, Any], name: str) -> list[int]:
    """Counts week by week, [] where none ever came."""
    counts = _table(table, "recall").get(f"{name}_failures_by_week")
    sound = [one for one in counts if isinstance(one, int)] if isinstance(counts, list) else []
    return sound if any(sound) else []


def _model(model: dict[str, Any]) -> str:
    """The LLM's state; money only where some may be spent."""
    state = text(model, "state") or "off"
    facts = [state, *(fact for fact in (text(model, "name"), text(model, "reason")) if fact)]
    spent, cap = model.get("spent_today_usd"), model.get("daily_cap_usd")
    if state != "off" and isinstance(spent, int | float) and isinstance(cap, int | float):
        facts.append(f"${spent:.2f} of ${cap:.2f} today")
    if number(model, "owed_sessions"):
        facts.append(f"{number(model, 'owed_sessions'):,} sessions owed")
    return " · ".join(facts)


def _spent(model: dict[str, Any], now: float) -> str:
    """What the model has cost: today in tokens, a session, the last call."""
    facts = [f"{number(model, 'calls_today'):,} calls today: {_tokens(model, '_today')}"]
    p50, p95 = (_dollars(model.get(f"session_{share}_usd")) for share in ("p50", "p95"))
    if p50 and p95:
        facts.append(f"a session {p50} (p50), {p95} (p95)")
    call = _table(model, "last_call")
    cost = _dollars(call.get("cost_usd"))
    facts.append(f"last call {_ago(call.get('at'), now)} ago: {_tokens(call)}{f', {cost}' if cost else ''}")
    return " · ".join(facts)


def _tokens(table: dict[str, Any], when: str = "") -> str:
    return f"{number(table, f'input_tokens{when}'):,} + {number(table, f'output_tokens{when}'):,} tokens"


def _dollars(amount: object) -> str:
    """An amount that may be a small part of a cent; "" if none is known."""
    return f"${amount:.4f}" if isinstance(amount, int | float) and not isinstance(amount, bool) else ""


def _watcher(watcher: dict[str, Any]) -> str:
    facts = [text(watcher, "mode") or "unknown"]
    facts += [f"{number(watcher, key):,} {key}" for key in ("overflows", "restarts") if number(watcher, key)]
    return " · ".join(facts)


def _labelled(label: str, value: str) -> Line:
    return [(DIM, f"  {label:<{_LABEL_WIDTH}}"), ("", value)]


def _counts(table: dict[str, Any], key: str) -> str:
    """A table of counts as "14 machine_run, 4 empty", largest first, at most six named."""
    counts = [(count, name) for name, count in _table(table, key).items() if isinstance(count, int) and count]
    counts.sort(key=lambda pair: (-pair[0], pair[1]))
    shown = ", ".join(f"{count:,} {clean(name)}" for count, name in counts[:_SHOWN_NAMES])
    more = len(counts) - _SHOWN_NAMES
    return f"{shown}, {more} more kinds" if more > 0 else shown


def number(table: dict[str, Any], key: str) -> int:
    """A count of the file; 0 if it is absent or something else."""
    value = table.get(key)
    return value if isinstance(value, int) else 0


def _table(table: dict[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key)
    return value if isinstance(value, dict) else {}


def _tables(table: dict[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    return [(name, value) for name, value in _table(table, key).items() if isinstance(value, dict)]


def _ago(value: object, now: float) -> str:
    return span(now - _epoch(value)) if _is_time(value) else "-"


def _is_time(value: object) -> bool:
    """Whether TOML gave a moment; a date alone, or a text, is none."""
    return hasattr(value, "timestamp")


def _epoch(moment: Any) -> float:  # noqa: ANN401 - `_is_time` has looked at it; datetime is not imported for a type
    found: datetime = moment
    return found.timestamp()

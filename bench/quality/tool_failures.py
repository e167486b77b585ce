"""Tool failures with the error field hidden: the log's own field is the truth, the product has only the words.

The structured field goes (`is_error` and what Claude Code keeps beside it; the JSON envelope around a Codex output),
what the agent was shown stays ("Exit code 1", "<tool_use_error>", "Process exited with code 1"). As a harder second
figure, `tool_failure_f1_bare` leaves out these words too: what formats without any mark would look like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from bench.quality.data import Log, Reader, calls_of, events, real_logs, say, without
from bench.quality.metric import Metric, bootstrap
from msgspec import Struct
from msgspec.structs import replace

from selfdistill.model import Event, EventKind, ToolInput
from selfdistill.signals.unflagged import fails_by_text
from selfdistill.sources import Source

_FIELDS: Final = frozenset({"is_error", "exit_code", "error", "toolUseResult", "toolDenialKind", "userFeedback"})
_NO_FAULT_OF_THE_TOOL: Final = (
    "Sibling tool call errored",
    "Cancelled: parallel tool call",
    "Request interrupted by user",
    "aborted by user",
    "Command aborted",
)
_HUMAN: Final = frozenset({EventKind.REJECTION, EventKind.INTERRUPT})
_SHORT: Final = 200


class Result(Struct):
    """A result with its call; `shown` is its text where no field tells how the call ended."""

    call: Event
    event: Event
    shown: str
    refused: bool  # a person rejected or interrupted the call


class _Output(Struct):
    """What of a Codex record a call's output is in."""

    call_id: str = ""
    output: Any = None


class _Record(_Output):
    """A Codex record: the item itself in old logs, below `payload` since."""

    payload: _Output | None = None


_CODEX: Final = msgspec.json.Decoder(_Record)


class Verdicts(Struct):
    """How often truth and product agreed in one session: an independent case."""

    project: str
    both: int = 0
    only_product: int = 0
    only_truth: int = 0
    calls: int = 0

    def count(self, *, truth: bool, product: bool) -> None:
        """One more result."""
        self.calls += 1
        self.both += truth and product
        self.only_product += product and not truth
        self.only_truth += truth and not product


def measure(data: Path) -> list[Metric]:
    """F1 of failures told from the text alone, over all real sessions; nothing where there are none."""
    reader = Reader()
    left_out: Counter[str] = Counter()
    shown: list[Verdicts] = []
    bare: list[Verdicts] = []
    for log in real_logs(data):
        marked, unmarked = Verdicts(log.project), Verdicts(log.project)
        for result in _results(reader, log):
            if reason := _excused(result):
                left_out[reason] += 1
                continue
            truth = bool(result.event.is_error) or result.event.exit_code not in {None, 0}
            kind, command = result.call.tool_kind, (result.call.input or ToolInput()).command
            marked.count(truth=truth, product=fails_by_text(kind, command, result.shown))
            unmarked.count(truth=truth, product=fails_by_text(kind, command, result.event.text))
        if marked.calls:
            shown.append(marked)
            bare.append(unmarked)
    reader.tell("tool failures")
    say(f"tool failures: left out {dict(left_out)} (nobody's failure), of {sum(one.calls for one in shown)} results.")
    found = (_metric("tool_failure_f1", shown), _metric("tool_failure_f1_bare", bare))
    return [metric for metric in found if metric is not None]


def f1(cases: Sequence[Verdicts]) -> float | None:
    """F1 of "failed"; None without a failure."""
    both = sum(one.both for one in cases)
    wrong = sum(one.only_product + one.only_truth for one in cases)
    return 2 * both / (2 * both + wrong) if any(one.both + one.only_truth for one in cases) else None


def _metric(key: str, cases: list[Verdicts]) -> Metric | None:
    """The figure with precision and recall, and one figure per project, in its note."""
    metric = bootstrap(key, cases, f1, baseline=_baseline(cases))
    if metric is None:
        return None
    both, extra, missed = (sum(getattr(one, name) for one in cases) for name in ("both", "only_product", "only_truth"))
    projects = sorted({one.project for one in cases})
    parts = {name: f1([one for one in cases if one.project == name]) for name in projects}
    note = (
        f"precision {both / max(1, both + extra):.3f}, recall {both / (both + missed):.3f}, {both + missed} failures "
        f"in {len(cases)} sessions; "
        + ", ".join(f"{name} {value:.2f}" for name, value in parts.items() if value is not None)
    )
    return replace(metric, n=sum(one.calls for one in cases), note=note)


def _baseline(cases: Sequence[Verdicts]) -> float | None:
    """F1 of calling every result a failure, which is more than the majority class gets (0)."""
    failures, calls = sum(one.both + one.only_truth for one in cases), sum(one.calls for one in cases)
    return 2 * failures / (failures + calls) if calls else None


def _results(reader: Reader, log: Log) -> Iterator[Result]:
    """Every call of a log that has a result, copies of earlier logs' left out."""
    source = reader.source(log)
    if source is None:
        return
    found = [event for _, event in events(source, log)]
    calls = calls_of(found)
    refused = {event.call_id for event in found if event.kind in _HUMAN and event.call_id}
    texts = dict(_wrapped_outputs(log) if source.name == "codex" else _unflagged_texts(source, log))
    for event in found:
        if event.kind is EventKind.TOOL_RESULT and event.call_id in calls and reader.is_new(event):
            shown = texts.get(event.call_id, event.text)
            yield Result(calls[event.call_id], event, shown, event.call_id in refused)


def _unflagged_texts(source: Source, log: Log) -> Iterator[tuple[str, str]]:
    """The results by call id, as the product's source reads them where the log has no error field."""
    for _, event in events(source, log, _unflagged):
        if event.kind is EventKind.TOOL_RESULT:
            yield event.call_id, event.text


def _unflagged(line: bytes) -> bytes:
    """A record without its error fields."""
    if b'"is_error"' not in line and b'"exit_code"' not in line:
        return line
    try:
        return msgspec.json.encode(without(msgspec.json.decode(line), _FIELDS))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return line  # the source has its own way with such lines


def _wrapped_outputs(log: Log) -> Iterator[tuple[str, str]]:
    """Codex' outputs by call id with the header that the product's source takes off, which is what the agent saw.

    An envelope of JSON is structure, not words: those outputs are left to the source.
    """
    for line in log.content.split(b"\n"):
        if b"call_output" in line:
            try:
                record = _CODEX.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # one that the source reads tolerantly: its text is taken
            item = record.payload or record
            if isinstance(item.output, str) and not item.output.startswith("{"):
                yield item.call_id, item.output


def _excused(result: Result) -> str:
    """Why a result is neither success nor failure of its tool, "" if it is one."""
    if result.refused:
        return "rejected or interrupted by a person"
    head = result.event.text[:_SHORT]
    return "cancelled, or interrupted" if any(map(head.__contains__, _NO_FAULT_OF_THE_TOOL)) else ""

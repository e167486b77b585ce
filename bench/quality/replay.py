"""A session of a project as the product sees it: its calls with what was known before each, and what it teaches."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from bench.quality.data import Log, events
from msgspec import Struct, field

from selfdistill.distill.heuristic.distiller import HeuristicDistiller
from selfdistill.model import Author, Event, EventKind, Finding, Session, ToolInput, ToolKind
from selfdistill.privacy.redaction import Redactor
from selfdistill.recall.situations import Query
from selfdistill.signals.observing import Observer
from selfdistill.signals.steps import Moment, Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfdistill.sources import Source


_NAME_PARTS: Final = re.compile(r"[/\[]| > ")


class Call(Struct):
    """A call: what was known before it, whether its result came, and how it failed if it did.

    `own_tests`: those of its failing tests that the session had written itself.
    """

    uid: str
    query: Query
    finished: bool = False
    step: Step | None = None
    own_tests: frozenset[str] = frozenset()

    @property
    def failed(self) -> bool:
        """Whether the product says that it failed."""
        return self.step is not None


class Played(Struct):
    """A whole session."""

    project: str
    session: str
    calls: list[Call] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    uids: set[str] = field(default_factory=set)


class Written:
    """What a session has written anew, to tell the tests that did not exist before it."""

    def __init__(self) -> None:
        self._texts: list[tuple[str, str]] = []  # what was put there, what stood there before
        self._met: set[str] = set()  # files that were read or changed: writing them whole creates nothing

    def add(self, event: Event) -> None:
        """Take in a call."""
        given = event.input
        if given is None or not given.path:
            return
        if given.new and (given.old or event.tool_kind is ToolKind.EDIT or given.path not in self._met):
            self._texts.append((given.new, given.old))
        self._met.add(given.path)

    def among(self, names: Iterable[str]) -> frozenset[str]:
        """The tests, of these, whose own name was written anew."""
        return frozenset(name for name in names if self._is_new(_NAME_PARTS.split(name.rpartition("::")[2])[0]))

    def _is_new(self, name: str) -> bool:
        whole = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
        return bool(name) and any(whole.search(new) and not whole.search(old) for new, old in self._texts)


def play(source: Source, log: Log) -> Played:
    """Read a log as the pipeline does and remember what recurrence is measured by."""
    redact = Redactor(())
    distiller = HeuristicDistiller(redact)
    played = Played(log.project, log.name)
    session = Session()
    observer = Observer(None, redact, human=lambda: not session.machine_run)
    calls: dict[str, Call] = {}
    by_uid: dict[str, Call] = {}
    request = ""
    written = Written()

    def see(moment: Moment) -> None:
        happened = moment.happened
        if isinstance(happened, Step) and happened.failed and happened.uid in by_uid:
            call = by_uid[happened.uid]
            call.step = happened
            call.own_tests = written.among(happened.run.failing if happened.run else ())
        played.findings.extend(distiller.findings(observer, moment))

    for parser, event in events(source, log):
        session = parser.session
        played.uids.add(event.uid)
        if event.kind is EventKind.USER and event.author is Author.HUMAN:
            request = event.text
        elif event.kind is EventKind.TOOL_CALL:
            calls[event.call_id] = by_uid[event.uid] = Call(event.uid, _query(event, request))
            played.calls.append(calls[event.call_id])
            written.add(event)
        elif event.kind is EventKind.TOOL_RESULT and event.call_id in calls:
            calls[event.call_id].finished = True
        observer.observe(event, see)
    observer.state()
    played.findings.extend(distiller.provisional(observer))
    return played


def _query(event: Event, request: str) -> Query:
    """What is known before a call."""
    given = event.input or ToolInput()
    return Query(
        kind=event.tool_kind,
        tool=event.tool,
        command=given.command,
        path=given.path,
        cwd=event.cwd,
        written=given.new,
        text=given.text,
        request=request,
    )

"""What a distiller is: events of one log in, findings out, with a small state to go on from.

The contract every distiller keeps: the same events in any number of pieces give the same findings, because whatever
must be remembered is in `carry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from msgspec import Struct

from selfdistill.manifest import Usage
from selfdistill.model import Event, Finding, Mishap, Outcome, Session
from selfdistill.signals.completing import OpenCall, disregard


class Batch(Struct, frozen=True):
    """The new part of one log. `session` tells its facts as far as they are known when it is called.

    `ran`: a distiller that pairs calls with results shows it each call that did what it was to do.
    """

    events: Iterable[Event]
    session: Callable[[], Session]
    ran: Callable[[OpenCall], None] = disregard


class Distillate(Struct, frozen=True):
    """What a batch gave. `provisional` findings hold until the next batch of the same log replaces them.

    `mishaps` are all failures with a cause, whether a rule learned from them or not.
    """

    findings: tuple[Finding, ...]
    carry: bytes
    outcome: Outcome | None = None
    provisional: tuple[Finding, ...] = ()
    mishaps: tuple[Mishap, ...] = ()
    usage: Usage = Usage()
    events: int = 0


class Distiller(Protocol):
    """Turns events into findings."""

    @property
    def name(self) -> str:
        """The name in the store."""

    @property
    def version(self) -> int:
        """Which findings are its present ones: those of older versions can be made anew (`run --again`)."""

    def distill(self, batch: Batch, carry: bytes | None) -> Distillate:
        """Distill a batch that goes on where the batch that gave `carry` ended; None starts a log."""
        ...

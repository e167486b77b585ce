"""Calls repeated in vain: the same failure again and again, with the same or changing attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from selfdistill.signals.steps import Step

REPEATS: Final = 3  # P(session fails | identical call three times in a row) is .92-1.00 (signals.md, finding 10)


def same_failures(steps: Iterable[Step], newest: Step) -> list[Step]:
    """The unsettled failed steps with the newest's tool and error signature, oldest first, the newest included."""
    if newest.failure is None or not newest.failure.signature:
        return []
    alike = {
        step.uid: step
        for step in steps
        if not step.settled
        and step.tool == newest.tool
        and step.failure
        and step.failure.signature == newest.failure.signature
    }
    alike[newest.uid] = newest
    return list(alike.values())

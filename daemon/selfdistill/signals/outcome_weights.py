"""What the readings of `outcome_features.py` weigh, in log-odds of failure; written by `bench/fit_outcome.py`.

Tasks apart, aider: AUC 0.704 on 176 sessions, 125 of them failed.
Tasks apart, moatless: AUC 0.735 on 159 sessions, 86 of them failed.
Agents apart, aider: AUC 0.707 with the weights that the other sets give.
Agents apart, moatless: AUC 0.729 with the weights that the other sets give.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Weight(Struct, frozen=True):
    """The log-odds that a reading of 1 adds over 0, and the reading that is usual and so adds nothing."""

    weight: float
    usual: float


COURSE: Final[dict[str, Weight]] = {
    # a person who repeats a request word for word did not get what it asks for
    "asked_again": Weight(0.10, 0.37),
    # the log ends in the midst of the work: limits, crash, given up
    "cut_off": Weight(0.60, 0.13),
    # calls that fail show an agent that does not know its ground
    "failed_calls": Weight(0.12, 0.22),
    # an edit that does not apply was written from memory, not from the file
    "failed_edits": Weight(0.12, 0.10),
    # tests that mostly fail on the way were not understood
    "failing_runs": Weight(0.10, 0.72),
    # the agent itself says might, maybe, could be
    "hedging": Weight(2.00, 0.06),
    # a large replacement has more places to be wrong in than a small one
    "large_edit": Weight(0.65, 0.60),
    # the place to change was hard to find
    "long_search": Weight(0.65, 0.30),
    # work was done, but no code was changed, or only tests
    "no_code_changed": Weight(1.35, 0.04),
    # the same call three times in a row: P(failure) .92-1.00 (signals.md)
    "repeated_call": Weight(0.52, 0.02),
    # edits over many files instead of one place
    "scattered_edits": Weight(1.34, 0.06),
    # nothing in the replaced code is named in the request
    "unnamed_code": Weight(0.38, 0.42),
    # the changed files are not named in the request
    "unnamed_files": Weight(0.68, 0.66),
}

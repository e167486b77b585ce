"""The memory, in one SQLite file: logs and cursors, findings and the lessons that follow from them, verdicts, runs."""

from __future__ import annotations

from selfdistill.store.catalogue import KnownLog, PendingLog
from selfdistill.store.census import SourceCensus, Standing
from selfdistill.store.commits import Commit
from selfdistill.store.deriving import Committed
from selfdistill.store.findings import ProjectRef
from selfdistill.store.lessons import Derive, Verdict, VerdictKind
from selfdistill.store.rescue import Rescue
from selfdistill.store.runs import Totals
from selfdistill.store.store import Store

__all__ = [
    "Commit",
    "Committed",
    "Derive",
    "KnownLog",
    "PendingLog",
    "ProjectRef",
    "Rescue",
    "SourceCensus",
    "Standing",
    "Store",
    "Totals",
    "Verdict",
    "VerdictKind",
]

"""The memory, in one SQLite file: logs and cursors, findings and the lessons that follow from them, verdicts, runs."""

from __future__ import annotations

from selfdistill.store.catalogue import KnownLog, PendingLog
from selfdistill.store.census import SourceCensus, Standing
from selfdistill.store.commits import Commit, counted_session
from selfdistill.store.cues import Cueing
from selfdistill.store.cursors import SetAside
from selfdistill.store.deliveries import Absorbed, Delivery, ToldLesson
from selfdistill.store.deriving import Committed
from selfdistill.store.findings import ProjectRef
from selfdistill.store.lessons import Derive
from selfdistill.store.part import storable
from selfdistill.store.purging import Mark, Purged, Scope
from selfdistill.store.rescue import Rescue, put_right
from selfdistill.store.rulings import Ruling, Verdict, VerdictKind, Words
from selfdistill.store.runs import Totals
from selfdistill.store.sealing import condemn
from selfdistill.store.store import Store
from selfdistill.store.uses import WEEK_SECONDS, Telling, Use, Week

__all__ = [
    "WEEK_SECONDS",
    "Absorbed",
    "Commit",
    "Committed",
    "Cueing",
    "Delivery",
    "Derive",
    "KnownLog",
    "Mark",
    "PendingLog",
    "ProjectRef",
    "Purged",
    "Rescue",
    "Ruling",
    "Scope",
    "SetAside",
    "SourceCensus",
    "Standing",
    "Store",
    "Telling",
    "ToldLesson",
    "Totals",
    "Use",
    "Verdict",
    "VerdictKind",
    "Week",
    "Words",
    "condemn",
    "counted_session",
    "put_right",
    "storable",
]

"""Runs: one manifest each, and the totals that `status` shows."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from selfdistill.manifest import Manifest
from selfdistill.store.part import Part

_manifest = msgspec.json.Decoder(Manifest)


class Totals(Struct, frozen=True):
    """All there is: lessons kept (rejected ones do not count), runs, and the last run."""

    lessons: int
    runs: int
    last: Manifest | None


class Runs(Part):
    """The history of runs."""

    def add_run(self, manifest: Manifest) -> None:
        """Keep the manifest of a completed run."""
        with self._database.transaction():
            self._database.run(
                "INSERT INTO runs(id, started_at, completed_at, mode, manifest) VALUES (?, ?, ?, ?, ?)",
                (
                    manifest.id,
                    manifest.started_at,
                    manifest.completed_at,
                    manifest.analysis_mode,
                    msgspec.json.encode(manifest),
                ),
            )

    def totals(self) -> Totals:
        """How much there is in all."""
        last = self._database.row("SELECT manifest FROM runs ORDER BY number DESC LIMIT 1")
        return Totals(
            lessons=self._count("SELECT count(*) FROM lessons WHERE state <> 'rejected'"),
            runs=self._count("SELECT count(*) FROM runs"),
            last=_manifest.decode(last[0]) if last else None,
        )

    def _count(self, sql: str) -> int:
        row = self._database.row(sql)
        return int(row[0]) if row else 0

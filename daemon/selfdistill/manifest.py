"""The record of one run, in the words of the original tool's manifest, and what the run cost."""

from __future__ import annotations

from msgspec import Struct

from selfdistill.model import Action, Polarity, Trigger


class Usage(Struct, frozen=True):
    """What a run has cost at a model's provider."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0


class ManifestLesson(Struct, frozen=True):
    """A lesson as the manifest of a run lists it."""

    signal: Polarity
    trigger: Trigger
    action: Action
    confidence: float


class Manifest(Struct, frozen=True):
    """The record of one run, as `run --json` prints it and the store keeps it. Times are ISO 8601, UTC."""

    id: str
    started_at: str
    completed_at: str
    dry_run: bool
    analysis_mode: str
    sessions_processed: int
    sessions_skipped: dict[str, int]
    sessions_failed: int
    lessons_generated: int
    lessons_merged: int
    log_paths: tuple[str, ...]
    lessons: tuple[ManifestLesson, ...]
    usage: Usage

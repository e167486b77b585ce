"""Puts the parts together for whoever needs them: the daemon, `run`, `inspect`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from selfdistill.config import Config, Places
from selfdistill.distill.heuristic.distiller import HeuristicDistiller
from selfdistill.distill.merging import derive
from selfdistill.errors import SelfdistillError
from selfdistill.privacy.redaction import Redactor
from selfdistill.recall.cues import VERSION, cues
from selfdistill.recall.effects import ignored
from selfdistill.service.model_access import ModelAccess, model_access
from selfdistill.service.pipeline import Pipeline
from selfdistill.service.state_directory import prepare_state_directory
from selfdistill.service.surveying import Survey
from selfdistill.service.watched import watched_sources
from selfdistill.sources import SOURCES, Source
from selfdistill.store import Cueing, Store


class Assembly(Struct, frozen=True):
    """Everything that works on one store, with one clock (seconds since the epoch).

    `sources` are the agents by name. `environment` and `chosen_model` (`--model`) decide whether a model may be asked.
    `complaint` is what a person must know of how it came about: a new configuration that could not be used.
    """

    config: Config
    places: Places
    redact: Redactor
    store: Store
    distiller: HeuristicDistiller
    pipeline: Pipeline
    survey: Survey
    clock: Callable[[], float]
    environment: Mapping[str, str]
    sources: Mapping[str, Source]
    chosen_model: str = ""
    complaint: SelfdistillError | None = None

    @property
    def model(self) -> ModelAccess:
        """Whether and which model may be asked, as of now: a key file may come and go."""
        return model_access(self.config.llm, self.environment, self.chosen_model)


def open_store(places: Places, clock: Callable[[], float] = time.time) -> Store:
    """Open the store for writing, with all that decides how lessons follow from what is stored.

    Raises the errors of `Store.open`; the directory must be there.
    """
    return Store.open(places.database, derive=derive, clock=clock, ignored=ignored, cueing=Cueing(VERSION, cues))


def assemble(
    config: Config,
    places: Places,
    home: Path,
    environment: Mapping[str, str],
    *,
    rehearsal: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.time,
    chosen_model: str = "",
    complaint: SelfdistillError | None = None,
    agents: Sequence[Source] = SOURCES,
) -> Assembly:
    """Open the store and connect the parts; `rehearsal` works on a copy in memory, so nothing is written anywhere.

    Raises the errors of `prepare_state_directory` and `Store.open`.
    """
    redact = Redactor(config.privacy.extra_patterns)
    if rehearsal:
        store = Store.rehearsal(places.database, derive=derive, clock=clock, ignored=ignored)
    else:
        prepare_state_directory(places.state)
        store = open_store(places, clock)
    distiller = HeuristicDistiller(redact)
    sources = {source.name: source for source in agents}
    pipeline = Pipeline(store, distiller, sources, config, stopped)
    survey = Survey(store, watched_sources(agents, config, home, environment), clock, distiller.name)
    return Assembly(
        config, places, redact, store, distiller, pipeline, survey, clock, environment, sources, chosen_model, complaint
    )

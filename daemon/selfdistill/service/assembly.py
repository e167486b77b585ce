"""Puts the parts together for whoever needs them: the daemon, `run`, `inspect`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from selfdistill.config import Config, Places
from selfdistill.distill.heuristic.distiller import HeuristicDistiller
from selfdistill.distill.merging import derive
from selfdistill.errors import SelfdistillError, StoreCorrupt
from selfdistill.privacy.redaction import Redactor
from selfdistill.recall.cues import VERSION, cues
from selfdistill.recall.effects import ignored
from selfdistill.service.attempts import NOT_NOTED, Attempts, count_deaths
from selfdistill.service.model_access import ModelAccess, model_access
from selfdistill.service.pipeline import Pipeline
from selfdistill.service.state_directory import prepare_state_directory
from selfdistill.service.surveying import Survey
from selfdistill.service.watched import watched_sources
from selfdistill.sources import SOURCES, Source
from selfdistill.store import Cueing, Rescue, Store, put_right


class Assembly(Struct, frozen=True):
    """Everything that works on one store, with one clock (seconds since the epoch).

    `sources` are the agents by name. `environment` and `chosen_model` (`--model`) decide whether a model may be asked.
    `complaint` is what a person must know of how it came about: a new configuration that could not be used; `rescued`
    is what was done about a damaged store.
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
    rescued: Rescue | None = None

    @property
    def model(self) -> ModelAccess:
        """Whether and which model may be asked, as of now: a key file may come and go."""
        return model_access(self.config.llm, self.environment, self.chosen_model)


def open_store(places: Places, clock: Callable[[], float] = time.time) -> Store:
    """Open the store for writing, with all that decides how lessons follow from what is stored.

    Raises the errors of `Store.open`; the directory must be there.
    """
    return Store.open(places.database, derive=derive, clock=clock, ignored=ignored, cueing=Cueing(VERSION, cues))


def open_or_rescue(places: Places, clock: Callable[[], float] = time.time) -> tuple[Store, Rescue | None]:
    """Open the store as `open_store` does, after putting it right if it is damaged; what was done then, or None.

    Raises StoreBusy while other processes have a damaged store open.
    """
    try:
        return open_store(places, clock), None
    except StoreCorrupt:
        rescued = put_right(places.database, clock)
    store = open_store(places, clock)
    store.rederive()  # verdicts may be younger than the backup
    return store, rescued


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

    A damaged store is put right first. Raises the errors of `prepare_state_directory` and `Store.open_rescued`.
    """
    redact = Redactor(config.privacy.extra_patterns)
    if rehearsal:
        store, rescued = Store.rehearsal(places.database, derive=derive, clock=clock, ignored=ignored), None
    else:
        prepare_state_directory(places.state)
        store, rescued = open_or_rescue(places, clock)
        count_deaths(store, places.attempts)
    distiller = HeuristicDistiller(redact)
    sources = {source.name: source for source in agents}
    attempts = NOT_NOTED if rehearsal else Attempts(places.attempts)
    pipeline = Pipeline(store, distiller, sources, config, stopped, attempts)
    survey = Survey(store, watched_sources(agents, config, home, environment), clock, distiller.name)
    return Assembly(
        config=config,
        places=places,
        redact=redact,
        store=store,
        distiller=distiller,
        pipeline=pipeline,
        survey=survey,
        clock=clock,
        environment=environment,
        sources=sources,
        chosen_model=chosen_model,
        complaint=complaint,
        rescued=rescued,
    )

"""Whatever text people or agents bring, searching and naming lessons never breaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from selfdistill.errors import UsageError
from selfdistill.model import Stat
from selfdistill.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all texts."""
    path = tmp_path_factory.mktemp("state") / "lessons.db"
    with Store.open(path, derive=lambda *_: None) as opened:
        yield opened


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_categories=[]), max_size=200))
@example(text='NEAR("a" b) AND NOT col:^x* "')
@example(text="\ud800 \0 \x1b[31m -- '; DROP TABLE lessons")
@example(text="word " * 10_000)
def test_any_text_is_a_query(store: Store, text: str) -> None:
    """Every text can be searched for, and every text can stand for an id, a project or a session."""
    assert store.search(text, text) == []
    assert store.lessons(text.replace("\ud800", "?").encode("utf-8", "replace").decode()) == []
    with suppress(UsageError):
        store.lesson(text)
    assert store.project(text) is None
    assert store.retry(text or "nobody") == 0


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name),
    numbers=st.tuples(*[st.integers(0, 2**64 - 1)] * 2, *[st.integers(0, 2**63 - 1)] * 3),
)
def test_any_log_comes_back(store: Store, name: bytes, numbers: tuple[int, int, int, int, int]) -> None:
    """Any file name and any stat come back from the catalogue as they went in."""
    path = Path("/home/mara") / name.decode("utf-8", "surrogateescape")
    stat = Stat(*numbers)
    log_id = store.see("codex", path.name, path, stat, changed_at=1.0, pending_since=None)
    known = store.log_at(path)
    assert known is not None
    assert (known.id, known.path, known.stat) == (log_id, path, stat)

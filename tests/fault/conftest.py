"""What the tests of faults compare with."""

from __future__ import annotations

from typing import Any

import pytest

from homes import learned_at_once


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the invented sessions teach, read whole and in one pass."""
    lessons = learned_at_once(tmp_path_factory.mktemp("reference"))
    assert len(lessons) > 5
    return lessons

"""The story that a test of the distiller tells."""

from __future__ import annotations

import pytest

from stories import Story


@pytest.fixture
def story() -> Story:
    """An empty story."""
    return Story()

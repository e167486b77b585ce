"""What tests of several kinds need."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """Ctrl-C reaches the programs that tests start: what a shell starts with `&` ignores it, and so would they."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that other users can enter: pytest closes its own, also those of other runs, whenever it starts."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)

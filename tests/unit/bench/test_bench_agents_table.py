"""The README's table of agents."""

from __future__ import annotations

import pytest
from bench.agents_table import README, table, with_table

from selfdistill.sources import SOURCES


def test_readme_is_up_to_date() -> None:
    """The README says of each agent what its source says: `python -m bench.agents_table` writes it."""
    text = README.read_text()
    assert with_table(text, SOURCES) == text
    assert all(source.facts.agent in text for source in SOURCES)


def test_every_row_has_every_cell() -> None:
    """No cell is empty, spans lines or breaks the table."""
    rows = table(SOURCES).splitlines()
    assert len(rows) == len(SOURCES) + 2
    assert all(row.count("|") == 6 and "|  |" not in row for row in rows)


def test_lost_marks_are_told() -> None:
    """A README without the marks is not touched."""
    with pytest.raises(SystemExit, match="put them back"):
        with_table("# selfdistill\n", SOURCES)

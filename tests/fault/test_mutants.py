"""The breaks that `fault.mutants.run` makes: here only that each of them still can be made."""

from __future__ import annotations

from pathlib import Path

import pytest

import selfdistill
from fault.mutants.breaks import MUTANTS, Mutant

PACKAGE = Path(selfdistill.__file__).parent


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "-"))
def test_a_mutant_fits(mutant: Mutant) -> None:
    """What a mutant replaces stands in our code exactly once; else it would break nothing and prove nothing."""
    assert (PACKAGE / mutant.file).read_text("utf-8").count(mutant.text) == 1
    assert mutant.text != mutant.becomes

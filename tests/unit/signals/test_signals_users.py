"""Human turns: what they say about the work before them."""

from __future__ import annotations

import pytest

from selfdistill.signals.steps import TurnKind
from selfdistill.signals.users import read_turn, stated_rules

TURNS = [
    ("no, use pnpm", TurnKind.CORRECTION),
    ("that's not what I meant", TurnKind.CORRECTION),
    ("please revert that", TurnKind.CORRECTION),
    ("it still doesn't work", TurnKind.FAILURE_REPORT),
    ("the build is failing", TurnKind.FAILURE_REPORT),
    ("I get an error when I press the button", TurnKind.FAILURE_REPORT),
    ("yes, go ahead", TurnKind.APPROVAL),
    ("lgtm", TurnKind.APPROVAL),
    ("perfect", TurnKind.PRAISE),
    ("great work", TurnKind.PRAISE),
    ("why is this needed?", TurnKind.QUESTION),
    ("add a page for the timer", TurnKind.NEUTRAL),
    ("das funktioniert immer noch nicht", TurnKind.NEUTRAL),
    ("それは違います", TurnKind.NEUTRAL),
    ("", TurnKind.NEUTRAL),
]


@pytest.mark.parametrize(("text", "kind"), TURNS)
def test_a_turn_is_read(text: str, kind: TurnKind) -> None:
    """Plain cases of each kind; other languages abstain."""
    assert read_turn(text, first=False, interrupted=False, rejected=False) is kind


def test_the_first_turn_corrects_nothing() -> None:
    """There was no work before it."""
    assert read_turn("no, that is wrong", first=True, interrupted=False, rejected=False) is TurnKind.NEUTRAL


def test_a_substitution_names_both_sides() -> None:
    """Words such as 'use X instead of Y' and its kin."""
    for words in (
        "use pnpm instead of npm",
        "please use pnpm, not npm.",
        "don't use npm, use pnpm",
        "prefer pnpm over npm",
    ):
        (rule,) = stated_rules(words)
        assert (rule.use, rule.instead_of) == ("pnpm", "npm"), words

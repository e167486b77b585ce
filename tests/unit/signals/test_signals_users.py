"""The rules of work that people state."""

from __future__ import annotations

from selfdistill.signals.users import stated_rules


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

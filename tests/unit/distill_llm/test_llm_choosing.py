"""What is chosen when a session is longer than the budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from selfdistill.distill.llm.choosing import select
from selfdistill.distill.llm.excerpts import tokens, weight
from selfdistill.distill.llm.transcript import chronicle
from selfdistill.model import ToolInput, ToolKind
from stories import Story
from support.examples import examples
from unit.distill_llm.llm_cases import PLENTY, selection


def long_session() -> Story:
    """A long session of ordinary work with one correction and one repaired failure in the middle."""
    story = Story()
    story.say("The very first request: build a teapot.")
    for number in range(150):
        story.sh(f"sort shelf{number}", "some ordinary output " * 30)
        story.answer(f"Shelf {number} is sorted. " * 20, ends_turn=False)
        if number == 70:
            story.sh("brewtool check --fast", "brewtool: unknown option --fast", error=True)
            for page in range(8):
                story.call("Read", ToolKind.READ, ToolInput(path=f"manual{page}.md"), "how to brew " * 50)
            story.sh("brewtool check --quick", "the resolution: all is well")
            story.answer("Sorted.")
            story.say("No, that's wrong. I told you to use the small shelf instead.")
    story.say("Now sort the cups.")
    for number in range(20):
        story.sh(f"sort cup{number}", "some ordinary output " * 30)
    story.answer("The very last statement: the teapot is built.")
    return story


def test_whole_session_when_it_fits() -> None:
    """Nothing is left out of a session that fits the budget."""
    chosen = selection()
    assert chosen.left_out == 0
    assert "events left out" not in chosen.text


def test_what_matters_is_chosen_first() -> None:
    """Of a long session head, tail, correction, failure and resolution are shown, in log order, with marks for gaps."""
    text = selection(long_session(), 1_500).text
    wanted = [
        "[e1] user: The very first request",
        "events left out ...]",
        "unknown option --fast",
        "the resolution: all is well",
        "I told you to use the small shelf",
        "The very last statement",
    ]
    places = [text.find(part) for part in wanted]
    assert -1 not in places
    assert places == sorted(places)


def test_head_and_tail_survive_a_small_budget() -> None:
    """Even where room is short the model sees both ends of the session."""
    text = selection(long_session(), 150).text
    assert "The very first request" in text
    assert "The very last statement" in text


def test_left_out_is_counted() -> None:
    """Shown and left-out entries are all there are, and the marks add up to what is left out."""
    chosen = selection(long_session(), 1_500)
    marks = [int(line.split()[1]) for line in chosen.text.splitlines() if line.startswith("[... ")]
    assert sum(marks) == chosen.left_out == len(chosen.all) - len(chosen.shown) > 0


def test_choice_does_not_depend_on_a_failures_place() -> None:
    """A failure at the very end is chosen as surely as one in the middle."""
    story = long_session()
    story.sh("lidtool --spin", "lidtool: unknown option --spin", error=True)
    assert "unknown option --spin" in selection(story, 1_500).text


def test_marks_for_gaps_are_in_the_budget() -> None:
    """However many gaps a selection has, their marks do not push it over the budget."""
    story = Story()
    for number in range(30):
        story.sh("brewtool check --fast", "brewtool: unknown option --fast", error=True)
        story.sh(f"sort {number}", "x " * 150)
        story.answer("x " * 300)
        story.answer("x " * 300)
    episodes = chronicle(story.events, str)
    for budget in range(0, 2_000, 7):
        chosen = select(episodes, budget)
        assert chosen.tokens <= budget
    assert chosen.text.count("events left out") > 5


def test_gap_on_both_sides_is_in_the_budget() -> None:
    """One small entry between two that do not fit has two marks, and both count."""
    story = Story()
    story.say("x " * 1_000)
    for number in range(3):
        story.answer("y" * 40 * number, ends_turn=False)
    story.answer("z " * 1_000)
    episodes = chronicle(story.events, str)
    chosen = [select(episodes, budget) for budget in range(200)]
    assert all(one.tokens <= budget for budget, one in enumerate(chosen))
    assert any(one.shown and one.text.count("events left out") > 1 for one in chosen)


def test_what_resolved_a_failure_is_chosen_with_it() -> None:
    """The next call of the same program that worked is shown, also when much else lies between."""
    story = Story()
    story.say("Brew.")
    for number in range(60):
        story.sh(f"sort cup{number}", "some ordinary output " * 30)
        if number == 20:
            story.sh("brewtool check --fast", "brewtool: unknown option --fast", error=True)
        if number == 30:
            story.sh("brewtool check --quick", "the resolution: all is well " * 25)
    story.answer("Done.")
    text = selection(story, 800).text
    assert "the resolution: all is well" in text
    assert "events left out" in text


_TEXTS = st.text(st.characters(codec="utf-8"), max_size=400)
_STEPS = st.lists(st.tuples(st.sampled_from(("say", "answer", "sh", "fail", "edit", "read")), _TEXTS), max_size=25)


def _told(steps: list[tuple[str, str]]) -> Story:
    story = Story()
    for what, text in steps:
        if what == "say":
            story.say(text)
        elif what == "answer":
            story.answer(text)
        elif what == "edit":
            story.edit("a.py", text, text[::-1])
        elif what == "read":
            story.call("Read", ToolKind.READ, ToolInput(path="a.py"), text * 10)
        else:
            story.sh(text or "x", text * 5, error=what == "fail")
    return story


@examples(60)
@given(_STEPS, st.integers(0, 1_000))
def test_budget_is_never_exceeded(steps: list[tuple[str, str]], budget: int) -> None:
    """Whatever the session, the transcript is no longer than the budget, and every shown entry stands in it."""
    chosen = select(chronicle(_told(steps).events, str), budget)
    assert tokens(weight(chosen.text)) == chosen.tokens <= budget
    assert all(f"[{name}] " in chosen.text for name in chosen.shown)


def test_plenty_of_room_shows_everything_at_length() -> None:
    """An answer of four thousand characters is whole when the session fits."""
    story = Story()
    story.say("go")
    story.answer("tea " * 1_000 + "end")
    assert "characters left out" not in selection(story, PLENTY).text

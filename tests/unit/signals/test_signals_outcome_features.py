"""The readings of a session's course: shares and states between 0 and 1, each for its reason, none of them length."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as some

from selfdistill.model import ToolInput, ToolKind
from selfdistill.signals.outcome_features import Change, Course, Watch, changes_files, hedges, names_in, readings
from selfdistill.signals.outcome_weights import COURSE

REQUEST = "The total of `price_with_tax()` is wrong, see shop/basket.py and Basket.addItem. " * 4


def edit(path: str, *, old: str = "a\n", new: str = "b\n") -> ToolInput:
    """The arguments of an edit."""
    return ToolInput(path=path, old=old, new=new)


def course_of(*calls: tuple[ToolKind, bool, Change | None]) -> Course:
    """The course of these calls: kind, failed, what they would change."""
    course = Course()
    for kind, failed, changed in calls:
        course.call(kind, failed=failed, changed=changed)
    return course


def test_a_request_names_what_looks_like_code() -> None:
    """Paths, dotted names, inner capitals, underscores and calls; plain words and short ones name nothing."""
    assert names_in(REQUEST) == ["price_with_tax", "shop", "basket", "Basket", "addItem"]
    assert names_in("Please make it faster, e.g. by 10 %") == []
    assert names_in("a" * 100_000 + " " + "aB" * 100_000) == []  # data, not a name; and read at once
    assert len(names_in(" ".join(f"name_{number}" for number in range(200)))) == 40


def test_an_edit_of_what_the_request_names_is_known_as_such() -> None:
    """The file by its name without ending, the code by any name in the text that is replaced."""
    watch = Watch()
    watch.learn(REQUEST)
    change = watch.change(ToolKind.EDIT, edit("/src/shop/basket.py", old="def price_with_tax(self):\n"))
    assert change is not None
    assert (change.file_named, change.code_named) == (True, True)
    elsewhere = watch.change(ToolKind.EDIT, edit("/src/shop/labels.py"))
    assert elsewhere is not None
    assert (elsewhere.file_named, elsewhere.code_named) == (False, False)


def test_a_request_that_names_nothing_judges_nothing() -> None:
    """Without names no edit is held against the agent; "go on" leaves what was named before."""
    watch = Watch()
    watch.learn("Make it faster.")
    change = watch.change(ToolKind.EDIT, edit("/src/a.py"))
    assert change is not None
    assert (change.file_named, change.code_named) == (None, None)
    watch.learn(REQUEST)
    watch.learn("go on")
    assert "basket" in watch.names


def test_a_long_request_word_for_word_is_asked_again() -> None:
    """Whoever repeats it; short ones ("yes") and what only programs said are no requests."""
    watch = Watch()
    assert not watch.again(REQUEST, by_person=False)
    assert not watch.again(REQUEST, by_person=True)
    assert watch.again(REQUEST, by_person=False)
    assert not watch.again("yes", by_person=True)
    assert not watch.again("yes", by_person=True)


@pytest.mark.parametrize(
    "command",
    [
        "sed -i 's/a/b/' src/shop.py",
        "cat > src/shop.py <<'EOF'\nx\nEOF",
        "cat <<'EOF' > src/shop.py\nx\nEOF",
        "git apply fix.patch",
        "python - <<'EOF'\nopen('src/shop.py', 'w').write(text)\nEOF",
    ],
)
def test_shell_lines_that_write_files_are_edits(command: str) -> None:
    """Agents without an editor change code in the shell."""
    assert changes_files(command)
    assert Watch().change(ToolKind.SHELL, ToolInput(command=command)) is not None


@pytest.mark.parametrize(
    "command",
    [
        "sed -n 1,20p src/shop.py",
        "git commit -m \"$(cat <<'EOF'\nFix the total\nEOF\n)\"",
        "python - <<'EOF'\nprint(1)\nEOF",
        "cat src/shop.py | grep -i total",
    ],
)
def test_shell_lines_that_only_read_are_no_edits(command: str) -> None:
    """A here-document alone writes nothing."""
    assert not changes_files(command)
    assert Watch().change(ToolKind.SHELL, ToolInput(command=command)) is None


def test_the_same_call_three_times_in_a_row_is_a_repetition() -> None:
    """In a row; two are none, nor is a third after another call."""
    watch = Watch()
    same = ToolInput(command="pytest tests/test_total.py")
    assert [watch.repeats("Bash", same) for _ in range(3)] == [False, False, True]
    assert not watch.repeats("Bash", ToolInput(command="pytest"))
    assert not watch.repeats("Bash", same)


def test_the_log_ends_in_the_midst_of_the_work_unless_the_agent_has_the_last_word() -> None:
    """A call at the end is cut off; an applied edit or a statement is not."""
    course = course_of((ToolKind.SHELL, False, None))
    assert readings(course)["cut_off"] == 1.0
    course.call(ToolKind.EDIT, failed=False, changed=Change(path=1, lines=1))
    assert readings(course)["cut_off"] == 0.0
    course.call(ToolKind.EDIT, failed=True, changed=Change(path=1, lines=1))
    assert readings(course)["cut_off"] == 1.0
    course.say(hedged=False)
    assert readings(course)["cut_off"] == 0.0


def test_tests_alone_are_no_change_of_code_and_a_question_asks_for_none() -> None:
    """Edits of tests only, or refused ones, change no code; an answered question is not held against anybody."""
    watch = Watch()
    only_tests = course_of((ToolKind.EDIT, False, watch.change(ToolKind.EDIT, edit("tests/test_total.py"))))
    code_too = course_of((ToolKind.EDIT, False, watch.change(ToolKind.EDIT, edit("src/total.py"))))
    question = course_of((ToolKind.READ, False, None))
    question.say(hedged=False)
    assert [readings(course)["no_code_changed"] for course in (only_tests, code_too, question)] == [1.0, 0.0, 0.0]


def test_scattered_edits_are_those_outside_the_file_edited_most() -> None:
    """Three edits of one file and one of another: a quarter."""
    calls = [(ToolKind.EDIT, False, Change(path=path, lines=1)) for path in (1, 1, 2, 1)]
    assert readings(course_of(*calls))["scattered_edits"] == 0.25


def test_searches_count_until_the_first_change() -> None:
    """Looking around afterwards is care, not being lost."""
    search = (ToolKind.SEARCH, False, None)
    change = (ToolKind.EDIT, False, Change(path=1, lines=1))
    assert readings(course_of(search, change, search, search))["long_search"] == 0.25
    assert readings(course_of(*[search] * 50))["long_search"] == 1.0


def test_doubt_is_heard_in_the_agents_own_words() -> None:
    """Might, maybe, perhaps, could be; not every sentence."""
    assert hedges("This might be the reason.")
    assert not hedges("This is the reason.")


_changes = some.none() | some.builds(
    Change, path=some.integers(0, 3), lines=some.integers(0, 500), is_test=some.booleans(),
    file_named=some.none() | some.booleans(), code_named=some.none() | some.booleans(),
)  # fmt: skip
Call = tuple[ToolKind, bool, Change | None]
_calls = some.lists(some.tuples(some.sampled_from(ToolKind), some.booleans(), _changes), max_size=30)


@given(_calls, some.integers(2, 5))
def test_a_longer_log_of_the_same_kind_reads_alike(calls: list[Call], times: int) -> None:
    """Doing the same in the same proportion for longer changes no share: length is no evidence."""
    once, longer = readings(course_of(*calls)), readings(course_of(*calls * times))
    assert all(0.0 <= value <= 1.0 for value in longer.values())
    for name in once.keys() - {"long_search"}:  # bounded by 4
        assert longer[name] == pytest.approx(once[name])


@given(_calls, some.integers(0, 30))
def test_a_course_is_the_same_in_any_two_pieces(calls: list[Call], cut: int) -> None:
    """Carried as bytes between two readings of a log it goes on as if nothing had happened."""
    first = msgspec.msgpack.decode(msgspec.msgpack.encode(course_of(*calls[:cut])), type=Course)
    for kind, failed, changed in calls[cut:]:
        first.call(kind, failed=failed, changed=changed)
    assert first == course_of(*calls)


def test_every_reading_has_a_weight_that_speaks_against_the_work() -> None:
    """A reading without a weight would end in an error; a negative one would turn its reason around."""
    full = course_of((ToolKind.EDIT, False, Change(path=1, lines=3, file_named=True, code_named=True)))
    full.ask(again=False)
    full.say(hedged=False)
    full.run(failed=False)
    assert readings(full).keys() == COURSE.keys()
    assert all(weight.weight >= 0 and 0 <= weight.usual <= 1 for weight in COURSE.values())

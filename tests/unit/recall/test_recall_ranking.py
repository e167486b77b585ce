"""Ranking: a lesson is told where its occasion is at hand, a few at most, none twice, and usually none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from selfdistill.model import (
    Action,
    ActionType,
    Lesson,
    LessonState,
    Polarity,
    Scope,
    ToolKind,
    Trigger,
    TriggerType,
)
from selfdistill.recall.moments import FLOOR
from selfdistill.recall.ranking import candidate, rank
from selfdistill.recall.situations import Query


def lesson(
    name: str,
    *covers: str,
    key: str = "",
    condition: str = "Working in this project",
    advice: str = "Do it the other way.",
    state: LessonState = LessonState.ACTIVE,
    support: int = 2,
    tags: tuple[str, ...] = (),
    helped: int = 0,
    recurred: int = 0,
    last_seen: float = 1000.0,
) -> Lesson:
    """A lesson; in its causes and its merge key `|` stands for the separator."""
    return Lesson(
        id=name,
        project="p",
        merge_key=(key or name).replace("|", "\x1f"),
        signal=Polarity.NEGATIVE,
        trigger=Trigger(condition, TriggerType.ERROR_REPORT),
        action=Action(ActionType.DO, advice),
        rationale="",
        confidence=0.7,
        scope=Scope.PROJECT,
        tags=tags,
        state=state,
        support=support,
        distiller="heuristic",
        version=2,
        last_seen=last_seen,
        covers=tuple(cause.replace("|", "\x1f") for cause in covers),
        helped=helped,
        recurred_told=recurred,
    )


def shell(command: str, **given: object) -> Query:
    """A shell call about to be made."""
    return Query(kind=ToolKind.SHELL, tool="Bash", command=command, **given)  # type: ignore[arg-type]


def edit(path: str, written: str = "", kind: ToolKind = ToolKind.EDIT) -> Query:
    """An edit about to be made."""
    return Query(kind=kind, tool=kind.value.title(), path=path, written=written)


def told(query: Query, *lessons: Lesson, limit: int = 3) -> list[str]:
    """The ids of the lessons told."""
    return [one.lesson.id for one in rank(query, [candidate(each) for each in lessons], limit)]


STAT = lesson("stat", "usage|unknown_option|gh pr diff|stat", condition="`gh pr diff <n> --stat` fails: unknown flag")
ERRCHECK = lesson("errcheck", "diagnostic|errcheck", tags=("errcheck", "golangci-lint", "make lint"), support=6)
LINT_TAGS = ("lint", "make lint", "golangci-lint")
LINTS = lesson("lints", "diagnostic|errcheck", "diagnostic|dupl", key="check_habit|lint", tags=LINT_TAGS, support=6)
SELDOM = lesson("seldom", "diagnostic|errcheck", key="check_habit|lint", tags=LINT_TAGS, support=4)
COMPILES = lesson(
    "compiles", "diagnostic|go|undefined", key="check_habit|compile", tags=("compile", "go", "make build"), support=9
)
NOCTX = lesson(
    "noctx",
    "diagnostic|noctx|exec.command must not be called",
    condition="Writing Go code that `golangci-lint` checks with `noctx`: os/exec.Command must not be called",
    advice="Use `os/exec.CommandContext` in place of `os/exec.Command`.",
    tags=("noctx", "golangci-lint"),
)
UNREAD = lesson("unread", "refused|edit|unread", condition="`Edit` of a file is refused")

FITS = [
    pytest.param(STAT, shell("gh pr diff 12 --stat"), id="the very flag"),
    pytest.param(STAT, shell("cd x && gh pr diff --stat | head"), id="the very flag in a longer line"),
    pytest.param(lesson("l", "usage|unknown_option|cat|A"), shell("sed -n 1p x | cat -nA"), id="a letter among others"),
    pytest.param(
        lesson("l", "usage|unknown_field|gh pr view|merged"), shell("gh pr view --json merged,id"), id="field"
    ),
    pytest.param(lesson("l", "usage|argument_missing|app|--name"), shell("app run --fast"), id="argument left out"),
    pytest.param(lesson("l", "usage|program_missing|staticcheck"), shell("time staticcheck ./..."), id="program"),
    pytest.param(lesson("l", "usage|path_missing|web/x.ts"), shell("cat /home/noa/kettle/web/x.ts"), id="path"),
    pytest.param(
        lesson("l", "usage|glob|?", condition="About to give `gh api` an argument with `?`"),
        shell("gh api repos/m/k/comments?page=2"),
        id="an open question mark",
    ),
    pytest.param(lesson("l", "usage|push_rejected"), shell("git push origin HEAD"), id="push"),
    pytest.param(LINTS, shell("make lint 2>&1 | tail"), id="the command that applies a list of rules"),
    pytest.param(LINTS, edit("/w/kettle/boil.go"), id="a well known list, a file of its language"),
    pytest.param(LINTS, edit("/w/kettle/new.go", kind=ToolKind.WRITE), id="a well known list, a new file"),
    pytest.param(SELDOM, shell("make lint"), id="a list that few sessions have shown, its check"),
    pytest.param(NOCTX, edit("/w/boil.go", "out := exec.Command(name)"), id="the interface that a rule is about"),
    pytest.param(LINTS, shell("make lint-all"), id="another check of the same kind"),
    pytest.param(COMPILES, shell("go test ./..."), id="what does not compile, tests"),
    pytest.param(COMPILES, shell("make build"), id="what does not compile, a build"),
    pytest.param(COMPILES, shell("tsc --noEmit"), id="what does not compile, a type check"),
    pytest.param(UNREAD, edit("/w/kettle/boil.go"), id="a refusal, its tool"),
    pytest.param(UNREAD, edit("/w/new.go", "x", ToolKind.WRITE), id="a refusal that a write meets, too"),
    pytest.param(
        lesson("l", "refused|read|missing|src/a.py"), Query(ToolKind.READ, "Read", path="/w/src/a.py"), id="file"
    ),
    pytest.param(
        lesson("l", "refused|Skill|unknown skill|brew"),
        Query(ToolKind.OTHER, "Skill", text='{"skill":"brew"}'),
        id="name",
    ),
    pytest.param(lesson("l", "test|TestBoil/cold"), shell("go test ./... -run TestBoil"), id="a test by name"),
    pytest.param(lesson("l", condition="About to use `npm`"), shell("npm install"), id="a command in the condition"),
    pytest.param(lesson("l", condition="Looking for `src/kettle/a.py`"), shell("cat kettle/a.py"), id="a path in it"),
]


@pytest.mark.parametrize(("one", "query"), FITS)
def test_a_lesson_is_told_where_its_occasion_is_at_hand(one: Lesson, query: Query) -> None:
    """The command with its flag, the tool, the file, the check."""
    assert told(query, one) == [one.id]


SILENT = [
    pytest.param(STAT, shell("gh pr diff 12 --name-only"), id="the same command without the flag"),
    pytest.param(STAT, shell("gh run list --stat"), id="another sub-command"),
    pytest.param(STAT, shell("echo unknown flag gh pr diff stat"), id="only its words"),
    pytest.param(lesson("l", "usage|unknown_option|cat|A"), shell("cat --number Ab"), id="the letter elsewhere"),
    pytest.param(lesson("l", "usage|argument_missing|app|--name"), shell("app run --name x"), id="argument given"),
    pytest.param(
        lesson("l", "usage|glob|?", condition="About to give `gh api` an argument with `?`"),
        shell('gh api "repos/m/k/comments?page=2"'),
        id="quoted",
    ),
    pytest.param(ERRCHECK, shell("make lint"), id="one rule of many, the check that applies it"),
    pytest.param(ERRCHECK, edit("/w/kettle/boil.go"), id="a rule without an interface, a file of its language"),
    pytest.param(LINTS, shell("make test"), id="a list, a check of another kind"),
    pytest.param(LINTS, edit("/w/kettle/boil.py"), id="a list, a file of another language"),
    pytest.param(SELDOM, edit("/w/kettle/boil.go"), id="a list that few sessions have shown, an edit"),
    pytest.param(COMPILES, edit("/w/kettle/boil.go"), id="what does not compile, an edit that is unfinished anyway"),
    pytest.param(COMPILES, shell("golangci-lint run"), id="what does not compile, a linter"),
    pytest.param(NOCTX, edit("/w/boil.go", "out := exec.CommandContext(ctx)"), id="written as the rule wants it"),
    pytest.param(UNREAD, shell("cat boil.go"), id="a refusal, another tool"),
    pytest.param(
        lesson("l", "refused|edit|not found"), edit("/w/new.go", "x", ToolKind.WRITE), id="what a write cannot meet"
    ),
    pytest.param(lesson("l", "test|TestBoil"), shell("go vet ./..."), id="a test, no tests run"),
    pytest.param(lesson("l"), shell("make lint", request="working in this project"), id="no occasion at all"),
]


@pytest.mark.parametrize(("one", "query"), SILENT)
def test_words_alone_tell_nothing(one: Lesson, query: Query) -> None:
    """Where the structure does not fit there is silence."""
    assert told(query, one) == []


@pytest.mark.parametrize("state", [LessonState.PENDING, LessonState.ARCHIVED, LessonState.REJECTED])
def test_only_active_lessons_are_told_unless_the_caller_says_so(state: LessonState) -> None:
    """The bench measures pending ones, too; the product does not tell them."""
    one = lesson("l", "usage|push_rejected", state=state)
    assert told(shell("git push"), one) == []
    assert len(rank(shell("git push"), [candidate(one)], states=frozenset({state}))) == 1


def test_the_exact_cause_comes_before_everything_else() -> None:
    """After a failure the lesson about this very cause is first, however well others fit."""
    other = lesson("other", condition="`gh pr diff --stat` fails", support=9)
    cause = lesson("cause", "failure|x|lid is open", support=1)
    query = shell("gh pr diff --stat", causes=("failure\x1fx\x1flid is open",), error="lid is open")
    assert told(query, other, cause) == ["cause", "other"]


def test_what_is_about_this_very_mistake_comes_before_what_is_seen_often() -> None:
    """Support orders lessons that fit alike; it does not make a general one fit better."""
    often = lesson("often", "usage|push_rejected", support=30)
    exact = lesson("exact", "usage|unknown_option|git push|fast", support=1)
    assert told(shell("git push --fast"), often, exact) == ["exact", "often"]


def test_of_equal_fits_the_words_of_the_request_decide() -> None:
    """BM25 over tool, input and request puts them in order."""
    boil = lesson("boil", "usage|push_rejected|a", advice="Close the kettle before you boil.")
    pour = lesson("pour", "usage|push_rejected|b", advice="Hold the cup when you pour.")
    assert told(shell("git push", request="pour the tea"), boil, pour)[0] == "pour"
    assert told(shell("git push", request="boil the kettle"), boil, pour)[0] == "boil"


def test_a_lesson_that_keeps_being_ignored_sinks() -> None:
    """Helped and recurred weigh in."""
    helps = lesson("z", "usage|push_rejected|z", helped=4)
    ignored = lesson("a", "usage|push_rejected|a", recurred=4)
    assert told(shell("git push"), ignored, helps) == ["z", "a"]


def test_what_agents_say_moves_the_rank() -> None:
    """A lesson that agents call helpful comes first, one that they do not comes last, and both are still told."""
    one, liked, disliked = (lesson(name, f"usage|push_rejected|{name}") for name in "abc")
    said = (one, replace(liked, feedback=3), replace(disliked, feedback=-3))
    assert told(shell("git push"), *said) == ["b", "a", "c"]


def test_the_projects_own_lessons_come_before_those_that_are_told_everywhere() -> None:
    """However often others have shown a global one; only what has just happened exactly goes before."""
    own, other = lesson("own", "usage|push_rejected|a", support=1), lesson("other", "usage|push_rejected|b", support=30)
    other = replace(other, project="elsewhere", scope=Scope.GLOBAL)
    assert told(shell("git push", project="p"), other, own) == ["own", "other"]
    assert told(shell("git push", project="p", error="[rejected] main"), other, own) == ["own", "other"]
    exact = shell("git push", project="p", causes=other.covers)
    assert told(exact, other, own) == ["other", "own"]


def test_no_lesson_is_told_twice_in_a_session() -> None:
    """Told ones are left out."""
    one = lesson("l", "usage|push_rejected")
    assert told(shell("git push", told=frozenset({"l"})), one) == []


def test_a_lesser_lesson_is_not_told_because_the_better_ones_have_been() -> None:
    """A told lesson keeps its place, so that a session ends up silent instead of hearing everything."""
    better = [lesson(f"b{number}", f"usage|push_rejected|{number}", support=9) for number in range(3)]
    lesser = lesson("lesser", "usage|push_rejected|9", support=1)
    assert told(shell("git push"), *better, lesser) == ["b0", "b1", "b2"]
    heard = frozenset(one.id for one in better)
    assert told(shell("git push", told=heard), *better, lesser) == []


def test_what_a_better_lesson_covers_is_not_said_again() -> None:
    """Two lessons about one cause are one told; a lesson with something more to say is told, too."""
    better = lesson("better", "usage|push_rejected|a", "usage|push_rejected|b", support=9)
    same = lesson("same", "usage|push_rejected|b", support=2)
    more = lesson("more", "usage|push_rejected|b", "usage|push_rejected|c", support=1)
    assert told(shell("git push"), same, better, more) == ["better", "more"]


def test_the_list_speaks_for_the_rules_in_it() -> None:
    """A rule that a told list names is not told again where its interface is written; one beside the list is."""
    listing = lesson("listing", *NOCTX.covers, key="check_habit|lint", tags=LINT_TAGS, support=6)
    other = lesson("other", "diagnostic|dupl", key="check_habit|lint", tags=LINT_TAGS, support=6)
    writing = edit("/w/boil.go", "out := exec.Command(name)")
    heard = Query(ToolKind.EDIT, "Edit", path=writing.path, written=writing.written, told=frozenset({"listing"}))
    assert told(writing, NOCTX, listing) == ["noctx"], "the rule fits better than the list, which then adds nothing"
    assert told(heard, NOCTX, listing) == []
    assert told(writing, NOCTX, other) == ["noctx", "other"]


def test_lessons_without_causes_are_never_taken_for_each_other() -> None:
    """What covers nothing cannot be said by another lesson."""
    one, other = (lesson(name, condition="About to use `git push`") for name in ("one", "other"))
    assert sorted(told(shell("git push"), one, other)) == ["one", "other"]


def test_what_is_told_stays_within_the_token_cap() -> None:
    """A long lesson is left out, a short one behind it is not."""
    long = lesson("long", "usage|push_rejected", advice="Pull first. " * 200, support=9)
    short = lesson("short", "usage|push_rejected", advice="Pull first.")
    assert told(shell("git push"), long, short) == ["short"]


def test_the_token_cap_is_for_all_lessons_together() -> None:
    """Two that fit alone but not together are one, and what still fits behind them is told."""
    advice = "Pull first. " * 80
    most, more = (lesson(name, f"usage|push_rejected|{name}", advice=advice, support=9) for name in ("a", "b"))
    short = lesson("c", "usage|push_rejected|c", advice="Pull first.")
    assert told(shell("git push"), most, more, short) == ["a", "c"]


TEXT = st.text(max_size=80)


@given(
    command=TEXT,
    path=TEXT,
    request=TEXT,
    kind=st.sampled_from([*ToolKind, None]),
    covers=st.lists(
        st.lists(
            st.sampled_from(["usage", "refused", "test", "diagnostic", "failure", "unknown_option", "glob", "", "a"])
        ).map("\x1f".join),
        max_size=3,
    ),
    condition=TEXT,
    limit=st.integers(0, 4),
)
def test_any_query_gets_at_most_so_many_lessons_that_fit(
    command: str, path: str, request: str, kind: ToolKind | None, covers: list[str], condition: str, limit: int
) -> None:
    """Ranking never raises, whatever it is given, and holds its bounds."""
    lessons = [candidate(lesson(str(number), *covers, condition=condition)) for number in range(6)]
    query = Query(kind=kind, command=command, path=path, request=request)
    ranked = rank(query, lessons, limit)
    assert len(ranked) <= limit
    assert all(one.fit >= FLOOR for one in ranked)
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)

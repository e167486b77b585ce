"""Whether lessons help, as a user sees it: failures that come again, lessons that contradict or resemble each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from invented import LONG_AGO, Claude, repaired, run

DAY_SECONDS = 86_400.0


def learn(home: Path) -> None:
    """A run that must succeed."""
    done = run(home, "run")
    assert done.returncode == 0, done.stderr


def listed(home: Path, *words: str) -> list[dict[str, Any]]:
    """The lessons as the command line lists them."""
    found: list[dict[str, Any]] = json.loads(run(home, "lessons", "list", "--all", "--json", *words).stdout)
    return found


def helping(home: Path) -> list[str]:
    """What `status` says of the lessons' use."""
    return [line.strip() for line in run(home, "status").stdout.splitlines() if line.strip().startswith("helping")]


def failing_again(seed: str, days: float) -> Claude:
    """A later session that makes the mistake that `repaired` shows, twice, and does not find the repair."""
    story = Claude(seed, begins=LONG_AGO + days * DAY_SECONDS).say("What is in PR 40?")
    for number in (40, 41):
        story.sh(f"gh pr diff {number} --stat", "unknown flag: --stat\n\nUsage: gh pr diff", error=True)
    return story.answer("I could not find out.")


def test_a_failure_that_comes_again_is_told_with_its_lesson(tmp_path: Path) -> None:
    """`lessons show` counts the later sessions that failed again, `status` the lessons that did not prevent it."""
    repaired("1").write(tmp_path)
    learn(tmp_path)
    (lesson,) = listed(tmp_path)
    shown = run(tmp_path, "lessons", "show", lesson["id"]).stdout
    assert "the failure has not come again in any later session" in shown
    assert helping(tmp_path) == ["helping   1 of 1 lessons about failures did not see theirs again"]

    failing_again("2", days=1).write(tmp_path)
    learn(tmp_path)
    shown = run(tmp_path, "lessons", "show", lesson["id"]).stdout
    assert "the failure came again in 1 later session\n" in shown
    assert helping(tmp_path) == ["helping   0 of 1 lessons about failures did not see theirs again"]

    failing_again("3", days=2).write(tmp_path)
    learn(tmp_path)
    shown = json.loads(run(tmp_path, "lessons", "show", lesson["id"], "--json").stdout)
    assert shown["lesson"]["recurred"] == 2


def test_a_failure_before_the_lesson_is_no_recurrence(tmp_path: Path) -> None:
    """Whatever is read first: what failed before anything was learned speaks against no lesson."""
    repaired("1").write(tmp_path)
    learn(tmp_path)
    failing_again("0", days=-1).write(tmp_path)
    learn(tmp_path)
    (lesson,) = listed(tmp_path)
    assert "recurred" not in lesson or lesson["recurred"] == 0
    assert helping(tmp_path) == ["helping   1 of 1 lessons about failures did not see theirs again"]


def test_lessons_that_contradict_each_other_are_shown_with_each_other(tmp_path: Path) -> None:
    """Two people, or one who changed her mind: both lessons name their opposite."""
    for seed, rule in (("1", "always use pnpm, not npm"), ("2", "always use npm, not pnpm")):
        story = Claude(seed).say("Build the web part.").sh("ls", "package.json").answer("Shall I build it?")
        story.say(f"Yes, but {rule} in this repo.").answer("I will.").write(tmp_path)
    learn(tmp_path)
    lessons = [lesson for lesson in listed(tmp_path, "--state", "any") if lesson.get("prefers")]
    assert len(lessons) == 2
    for one, other in (lessons, lessons[::-1]):
        shown = run(tmp_path, "lessons", "show", one["id"]).stdout
        assert f"contradicts {other['id'][:8]}: {other['action']['description']}" in shown
        told = json.loads(run(tmp_path, "lessons", "show", one["id"], "--json").stdout)
        assert told["contradicts"] == [other["id"]]


def test_lessons_in_nearly_the_same_words_are_shown_with_each_other(tmp_path: Path) -> None:
    """A rule that a person said twice in slightly other words stays two lessons, linked for review."""
    for seed, words in (("1", "never push to the main branch"), ("2", "please never push to the main branch")):
        story = Claude(seed).say("Change the README.").edit("/home/mara/kettle/README.md", "a", "b").answer("Done.")
        story.say(f"From now on {words} of this repo.").answer("I will not.").write(tmp_path)
    learn(tmp_path)
    rules = [lesson for lesson in listed(tmp_path, "--state", "any") if "push" in lesson["action"]["description"]]
    assert len(rules) == 2
    for one, other in (rules, rules[::-1]):
        assert f"see also {other['id'][:8]}: " in run(tmp_path, "lessons", "show", one["id"]).stdout

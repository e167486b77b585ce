"""What people say about how work is done here: which sentences become rules, and when they are sure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from selfdistill.model import Author

if TYPE_CHECKING:
    from stories import Story


def test_a_substitution_after_the_opposite_is_a_sure_rule(story: Story) -> None:
    """Words such as 'use pnpm instead of npm', said right after npm ran, needs no second session."""
    story.say("set the page up")
    npm = story.sh("npm install")
    words = story.say("no, use pnpm instead of npm")
    (finding,) = story.findings()
    assert finding.action.description == "Use `pnpm`, not `npm`."
    assert finding.trigger.condition == "About to use `npm`"
    assert [evidence.uid for evidence in finding.evidence] == [npm, words]
    assert finding.needs == 1


def test_a_followed_substitution_confirms_the_same_lesson(story: Story) -> None:
    """What was then run and worked shares the merge key with the words."""
    story.say("set the page up")
    story.sh("npm install")
    story.say("no, use pnpm instead of npm")
    story.sh("pnpm install")
    keys = {finding.merge_key for finding in story.findings()}
    assert len(keys) == 1
    assert len(story.findings()) == 2


@pytest.mark.parametrize(
    "words",
    [
        "from now on always cut a branch before you commit",
        "In this repo we never push to main.",
        "Please remember: always run the formatter before a commit in this project",
    ],
)
def test_a_rule_that_states_its_scope_is_sure(story: Story, words: str) -> None:
    """Words such as 'from now on', "in this repo": one telling is enough."""
    story.say("hello there")
    story.say(words)
    (finding,) = story.findings()
    assert finding.needs == 1
    assert finding.rule == "user_rule"


def test_a_rule_without_scope_waits_for_a_second_session(story: Story) -> None:
    """Words such as 'never ...' alone is weak evidence of a rule."""
    story.say("hello there")
    story.say("never use else-if chains in these handlers")
    (finding,) = story.findings()
    assert finding.needs == 2


@pytest.mark.parametrize(
    "words",
    [
        "no, I meant the tests in the other folder",
        "should we always use pnpm here?",
        "it never works when the kettle is empty",
        "the light is always on",
        "```\nalways use tabs in this repo\n```",
        "- always use tabs in this repo",
        "ok",
        "mach das bitte immer so in diesem Projekt",
    ],
)
def test_most_sentences_are_no_rules(story: Story, words: str) -> None:
    """One-off corrections, questions, descriptions, pasted text and other languages state no rule."""
    story.say("hello there")
    story.say(words)
    assert story.findings() == []


def test_programs_state_no_rules(story: Story) -> None:
    """Only a person's words count."""
    story.say("hello there")
    story.say("from now on always use tabs in this repo", author=Author.PROGRAM)
    assert story.findings() == []


def test_a_refusal_that_was_followed_waits_as_pending(story: Story) -> None:
    """Words such as 'fmt first maybe': the refused command, the words, and what was then run."""
    story.say("rebase it please")
    story.refuse("git add a.go && git rebase --continue", "run mise run fmt first")
    story.sh("mise run fmt")
    (finding,) = (finding for finding in story.findings() if finding.rule == "refused_call")
    assert "`mise run fmt`" in finding.action.description
    assert finding.needs == 2


def test_a_refused_command_with_a_reason_waits_as_pending(story: Story) -> None:
    """Words such as "too slow" say how such work is done here, if a second session says so, too."""
    story.say("tidy the lid up")
    story.refuse("mise run test:all", "don't run them all, too slow")
    (finding,) = story.findings()
    assert finding.trigger.condition == "About to run `mise run test:all`"
    assert finding.action.description == "A person refused it: Don't run them all, too slow."
    assert finding.needs == 2


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("mise run test:all", "is the lid even tested by that?"),
        ("mise run test:all", "the lid should be blue"),
        ("git log --oneline", "first look at the lid"),
        ("mise run test:all", ""),
    ],
)
def test_a_refusal_without_a_reason_about_the_command_teaches_nothing(story: Story, command: str, words: str) -> None:
    """Questions, words about what is built, and refusals of mere looking say nothing about a command."""
    story.say("tidy the lid up")
    story.refuse(command, words)
    assert story.findings() == []


def test_the_words_of_a_commit_message_are_no_program(story: Story) -> None:
    """A text that names the wanted program does not run it."""
    story.say("set it up")
    story.sh("docker build .")
    story.say("no, use podman instead of containerd")
    story.sh("git commit -F - <<'EOF'\n" + 60 * "podman is used now\n" + "EOF")
    assert all(len(finding.evidence) == 1 for finding in story.findings())

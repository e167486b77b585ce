"""What is sent: stable words, fenced data, known lessons that resemble it, what came before."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from selfdistill.distill.llm.choosing import Selection
from selfdistill.distill.llm.known import (
    MOST_KNOWN,
    Before,
    Known,
    before_summary,
    known_lesson,
    remembered,
    resembling,
)
from selfdistill.distill.llm.prices import DEFAULT_MODEL, is_cached
from selfdistill.distill.llm.prompt import SYSTEM, build, nonce_of
from selfdistill.distill.llm.schema import SCHEMA
from selfdistill.distill.llm.transcript import chronicle
from selfdistill.model import (
    Action,
    ActionType,
    Finding,
    Lesson,
    LessonState,
    Polarity,
    Scope,
    Trigger,
    TriggerType,
)
from selfdistill.sources.injections import is_own_prompt
from stories import Story
from support.examples import examples
from unit.distill_llm.llm_cases import KNOWN, kettle, selection


def test_system_prompt_is_the_same_for_every_session() -> None:
    """Nothing of a session is in the system prompt, so that it can be cached."""
    assert build(selection(), "kettle").system is SYSTEM is build(selection(Story()), "other", [KNOWN], "b").system


def test_system_prompt_is_long_enough_for_the_cache() -> None:
    """The default model caches it: without that, marking it would be for nothing."""
    assert is_cached(DEFAULT_MODEL, build(selection(), "kettle").cacheable_tokens)


def test_same_data_gives_the_same_prompt() -> None:
    """What is printed is what is sent."""
    assert build(selection(), "kettle") == build(selection(), "kettle")
    assert build(selection(), "kettle") != build(selection(), "cup")


def test_own_prompts_are_recognised_in_logs() -> None:
    """A session that begins with our prompt is none to learn from."""
    assert is_own_prompt(build(selection(), "kettle").user)


def test_prompt_lists_lessons_project_and_past() -> None:
    """The parts stand between fences, each under its name."""
    user = build(selection(), "kettle", [KNOWN], "The last request was: tea").user
    for part in ("k1: About to boil -> Fill the kettle first.", "kettle\n=====", "The last request was: tea"):
        assert part in user
    names = re.findall(r"===== \w+ begin (.+) =====", user)
    assert names == ["project", "known lessons", "what came before in this session", "transcript"]


_CODE = "0123456789abcdef01234567"


@examples(50)
@given(st.lists(st.sampled_from((_CODE, _CODE.upper(), _CODE[:12], _CODE[12:], "=====", "\n", "end transcript", "x"))))
def test_data_cannot_close_its_fence(parts: list[str]) -> None:
    """The fences' code stands on the fences only, whatever the data holds."""
    text = "".join(parts)
    known = Known("k", "m", text, text)
    user = build(Selection(text, {}, (), 0), text, [known], text or "-", nonce=_CODE).user
    assert len(re.findall(_CODE, user, re.IGNORECASE)) == 8
    assert len(re.findall(rf"^===== {_CODE} (?:begin|end) [a-z ]+ =====$", user, re.MULTILINE)) == 8


def test_fence_depends_on_the_whole_content() -> None:
    """Who does not know the whole prompt cannot know the code."""
    assert nonce_of(selection(), "a") != nonce_of(selection(), "b")
    assert len(nonce_of(selection())) == 24


def test_prompt_estimates_its_tokens() -> None:
    """The estimate covers both halves and what the API adds."""
    prompt = build(selection(), "kettle")
    assert prompt.tokens > len(prompt.system + prompt.user) / 3.6


def test_lessons_that_resemble_the_transcript_are_chosen() -> None:
    """A lesson about what happened is listed, one about something else is not; the order given does not matter."""
    near = Known("a", "m1", "brewtool check fails with unknown option", "Use --quick.")
    far = Known("b", "m2", "Deploying the orchard website", "Rotate the certificates afterwards.")
    text = selection().text
    assert resembling([near, far], text) == resembling([far, near], text) == (near,)


def test_known_lessons_are_bounded() -> None:
    """However many lessons resemble a session, a dozen is listed."""
    many = [Known(f"k{number}", f"m{number}", "brewtool check", "Use --quick.") for number in range(100)]
    assert len(resembling(many, selection().text)) == MOST_KNOWN


def _finding(number: int) -> Finding:
    trigger = Trigger(f"condition {number}", TriggerType.GENERAL)
    return Finding("llm", str(number), Polarity.NEUTRAL, trigger, Action(ActionType.DO, "do it"), (), 0.5)


def test_summary_says_what_came_before() -> None:
    """A session that goes on is told its last request, its last answer and what was learned; the memory is bounded."""
    before = remembered(chronicle(kettle().events, str), [_finding(1)])
    told = before_summary(before)
    assert "Add a timer to the kettle." in told
    assert "the timer works" in told
    assert "condition 1: do it" in told
    later = remembered(chronicle((), str), [_finding(number) for number in range(20)], before)
    assert later.request == before.request
    assert len(later.lessons) == 8
    assert before_summary(None) == before_summary(Before()) == ""


def test_stored_lesson_is_told_with_its_needs() -> None:
    """A pending lesson needs one session more than it has; an unsafe one stays held."""
    stored = Lesson(
        id="k9",
        project="p",
        merge_key="m",
        signal=Polarity.NEUTRAL,
        trigger=Trigger("c", TriggerType.GENERAL),
        action=Action(ActionType.DO, "a"),
        rationale="",
        confidence=0.5,
        scope=Scope.PROJECT,
        tags=("unsafe",),
        state=LessonState.PENDING,
        support=2,
        distiller="llm",
        version=1,
    )
    told = known_lesson(stored)
    assert (told.needs, told.held, told.condition) == (3, True, "c")


def test_schema_uses_only_what_structured_outputs_allow() -> None:
    """Objects name all their properties and allow no others; no lengths, ranges or numbers of items."""
    seen: list[dict[str, object]] = []

    def walk(node: object) -> None:
        if isinstance(node, dict):
            seen.append(node)
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(SCHEMA)
    objects = [node for node in seen if node.get("type") == "object"]
    assert len(objects) >= 5
    for node in objects:
        assert node["additionalProperties"] is False
        assert isinstance(node["properties"], dict)
        assert node["required"] == list(node["properties"])
    assert not {"minLength", "maxLength", "minimum", "maximum", "maxItems", "minItems", "pattern"} & {
        key for node in seen for key in node
    }

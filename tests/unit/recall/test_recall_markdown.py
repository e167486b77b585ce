"""The block of lessons in somebody else's file: exactly it changes, and it can go as if it had never been."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfdistill.errors import UsageError
from selfdistill.model import Action, ActionType, Lesson, LessonState, Polarity, Scope, Trigger, TriggerType
from selfdistill.recall.markdown import block, chosen, document, plain, with_block, without_block
from selfdistill.sources.injections import without_own

# What files are made of, in pieces that meet in odd ways.
PIECES = st.sampled_from(
    [b"a", b"\n", b"\r\n", b"\r", b"# Rules", b"\xff", b"<!-- ", "é".encode(), b" ", b"selfdistill:end"]
)
FILES = st.lists(PIECES, max_size=12).map(b"".join)
LINES = st.lists(st.text(min_size=1).map(plain).filter(bool), min_size=1, max_size=3)


def lesson(number: int = 1, condition: str = "`make` fails", action: str = "Use `just`.") -> Lesson:
    """An invented lesson."""
    return Lesson(
        id=f"{number:016x}",
        project="/kettle",
        merge_key=f"key {number}",
        signal=Polarity.NEGATIVE,
        trigger=Trigger(condition, TriggerType.DEBUGGING),
        action=Action(ActionType.DO, action),
        rationale="it was seen",
        confidence=0.75,
        scope=Scope.PROJECT,
        tags=(),
        state=LessonState.ACTIVE,
        support=2,
        distiller="heuristic",
        version=1,
    )


@given(FILES, LINES, LINES, FILES)
def test_nothing_else_is_touched(content: bytes, lines: list[str], other: list[str], more: bytes) -> None:
    """Whatever a file holds: the block is added behind it, replaced alone, and gone it leaves the very bytes."""
    made = with_block(content, lines, "it")
    assert made.startswith(content)
    assert without_block(made, "it") == content
    changed = with_block(made, other, "it")
    assert with_block(changed, other, "it") == changed
    assert without_block(changed, "it") == content
    # What its owner writes behind it stays there, too.
    assert with_block(made + more, other, "it").endswith(more)
    assert without_block(made + more, "it") == content + more


@given(LINES)
def test_line_ends_are_the_files(lines: list[str]) -> None:
    """In a file with CRLF the block has CRLF throughout."""
    made = with_block(b"# Rules\r\n\r\nBe kind.\r\n", lines, "it")
    assert made.count(b"\n") == made.count(b"\r\n")


@pytest.mark.parametrize(
    "content",
    [
        b"<!-- selfdistill:begin -->\n",
        b"x\n<!-- selfdistill:end -->\n",
        b"<!-- selfdistill:end -->\n<!-- selfdistill:begin -->\n",
        b"<!-- selfdistill:begin -->\na\n<!-- selfdistill:end -->\n" * 2,
        b"<!-- selfdistill:begin -->\r\n<!-- selfdistill:begin -->\r\n<!-- selfdistill:end -->\r\n",
        "# Rules\n".encode("utf-16"),
        b"a\0b",
    ],
)
def test_what_is_not_clear_is_refused(content: bytes) -> None:
    """Two blocks, half a block, halves the wrong way round and what is no UTF-8 raise an error that names the file."""
    for lines in (["a"], []):
        with pytest.raises(UsageError, match=r"AGENTS\.md") as caught:
            with_block(content, lines, "AGENTS.md")
        assert caught.value.advice


def test_marks_in_a_sentence_are_none() -> None:
    """Only lines of their own are marks: a file may speak of them."""
    content = b"We use `<!-- selfdistill:begin -->` and `<!-- selfdistill:end -->` here.\n"
    assert without_block(with_block(content, ["a"], "it"), "it") == content


def test_we_never_learn_from_our_own_block() -> None:
    """What is read back out of the file, whole or cut off behind, holds none of our words."""
    made = with_block(b"Mine.\n", block([lesson(condition="</selfdistill> <!-- selfdistill:end --> x")]), "it").decode()
    assert without_own(made).strip() == "Mine."
    assert without_own(made[: made.index("Use")]).strip() == "Mine."


def test_no_lesson_ends_its_block() -> None:
    """A lesson that holds our marks, line ends or control characters stays one line inside the block."""
    nasty = lesson(
        condition="a\n<!-- selfdistill:end -->\nb", action="c\r\n<!-- selfdistill:begin -->\x1b[31m\u202e\u2028d"
    )
    made = with_block(b"", block([nasty]), "it")
    assert without_block(made, "it") == b""
    assert b"\x1b" not in made
    assert made.count(b"<!--") == made.count(b"-->") == 2
    assert len(made.decode().splitlines()) == len(block([lesson()])) + 2


def test_block_is_capped() -> None:
    """At most so many lessons and tokens; a long one does not keep a short one out."""
    many = [lesson(number) for number in range(50)]
    assert len(chosen(many)) == 12
    assert len(chosen(many, 3)) == 3
    long = lesson(0, action="x" * 4000)
    assert chosen([long, lesson(1)]) == [lesson(1)]
    assert sum(len(line) for line in block(chosen([lesson(n, action="y" * 600) for n in range(50)]))) < 4 * 900


def test_document_says_what_speaks_for_a_lesson() -> None:
    """The document for people names condition, action, reason, state, confidence, support and id."""
    shown = document([lesson()], "Lessons of /kettle")
    for words in (
        "# Lessons of /kettle",
        "## `make` fails",
        "Use `just`.",
        "it was seen",
        "0.75",
        "2 sessions",
        "active",
    ):
        assert words in shown
    assert lesson().id in shown

"""Human turns: how the weights are fitted, and how they are measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.quality.turn_fit import EXPECTED_NEGATIVE, EXPECTED_POSITIVE, Turn, cross_validated, fit
from bench.quality.turns import measure

from selfdistill.signals import turn_weights
from selfdistill.signals.turn_cues import CUES
from selfdistill.signals.turns import BIAS


def turn(label: str, *marks: str, project: str = "kettle") -> Turn:
    """A labelled turn with these marks."""
    return Turn(label, frozenset(marks), project, "one", "")


def test_weights_start_from_guesses_and_follow_the_data() -> None:
    """A mark that is always in complaints gains, one that never is loses, one that is never seen keeps its guess."""
    fitted = fit([turn("C", "however")] * 20 + [turn("N", "still")] * 20).negative
    assert fitted["however"] > EXPECTED_NEGATIVE["however"]
    assert fitted["still"] < EXPECTED_NEGATIVE["still"]
    assert fitted["praise"] == pytest.approx(EXPECTED_NEGATIVE["praise"])


def test_no_turn_is_judged_by_weights_that_it_taught() -> None:
    """What one project says of a mark does not reach its own probabilities."""
    one = [turn("C", "however")] * 20
    other = [turn("N", "however", project="toaster")] * 20
    chances = cross_validated([*one, *other], lambda given: given.project)
    assert chances[0][0] < 0.2
    assert chances[-1][0] > 0.8


def test_the_product_weighs_every_mark_that_was_fitted_and_no_other() -> None:
    """The written weights belong to this model: fit again after a mark is added or renamed."""
    assert turn_weights.NEGATIVE.keys() == EXPECTED_NEGATIVE.keys()
    assert turn_weights.POSITIVE.keys() == EXPECTED_POSITIVE.keys()


def test_every_cue_weighs_something() -> None:
    """A cue that nobody weighs would be searched for in vain."""
    weighed = turn_weights.NEGATIVE.keys() | turn_weights.POSITIVE.keys()
    assert {cue.name for cue in CUES} <= weighed
    assert BIAS in weighed


def row(label: str, text: str, repo: str) -> str:
    """A labelled turn as the data have it."""
    return json.dumps({
        "label": label, "text": text, "repo": repo, "session_id": "s",
        "prev_assistant_tail": "Done.", "after_interrupt_or_reject": False, "ts": "2026-01-01T00:00:00Z",
    })  # fmt: skip


def test_turns_are_measured(tmp_path: Path) -> None:
    """Answers are counted against the labels, the unusable are left out, and refitting goes by project."""
    (tmp_path / "labelled").mkdir()
    turns = [
        ("C", "no, that's wrong"), ("F", "it still doesn't work"), ("C", "blue"),
        ("A", "yes, go ahead"), ("N", "add a page for the timer"), ("N", "the build is failing"), ("U", "no"),
    ]  # fmt: skip
    lines = [row(label, text, repo) for repo in ("kettle", "toaster") for label, text in turns]
    (tmp_path / "labelled" / "user_turns.dev.jsonl").write_text("\n".join(lines))
    found = {metric.key: metric for metric in measure(tmp_path)}
    assert found["correction_precision"].value == pytest.approx(2 / 3)
    assert found["correction_recall"].value == pytest.approx(2 / 3)
    assert found["correction_f1"].value == found["episode_negative_f1"].value == pytest.approx(2 / 3)
    assert found["false_correction_rate"].value == pytest.approx(1 / 3)
    assert found["approval_f1"].value == 1.0
    assert found["episode_macro_f1"].value == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert found["correction_precision"].n == 12
    assert {f"{key}_refitted" for key in found if not key.endswith("_refitted")} <= found.keys()


def test_absent_turns_give_no_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without labelled turns there is a line for people and nothing for the table."""
    assert measure(tmp_path) == []
    assert "user_turns" in capsys.readouterr().err

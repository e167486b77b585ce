"""`lessons edit`, `merge` and `review`: what a person says stays, one lesson after the other."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from invented import distil, mended, put, repaired, state_of
from selfdistill.cli.main import main
from selfdistill.config import Places
from selfdistill.service.assembly import open_store

Say = Callable[..., str]
SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user with one active lesson and two that wait, of one project."""
    kettle = tmp_path / "kettle"
    put(kettle / ".git" / "HEAD", b"ref: refs/heads/main\n")
    repaired("1", str(kettle)).write(tmp_path)
    for seed, name in (("3", b"timer"), ("4", b"urn")):
        story = mended(seed)
        story.lines = [
            line.replace(b"/home/mara/kettle", bytes(kettle)).replace(b"test_timer", b"test_" + name)
            for line in story.lines
        ]
        story.write(tmp_path)
    distil(tmp_path, state_of(tmp_path))
    return tmp_path


@pytest.fixture
def say(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    """The command line in this user's project, in this process, with lines to read; gives what it prints."""
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "SELFDISTILL_STATE_DIR", "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(home / "kettle")
    umask = os.umask(0o022)

    def command(*words: str | Path, lines: str = "", code: int = 0) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        assert main([str(word) for word in words]) == code
        said = capsys.readouterr()
        return said.out + said.err

    yield command
    os.umask(umask)


def lessons(say: Say) -> list[dict[str, Any]]:
    """All lessons in the order in which they are reviewed: those that wait first."""
    found: list[dict[str, Any]] = json.loads(say("lessons", "list", "--state", "any", "--json"))
    return sorted(found, key=lambda one: str(one["state"]), reverse=True)


def states(say: Say) -> dict[str, str]:
    """The state of each lesson by id."""
    return {one["id"]: one["state"] for one in lessons(say)}


class TestReview:
    """The walk."""

    def test_each_answer(self, say: Say) -> None:
        """Approve, reject with a reason, skip; each with its evidence on screen, and counted at the end."""
        first, second, known = (one["id"] for one in lessons(say))
        shown = say("lessons", "review", lines="a\nr too odd\n")
        assert states(say) == {first: "active", second: "rejected", known: "active"}
        assert "1 approved, 1 rejected; that was all" in shown
        assert "    | pytest tests/test_timer.py" in shown
        assert "reject by you" in say("lessons", "show", second)
        assert "too odd" in say("lessons", "show", second)
        assert "Nothing waits for you" in say("lessons", "review")

    def test_leaving_and_nonsense(self, say: Say) -> None:
        """`q` and the end of input leave the rest as it is; an unknown answer gets help and asks again."""
        before = states(say)
        assert "2 left" in say("lessons", "review", lines="what\nq\n")
        assert "approve it" in say("lessons", "review", lines="what\n")
        assert "that was all" in say("lessons", "review", lines="s\ns\n")
        assert states(say) == before

    def test_undo(self, say: Say) -> None:
        """`u` takes the last answer back and asks about that lesson again; with nothing answered it says so."""
        first, second, _ = (one["id"] for one in lessons(say))
        shown = say("lessons", "review", lines="u\na\nr\n")
        assert "Nothing was decided yet" in shown
        say("lessons", "restore", first, second)
        shown = say("lessons", "review", lines="r\nu\na\nr\n")
        assert "rejected: taken back" in shown
        assert (states(say)[first], states(say)[second]) == ("active", "rejected")
        say("lessons", "undo", first, second)
        say("lessons", "review", lines="r\nu\nq\n")
        assert (states(say)[first], states(say)[second]) == ("pending", "pending")

    def test_edit_and_merge(self, say: Say) -> None:
        """`e` changes the words and asks again; `m` lets evidence count for another lesson; secrets go."""
        first, second, _ = (one["id"] for one in lessons(say))
        say("lessons", "review", lines=f"e\n\n  Boil  {SECRET} slowly. \na\nm\n{first[:8]}\n")
        found = {one["id"]: one for one in lessons(say)}
        assert found[first]["action"]["description"].startswith("Boil ")
        assert SECRET not in found[first]["action"]["description"]
        assert found[first]["support"] == 2
        assert found[second]["state"] == "archived"
        assert "Nothing waits" in say("lessons", "review")
        say("lessons", "undo", second)
        assert "no lesson has an id" in say("lessons", "review", lines="m zzzz\nm\n\nq\n").casefold()
        assert states(say)[second] == "pending"

    def test_weak_lessons_come_too(self, home: Path, say: Say) -> None:
        """An active lesson that agents call of no use is shown to a person, with what they say."""
        known = lessons(say)[-1]["id"]
        places = Places(config=home / "none.toml", state=state_of(home))
        with open_store(places) as store:
            store.say(known, "mcp-1", helpful=False, note="does not apply")
        shown = say("lessons", "review", lines="s\ns\ns\n")
        assert "agents say that it is not helpful" in shown
        assert "does not apply" in shown


class TestEdit:
    """One lesson."""

    def test_by_options(self, say: Say) -> None:
        """--condition and --action change what is named and leave the rest; "" brings the derived words back."""
        lesson = lessons(say)[-1]
        say("lessons", "edit", lesson["id"][:8], "--action", "Look twice.", "--note", "clearer")
        now = lessons(say)[-1]
        assert now["action"]["description"] == "Look twice."
        assert now["trigger"] == lesson["trigger"]
        assert "edit by you" in say("lessons", "show", lesson["id"])
        assert "Look twice" in say("lessons", "search", "twice")
        say("lessons", "edit", lesson["id"], "--action", "")
        assert lessons(say)[-1]["action"] == lesson["action"]

    def test_in_an_editor(self, tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
        """$EDITOR gets the words; what it leaves counts. Unchanged words, a failing and no editor change nothing."""
        lesson = lessons(say)[-1]
        script = put(tmp_path / "an editor", b"#!/bin/sh\nsed -i 's/^do: .*/do: Look\\nthrice./' \"$1\"\n")
        script.chmod(0o755)
        assert "EDITOR is not set" in say("lessons", "edit", lesson["id"], code=64)
        for editor in ("true", "false", "no-such-editor"):
            monkeypatch.setenv("EDITOR", editor)
            say("lessons", "edit", lesson["id"], code=0 if editor == "true" else 64)
        assert lessons(say)[-1]["action"] == lesson["action"]
        monkeypatch.setenv("EDITOR", f"'{script}'")
        say("lessons", "edit", lesson["id"])
        now = lessons(say)[-1]
        assert (now["action"]["description"], now["trigger"]) == ("Look thrice.", lesson["trigger"])

    def test_merge(self, say: Say) -> None:
        """`merge` archives one lesson and counts its sessions for the other; unknown ids and itself exit 64."""
        first, second, _ = (one["id"] for one in lessons(say))
        assert "merged into" in say("lessons", "merge", second, first)
        assert states(say)[second] == "archived"
        for words in (["zzzz", first], [first, first], [first, second]):
            say("lessons", "merge", *words, code=64)

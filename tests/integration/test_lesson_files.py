"""`export` and `lessons import`: files that agents read, and lessons that go from one store to another."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from invented import Claude, distil, mended, put, repaired, state_of
from selfdistill.cli.main import main

Say = Callable[..., str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user with a project, an active lesson of it and a pending one."""
    kettle = tmp_path / "kettle"
    put(kettle / ".git" / "HEAD", b"ref: refs/heads/main\n")
    repaired("1", str(kettle)).write(tmp_path)
    tests = mended("3")
    tests.lines = [line.replace(b"/home/mara/kettle", str(kettle).encode()) for line in tests.lines]
    tests.write(tmp_path)
    distil(tmp_path, state_of(tmp_path))
    return tmp_path


@pytest.fixture
def say(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    """The command line in this user's project, in this process; gives what it prints."""
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "SELFDISTILL_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(home / "kettle")
    umask = os.umask(0o022)

    def command(*words: str | Path, code: int = 0, user: Path = home) -> str:
        monkeypatch.setenv("HOME", str(user))
        assert main([str(word) for word in words]) == code
        said = capsys.readouterr()
        return said.out + said.err

    yield command
    os.umask(umask)


def lessons(say: Say, **more: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401 - as `say`
    """All lessons by id."""
    found = json.loads(say("lessons", "list", "--all", "--state", "any", "--json", **more))
    return {one["id"]: one for one in found}


class TestBlock:
    """AGENTS.md and CLAUDE.md."""

    @pytest.mark.parametrize(("form", "name"), [("agents-md", "AGENTS.md"), ("claude-md", "CLAUDE.md")])
    def test_in_place_and_out_again(self, home: Path, say: Say, form: str, name: str) -> None:
        """The block goes into the project's file from anywhere in it; again changes nothing; --remove undoes it."""
        path = put(home / "kettle" / name, b"# Rules\r\nBe kind.")
        path.chmod(0o664)
        (home / "kettle" / "web").mkdir()
        say("export", "--to", form, "--project", "web")
        made = path.read_bytes()
        assert made.startswith(b"# Rules\r\nBe kind.\r\n\r\n<!-- selfdistill:begin")
        assert b"--name-only" in made
        assert made.count(b"\n- ") == 1  # the pending lesson is not told
        assert path.stat().st_mode & 0o777 == 0o664
        number = path.stat().st_ino
        assert "unchanged" in say("export", "--to", form)
        assert path.stat().st_ino == number
        say("export", "--to", form, "--remove")
        assert path.read_bytes() == b"# Rules\r\nBe kind."

    def test_new_file_goes_again(self, home: Path, say: Say) -> None:
        """A file that was not there is made for everybody to read, and goes with its block."""
        path = home / "kettle" / "AGENTS.md"
        say("export", "--to", "agents-md")
        assert path.stat().st_mode & 0o777 == 0o644
        say("export", "--to", "agents-md", "--remove")
        assert not path.exists()
        assert [one.name for one in (home / "kettle").iterdir()] == [".git"]

    def test_links_are_followed(self, home: Path, say: Say) -> None:
        """A symbolic link stays one; what it names gets the block."""
        real = put(home / "shared" / "rules.md", b"Mine.\n")
        link = home / "kettle" / "CLAUDE.md"
        link.symlink_to(real)
        say("export", "--to", "claude-md")
        assert link.is_symlink()
        assert b"selfdistill:begin" in real.read_bytes()

    def test_nothing_without_a_clear_block(self, home: Path, say: Say) -> None:
        """Half a block is an error with lines to look at, and the file stays; --dry-run writes nothing either."""
        path = put(home / "kettle" / "AGENTS.md", b"a\n<!-- selfdistill:begin -->\n")
        assert "at lines 2" in say("export", "--to", "agents-md", code=64)
        assert path.read_bytes() == b"a\n<!-- selfdistill:begin -->\n"
        path.write_bytes(b"a\n")
        shown = say("export", "--to", "agents-md", "--dry-run")
        assert "+- `gh pr diff" in shown
        assert path.read_bytes() == b"a\n"

    def test_what_may_not_be_told(self, home: Path, say: Say) -> None:
        """A rejected lesson leaves the block, and with its last lesson the block leaves the file."""
        path = put(home / "kettle" / "AGENTS.md", b"Mine.\n")
        say("export", "--to", "agents-md")
        for name in lessons(say):
            say("lessons", "reject", name)
        assert "no lesson may be told" in say("export", "--to", "agents-md")
        assert path.read_bytes() == b"Mine.\n"

    def test_opposites_are_not_told(self, home: Path, say: Say) -> None:
        """Of two active lessons that say the opposite neither is told."""
        kettle = str(home / "kettle")
        for number, (use, over) in enumerate([("pnpm", "npm"), ("npm", "pnpm")]):
            story = Claude(f"7{number}", cwd=kettle).say("Install it.").sh(f"{over} install")
            story.say(f"no, use {use} instead of {over}").sh(f"{use} install").answer("Done.").write(home)
        distil(home, state_of(home))
        both = [one["id"] for one in lessons(say).values() if one.get("prefers")]
        assert len(both) == 2
        say("lessons", "approve", *both)
        say("export", "--to", "agents-md")
        assert b"pnpm" not in (home / "kettle" / "AGENTS.md").read_bytes()
        say("lessons", "reject", both[0])
        say("export", "--to", "agents-md")
        assert b"pnpm" in (home / "kettle" / "AGENTS.md").read_bytes()

    def test_usage(self, say: Say) -> None:
        """What makes no sense exits 64 with advice, and nothing is written."""
        for words in (
            ["--to", "agents-md", "--all"],
            ["--to", "claude-md", "--state", "pending"],
            ["--to", "json", "--remove"],
            ["--to", "json", "--limit", "0"],
            ["--to", "agents-md", "--project", "nowhere"],
        ):
            say("export", *words, code=64)
        assert [one.name for one in Path.cwd().iterdir()] == [".git"]


class TestExchange:
    """JSON and JSONL, from store to store."""

    @pytest.fixture
    def away(self, tmp_path: Path) -> Path:
        """Another user without any lessons."""
        other = tmp_path / "other"
        other.mkdir()
        return other

    @pytest.mark.parametrize("form", ["json", "jsonl"])
    def test_round_trip(self, home: Path, away: Path, say: Say, form: str) -> None:
        """What comes back has id, words, evidence and origin of what went, waits, and goes on unchanged."""
        file = home / f"lessons.{form}"
        assert "2 lessons" in say("export", "--to", form, "--state", "any", "--output", file)
        assert file.stat().st_mode & 0o777 == 0o600
        assert "2 lessons taken in" in say("lessons", "import", file, user=away)
        mine, theirs = lessons(say), lessons(say, user=away)
        assert mine.keys() == theirs.keys()
        for name, one in theirs.items():
            assert (one["state"], one["distiller"]) == ("pending", "import")
            for field in ("trigger", "action", "project", "merge_key", "support", "confidence", "first_seen", "covers"):
                assert one.get(field) == mine[name].get(field), field
            here, there = (
                json.loads(say("lessons", "show", name, "--json", user=user))["evidence"] for user in (home, away)
            )
            assert [row | {"log": f"import:{row['log']}"} for row in here] == there
        again = json.loads(say("export", "--to", "json", "--state", "any", user=away))
        assert [one["evidence"] for one in sorted(again["lessons"], key=lambda one: str(one["lesson"]["id"]))] == [
            one["evidence"]
            for one in sorted(
                json.loads(say("export", "--to", "json", "--state", "any"))["lessons"],
                key=lambda one: str(one["lesson"]["id"]),
            )
        ]
        before = say("lessons", "list", "--all", "--state", "any", "--json", user=away)
        assert "2 of them were known" in say("lessons", "import", file, user=away)
        assert say("lessons", "list", "--all", "--state", "any", "--json", user=away) == before

    def test_a_persons_word_stays(self, home: Path, away: Path, say: Say) -> None:
        """An import changes no verdict, wakes no tombstone, and adds nothing to what one's own sessions say."""
        file = home / "lessons.json"
        say("export", "--to", "json", "--state", "any", "--output", file)
        before = lessons(say)
        say("lessons", "import", file)
        assert lessons(say) == before
        say("lessons", "import", file, user=away)
        name = next(iter(before))
        say("lessons", "reject", name, user=away)
        assert "1 stay rejected" in say("lessons", "import", file, user=away)
        assert lessons(say, user=away)[name]["state"] == "rejected"

    def test_into_another_project(self, home: Path, away: Path, say: Say) -> None:
        """--project files the lessons under that project, as its own; --dry-run takes nothing in."""
        file = home / "lessons.jsonl"
        say("export", "--to", "jsonl", "--output", file)
        assert "can be taken in" in say("lessons", "import", file, "--dry-run", user=away)
        assert lessons(say, user=away) == {}
        say("lessons", "import", file, "--project", home / "teapot", user=away)
        (one,) = lessons(say, user=away).values()
        assert one["project"] == str(home / "teapot")

    def test_an_edited_wording_travels(self, home: Path, away: Path, say: Say) -> None:
        """Whoever worded a lesson anew exports that wording."""
        (name,) = (one["id"] for one in lessons(say).values() if one["state"] == "active")
        say("lessons", "edit", name, "--action", "Look twice.")
        file = home / "lessons.json"
        say("export", "--to", "json", "--output", file)
        say("lessons", "import", file, user=away)
        assert lessons(say, user=away)[name]["action"]["description"] == "Look twice."

    def test_hostile_lessons_are_counted(self, home: Path, away: Path, say: Say) -> None:
        """Each lesson that cannot be trusted in form is refused with its reason; the others are taken in."""
        whole = json.loads(say("export", "--to", "json", "--state", "any"))
        good = whole["lessons"][0]

        def changed(**paths: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
            copy: dict[str, Any] = json.loads(json.dumps(good))
            for path, value in paths.items():
                place: Any = copy
                *way, last = path.split("__")
                for step in way:
                    place = place[int(step) if step.isdigit() else step]
                place[int(last) if last.isdigit() else last] = value
            return copy

        hostile = {
            "control characters": [
                changed(lesson__action__description="rm \x1b[2J"),
                changed(lesson__trigger__condition="a\u202eb"),
                changed(lesson__tags=["\x00"]),
            ],
            "wrong shape": [
                changed(lesson__support="many"),
                changed(lesson__signal="odd"),
                changed(evidence="none"),
                changed(evidence__0__seen__0__times=[]),
                {"format": "selfdistill-lessons", "version": 1},
            ],
            "its id is not its own": [changed(lesson__merge_key="another"), changed(lesson__id="0" * 16)],
            "too long": [
                changed(lesson__action__description="x" * 5000),
                changed(evidence__0__records__0__quote="x" * 5000),
                changed(lesson__model="x" * 5000),
            ],
            "without evidence": [changed(evidence=[]), changed(evidence__0__records=[], evidence__0__seen=[])],
            "impossible figures": [
                changed(evidence__0__strength=7),
                changed(evidence__0__needs=-1),
                changed(evidence__0__seen__0__spans__0=[-5, 1 << 65]),
                changed(evidence__0__version=-1),
                changed(evidence__0__distiller="import"),
            ],
            "rejected where it comes from": [changed(lesson__state="rejected")],
            "it says nothing": [changed(lesson__action__description=" ")],
            "another version": [changed(version=2)],
        }
        lines = [json.dumps(good).encode(), b"not JSON", b"[" * 100_000]
        lines.append(json.dumps(changed(evidence__0__strength=1e999)).encode())
        lines += [json.dumps(one).encode() for group in hostile.values() for one in group]
        told = say("lessons", "import", put(home / "odd.jsonl", b"\n".join(lines)), user=away)
        counts = told.splitlines()[0].partition("refused: ")[2].split(", ")
        refused = {reason: int(count) for count, reason in (part.split(" ", 1) for part in counts)}
        assert refused == {"no JSON": 3} | {reason: len(group) for reason, group in hostile.items()}
        assert list(lessons(say, user=away)) == [good["lesson"]["id"]]
        nothing = put(home / "nothing.json", json.dumps({**whole, "lessons": hostile["too long"]}).encode())
        assert "No lesson of" in say("lessons", "import", nothing, code=64)

    def test_what_is_no_export(self, home: Path, say: Say) -> None:
        """A file that is none of ours, damaged, newer or huge exits 64 and says so; nothing changes."""
        before = lessons(say)
        for content, says in (
            (b"", "no export"),
            (b"hello", "no export"),
            (b"[]", "no export"),
            (b'{"format": "other", "version": 1}', "no export"),
            (b'{"format": "selfdistill-lessons", "version": 99, "lessons": []}', "Update"),
            (b'{"format": "selfdistill-lessons", "version": "x"}', "no export"),
            (b'{"format": "selfdistill-lessons", "version": 1, "lessons": 7}', "no export"),
            (b'{"format": "selfdistill-lessons", "version": 1, "lessons": [' + b"1," * 10_001 + b"1]}", "Split it"),
            (b"\xff\xfe\x00", "no export"),
        ):
            assert says in say("lessons", "import", put(home / "odd.json", content), code=64), content[:60]
        assert lessons(say) == before

    def test_files_that_cannot_be_read(self, home: Path, say: Say) -> None:
        """No file, a directory, a FIFO and a file larger than memory are errors with advice, not hangs."""
        huge, fifo = home / "huge.json", home / "fifo"
        with huge.open("wb") as file:
            file.truncate(1 << 40)
        os.mkfifo(fifo)
        for path in (home / "nowhere.json", home, huge, fifo):
            say("lessons", "import", path, code=64)

    def test_secrets_stay_out(self, home: Path, away: Path, say: Say) -> None:
        """A secret in a foreign file is redacted before anything is stored."""
        secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
        whole = json.loads(say("export", "--to", "json"))
        whole["lessons"][0]["lesson"]["action"]["description"] = f"Use {secret} there."
        whole["lessons"][0]["evidence"][0]["records"][0]["quote"] = f"token {secret}"
        say("lessons", "import", put(home / "l.json", json.dumps(whole).encode()), user=away)
        for file in state_of(away).iterdir():
            assert secret.encode() not in (file.read_bytes() if file.is_file() else b"")

    def test_for_people(self, say: Say) -> None:
        """Markdown goes to the terminal, with what is told and why."""
        shown = say("export", "--to", "markdown", "--state", "any")
        assert "## `gh pr diff <n> --stat` fails" in shown
        assert "*pending ·" in shown

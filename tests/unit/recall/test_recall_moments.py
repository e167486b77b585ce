"""Marks: what a moment is told by, made with the standard library alone and in step with the package's own words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfdistill.recall.moments import check_of, command_marks, fit_of, general_path, moment, simple_commands
from selfdistill.signals.causes import general_path as path_of_causes
from selfdistill.signals.commands import is_check_command
from selfdistill.signals.invocations import invocations

COMMANDS = (
    "gh pr diff 12 --stat",
    "cd /srv/kettle && go test ./... -run TestBoil 2>&1 | tail -3",
    "git -C /srv/kettle log --oneline",
    "time FOO=1 timeout 60 uv run pytest -q tests/test_boil.py::test_cold",
    "npm --prefix web run build; npm ci",
    "make -C stove lint-all",
    "mise run test:ci",
    'gh api "repos/m/k?page=2" --jq ".[] | .id"',
    "gh api repos/m/k?page=2",
    "cat <<'EOF' > notes.md\nrm -rf everything\npytest\nEOF\nls -la",
    "cargo check --all; cargo test",
    "ruff format . && ruff check .",
    "python -m unittest discover",
    "docker compose up -d",
    "golangci-lint run --fix",
    "bash scripts/test_boil.sh",
    "for f in *.py; do black $f; done",
    "echo pytest; git commit -m 'fix lint'",
    "pytest --version",
    "make",
    "go install ./cmd/kettle",
    "terraform plan -out x",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_marks_of_a_command_hold_what_lessons_are_about(command: str) -> None:
    """A command's key and program, by which causes name it, are among its marks; the kind of check is the same."""
    marks = command_marks(command)
    keys = {f"run:{key}" for one in invocations(command) for key in (one.key, one.program)}
    assert keys <= marks
    check = is_check_command(command)
    assert {mark for mark in marks if mark.startswith("check:")} == ({f"check:{check}"} if check else set())


@given(
    st.lists(st.sampled_from(["/", "/home/noa/", "/tmp/", "~", "..", ".", "src/", "12", "deadbeef12", "a.py", '"'])),  # noqa: S108
    st.sampled_from(["", "/home/noa", "/home/noa/src/"]),
)
def test_paths_are_generalised_as_in_causes(parts: list[str], cwd: str) -> None:
    """A path that a lesson names and the same path in a call are one mark, wherever the checkout is."""
    path = "".join(parts)
    assert general_path(path, cwd) == path_of_causes(path, cwd)


@given(st.text(alphabet=" \t\n\"'\\|&;()<>#$`-=abEOF", max_size=80))
def test_any_shell_text_has_marks(text: str) -> None:
    """Taking a line apart never raises, and no command is without a word."""
    assert all(simple_commands(text))
    moment(kind="shell", command=text, request=text, error=text)


def test_a_call_is_told_by_tool_file_and_what_is_written() -> None:
    """An edit has the ending of its file and the names that it writes, by their parts, too."""
    marks = moment(kind="edit", tool="Edit", path="/w/kettle/boil.go", cwd="/w", written="x := os.exec.Command()").marks
    expected = {"kind:edit", "tool:Edit", "path:kettle/boil.go", "edits:.go", "writes:exec.Command", "writes:Command"}
    assert expected <= marks
    assert "writes:exec.CommandContext" not in marks


def test_flags_and_open_letters_belong_to_their_command() -> None:
    """`-A` of one command is no `-A` of another; what stands in quotes is not expanded by the shell."""
    marks = command_marks("ls -lA && cat x | gh api a?b 'c*d'")
    assert {"run:ls -l", "run:ls -A", "run:gh api ?"} <= marks
    assert marks.isdisjoint({"run:cat -A", "run:gh api *"})


def test_a_request_is_told_by_code_and_errors_in_it() -> None:
    """A pasted error has the marks of an error, a quoted command those of a command; plain words have neither."""
    now = moment(request="why does `gh pr diff --stat` say\nunknown FLAG: --stat")
    assert {"run:gh pr diff", "word:stat", "error:unknown"} <= now.marks
    assert "unknown flag: --stat" in now.error
    assert "run:boil" not in moment(request="boil the kettle").marks


@pytest.mark.parametrize(
    ("needs", "fit"),
    [
        ((), 0.8),
        (("word:stat",), 0.8),
        (("word:stat", "word:web"), 0.0),
        (("!word:web",), 0.8),
        (("!word:stat",), 0.0),
        (("~stationary",), 0.0),
        (("~TestBoilsCold",), 0.8),
        (("%lid is open",), 0.8),
        (("%lid is shut",), 0.0),
        (("&skill:brew",), 0.8),
        (("+word:stat", "+word:web"), 0.55),
        (("+word:web",), 0.0),
        (("+word:stat", "%lid is shut"), 0.0),
    ],
)
def test_a_cue_fits_where_its_needs_are_met(needs: tuple[str, ...], fit: float) -> None:
    """Marks, absent marks, beginnings, texts of the error and of the input; wishes make it fit better."""
    now = moment(kind="shell", command="gh pr diff --stat -k TestBoils", error="The LID  is open", text="Skill:Brew")
    assert fit_of(needs, 0.8, now) == pytest.approx(fit)


def test_a_check_is_told_by_the_program_that_is_launched() -> None:
    """Launchers and task runners are seen through; printing about a check is none."""
    assert check_of(["uv", "run", "pytest"]) == "test"
    assert check_of(["npx", "eslint", "."]) == "lint"
    assert check_of(["echo", "pytest"]) == ""

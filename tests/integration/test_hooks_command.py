"""`selfdistill hooks`: installing, looking and taking out, by the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from selfdistill.cli.main import main
from selfdistill.recall.answering import TROUBLES

SETTINGS = b'{\n  // mine\n  "model": "opus"\n}\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with Claude Code and Codex, standing in a repository."""
    for name in list(os.environ):
        if name.startswith(("XDG_", "CLAUDE_", "CODEX_", "COPILOT_", "SELFDISTILL_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    for directory in (".claude", ".codex", "kettle/.git", "kettle/web"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / ".claude" / "settings.json").write_bytes(SETTINGS)
    monkeypatch.chdir(tmp_path / "kettle" / "web")
    return tmp_path


@pytest.fixture(autouse=True)
def _same_mask() -> object:
    mask = os.umask(0o022)
    yield
    os.umask(mask)


def files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_installing_by_default_means_the_agents_that_are_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Agents without a directory are left alone; status says so, and uninstalling leaves the home as it was."""
    before = files(home)
    assert main(["hooks", "install"]) == 0
    printed = capsys.readouterr().out
    assert "Claude Code: installed in" in printed
    assert "/hooks in Codex" in printed  # nothing runs there before it is trusted
    assert not (home / ".gemini").exists()
    assert main(["hooks", "status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    standings = {one["agent"]: (one["standing"], one["present"]) for one in told["hooks"]}
    assert standings["claude_code"] == standings["codex"] == ("installed", True)
    assert standings["gemini_cli"] == ("not installed", False)
    assert main(["hooks", "uninstall"]) == 0
    assert (home / ".claude" / "settings.json").read_bytes() == SETTINGS
    assert files(home) == before
    assert main(["hooks", "uninstall"]) == 0
    assert "no hooks of ours" in capsys.readouterr().out


def test_a_dry_run_shows_the_difference_and_writes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What would be written is on the screen; not even our state directory is made."""
    before = files(home)
    assert main(["hooks", "install", "--dry-run", "--agent", "claude_code"]) == 0
    printed = capsys.readouterr().out
    assert '+  "hooks": {' in printed.replace("  +", "+")
    assert "PreToolUse" in printed
    assert files(home) == before
    assert not (home / ".local").exists()


def test_a_project_gets_hooks_only_when_asked(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--project` writes settings.local.json at the top of the working tree, and takes it away again."""
    local = home / "kettle" / ".claude" / "settings.local.json"
    assert main(["hooks", "install", "--project"]) == 0
    assert "PreToolUse" in json.loads(local.read_bytes())["hooks"]
    assert (home / ".claude" / "settings.json").read_bytes() == SETTINGS
    assert main(["hooks", "status", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert [one["standing"] for one in told["hooks"] if one["path"] == str(local)] == ["installed"]
    assert main(["hooks", "uninstall", "--project"]) == 0
    assert not local.parent.exists()


def test_other_agents_have_no_private_file_in_a_project(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What git would share is never written: the error says where the hooks would go instead."""
    assert main(["hooks", "install", "--project", "--agent", "codex"]) == 64
    assert str(home / ".codex" / "hooks.json") in capsys.readouterr().err
    assert not (home / "kettle" / ".codex").exists()


def test_one_broken_file_keeps_all_others_untouched(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All edits are planned before the first is made: a broken file exits 78 and nothing has changed anywhere."""
    (home / ".codex" / "hooks.json").write_text("{ nonsense")
    before = files(home)
    assert main(["hooks", "install"]) == 78
    assert "hooks.json" in capsys.readouterr().err
    assert files(home) == before
    assert (home / ".claude" / "settings.json").read_bytes() == SETTINGS


def test_without_any_agent_there_is_nothing_to_install(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty home is told so, with the names that may be given."""
    monkeypatch.setenv("HOME", str(home / "kettle"))
    assert main(["hooks", "install"]) == 64
    assert "--agent" in capsys.readouterr().err


def test_what_the_hooks_could_not_do_is_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hooks are silent; the status is not. A hook that does nothing makes the exit code 1."""
    assert main(["hooks", "install"]) == 0
    state = home / ".local" / "state" / "selfdistill"
    (state / TROUBLES).write_text("1795000000 claude_code PreToolUse out of time\n")
    capsys.readouterr()
    assert main(["hooks", "status"]) == 0
    assert "1 times a hook could not answer" in capsys.readouterr().out
    settings = home / ".claude" / "settings.json"
    settings.write_text(settings.read_text().replace("hook_start.py", "gone/selfdistill/recall/hook_start.py"))
    assert main(["hooks", "status"]) == 1
    printed = capsys.readouterr().out
    assert "path gone" in printed
    assert "selfdistill hooks install" in printed

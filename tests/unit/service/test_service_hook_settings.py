"""Our hooks in agents' settings files: in, again, out, and how they stand."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from selfdistill.errors import ConfigError, PermissionProblem, UsageError
from selfdistill.recall.answering import DIALECTS
from selfdistill.service.hook_agents import HOOK_AGENTS, HookAgent, command_line, wanted
from selfdistill.service.hook_overview import overview, targets
from selfdistill.service.hook_settings import (
    Standing,
    apply_install,
    apply_uninstall,
    hook_status,
    plan_install,
    plan_uninstall,
)

CLAUDE = HOOK_AGENTS[0]
BY_NAME = {agent.name: agent for agent in HOOK_AGENTS}
ALL = pytest.mark.parametrize("agent", HOOK_AGENTS, ids=lambda agent: agent.name)
THEIRS = {"matcher": "Bash", "hooks": [{"type": "command", "command": "theirs.sh"}]}
TEXTS = {
    "comments": b'{\n    // mine\n    "model": "opus", /* best */\n    "hooks": {\n        "Stop": []\n    }\n}\n',
    "windows": b'{\r\n  "model": "opus"\r\n}\r\n',
    "no last newline": b'{\n\t"model": "opus"\n}',
    "mark": b'\xef\xbb\xbf{"model": "opus"}\n',
    "empty object": b"{}",
    "empty hooks": b'{"hooks": {}}',
    "empty file": b"",
    "theirs": json.dumps({"hooks": {"PreToolUse": [THEIRS]}}, indent=4).encode(),
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A prepared state directory."""
    (tmp_path / "state").mkdir(mode=0o700)
    return tmp_path / "state"


def install(agent: HookAgent, path: Path, state: Path) -> None:
    apply_install(plan_install(agent, path, state), state)


def uninstall(agent: HookAgent, path: Path, state: Path) -> None:
    apply_uninstall(plan_uninstall(agent, path, state), state)


def standing(agent: HookAgent, path: Path, state: Path) -> Standing:
    return hook_status(agent, path, state).standing


def written(path: Path, before: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(before)
    return path


@pytest.mark.parametrize("before", TEXTS.values(), ids=TEXTS.keys())
def test_installing_twice_and_uninstalling_restores_the_exact_bytes(tmp_path: Path, state: Path, before: bytes) -> None:
    """Twice gives the same bytes as once, and after uninstalling the file is what it was."""
    path = written(tmp_path / "settings.json", before)
    install(CLAUDE, path, state)
    once = path.read_bytes()
    assert standing(CLAUDE, path, state) is Standing.INSTALLED
    install(CLAUDE, path, state)
    assert path.read_bytes() == once != before
    uninstall(CLAUDE, path, state)
    assert path.read_bytes() == before
    assert standing(CLAUDE, path, state) is Standing.ABSENT
    assert list((state / "hooks").iterdir()) == []


@ALL
def test_a_file_that_was_not_there_is_gone_again(tmp_path: Path, state: Path, agent: HookAgent) -> None:
    """For every agent: a file that we made, and the directory that we made for it, do not stay behind."""
    path = tmp_path / "home" / agent.file
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    install(agent, path, state)
    assert set(json.loads(path.read_bytes())["hooks"]) == set(DIALECTS[agent.name])
    assert standing(agent, path, state) is Standing.INSTALLED
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    install(agent, path, state)  # nothing new: the receipt still says that there was no file
    uninstall(agent, path, state)
    assert not path.exists()
    if agent.own_file:
        assert not path.parent.exists()


@ALL
def test_entries_have_the_shape_that_the_agent_documents(agent: HookAgent) -> None:
    """A group of hooks with a type for most, a flat entry for Cursor and Copilot; a timeout in the agent's unit."""
    for event, entry in wanted(agent, Path("/state")).items():
        hook = entry["hooks"][0] if agent.grouped else entry
        assert f" {event} {agent.name} /state " in hook[{"copilot": "bash"}.get(agent.name, "command")]
        assert hook.get("type") == (None if agent.name == "cursor" else "command")
        seconds = {"gemini_cli": 5000, "qwen_code": 5000}.get(agent.name, 5)
        assert hook["timeoutSec" if agent.name == "copilot" else "timeout"] == seconds


def test_no_agent_is_asked_to_decide() -> None:
    """Events whose answer would have to allow or deny a call are not installed."""
    assert "PreToolUse" not in DIALECTS["qwen_code"]
    assert "preToolUse" not in DIALECTS["cursor"]
    assert "PreToolUse" not in DIALECTS["copilot"]  # where a hook that cannot be started denies the call
    assert "BeforeTool" not in DIALECTS["gemini_cli"]


def test_what_others_have_changed_since_stays(tmp_path: Path, state: Path) -> None:
    """Uninstalling takes out our entries only, also from a file that was rewritten with another indentation."""
    path = written(tmp_path / "settings.json", TEXTS["comments"])
    install(CLAUDE, path, state)
    changed = json.loads(path.read_text().replace("// mine", "").replace("/* best */", ""))
    changed["theme"] = "dark"
    changed["hooks"]["PreToolUse"][0]["hooks"].append({"type": "command", "command": "theirs.sh"})
    changed["hooks"]["SessionEnd"].insert(0, THEIRS)
    path.write_text(json.dumps(changed, indent=1))
    uninstall(CLAUDE, path, state)
    left = {"PreToolUse": [{"hooks": [{"type": "command", "command": "theirs.sh"}]}], "SessionEnd": [THEIRS]}
    assert path.read_text() == json.dumps({"model": "opus", "hooks": {"Stop": [], **left}, "theme": "dark"}, indent=1)


def test_uninstalling_needs_no_receipt(tmp_path: Path, state: Path) -> None:
    """With our state directory lost the hooks are found by what they start."""
    path = written(tmp_path / "settings.json", b'{\n  "model": "opus"\n}\n')
    install(CLAUDE, path, state)
    for file in (state / "hooks").iterdir():
        file.unlink()
    uninstall(CLAUDE, path, state)
    assert path.read_bytes() == b'{\n  "model": "opus"\n}\n'


def test_uninstalling_what_is_not_there_changes_nothing(tmp_path: Path, state: Path) -> None:
    """No file, or one without our hooks: not a byte, not a time."""
    path = written(tmp_path / "settings.json", TEXTS["theirs"])
    before = path.stat()
    assert not plan_uninstall(CLAUDE, path, state).changes
    assert not plan_uninstall(CLAUDE, tmp_path / "none.json", state).changes
    uninstall(CLAUDE, path, state)
    uninstall(CLAUDE, tmp_path / "none.json", state)
    assert path.stat() == before


def test_another_version_is_replaced_and_still_restored(tmp_path: Path, state: Path) -> None:
    """Hooks of another place are told as such; installing again puts the new in their place, once."""
    before = TEXTS["comments"]
    path = written(tmp_path / "settings.json", before)
    install(CLAUDE, path, state)
    other = path.read_text().replace(sys.executable, "/usr/bin/env")
    path.write_text(other)
    assert standing(CLAUDE, path, state) is Standing.OTHER
    install(CLAUDE, path, state)
    assert standing(CLAUDE, path, state) is Standing.INSTALLED
    assert path.read_text().count("PreToolUse claude_code") == 1
    uninstall(CLAUDE, path, state)
    assert json.loads(path.read_bytes().replace(b"// mine", b"").replace(b"/* best */", b"")) == {
        "model": "opus",
        "hooks": {"Stop": []},
    }


def test_an_update_of_what_nobody_touched_is_still_restored_exactly(tmp_path: Path, state: Path) -> None:
    """Installed, updated to another state directory, taken out: the exact bytes of before the first."""
    path = written(tmp_path / "settings.json", TEXTS["empty hooks"])
    install(CLAUDE, path, state)
    (state / "hooks").rename(tmp_path / "hooks")
    (tmp_path / "new").mkdir()
    (tmp_path / "hooks").rename(tmp_path / "new" / "hooks")
    assert standing(CLAUDE, path, tmp_path / "new") is Standing.OTHER
    install(CLAUDE, path, tmp_path / "new")
    uninstall(CLAUDE, path, tmp_path / "new")
    assert path.read_bytes() == TEXTS["empty hooks"]


def test_a_path_that_is_gone_is_told(tmp_path: Path, state: Path) -> None:
    """After an environment was deleted the hooks do nothing: the status says so, and what to do."""
    path = tmp_path / "settings.json"
    install(CLAUDE, path, state)
    path.write_text(path.read_text().replace(sys.executable, "/gone/bin/python"))
    found = hook_status(CLAUDE, path, state)
    assert found.standing is Standing.GONE
    assert "/gone/bin/python" in found.reason
    assert "hooks install" in found.advice


def test_a_command_whose_script_is_gone_blocks_nobody() -> None:
    """Python exits with 2 for a script that is gone, which would block each call and prompt: our line exits with 0."""
    line = command_line("claude_code", "PreToolUse", Path("/a b"), sys.executable, Path("/gone/x/hook_start.py"))
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    gone = subprocess.run(shlex.split(line.partition(" 2>")[0]), capture_output=True, check=False)
    assert gone.returncode == 2


@pytest.mark.parametrize(
    "broken",
    [b'{"a": 1', b"[]", b'{"hooks": []}', b'{"hooks": {"Stop": {}}}', b"\xff\xfe{\x00}\x00", b'{"a": 1}}', b"nonsense"],
)
def test_a_broken_settings_file_is_left_alone(tmp_path: Path, state: Path, broken: bytes) -> None:
    """What cannot be understood is an error that names the file, and nothing is written anywhere."""
    path = written(tmp_path / "settings.json", broken)
    for plan in (plan_install, plan_uninstall):
        with pytest.raises(ConfigError, match=r"settings\.json") as caught:
            plan(CLAUDE, path, state)
        assert "Nothing was changed" in caught.value.advice
    found = hook_status(CLAUDE, path, state)
    assert found.standing is Standing.UNREADABLE
    assert path.read_bytes() == broken
    assert list(state.iterdir()) == []


def test_a_symbolic_link_stays_one(tmp_path: Path, state: Path) -> None:
    """Settings that are a link into a repository of dotfiles are changed there, with their mode; the link stays."""
    real = written(tmp_path / "dotfiles" / "claude.json", b"{}\n")
    real.chmod(0o640)
    path = tmp_path / "settings.json"
    path.symlink_to("dotfiles/claude.json")
    install(CLAUDE, path, state)
    assert path.readlink() == Path("dotfiles/claude.json")
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert standing(CLAUDE, real, state) is Standing.INSTALLED
    uninstall(CLAUDE, path, state)
    assert real.read_bytes() == b"{}\n"
    assert sorted(file.name for file in real.parent.iterdir()) == ["claude.json"]


def test_a_loop_of_links_is_an_error(tmp_path: Path, state: Path) -> None:
    """A link that leads nowhere is told, not followed for ever."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(PermissionProblem):
        plan_install(CLAUDE, tmp_path / "a", state)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_owner_and_group_are_kept(tmp_path: Path, state: Path) -> None:
    """A file of somebody else's, edited by root, is still theirs."""
    path = written(tmp_path / "settings.json", b"{}")
    os.chown(path, 65534, 65534)
    install(CLAUDE, path, state)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


@pytest.mark.skipif(os.geteuid() != 0, reason="drops from root to nobody; as another user run it under sudo")
def test_a_read_only_file_is_left_alone(tmp_path: Path) -> None:
    """A file that its owner has made read-only is not replaced, although its directory would allow it."""
    path = written(tmp_path / "settings.json", b"{}")
    path.chmod(0o444)
    for place in (path, tmp_path):
        os.chown(place, 65534, 65534)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.geteuid() and str(parent).startswith("/tmp/pytest"):  # noqa: S108 - pytest's own
            parent.chmod(0o755)
    state = tmp_path / "state"
    code = f"""
from pathlib import Path
from selfdistill.errors import PermissionProblem
from selfdistill.service.hook_agents import HOOK_AGENTS
from selfdistill.service.hook_settings import apply_install, plan_install
state = Path({str(state)!r}); state.mkdir()
try:
    apply_install(plan_install(HOOK_AGENTS[0], Path({str(path)!r}), state), state)
except PermissionProblem as problem:
    print(problem.message)
"""
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run([*drop, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "read-only" in done.stdout, done.stderr
    assert path.read_bytes() == b"{}"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["settings.json", "state"]


def test_a_file_that_changes_under_our_hands_is_not_overwritten(tmp_path: Path, state: Path) -> None:
    """What an agent writes between our look and our edit is not lost."""
    path = written(tmp_path / "settings.json", b"{}")
    edit = plan_install(CLAUDE, path, state)
    path.write_bytes(b'{"new": 1}')
    with pytest.raises(UsageError, match="changed by somebody else"):
        apply_install(edit, state)
    assert path.read_bytes() == b'{"new": 1}'
    assert not plan_uninstall(CLAUDE, path, state).changes


def test_switched_off_hooks_are_told(tmp_path: Path, state: Path) -> None:
    """`disableAllHooks` makes ours useless: the status names it."""
    path = written(tmp_path / "settings.json", b'{"disableAllHooks": true}')
    install(CLAUDE, path, state)
    assert "disableAllHooks" in hook_status(CLAUDE, path, state).reason


def test_agents_move_their_things_by_their_variables(tmp_path: Path, state: Path) -> None:
    """CLAUDE_CONFIG_DIR, CODEX_HOME and COPILOT_HOME are where the hooks go; all else is in the home."""
    named = {"CLAUDE_CONFIG_DIR": "/c", "CODEX_HOME": "/x", "COPILOT_HOME": "/p"}
    paths = {target.agent.name: str(target.path) for target in targets(tmp_path, named)}
    assert paths == {
        "claude_code": "/c/settings.json",
        "codex": "/x/hooks.json",
        "gemini_cli": f"{tmp_path}/.gemini/settings.json",
        "qwen_code": f"{tmp_path}/.qwen/settings.json",
        "cursor": f"{tmp_path}/.cursor/hooks.json",
        "copilot": "/p/hooks/selfdistill.json",
    }
    assert [one.standing for one in overview(tmp_path, {}, state)] == [Standing.ABSENT] * len(HOOK_AGENTS)

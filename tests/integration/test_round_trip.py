"""The whole way round with nothing replaced: a log teaches, a hook tells, the next log shows whether it helped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from homes import Home, until
from invented import Claude, repaired
from selfdistill.service.hook_agents import SCRIPT

UNKNOWN_FLAG = "unknown flag: --stat\n\nUsage: gh pr diff"


def write(home: Home, story: Claude) -> None:
    """Put a session where Claude Code keeps it."""
    (home.claude / f"{story.session}.jsonl").write_bytes(b"".join(story.lines))


def ask(home: Home, story: Claude, command: str) -> str:
    """What the hook says before this session runs a command, started as the agent's settings start it."""
    given = {
        "session_id": story.session,
        "cwd": story.cwd,
        "hook_event_name": "PreToolUse",
        "tool_name": "Bash",
        "tool_input": {"command": command},
    }
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), "PreToolUse", "claude_code", str(home.state)],
        input=json.dumps(given).encode(),
        capture_output=True,
        check=True,
        timeout=20,
        env={},
    )
    return done.stdout.decode()


def lesson(home: Home) -> dict[str, Any]:
    """The lesson about the unknown option, as the command line tells it."""
    (found,) = [one for one in home.lessons() if "--name-only" in one["action"]["description"] and one["covers"]]
    return found


def heeded(story: Claude) -> None:
    """The next session does what it was told."""
    story.sh("gh pr diff 40 --name-only", "web/timer.ts").answer("One file.")


def ignored(story: Claude) -> None:
    """The next session makes the mistake all the same, after another call."""
    story.sh("ls", "web").sh("gh pr diff 40 --stat", UNKNOWN_FLAG, error=True).answer("I could not find out.")


def elsewhere(story: Claude) -> None:
    """The next session does other things, one of which fails for a reason of its own."""
    story.sh("cat web/none.ts", "cat: web/none.ts: No such file or directory", error=True).answer("It is gone.")


def told_and_gone_on(home: Home, seed: str, goes: Callable[[Claude], None]) -> dict[str, int]:
    """A new session is about to make the mistake, is told, and goes on; what the status then says of telling."""
    before = home.status()
    story = Claude(seed, begins=time.time() + 1).say("What is in PR 40?")
    assert "--name-only" in ask(home, story, "gh pr diff 40 --stat")
    assert ask(home, story, "gh pr diff 40 --stat") == "", "once a session is enough"
    goes(story)
    write(home, story)
    until(lambda: home.status()["total_sessions"] > before["total_sessions"], f"session {seed}")
    until(lambda: home.status()["recall"]["deliveries"] > before["recall"]["deliveries"], f"its delivery {seed}")
    assert ask(home, story, "gh pr diff 41 --stat") == "", "the store remembers what the spool no longer tells"
    recall = home.status()["recall"]
    return {name: recall[name] for name in ("deliveries", "helped", "recurred")}


def test_a_lesson_comes_back_and_is_judged_by_what_follows(tmp_path: Path) -> None:
    """What failed and was repaired is told before it is done again; the next logs show whether that helped."""
    home = Home(tmp_path)
    with home.daemon():
        write(home, repaired("1"))
        until(lambda: home.status().get("total_lessons"), "lessons")
        assert told_and_gone_on(home, "2", heeded) == {"deliveries": 1, "helped": 1, "recurred": 0}
        assert told_and_gone_on(home, "3", ignored) == {"deliveries": 2, "helped": 1, "recurred": 1}
        assert told_and_gone_on(home, "4", elsewhere) == {"deliveries": 3, "helped": 1, "recurred": 1}
        learned = lesson(home)
        assert (learned["helped"], learned["recurred_told"], learned["recurred"]) == (1, 1, 1)
        assert "1 helped, 1 failed all the same, 1 cannot be told" in home.command("lessons", "stats")
        told = json.loads(home.command("lessons", "stats", "--json"))
        assert told["standings"] == {"unproven": 1, "helping": 0, "not helping": 0}
        assert not list((home.state / "spool").iterdir())

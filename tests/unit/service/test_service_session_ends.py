"""What an agent's hook leaves in `hints/` when a session is over."""

from __future__ import annotations

from pathlib import Path

from selfdistill.recall.answering import quoted
from selfdistill.service.session_ends import REMEMBERED_SECONDS, SessionEnds

SESSION = "0f3c1d52-77aa-4b1e-9a50-0c2f6f1f7d11"
LOG = Path(f"/home/mara/.claude/projects/kettle/{SESSION}.jsonl")
SUBAGENT = Path(f"/home/mara/.claude/projects/kettle/{SESSION}/subagents/agent-1.jsonl")
ROLLOUT = Path(f"/home/mara/.codex/sessions/2026/11/14/rollout-2026-11-14T10-00-00-{SESSION}.jsonl")
OTHER = Path("/home/mara/.claude/projects/kettle/9e107d9d-372b-4b6b-8a1c-5c1e0f3c1d52.jsonl")


def test_a_hint_names_a_session_and_is_gone(tmp_path: Path) -> None:
    """The logs of the session are known by it, wherever its agent keeps them; the file is deleted."""
    (tmp_path / quoted(SESSION)).touch()
    ends = SessionEnds(tmp_path)
    assert ends.take(0.0)
    assert [ends.cover(path) for path in (LOG, SUBAGENT, ROLLOUT, OTHER)] == [True, True, True, False]
    assert list(tmp_path.iterdir()) == []
    assert not ends.take(1.0)


def test_an_end_is_remembered_for_a_while(tmp_path: Path) -> None:
    """An agent may write its last records after its hook ran; a session that goes on later is no ended one."""
    (tmp_path / quoted(SESSION)).touch()
    ends = SessionEnds(tmp_path)
    ends.take(100.0)
    ends.take(100.0 + REMEMBERED_SECONDS - 1)
    assert ends.cover(LOG)
    ends.take(100.0 + REMEMBERED_SECONDS)
    assert not ends.cover(LOG)


def test_names_are_read_back_as_the_hook_wrote_them(tmp_path: Path) -> None:
    """A session's id may hold anything; one that is too short to tell logs apart ends nothing."""
    for session in ("sitzung 42 ü%", "a"):
        (tmp_path / quoted(session)).touch()
    ends = SessionEnds(tmp_path)
    assert ends.take(0.0)
    assert ends.cover(Path("/logs/sitzung 42 ü%.jsonl"))
    assert not ends.cover(Path("/a/a.jsonl"))
    assert list(tmp_path.iterdir()) == []


def test_the_canary_and_half_a_hint_stay(tmp_path: Path) -> None:
    """What is not ours to take in is left; a directory that somebody has deleted is no error."""
    (tmp_path / ".canary").touch()
    assert not SessionEnds(tmp_path).take(0.0)
    assert (tmp_path / ".canary").exists()
    assert not SessionEnds(tmp_path / "none").take(0.0)

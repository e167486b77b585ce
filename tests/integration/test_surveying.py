"""What the survey makes of logs that move: real files, a real store."""

from __future__ import annotations

from pathlib import Path

import zstandard

from homes import ROLLOUT, SESSIONS, Home
from selfdistill.model import Cursor
from selfdistill.service.assembly import Assembly
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection


def cursor_at(made: Assembly, path: Path) -> Cursor | None:
    """The heuristic cursor of the log at a path."""
    log = made.store.log_at(path)
    return made.store.cursor(log.id, "heuristic") if log else None


def test_a_name_met_while_its_file_is_still_empty_is_the_moved_log(tmp_path: Path) -> None:
    """A rollout that is being compressed is met empty, then full: it keeps its cursor, and nothing is read again."""
    home = Home(tmp_path)
    home.fill()
    old, new = home.codex / ROLLOUT, home.archive / f"{ROLLOUT}.zst"
    with home.assembly() as made:
        one_pass(made, Selection(limit=0))
        before = cursor_at(made, old)
        assert before is not None
        old.unlink()
        new.touch()
        made.survey.look([new])
        new.write_bytes(zstandard.compress(SESSIONS[ROLLOUT]))
        made.survey.look([new])
        assert cursor_at(made, new) == before
        assert made.store.log_at(old) is None

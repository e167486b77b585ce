"""`retry`: what was set aside is lifted, said by name, and found by what a person types."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from homes import CLAUDE, Home
from selfdistill import logs
from selfdistill.cli.main import main
from selfdistill.model import Skip
from selfdistill.service.worker import Worker


class Shelf:
    """A home whose first two sessions are quarantined after failures."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = Home(path)
        self.home.fill()
        with self.home.assembly() as assembly:
            assembly.survey.full_pass()
            store = assembly.store
            self.sessions = [name.removesuffix(".jsonl") for name in CLAUDE]
            for name in CLAUDE[:2]:
                log = store.log_at(self.home.claude / name)
                assert log is not None
                store.fail(log.id, "heuristic", "KeyError in odd.py:1", 4e9)
                store.skip(log.id, Skip.QUARANTINED, "KeyError in odd.py:1")
        monkeypatch.setenv("HOME", str(path))
        for name in ("SELFDISTILL_STATE_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
            monkeypatch.delenv(name, raising=False)

    def aside(self) -> list[str]:
        """The sessions that are still set aside."""
        with self.home.assembly() as assembly:
            assert len([log for log in assembly.store.present() if log.skip is Skip.QUARANTINED]) == len(
                assembly.store.set_aside()
            )
            return sorted(one.session for one in assembly.store.set_aside())


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Two sessions of three are set aside."""
    return Shelf(tmp_path, monkeypatch)


def test_one_session_is_lifted(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """One session, named by how its id begins, is lifted with its reason told; the other stays."""
    first, second = sorted(shelf.sessions[:2])
    assert main(["retry", first[:6]]) == 0
    said = capsys.readouterr().out
    assert f"{first}  {shelf.home.claude}" in said
    assert "failed 1 times (KeyError in odd.py:1)" in said
    assert shelf.aside() == [second]
    assert main(["retry", first]) == 0
    assert "not set aside" in capsys.readouterr().out


def test_all_are_lifted(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """--all lifts every one, and a run then distills them."""
    assert main(["retry", "--all", "--json"]) == 0
    lifted = json.loads(capsys.readouterr().out)
    assert sorted(one["session"] for one in lifted) == sorted(shelf.sessions[:2])
    assert all(one["quarantined"] and one["attempts"] == 1 for one in lifted)
    assert shelf.aside() == []
    assert main(["retry", "--all"]) == 0
    assert "Nothing is set aside" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "told"), [(lambda one: f"x{one}", "Did you mean {}?"), (lambda _: "zzzz", "status")]
)
def test_an_unknown_session_is_an_error(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], change: Callable[[str], str], told: str
) -> None:
    """What is no session is refused with those that look like it, and nothing is lifted."""
    assert main(["retry", change(shelf.sessions[2])]) == 64
    assert told.format(shelf.sessions[2]) in capsys.readouterr().err
    assert len(shelf.aside()) == 2


@pytest.mark.parametrize("words", [[], ["--all", "x"]])
def test_it_must_be_one_or_all(shelf: Shelf, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Without a session or with both, nothing is done."""
    assert main(["retry", *words]) == 64
    assert "--all" in capsys.readouterr().err
    assert len(shelf.aside()) == 2


def test_a_running_daemon_hears_of_it(shelf: Shelf) -> None:
    """What the daemon waits with is due again, once it was lifted, from the daemon's next full pass on."""
    with shelf.home.assembly() as assembly:
        waiting = {one.id for one in assembly.store.pending() if one.not_before is not None}
        worker = Worker(assembly, logs.logger("test"))
        worker._load()
        assert worker._retries.keys() == waiting
        assert len(waiting) == 2
        assembly.store.retry()
        worker._load()
        assert not worker._retries

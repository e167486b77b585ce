"""`doctor` on homes with something wrong in them: it is found, and nothing is touched."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from homes import Home
from selfdistill.cli.main import main
from selfdistill.service.checkup import CHECKS, lock_holder, refusal
from selfdistill.service.lifecycle import DaemonLock
from selfdistill.service.units import Installation, systemd_unit

NOT_OURS = ("SELFDISTILL_STATE_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME")


class Practice:
    """A home, and what the doctor says of it."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = Home(path)
        self.home.fill()
        self._capsys = capsys

    def look(self, *words: str) -> dict[str, Any]:
        """The answer as JSON; its exit code is that of the command."""
        code = main([*words, "doctor", "--json"])
        answer: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        assert code == answer["exit_code"]
        return answer

    def heard(self) -> str:
        """What was printed meanwhile."""
        return self._capsys.readouterr().out

    def trouble(self, check: str, *words: str) -> tuple[str, str, str]:
        """Level, sentence and advice of the one check that is not well."""
        found = [line for line in self.look(*words)["checks"] if line["level"] != "ok"]
        assert [line["check"] for line in found] == [check], found
        assert found[0]["advice"]
        return found[0]["level"], found[0]["what"], found[0]["advice"]


@pytest.fixture
def practice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Practice:
    """A home with logs and a store, in which all is well."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in NOT_OURS:
        monkeypatch.delenv(name, raising=False)
    made = Practice(tmp_path, capsys)
    with made.home.assembly() as assembly:
        assembly.survey.full_pass()
    return made


def test_a_healthy_home(practice: Practice, capsys: pytest.CaptureFixture[str]) -> None:
    """Each check has its line, all are ok, and no file has changed."""
    before = {path: (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in practice.home.path.rglob("*")}
    answer = practice.look()
    assert (answer["verdict"], answer["exit_code"]) == ("ok", 0), answer
    assert len(answer["checks"]) == len(CHECKS)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CHECKS)
    assert all(line.startswith("ok    ") for line in lines)
    after = {path: (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in practice.home.path.rglob("*")}
    assert after == before


def test_a_file_that_others_can_read(practice: Practice) -> None:
    """A warning, with the command that closes it."""
    (practice.home.state / "lessons.db").chmod(0o644)
    level, _, advice = practice.trouble("permissions")
    assert (level, advice) == ("warn", f"chmod 600 '{practice.home.state}/lessons.db'")


def test_a_configuration_that_cannot_be_used(practice: Practice) -> None:
    """A failure that names the key, while everything else is still looked at."""
    practice.home.config.write_text("[settling]\nsettle_second = 3\n")
    level, what, _ = practice.trouble("configuration")
    assert level == "fail"
    assert "settle_second" in what


def test_a_root_that_was_named_but_is_not_there(practice: Practice) -> None:
    """A directory of logs that the configuration names must exist."""
    practice.home.config.write_text('[sources.codex]\nroots = ["/nowhere/at/all"]\n')
    level, what, _ = practice.trouble("roots")
    assert (level, "/nowhere/at/all (codex): missing" in what) == ("fail", True)


def test_a_damaged_store(practice: Practice) -> None:
    """A page of garbage is found by a check of the whole file."""
    path = practice.home.state / "lessons.db"
    text = path.read_bytes()
    path.write_bytes(text[:8192] + b"\xa5" * 4096 + text[12288:])
    levels = {line["check"]: line["level"] for line in practice.look()["checks"]}
    assert levels["database"] == "fail"


def test_files_from_the_future(practice: Practice) -> None:
    """A status file that is newer than now tells of a clock that was set back."""
    os.utime(practice.home.state / "lessons.db", (4e9, 4e9))
    level, what, _ = practice.trouble("clock")
    assert (level, "ahead of now" in what) == ("warn", True)


def test_a_service_from_another_shell(practice: Practice, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installed service whose state or roots are not this shell's is told, each in a line of its own."""
    fake = tmp_path / "bin" / "systemctl"
    fake.parent.mkdir()
    fake.write_text(
        "#!/bin/sh\nprintf 'ActiveState=active\\nSubState=running\\nUnitFileState=enabled\\nMainPID=1\\n'\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("sys.platform", "linux")
    unit = practice.home.path / ".config/systemd/user/selfdistill.service"
    unit.parent.mkdir(parents=True)
    made = Installation(fake, practice.home.state, (), {"SELFDISTILL_STATE_DIR": str(practice.home.state)})
    unit.write_text(systemd_unit(made))
    answer = practice.look()
    assert answer["exit_code"] == 0, answer
    other = {"SELFDISTILL_STATE_DIR": "/srv/state", "CODEX_HOME": "/srv/codex"}
    unit.write_text(systemd_unit(Installation(fake, Path("/srv/state"), (), other)))
    found = [line["what"] for line in practice.look()["checks"] if line["level"] == "warn"]
    assert len(found) == 2
    assert "/srv/state" in found[0]
    assert "codex" in found[1]
    assert "claude_code" not in found[1]


def test_a_silent_holder_of_the_lock(practice: Practice) -> None:
    """Who holds the lock without a status is found without touching the lock."""
    lock = practice.home.state / "daemon.lock"
    assert lock_holder(lock) == 0
    with DaemonLock(lock):
        if not Path("/proc/locks").exists():
            pytest.skip("NOT TESTED: this kernel does not tell who holds a lock")
        level, what, _ = practice.trouble("lock")
        assert (level, f"Process {os.getpid()} " in what) == ("warn", True)


def test_the_model_is_called_and_nothing_said() -> None:
    """Reaching the model's service is a bare connection: not a byte is sent. What is closed, or not there, is told."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def listen() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(100))

        thread = threading.Thread(target=listen)
        thread.start()
        assert refusal(f"http://127.0.0.1:{port}") == ""
        thread.join(5)
    assert heard == [b""]
    assert refusal(f"http://127.0.0.1:{port}") == "Connection refused"


def test_a_name_that_is_not_answered_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolution of a name may hang for half a minute: nobody waits for it."""
    woken = threading.Event()

    def hang(*_words: object, **_more: object) -> None:
        woken.wait(5)
        raise OSError("no answer in the end")

    monkeypatch.setattr(socket, "create_connection", hang)
    assert "no answer within" in refusal("https://example.org", seconds=0.01)
    woken.set()


def test_hooks_that_start_nothing_any_more(practice: Practice) -> None:
    """Hooks in an agent's settings are told of; where what they start has gone, that is a warning with a cure."""
    settings = practice.home.path / ".claude" / "settings.json"
    assert main(["hooks", "install", "--agent", "claude_code"]) == 0
    practice.heard()
    said = [line["what"] for line in practice.look()["checks"] if line["check"] == "hooks"]
    assert said == ["Lessons are told to Claude Code."]
    settings.write_text(settings.read_text().replace("/selfdistill/recall/", "/gone/selfdistill/recall/"))
    level, what, advice = practice.trouble("hooks")
    assert level == "warn"
    assert "Claude Code" in what
    assert "hooks install" in advice

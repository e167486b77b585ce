"""An agent's hook as the agent starts it: a process of its own, an event on standard input, over a real store."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from homes import CLAUDE, PROGRAM, SESSIONS, Home, until
from selfdistill.config import Config, Places, Settling
from selfdistill.model import EventKind
from selfdistill.recall.answering import BUDGET_SECONDS, DIALECTS, MAX_TROUBLE_BYTES, TROUBLES, quoted
from selfdistill.service.assembly import assemble
from selfdistill.service.hook_agents import SCRIPT
from selfdistill.service.hook_overview import troubles
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection
from selfdistill.service.spool import absorb
from selfdistill.sources import SOURCES
from selfdistill.sources.injections import OWN_NAME, without_own

CWD = "/home/mara/kettle"
FAILING: dict[str, Any] = {"tool_name": "Bash", "tool_input": {"command": "gh pr diff 12 --stat"}}
HARMLESS: dict[str, Any] = {"tool_name": "Bash", "tool_input": {"command": "ls -la /srv"}}
ERROR = "Exit code 1\nunknown flag: --stat\n\nUsage:  gh pr diff [<number> | <url> | <branch>] [flags]"
ANSWER = "--name-only"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose store holds the lessons of the invented sessions."""
    made = Home(tmp_path_factory.mktemp("hook"))
    made.fill()
    with made.assembly() as assembly:
        one_pass(assembly, Selection(limit=0, paths=(made.claude, made.codex)))
    return made


@pytest.fixture
def state(home: Home, tmp_path: Path) -> Path:
    """A state directory of its own for a test that spoils it."""
    left = shutil.ignore_patterns("spool", TROUBLES)  # of tests before
    return Path(shutil.copytree(home.state, tmp_path / "state", ignore=left))


def start(event: str, state: Path, agent: str = "claude_code", drop: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    """Start the hook as an agent does; `drop` goes before it."""
    words = [*drop, sys.executable, "-I", "-S", str(SCRIPT), event, agent, str(state)]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, env={}, umask=0)


def raw(event: str, given: bytes, state: Path, agent: str = "claude_code") -> bytes:
    """What the hook prints; it must exit with 0 and complain of nothing."""
    process = start(event, state, agent)
    printed, complaints = process.communicate(given, timeout=20)
    assert (process.returncode, complaints) == (0, b"")
    return printed


def told(event: str, session: str, state: Path, agent: str = "claude_code", **fields: object) -> str:
    """The words that reach the agent's model, "" for none."""
    given = {"session_id": session, "cwd": CWD, "hook_event_name": event, **fields}
    printed = raw(event, json.dumps(given).encode(), state, agent)
    if not printed:
        return ""
    answer = json.loads(printed)
    if DIALECTS[agent][event][1] == "nested":
        assert set(answer) == {"hookSpecificOutput"}  # no decision, no permission, nothing for the person
        assert set(answer["hookSpecificOutput"]) == {"hookEventName", "additionalContext"}
        assert answer["hookSpecificOutput"]["hookEventName"] == event
        return str(answer["hookSpecificOutput"]["additionalContext"])
    (text,) = answer.values()
    return str(text)


def listing(directory: Path) -> dict[str, tuple[int, int]]:
    """Every file below a directory with its size and time of change."""
    return {
        str(path.relative_to(directory)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in directory.rglob("*")
    }


def spooled(state: Path, session: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state / "spool" / f"deliveries-{session}.jsonl").read_text().splitlines()]


def noted(state: Path) -> str:
    """The last trouble that was noted, "" for none."""
    return troubles(state).last


def test_before_a_call_that_is_known_to_fail_what_works_is_told(home: Home) -> None:
    """The lesson about this very command, marked as ours; the call itself is left to the agent."""
    text = told("PreToolUse", "before-call", home.state, **FAILING)
    assert ANSWER in text
    assert text.startswith(f"<{OWN_NAME}>")
    assert without_own(text) == ""


def test_after_a_failure_how_it_was_solved_is_told(home: Home) -> None:
    """The lesson about this error."""
    assert ANSWER in told("PostToolUseFailure", "after-failure", home.state, error=ERROR, **FAILING)


def test_at_a_request_what_is_about_it_is_told(home: Home) -> None:
    """Lessons that share telling words with the request."""
    request = "please fix the rejected git push, fetch first"
    assert "git pull --rebase" in told("UserPromptSubmit", "request", home.state, prompt=request)


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        ("PreToolUse", HARMLESS),
        ("UserPromptSubmit", {"prompt": "hello"}),
        ("PostToolUseFailure", {**FAILING, "error": ERROR, "is_interrupt": True}),
        ("PostToolUseFailure", {**HARMLESS, "error": "Exit code 2\nls: cannot access '/srv': No such device"}),
    ],
)
def test_silence_is_the_usual_answer(home: Home, event: str, fields: dict[str, Any]) -> None:
    """Nothing is said where nothing is known, or where a person has interrupted; and nothing is written."""
    before = listing(home.state)
    assert told(event, "silent", home.state, **fields) == ""
    assert listing(home.state) == before


def test_a_lesson_is_told_once_in_a_session(home: Home) -> None:
    """At the next occasion, and at another event, the session has heard of it; another session has not."""
    assert ANSWER in told("PreToolUse", "once", home.state, **FAILING)
    assert told("PreToolUse", "once", home.state, **FAILING) == ""
    assert told("PostToolUseFailure", "once", home.state, error=ERROR, **FAILING) == ""
    assert ANSWER in told("PreToolUse", "once-more", home.state, **FAILING)


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="only Linux tells who waits for a lock")
def test_hooks_at_the_same_time_tell_a_lesson_once(state: Path) -> None:
    """Agents call tools in parallel, so hooks run in parallel: what another one tells meanwhile is not told again."""
    told("PreToolUse", "first", state, **FAILING)
    line = (state / "spool" / "deliveries-first.jsonl").read_bytes()
    with (state / "spool" / "deliveries-second.jsonl").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        process = start("PreToolUse", state)
        assert process.stdin is not None
        process.stdin.write(json.dumps({"session_id": "second", "cwd": CWD, **FAILING}).encode())
        process.stdin.close()
        process.stdin = None
        until(lambda: f"FLOCK  ADVISORY  WRITE {process.pid} " in Path("/proc/locks").read_text(), "it waits")
        other.write(line)
    assert process.communicate(timeout=20) == (b"", b"")
    assert (state / "spool" / "deliveries-second.jsonl").read_bytes() == line


def test_what_the_store_knows_to_be_told_is_not_told_again(state: Path, tmp_path: Path) -> None:
    """The worker takes the spool into the store and deletes it: the session still is not told twice."""
    assert told("PreToolUse", "absorbed", state, **FAILING)
    home = Home(tmp_path / "home")
    places = Places(config=home.config, state=state)
    made = assemble(Config(), places, home.path, {})
    with made.store:
        (taken,) = absorb(made.store, places.spool, made.distiller.name)
    assert taken.new == 1
    assert list(places.spool.iterdir()) == []
    assert told("PreToolUse", "absorbed", state, **FAILING) == ""


def test_a_delivery_is_a_line_in_a_private_file(home: Home) -> None:
    """The spool says which lesson was told, in which session, at which event, when and where; 0600 in 0700."""
    told("PreToolUse", "lined", home.state, **FAILING)
    (line,) = spooled(home.state, "lined")
    assert {**line, "lesson": "", "at": 0} == {
        "v": 1,
        "lesson": "",
        "session": "lined",
        "agent": "claude_code",
        "event": "pre_tool_use",
        "at": 0,
        "cwd": CWD,
        "tool": "Bash",
    }
    path = home.state / "spool" / "deliveries-lined.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_nothing_but_the_spool_is_written(state: Path) -> None:
    """The store, its directory and everything else is the same before and after."""
    before = listing(state)
    told("PreToolUse", "only-spool", state, **FAILING)
    after = listing(state)
    assert set(after) - set(before) == {"spool", "spool/deliveries-only-spool.jsonl"}
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("session", ["../../escape", "a/b", "..", ".hidden", "ü\n\0", "x" * 128])
def test_a_session_cannot_choose_another_place(state: Path, session: str) -> None:
    """Whatever a session is called, its file lies in the spool, by a name that gives the session back."""
    assert told("PreToolUse", session, state, **FAILING)
    (file,) = (state / "spool").iterdir()
    assert file.name == f"deliveries-{quoted(session)}.jsonl"


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"garbage",
        b"[]",
        b"null",
        b"{}",
        b'{"session_id": 7, "tool_name": [], "tool_input": "x", "cwd": {}}',
        b'{"session_id": "\\ud800", "cwd": "\\ud800", "tool_name": "Bash", "tool_input": {"command": "\\ud800"}}',
        b'{"session_id": "' + b"x" * 1000 + b'"}',
        b"[" * 100_000,
        b"\xff\xfe\x00",
        b'{"session_id": "big", "prompt": "' + b"x" * 9_000_000 + b'"}',
    ],
    ids=["empty", "garbage", "array", "null", "bare", "odd", "surrogates", "long", "deep", "bytes", "huge"],
)
def test_garbage_is_met_with_silence(state: Path, given: bytes) -> None:
    """Input that no agent would send: nothing is printed, exit code 0, and one line in the file of troubles at most."""
    for event in ("PreToolUse", "UserPromptSubmit"):
        assert raw(event, given, state) == b""
    assert not (state / "spool").exists()
    assert troubles(state).count <= 2
    assert len(given) < 9_000_000 or "too much input" in noted(state)


def test_input_that_never_ends_is_left(state: Path) -> None:
    """An agent that does not close our standard input is not kept waiting: the budget is over, and that is noted."""
    process = start("PreToolUse", state)
    assert process.stdin is not None
    process.stdin.write(b'{"session_id": ')
    process.stdin.flush()
    assert process.wait(timeout=20) == 0
    process.communicate()
    assert noted(state) == "claude_code PreToolUse out of time"
    assert BUDGET_SECONDS <= 1.0


def test_without_a_store_nothing_is_told(tmp_path: Path) -> None:
    """No state directory, an empty one, an empty database: silence, and nothing is made."""
    assert told("PreToolUse", "no-store", tmp_path / "none", **FAILING) == ""
    assert told("PreToolUse", "no-store", tmp_path, **FAILING) == ""
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "lessons.db").touch()
    assert told("PreToolUse", "no-store", tmp_path, **FAILING) == ""
    assert "schema" in noted(tmp_path)


def test_a_locked_store_is_not_waited_for(state: Path) -> None:
    """A database that another process holds alone: silence, noted."""
    with closing(sqlite3.connect(state / "lessons.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE held(x)")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # now also readers are kept out
        connection.execute("INSERT INTO held VALUES (1)")
        assert told("PreToolUse", "locked", state, **FAILING) == ""
    assert "locked" in noted(state)


def test_a_store_that_is_being_written_is_read(state: Path) -> None:
    """Beside the daemon's open connection, with its journal, lessons are told."""
    with closing(sqlite3.connect(state / "lessons.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE begun(x)")
        assert ANSWER in told("PreToolUse", "written", state, **FAILING)
        connection.execute("ROLLBACK")


def test_a_damaged_store_is_met_with_silence(state: Path) -> None:
    """Bytes that are no database: silence, noted."""
    (state / "lessons.db").write_bytes(b"nonsense" * 1000)
    assert told("PreToolUse", "damaged", state, **FAILING) == ""
    assert "database" in noted(state)


@pytest.mark.skipif(os.geteuid() != 0, reason="drops from root to nobody; as another user run it under sudo")
def test_a_state_that_cannot_be_written_is_met_with_silence(state: Path) -> None:
    """Where it cannot be remembered that a lesson was told, it is not told."""
    for path in (state, *state.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for parent in state.parents:
        if str(parent).startswith("/tmp/pytest"):  # noqa: S108 - pytest's own
            parent.chmod(0o755)
    before = listing(state)
    drop = (str(shutil.which("setpriv")), "--reuid=65534", "--regid=65534", "--clear-groups")
    process = start("PreToolUse", state, drop=drop)
    given = json.dumps({"session_id": "read-only", "cwd": CWD, **FAILING}).encode()
    assert process.communicate(given, timeout=20) == (b"", b"")
    assert process.returncode == 0
    assert listing(state) == before


def test_troubles_are_bounded(state: Path) -> None:
    """A hook that fails for months does not fill the disk."""
    (state / TROUBLES).write_bytes(b"1 claude_code PreToolUse x\n" * (MAX_TROUBLE_BYTES // 27 + 1))
    size = (state / TROUBLES).stat().st_size
    assert raw("PreToolUse", b"garbage", state) == b""
    assert (state / TROUBLES).stat().st_size == size
    assert troubles(state).full


def test_unknown_events_and_agents_are_met_with_silence(state: Path) -> None:
    """An agent's new event, or a dialect of tomorrow: silence."""
    given = json.dumps({"session_id": "unknown", "cwd": CWD, **FAILING}).encode()
    assert raw("Tomorrow", given, state) == b""
    assert raw("PreToolUse", given, state, "nobody") == b""
    assert "unknown event" in noted(state)


DIALECT_FAILURES: dict[str, tuple[str, dict[str, Any]]] = {
    "claude_code": ("PostToolUseFailure", {**FAILING, "error": ERROR, "tool_use_id": "t1", "is_interrupt": False}),
    "codex": ("PostToolUse", {**FAILING, "tool_response": f"{ERROR}\nProcess exited with code 1", "turn_id": "1"}),
    "gemini_cli": (
        "AfterTool",
        {
            "tool_name": "run_shell_command",
            "tool_input": FAILING["tool_input"],
            "tool_response": {"llmContent": f"Command: gh\nOutput: {ERROR}\nExit Code: 1", "returnDisplay": ""},
        },
    ),
    "qwen_code": (
        "PostToolUseFailure",
        {"tool_name": "run_shell_command", "tool_input": FAILING["tool_input"], "error": ERROR},
    ),
    "cursor": (
        "postToolUse",
        {
            "tool_name": "Shell",
            "tool_input": FAILING["tool_input"],
            "tool_output": json.dumps({"exitCode": 1, "stdout": ERROR}),
            "session_id": None,
            "workspace_roots": [CWD],
        },
    ),
    "copilot": (
        "PostToolUse",
        {
            "tool_name": "Bash",
            "tool_input": json.dumps(FAILING["tool_input"]),
            "tool_result": {"result_type": "success", "text_result_for_llm": f"{ERROR}\n<exited with exit code 1>"},
        },
    ),
}


@pytest.mark.parametrize("agent", DIALECTS)
def test_each_agent_is_answered_in_its_own_words(home: Home, agent: str) -> None:
    """A failure as the agent's documentation shapes it is answered as that documentation wants it."""
    event, fields = DIALECT_FAILURES[agent]
    fields = {"conversation_id": f"dialect-{agent}", **fields}
    assert ANSWER in told(event, f"dialect-{agent}", home.state, agent, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_response": "unknown flag: --stat (in a file that was read)"},
        {"tool_response": {"exit_code": 0, "output": ERROR.replace("Exit code 1\n", "")}},
        {"tool_response": None},
    ],
)
def test_a_call_that_does_not_say_that_it_failed_is_no_failure(home: Home, fields: dict[str, Any]) -> None:
    """Agents with one event for both results: an error that is only quoted is none."""
    assert told("PostToolUse", "quoted-error", home.state, "codex", **FAILING, **fields) == ""


@pytest.mark.parametrize("agent", DIALECTS)
def test_a_session_start_is_answered_or_silent_in_each_dialect(home: Home, agent: str) -> None:
    """Every agent's session start is understood; what it is told is in our mark."""
    event = next(name for name, (kind, _) in DIALECTS[agent].items() if kind == "session_start")
    text = told(event, f"start-{agent}", home.state, agent, source="startup")
    assert without_own(text) == ""


def test_a_session_end_says_settle_now(state: Path) -> None:
    """An empty file by the session's name in `hints/`; without that directory there is no daemon to tell."""
    assert told("SessionEnd", "ended/1", state, reason="prompt_input_exit") == ""
    assert not (state / "hints").exists()
    (state / "hints").mkdir()
    assert told("SessionEnd", "ended/1", state, reason="prompt_input_exit") == ""
    (file,) = (state / "hints").iterdir()
    assert (file.name, file.read_bytes()) == ("ended%2F1", b"")


def test_a_session_end_settles_the_session_at_once(tmp_path: Path) -> None:
    """With ten minutes of quiet to wait for, a daemon distills at once what an agent's hook says is over."""
    home = Home(tmp_path, Settling(settle_seconds=600.0))
    waiting = CLAUDE[0]
    with home.daemon():
        (home.claude / waiting).write_bytes(SESSIONS[waiting])
        until(lambda: home.status().get("settling") == 1, "the session waits")
        told("SessionEnd", waiting.removesuffix(".jsonl"), home.state)
        until(lambda: home.status().get("total_sessions") == 1, "the session is distilled")
        assert [path.name for path in (home.state / "hints").iterdir() if not path.name.startswith(".")] == []


def test_by_hand_the_same_is_answered(home: Home) -> None:
    """`selfdistill hook EVENT` gives what the installed line gives, without loading the package's heavy parts."""
    code = (
        "import sys; from selfdistill.cli.main import main\n"
        "import os; leave = os._exit\n"
        "def told(code):\n"
        "    sys.stdout.flush(); heavy = {'msgspec', 'argparse', 'tomllib', 'structlog'} & set(sys.modules)\n"
        "    sys.stderr.write(f'heavy: {sorted(heavy)}'); sys.stderr.flush(); leave(code)\n"
        "os._exit = told\n"
        "main()"
    )
    given = json.dumps({"session_id": "by-hand", "cwd": CWD, **FAILING})
    words = [sys.executable, "-c", code, "--state-dir", str(home.state), "hook", "PreToolUse"]
    done = subprocess.run(words, input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert ANSWER in json.loads(done.stdout)["hookSpecificOutput"]["additionalContext"]
    assert done.stderr == "heavy: []"


@pytest.mark.parametrize("words", [["hook"], ["hook", "--help"]])
def test_a_wrong_hook_command_blocks_nobody(words: list[str]) -> None:
    """Without an event there is a usage text and still exit code 0: anything else may block an agent."""
    done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0
    assert "usage: selfdistill" in done.stdout + done.stderr


def records(text: str) -> Iterator[bytes]:
    """A Claude Code session in which a hook of ours has spoken, at each place where its words may stand in a log."""
    common = {"sessionId": "s-inject", "cwd": CWD, "version": "2.1.237", "isSidechain": False, "userType": "external"}
    attachment = {"type": "hook_additional_context", "content": [text], "hookName": "PreToolUse:Bash"}
    success = {"type": "hook_success", "hookName": "PreToolUse:Bash", "hookEvent": "PreToolUse", "stdout": text}
    reminder = f"<system-reminder>\nPreToolUse:Bash hook additional context: {text}\n</system-reminder>"
    contents: list[dict[str, Any]] = [
        {"type": "user", "message": {"role": "user", "content": f"fix the push\n{text}"}},
        {"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": reminder}]}},
        {"type": "user", "message": {"role": "user", "content": text}, "isMeta": True},
        {"type": "attachment", "attachment": attachment},
        {"type": "attachment", "attachment": success},
        {
            "type": "user",
            "message": {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "t1", "is_error": True, "content": f"boom\n{text}"}],
            },
        },
    ]
    for number, content in enumerate(contents):
        at = f"2026-11-14T10:00:0{number}.000Z"
        yield json.dumps({**common, "uuid": f"u{number}", "timestamp": at, **content}).encode()


@pytest.mark.parametrize("escaped", [False, True], ids=["as told", "brackets escaped"])
def test_our_own_words_are_never_learned_from(home: Home, escaped: bool) -> None:
    """What a hook injected is taken out of the log by the source, wherever the agent has put it."""
    text = told("PreToolUse", f"own-{escaped}", home.state, **FAILING)
    assert ANSWER in text
    if escaped:
        text = text.replace("<", "&lt;").replace(">", "&gt;")
    parser = next(source for source in SOURCES if source.name == "claude_code").open(home.claude / "s.jsonl", None)
    events = [event for line in records(text) for event in parser.feed(line, 0)]
    assert "fix the push" in [event.text.strip() for event in events if event.kind is EventKind.USER]
    assert [event for event in events if ANSWER in repr(event)] == []

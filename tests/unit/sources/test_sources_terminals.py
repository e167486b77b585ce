"""Promises of the sources of pi and its relatives, Factory Droid, Amp, Kimi, Grok and Antigravity, one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePath
from typing import Any

import pytest

from agent_logs import rendered, text_of
from selfdistill.layouts import Rendered
from selfdistill.model import Author, Event, EventKind, Turn
from selfdistill.sources import Source
from selfdistill.sources.amp import Amp, directory
from selfdistill.sources.antigravity import Antigravity
from selfdistill.sources.conversation import by_user
from selfdistill.sources.droid import Droid
from selfdistill.sources.grok import Grok
from selfdistill.sources.kimi import Kimi
from selfdistill.sources.pi import OhMyPi, OpenClaw, Pi
from selfdistill.sources.pi_authors import typed_text

FIXTURES = Path(__file__).parents[2] / "fixtures"
HOME = Path("/h")
SOURCES: tuple[Source, ...] = (Pi(), OhMyPi(), OpenClaw(), Droid(), Amp(), Kimi(), Grok(), Antigravity())
IDS = [source.name for source in SOURCES]


def read(source: Source, data: bytes, path: PurePath) -> list[Event]:
    parser = source.open(path, None)
    return [event for line in data.split(b"\n") for event in parser.feed(line, 0)]


def fixture(source: Source, name: str) -> list[Event]:
    path = FIXTURES / source.name / name
    return read(source, text_of(source, path), path)


def uids(source: Source, name: str) -> list[str]:
    return [event.uid for event in fixture(source, name)]


def jsons(*records: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(record, ensure_ascii=False).encode() for record in records)


@pytest.mark.parametrize(
    ("source", "environment", "first"),
    [
        (Pi(), {}, "/h/.pi/agent/sessions"),
        (Pi(), {"PI_CODING_AGENT_DIR": "/p"}, "/p/sessions"),
        (Pi(), {"PI_CODING_AGENT_DIR": "/p", "PI_CODING_AGENT_SESSION_DIR": "/s"}, "/s"),
        (OhMyPi(), {}, "/h/.omp/agent/sessions"),
        (OpenClaw(), {}, "/h/.openclaw/agents"),
        (OpenClaw(), {"OPENCLAW_STATE_DIR": "/o"}, "/o/agents"),
        (Droid(), {}, "/h/.factory/sessions"),
        (Droid(), {"FACTORY_HOME_OVERRIDE": "/f"}, "/f/.factory/sessions"),
        (Amp(), {}, "/h/.local/share/amp/threads"),
        (Amp(), {"XDG_DATA_HOME": "/x"}, "/x/amp/threads"),
        (Kimi(), {}, "/h/.kimi-code/sessions"),
        (Kimi(), {"KIMI_CODE_HOME": "/k"}, "/k/sessions"),
        (Grok(), {}, "/h/.grok/sessions"),
        (Grok(), {"GROK_HOME": "/g"}, "/g/sessions"),
        (Antigravity(), {}, "/h/.gemini/antigravity-cli/brain"),
    ],
)
def test_roots(source: Source, environment: dict[str, str], first: str) -> None:
    """Logs are looked for where the agent keeps them, or where its own variable says."""
    assert source.roots(HOME, environment)[0] == Path(first)
    assert set(environment) <= set(source.variables)


@pytest.mark.parametrize("relative", ["pi", "", "./here"])
def test_relative_places_are_not_believed(relative: str) -> None:
    """A variable that names no absolute path is as good as none: a service starts elsewhere than the shell did."""
    for source in SOURCES:
        environment = dict.fromkeys(source.variables, relative)
        assert source.roots(HOME, environment) == source.roots(HOME, {})


@pytest.mark.parametrize(
    ("source", "path", "owned"),
    [
        (Pi(), "--h-k--/2026-02-02T09-00-00-000Z_01990000-0000-7000-8000-00000000a001.jsonl", True),
        (Pi(), "--h-k--/subagent-artifacts/5f_worker.jsonl", False),
        (OpenClaw(), "main/sessions/c1a30000.jsonl", True),
        (OpenClaw(), "main/sessions/c1a30000.checkpoint.11111111.jsonl", False),
        (OpenClaw(), "main/sessions/c1a30000.trajectory.jsonl", False),
        (OpenClaw(), "main/sessions/sessions.json", False),
        (OpenClaw(), "main/agent/other.jsonl", False),
        (Droid(), "-h-k/d0.jsonl", True),
        (Droid(), "-h-k/d0.settings.json", False),
        (Amp(), "T-01990000.json", True),
        (Amp(), "T-01990000.json.bak", False),
        (Amp(), "history.json", False),
        (Kimi(), "wd_k/session_1/agents/main/wire.jsonl", True),
        (Kimi(), "wd_k/session_1/context.jsonl", False),
        (Grok(), "%2Fh%2Fk/0199/updates.jsonl", True),
        (Grok(), "%2Fh%2Fk/0199/chat_history.jsonl", False),
        (Antigravity(), "a404/.system_generated/logs/transcript.jsonl", True),
        (Antigravity(), "a404/.system_generated/logs/transcript_full.jsonl", False),
        (Antigravity(), "a404/transcript.jsonl", False),
    ],
)
def test_only_logs_are_owned(source: Source, path: str, *, owned: bool) -> None:
    """What lies below a root and is no conversation, or one that is told elsewhere, is not read."""
    assert source.owns(PurePath("/r") / path) is owned


@pytest.mark.parametrize(
    ("source", "path", "hint"),
    [
        (Pi(), "--h-k--/2026-02-02T09-00-00-000Z_01990000-a001.jsonl", "01990000-a001"),
        (OpenClaw(), "main/sessions/c1a3_1.jsonl", "c1a3_1"),
        (Amp(), "T-01990000.json", "T-01990000"),
        (Kimi(), "wd_k/session_1/agents/agent-0/wire.jsonl", "session_1"),
        (Kimi(), "9f86d081/0b1c/wire.jsonl", "0b1c"),
        (Grok(), "%2Fh%2Fk/0199/updates.jsonl", "0199"),
        (Antigravity(), "a404/.system_generated/logs/transcript.jsonl", "a404"),
    ],
)
def test_session_hint(source: Source, path: str, hint: str) -> None:
    """The place of a log tells the session it belongs to, with its sub-agents' logs."""
    assert source.session_hint(PurePath("/r") / path) == hint


@pytest.mark.parametrize("source", SOURCES, ids=IDS)
def test_a_log_is_known_by_its_first_bytes(source: Source) -> None:
    """Each agent's logs are claimed by its source wherever they lie, and by none of the others."""
    for path in sorted((FIXTURES / source.name).iterdir()):
        if path.name != "expected.json":
            head = path.read_bytes()[:65536]
            claiming = [each.name for each in SOURCES if each.claims(PurePath("/elsewhere/some.log"), head)]
            assert claiming == [source.name], path


def test_no_bytes_are_claimed_by_mistake() -> None:
    """What other agents write, and what nobody does, is claimed by none of these sources."""
    others = [path for agent in ("claude_code", "codex", "role_content") for path in FIXTURES.glob(f"{agent}/*.jsonl")]
    heads = [path.read_bytes() for path in others] + [b"", b"{}", b"[1]", b"\xff\xfe", b'{"type":"session"}', b"null"]
    for head in heads:
        assert not [source.name for source in SOURCES if source.claims(PurePath("/x/y.jsonl"), head)]


@pytest.mark.parametrize(
    ("source", "suffix"),
    [
        (Pi(), ".jsonl"),
        (Droid(), ".jsonl"),
        (Kimi(), ".jsonl"),
        (Grok(), ".jsonl"),
        (Antigravity(), ".jsonl"),
        (Amp(), ""),
    ],
    ids=lambda value: value.name if isinstance(value, (Pi, Droid, Kimi, Grok, Antigravity, Amp)) else "",
)
def test_copies_share_uids(source: Source, suffix: str) -> None:
    """A session that goes on, in its log or in a copy of it, repeats the uids of what was there before."""
    first, second = ("T-normal.json", "T-resumed.json") if not suffix else ("normal.jsonl", "resumed.jsonl")
    if isinstance(source, Droid):
        first = "interrupted.jsonl"
    before, after = uids(source, first), uids(source, second)
    shared = 3 if isinstance(source, Droid) else len(before)
    assert after[:shared] == before[:shared]
    assert len(set(after)) == len(after)


def test_migration_of_pi_changes_no_uid() -> None:
    """When pi gives a log of version 1 its ids, every event keeps the uid that it had without."""
    assert uids(Pi(), "version_1.jsonl") == uids(Pi(), "normal.jsonl")


def test_what_was_cut_off_was_not_called() -> None:
    """Calls of a message that was aborted have no result in the log, for pi never ran them: they are not told."""
    events = fixture(Pi(), "interrupted.jsonl")
    assert "toolu_i2" not in {event.call_id for event in events}
    assert [event.author for event in events if event.kind is EventKind.INTERRUPT] == [Author.HUMAN] * 2


def test_shell_of_a_person_leaves_the_turn_alone() -> None:
    """A command that the user runs with `!` is no call of the agent's."""
    path = FIXTURES / "pi" / "normal.jsonl"
    parser = Pi().open(path, None)
    events = [event for line in path.read_bytes().split(b"\n") for event in parser.feed(line, 0)]
    assert (events[-1].kind, events[-1].author) == (EventKind.NOTICE, Author.HUMAN)
    assert parser.turn is Turn.CLOSED


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("plain [sic] words", "plain [sic] words"),
        ("[Thu 2026-03-05 16:29 GMT+8] hello", "hello"),
        ("[Telegram Mara id:7 Mon 2026-03-02 16:29 UTC] hello", "hello"),
        ("[2026] is a year", "[2026] is a year"),
        ('Sender (untrusted metadata):\n```json\n{"id": "x"}\n```\n\nhello', "hello"),
        ("Read HEARTBEAT.md if it exists (workspace context).", ""),
        ("[Mon 2026-03-02 16:29 UTC] [cron:1 x] do it", ""),
        ('<file name="a.md">\ntext\n</file>\nread it', "\nread it"),
        ('<skill name="a" location="b">x</skill>', ""),
    ],
)
def test_envelopes_are_not_typed(text: str, typed: str) -> None:
    """What a chat channel or an expansion puts around a message is not what the person typed."""
    assert typed_text(text) == typed


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("User denied access to bash", True),
        ("The tool call is rejected by the user. Please follow the new instructions.", True),
        ("Blocked by user", True),
        ("fatal: Permission denied (publickey).", False),
        ("connection refused", False),
        ("log: user denied " + "x" * 500, False),
    ],
)
def test_refusals(text: str, *, refused: bool) -> None:
    """Only a short sentence that names the user is a refusal."""
    assert by_user(text) is refused


def amp_lines(tmp_path: Path, thread: object) -> list[Rendered]:
    path = tmp_path / "T-1.json"
    path.write_text(thread if isinstance(thread, str) else json.dumps(thread), "utf-8")
    return rendered(Amp(), path, path.read_bytes())


def messages(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    run = {"status": "done", "result": "ok", "progress": "1", "trackFiles": ["a"]}
    result = {"role": "user", "messageId": 1, "content": [{"type": "tool_result", "toolUseID": "t", "run": run}]}
    answer = {
        "role": "assistant",
        "messageId": 2,
        "content": [{"type": "text", "text": "x"}],
        "state": {"type": "complete"},
    }
    return {"v": 1, "id": "T-1", "title": "a", "messages": [result, answer]} | changes


def test_amp_lines_hold_what_stays(tmp_path: Path) -> None:
    """Titles, versions, files touched and progress may change: the lines of a finished thread do not."""
    before = amp_lines(tmp_path, messages())
    changed = messages(v=2, title="b", nextMessageId=9)
    changed["messages"][0]["content"][0]["run"] |= {"progress": "2", "trackFiles": ["a", "b"]}
    changed["messages"].append({"role": "user", "messageId": 3, "content": []})
    assert amp_lines(tmp_path, changed)[: len(before)] == before
    assert all(each.finished for each in before)


@pytest.mark.parametrize("status", ["in-progress", "queued", "blocked-on-user"])
def test_amp_messages_that_may_change_are_unfinished(tmp_path: Path, status: str) -> None:
    """A message whose tool runs, or that streams, is unfinished; a result that is not there is not told."""
    thread = messages()
    thread["messages"][0]["content"][0]["run"]["status"] = status
    thread["messages"][1]["state"] = {"type": "streaming"}
    lines = amp_lines(tmp_path, thread)
    assert [each.finished for each in lines] == [True, False, False]
    events = read(Amp(), b"\n".join(each.line for each in lines), PurePath("/r/T-1.json"))
    assert [event.kind for event in events] == [EventKind.ASSISTANT]


@pytest.mark.parametrize(
    "content", ["", "   ", "{", "[]", "nonsense\nin lines", '"T-1"', '{"messages":{}}', '{"messages":[1,[],null]}']
)
def test_amp_renders_anything(tmp_path: Path, content: str) -> None:
    """Whatever a file holds, rendering raises nothing, and no line holds a newline."""
    lines = amp_lines(tmp_path, content)
    assert not [each for each in lines if b"\n" in each.line]
    read(Amp(), b"\n".join(each.line for each in lines), PurePath("/r/T-1.json"))


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///home/mara/tea%20kettle", "/home/mara/tea kettle"),
        ("file://localhost/home/a%C3%BC", "/home/aü"),
        ("/plain", "/plain"),
        ({"fsPath": "/f", "path": "/p"}, "/f"),
        ("https://example.com/a", ""),
        ("file://[bad/x", ""),
        (None, ""),
    ],
)
def test_amp_directories(uri: str | dict[str, Any] | None, path: str) -> None:
    """A thread's directory is a percent-encoded address, an editor's object or a path."""
    assert directory(uri) == path


def test_place_tells_directory_of_grok() -> None:
    """Grok's updates name no directory, but lie in one that is named like it."""
    line = jsons(
        {"params": {"sessionId": "s", "update": {"sessionUpdate": "user_message_chunk", "content": {"text": "go"}}}}
    )
    parser = Grok().open(PurePath("/h/.grok/sessions/%2Fhome%2Fmara%2Ftea%20kettle/s/updates.jsonl"), None)
    (event,) = parser.feed(line, 0)
    assert parser.session.cwd == event.cwd == "/home/mara/tea kettle"


def test_place_tells_subagents_of_kimi() -> None:
    """A log in another agent's directory than `main` is a sub-agent's, inside its parent's session."""
    message = {"role": "user", "content": "find it", "origin": {"kind": "user"}}
    line = jsons({"type": "context.append_message", "time": 1770000000000, "message": message})
    parser = Kimi().open(PurePath("/h/.kimi-code/sessions/wd/session_1/agents/agent-0/wire.jsonl"), None)
    (event,) = parser.feed(line, 0)
    assert (event.author, event.sidechain) == (Author.PROGRAM, True)
    assert (parser.session.id, parser.session.parent, parser.session.machine_run) == ("session_1", "session_1", True)


def turn_of_kimi(lines: list[bytes]) -> Turn:
    parser = Kimi().open(PurePath("/r/wire.jsonl"), None)
    for line in lines:
        list(parser.feed(line, 0))
    return parser.turn


def test_late_result_opens_no_cancelled_turn() -> None:
    """What a tool gives back after the user cancelled Kimi's turn leaves the turn closed, until the next one begins."""
    lines = (FIXTURES / "kimi" / "interrupted.jsonl").read_bytes().split(b"\n")
    late = next(number for number, line in enumerate(lines) if b"was aborted" in line)
    assert turn_of_kimi(lines[: late + 1]) is Turn.CLOSED
    assert turn_of_kimi(lines) is Turn.OPEN_CALL


def openings() -> Iterator[tuple[Source, bytes]]:
    """The first lines of sessions that begin with our own prompt."""
    prompt = "<selfdistill>\nDistill this.\n</selfdistill>\nSay what you learned."
    message = {"role": "user", "content": [{"type": "text", "text": prompt}]}
    yield Pi(), jsons({"type": "session", "id": "a", "timestamp": "x"}, {"type": "message", "message": message})
    yield Droid(), jsons({"type": "session_start", "id": "a"}, {"type": "message", "id": "b", "message": message})
    yield Amp(), jsons({"type": "amp_message", "role": "user", "content": message["content"]})
    yield Kimi(), jsons({"type": "context.append_message", "message": message})
    yield Grok(), jsons({"params": {"update": {"sessionUpdate": "user_message_chunk", "content": {"text": prompt}}}})
    yield Antigravity(), jsons({"step_index": 0, "type": "USER_INPUT", "source": "x", "content": prompt})


@pytest.mark.parametrize(("source", "data"), list(openings()), ids=lambda value: getattr(value, "name", ""))
def test_own_sessions_are_ignored(source: Source, data: bytes) -> None:
    """A session that our own distiller started is none to learn from."""
    parser = source.open(PurePath("/r/x.jsonl"), None)
    for line in data.split(b"\n"):
        list(parser.feed(line, 0))
    assert parser.session.ignored == "selfdistill"


@cache
def hostile_lines() -> list[bytes]:
    """Records of every agent with ids, names and paths that no memory could hold."""
    lines = []
    for number in range(140):
        long = chr(0x1F600) * 600 + str(number)
        block = {"type": "toolCall", "id": long, "name": long, "arguments": {}, "input": {}}
        for kind in ("message", "session", "session_start", "amp_message", "amp_thread", "tool_call", "config.update"):
            record = {"type": kind, "id": long, "cwd": "/" + long, "uri": "/" + long, "model": long, "modelAlias": long}
            record |= {"version": long, "role": "assistant", "toolName": long, "toolCallId": long, "sessionId": long}
            message = {"role": "assistant", "content": [block, block | {"type": "tool_use"}], "model": long}
            lines.append(jsons(record | {"message": message, "content": message["content"]}))
        event = {"type": "tool.call", "toolCallId": long, "name": long, "args": {"cwd": "/" + long}}
        lines.append(jsons({"type": "context.append_loop_event", "time": number + 1, "event": event}))
        update = {"sessionUpdate": "tool_call", "toolCallId": long, "title": long, "_meta": {"modelId": long}}
        lines.append(jsons({"params": {"sessionId": long, "update": update}}))
        calls = [{"name": long, "args": {"Cwd": "/" + long, "CommandLine": long}}]
        lines.append(jsons({"type": "PLANNER_RESPONSE", "step_index": number, "tool_calls": calls}))
    return lines


@pytest.mark.parametrize("source", SOURCES, ids=IDS)
def test_hostile_logs_keep_the_state_small(source: Source) -> None:
    """Ids, names and paths of any length do not make the state grow past 64 KiB."""
    parser = source.open(PurePath("/r/agents/x/wire.jsonl"), None)
    for line in hostile_lines():
        list(parser.feed(line, 0))
    assert len(parser.state()) <= 65536

"""Promises of the sources of Aider, of Cline and its kin, and of Cursor, one by one."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path, PurePath
from typing import Any

import pytest

from agent_logs import FIXTURES, built, read, rendered, sessions_of, text_of, texts_of
from selfdistill.ingest.foreign import reading
from selfdistill.ingest.sessions import sessions
from selfdistill.layouts import Database
from selfdistill.model import Author, EventKind, Stat, Turn
from selfdistill.sources import Source
from selfdistill.sources.aider import Aider
from selfdistill.sources.cline import Cline
from selfdistill.sources.cursor import Cursor, slug_of
from selfdistill.sources.patches import replacements

SOURCES: tuple[Source, ...] = (Aider(), Cline(), Cursor())
TASKS = FIXTURES / "cline" / "tasks"


def test_a_longer_document_only_adds_lines() -> None:
    """While a task goes on, the lines that were read stay as they are: so its cursor stays good."""
    path = TASKS / "1767225600000" / "api_conversation_history.json"
    messages = json.loads(path.read_text("utf-8"))
    whole = [each.line for each in rendered(Cline(), path, path.read_bytes())]
    for count in range(len(messages) + 1):
        shorter = json.dumps(messages[:count]).encode()
        assert [each.line for each in rendered(Cline(), path, shorter)] == whole[: count + 1]


def test_times_come_from_what_the_editor_showed() -> None:
    """A task's messages, which have no times, get those of what was shown before the next one."""
    path = TASKS / "1767225600000" / "api_conversation_history.json"
    data = b"\n".join(each.line for each in rendered(Cline(), path, path.read_bytes()))
    times = [event.at for event in read(Cline(), path, data)[0] if event.at is not None]
    assert times == sorted(times)
    assert times[0] == 1767225600.0
    assert times[-1] == 1767225646.0


def test_marks_of_a_condensed_history_change_no_line() -> None:
    """Roo Code marks old messages when it condenses: they stay the same records."""
    path = TASKS / "1767225603000" / "api_conversation_history.json"
    before = [each.line for each in rendered(Cline(), path, path.read_bytes())]
    messages = json.loads(path.read_text("utf-8"))
    marked = json.dumps([{**message, "condenseParent": "c-10"} for message in messages]).encode()
    assert [each.line for each in rendered(Cline(), path, marked)] == before


def test_copied_task_keeps_its_ids() -> None:
    """The same conversation under another task's name has the same ids."""
    path = TASKS / "1767225602000" / "api_conversation_history.json"
    data = b"\n".join(each.line for each in rendered(Cline(), path, path.read_bytes()))
    first, _ = read(Cline(), path, data)
    second, parser = read(Cline(), PurePath("/h/tasks/1767999999999/api_conversation_history.json"), data)
    assert [event.uid for event in first] == [event.uid for event in second]
    assert parser.session.id == "1767999999999"


def test_results_without_ids_are_paired_by_tool() -> None:
    """Where results name only their tools, each answers the call of that tool, in whatever order they come."""
    calls: list[dict[str, Any]] = [
        {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": {}} for name in ("read_file", "list_files")
    ]
    answers = [
        {"type": "text", "text": text}
        for text in ("[list_files for '.'] Result:", "a.py", "[read_file for 'a.py'] Result:", "x = 1")
    ]
    records = [{"role": "assistant", "content": calls}, {"role": "user", "content": answers}]
    data = b"\n".join(json.dumps(record).encode() for record in records)
    events, _ = read(Cline(), PurePath("/h/tasks/1/api_conversation_history.json"), data)
    results = {event.call_id: event.text for event in events if event.kind is EventKind.TOOL_RESULT}
    assert results == {"toolu_list_files": "a.py", "toolu_read_file": "x = 1"}


def test_places_of_cline_and_cursor() -> None:
    """Roots are named for Linux and macOS, for every editor, and follow the agents' variables."""
    home = Path("/h")
    roots = set(map(str, Cline().roots(home, {})))
    assert "/h/.config/Code - Insiders/User/globalStorage/rooveterinaryinc.roo-cline/tasks" in roots
    assert "/h/Library/Application Support/VSCodium/User/globalStorage/kilocode.kilo-code/tasks" in roots
    assert {"/h/.cline/data/sessions", "/h/.cline/data/tasks"} <= roots
    assert "/d/sessions" in map(str, Cline().roots(home, {"CLINE_DATA_DIR": "/d"}))
    assert "/c/data/sessions" in map(str, Cline().roots(home, {"CLINE_DIR": "/c"}))
    assert "/x/Cursor/User/globalStorage" in map(str, Cursor().roots(home, {"XDG_CONFIG_HOME": "/x"}))
    assert "/h/.cursor/projects" in map(str, Cursor().roots(home, {}))


def test_aider_has_a_root_only_where_one_is_named() -> None:
    """No directory is searched for histories unless the variable names a file in a directory of its own."""
    home = Path("/h/mara")
    variable = "AIDER_CHAT_HISTORY_FILE"
    assert Aider().roots(home, {}) == ()
    assert Aider().roots(home, {variable: "/h/mara/.aider.chat.history.md"}) == ()
    assert Aider().roots(home, {variable: "/logs/notes.md"}) == ()
    assert Aider().roots(home, {variable: "logs/.aider.chat.history.md"}) == ()
    assert Aider().roots(home, {variable: "/h/mara/logs/.aider.chat.history.md"}) == (Path("/h/mara/logs"),)


def test_files_are_told_apart_by_name() -> None:
    """Each source owns its logs and nothing that lies beside them."""
    owned = {
        "aider": "r/.aider.chat.history.md",
        "cline": "tasks/1/api_conversation_history.json",
        "cursor": "p/agent-transcripts/a/a.jsonl",
    }
    beside = ["r/.aider.input.history", "tasks/1/ui_messages.json", "sessions/a/a.json", "p/terminals/1.jsonl"]
    for source in SOURCES:
        assert [name for name, place in owned.items() if source.owns(PurePath("/r") / place)] == [source.name]
        assert not any(source.owns(PurePath("/r") / place) for place in beside)
    assert Cursor().owns(PurePath("/r/globalStorage/state.vscdb"))
    assert isinstance(Cursor().layout(PurePath("/r/state.vscdb")), Database)
    assert Cursor().layout(PurePath("/r/agent-transcripts/a.jsonl")) is None


def test_named_files_are_claimed_by_their_words() -> None:
    """A log under another name is still known by what only its agent writes."""
    elsewhere = PurePath("/x/some.log")
    task = (TASKS / "1767225600000" / "api_conversation_history.json").read_bytes()
    heads = {"cline": task, "aider": b"\n# aider chat started at 2026-01-01 09:00:00\n"}
    heads["cursor"] = b'{"role":"user","message":{"content":[{"type":"text","text":"<user_query>\\nx"}]}}\n'
    for source in SOURCES:
        assert [name for name, head in heads.items() if source.claims(elsewhere, head)] == [source.name]
        assert not source.claims(elsewhere, b'{"role":"user","content":"x"}')
        assert not source.claims(elsewhere, b"\xff")


def test_two_sessions_of_one_history_are_told_apart() -> None:
    """The session is the one that the last header began, and its ids hang on that time."""
    first = b"# aider chat started at 2026-01-01 09:00:00\n\n#### hi  \n\n"
    second = first.replace(b"09:", b"10:")
    parser = Aider().open(PurePath("/w/kettle/.aider.chat.history.md"), None)
    seen: list[tuple[str, str]] = []
    for line in (first + second).split(b"\n"):
        seen.extend((parser.session.id, event.uid) for event in parser.feed(line, 0))
    assert [session for session, _ in seen] == [f"aider 2026-01-01 {hour}:00:00" for hour in ("09", "09", "10", "10")]
    assert len({uid for _, uid in seen}) == 4
    assert parser.session.cwd == "/w/kettle"


def test_a_long_block_of_a_history_stays_small() -> None:
    """What an unfinished block holds is bounded, and the end of a long output is kept."""
    parser = Aider().open(PurePath("/w/.aider.chat.history.md"), None)
    parser.feed(b"#### /run make  ", 0)
    parser.feed(b"> first", 17)
    for number in range(20_000):
        parser.feed(b"line %d of a long output" % number, 30)
    assert len(parser.state()) < 65536
    events = [*parser.feed(b"2 failed  ", 40), *parser.feed(b"#### next  ", 60)]
    assert events[0].text.startswith("first")
    assert events[0].text.endswith("2 failed")


@pytest.mark.parametrize("script", ["editor.sql", "old_workspace.sql"])
def test_rows_are_found_by_key(tmp_path: Path, script: str) -> None:
    """No question to Cursor's table of keys reads more of it than the rows of its answer."""
    layout = Cursor().layout(PurePath("/h/state.vscdb"))
    assert isinstance(layout, Database)
    with reading(built(f"cursor/{script}", tmp_path / "made")) as database:
        asked = layout.queries(database.tables())
        assert asked is not None
        for question, given in ((asked.sessions, {}), (asked.records, {"key": "x"})):
            plan = [row["detail"] for row in database.tables_of_rows(f"EXPLAIN QUERY PLAN {question}", given)]
            assert not {"SCAN cursorDiskKV", "SCAN ItemTable", "SCAN bubble"} & set(plan), plan


def test_database_of_another_program_is_left_alone() -> None:
    """A database without the editor's tables is nobody's."""
    layout = Cursor().layout(PurePath("/h/state.vscdb"))
    assert isinstance(layout, Database)
    assert layout.queries({"messages": frozenset({"id"})}) is None


def test_sessions_of_the_editor_are_those_with_words(tmp_path: Path) -> None:
    """Drafts and broken rows are no sessions; a session's mark moves when a bubble is added."""
    database = built("cursor/editor.sql", tmp_path / "made")
    before = sessions_in(database)
    assert [stat.size for stat in before.values()] == [12, 4]
    (first, *_) = before
    change(
        database,
        "UPDATE cursorDiskKV SET value = json_set(value, '$.lastUpdatedAt', 1767225999000) WHERE key = ?",
        f"composerData:{first.name}",
    )
    assert sessions_in(database)[first] != before[first]


def test_running_call_is_not_finished(tmp_path: Path) -> None:
    """A bubble whose call still runs may change: its line is held back."""
    database = built("cursor/editor.sql", tmp_path / "made")
    assert [text.endswith(b"\n") for text in texts_of(Cursor(), database).values()] == [True, False]


def test_what_changes_beside_a_bubble_changes_no_line(tmp_path: Path) -> None:
    """Counters and contexts that the editor rewrites in a bubble are not in its line."""
    database = built("cursor/editor.sql", tmp_path / "made")
    before = texts_of(Cursor(), database)
    change(
        database,
        "UPDATE cursorDiskKV SET value = json_set(CAST(value AS TEXT), '$.tokenCount', 99, '$.checkpointId', 'z')"
        " WHERE json_valid(CAST(value AS TEXT)) AND key LIKE 'bubbleId:%'",
    )
    assert texts_of(Cursor(), database) == before


def change(database: Path, statement: str, *values: str) -> None:
    """Do to a database what the editor does."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(statement, values)
        connection.commit()


def sessions_in(database: Path) -> dict[Path, Stat]:
    """The sessions of the editor's database."""
    layout = Cursor().layout(database)
    assert isinstance(layout, Database)
    return sessions(database, layout)


def test_workspace_is_found_by_the_project_name() -> None:
    """A directory that a call names is the workspace where Cursor would have given the project that name."""
    assert slug_of("/home/mara/kettle.v2") == "home-mara-kettle-v2"
    line = {"type": "tool_use", "name": "Read", "input": {"path": "/elsewhere/kettle.v2/a.py"}}
    record = json.dumps({"role": "assistant", "message": {"content": [line]}}).encode()
    parser = Cursor().open(PurePath("/p/home-mara-kettle-v2/agent-transcripts/a.jsonl"), None)
    parser.feed(record, 0)
    assert parser.session.cwd == ""
    parser.feed(record.replace(b"/elsewhere", b"/home/mara"), 500)
    assert parser.session.cwd == "/home/mara/kettle.v2"


def test_prompt_time_is_read_in_its_zone() -> None:
    """The time that Cursor tells the model counts, with its zone."""
    text = "<timestamp>Thursday, Jan 1, 1970, 1:05 AM (UTC+1)</timestamp>\n<user_query>x</user_query>"
    record = json.dumps({"role": "user", "message": {"content": [{"type": "text", "text": text}]}}).encode()
    (event,) = Cursor().open(PurePath("/p/a.jsonl"), None).feed(record, 0)
    assert (event.at, event.text, event.author) == (300.0, "x", Author.HUMAN)


def test_resumed_session_has_no_end() -> None:
    """A manifest that is running again takes the end back."""
    path = FIXTURES / "cline/sessions/1767225606000_ab12c/1767225606000_ab12c.messages.json"
    about = path.parent / "1767225606000_ab12c.json"
    manifest = json.loads(about.read_text("utf-8"))
    manifest.update(status="running", ended_at=None)
    data = b"\n".join(each.line for each in rendered(Cline(), path, json.dumps(manifest).encode(), about))
    assert read(Cline(), path, data)[1].turn is Turn.OPEN


def test_bottomless_nesting_is_a_line(tmp_path: Path) -> None:
    """A document or bubble that is nested deeper than any writer follows is rendered all the same."""
    deep = '{"type":"tool_result","content":[' * 400 + "]}" * 400
    path = TASKS / "1767225600000" / "api_conversation_history.json"
    assert len(rendered(Cline(), path, f'[{{"role":"user","content":[{deep}]}}]'.encode())) == 2
    database = built("cursor/editor.sql", tmp_path / "made")
    (session, *_) = sessions_of(Cursor(), database)
    bubble = f'{{"bubbleId":"b2","type":2,"toolFormerData":{{"rawArgs":{deep}}}}}'
    change(database, "UPDATE cursorDiskKV SET value = ? WHERE key = ?", bubble, f"bubbleId:{session.name}:b2")
    assert text_of(Cursor(), session).count(b"\n") == 13


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE", [("a", "b")]),
        ("------- SEARCH\na\n=======\n+++++++ REPLACE\n", [("a", "")]),
        ("<<<<<<< SEARCH\n:start_line:3\n-------\na\nb\n=======\nc\n>>>>>>> REPLACE", [("a\nb", "c")]),
        ("<<<<<<< SEARCH\na\n=======\nREPLACE", []),
        ("", []),
    ],
)
def test_search_and_replace_blocks(text: str, found: list[tuple[str, str]]) -> None:
    """The three ways of writing such blocks are read; one without its end is none."""
    assert replacements(text) == found

"""OpenCode, Crush and Goose: invented logs in real databases and files give what their expected.json lists."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path, PurePath
from typing import Any

import pytest

from selfdistill.layouts import Database, Document
from selfdistill.model import Event, EventKind, Records, Turn
from selfdistill.sources import Parser
from selfdistill.sources.crush import Crush
from selfdistill.sources.goose import Goose
from selfdistill.sources.opencode import OpenCode
from stores import FIXTURES, STORES, Store, database_lines, document_lines, memory, stores

LOGS = stores()
NAMES = [f"{log.source.name}-{log.name}" for log in LOGS]
SHARED = Path(os.environ.get("SELFDISTILL_SHARED", Path(__file__).parents[4] / "shared"))
needs_corpus = pytest.mark.skipif(not (SHARED / "corpus").is_dir(), reason=f"REAL LOGS ABSENT: no corpus in {SHARED}")


def feed_all(parser: Parser, data: bytes) -> list[Event]:
    events: list[Event] = []
    offset = 0
    for line in data.split(b"\n"):
        events.extend(parser.feed(line, offset))
        offset += len(line) + 1
    return events


def read(log: Store) -> tuple[list[Event], Parser]:
    parser = log.source.open(log.path, None)
    return feed_all(parser, log.data), parser


def log_of(name: str) -> Store:
    return next(log for log in LOGS if log.name.endswith(name))


def _present(struct: Any) -> dict[str, Any]:  # noqa: ANN401 - any of our structs
    return {name: value for name in struct.__struct_fields__ if (value := getattr(struct, name))}


def listed(event: Event) -> dict[str, Any]:
    """An event as expected.json writes it: absent values are absent keys, texts are cut."""
    made: dict[str, Any] = {
        "kind": event.kind.value,
        "author": event.author.value,
        "uid": event.uid,
        "text": event.text[:80],
        "tool": f"{event.tool}/{event.tool_kind.value}" if event.tool else None,
        "input": _present(event.input) if event.input else None,
        "call": event.call_id or None,
        "is_error": event.is_error,
        "exit_code": event.exit_code,
        "sidechain": event.sidechain or None,
        "ends_turn": event.ends_turn or None,
    }
    return {key: value for key, value in made.items() if value is not None}


def counted(records: Records) -> dict[str, Any]:
    return {
        "total": records.total,
        "known": records.known,
        "ignored": records.ignored,
        "undecodable": records.undecodable,
        "unknown_types": records.unknown_types,
    }


@pytest.mark.parametrize("log", LOGS, ids=NAMES)
def test_store_gives_what_is_expected(log: Store) -> None:
    """Events, session, turn and record counts are those that were read and judged by hand."""
    expected = json.loads((FIXTURES / log.source.name / "expected.json").read_text("utf-8"))[log.name]
    events, parser = read(log)
    assert [listed(event) for event in events] == expected["events"]
    assert _present(parser.session) == expected["session"]
    assert parser.turn.value == expected["turn"]
    assert counted(parser.records) == expected["records"]
    assert {event.at is None or event.at > 1e9 for event in events} <= {True}


@pytest.mark.parametrize("log", LOGS, ids=NAMES)
def test_lines_are_records_and_uids_differ(log: Store) -> None:
    """A span is one whole JSON object, no line holds a newline, each uid stands once, results follow their calls."""
    assert all(b"\n" not in line.line for line in log.lines)
    events, parser = read(log)
    for event in events:
        json.loads(log.data[event.span.offset : event.span.offset + event.span.length])
    assert len({event.uid for event in events}) == len(events)
    calls = {event.call_id for event in events if event.kind is EventKind.TOOL_CALL}
    assert all(event.call_id in calls for event in events if event.kind is EventKind.TOOL_RESULT)
    records = parser.records
    assert records.total == records.known + records.ignored + records.unknown + records.undecodable


def test_expected_names_what_there_is() -> None:
    """No log is left out of an expected.json, and none of these is about a log that is gone."""
    for source in STORES:
        expected = json.loads((FIXTURES / source.name / "expected.json").read_text("utf-8"))
        assert set(expected) == {log.name for log in LOGS if log.source.name == source.name}


def test_running_message_only_grows() -> None:
    """What was told of a message that is being written stands as it is when the message is finished."""
    script = (FIXTURES / "opencode" / "opencode.sql").read_text("utf-8")
    with closing(memory(script)) as connection:
        before = dict(database_lines(OpenCode(), connection))["ses_running"]
        for old, new in (
            ('"status":"running"', '"status":"completed","output":"whistles"'),
            ('"time":{"created":1770000032000}', '"time":{"created":1770000032000,"completed":1770000039000}'),
        ):
            for table in ("part", "message"):
                connection.execute(f"update {table} set data = replace(data, ?, ?)", (old, new))  # noqa: S608
        after = dict(database_lines(OpenCode(), connection))["ses_running"]
    assert [line.line for line in after[: len(before)]] == [line.line for line in before]
    assert len(after) > len(before)
    assert b"queued" in after[-1].line


def test_what_changes_later_is_in_no_line() -> None:
    """Pruned outputs, summaries of prompts, titles and costs leave the lines of a session as they were."""
    script = (FIXTURES / "opencode" / "opencode.sql").read_text("utf-8")
    with closing(memory(script)) as connection:
        before = dict(database_lines(OpenCode(), connection))["ses_normal"]
        pruned = "json_set(data, '$.state.time.compacted', 1)"
        summed = "json_set(data, '$.summary.title', 'Lid', '$.cost', 7)"
        connection.execute(f"update part set data = {pruned} where message_id < 'msg_006'")  # noqa: S608
        connection.execute(f"update message set data = {summed} where id < 'msg_006'")  # noqa: S608
        connection.execute("update session set title = 'Another', time_updated = 1")
        assert dict(database_lines(OpenCode(), connection))["ses_normal"] == before


def test_crush_message_ends_after_its_results() -> None:
    """Crush writes the end of a message after the results of its tools: the lines before stay as they were."""
    script = (FIXTURES / "crush" / "crush.sql").read_text("utf-8")
    key = "aaaaaaaa-0000-4000-8000-000000000001"
    with closing(memory(script)) as connection:
        connection.execute("delete from messages where session_id = ? and rowid > 3", (key,))
        end = ',{"type":"finish","data":{"reason":"tool_use","time":0}}'
        connection.execute("update messages set parts = replace(parts, ?, '') where rowid = 2", (end,))
        growing = dict(database_lines(Crush(), connection))[key]
    whole = log_of(key).lines
    assert [line.line for line in growing] == [line.line for line in whole[: len(growing)]]


def test_compacted_goose_session_keeps_its_lines() -> None:
    """A compaction writes all rows again, with new ids and hidden from the agent: the lines stay as they were."""
    script = (FIXTURES / "goose" / "sessions.sql").read_text("utf-8")
    with closing(memory(script)) as connection:
        before = dict(database_lines(Goose(), connection))["20260202_1"]
        connection.execute("update messages set id = id + 1000, message_id = null")
        connection.execute(
            "update messages set metadata_json = json_set(metadata_json, '$.agentVisible', json('false'))"
        )
        assert dict(database_lines(Goose(), connection))["20260202_1"] == before


def test_copies_share_their_uids() -> None:
    """A forked session of OpenCode and an imported one of Goose give the uids of what they were made of."""
    normal, fork = ({event.uid for event in read(log_of(name))[0]} for name in ("ses_normal", "ses_resumed"))
    assert len(normal & fork) == 3
    file, imported = ({event.uid for event in read(log_of(name))[0]} for name in ("101500.jsonl", "20250901_1"))
    assert imported < file


def test_change_is_seen() -> None:
    """Whatever is added to a session changes what `sessions` says of it, and of no other."""
    for name, statement in (
        ("opencode/opencode.sql", "update part set time_updated = 1780000000000 where message_id = 'msg_006'"),
        ("opencode/opencode-next.sql", "update session_message set time_updated = 9 where id = 'msg_n12'"),
        ("crush/crush.sql", "update messages set parts = parts || ' ' where rowid = 9"),
        (
            "goose/sessions.sql",
            "insert into messages select 99, 'm', session_id, role, '[]', 1, '', 0, '' from messages limit 1",
        ),
    ):
        source = next(source for source in STORES if source.name == name.split("/")[0])
        layout = source.layout(PurePath("sessions.db"))
        assert isinstance(layout, Database)
        with closing(memory((FIXTURES / name).read_text("utf-8"))) as connection:
            tables = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
            columns = {t: frozenset(r[1] for r in connection.execute(f"pragma table_info({t})")) for t in tables}
            queries = layout.queries(columns)
            assert queries is not None
            before = connection.execute(queries.sessions).fetchall()
            connection.execute(statement)
            after = connection.execute(queries.sessions).fetchall()
        assert sum(old[:2] != new[:2] for old, new in zip(before, after, strict=True)) == 1, name


def test_foreign_database_is_nobodys() -> None:
    """A database with other tables is not asked anything."""
    for source in STORES:
        layout = source.layout(PurePath("sessions.db"))
        assert isinstance(layout, Database)
        assert layout.queries({}) is None
        assert layout.queries({"sessions": frozenset({"id"}), "messages": frozenset({"id"})}) is None


def test_places(tmp_path: Path) -> None:
    """Roots follow the agents' variables; Crush's registry names projects, and a broken one none."""
    home = Path("/home/mara")
    assert home / ".local/share/opencode" in OpenCode().roots(home, {})
    assert Path("/data/opencode") in OpenCode().roots(home, {"XDG_DATA_HOME": "/data"})
    assert Path("/work") in OpenCode().roots(home, {"OPENCODE_DB": "/work/opencode-x.db", "KILO_DB": "kilo.db"})
    assert Goose().roots(home, {"GOOSE_PATH_ROOT": "/goose"}) == (Path("/goose/data/sessions"),)
    assert Goose().roots(home, {})[0] == home / ".local/share/goose/sessions"
    assert Crush().roots(home, {}) == (home / ".local/share/crush",)
    registry = tmp_path / "projects.json"
    named = {"CRUSH_GLOBAL_DATA": str(tmp_path)}
    registry.write_text('{"projects": [{"path": "/home/mara/kettle", "data_dir": ".crush"}, {"path": 7}, 8]}', "utf-8")
    assert Crush().roots(home, named) == (tmp_path, Path("/home/mara/kettle/.crush"))
    registry.write_text('{"projects": [{"pa', "utf-8")
    assert Crush().roots(home, named) == (tmp_path,)


def test_names() -> None:
    """Databases, a session's file and an export are known by name, place or beginning; other files are not."""
    for name in ("opencode.db", "opencode-dev.db", "opencode2.db", "kilo.db", "storage/session/prj/ses_1.json"):
        assert OpenCode().owns(PurePath("/home/mara/.local/share/opencode", name)), name
    for name in (
        "opencode.db-wal",
        "auth.json",
        "storage/message/ses_1/msg_1.json",
        "log/dev.db",
        "storage/project/p.json",
    ):
        assert not OpenCode().owns(PurePath("/home/mara/.local/share/opencode", name)), name
    export = FIXTURES / "opencode" / "export.json"
    assert OpenCode().claims(PurePath("/tmp/x.json"), export.read_bytes())  # noqa: S108 - a name only
    assert not OpenCode().claims(PurePath("/tmp/x.json"), b'{"info": {"title": "a book"}}')  # noqa: S108
    assert Crush().owns(PurePath("/home/mara/kettle/.crush/crush.db"))
    assert Goose().owns(PurePath("/g/sessions/sessions.db"))
    assert Goose().owns(PurePath("/g/sessions/20250901_101500.jsonl"))
    lines = (FIXTURES / "goose" / "sessions" / "20250901_101500.jsonl").read_bytes()
    assert Goose().claims(PurePath("/tmp/x.jsonl"), lines)  # noqa: S108
    assert not Goose().claims(PurePath("/codex/sessions/x.jsonl"), b'{"type":"session_meta","payload":{}}')
    assert isinstance(OpenCode().layout(PurePath("/x/opencode.db/ses_1")), Database)
    assert isinstance(OpenCode().layout(export), Document)


def test_head_of_a_database_tells_whose_it_is() -> None:
    """A database with another name is known by its tables, and is no other agent's."""
    for name in ("opencode/opencode", "opencode/opencode-next", "crush/crush", "goose/sessions", "goose/sessions-5"):
        with closing(memory((FIXTURES / f"{name}.sql").read_text("utf-8"))) as connection:
            head = connection.serialize()[:65536]
        named = [source.name for source in STORES if source.claims(PurePath("/tmp/copy"), head)]  # noqa: S108
        assert named == [name.split("/")[0]]


@needs_corpus
def test_real_databases() -> None:
    """Of the corpus' databases and storage every record is understood, and every result has its call before it."""
    kinds: Counter[str] = Counter()
    records: Counter[str] = Counter()
    for source, path in real_databases():
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
            for key, lines in database_lines(source, connection):
                events, parser = read(Store(source, path.name, PurePath(path) / key, lines))
                calls = {event.call_id for event in events if event.kind is EventKind.TOOL_CALL}
                assert all(event.call_id in calls for event in events if event.kind is EventKind.TOOL_RESULT)
                assert len({event.uid for event in events}) == len(events)
                assert parser.turn in {Turn.CLOSED, Turn.OPEN}
                kinds.update(event.kind.value for event in events)
                records.update(total=parser.records.total, unknown=parser.records.unknown)
                records.update(undecodable=parser.records.undecodable)
    assert records["total"] > 140
    assert records["unknown"] == records["undecodable"] == 0
    assert kinds["tool_call"] == kinds["tool_result"] == 41
    assert kinds["rejection"] == 3
    assert kinds["interrupt"] == 1


def real_databases() -> list[tuple[Crush | Goose, Path]]:
    """The genuine databases of the corpus: Crush's, one of them without its WAL, and one of Goose's."""
    found: list[tuple[Crush | Goose, Path]] = []
    for source in (Crush(), Goose()):
        found += [(source, path) for path in sorted((SHARED / "corpus" / source.name).rglob("*.db"))]
    assert len(found) >= 3
    return found


@needs_corpus
def test_documents_and_scripts_of_others() -> None:
    """The synthetic logs of other projects are read: sessions, prompts and answers of each."""
    seen: Counter[str] = Counter()
    for source in STORES:
        for path in sorted((SHARED / "corpus" / source.name).rglob("*.sql")):
            with closing(memory(path.read_text("utf-8"))) as connection:
                for key, lines in database_lines(source, connection):
                    events, parser = read(Store(source, path.name, PurePath(path) / key, lines))
                    assert parser.records.unknown == parser.records.undecodable == 0
                    seen[source.name] += len(events)
    for path in sorted((SHARED / "corpus" / "goose").rglob("*.jsonl")):
        events, _ = read(Store(Goose(), path.name, PurePath(path), document_lines(Goose(), path)))
        seen["goose"] += len(events)
    assert seen == {"opencode": 2, "goose": 4}

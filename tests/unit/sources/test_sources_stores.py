"""OpenCode, Crush and Goose: lines that stay as they were while their databases change; places and names."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path, PurePath

from agent_logs import FIXTURES, built, log_of, read_log, sessions_of, texts_of
from selfdistill.ingest.sessions import sessions
from selfdistill.layouts import Database, Document
from selfdistill.sources import SOURCES, Source
from selfdistill.sources.crush import Crush
from selfdistill.sources.goose import Goose
from selfdistill.sources.opencode import OpenCode

STORES: tuple[Source, ...] = (OpenCode(), Crush(), Goose())


def change(database: Path, *statements: tuple[str, ...]) -> None:
    """Do to a database what its agent does: statements with their values."""
    with closing(sqlite3.connect(database)) as connection:
        for statement, *values in statements:
            connection.execute(statement, values)
        connection.commit()


def test_running_message_only_grows(tmp_path: Path) -> None:
    """What was told of a message that is being written stands as it is when the message is finished."""
    database = built("opencode/opencode.sql", tmp_path / "made")
    before = texts_of(OpenCode(), database)["ses_running"]
    for old, new in (
        ('"status":"running"', '"status":"completed","output":"whistles"'),
        ('"time":{"created":1770000032000}', '"time":{"created":1770000032000,"completed":1770000039000}'),
    ):
        for table in ("part", "message"):
            change(database, (f"update {table} set data = replace(data, ?, ?)", old, new))  # noqa: S608
    after = texts_of(OpenCode(), database)["ses_running"]
    assert after.startswith(before)
    assert len(after) > len(before)
    assert b"queued" in after.splitlines()[-1]


def test_what_changes_later_is_in_no_line(tmp_path: Path) -> None:
    """Pruned outputs, summaries of prompts, titles and costs leave the lines of a session as they were."""
    database = built("opencode/opencode.sql", tmp_path / "made")
    before = texts_of(OpenCode(), database)["ses_normal"]
    pruned = "json_set(data, '$.state.time.compacted', 1)"
    summed = "json_set(data, '$.summary.title', 'Lid', '$.cost', 7)"
    change(
        database,
        (f"update part set data = {pruned} where message_id < 'msg_006'",),  # noqa: S608
        (f"update message set data = {summed} where id < 'msg_006'",),  # noqa: S608
        ("update session set title = 'Another', time_updated = 1",),
    )
    assert texts_of(OpenCode(), database)["ses_normal"] == before


def test_crush_message_ends_after_its_results(tmp_path: Path) -> None:
    """Crush writes the end of a message after the results of its tools: the lines before stay as they were."""
    key = "aaaaaaaa-0000-4000-8000-000000000001"
    database = built("crush/crush.sql", tmp_path / "made")
    whole = texts_of(Crush(), database)[key]
    end = ',{"type":"finish","data":{"reason":"tool_use","time":0}}'
    change(
        database,
        ("delete from messages where session_id = ? and rowid > 3", key),
        ("update messages set parts = replace(parts, ?, '') where rowid = 2", end),
    )
    growing = texts_of(Crush(), database)[key]
    assert whole.startswith(growing)
    assert growing.count(b"\n") >= 2


def test_compacted_goose_session_keeps_its_lines(tmp_path: Path) -> None:
    """A compaction writes all rows again, with new ids and hidden from the agent: the lines stay as they were."""
    database = built("goose/sessions.sql", tmp_path / "made")
    before = texts_of(Goose(), database)["20260202_1"]
    hidden = "json_set(metadata_json, '$.agentVisible', json('false'))"
    change(
        database,
        ("update messages set id = id + 1000, message_id = null",),
        (f"update messages set metadata_json = {hidden}",),  # noqa: S608
    )
    assert texts_of(Goose(), database)["20260202_1"] == before


def test_copies_share_their_uids() -> None:
    """A forked session of OpenCode and an imported one of Goose give the uids of what they were made of."""

    def uids(source: Source, name: str) -> set[str]:
        return {event.uid for event in read_log(log_of(source, name))[0]}

    opencode = "opencode.sql/"
    assert len(uids(OpenCode(), f"{opencode}ses_normal") & uids(OpenCode(), f"{opencode}ses_resumed")) == 3
    assert uids(Goose(), "sessions-5.sql/20250901_1") < uids(Goose(), "sessions/20250901_101500.jsonl")


def test_change_is_seen(tmp_path: Path) -> None:
    """Whatever is added to a session changes what the database says of it, and of no other."""
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
        database = built(name, tmp_path / name)
        layout = source.layout(database)
        assert isinstance(layout, Database)
        before = sessions(database, layout)
        change(database, (statement,))
        after = sessions(database, layout)
        own = [{key: (stat.size, stat.ctime_ns) for key, stat in seen.items()} for seen in (before, after)]
        assert sum(own[0][key] != own[1][key] for key in before) == 1, name


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


def test_head_of_a_database_tells_whose_it_is(tmp_path: Path) -> None:
    """A database with another name is known by its tables and is no other agent's; Cursor's has an editor's tables."""
    for script in sorted(FIXTURES.glob("*/*.sql")):
        name = f"{script.parent.name}/{script.name}"
        head = built(name, tmp_path / name).read_bytes()[:65536]
        named = [source.name for source in SOURCES if source.claims(PurePath("/tmp/copy"), head)]  # noqa: S108
        assert named == ([] if script.parent.name == "cursor" else [script.parent.name])


def test_database_of_another_name_has_the_same_sessions(tmp_path: Path) -> None:
    """The layout of a database does not hang on its name: a copy somewhere is read as well."""
    for source in STORES:
        script = next(iter(sorted((FIXTURES / source.name).glob("*.sql"))))
        database = built(f"{source.name}/{script.name}", tmp_path / source.name)
        copy = database.rename(database.with_name("copy.db"))
        assert sessions_of(source, copy)

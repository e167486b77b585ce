"""The questions to OpenCode's database: tables of messages and parts (1.2 to 1.x), and of whole messages (2.0).

After the move to 2.0 the older tables keep their rows: a session that both have is asked from the newer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from selfdistill.layouts import Queries

Tables = Mapping[str, frozenset[str]]

_COLUMNS: Final = (
    "kind, id, data, role, created, completed, model, cwd, finish, error, summary, running, closing, parent, version, "
    "finished"
)
_JSON: Final = "case when json_valid(data) then data else '{}' end"
_SESSION: Final = (
    "'session' as kind, id, null as data, null as role, null as created, null as completed, null as model, "
    "directory as cwd, null as finish, null as error, null as summary, null as running, null as closing, "
    "parent_id as parent, {version} as version, 1 as finished"
)


def newer(tables: Tables) -> Queries | None:
    """Return the questions to the tables of 2.0, None where they are not there."""
    sessions, messages = tables.get("session_v2", frozenset()), tables.get("session_message", frozenset())
    if not {"id", "directory", "parent_id"} <= sessions or not {"session_id", "type", "seq", "data"} <= messages:
        return None
    last = "from session_message m where m.session_id = s.id order by m.seq desc limit 1"
    return Queries(
        sessions=f"select s.id, s.time_updated || '/' || coalesce((select m.seq || '/' || m.time_updated {last}), ''), "  # noqa: S608 - names of columns only
        "(select count(*) from session_message m where m.session_id = s.id) from session_v2 s",
        records=f"""with messages as (
            select seq, id, type, data,
                type = 'assistant' and json_valid(data) and json_extract(data, '$.time.completed') is null
                    and json_extract(data, '$.error') is null as open
            from session_message where session_id = :key),
        running as (
            select seq from (select seq, open from messages where type = 'assistant' order by seq desc limit 1)
            where open)
        select {_COLUMNS} from (
            select -1 as place, {_SESSION.format(version=_column(sessions, "version"))} from session_v2 where id = :key
            union all select seq, 'message', id, data, type, null, null, null, null, null, null, null, null, null, null,
                null, seq not in (select seq from running)
            from messages where not exists (select 1 from running r where messages.seq > r.seq))
        order by place""",  # noqa: S608 - names of columns only
    )


def older(tables: Tables) -> Queries | None:
    """Return the questions to the tables of 1.x, None where they are not there."""
    sessions, messages = tables.get("session", frozenset()), tables.get("message", frozenset())
    parts = tables.get("part", frozenset())
    if "directory" not in sessions or not {"session_id", "data"} <= messages or not {"message_id", "data"} <= parts:
        return None
    here = "not in (select id from session_v2)" if newer(tables) is not None else "is not null"
    return Queries(sessions=_older_sessions(messages, parts, here), records=_older_records(sessions, here))


def _older_sessions(messages: frozenset[str], parts: frozenset[str], here: str) -> str:
    """The sessions, with the times of the last message and of the last of its parts: the others change no more."""
    last = "from message m where m.session_id = s.id order by m.time_created desc, m.id desc limit 1"
    touched = _column(parts, "time_updated", "id")
    return f"""select s.id, s.time_updated
            || '/' || coalesce((select m.id || '/' || {_column(messages, "time_updated", "time_created")} {last}), '')
            || '/' || coalesce((select count(*) || '/' || max({touched}) from part
                where message_id = (select m.id {last})), ''),
        (select count(*) from message m where m.session_id = s.id)
    from session s where s.id {here}"""  # noqa: S608 - names of columns only


def _older_records(sessions: frozenset[str], here: str) -> str:
    """The session, then each message's parts and its end; of the running one no more than what is finished.

    A part is open while its tool runs or its text grows, the last text also until the message says how it ends.
    """
    parent = "" if "parent_id" in sessions else ", null as parent_id"
    return f"""with messages as (
        select id, time_created as place, json_extract(known, '$.role') as role,
            json_extract(known, '$.time.created') as created, json_extract(known, '$.time.completed') as completed,
            coalesce(json_extract(known, '$.modelID'), json_extract(known, '$.model.modelID')) as model,
            json_extract(known, '$.path.cwd') as cwd, json_extract(known, '$.finish') as finish,
            json_extract(known, '$.error') as error, json_type(known, '$.summary') = 'true' as summary
        from (select *, {_JSON} as known from message where session_id = :key and session_id {here})),
    running as (
        select place, id from (select * from messages where role = 'assistant' order by place desc, id desc limit 1)
        where completed is null and error is null),
    shown as (
        select *, id in (select id from running) as running from messages
        where not exists (select 1 from running r where (messages.place, messages.id) > (r.place, r.id))),
    parts as (
        select s.id as message, s.place, s.role, s.created, s.completed, s.model, s.cwd, s.finish, s.error, s.summary,
            s.running, p.id as part, json_extract(known, '$.type') as type,
            case when s.running then json_extract(known, '$.state.status') end as status,
            case when s.running then json_extract(known, '$.time.start') end as start,
            case when s.running then json_extract(known, '$.time.end') end as ended
        from shown s join (select id, message_id, {_JSON} as known from part) p on p.message_id = s.id),
    weighed as (
        select *, coalesce(sum(type in ('text', 'tool')) over (partition by message order by part
            rows between 1 following and unbounded following), 0) = 0 as closing from parts),
    judged as (
        select *, running and case
            when type = 'tool' then status in ('pending', 'running')
            else (type = 'text' and closing) or (start is not null and ended is null) end as open from weighed),
    told as (
        select *, coalesce(sum(open) over (partition by message order by part
            rows between unbounded preceding and 1 preceding), 0) as held from judged)
    select {_COLUMNS} from (
        select 0 as stage, '' as place, '' as message, {_SESSION.format(version=_column(sessions, "version"))}
        from (select *{parent} from session) where id = :key and id {here}
        union all select 1, t.place, t.message, 'part', t.part, p.data, t.role, t.created, t.completed, t.model, t.cwd,
            t.finish, t.error, t.summary, t.running, t.closing, null, null, coalesce(not t.open, 1)
        from told t join part p on p.id = t.part where t.held = 0
        union all select 2, place, id, 'end', id, null, role, created, completed, model, cwd, finish, error, summary,
            running, null, null, null, 1
        from shown where role = 'assistant' and (completed is not null or error is not null))
    order by stage > 0, place, message, stage, id"""  # noqa: S608 - names of columns only


def _column(columns: frozenset[str], *names: str) -> str:
    """The first of the columns that there is; null where there is none of them."""
    return next((name for name in names if name in columns), "null")

"""What the daemon tells the world: one file, replaced as a whole, its modification time the heartbeat.

`selfdistill status` and anybody else reads it without us: the names here are a contract. None means that nothing is
known, and becomes an absent key.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec
import tomli_w
from msgspec import Struct, field

from selfdistill.errors import CannotCreate
from selfdistill.manifest import Usage

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA: Final = 1
HEARTBEAT_SECONDS: Final = 60
_TEMPORARY_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class State(StrEnum):
    """What the daemon is doing."""

    STARTING = "starting"
    WATCHING = "watching"
    DISTILLING = "distilling"
    PAUSED = "paused"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Root(Struct):
    """One watched directory: `health` is "ok" or one word for what is wrong, `advice` what to do about it."""

    path: str
    health: str = "ok"
    advice: str = ""


class Source(Struct):
    """How one agent's logs fare. `bytes_behind` counts what no distiller has read yet.

    `roots` are those that exist or were configured; `roots_absent` counts the agent's other usual places.
    `tails` are logs whose last line is not whole yet; `unknown_types` is the drift: record types that we do not know.
    """

    enabled: bool = True
    roots: list[Root] = field(default_factory=list)
    roots_absent: int = 0
    logs_seen: int = 0
    tracked: int = 0
    sessions: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    bytes_behind: int = 0
    oldest_unprocessed_since: datetime | None = None
    tails: int = 0
    records_total: int = 0
    undecodable: int = 0
    unknown_records: int = 0
    unknown_types: dict[str, int] = field(default_factory=dict)
    last_success_at: datetime | None = None


class Watcher(Struct):
    """How changes are noticed: `mode` is "events" or "scan-only", `reason` says why it is not the former."""

    mode: str = "events"
    reason: str = ""
    overflows: int = 0
    restarts: int = 0


class Call(Struct):
    """One call to the model. `input_tokens` is the whole prompt; without `cost_usd` its price is not known.

    `state` is "reserved" or "sent" while it is under way, then "settled", "applied" or "failed".
    """

    session: str
    model: str
    state: str
    at: datetime | None
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


class SessionCost(Struct):
    """What the calls about one session have cost today."""

    session: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class Model(Struct):
    """The LLM distiller: `state` is "off", "ready", "waiting", "blocked" or "over_cap". US dollars, days in UTC.

    `session_p50_usd`, `session_p95_usd`: half, and 95 in 100, of the sessions of the last 30 days cost no more.
    """

    state: str = "off"
    reason: str = ""
    name: str = ""
    spent_today_usd: float = 0.0
    daily_cap_usd: float = 0.0
    owed_sessions: int = 0
    calls_today: int = 0
    input_tokens_today: int = 0
    output_tokens_today: int = 0
    session_p50_usd: float | None = None
    session_p95_usd: float | None = None
    spent_by_day_usd: dict[str, float] = field(default_factory=dict)  # the last 7 days with calls
    last_call: Call | None = None
    dearest_today: list[SessionCost] = field(default_factory=list)  # the first 5


class Recall(Struct):
    """What telling lessons has come to: sessions in which the failure then stayed away, or came all the same.

    Told lessons are `unproven`, `helping` or `not_helping` (recall/effects.py says when); `ignored` ones are archived.
    By week, the last one is this: failures that a lesson had covered, and those that had come in another session.
    """

    deliveries: int = 0
    helped: int = 0
    recurred: int = 0
    unproven: int = 0
    helping: int = 0
    not_helping: int = 0
    ignored: int = 0
    spoiled_lines: int = 0  # of the spool, that could not be used
    known_failures_by_week: list[int] = field(default_factory=list)
    repeated_failures_by_week: list[int] = field(default_factory=list)


class Quarantined(Struct):
    """A session set aside, why, and when it is tried again."""

    session: str
    reason: str
    until: datetime | None = None


class Problem(Struct):
    """The latest error, and what to do about it."""

    message: str
    advice: str = ""
    at: datetime | None = None


class Status(Struct):
    """Everything `status` shows. The seven fields from `last_run_id` on are the original tool's.

    `process` is what `processes.identity` says of `pid`: it tells this daemon from a later process with its number.
    `alarms` are whole sentences; any of them makes the verdict "degraded".
    """

    state: State
    version: str
    schema: int = SCHEMA
    reason: str = ""
    advice: str = ""
    pid: int | None = None
    process: str = ""
    started_at: datetime | None = None
    heartbeat_seconds: int = HEARTBEAT_SECONDS
    config: str = ""
    alarms: list[str] = field(default_factory=list)
    watcher: Watcher = field(default_factory=Watcher)
    settling: int = 0
    due: int = 0
    backlog: int = 0
    next_wake_at: datetime | None = None
    analysis_mode: str = "heuristic"
    model: Model = field(default_factory=Model)
    quarantined_sessions: int = 0
    quarantined: list[Quarantined] = field(default_factory=list)  # the first 20
    outdated_sessions: int = 0  # distilled by an older version: `run --again`
    pending_lessons: int = 0  # lessons that wait for more evidence or a person
    covering_lessons: int = 0  # active lessons about a failure that can come again ...
    recurred_lessons: int = 0  # ... and those of them whose failure did, in a later session
    recall: Recall = field(default_factory=Recall)
    total_sessions: int = 0
    last_run_id: str | None = None
    last_run_at: datetime | None = None
    total_runs: int = 0
    total_lessons: int = 0
    last_analysis_mode: str | None = None
    last_sessions_processed: int | None = None
    last_lessons_generated: int | None = None
    last_usage: Usage | None = None  # of the last run
    last_error: Problem | None = None
    sources: dict[str, Source] = field(default_factory=dict)
    absent_agents: list[str] = field(default_factory=list)  # watched for, but nothing of theirs is or was there


def moment(epoch_seconds: float | None) -> datetime | None:
    """Given seconds since the epoch, the time as the file holds it: UTC, whole seconds; None stays None."""
    if epoch_seconds is None:
        return None
    return datetime.fromtimestamp(int(epoch_seconds), UTC)


def write(status: Status, path: Path) -> None:
    """Replace the status file as a whole: a reader sees the old text or the new one, also after a power cut.

    The caller holds the daemon's lock. Takes about 8 ms, nearly all of it fsync.

    Raises:
        CannotCreate: no room, or the path is taken by something else; the old file stays, and grows stale.
    """
    text = tomli_w.dumps(_plain(msgspec.to_builtins(status, builtin_types=(datetime,))))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _sweep(path)
        _write_synced(temporary, text.encode())
        temporary.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise CannotCreate(
            f"Cannot replace the status file {path}: {error.strerror}.",
            "Make room on that disk and keep the state directory writable; until then `status` shows the old one.",
        ) from error


def touch(path: Path) -> None:
    """Tell that the daemon lives: set the file's modification time to now, without writing it anew.

    Raises:
        CannotCreate: the file is gone; write it again.
    """
    try:
        os.utime(path, follow_symlinks=False)
    except OSError as error:
        raise CannotCreate(
            f"Cannot touch the status file {path}: {error.strerror}.", "It is written anew when it is gone."
        ) from error


def _plain(value: object) -> dict[str, object]:
    """The status as tomli-w takes it: keys without a value are left out, texts can be encoded."""
    plain = _plain_value(value)
    return plain if isinstance(plain, dict) else {}


def _plain_value(value: object) -> object:
    if isinstance(value, dict):
        return {_encodable(str(key)): _plain_value(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain_value(item) for item in value]
    return _encodable(value) if isinstance(value, str) else value


def _encodable(text: str) -> str:
    """Paths that are not UTF-8 carry lone surrogates, which no TOML file can hold: each becomes "?"."""
    return text.encode("utf-8", "replace").decode()


def _sweep(path: Path) -> None:
    """Remove what writers left that were killed between create and rename."""
    for left in path.parent.glob(f".{path.name}.*"):
        left.unlink(missing_ok=True)


def _write_synced(path: Path, text: bytes) -> None:
    descriptor = os.open(path, _TEMPORARY_FLAGS, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - only open() takes the descriptor with our flags
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    """Without it the rename itself may be undone by a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

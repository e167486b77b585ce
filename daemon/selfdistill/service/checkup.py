"""What `doctor` looks at: gathers the facts for `diagnosis` and changes nothing.

A new check is a function here and one line in CHECKS.
"""

from __future__ import annotations

import os
import platform
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct

from selfdistill.config import Config, Places, places
from selfdistill.errors import ConfigError, SelfdistillError, ServiceProblem, StoreBusy
from selfdistill.ingest.naming import printable
from selfdistill.ingest.roots import examine_root
from selfdistill.service import diagnosis
from selfdistill.service.diagnosis import Line, fail, ok, warn
from selfdistill.service.hands import Doing
from selfdistill.service.hook_overview import overview, troubles
from selfdistill.service.hook_settings import Standing
from selfdistill.service.installing import supervisor
from selfdistill.service.model_access import model_access
from selfdistill.service.watched import watched_sources
from selfdistill.sources import SOURCES
from selfdistill.store import Store
from selfdistill.store.database import SQLITE_VERSION

if TYPE_CHECKING:
    from selfdistill.service.watched import Watched

CONNECT_SECONDS: Final = 3.0
_LIMITS: Final = Path("/proc/sys/fs/inotify")
_LOCKS: Final = Path("/proc/locks")
_PACKAGES: Final = ("watchdog", "anthropic", "msgspec", "structlog")
_SERVICE: Final = "https://api.anthropic.com"
_BYTES_PER_MIB: Final = 1024 * 1024


class Patient(Struct, frozen=True):
    """What is looked at. `refusal` is why the configuration file cannot be used; `daemon` what `status` makes of it."""

    places: Places
    home: Path
    environment: Mapping[str, str]
    config: Config
    refusal: SelfdistillError | None
    daemon: Line
    daemon_runs: bool = False


def examine(patient: Patient) -> list[Line]:
    """Every check's lines, in order."""
    return [line for check in CHECKS for line in check(patient)]


def configuration(patient: Patient) -> Iterator[Line]:
    """The file can be used; without one the defaults count."""
    path = patient.places.config
    if patient.refusal is not None:
        yield fail("configuration", patient.refusal.message, patient.refusal.advice)
    else:
        yield ok("configuration", f"{path}." if path.exists() else "There is no file: the defaults count.")


def roots(patient: Patient) -> Iterable[Line]:
    """The agents' directories."""
    found = []
    for watched in _watched(patient):
        settings = patient.config.sources.get(watched.source.name)
        for root in watched.roots:
            health = examine_root(root)
            named = bool(settings and settings.roots)
            place = diagnosis.Place(watched.source.name, printable(root), health.health.value, health.advice, named)
            found.append(place)
    return diagnosis.judge_roots(found)


def permissions(patient: Patient) -> Iterable[Line]:
    """Who may read what we wrote."""
    return diagnosis.judge_permissions(list(_owned(patient.places)), os.geteuid())


def _owned(ours: Places) -> Iterator[diagnosis.Owned]:
    above = [ours.state] if ours.state.is_dir() else []
    below = (Path(path, name) for path, names, files in os.walk(ours.state) for name in (*names, *files))
    for path in (*above, *below):
        with suppress(FileNotFoundError):  # a journal comes and goes
            found = path.lstat()
            if not stat.S_ISLNK(found.st_mode):
                is_directory = stat.S_ISDIR(found.st_mode)
                yield diagnosis.Owned(path, stat.S_IMODE(found.st_mode), found.st_uid, is_directory)


def watching(patient: Patient) -> Iterator[Line]:
    """The kernel's limits against the directories that are there."""
    readable = {
        root.resolve() for watched in _watched(patient) for root in watched.roots if examine_root(root).scannable
    }
    directories = sum(1 for root in readable for _ in os.walk(root))
    yield diagnosis.judge_watching(directories, _limit("max_user_watches"), _limit("max_user_instances"))


def _limit(name: str) -> int | None:
    try:
        return int((_LIMITS / name).read_text())
    except (OSError, ValueError):
        return None


def clock(patient: Patient) -> Iterable[Line]:
    """Now, against the times of our own files and of the newest log."""
    seen = {}
    for path in (patient.places.status, patient.places.database):
        with suppress(OSError):
            seen[str(path)] = path.stat().st_mtime
    with suppress(SelfdistillError):  # a store that cannot be read is told by its own check
        for path, when in _newest_logs(patient.places):
            seen[printable(path)] = when
    return diagnosis.judge_clock(time.time(), seen)


def _newest_logs(ours: Places) -> list[tuple[Path, float]]:
    store = Store.open_read_only(ours.database)
    if store is None:
        return []
    with store:
        return [(log.path, log.stat.mtime_ns / 1e9) for log in store.present(1)]


def disk(patient: Patient) -> Iterator[Line]:
    """Room beside the state directory, or where it would be made."""
    there = next(path for path in (patient.places.state, *patient.places.state.parents) if path.exists())
    found = os.statvfs(there)
    free_files = found.f_favail if found.f_files else None
    facts = diagnosis.Disk(
        there, found.f_bavail * found.f_frsize / _BYTES_PER_MIB, free_files, bool(found.f_flag & os.ST_RDONLY)
    )
    yield diagnosis.judge_disk(facts, patient.config.limits.min_free_mib)


def database(patient: Patient) -> Iterator[Line]:
    """The store is ours, of our schema, and every page of it is sound; read without a trace."""
    try:
        store = Store.open_read_only(patient.places.database)
        if store is None:
            yield ok("database", "There is none yet; it is made when it is needed.")
            return
        with store:
            store.check()
            totals = store.totals()
            yield ok("database", f"Sound: {store.sessions()} sessions, {totals.lessons} lessons.")
    except StoreBusy as problem:
        yield warn("database", problem.message, problem.advice)
    except SelfdistillError as problem:
        yield fail("database", problem.message, problem.advice)


def daemon(patient: Patient) -> Iterator[Line]:
    """What `status` says; and that nobody holds the lock in silence."""
    yield patient.daemon
    if not patient.daemon_runs:
        holder = lock_holder(patient.places.lock)
        if holder:
            what = f"Process {holder} holds the lock {patient.places.lock}."
            yield warn("lock", what, "It is a daemon that hangs, or a `selfdistill run` at this moment: look again.")


def lock_holder(lock: Path) -> int:
    """The process that holds a lock file, without touching the lock; 0 for none, or where the kernel does not tell."""
    try:
        inode, table = lock.stat().st_ino, _LOCKS.read_text()
    except OSError:
        return 0
    for line in table.splitlines():
        words = line.split()  # 1: FLOCK ADVISORY WRITE 1234 fe:01:5678 0 EOF
        if len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):  # noqa: PLR2004
            return max(0, int(words[4]))
    return 0


def model(patient: Patient) -> Iterable[Line]:
    """The key, and whether its service answers to a bare connection: nothing is sent."""
    try:
        access = model_access(patient.config.llm, patient.environment).access
    except ConfigError as problem:
        return [fail("model", problem.message, problem.advice)]
    address = access.base_url or _SERVICE
    refused = refusal(address) if access.usable else ""
    return diagnosis.judge_model(
        usable=access.usable, reason=access.reason, warnings=access.warnings, address=address, refusal=refused
    )


def refusal(address: str, seconds: float = CONNECT_SECONDS) -> str:
    """Why no connection to an address can be made, "" if one can.

    In a thread that is left behind: the resolution of a name takes no deadline (30 s and more without a network).
    """
    parts = urlsplit(address)
    answer: list[str] = []

    def connect() -> None:
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname, port), timeout=seconds).close()
            answer.append("")
        except (OSError, UnicodeError) as error:
            answer.append(getattr(error, "strerror", None) or str(error))

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else f"no answer within {seconds:g} s"


def service(patient: Patient) -> Iterable[Line]:
    """The installed service, and whether it works where this shell looks."""
    hand = Doing(patient.environment, lambda _: None)
    try:
        standing = supervisor(hand, patient.home, patient.environment).standing()
    except ServiceProblem as problem:
        return [warn("service", problem.message, problem.advice)]
    if not standing.installed:
        return diagnosis.judge_service(None)
    program = standing.program.replace("%h", str(patient.home))
    its_home = Path(standing.environment.get("HOME", patient.home))
    return diagnosis.judge_service(
        diagnosis.Written(
            active=standing.active,
            state=standing.state,
            program=program,
            program_is_there=os.access(program, os.X_OK),
            its_state=str(places(its_home, standing.environment).state),
            our_state=str(patient.places.state),
            moved=_moved(patient, its_home, standing.environment),
            at_login=standing.at_login,
            hardened=standing.hardened,
        )
    )


def _moved(patient: Patient, its_home: Path, its_environment: Mapping[str, str]) -> list[str]:
    """The agents whose default places another environment moves."""
    here = {one.source.name: one.roots for one in _watched(patient)}
    there = watched_sources(SOURCES, patient.config, its_home, its_environment)
    return [one.source.name for one in there if here[one.source.name] != one.roots]


def hooks(patient: Patient) -> Iterator[Line]:
    """The hooks in agents' settings, and what trouble they had; agents without them are no matter."""
    standing = overview(patient.home, patient.environment, patient.places.state)
    working = [one.title for one in standing if one.standing is Standing.INSTALLED]
    if working:
        yield ok("hooks", f"Lessons are told to {', '.join(working)}.")
    broken = [one for one in standing if one.standing in {Standing.GONE, Standing.OTHER, Standing.UNREADABLE}]
    for one in broken:
        yield warn("hooks", f"{one.title}: {one.reason or one.standing.value} ({one.path}).", one.advice)
    found = troubles(patient.places.state)
    if found.count:
        yield warn("hooks", f"{found.count} times a hook could not look: {found.last}.", f"See {found.path}.")
    if not working and not broken:
        yield ok("hooks", "None are installed: `selfdistill hooks install` hands lessons back to your agents.")


def versions(_patient: Patient) -> Iterable[Line]:
    """Python, SQLite and what we are built on."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return diagnosis.judge_versions(platform.python_version(), SQLITE_VERSION, found)


def _watched(patient: Patient) -> tuple[Watched, ...]:
    return watched_sources(SOURCES, patient.config, patient.home, patient.environment)


CHECKS: Final[tuple[Callable[[Patient], Iterable[Line]], ...]] = (
    configuration,
    roots,
    permissions,
    watching,
    clock,
    disk,
    database,
    daemon,
    model,
    service,
    hooks,
    versions,
)
"""Every check, in the order in which they are told."""

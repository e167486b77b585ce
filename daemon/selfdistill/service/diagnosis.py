"""What `doctor` makes of what it found: each check a function from facts to lines; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import PurePath
from typing import Final

from msgspec import Struct

DAY_SECONDS: Final = 86400.0
_SKEW_SECONDS: Final = 300.0  # between the clocks of a file server and of this machine
_BORN: Final = 1_767_225_600.0  # 2026: this program is younger than any clock that shows less
_SPARE: Final = 1.25  # other programs want inotify watches too
_LOW_DISK: Final = 3.0  # times the limit below which distilling pauses
_OLDEST_SQLITE: Final = (3, 37, 0)  # STRICT tables
_MODE_BITS: Final = 0o077
_MOST_NAMED: Final = 3


class Level(StrEnum):
    """How grave a line is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Line(Struct, frozen=True, omit_defaults=True):
    """One check's result: what was found, and what to do unless all is well."""

    check: str
    level: Level
    what: str
    advice: str = ""


def ok(check: str, what: str) -> Line:
    """All is well."""
    return Line(check, Level.OK, what)


def warn(check: str, what: str, advice: str) -> Line:
    """It works, but less well than it could, or not for long."""
    return Line(check, Level.WARN, what, advice)


def fail(check: str, what: str, advice: str) -> Line:
    """It does not work."""
    return Line(check, Level.FAIL, what, advice)


class Place(Struct, frozen=True):
    """A directory of logs: whose, its health in a word, and whether the configuration names it."""

    agent: str
    path: str
    health: str
    advice: str = ""
    configured: bool = False


def judge_roots(places: Sequence[Place]) -> list[Line]:
    """At least one can be read; each that is there but cannot be, or was named but is not there, is told by itself."""
    good = [place for place in places if place.health in {"ok", "network"}]
    lines = []
    if good:
        agents = ", ".join(sorted({place.agent for place in good}))
        lines.append(ok("roots", f"{len({place.path for place in good})} directories of logs ({agents})."))
    else:
        advice = "Use an agent once, or name its directory: `roots` under [sources.NAME] in the configuration."
        lines.append(warn("roots", "No agent's logs are here.", advice))
    for place in places:
        what = f"{place.path} ({place.agent}): {place.health}."
        if place.health == "network":
            lines.append(warn("roots", what, place.advice))
        elif place not in good and (place.health != "missing" or place.configured):
            lines.append(fail("roots", what, place.advice))
    return lines


class Owned(Struct, frozen=True):
    """A file or directory of ours: its mode and owner."""

    path: PurePath
    mode: int
    user: int
    is_directory: bool


def judge_permissions(found: Sequence[Owned], user: int) -> list[Line]:
    """All that we write is ours, directories 0700, files 0600: it tells what was said in your sessions."""
    foreign = [one for one in found if one.user != user]
    open_ = [one for one in found if one.user == user and one.mode & _MODE_BITS]
    lines = []
    if foreign:
        what = f"{_named(foreign)} belong to somebody else."
        lines.append(fail("permissions", what, f"Look why, then: sudo chown -R {user} '{foreign[0].path}'"))
    if open_:
        directories = any(one.is_directory for one in open_)
        advice = f"chmod {'700' if directories else '600'} " + " ".join(f"'{one.path}'" for one in open_[:_MOST_NAMED])
        lines.append(warn("permissions", f"Others may read or change {_named(open_)}.", advice))
    return lines or [ok("permissions", f"{len(found)} files and directories are yours alone.")]


def _named(found: Sequence[Owned]) -> str:
    """The first few by name, the others by number."""
    names = ", ".join(str(one.path) for one in found[:_MOST_NAMED])
    return names if len(found) <= _MOST_NAMED else f"{names} and {len(found) - _MOST_NAMED} more"


def judge_watching(directories: int, watches: int | None, instances: int | None) -> Line:
    """The kernel allows a watch for each directory; None where there is no such limit (macOS)."""
    if watches is None or instances is None:
        return ok("inotify", "This system has no limit of watches.")
    wanted = max(524288, round(directories * _SPARE))
    keep = "and to keep it: write that line, without `sysctl -w`, into /etc/sysctl.d/40-selfdistill.conf"
    if watches < directories * _SPARE:
        what = f"{directories} directories are to be watched, the limit for all your programs is {watches}."
        return warn(
            "inotify",
            f"{what} The rest is found by scans.",
            f"sudo sysctl -w fs.inotify.max_user_watches={wanted}, {keep}",
        )
    if instances < 1:
        return warn("inotify", "No watcher is allowed.", f"sudo sysctl -w fs.inotify.max_user_instances=512, {keep}")
    return ok("inotify", f"{directories} directories, {watches} watches and {instances} instances are allowed.")


def judge_clock(now: float, seen: Mapping[str, float]) -> list[Line]:
    """The clock shows a time after all that it showed before; `seen` is what has which time (epoch seconds)."""
    if now < _BORN:
        return [fail("clock", "The clock shows a time before this program was made.", "Set the clock, e.g. by NTP.")]
    ahead = {name: when - now for name, when in seen.items() if when - now > _SKEW_SECONDS}
    lines = [
        warn(
            "clock",
            f"{name} is from {_span(seconds)} ahead of now.",
            "The clock was set back, or is wrong: check it (timedatectl). Nothing is lost.",
        )
        for name, seconds in ahead.items()
    ]
    return lines or [ok("clock", "No time that is known lies ahead.")]


def _span(seconds: float) -> str:
    return f"{seconds / DAY_SECONDS:.1f} days" if seconds >= DAY_SECONDS else f"{seconds / 60:.0f} minutes"


class Disk(Struct, frozen=True):
    """The file system of the state directory; `free_files` is None where it has no such limit."""

    path: PurePath
    free_mib: float
    free_files: int | None = None
    read_only: bool = False


def judge_disk(disk: Disk, min_free_mib: float) -> Line:
    """There is more room than the limit below which distilling pauses."""
    if disk.read_only:
        return fail("disk", f"{disk.path} is read-only.", "Mount it writable, or name another --state-dir.")
    if disk.free_files == 0:
        return fail("disk", f"No file can be made on the disk of {disk.path}: it has no inodes left.", "Remove files.")
    what = f"{disk.free_mib:,.0f} MiB are free on the disk of {disk.path}"
    if disk.free_mib < min_free_mib:
        return fail("disk", f"{what}: distilling pauses.", "Free some space, or lower `limits.min_free_mib`.")
    if disk.free_mib < min_free_mib * _LOW_DISK:
        return warn("disk", f"{what}; at {min_free_mib:g} distilling pauses.", "Free some space.")
    return ok("disk", f"{what}.")


def judge_model(*, usable: bool, reason: str, warnings: Sequence[str], address: str, refusal: str) -> list[Line]:
    """Whether a model may be asked and its service can be reached; that it is off is no trouble."""
    lines = [warn("model", text, "Until then the key is open to others.") for text in warnings]
    if not usable:
        return [*lines, ok("model", f"Off. {reason}")]
    if refusal:
        advice = "Check network and firewall; the rules work alone meanwhile, and nothing is lost."
        return [*lines, warn("model", f"{address} cannot be reached: {refusal}.", advice)]
    return [*lines, ok("model", f"On ({reason}); {address} can be reached.")]


class Written(Struct, frozen=True):
    """An installed service: what its file says beside what this shell says.

    `moved` names the agents whose logs are elsewhere for the service than for this shell.
    """

    active: bool
    state: str
    program: str
    program_is_there: bool
    its_state: str
    our_state: str
    moved: Sequence[str] = ()
    at_login: bool = True
    hardened: bool | None = None


_AGAIN: Final = "If this shell is right: selfdistill service install"


def judge_service(written: Written | None) -> list[Line]:
    """An installed service runs, what it starts is there, and it works where this shell looks."""
    if written is None:
        return [ok("service", "Not installed. `selfdistill service install` starts the daemon at each login.")]
    lines = []
    if not written.program_is_there:
        lines.append(fail("service", f"It starts {written.program}, which is gone.", "selfdistill service install"))
    elif not written.active:
        lines.append(fail("service", f"Installed, but {written.state}.", "selfdistill service logs, then: ... start"))
    if written.its_state != written.our_state:
        what = f"It keeps its state in {written.its_state}, this shell in {written.our_state}."
        lines.append(warn("service", what, _AGAIN))
    if written.moved:
        what = f"It looks elsewhere than this shell for the logs of {', '.join(written.moved)}."
        lines.append(warn("service", what, _AGAIN))
    if not written.at_login:
        lines.append(warn("service", "It does not start at login.", "selfdistill service install"))
    hardened = {True: ", hardened", False: ", not hardened", None: ""}[written.hardened]
    return lines or [ok("service", f"{written.state}{hardened}; it looks where this shell looks.")]


def judge_versions(python: str, sqlite: tuple[int, int, int], packages: Mapping[str, str]) -> list[Line]:
    """What is installed; an empty version is a package that is not there."""
    told = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    sqlite_told = ".".join(map(str, sqlite))
    lines = [
        fail("versions", f"The package {name} is not installed.", "Install selfdistill anew, with what it needs.")
        for name, version in packages.items()
        if not version
    ]
    if sqlite < _OLDEST_SQLITE:
        lines.append(fail("versions", f"SQLite {sqlite_told} is too old.", "Use a Python with SQLite 3.37 or newer."))
    return lines or [ok("versions", f"Python {python}, SQLite {sqlite_told}, {told}.")]


def verdict(lines: Sequence[Line]) -> Level:
    """The gravest of all lines."""
    found = {line.level for line in lines}
    return next(level for level in (Level.FAIL, Level.WARN, Level.OK) if level in found or level is Level.OK)

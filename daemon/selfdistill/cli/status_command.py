"""`selfdistill status`: reads the status file and asks the kernel about the pid; never the store, never the daemon.

It starts in under 3.5 times `python -c pass` because it imports nothing but `tomllib` (which alone costs 2.5): no
argparse, no msgspec, no rich. `cli/main.py` comes here before it imports anything else.
"""

from __future__ import annotations

import os
import stat
import sys
import time
import tomllib
from typing import TYPE_CHECKING, Any, Final

from selfdistill.cli import status_screen
from selfdistill.service import processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEALTHY: Final = 0
DEGRADED: Final = 1
STALE: Final = 2
NOT_RUNNING: Final = 3
NEVER_STARTED: Final = 4
USAGE_ERROR: Final = 64
VERDICTS: Final = ("healthy", "degraded", "stale", "not running", "never started")

SCHEMA: Final = 1  # service/status.py's, which costs msgspec to import; a test compares them
_HEARTBEATS_MISSED: Final = 3
_DEFAULT_HEARTBEAT_SECONDS: Final = 60
_WATCH_SECONDS: Final = 2.0
_HEALTHY_STATES: Final = ("starting", "watching", "distilling", "stopping")
_START: Final = "Start it: selfdistill daemon (or your service: systemctl --user start selfdistill)."

USAGE: Final = """\
usage: selfdistill [--state-dir DIR] status [--json] [--watch]

Shows how the daemon is doing, from its status file alone.

  --json        the status file as JSON, with `verdict` and `exit_code`
  --watch       draw it again every 2 seconds until Ctrl-C
  --state-dir DIR   another state directory
  -h, --help    this text

exit codes: 0 healthy, 1 degraded, 2 stale, 3 not running, 4 never started, 64 wrong usage
"""


class Options:
    """What the command line asks for."""

    __slots__ = ("as_json", "help", "state", "watch")

    def __init__(self) -> None:
        self.as_json = False
        self.watch = False
        self.help = False
        self.state = ""


class Snapshot:
    """What was found at the path: the file's table with its heartbeat (epoch seconds), or why there is none."""

    __slots__ = ("heartbeat", "path", "problem", "table")

    def __init__(self, path: str, table: dict[str, Any] | None, heartbeat: float = 0.0, problem: str = "") -> None:
        self.path = path
        self.table = table
        self.heartbeat = heartbeat
        self.problem = problem


class Verdict:
    """The exit code, its word, the sentence that explains it, and what to do."""

    __slots__ = ("advice", "exit_code", "reason")

    def __init__(self, exit_code: int, reason: str, advice: str = "") -> None:
        self.exit_code = exit_code
        self.reason = reason
        self.advice = advice

    @property
    def word(self) -> str:
        """The verdict as the screen and `--json` name it."""
        return VERDICTS[self.exit_code]


def main(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Given the words of the command line without the program's name, print the status and return the exit code."""
    try:
        options = parse(arguments)
    except ValueError as error:
        sys.stderr.write(f"selfdistill status: {error}\n\n{USAGE}")
        return USAGE_ERROR
    if options.help:
        sys.stdout.write(USAGE)
        return HEALTHY
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal without our bullet shows "?"
    path = os.path.join(options.state or state_directory(environment), "status.toml")  # noqa: PTH118 - pathlib: 5 ms
    if options.watch:
        return _watch(path, as_json=options.as_json, environment=environment)
    snapshot = read(path)
    verdict = judge(snapshot, time.time())
    _show(snapshot, verdict, as_json=options.as_json, environment=environment)
    return verdict.exit_code


def parse(arguments: Sequence[str]) -> Options:
    """Given the command line, the options; raise ValueError, in words, on anything else. argparse would cost 6 ms."""
    options, rest, command_seen = Options(), iter(arguments), False
    for word in rest:
        name, equals, value = word.partition("=")
        if name in ("--state-dir", "--config"):  # --config is every command's option; the status file does not need it
            value = value if equals else next(rest, "")
            if not value:
                raise ValueError(f"{name} needs a value")
            options.state = value if name == "--state-dir" else options.state
        elif word in ("-h", "--help"):
            options.help = True
        elif word == "--json":
            options.as_json = True
        elif word == "--watch":
            options.watch = True
        elif word == "status" and not command_seen:
            command_seen = True
        else:
            raise ValueError(f"unknown argument {word!a}")
    return options


def state_directory(environment: Mapping[str, str], platform: str = sys.platform) -> str:
    """The state directory as `config.places` has it, without its imports; a test compares the two."""
    override = environment.get("SELFDISTILL_STATE_DIR", "")
    if override:
        return override
    home = environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - pathlib costs 5 ms
    if platform == "darwin":
        return f"{home}/Library/Application Support/selfdistill"
    base = environment.get("XDG_STATE_HOME", "")
    return f"{base if base.startswith('/') else home + '/.local/state'}/selfdistill"


def read(path: str) -> Snapshot:
    """What stands at the path, in one piece: text and heartbeat are the same file's. Never raises for a bad file."""
    try:
        # O_NONBLOCK: a FIFO put in its place must not hang us; O_NOFOLLOW: nor a link show another's file.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Snapshot(path, None)
    except OSError as error:
        return Snapshot(path, None, problem=f"{path} cannot be opened: {error.strerror}")
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return Snapshot(path, None, problem=f"{path} is not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            return Snapshot(path, tomllib.loads(file.read().decode()), found.st_mtime)
    except OSError as error:
        return Snapshot(path, None, problem=f"{path} cannot be read: {error.strerror}")
    except (ValueError, RecursionError) as error:
        return Snapshot(path, None, problem=f"{path} is damaged ({error})")
    finally:
        os.close(descriptor)


def judge(snapshot: Snapshot, now: float) -> Verdict:
    """Given what was found and the time (epoch seconds), the verdict; the kernel is asked about the pid."""
    table = snapshot.table
    if table is None:
        return _judge_absent(snapshot)
    pid, reason = table.get("pid"), status_screen.text(table, "reason")
    if table.get("state") == "stopped":
        return Verdict(NOT_RUNNING, reason or "The daemon was stopped, or never ran beside `selfdistill run`.", _START)
    if not isinstance(pid, int) or not _is_the_daemon(pid, status_screen.text(table, "process")):
        ago = status_screen.span(now - snapshot.heartbeat)
        return Verdict(
            NOT_RUNNING,
            f"The daemon (pid {pid}) ended without a word, last seen {ago} ago: killed, crashed, or restarted machine.",
            f"{_START} Nothing is lost: it goes on where it was.",
        )
    return _judge_running(table, pid, now - snapshot.heartbeat)


def _judge_absent(snapshot: Snapshot) -> Verdict:
    if snapshot.problem:
        return Verdict(
            STALE,
            f"The status file says nothing: {snapshot.problem}.",
            "Whether the daemon runs is unknown. Move the file away; a running daemon writes it anew.",
        )
    return Verdict(
        NEVER_STARTED,
        f"selfdistill has never run here: there is no {snapshot.path}.",
        "Try one pass now: selfdistill run. Or start the daemon: selfdistill daemon.",
    )


def _judge_running(table: dict[str, Any], pid: int, age_seconds: float) -> Verdict:
    """The process is there: does it report, and what? A heartbeat in the future is as odd as an old one."""
    every = table.get("heartbeat_seconds")
    every = every if isinstance(every, int) and every > 0 else _DEFAULT_HEARTBEAT_SECONDS
    if abs(age_seconds) > _HEARTBEATS_MISSED * every:
        return Verdict(
            STALE,
            f"The daemon (pid {pid}) is there but last reported {status_screen.span(age_seconds)} ago; "
            f"it should every {every} s. It hangs, its disk is full, or the machine just woke.",
            f"Wait a minute; look at its log and at `df`; if it stays so, end it: kill {pid}",
        )
    reason, advice = status_screen.text(table, "reason"), status_screen.text(table, "advice")
    if table.get("schema") != SCHEMA:
        return Verdict(
            DEGRADED,
            f"Another version of selfdistill wrote the status file (schema {table.get('schema')}, known is {SCHEMA}).",
            "Use the `selfdistill` of the version that runs; what follows may be incomplete.",
        )
    state = table.get("state")
    if state not in _HEALTHY_STATES:
        return Verdict(DEGRADED, reason or f"The daemon says that it is {state}.", advice)
    if table.get("alarms"):
        return Verdict(DEGRADED, reason, advice)
    return Verdict(HEALTHY, reason, advice)


def _is_the_daemon(pid: int, process: str) -> bool:
    """Whether that very process lives; a kernel that does not tell start times leaves the number alone to decide."""
    return processes.is_alive(pid) and processes.may_be_same(process, processes.identity(pid))


def as_json(snapshot: Snapshot, verdict: Verdict, now: float) -> dict[str, Any]:
    """The file's table, with the verdict and the heartbeat's age added."""
    added: dict[str, Any] = {
        "verdict": verdict.word,
        "exit_code": verdict.exit_code,
        "verdict_reason": verdict.reason,
        "verdict_advice": verdict.advice,
        "status_file": snapshot.path,
    }
    if snapshot.table is not None:
        added["heartbeat_age_seconds"] = round(now - snapshot.heartbeat, 1)
    return {**(snapshot.table or {}), **added}


def _show(snapshot: Snapshot, verdict: Verdict, *, as_json: bool, environment: Mapping[str, str]) -> None:
    """Print once."""
    if as_json:
        sys.stdout.write(_json_text(snapshot, verdict, indent=2) + "\n")
        return
    colour = _wants_colour(environment)
    lines = status_screen.lines(snapshot, verdict, time.time())
    sys.stdout.write("".join(status_screen.render(line, colour=colour) + "\n" for line in lines))


def _json_text(snapshot: Snapshot, verdict: Verdict, *, indent: int | None) -> str:
    import json  # noqa: PLC0415 - 6 ms that the screen need not pay

    # Escaped to ASCII: no control character of a path reaches a terminal. TOML's times become ISO 8601.
    return json.dumps(as_json(snapshot, verdict, time.time()), indent=indent, default=lambda value: value.isoformat())


def _watch(path: str, *, as_json: bool, environment: Mapping[str, str]) -> int:
    """Show it again and again until Ctrl-C: over itself on a terminal, one below the other elsewhere."""
    draw_over = sys.stdout.isatty() and not as_json
    try:
        if draw_over:
            sys.stdout.write("\x1b[2J")
        while True:
            snapshot = read(path)
            verdict = judge(snapshot, time.time())
            if as_json:
                sys.stdout.write(_json_text(snapshot, verdict, indent=None) + "\n")
            elif draw_over:
                sys.stdout.write(_frame(snapshot, verdict, environment))
            else:
                _show(snapshot, verdict, as_json=False, environment=environment)
            sys.stdout.flush()
            time.sleep(_WATCH_SECONDS)
    except KeyboardInterrupt:
        return HEALTHY


def _frame(snapshot: Snapshot, verdict: Verdict, environment: Mapping[str, str]) -> str:
    """One whole screen as one write, each line erased only behind its new text: nothing flickers."""
    columns, rows = os.get_terminal_size()  # 0 and 0 on a terminal that was never told its size (a bare pty)
    colour = _wants_colour(environment)
    drawn = status_screen.lines(snapshot, verdict, time.time())[: rows - 1 if rows else None]
    body = "".join(status_screen.render(line, colour=colour, width=columns or None) + "\x1b[K\n" for line in drawn)
    return f"\x1b[H{body}\x1b[J"


def _wants_colour(environment: Mapping[str, str]) -> bool:
    """https://no-color.org, and no codes into pipes or terminals that say they are dumb."""
    return sys.stdout.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"

"""How the daemon starts alone, hears its supervisor's signals, tells it how it fares, and ends."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import socket
import time
import weakref
from contextlib import contextmanager, suppress
from threading import Event
from typing import TYPE_CHECKING, Final, Self

from selfdistill.errors import AlreadyRunning, CannotCreate, PermissionProblem, SelfdistillError
from selfdistill.service.processes import boot_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import FrameType

# `run` takes the lock while it writes the status file (8 ms with fsync): a daemon that starts then must wait it out.
_PATIENCE_SECONDS: Final = 0.4
_RETRY_SECONDS: Final = 0.02
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_WATCHDOG_PINGS_PER_PERIOD: Final = 3
_NOTIFY_TIMEOUT_SECONDS: Final = 1.0
_MICROSECONDS: Final = 1_000_000


class DaemonLock:
    """At most one holder per state directory, decided by the kernel; it is free the moment the holder dies.

    flock, not POSIX lockf: the latter is lost as soon as any descriptor of the file is closed anywhere in the process.
    The file's content, pid and boot id, is for people; nothing reads it to decide.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """Hold the lock, or raise AlreadyRunning after `patience_seconds`; the file is never removed.

        Raises:
            AlreadyRunning: another process holds it.
            PermissionProblem: the file is not ours to open.
            CannotCreate: the file cannot be made or this file system has no locks.
        """
        give_up_at = time.monotonic() + patience_seconds
        while not self._try_once():
            if time.monotonic() >= give_up_at:
                raise self._already_running()
            time.sleep(_RETRY_SECONDS)

    def still_ours(self) -> bool:
        """Whether the path still leads to the file we hold; False tells the daemon to end (somebody unlinked it).

        What cannot be observed (an I/O error) is not taken for gone.
        """
        if self._descriptor is None:
            return False
        return _leads_to(self.path, self._descriptor)

    def release(self) -> None:
        """Let the lock go; harmless if it is not held."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        os.close(descriptor)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _try_once(self) -> bool:
        """One attempt: open, lock, and make sure that nobody unlinked the file between the two."""
        descriptor = self._open()
        if not _lock_now(descriptor, self.path) or not _leads_to(self.path, descriptor):
            os.close(descriptor)
            return False
        _name_holder(descriptor)
        self._descriptor = descriptor
        return True

    def _open(self) -> int:
        try:
            return os.open(self.path, _LOCK_FLAGS, 0o600)
        except OSError as error:
            raise _cannot_open(self.path, error) from error

    def _already_running(self) -> AlreadyRunning:
        try:
            first_line = self.path.read_text("utf-8", "replace").partition("\n")[0]
        except OSError:
            first_line = ""
        holder = f"pid {first_line}" if first_line.isdecimal() else "its pid is not written yet"
        return AlreadyRunning(
            f"Another selfdistill daemon ({holder}) works on {self.path.parent}.",
            "See `selfdistill status`. To run a second one, give it its own SELFDISTILL_STATE_DIR.",
        )


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Inside the block: True, and the lock is ours for that moment; or False, a daemon holds it."""
    lock = DaemonLock(path)
    try:
        lock.acquire(patience_seconds=0)
    except AlreadyRunning:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _lock_now(descriptor: int, path: Path) -> bool:
    """Whether the lock could be had at once."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        os.close(descriptor)
        raise CannotCreate(
            f"The file system of {path} gives no locks: {error.strerror}.",
            "Name a local directory with SELFDISTILL_STATE_DIR.",
        ) from error
    return True


def _name_holder(descriptor: int) -> None:
    """Write who holds the lock, for people; on a full disk it stays unsaid, for the daemon then pauses, not ends."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n{boot_id()}\n".encode(), 0)


def _leads_to(path: Path, descriptor: int) -> bool:
    """Whether the path names the very file that is open; an unobservable path is taken for unchanged."""
    ours = os.fstat(descriptor)
    try:
        there = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _cannot_open(path: Path, error: OSError) -> SelfdistillError:
    """The error to raise for a lock file that does not open."""
    if error.errno == errno.ELOOP:
        return PermissionProblem(f"The lock file {path} is a symbolic link.", f"Remove it: rm '{path}'")
    if isinstance(error, PermissionError):
        return PermissionProblem(
            f"The lock file {path} cannot be opened: {error.strerror}.",
            "Make the state directory yours again, e.g. with chown and chmod 700.",
        )
    return CannotCreate(
        f"The lock file {path} cannot be opened: {error.strerror}.",
        "Make sure that the state directory exists on a local disk with room.",
    )


class Notifier:
    """Tells systemd how we fare (sd_notify(3) without its library); silent where there is no NOTIFY_SOCKET.

    Nothing here raises: a supervisor that went deaf must not end the daemon. `failures` counts lost messages.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name  # @ stands for the abstract namespace
        self.failures = 0
        self.watchdog_interval_seconds = _watchdog_interval_seconds(environment)

    @property
    def enabled(self) -> bool:
        """Whether a supervisor listens."""
        return bool(self._address)

    def ready(self) -> None:
        """Start-up is done: lock and store are ours, the first scan is scheduled."""
        self._send("READY=1")

    def watchdog(self) -> None:
        """Every worker has ticked since the last ping."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._send("STATUS=" + " ".join(text.split()))  # a newline would begin another assignment

    def stopping(self) -> None:
        """Shutdown has begun."""
        self._send("STOPPING=1")

    def extend_timeout(self, seconds: float) -> None:
        """Ask for that much longer, from now, to start or stop (a migration)."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * _MICROSECONDS)}")

    def _send(self, message: str) -> None:
        if not self.enabled:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as outgoing:
                outgoing.settimeout(_NOTIFY_TIMEOUT_SECONDS)  # its queue may be full while systemd is busy
                outgoing.sendto(message.encode("utf-8", "replace"), self._address)
        except (OSError, ValueError):  # ValueError: a name with a NUL; OSError also: too long, gone, not ours
            self.failures += 1


def _watchdog_interval_seconds(environment: Mapping[str, str]) -> float | None:
    """A third of systemd's patience (its manual says to ping at half or less), or None if it does not watch us."""
    microseconds, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(microseconds) / _MICROSECONDS / _WATCHDOG_PINGS_PER_PERIOD


class Signals:
    """SIGTERM and SIGINT ask to stop, SIGHUP to read the configuration again; a second stop signal ends us at once.

    The main thread sleeps on a pipe that the interpreter writes to, in whichever thread the kernel runs the C handler:
    a signal that another thread gets, or that comes just before the sleep, ends no wait for a lock, and our handler
    would run when that times out. Handlers only set plain flags; `stop` is set by `wait`, outside them: an Event's lock
    is not reentrant.
    """

    def __init__(self) -> None:
        self.stop = Event()
        self._stop_requested = False
        self._reload_requested = False
        self._woken, self._wakeup = pipe = os.pipe()
        for descriptor in pipe:
            os.set_blocking(descriptor, False)
            weakref.finalize(self, os.close, descriptor)
        self._sleeper = select.poll()
        self._sleeper.register(self._woken, select.POLLIN)
        self._previous: dict[signal.Signals, object] = {}
        self._previous_wakeup = -1

    @property
    def stop_requested(self) -> bool:
        """Whether anybody asked us to stop."""
        return self._stop_requested

    def install(self) -> None:
        """Take the signals over; main thread only. SIGPIPE is ignored: a closed terminal must not end a daemon."""
        self._previous_wakeup = signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._on_stop)
        self._previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_reload)
        self._previous[signal.SIGPIPE] = signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        while self._previous:
            number, previous = self._previous.popitem()
            signal.signal(number, previous)  # type: ignore[arg-type]  # what signal.signal itself returned
        signal.set_wakeup_fd(self._previous_wakeup)

    def wait(self, timeout_seconds: float | None) -> bool:
        """Sleep until a signal or `wake`, at most `timeout_seconds` (None: for ever); return whether to stop."""
        self._sleeper.poll(None if timeout_seconds is None else max(0.0, timeout_seconds) * 1000)
        with suppress(BlockingIOError):
            while os.read(self._woken, 4096):  # several reasons to wake are one
                pass
        if self._stop_requested:
            self.stop.set()
        return self._stop_requested

    def wake(self) -> None:
        """End the current or the next `wait`; any thread."""
        with suppress(BlockingIOError):  # full: it wakes already
            os.write(self._wakeup, b"\0")

    def request_stop(self) -> None:
        """Ask to stop without a signal; any thread."""
        self._stop_requested = True
        self.wake()

    def take_reload(self) -> bool:
        """Whether SIGHUP came since the last call."""
        requested, self._reload_requested = self._reload_requested, False
        return requested

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        # From now on the kernel ends us, even while the main thread is deep in C code; SQLite stays consistent.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        self._stop_requested = True

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reload_requested = True

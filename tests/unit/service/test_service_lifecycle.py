"""The lock within one process, the messages to the supervisor, the flags of the signals."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from selfdistill.errors import AlreadyRunning, CannotCreate, PermissionProblem
from selfdistill.service.lifecycle import DaemonLock, Notifier, Signals, try_lock
from selfdistill.service.processes import boot_id


class TestDaemonLock:
    """One daemon per state directory."""

    def test_holds_and_names_itself(self, tmp_path: Path) -> None:
        """Who holds the lock can be read by people, in a file that only the user may read."""
        path = tmp_path / "daemon.lock"
        with DaemonLock(path) as lock:
            assert lock.still_ours()
            assert path.read_text().split() == [str(os.getpid()), boot_id()]
            assert path.stat().st_mode & 0o777 == 0o600

    def test_second_holder_is_refused(self, tmp_path: Path) -> None:
        """A second daemon is told the first one's pid and what to do, and exits 69."""
        path = tmp_path / "daemon.lock"
        with DaemonLock(path), pytest.raises(AlreadyRunning, match=rf"pid {os.getpid()}") as caught:
            DaemonLock(path).acquire(patience_seconds=0)
        assert caught.value.exit_code == 69
        assert "selfdistill status" in caught.value.advice

    def test_is_free_after_release(self, tmp_path: Path) -> None:
        """Releasing lets the next one in; the file stays, so that nobody can hold an unlinked one."""
        path = tmp_path / "daemon.lock"
        first = DaemonLock(path)
        first.acquire()
        first.release()
        assert not first.still_ours()
        with DaemonLock(path) as second:
            assert second.still_ours()

    def test_closing_another_descriptor_keeps_it(self, tmp_path: Path) -> None:
        """Opening and closing the lock file elsewhere in the process does not lose the lock, as lockf would."""
        path = tmp_path / "daemon.lock"
        with DaemonLock(path):
            path.read_bytes()
            with pytest.raises(AlreadyRunning):
                DaemonLock(path).acquire(patience_seconds=0)

    @pytest.mark.parametrize("content", [b"1\nboot\n", b"", b"\xff\xfe rubbish" * 99])
    def test_stale_content_decides_nothing(self, tmp_path: Path, content: bytes) -> None:
        """The pid of a living program, or rubbish, in an unlocked file does not keep a daemon from starting."""
        path = tmp_path / "daemon.lock"
        path.write_bytes(content)
        with DaemonLock(path) as lock:
            assert lock.still_ours()
            assert path.read_bytes() == f"{os.getpid()}\n{boot_id()}\n".encode()

    def test_file_unlinked_before_it_is_locked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file that somebody replaces between our opening and locking it is not taken for the lock."""
        path, real = tmp_path / "daemon.lock", fcntl.flock
        replaced: list[Path] = []

        def replace_first(descriptor: int, operation: int) -> None:
            if not replaced:
                path.unlink()
                path.touch()
                replaced.append(path)
            real(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", replace_first)
        with DaemonLock(path) as lock:
            assert replaced
            assert lock.still_ours()

    def test_notices_that_its_file_was_unlinked(self, tmp_path: Path) -> None:
        """A heartbeat finds out when somebody removed or replaced the lock file."""
        path = tmp_path / "daemon.lock"
        with DaemonLock(path) as first:
            path.unlink()
            assert not first.still_ours()
            with DaemonLock(path) as second:
                assert second.still_ours()
                assert not first.still_ours()

    def test_waits_out_a_run(self, tmp_path: Path) -> None:
        """A daemon that starts while `run` holds the lock for a moment still starts."""
        path = tmp_path / "daemon.lock"
        held, release = threading.Event(), threading.Event()

        def run() -> None:
            with try_lock(path) as ours:
                assert ours
                held.set()
                release.wait(5)

        thread = threading.Thread(target=run)
        thread.start()
        held.wait(5)
        threading.Timer(0.1, release.set).start()
        with DaemonLock(path) as lock:
            assert lock.still_ours()
        thread.join()

    def test_try_lock_says_when_a_daemon_has_it(self, tmp_path: Path) -> None:
        """`run` learns at once that a daemon writes the status file, and takes nothing from it."""
        path = tmp_path / "daemon.lock"
        with DaemonLock(path) as lock:
            started = time.monotonic()
            with try_lock(path) as ours:
                assert not ours
            assert time.monotonic() - started < 0.1
            assert lock.still_ours()

    def test_link_is_refused(self, tmp_path: Path) -> None:
        """A symbolic link in the lock's place is not followed: truncating its target would destroy a file."""
        target = tmp_path / "precious"
        target.write_text("keep")
        (tmp_path / "daemon.lock").symlink_to(target)
        with pytest.raises(PermissionProblem, match="symbolic link"):
            DaemonLock(tmp_path / "daemon.lock").acquire()
        assert target.read_text() == "keep"

    def test_missing_directory_is_said(self, tmp_path: Path) -> None:
        """Where the file cannot be made the error names it and exits 73."""
        with pytest.raises(CannotCreate, match=r"nowhere/daemon\.lock"):
            DaemonLock(tmp_path / "nowhere" / "daemon.lock").acquire()


class TestNotifier:
    """What systemd hears."""

    def test_every_message(self, tmp_path: Path) -> None:
        """Each message is one datagram in sd_notify's words, and a status cannot smuggle in a second assignment."""
        address = tmp_path / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.bind(str(address))
            supervisor.settimeout(5)
            notifier = Notifier({"NOTIFY_SOCKET": str(address)})
            notifier.ready()
            notifier.watchdog()
            notifier.status("2 due,\nREADY=0  \ud800")
            notifier.extend_timeout(1.5)
            notifier.stopping()
            received = [supervisor.recv(1000) for _ in range(5)]
        assert received == [
            b"READY=1",
            b"WATCHDOG=1",
            b"STATUS=2 due, READY=0 ?",
            b"EXTEND_TIMEOUT_USEC=1500000",
            b"STOPPING=1",
        ]
        assert notifier.failures == 0

    @pytest.mark.parametrize("name", ["/nowhere/notify", "@", "relative", "vsock:2:1", "/a" * 200, "/nul\0byte"])
    def test_lost_messages_are_counted(self, name: str) -> None:
        """A supervisor that cannot be reached never ends the daemon: lost messages are counted."""
        notifier = Notifier({"NOTIFY_SOCKET": name})
        notifier.ready()
        notifier.watchdog()
        assert notifier.failures == 2

    def test_silent_without_supervisor(self) -> None:
        """Without NOTIFY_SOCKET nothing is sent and nothing counted."""
        notifier = Notifier({})
        notifier.ready()
        assert not notifier.enabled
        assert notifier.failures == 0

    @pytest.mark.parametrize(
        ("environment", "expected"),
        [
            ({"WATCHDOG_USEC": "120000000"}, 40.0),
            ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid())}, 40.0),
            ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"}, None),
            ({"WATCHDOG_USEC": "0"}, None),
            ({"WATCHDOG_USEC": "soon"}, None),
            ({}, None),
        ],
    )
    def test_pings_at_a_third(self, environment: dict[str, str], expected: float | None) -> None:
        """The ping comes at a third of systemd's patience, and only if systemd means this very process."""
        assert Notifier(environment).watchdog_interval_seconds == expected


class TestSignals:
    """What the main thread hears."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_stop_signal_ends_the_wait(self, number: signal.Signals) -> None:
        """SIGTERM and SIGINT wake the main thread at once and set the event that the other threads wait on."""
        signals = Signals()
        signals.install()
        try:
            threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
            started = time.monotonic()
            assert signals.wait(5)
            assert time.monotonic() - started < 1
            assert signals.stop.is_set()
        finally:
            signals.restore()

    def test_signal_that_another_thread_gets_ends_the_wait(self) -> None:
        """The kernel may give a process's signal to any of its threads: the main thread wakes all the same."""
        signals = Signals()
        signals.install()
        over = threading.Event()
        other = threading.Thread(target=over.wait)
        other.start()
        try:
            assert other.ident is not None
            threading.Timer(0.05, signal.pthread_kill, (other.ident, signal.SIGTERM)).start()
            started = time.monotonic()
            assert signals.wait(5)
            assert time.monotonic() - started < 1
        finally:
            over.set()
            other.join()
            signals.restore()

    def test_hangup_asks_for_the_configuration_once(self) -> None:
        """SIGHUP is reported exactly once and does not stop anything."""
        signals = Signals()
        signals.install()
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not signals.wait(5)
            assert signals.take_reload()
            assert not signals.take_reload()
        finally:
            signals.restore()

    def test_pipe_signal_is_ignored_and_given_back(self) -> None:
        """A closed terminal does not end the daemon; afterwards every handler is what it was."""
        numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE)
        before = [signal.getsignal(number) for number in numbers]
        signals = Signals()
        signals.install()
        assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
        signals.restore()
        assert [signal.getsignal(number) for number in numbers] == before

    def test_other_threads_can_wake_and_stop(self) -> None:
        """A worker can wake the main thread, or ask it to stop, without a signal; wake-ups do not pile up."""
        signals = Signals()
        for _ in range(3):
            signals.wake()
        assert not signals.wait(0)
        started = time.monotonic()
        assert not signals.wait(0.05)
        assert time.monotonic() - started >= 0.05
        signals.request_stop()
        assert signals.wait(5)
        assert signals.stop_requested

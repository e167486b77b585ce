"""The daemon as a systemd user unit."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from selfdistill.errors import ServiceProblem
from selfdistill.service.hands import Answer
from selfdistill.service.standing import Standing, written_environment
from selfdistill.service.units import DROP_IN, UNIT, Installation, systemd_drop_in, systemd_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from selfdistill.service.hands import Hand

_SHOWN: Final = ("ActiveState", "SubState", "UnitFileState", "MainPID", "Result", "ExecMainStatus", "FragmentPath")
_NO_MANAGER: Final = (
    "A user manager runs for whoever is logged in, by ssh too, but not behind su, sudo or cron. Log in as that user, "
    "or let it run without a login: loginctl enable-linger. In containers without systemd run it yourself: "
    "selfdistill daemon"
)


class Systemd:
    """Installs, removes and drives the unit of this user."""

    name = "systemd"

    def __init__(self, hand: Hand, home: Path, environment: Mapping[str, str]) -> None:
        self._hand = hand
        self._directory = unit_directory(home, environment)
        self._fallback = home / ".config" / "systemd" / "user"

    @property
    def unit(self) -> Path:
        """Where the unit's file is, or would be."""
        return self._directory / UNIT

    @property
    def drop_in(self) -> Path:
        """Where the hardening is, or would be."""
        return self._directory / f"{UNIT}.d" / DROP_IN

    def check(self) -> None:
        """Raise ServiceProblem unless a user manager answers; and learn where it looks for units."""
        paths = self._hand.ask("systemctl", "--user", "show", "--property=UnitPath", "--value")
        if not paths.went_well:
            raise ServiceProblem(f"systemd's user manager does not answer: {_first_line(paths)}", _NO_MANAGER)
        known = paths.text.split()
        if known and str(self._directory) not in known and str(self._fallback) in known:
            self._directory = self._fallback  # XDG_CONFIG_HOME was exported after the manager had started

    def install(self, installation: Installation, settled: Callable[[], bool]) -> None:
        """Write the unit, have it started at each login, and start it: hardened if that works here.

        `settled` waits until a daemon that has started is through its first round, and says whether it lives. Doing it
        again changes nothing and restarts nothing, unless the unit would become another one.
        """
        changed = self._hand.write(self.unit, systemd_unit(installation))
        if not changed and self._is("active") and self._is_hardened(installation):
            self._must("systemctl", "--user", "enable", UNIT)
            self._hand.say("It was installed like that, and runs.")
            return
        self._reload()
        self._must("systemctl", "--user", "enable", UNIT)
        self._start_hardened(installation, settled)
        self._tell_of_logout()

    def _is_hardened(self, installation: Installation) -> bool:
        return self.drop_in.is_file() and self.drop_in.read_text("utf-8", "replace") == systemd_drop_in(installation)

    def _start_hardened(self, installation: Installation, settled: Callable[[], bool]) -> None:
        """Start it with the drop-in; if the daemon does not live with it, without."""
        self._hand.write(self.drop_in, systemd_drop_in(installation))
        self._reload()
        if self._trial(settled):
            if not self._hand.rehearses:
                self._hand.say("Started, hardened: it cannot write anywhere but to its state directory.")
            return
        why = self._why()
        self._hand.remove(self.drop_in)
        self._reload()
        if self._trial(settled):
            self._hand.say(f"Started, without the hardening of {DROP_IN}, which this machine refuses: {why}")
            return
        raise ServiceProblem(
            f"The service is installed but does not start: {self._why()}",
            "Look at `selfdistill service logs` and `selfdistill doctor`, then: selfdistill service start",
        )

    def _trial(self, settled: Callable[[], bool]) -> bool:
        """Whether the daemon starts, says that it is ready, and lives on."""
        self._hand.ask("systemctl", "--user", "reset-failed", UNIT)  # five failed starts would forbid a sixth
        started = self._hand.act("systemctl", "--user", "restart", UNIT)
        if self._hand.rehearses:
            self._hand.say(f"Would remove {DROP_IN} again, and start without it, if that start failed.")
            return True
        return started.went_well and settled() and self._is("active")

    def uninstall(self) -> bool:
        """Stop it, and remove everything but data; whether anything was there. Works where no manager answers."""
        there = self.unit.exists() or self.drop_in.exists()
        if there:
            self._tell_manager("disable", "--now", UNIT)
        for left in (self.drop_in, self._directory / "default.target.wants" / UNIT, self.unit):
            self._hand.remove(left)
        if there:
            self._tell_manager("daemon-reload")
        if self.drop_in.parent.exists() and not self._hand.rehearses:
            self._hand.say(f"Kept {self.drop_in.parent}: settings of your own are in it.")
        return there

    def _tell_manager(self, *words: str) -> None:
        """Tell a manager that may not be there; what it does not hear is said, and is no reason to leave files."""
        try:
            told = self._hand.act("systemctl", "--user", *words)
        except ServiceProblem as problem:
            told = Answer(1, problem.message)
        if not told.went_well:
            self._hand.say(f"systemd could not be told to {words[0]}: {_first_line(told)}")

    def start(self) -> None:
        """Start it."""
        self._drive("start")

    def stop(self) -> None:
        """Stop it, until the next login or start."""
        self._drive("stop")

    def restart(self) -> None:
        """Stop and start it."""
        self._drive("restart")

    def _drive(self, verb: str) -> None:
        self._must_be_there()
        self._hand.ask("systemctl", "--user", "reset-failed", UNIT)
        done = self._hand.act("systemctl", "--user", verb, UNIT)
        if not done.went_well:
            raise ServiceProblem(
                f"systemd could not {verb} {UNIT}: {self._why() or _first_line(done)}",
                "Look at: selfdistill service logs",
            )

    def log_command(self, lines: int, *, follow: bool) -> Sequence[str]:
        """The command that shows what the daemon said."""
        words = ["journalctl", "--user", "--unit", UNIT, "--no-pager", f"--lines={lines}"]
        return [*words, "--follow"] if follow else words

    def standing(self) -> Standing:
        """How the service stands; raises ServiceProblem where no manager answers."""
        if not self.unit.exists():
            return Standing()
        shown = self._show()
        program, environment = self.written()
        return Standing(
            installed=True,
            file=self.unit,
            active=shown.get("ActiveState", "") in {"active", "activating", "reloading"},
            state=f"{shown.get('ActiveState', 'unknown')} ({shown.get('SubState', 'unknown')})",
            pid=int(shown.get("MainPID", "0") or 0),
            at_login=shown.get("UnitFileState", "") == "enabled",
            hardened=self.drop_in.exists(),
            without_login=self._lingers(),
            program=program,
            environment=environment,
        )

    def written(self) -> tuple[str, dict[str, str]]:
        """The program that the unit's file starts and the variables that it sets; "" and none without a unit."""
        try:
            return written_environment(self.unit.read_text("utf-8", "replace"))
        except FileNotFoundError:
            return "", {}

    def _must_be_there(self) -> None:
        if not self.unit.exists() and not self._hand.rehearses:
            raise ServiceProblem("The service is not installed.", "Install it: selfdistill service install")

    def _tell_of_logout(self) -> None:
        if self._lingers():
            self._hand.say("It runs while you are logged out too (lingering is on for you).")
        else:
            self._hand.say(
                "It runs while you are logged in, and ends with your last session. To keep it running always, and from "
                f"boot on: loginctl enable-linger {_user()}"
            )

    def _lingers(self) -> bool | None:
        """Whether this user's services run without a login; None where nobody knows."""
        try:
            answer = self._hand.ask("loginctl", "show-user", _user(), "--property=Linger", "--value")
        except ServiceProblem:
            return None
        return answer.text == "yes" if answer.text in {"yes", "no"} else None

    def _show(self) -> dict[str, str]:
        """What systemd knows of the unit."""
        answer = self._hand.ask("systemctl", "--user", "show", f"--property={','.join(_SHOWN)}", UNIT)
        if not answer.went_well:
            raise ServiceProblem(f"systemd's user manager does not answer: {_first_line(answer)}", _NO_MANAGER)
        return answer.values()

    def _is(self, state: str) -> bool:
        return self._show().get("ActiveState") == state

    def _why(self) -> str:
        """What systemd knows of the last end of the daemon."""
        shown = self._show()
        result, status = shown.get("Result", "unknown"), shown.get("ExecMainStatus", "unknown")
        return f"{result}, exit status {status}."

    def _reload(self) -> None:
        self._must("systemctl", "--user", "daemon-reload")

    def _must(self, *words: str) -> None:
        done = self._hand.act(*words)
        if not done.went_well:
            raise ServiceProblem(f"`{' '.join(words)}` failed: {_first_line(done)}", _NO_MANAGER)


def unit_directory(home: Path, environment: Mapping[str, str]) -> Path:
    """Where this user's own units are (systemd.unit(5))."""
    configured = environment.get("XDG_CONFIG_HOME", "")
    return (Path(configured) if configured.startswith("/") else home / ".config") / "systemd" / "user"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return str(os.getuid())


def _first_line(answer: Answer) -> str:
    return answer.text.partition("\n")[0] or f"exit status {answer.code}"

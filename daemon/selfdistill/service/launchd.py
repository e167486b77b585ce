"""The daemon as a launchd agent of macOS."""

from __future__ import annotations

import os
import plistlib
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from selfdistill.errors import ServiceProblem
from selfdistill.service.hands import Answer
from selfdistill.service.standing import Standing
from selfdistill.service.units import LABEL, Installation, launchd_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from selfdistill.service.hands import Hand

_OUT_SECONDS: Final = 20.0  # `bootout` returns before the daemon has ended, for which ExitTimeOut gives it 15 s
_LOOK_SECONDS: Final = 0.2
_NO_DOMAIN: Final = (
    "launchd runs agents for whoever is logged in on the Mac's own screen; by ssh alone it does not. Log in there, or "
    "run it yourself: selfdistill daemon"
)


class Launchd:
    """Installs, removes and drives the agent of this user."""

    name = "launchd"

    def __init__(self, hand: Hand, home: Path, _environment: Mapping[str, str], user_id: int | None = None) -> None:
        self._hand = hand
        self._domain = f"gui/{os.getuid() if user_id is None else user_id}"
        self._target = f"{self._domain}/{LABEL}"
        self.agent = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"

    def check(self) -> None:
        """Raise ServiceProblem unless launchd has a place for this user's agents."""
        answer = self._hand.ask("launchctl", "print", self._domain)
        if not answer.went_well:
            raise ServiceProblem(f"launchd has no session of yours: {_first_line(answer)}", _NO_DOMAIN)

    def install(self, installation: Installation, settled: Callable[[], bool]) -> None:
        """Write the agent and load it; again: nothing, unless it would become another one."""
        changed = self._hand.write(self.agent, launchd_agent(installation))
        loaded = not self._hand.rehearses and self._is_loaded()
        if loaded and not changed:
            self._hand.say("It was installed like that, and is loaded.")
            return
        if loaded:
            self._out()
        self._in()
        if not self._hand.rehearses and not settled():
            raise ServiceProblem(
                "The agent is installed but does not start.",
                "Look at `selfdistill service logs` and `selfdistill doctor`, then: selfdistill service start",
            )
        self._hand.say("It starts when you log in, and ends when you log out: a Mac's agents know no other way.")

    def uninstall(self) -> bool:
        """Unload it and remove its file; whether anything was there."""
        there = self.agent.exists()
        if there:
            try:
                gone = self._hand.act("launchctl", "bootout", self._target)
                told = gone.went_well or not self._is_loaded()
            except ServiceProblem as problem:
                gone, told = Answer(1, problem.message), False
            if not told:
                self._hand.say(f"launchd could not be told to stop it: {_first_line(gone)}")
        self._hand.remove(self.agent)
        return there

    def start(self) -> None:
        """Load it, which starts it; or start it anew if it is loaded and has ended."""
        self._must_be_there()
        if not self._hand.rehearses and self._is_loaded():
            self._must("launchctl", "kickstart", self._target)
        else:
            self._in()

    def stop(self) -> None:
        """Unload it, until the next login or start."""
        self._must_be_there()
        if self._hand.rehearses or self._is_loaded():
            self._out()

    def restart(self) -> None:
        """End and start it."""
        self._must_be_there()
        if not self._hand.rehearses and self._is_loaded():
            self._must("launchctl", "kickstart", "-k", self._target)
        else:
            self._in()

    def log_command(self, lines: int, *, follow: bool) -> Sequence[str]:
        """The command that shows what the daemon said."""
        path = self._table().get("StandardErrorPath", "")
        return ["tail", "-n", str(lines), *(["-F"] if follow else []), str(path)]

    def standing(self) -> Standing:
        """How the service stands."""
        if not self.agent.exists():
            return Standing()
        program, environment = self.written()
        shown = self._hand.ask("launchctl", "print", self._target)
        state = re.search(r"^\s*state = (.+)$", shown.text, re.MULTILINE) if shown.went_well else None
        pid = re.search(r"^\s*pid = (\d+)$", shown.text, re.MULTILINE) if shown.went_well else None
        return Standing(
            installed=True,
            file=self.agent,
            active=pid is not None,
            state=state[1] if state else "not loaded",
            pid=int(pid[1]) if pid else 0,
            at_login=bool(self._table().get("RunAtLoad")),
            program=program,
            environment=environment,
        )

    def written(self) -> tuple[str, dict[str, str]]:
        """The program that the agent's file starts and the variables that it sets; "" and none where there is none."""
        if not self.agent.exists():
            return "", {}
        table = self._table()
        variables = table.get("EnvironmentVariables", {})
        words = table.get("ProgramArguments") or [""]
        return str(words[0]), {str(name): str(value) for name, value in variables.items()}

    def _table(self) -> dict[str, Any]:
        """The agent's file; raises ServiceProblem if it is damaged or not there."""
        self._must_be_there()
        try:
            table: dict[str, Any] = plistlib.loads(self.agent.read_bytes())
        except (OSError, ValueError, plistlib.InvalidFileException) as error:
            raise ServiceProblem(
                f"The agent's file {self.agent} cannot be read: {error}.", "Write it anew: selfdistill service install"
            ) from error
        return table

    def _must_be_there(self) -> None:
        if not self.agent.exists() and not self._hand.rehearses:
            raise ServiceProblem("The service is not installed.", "Install it: selfdistill service install")

    def _is_loaded(self) -> bool:
        return self._hand.ask("launchctl", "print", self._target).went_well

    def _in(self) -> None:
        self._hand.act("launchctl", "enable", self._target)  # somebody may have disabled it: `bootstrap` fails then
        self._must("launchctl", "bootstrap", self._domain, str(self.agent))

    def _out(self) -> None:
        """Unload it and wait until it is gone: a `bootstrap` in between fails with an input/output error."""
        self._must("launchctl", "bootout", self._target)
        end = time.monotonic() + _OUT_SECONDS
        while not self._hand.rehearses and self._is_loaded():
            if time.monotonic() > end:
                raise ServiceProblem("launchd does not let the old agent go.", "Try again in a minute.")
            time.sleep(_LOOK_SECONDS)

    def _must(self, *words: str) -> None:
        done = self._hand.act(*words)
        if not done.went_well:
            raise ServiceProblem(f"`{' '.join(words)}` failed: {_first_line(done)}", _NO_DOMAIN)


def _first_line(answer: Answer) -> str:
    return answer.text.partition("\n")[0] or f"exit status {answer.code}"

"""How `service` changes the world: files and commands. One hand does it, the other only says what it would do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from selfdistill.errors import CannotCreate, ServiceProblem

_TIMEOUT_SECONDS: Final = 120.0  # systemd gives a start 90 s by default


class Answer(Struct, frozen=True):
    """What a command said: all of its output, and its exit code."""

    code: int = 0
    text: str = ""

    @property
    def went_well(self) -> bool:
        """Whether it exited with 0."""
        return self.code == 0

    def values(self) -> dict[str, str]:
        """Its lines of `name=value`."""
        pairs = (line.partition("=") for line in self.text.splitlines())
        return {name: value for name, equals, value in pairs if equals}


class Hand(Protocol):
    """What a supervisor's installer may do."""

    rehearses: bool
    """Whether nothing is really done."""

    def say(self, line: str) -> None:
        """Tell the person at the terminal."""

    def write(self, path: Path, text: str) -> bool:
        """Make the file hold this text; whether that changed anything."""

    def remove(self, path: Path) -> bool:
        """Remove the file; whether it was there."""

    def act(self, *words: str) -> Answer:
        """Run a command that changes something."""

    def ask(self, *words: str) -> Answer:
        """Run a command that changes nothing."""


class Doing:
    """Does it. Commands see this environment, and are cut off after two minutes."""

    rehearses = False

    def __init__(self, environment: Mapping[str, str], say: Callable[[str], None]) -> None:
        self._environment = dict(environment)
        self.say = say

    def write(self, path: Path, text: str) -> bool:
        """Replace the file as a whole, unless it holds this text already. Raises CannotCreate."""
        try:
            if path.is_file() and path.read_text("utf-8", "replace") == text:
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_text(text, "utf-8")
            fresh.chmod(0o644)
            fresh.replace(path)
        except OSError as error:
            raise CannotCreate(f"Cannot write {path}: {error.strerror}.", "Make its directory writable.") from error
        self.say(f"Wrote {path}.")
        return True

    def remove(self, path: Path) -> bool:
        """Remove the file and its directory if that was the last in it and ours alone. Raises CannotCreate."""
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise CannotCreate(f"Cannot remove {path}: {error.strerror}.", "Remove it yourself.") from error
        if path.parent.suffix == ".d" and not any(path.parent.iterdir()):
            path.parent.rmdir()
        self.say(f"Removed {path}.")
        return True

    def act(self, *words: str) -> Answer:
        """Run it. Raises ServiceProblem if there is no such program, or if it does not end."""
        return self.ask(*words)

    def ask(self, *words: str) -> Answer:
        """Run it. Raises ServiceProblem if there is no such program, or if it does not end."""
        program = shutil.which(words[0], path=self._environment.get("PATH", os.defpath))
        if program is None:
            raise ServiceProblem(
                f"There is no {words[0]} here.", "Without systemd or launchd run it yourself: selfdistill daemon"
            )
        try:
            done = subprocess.run(  # noqa: S603 - our own words
                [program, *words[1:]],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise ServiceProblem(
                f"`{' '.join(words)}` did not end within {_TIMEOUT_SECONDS:g} s.", "Look with: selfdistill service logs"
            ) from error
        return Answer(done.returncode, done.stdout.decode("utf-8", "replace").strip())


class Saying:
    """Says what would be done, and does nothing: no file is touched, no command run."""

    rehearses = True

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def write(self, path: Path, text: str) -> bool:
        """Show the file."""
        self.say(f"Would write {path}:")
        for line in text.splitlines():
            self.say(f"    {line}".rstrip())
        return True

    def remove(self, path: Path) -> bool:
        """Name the file, if it is there."""
        if path.exists():
            self.say(f"Would remove {path}.")
        return path.exists()

    def act(self, *words: str) -> Answer:
        """Show the command."""
        self.say(f"Would run: {' '.join(words)}")
        return Answer()

    def ask(self, *_words: str) -> Answer:
        """Nothing is asked, and nothing known."""
        return Answer()

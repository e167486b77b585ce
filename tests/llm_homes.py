"""A HOME whose sessions a loopback model is asked about, through the public commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from invented import MEMORY, Claude, repaired, state_of
from selfdistill.cli import run_command
from selfdistill.cli.main import main
from selfdistill.service.assembly import assemble
from selfdistill.store import Store
from support.messages_server import MessagesServer, Reply

KEY: Final = "sk-ant-api03-" + "Kw9" * 20
WORDS: Final = "Here we boil the water twice, then it is poured."
OPERATION: Final[dict[str, Any]] = {
    "op": "add",
    "condition": "water is poured in the kettle's tests",
    "trigger": "constraint",
    "action": "boil the water twice before it is poured",
    "kind": "do",
    "rationale": "The user asked for it.",
    "signal": "neutral",
    "confidence": 0.9,
    "quotes": [{"record": "e1", "text": "boil the water twice"}],
}
LESSON: Final = Reply(json.dumps({"operations": [OPERATION]}), input_tokens=3000, output_tokens=200)


def boiling(seed: str = "b1", cwd: str = "/home/mara/kettle") -> Claude:
    """A session in which a person states a rule that no heuristic reads."""
    return Claude(seed, cwd=cwd).say(WORDS).sh("make pour", "poured").answer("I boiled it twice.")


class Kitchen:
    """The HOME and the model's service."""

    def __init__(self, home: Path, server: MessagesServer) -> None:
        self.home = home
        self.server = server
        self.later_seconds = 0.0  # how far the clock of commands that follow is ahead

    def configure(self, *, privacy: str = "", settling: str = "", **llm: Any) -> None:  # noqa: ANN401 - any option
        """Write the configuration; without anything else the model is the loopback service."""
        path = self.home / ".config/selfdistill/config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"base_url": self.server.url, **llm}
        lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
        path.write_text("\n".join(["[llm]", *lines, privacy, settling, ""]))
        path.chmod(0o600)

    def run(self, *words: str | Path, **variables: str) -> str:
        """What a command prints on both streams; in this process, which imports the SDK (3 s) once for all tests."""
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], **variables}
        clocked = partial(assemble, clock=lambda: time.time() + self.later_seconds)
        with patch.dict(os.environ, environment, clear=True), StringIO() as said:
            with redirect_stdout(said), redirect_stderr(said), patch.object(run_command, "assemble", clocked):
                code = main([str(word) for word in words])
            assert code == 0, said.getvalue()
            return said.getvalue()

    def manifest(self, *words: str | Path, **variables: str) -> dict[str, Any]:
        """The manifest of a run that must succeed."""
        made: dict[str, Any] = json.loads(self.run("run", "--json", *words, **variables))
        return made

    def learned(self) -> list[str]:
        """The actions of all lessons that the model gave."""
        words = ("lessons", "list", "--all", "--state", "any", "--limit", "0", "--json")
        listed = json.loads(self.run(*words))
        return [one["action"]["description"] for one in listed if one["distiller"] == "llm"]

    def model(self) -> dict[str, Any]:
        """What the status says of the model."""
        told: dict[str, Any] = tomllib.loads((state_of(self.home) / "status.toml").read_text())["model"]
        return told

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The store, for reading."""
        found = Store.open_read_only(state_of(self.home) / "lessons.db")
        assert found is not None
        with found:
            yield found

    def program(self, text: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """A Python program of the test's own in this HOME."""
        kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("PYTHON")}
        environment = {**kept, "HOME": str(self.home), **variables}
        return subprocess.run(
            [sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False, timeout=60
        )


@contextmanager
def kitchen() -> Iterator[Kitchen]:
    """A new HOME with one owed session and a model that is configured."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory, MessagesServer() as server:
        made = Kitchen(Path(directory), server)
        made.configure()
        boiling().write(made.home)
        yield made


def with_failure(home: Path) -> None:
    """One more session, from which the heuristics learn something."""
    repaired("a1").write(home)

"""A HOME as someone has it who works with Claude Code and Codex: invented logs of any size and number.

Usage: python -m bench.invented_home DIRECTORY [--megabytes 10000] [--logs 100000] [--directories 2000]

The shape is that of 70 real logs of Claude Code: 60 % of the bytes are results of tools (half of them below 3.4 KB, one
in ten above 32 KB), 14 % progress, 10 % thinking, 9 % calls, and sizes of logs have a long tail. Some stretches of work
are sessions of the product's sample: failures, their cures, words of a person. The rest are invented, so many and no
more; each time ids, project and day are others. The same seed makes the same HOME.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from bench.measuring import MEGABYTE
from msgspec import Struct

from selfdistill.service.one_pass import SAMPLE

DAY_SECONDS: Final = 86400
SEED: Final = 7
STRETCHES: Final = 64  # of each agent
MOST_CALLS: Final = 60
LARGEST_RESULT: Final = 150_000
LONGEST_LOG: Final = 50  # times the mean: real logs have a long tail, but a HOME of 10 GB has no log of 5
CODEX_EVERY: Final = 10  # logs; 24 of 289 real ones
SAMPLE_EVERY: Final = 24  # stretches
MISHAP_EVERY: Final = 150  # calls; with the above about as many findings per megabyte as in real logs, 4
# What is filled in each time; all are as long as what they stand for, so that sizes do not change.
MOMENT: Final = "2026-10-01T10:00:00.000Z"
MARK, SESSION, PROJECT, DAY = b"@mark@@@", b"@session-id-of-36-characters".ljust(36, b"@"), b"@project", b"2026-@d-@y"
_MISHAPS: Final = (
    (
        "kettle boil --fast",
        "error: unknown option '--fast'\nUsage: kettle boil [--slow]",
        "kettle boil --slow",
        "boiled",
    ),
    ("pytest tests/test_lid.py", "(eval):1: command not found: pytest", "uv run pytest tests/test_lid.py", "4 passed"),
    ("npm run bundle", 'npm error Missing script: "bundle"', "npm run build", "built in 812ms"),
    ("cat src/lid.py", "cat: src/lid.py: No such file or directory", "cat kettle/lid.py", "LID = 1"),
    ("git push", " ! [rejected] main -> main (fetch first)", "git pull --rebase && git push", "main -> main"),
)
_TEXT: Final = (
    "def return self import from class value name path line test kettle boil water lid steam whistle timer error None"
    " for while with open read write list dict str int assert raise except pass True False config state index count"
)
_WORDS: Final = _TEXT.split()


class Shape(Struct, frozen=True):
    """How much, in how many logs, in how many directories; so many logs were changed within the last day."""

    megabytes: int = 100
    logs: int = 400
    directories: int = 40
    hot: int = 20
    seed: int = SEED

    def __str__(self) -> str:
        return f"{self.megabytes} MB in {self.logs} logs in {self.directories} directories, {self.hot} of them hot"


class Stretches:
    """Invented stretches of work of one agent, shortest first."""

    def __init__(self, agent: type[Agent], chance: random.Random) -> None:
        self._made = sorted((agent(chance, number).stretch() for number in range(STRETCHES)), key=len)
        self._sizes = [len(one) for one in self._made]
        self._sample = agent.sample()

    def log(self, chance: random.Random, number: int, size: int, project: int) -> Iterator[bytes]:
        """The stretches of a log with so many bytes, more or less; at least one."""
        session = b"%08x-7d14-4f0a-9c55-0e2b6a1d7711" % number
        day = b"2026-%02d-%02d" % (1 + number % 10, 1 + number // 10 % 28)
        written = turn = 0
        while not turn or size - written >= self._sizes[0]:
            fitting = self._made[: max(1, bisect_right(self._sizes, size - written))]
            chosen = chance.choice(self._sample if chance.randrange(SAMPLE_EVERY) == 0 else fitting)
            mark = b"%08x" % (number * 7919 + turn * 104_729 & 0xFFFFFFFF)
            filled = chosen.replace(MARK, mark).replace(SESSION, session)
            yield filled.replace(PROJECT, b"p%07d" % project).replace(DAY, day)
            written += len(chosen)
            turn += 1


class Agent:
    """Writes a stretch of work as an agent does: a request, calls with their results, an answer."""

    def __init__(self, chance: random.Random, number: int) -> None:
        self.chance = chance
        self._number = number
        self._records: list[bytes] = []

    def stretch(self) -> bytes:
        """One request and what follows: half of the time up to four calls."""
        self.request(f"Please look at the {self.text(60)} and make it work.")
        for _ in range(min(MOST_CALLS, 1 + int(self.chance.lognormvariate(1.4, 1.2)))):
            self.step()
        self.answer("It works now, and the tests pass.")
        return b"".join(self._records)

    def step(self) -> None:
        """A call that works, or now and then one that fails before another one works."""
        if self.chance.randrange(MISHAP_EVERY) == 0:
            wrong, error, right, output = self.chance.choice(_MISHAPS)
            self.call(wrong, f"Exit code 1\n{error}", failed=True)
            self.call(right, output, failed=False)
        else:
            size = min(LARGEST_RESULT, int(self.chance.lognormvariate(7.3, 1.6)))  # written twice by Claude Code
            self.call(f"cat kettle/{self.chance.choice(_WORDS)}.py", self.text(size), failed=False)

    def text(self, size: int) -> str:
        """So many characters that look like code, with numbers."""
        lines = []
        while size > 0:
            line = " ".join(self.chance.choices(_WORDS, k=self.chance.randint(2, 14)))
            lines.append(f"{'    ' * self.chance.randrange(4)}{line}({self.chance.randrange(10**6)})")
            size -= len(lines[-1]) + 1
        return "\n".join(lines)

    def uid(self) -> str:
        """An id that no other record has, in the form of a UUID."""
        return f"{MARK.decode()}-{len(self._records):04x}-4000-8000-{self._number:012x}"

    def record(self, **fields: Any) -> None:  # noqa: ANN401 - whatever a record holds
        """Another line, two seconds after the one before."""
        seconds = 2 * len(self._records)
        moment = f"{DAY.decode()}T10:{seconds // 60:02d}:{seconds % 60:02d}.000Z"
        self._records.append(json.dumps({"timestamp": moment, **fields}, separators=(",", ":")).encode() + b"\n")

    def request(self, text: str) -> None:
        """What the person asks for."""
        raise NotImplementedError

    def call(self, command: str, output: str, *, failed: bool) -> None:
        """A call of a tool, and its result."""
        raise NotImplementedError

    def answer(self, text: str) -> None:
        """What the agent says in the end."""
        raise NotImplementedError

    @staticmethod
    def sample() -> list[bytes]:
        """The product's own sample of this agent's sessions, with what is to be filled in."""
        raise NotImplementedError


class Claude(Agent):
    """Claude Code."""

    def record(self, **fields: Any) -> None:  # noqa: ANN401 - whatever a record holds
        """With what every record of Claude Code has."""
        common = {"isSidechain": False, "userType": "external", "entrypoint": "cli", "version": "2.1.180"}
        place = {"cwd": f"/home/mara/{PROJECT.decode()}", "sessionId": SESSION.decode(), "gitBranch": "main"}
        super().record(**common, **place, uuid=self.uid(), **fields)

    def request(self, text: str) -> None:
        """A user's record."""
        self.record(type="user", message={"role": "user", "content": text})

    def call(self, command: str, output: str, *, failed: bool) -> None:
        """Often a thought, then the call, its progress and its result; the output is written twice."""
        call_id = f"toolu_{MARK.decode()}_{self._number:x}_{len(self._records)}"
        if self.chance.random() < 0.75:  # noqa: PLR2004 - as often as in real logs
            self.speak({"type": "thinking", "thinking": self.text(1800), "signature": "c2lnbmVk"}, "tool_use")
        given = {"command": command, "description": self.text(80)}
        self.speak({"type": "tool_use", "id": call_id, "name": "Bash", "input": given}, "tool_use")
        progress = {"type": "bash_progress", "output": self.text(1400), "elapsedTimeSeconds": 2, "totalLines": 40}
        self.record(type="progress", data=progress, toolUseID=call_id)
        result = {"tool_use_id": call_id, "type": "tool_result", "content": output, "is_error": failed}
        twice = f"Error: {output}" if failed else {"stdout": output, "stderr": "", "interrupted": False}
        self.record(type="user", message={"role": "user", "content": [result]}, toolUseResult=twice)

    def answer(self, text: str) -> None:
        """The end of a turn."""
        self.speak({"type": "text", "text": text}, "end_turn")

    def speak(self, content: dict[str, Any], reason: str) -> None:
        """An assistant's record."""
        usage = {"input_tokens": 900, "cache_read_input_tokens": 40_000, "output_tokens": 60}
        said = {"id": f"msg_{self.uid()}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
        self.record(type="assistant", message={**said, "content": [content], "stop_reason": reason, "usage": usage})

    @staticmethod
    def sample() -> list[bytes]:
        """Three sessions."""
        return [prepared(path) for path in sorted((SAMPLE / "claude").glob("*.jsonl"))]


class Codex(Agent):
    """Codex, after the first line of a rollout."""

    def request(self, text: str) -> None:
        """A turn begins with its context."""
        place = {"cwd": f"/home/mara/{PROJECT.decode()}", "model": "gpt-5-codex", "approval_policy": "on-request"}
        self.record(type="turn_context", payload={"turn_id": self.uid(), **place})
        said = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        self.record(type="response_item", payload=said)
        self.record(type="event_msg", payload={"type": "user_message", "message": text})

    def call(self, command: str, output: str, *, failed: bool) -> None:
        """A call, its output and how many tokens that took."""
        call_id = f"call_{MARK.decode()}_{self._number:x}_{len(self._records)}"
        given = json.dumps({"cmd": command, "workdir": f"/home/mara/{PROJECT.decode()}"})
        called = {"type": "function_call", "name": "exec_command", "arguments": given, "call_id": call_id}
        self.record(type="response_item", payload=called)
        told = f"Chunk ID: 4f2a\nWall time: 0.4 seconds\nProcess exited with code {int(failed)}\nOutput:\n{output}"
        done = {"type": "function_call_output", "call_id": call_id, "output": told}
        self.record(type="response_item", payload=done)
        self.record(type="event_msg", payload={"type": "token_count", "info": {"total_tokens": 40_000}})

    def answer(self, text: str) -> None:
        """The final answer, and that the task is complete."""
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
        self.record(type="response_item", payload=said)
        self.record(type="event_msg", payload={"type": "task_complete", "last_agent_message": text})

    @staticmethod
    def sample() -> list[bytes]:
        """One session, without its first line."""
        return [prepared(path).partition(b"\n")[2] for path in (SAMPLE / "codex").glob("*.jsonl")]

    @staticmethod
    def head(number: int, project: int) -> bytes:
        """The first line of a rollout."""
        told = {"id": f"{number:08x}-7d14-4f0a-9c55-0e2b6a1d7711", "cwd": f"/home/mara/p{project:07d}"}
        payload = {**told, "originator": "codex_cli_rs", "cli_version": "0.146.0", "source": "cli"}
        return json.dumps({"timestamp": MOMENT, "type": "session_meta", "payload": payload}).encode() + b"\n"


def prepared(path: Path) -> bytes:
    """A session of the sample with what is to be filled in."""
    content = re.sub(rb'"(uuid|parentUuid)": "[0-9a-f]{8}', rb'"\1": "' + MARK, path.read_bytes())
    content = re.sub(rb'"(toolu|call)_(?=[0-9a-f]{4})', rb'"\1_' + MARK, content)  # not "call_id"
    content = content.replace(b"/home/mara/kettle", b"/home/mara/" + PROJECT)
    return content.replace(path.stem[-36:].encode(), SESSION)


class Maker:
    """Writes logs, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._claude = Stretches(Claude, self.chance)
        self._codex = Stretches(Codex, self.chance)

    def claude(self, home: Path, number: int, project: int, size: int) -> Path:
        """A log of Claude Code of so many bytes, more or less."""
        directory = home / ".claude" / "projects" / f"-home-mara-p{project:07d}"
        path = directory / f"{number:08x}-7d14-4f0a-9c55-0e2b6a1d7711.jsonl"
        return write(path, self._claude.log(self.chance, number, size, project))

    def codex(self, home: Path, number: int, project: int, size: int) -> Path:
        """A rollout of Codex of so many bytes, more or less."""
        directory = home / ".codex" / "sessions" / "2026" / f"{1 + number % 10:02d}" / f"{1 + number // 10 % 28:02d}"
        path = directory / f"rollout-2026-10-01T10-00-00-{number:08x}-7d14-4f0a-9c55-0e2b6a1d7711.jsonl"
        return write(path, (Codex.head(number, project), *self._codex.log(self.chance, number, size, project)))


def write(path: Path, parts: Iterable[bytes]) -> Path:
    """Write a log piece by piece, below directories that are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(parts)
    return path


def lay_out(home: Path, shape: Shape) -> list[Path]:
    """All the logs, in the order of their numbers: the hot ones first."""
    maker = Maker(shape.seed)
    weights = [min(LONGEST_LOG, maker.chance.lognormvariate(0.0, 1.2)) for _ in range(shape.logs)]
    scale = shape.megabytes * MEGABYTE / sum(weights)
    now = time.time()
    made = []
    for number, weight in enumerate(weights):
        place = maker.codex if number % CODEX_EVERY == CODEX_EVERY - 1 else maker.claude
        path = place(home, number, number % shape.directories, int(weight * scale))
        days = 0.01 + 0.9 * number / shape.hot if number < shape.hot else 2 + 363 * number / shape.logs
        os.utime(path, (now - days * DAY_SECONDS, now - days * DAY_SECONDS))
        made.append(path)
    return made


def one_log(home: Path, megabytes: int) -> Path:
    """A HOME with a single log of Claude Code of that size, changed two days ago."""
    path = Maker(SEED).claude(home, megabytes, 0, megabytes * MEGABYTE)
    then = time.time() - 2 * DAY_SECONDS
    os.utime(path, (then, then))
    return path


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say the shape."""
    usual = Shape()
    for name in ("megabytes", "logs", "directories", "hot", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, name), help=f"({getattr(usual, name)})")


def shape_of(arguments: argparse.Namespace) -> Shape:
    """The shape that the options say."""
    return Shape(**{name: getattr(arguments, name) for name in Shape.__struct_fields__})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    add_options(parser)
    arguments = parser.parse_args()
    size = sum(path.stat().st_size for path in lay_out(arguments.home, shape_of(arguments)))
    print(f"{shape_of(arguments)}: {size} bytes")


if __name__ == "__main__":
    main()

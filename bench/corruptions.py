"""Damages a store in random ways, lets `run` put it right, and compares what it knows then with an unharmed store.

Usage: python -m bench.corruptions [--count 200] [--seed N] [--json]

Each round starts from one of two stores over the same invented logs: one that was closed cleanly, and one whose process
was killed with a journal beside it; with a backup of an earlier state or without. A byte that changes inside a text is
tried on the clean store only: in the other one no checksum says what was there (SQLite keeps none).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bench.kills import CONFIG, QUESTIONS, sessions

from selfdistill import logs
from selfdistill.config import Places
from selfdistill.errors import SelfdistillError
from selfdistill.privacy.redaction import Redactor
from selfdistill.service.assembly import Assembly, assemble
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection

SESSIONS = 24  # invented ones, half of them read before the backup is made
PAGE_BYTES = 4096
Harm = Callable[[Path, random.Random], None]


def _change(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def empty(path: Path, _chance: random.Random) -> None:
    """Zero bytes."""
    path.write_bytes(b"")


def header(path: Path, chance: random.Random) -> None:
    """Garbage somewhere in the header."""
    at = chance.randrange(100)
    _change(path, at, chance.randbytes(chance.randint(1, 100 - at)))


def page(path: Path, chance: random.Random) -> None:
    """Garbage instead of a page."""
    pages = path.stat().st_size // PAGE_BYTES
    _change(path, chance.randrange(pages) * PAGE_BYTES, chance.randbytes(PAGE_BYTES))


def cut(path: Path, chance: random.Random) -> None:
    """The end is missing."""
    os.truncate(path, chance.randrange(1, path.stat().st_size))


def bytes_inside(path: Path, chance: random.Random) -> None:
    """A few other bytes anywhere."""
    length = chance.randint(1, 64)
    _change(path, chance.randrange(path.stat().st_size - length), chance.randbytes(length))


def foreign(path: Path, _chance: random.Random) -> None:
    """Another program's database."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE theirs(x)")
    path.write_bytes(connection.serialize())
    connection.close()


def schema(path: Path, chance: random.Random) -> None:
    """A table or an index is dropped."""
    connection = sqlite3.connect(path)
    kind = chance.choice(["TABLE mishaps", "TABLE covered", "TABLE verdicts", "INDEX logs_pending", "TABLE memos"])
    connection.execute(f"DROP {kind}")
    connection.close()


def gone(path: Path, _chance: random.Random) -> None:
    """The database is removed."""
    path.unlink()


def journal_garbage(path: Path, chance: random.Random) -> None:
    """Garbage instead of the journal, or somewhere in it."""
    journal = path.with_name(path.name + "-wal")
    size = journal.stat().st_size
    at = chance.choice([0, chance.randrange(size)])
    _change(journal, at, chance.randbytes(min(size - at, 5000)))


def journal_cut(path: Path, chance: random.Random) -> None:
    """The end of the journal is missing, as after a power cut."""
    journal = path.with_name(path.name + "-wal")
    os.truncate(journal, chance.randrange(journal.stat().st_size))


def journal_gone(path: Path, _chance: random.Random) -> None:
    """No journal."""
    path.with_name(path.name + "-wal").unlink()


def journal_of_another(path: Path, _chance: random.Random) -> None:
    """The journal of another program's database."""
    with tempfile.TemporaryDirectory() as directory:
        other = Path(directory) / "other.db"
        connection = sqlite3.connect(other)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE theirs(x)")
        shutil.copyfile(other.with_name("other.db-wal"), path.with_name(path.name + "-wal"))
        connection.close()


def index_garbage(path: Path, chance: random.Random) -> None:
    """Garbage in the shared index."""
    path.with_name(path.name + "-shm").write_bytes(chance.randbytes(32768))


ANY: tuple[Harm, ...] = (empty, header, page, cut, foreign, schema, gone)
CLEAN: tuple[Harm, ...] = (*ANY, bytes_inside, bytes_inside, bytes_inside)
KILLED: tuple[Harm, ...] = (*ANY, journal_garbage, journal_cut, journal_gone, journal_of_another, index_garbage)


def learn(home: Path, state: Path) -> Assembly:
    """One pass over the logs as they are; the store is left open."""
    assembly = assemble(CONFIG, Places(home / "none", state), home, {})
    one_pass(assembly, Selection(limit=0))
    return assembly


def write_logs(home: Path, first: int, last: int) -> None:
    """Invented sessions, from one number to another."""
    for number, (place, content) in zip(range(last), sessions(random.Random(1)), strict=False):  # noqa: S311
        if number >= first:
            (home / place).parent.mkdir(parents=True, exist_ok=True)
            (home / place).write_bytes(content)


def stores(home: Path) -> dict[str, Path]:
    """State directories to be harmed, and "reference", over the same logs."""
    made = {name: home / name for name in ("reference", "clean", "killed")}
    write_logs(home, 0, SESSIONS // 2)
    assembly = learn(home, made["clean"])
    assembly.store.back_up_if_due()
    assembly.store.close()
    shutil.copytree(made["clean"], made["killed"])
    write_logs(home, SESSIONS // 2, SESSIONS)
    for name in ("reference", "clean"):
        learn(home, made[name]).store.close()
    if (pid := os.fork()) == 0:
        learn(home, made["killed"])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    return made


def answers(state: Path) -> dict[str, set[tuple[object, ...]]]:
    """What a store holds, as sets of rows."""
    connection = sqlite3.connect(state / "lessons.db")
    connection.text_factory = bytes  # what was damaged need not be UTF-8
    try:
        return {name: set(connection.execute(question)) for name, question in QUESTIONS.items()}
    finally:
        connection.close()


def one_round(home: Path, made: dict[str, Path], expected: object, chance: random.Random) -> tuple[str, str]:
    """Harm a copy of a store and put it right: what was done to it, and what is wrong then ("" for nothing)."""
    name = chance.choice(["clean", "killed"])
    harm = chance.choice(CLEAN if name == "clean" else KILLED)
    state = home / "harmed"
    shutil.copytree(made[name], state, copy_function=shutil.copyfile)
    try:
        state.chmod(0o700)
        if chance.random() < 0.5:  # noqa: PLR2004 - half of them have no backup
            shutil.rmtree(state / "backups")
        harm(state / "lessons.db", chance)
        learn(home, state).store.close()
        found = answers(state)
        learn(home, state).store.close()  # and it stays right
        wrong = "" if found == expected == answers(state) else "it knows something else"
    except SelfdistillError as error:
        wrong = error.message
    finally:
        shutil.rmtree(state)
    return f"{name}: {(harm.__doc__ or '').splitlines()[0]}", wrong


def run(home: Path, count: int, seed: int) -> dict[str, object]:
    """The whole."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    made = stores(home)
    expected = answers(made["reference"])
    begun = time.monotonic()
    tried: Counter[str] = Counter()
    failed: dict[str, str] = {}
    for number in range(count):
        what, wrong = one_round(home, made, expected, chance)
        tried[what] += 1
        if wrong:
            failed[f"{number} {what}"] = wrong
    return {
        "corruptions": count,
        "recovered": count - len(failed),
        "failed": failed,
        "kinds": dict(sorted(tried.items())),
        "lessons": len(expected["lessons"]),
        "seconds": round(time.monotonic() - begun, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    logs.set_up("error", Redactor(()))
    with tempfile.TemporaryDirectory(prefix="selfdistill-corruptions-") as directory:
        result = run(Path(directory), arguments.count, arguments.seed)
    print(json.dumps(result, indent=None if arguments.json else 2))
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

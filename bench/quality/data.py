"""What the measurements read: labelled rows and real logs below one directory, whatever in it is absent or broken.

Nothing here knows a file, a task or a project by name: `labelled/NAME.jsonl` may also be called `NAME.dev.jsonl`, with
or without `.gz`; `projects/*.jsonl.gz` holds one native log per row; `corpus/INDEX.tsv` says which logs are genuine.
"""

from __future__ import annotations

import gzip
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from selfdistill.model import Event, EventKind
from selfdistill.sources import Parser, Source, for_path

SUFFIXES: Final = (".jsonl.gz", ".jsonl")
_HEAD: Final = 64 * 1024
_READ_BY_US: Final = frozenset({"claude-code", "codex", "role-content"})  # the corpus' names

R = TypeVar("R", bound=Struct)


class Log(Struct, frozen=True):
    """One native log: the project it belongs to, a name for its file, when its session began, its bytes."""

    project: str
    name: str
    created_at: str
    content: bytes


class _ProjectRow(Struct):
    """A row of `projects/`: one session."""

    session_id: str
    log: str
    created_at: str = ""
    agent: str | None = None


def say(message: str) -> None:
    """Tell a person what was left out; standard output is for the figures."""
    print(message, file=sys.stderr)


def stem(path: Path) -> str:
    """A data file's name without what differs between copies of it: `X.dev.jsonl.gz` and `X.jsonl` are both X."""
    name = path.name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    return name.removesuffix(".dev")


def data_files(directory: Path) -> list[Path]:
    """The data files of a directory, in the order of their names; none where it does not exist."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.name.endswith(SUFFIXES))


def rows(path: Path, kind: type[R]) -> Iterator[R]:
    """The rows of a data file; one that is no such row is counted, and the count is told at the end."""
    decoder = msgspec.json.Decoder(kind)
    broken: list[int] = []
    with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as file:
        for number, line in enumerate(_lines(file, path), start=1):
            if not line.strip():
                continue
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                broken.append(number)
    if broken:
        say(f"{path}: {len(broken)} malformed rows left out (the first is line {broken[0]}).")


def _lines(file: Iterable[bytes], path: Path) -> Iterator[bytes]:
    """The lines of a file as far as it can be read."""
    try:
        yield from file
    except (EOFError, OSError) as problem:
        say(f"{path}: cut short, the rest is left out ({problem}).")


def project_logs(data: Path) -> Iterator[Log]:
    """Every session of every file in `projects/`, as the files have them."""
    files = data_files(data / "projects")
    if not files:
        say(f"{data / 'projects'}: no *.jsonl.gz in it, so nothing about real sessions of projects.")
    for path in files:
        for row in rows(path, _ProjectRow):
            content = row.log.encode("utf-8", "replace")
            yield Log(stem(path), _file_name(row.session_id), row.created_at, content)


def corpus_logs(data: Path) -> Iterator[Log]:
    """The genuine logs of agents that the product reads, by the corpus' own index; its repository is the project."""
    index = data / "corpus" / "INDEX.tsv"
    if not index.is_file():
        say(f"{index} is not there, so nothing about the logs of the corpus.")
        return
    for line in index.read_text().splitlines()[1:]:
        fields = line.split("\t")
        if len(fields) < 5:  # noqa: PLR2004 - file, agent, repository, licence, genuine
            say(f"{index}: a malformed row was left out.")
        elif fields[1] in _READ_BY_US and fields[4] == "yes":
            path = index.parent / fields[0]
            if path.is_file():
                yield Log(fields[2].replace("/", "__"), path.name, "", path.read_bytes())
            else:
                say(f"{path} is in the index, but not there.")


def real_logs(data: Path) -> Iterator[Log]:
    """All real logs that there are."""
    yield from project_logs(data)
    yield from corpus_logs(data)


def _file_name(session: str) -> str:
    """A name for the file of a session: no directories in it."""
    return f"{PurePath(session).name or 'session'}.jsonl"


class Reader:
    """Opens logs with the product's sources, and lets each event through once, however many logs have a copy of it."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self.copies = 0
        self.unreadable: Counter[str] = Counter()

    def source(self, log: Log) -> Source | None:
        """The source of a log; None, and counted, where the product cannot read it."""
        source = for_path(PurePath(log.name), log.content[:_HEAD])
        if source is None:
            self.unreadable[log.project] += 1
        return source

    def is_new(self, event: Event) -> bool:
        """Whether no earlier log had this tool result; copies are counted."""
        if event.uid in self._seen:
            self.copies += 1
            return False
        self._seen.add(event.uid)
        return True

    def tell(self, what: str) -> None:
        """Say what was left out."""
        if self.copies:
            say(f"{what}: {self.copies} results are copies from an earlier log and count once.")
        for project, count in sorted(self.unreadable.items()):
            say(f"{what}: {count} logs of {project} are in a format that the product does not read.")


def events(source: Source, log: Log, change: Callable[[bytes], bytes] = bytes) -> Iterator[tuple[Parser, Event]]:
    """Every event of a log, with the parser that knows the session; `change` may alter each line before it is read."""
    parser = source.open(PurePath(log.name), None)
    offset = 0
    for line in log.content.splitlines(keepends=True):
        for event in parser.feed(change(line), offset):
            yield parser, event
        offset += len(line)


def without(value: Any, names: frozenset[str]) -> Any:  # noqa: ANN401 - any JSON
    """A JSON value without the fields of these names, however deep."""
    if isinstance(value, dict):
        return {key: without(inner, names) for key, inner in value.items() if key not in names}
    return [without(inner, names) for inner in value] if isinstance(value, list) else value


def calls_of(found: Iterable[Event]) -> dict[str, Event]:
    """The calls among events, by call id."""
    return {event.call_id: event for event in found if event.kind is EventKind.TOOL_CALL}

"""What `ingest/` does for a source that rewrites its logs, as plainly as a test needs it: real files, made to lines."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

from selfdistill.layouts import Document
from selfdistill.sources import SOURCES, Source
from selfdistill.sources.amp import Amp
from selfdistill.sources.antigravity import Antigravity
from selfdistill.sources.copilot_cli import CopilotCli
from selfdistill.sources.droid import Droid
from selfdistill.sources.gemini_cli import GeminiCli
from selfdistill.sources.grok import Grok
from selfdistill.sources.kimi import Kimi
from selfdistill.sources.pi import OhMyPi, OpenClaw, Pi
from selfdistill.sources.qwen_code import QwenCode

FIXTURES = Path(__file__).parent / "fixtures"
EXPECTED = "expected.json"

# Every source there is, registered or about to be.
_UNREGISTERED: tuple[Source, ...] = (
    *(GeminiCli(), QwenCode(), CopilotCli()),
    *(OhMyPi(), OpenClaw(), Pi(), Droid(), Amp(), Kimi(), Grok(), Antigravity()),
)
EVERY: tuple[Source, ...] = tuple({source.name: source for source in (*SOURCES, *_UNREGISTERED)}.values())


class RealFiles:
    """`Files` as they lie on the disk."""

    def names(self, directory: PurePath) -> list[str]:
        """The names in a directory, sorted; empty where there is none."""
        place = Path(directory)
        return sorted(path.name for path in place.iterdir()) if place.is_dir() else []

    def read(self, path: PurePath) -> bytes:
        """A file's bytes; empty where there is none."""
        place = Path(path)
        return place.read_bytes() if place.is_file() else b""


class HeldFiles:
    """`Files` of which one has other bytes than on the disk."""

    def __init__(self, path: PurePath, data: bytes) -> None:
        self._path, self._data = path, data

    def names(self, directory: PurePath) -> list[str]:
        """The names in a directory."""
        return RealFiles().names(directory)

    def read(self, path: PurePath) -> bytes:
        """The bytes that are held, else those on the disk."""
        return self._data if path == self._path else RealFiles().read(path)


def lines_of(source: Source, path: PurePath, data: bytes | None = None) -> bytes:
    """The log as a parser gets it; `data` stands for the file's own bytes."""
    held = Path(path).read_bytes() if data is None else data
    layout = source.layout(path)
    if not isinstance(layout, Document):
        return held
    return b"\n".join(each.line for each in layout.render(path, HeldFiles(path, held)))


def fixtures() -> list[tuple[Source, Path]]:
    """Every invented log that an `expected.json` names, with the source that reads it."""
    found: list[tuple[Source, Path]] = []
    for source in EVERY:
        expected = FIXTURES / source.name / EXPECTED
        names = sorted(json.loads(expected.read_text("utf-8"))) if expected.is_file() else []
        found.extend((source, expected.parent / name) for name in names)
    return found


def fixture_name(log: tuple[Source, Path]) -> str:
    """What a test over `fixtures()` calls one of them."""
    source, path = log
    return f"{source.name}-{path.relative_to(FIXTURES / source.name)}"


def forgotten() -> list[Path]:
    """Files among the fixtures that no `expected.json` names and that its source would own as a log."""
    named = {path for _, path in fixtures()}
    return [
        path
        for source in EVERY
        for path in sorted((FIXTURES / source.name).glob("*.json*"))
        if path.name != EXPECTED and path not in named
    ]

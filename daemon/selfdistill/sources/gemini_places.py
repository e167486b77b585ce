"""Where Gemini CLI's logs lie, and which directory a project's logs are about."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path, PurePath
from typing import Final

from selfdistill.sources.decoding import fact
from selfdistill.sources.documents import document_in

CHATS: Final = "chats"
_MARKER_BYTES: Final = 4096
_REGISTRY_BYTES: Final = 1 << 20


def parent_of(path: PurePath) -> str:
    """Return the session that a sub-agent's log belongs to, by its place: `chats/<parent>/<id>.jsonl`."""
    below = path.parts[chats_at(path) + 1 :]
    return below[0] if len(below) > 1 else ""


def chats_at(path: PurePath) -> int:
    """Return where in the path the directory of chats stands; the file itself where there is none."""
    parts = path.parts
    return next((number for number in range(len(parts) - 2, -1, -1) if parts[number] == CHATS), len(parts) - 1)


def project_root(path: PurePath) -> str:
    """Return the directory that a chat's project stands for, "" where it cannot be told.

    The project's directory is named by a hash of the path or by a short name; the path stands in its `.project_root`,
    else in `projects.json` two levels up (Gemini CLI's `config/storage.ts` and `projectRegistry.ts`).
    """
    position = chats_at(path)
    if path.parts[position] != CHATS:
        return ""
    project = Path(*path.parts[:position])
    if marker := _small(project / ".project_root", _MARKER_BYTES).decode("utf-8", "replace").strip():
        return fact(marker)
    registry = document_in(_small(project.parent.parent / "projects.json", _REGISTRY_BYTES))
    projects = registry.get("projects") if isinstance(registry, dict) else None
    for root, name in projects.items() if isinstance(projects, dict) else ():
        if project.name in (name, sha256(root.encode()).hexdigest()):
            return fact(root)
    return ""


def _small(path: Path, limit: int) -> bytes:
    """The bytes of a small file; empty where there is none that can be read: then the log itself must tell."""
    try:
        if not path.is_file() or path.stat().st_size > limit:
            return b""
        return path.read_bytes()
    except (OSError, ValueError):  # ValueError: a path that holds a NUL
        return b""

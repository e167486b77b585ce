"""What stands beside the store in `.initialised`: that lessons were kept here, and how the file was left.

Empty: it is open, or its process was killed. `sealed SIZE DIGEST`: it was closed by its last user, and has been exactly
this since. `damaged REASON`: SQLite found it damaged while somebody worked with it.

Why a seal: SQLite keeps no checksums of pages, and `quick_check` looks at their structure, so a byte that rots inside a
text goes unseen (2 of 11 such changes, bench/corruptions.py). Reading the file costs what the check costs.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from selfdistill.store.database import translate_system

if TYPE_CHECKING:
    from pathlib import Path

SEALED_UP_TO_BYTES: Final = 32 * 1024 * 1024  # 0.15 s on a busy machine; beyond it the check of the structure must do
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST_MARK_BYTES: Final = 1024


def marker(path: Path) -> Path:
    """The file that says: a store was here once, so an empty file is a loss and no fresh start."""
    return path.parent / ".initialised"


def write_mark(path: Path, text: str = "") -> None:
    """Say how the store at `path` is left, for good; the mark is made if need be."""
    try:
        descriptor = os.open(marker(path), _FLAGS, 0o600)
        try:
            os.write(descriptor, text.encode("utf-8", "replace")[:_LONGEST_MARK_BYTES])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise translate_system(error, marker(path)) from error


def read_mark(path: Path) -> str:
    """How the store was left; "" if that is not known."""
    try:
        with marker(path).open("rb") as file:
            return file.read(_LONGEST_MARK_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise translate_system(error, marker(path)) from error


def seal(path: Path) -> None:
    """Seal a store that nobody has open, if it is whole in its one file and not too big to be read each time.

    Where it was taken away under its last user there is nothing to seal.
    """
    if path.exists() and not _has_journal(path) and path.stat().st_size <= SEALED_UP_TO_BYTES:
        write_mark(path, f"sealed {signature(path)}")


def condemn(path: Path, reason: str) -> None:
    """Note that the store is damaged: whoever opens it next puts it right. Of a file that never was ours, nothing."""
    if marker(path).exists():
        write_mark(path, f"damaged {reason}")


def is_pristine(path: Path) -> bool | None:
    """Whether the store still is as it was sealed; None if it is not sealed. Ask while holding it alone."""
    word, _, sealed = read_mark(path).partition(" ")
    if word != "sealed" or _has_journal(path):  # a journal means that it was opened again
        return None
    return sealed == signature(path)


def complaint(path: Path) -> str:
    """Why the store was found damaged while in use; "" if it was not."""
    word, _, reason = read_mark(path).partition(" ")
    return reason if word == "damaged" else ""


def signature(path: Path) -> str:
    """Size and digest of a file."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
            return f"{file.tell()} {digest}"
    except OSError as error:
        raise translate_system(error, path) from error


def _has_journal(path: Path) -> bool:
    journal = path.with_name(f"{path.name}-wal")
    return journal.exists() and journal.stat().st_size > 0

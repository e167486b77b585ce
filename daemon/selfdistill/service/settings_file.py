"""Reads and replaces files that belong to people: whole or not at all, through symbolic links, mode and owner kept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from selfdistill.errors import CannotCreate, ConfigError, PermissionProblem

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 16_777_216


def not_understood(path: Path, why: str) -> ConfigError:
    """The error for a settings file that we cannot make sense of."""
    return ConfigError(
        f"The settings file {path} cannot be used: {why}.", "Nothing was changed. Mend it, then run the command again."
    )


def real_path(path: Path) -> Path:
    """The file behind symbolic links: the link itself stays."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of links
        raise not_understood(path, f"its symbolic links lead nowhere ({error})") from error


def read_settings(path: Path) -> bytes | None:
    """The bytes of a settings file, None if there is none."""
    real = real_path(path)
    try:
        with real.open("rb") as file:
            found = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PermissionProblem(
            f"The settings file {path} cannot be read: {error.strerror}.", "Make it readable for you, or leave it out."
        ) from error
    if len(found) > MAX_BYTES:
        raise not_understood(path, "it is larger than 16 MiB")
    return found


def settings_text(path: Path, found: bytes | None) -> str:
    """A settings file's text, "" for no file and for one with nothing in it."""
    try:
        text = (found or b"").decode()
    except UnicodeDecodeError as error:
        raise not_understood(path, "it is not UTF-8") from error
    return text if text.strip("\ufeff \t\r\n") else ""


def replace_settings(real: Path, before: bytes | None, after: bytes) -> None:
    """New content in one step: whoever reads sees the old or the new file, whole, whenever the power fails."""
    temporary = real.with_name(f".{real.name}.selfdistill-{os.getpid()}")
    try:
        found = real.stat() if before is not None else None
        if found is not None and not os.access(real, os.W_OK):
            raise PermissionProblem(
                f"{real} is read-only; nothing was changed.", f"If that is not meant: chmod u+w '{real}'"
            )
        _write(temporary, after, found)
        if read_settings(real) != before:
            raise ConfigError(f"{real} was changed by somebody else just now.", "Nothing was changed. Try again.")
        temporary.replace(real)
        _sync(real.parent)
    except OSError as error:
        raise PermissionProblem(f"Cannot write {real}: {error.strerror}.", "Nothing was changed.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _write(path: Path, content: bytes, like: os.stat_result | None) -> None:
    """A new file, on the disk when this returns, with mode and owner of another."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - the descriptor was made exclusively
        file.write(content)
        if like is not None:
            os.fchmod(descriptor, like.st_mode & 0o7777)
            if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, like.st_uid, like.st_gid)
        file.flush()
        os.fsync(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_private(path: Path, content: bytes) -> None:
    """A file of ours in the state directory, 0600, whole or not there."""
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        _write(temporary, content, None)
        temporary.replace(path)
    except OSError as error:
        raise CannotCreate(f"Cannot write {path}: {error.strerror}.", "Nothing was changed.") from error

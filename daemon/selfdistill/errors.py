"""Every error selfdistill raises on purpose, drawn once.

    SelfdistillError
    ├── UsageError          64  the command line does not make sense
    ├── AlreadyRunning      69  another daemon holds this state directory
    ├── InternalError       70  a promise of ours is broken: a bug
    ├── StoreError          70  the database cannot be used
    │   ├── StoreCorrupt        it is damaged
    │   ├── StoreForeign        it belongs to another program, or is empty where ours should be
    │   ├── StoreTooNew         a newer selfdistill wrote it
    │   ├── StoreFull           the disk or a quota is full (temporary)
    │   ├── StoreBusy           another process holds the write lock (temporary)
    │   └── CursorMoved         another process distilled the same bytes first: drop this work
    ├── ServiceProblem      71  systemd or launchd is not there, or refuses
    ├── CannotCreate        73  a file or directory of ours cannot be made
    ├── PermissionProblem   77  a file or directory of ours is not ours, or open to others
    ├── ConfigError         78  the configuration file cannot be used
    └── LogProblem           -  one log cannot be read now; never ends the program

Each says what happened and where (`message`) and what to do about it (`advice`).
"""

from __future__ import annotations

from typing import ClassVar


class SelfdistillError(Exception):
    """What happened, where, and what to do; carries the exit code of the process."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice


class UsageError(SelfdistillError):
    """The command line does not make sense."""

    exit_code = 64


class AlreadyRunning(SelfdistillError):
    """Another daemon holds the lock of this state directory."""

    exit_code = 69


class InternalError(SelfdistillError):
    """A promise of ours is broken."""

    exit_code = 70


class StoreError(SelfdistillError):
    """The database cannot be used."""

    exit_code = 70


class StoreCorrupt(StoreError):
    """The database file is damaged."""


class StoreForeign(StoreError):
    """The database file is another program's, or empty where ours should be."""


class StoreTooNew(StoreError):
    """A newer selfdistill wrote the database; it is left untouched."""


class StoreFull(StoreError):
    """No space, quota or file-size limit left: temporary, nothing was written."""


class StoreBusy(StoreError):
    """Another process held the write lock for longer than we wait: temporary, nothing was written."""


class CursorMoved(StoreError):
    """Another process committed the same log first; our work is dropped, nothing was written."""


class ServiceProblem(SelfdistillError):
    """The supervisor, systemd or launchd, is not there, or did not do what it was asked to."""

    exit_code = 71


class CannotCreate(SelfdistillError):
    """A file or directory of ours cannot be made."""

    exit_code = 73


class PermissionProblem(SelfdistillError):
    """A file or directory of ours belongs to somebody else, or is open to others."""

    exit_code = 77


class ConfigError(SelfdistillError):
    """The configuration file cannot be used."""

    exit_code = 78


class LogProblem(SelfdistillError):
    """One log cannot be read now. `reason` is the word of the skip ledger (a `model.Skip`)."""

    def __init__(self, message: str, advice: str = "", *, reason: str) -> None:
        super().__init__(message, advice)
        self.reason = reason

"""Why a log cannot be read now, as the error that everybody raises for it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from selfdistill.errors import LogProblem
from selfdistill.ingest.naming import printable
from selfdistill.model import Skip

if TYPE_CHECKING:
    from pathlib import PurePath

_ADVICE: Final = {
    Skip.GONE: "Nothing to do: it is forgotten once a second scan misses it too.",
    Skip.NOT_REGULAR: "Only regular files are read as logs; replace it with the file itself, or exclude it.",
    Skip.UNREADABLE: "Make it readable for the user that runs selfdistill, or exclude it in the configuration.",
    Skip.UNSETTLED: "It is read again soon.",
    Skip.NO_CONVERSATION: "Nothing to do: it belongs to another program, or to a version of it that is not known here.",
}


def problem_of(path: PurePath, problem: OSError) -> LogProblem:
    """The word for why a path cannot be opened. Only ENOENT means gone: what cannot be observed is not deleted."""
    if problem.errno == errno.ENOENT:
        return log_problem(path, Skip.GONE, "it is not there any more")
    if problem.errno in {errno.ELOOP, errno.ENXIO, errno.EMLINK}:  # EMLINK: a symbolic link on FreeBSD
        return log_problem(path, Skip.NOT_REGULAR, "it is a symbolic link, a socket or a device")
    return log_problem(path, Skip.UNREADABLE, problem.strerror or str(problem))


def log_problem(path: PurePath, reason: Skip, what: str, advice: str = "") -> LogProblem:
    """The error for a log, with the usual advice for its reason unless there is a better one."""
    shown = f"Cannot read the log {printable(path)}: {what}."
    return LogProblem(shown, advice or _ADVICE[reason], reason=reason)

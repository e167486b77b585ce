"""What selfdistill says of itself: structlog, one redacted line per event, on a terminal or in systemd's journal.

A line that cannot be written (closed pipe, full disk) is counted, never an error: the daemon's work matters more than
its log. Records of the standard `logging` module (watchdog's) of warning and above take the same way.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping
    from typing import TextIO

    from structlog.typing import EventDict, FilteringBoundLogger, Processor

_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# sd-daemon(3): a prefix tells the journal how grave a line is.
_PRIORITIES: Final = {"critical": "<2>", "error": "<3>", "warning": "<4>", "info": "<6>", "debug": "<7>"}
_MAX_DEPTH: Final = 8


class _Writer:
    """Writes whole lines to a stream; counts those that the stream did not take."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.lost = 0

    def msg(self, message: str) -> None:
        """Write one line."""
        try:
            with self._lock:
                self._stream.write(f"{message}\n")
                self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed, or cannot encode the text
            self.lost += 1

    debug = info = warning = error = critical = exception = msg


class _Once:
    """Which error each place reported last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[str, str] = {}

    def is_news(self, place: str, message: str) -> bool:
        """Whether this place said something else, or nothing, before."""
        with self._lock:
            news = self._last.get(place) != message
            self._last[place] = message
        return news

    def forget(self, place: str) -> bool:
        """Forget what this place said; whether it had said anything."""
        with self._lock:
            return self._last.pop(place, None) is not None


class _State:
    """The one writer and the memory of reported errors of this process."""

    def __init__(self) -> None:
        self.writer = _Writer(sys.stderr)
        self.once = _Once()


_state: Final = _State()


def set_up(
    level: str,
    redact: Callable[[str], str],
    stream: TextIO | None = None,
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Log from now on at this level ("debug", "info", "warning" or "error") to the stream, standard error by default.

    Every string of an event, also in nested values and tracebacks, goes through `redact` first. Under systemd
    (`JOURNAL_STREAM` is set) lines have a priority instead of a time. May be called again.
    """
    _state.writer = _Writer(sys.stderr if stream is None else stream)
    _state.once = _Once()
    structlog.configure(
        processors=_processors(redact, journal="JOURNAL_STREAM" in environment),
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda *_: _state.writer,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge())


def logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines say which part of the program speaks."""
    bound: FilteringBoundLogger = structlog.get_logger(part=name)
    return bound


def lost() -> int:
    """How many lines could not be written since `set_up`."""
    return _state.writer.lost


def error_once(place: str, message: str, **values: object) -> bool:
    """Log an error of a place, unless it is the one that this place reported last; whether it was logged."""
    news = _state.once.is_news(place, message)
    if news:
        logger(place).error(message, **values)
    return news


def recovered(place: str, message: str, **values: object) -> bool:
    """Log that a place works again, if it had reported an error; its next error is news. Whether it was logged."""
    was_broken = _state.once.forget(place)
    if was_broken:
        logger(place).info(message, **values)
    return was_broken


def _processors(redact: Callable[[str], str], *, journal: bool) -> list[Processor]:
    """An event's way to one line."""
    render = structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True, repr_native_str=False)
    steps: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        _Redaction(redact),
    ]
    if journal:
        return [*steps, _Journal(render)]
    return [*steps, structlog.processors.TimeStamper(fmt="iso", utc=True), _Terminal(render)]


class _Redaction:
    """Takes secrets out of every string of an event and makes one line of it."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._redact = redact

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        """The event without secrets."""
        return {name: self._clean(name, value, _MAX_DEPTH) for name, value in event.items()}

    def _clean(self, name: str, value: object, depth: int) -> Any:  # noqa: ANN401 - a log value is anything
        """The value with every string in it redacted; what is no plain value becomes a redacted string."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if depth and isinstance(value, dict):
            return {str(key): self._clean(str(key), item, depth - 1) for key, item in value.items()}
        if depth and isinstance(value, list | tuple | set | frozenset):
            return [self._clean(name, item, depth - 1) for item in value]
        return self._text(name, str(value))

    def _text(self, name: str, text: str) -> str:
        """Redacted, also for what its name says it is, and without characters that break a line or drive a terminal."""
        named = f"{name}="
        redacted = self._redact(named + self._redact(text))
        return "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
            for character in redacted.removeprefix(named)
        )


class _Terminal:
    """`2026-01-01T00:00:00Z error    event key=value` for people."""

    def __init__(self, render: structlog.processors.KeyValueRenderer) -> None:
        self._render = render

    def __call__(self, wrapped: object, method: str, event: MutableMapping[str, Any]) -> str:
        """The line."""
        time, level = event.pop("timestamp"), event.pop("level")
        return f"{time} {level:<8} {_rendered(self._render, wrapped, method, event)}"


class _Journal:
    """`<3>event key=value`: the journal knows the time."""

    def __init__(self, render: structlog.processors.KeyValueRenderer) -> None:
        self._render = render

    def __call__(self, wrapped: object, method: str, event: MutableMapping[str, Any]) -> str:
        """The line."""
        priority = _PRIORITIES.get(event.pop("level"), "<6>")
        return f"{priority}{_rendered(self._render, wrapped, method, event)}"


def _rendered(
    render: structlog.processors.KeyValueRenderer, wrapped: object, method: str, event: MutableMapping[str, Any]
) -> str:
    """The event's words, then its values as `key=value`; values with blanks are quoted."""
    words = event.pop("event", "")
    values = {name: _quoted(value) for name, value in event.items()}
    return f"{words} {render(wrapped, method, values)}" if values else str(words)


def _quoted(value: object) -> object:
    """A string with blanks in quotes, everything else as it is."""
    return '"{}"'.format(value.replace('"', "'")) if isinstance(value, str) and (" " in value or not value) else value


class _Bridge(logging.Handler):
    """Hands records of the standard library's logging (watchdog's) on to structlog."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record at its level."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # arguments that do not fit the format, as the standard handlers report
            message = str(record.msg)
        method = "error" if record.levelno >= logging.ERROR else "warning"
        getattr(logger(record.name), method)(message, exc_info=record.exc_info or None)

"""Log lines: one per event, redacted, and never a reason to fail."""

from __future__ import annotations

import io
import logging
import os
import threading
from typing import TYPE_CHECKING

import pytest

from selfdistill import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SECRET = "hunter" + "22"


def redact(text: str) -> str:
    """A stand-in for the privacy room, which logs may not import."""
    return text.replace(SECRET, "[GONE]").replace("password=plain", "password=[GONE]")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave the process's logging as it was."""
    yield
    logs.set_up("error", redact, io.StringIO())
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler).__module__ == logs.__name__:
            root.removeHandler(handler)


def lines(act: Callable[[], object], level: str = "info", environment: Mapping[str, str] | None = None) -> list[str]:
    """What `act` logs."""
    stream = io.StringIO()
    logs.set_up(level, redact, stream, environment or {})
    act()
    return stream.getvalue().splitlines()


def test_event_is_one_line_of_words_and_values() -> None:
    """An event is one line: time, level, words, part and values; values with blanks are quoted."""
    (line,) = lines(lambda: logs.logger("daemon").info("log settled", path="/a b", bytes=12))
    assert line.endswith('Z info     log settled part=daemon path="/a b" bytes=12')


def test_journal_lines_have_a_priority_and_no_time() -> None:
    """Under systemd the journal keeps the time and learns how grave a line is."""
    environment = {"JOURNAL_STREAM": "8:1"}
    assert lines(lambda: logs.logger("x").error("broken"), environment=environment) == ["<3>broken part=x"]
    assert lines(lambda: logs.logger("x").info("fine"), environment=environment) == ["<6>fine part=x"]


def test_level_silences_what_is_below() -> None:
    """Lines below the level are not written."""
    assert lines(lambda: logs.logger("x").info("chatter"), "warning") == []
    assert len(lines(lambda: logs.logger("x").debug("chatter"), "debug")) == 1


def test_secrets_are_redacted_everywhere() -> None:
    """Words, values, nested values, keys' meaning and exceptions go through redaction."""

    def act() -> None:
        log = logs.logger("x")
        said = f"said {SECRET}"
        log.info(said, deep={"list": [SECRET, {"k": (SECRET,)}]}, path=os.fsencode(SECRET))
        log.info("given", login={"db_password": "plain"})
        try:
            int(SECRET)
        except ValueError:
            log.exception("failed")

    written = lines(act)
    assert SECRET not in "".join(written)
    assert "plain" not in written[1]
    assert "ValueError: invalid literal for int() with base 10: '[GONE]'" in written[2]
    assert len(written) == 3


def test_control_characters_do_not_reach_the_terminal() -> None:
    """A line break or escape code in a value stays inside its line, in readable form."""
    (line,) = lines(lambda: logs.logger("x").info("odd", value="a\nb\x1b[31m\ud800"))
    assert "value=a\\nb\\x1b[31m\\ud800" in line


def test_closed_pipe_loses_lines_and_counts_them() -> None:
    """A reader that went away costs lines, not the daemon."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as stream:
        logs.set_up("info", redact, stream, {})
        logs.logger("x").info("into the void")
        logs.logger("x").info("into the void")
        assert logs.lost() == 2
        with open(os.devnull, "w") as null:  # noqa: PTH123 - a descriptor to close the stream over
            os.dup2(null.fileno(), writer)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")  # noqa: PTH110
def test_full_device_loses_lines_and_counts_them() -> None:
    """A full disk under the log costs lines, not the daemon; `set_up` counts anew."""
    stream = open("/dev/full", "w", buffering=1)  # noqa: PTH123, SIM115 - closing it fails, too
    logs.set_up("info", redact, stream, {})
    logs.logger("x").info("no room")
    assert logs.lost() == 1
    logs.set_up("info", redact, io.StringIO(), {})
    assert logs.lost() == 0
    with pytest.raises(OSError, match="No space"):
        stream.close()


def test_closed_stream_is_survived() -> None:
    """A stream closed under us is a lost line."""
    stream = io.StringIO()
    logs.set_up("info", redact, stream, {})
    stream.close()
    logs.logger("x").info("late")
    assert logs.lost() == 1


def test_standard_logging_takes_the_same_way() -> None:
    """A library's warning is a line like ours, its chatter is not; set-up twice does not double lines."""

    def act() -> None:
        logs.set_up("info", redact, stream, {})
        logging.getLogger("watchdog").warning("lost %s", SECRET)
        logging.getLogger("watchdog").info("chatter")

    stream = io.StringIO()
    lines(act)
    written = stream.getvalue().splitlines()
    assert [line.split(" ", 1)[1] for line in written] == ["warning  lost [GONE] part=watchdog"]


def test_record_with_arguments_that_do_not_fit_is_logged_as_it_is() -> None:
    """A library's mistake in a log call costs its arguments, not the line."""

    def act() -> None:
        (bridge,) = (one for one in logging.getLogger().handlers if type(one).__module__ == logs.__name__)
        bridge.handle(logging.LogRecord("watchdog", logging.ERROR, "x.py", 1, "odd %d", ("text",), None))

    (line,) = lines(act)
    assert line.endswith("error    odd %d part=watchdog")


def test_error_of_a_place_is_logged_once_until_it_changes() -> None:
    """The same error of the same place is news once; another one, or the same after recovery, is news again."""

    def act() -> None:
        said.extend(
            [
                logs.error_once("store", "disk full", free=1),
                logs.error_once("store", "disk full", free=2),
                logs.error_once("scanner", "disk full"),
                logs.error_once("store", "locked"),
                logs.recovered("store", "works again"),
                logs.recovered("store", "works again"),
                logs.error_once("store", "locked"),
            ]
        )

    said: list[bool] = []
    written = lines(act)
    assert said == [True, False, True, True, True, False, True]
    assert len(written) == 5


def test_threads_do_not_mix_their_lines() -> None:
    """Lines of several threads stay whole."""

    def act() -> None:
        threads = [
            threading.Thread(target=lambda: [logs.logger("x").info("y" * 50) for _ in range(50)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    written = lines(act)
    assert len(written) == 200
    assert {line.split(" ", 1)[1] for line in written} == {"info     " + "y" * 50 + " part=x"}

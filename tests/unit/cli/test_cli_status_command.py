"""`status`: its command line, its verdicts, its screen; the process-level promises are in tests/integration."""

from __future__ import annotations

import os
import tomllib
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st

from selfdistill.cli import status_command, status_screen
from selfdistill.cli.status_command import Snapshot, Verdict, judge, parse, state_directory
from selfdistill.config import places
from selfdistill.service import processes, status
from support.examples import examples

NOW = 1_750_000_000.0
ALIVE = {"pid": os.getpid(), "process": processes.identity(os.getpid()), "schema": status.SCHEMA}


def snapshot(age_seconds: float = 5.0, **table: object) -> Snapshot:
    return Snapshot(
        "/s/status.toml", {**ALIVE, "state": "watching", "heartbeat_seconds": 60, **table}, NOW - age_seconds
    )


def screen(found: Snapshot) -> str:
    drawn = status_screen.lines(found, judge(found, NOW), NOW)
    return "\n".join(status_screen.render(line, colour=False) for line in drawn)


class TestParse:
    """The command line without argparse."""

    def test_every_option(self) -> None:
        """Each option is understood before and after the command, with = or a blank."""
        options = parse(["--config", "c", "--state-dir=/a", "status", "--json", "--watch", "--state-dir", "/b"])
        assert (options.as_json, options.watch, options.state, options.help) == (True, True, "/b", False)

    @pytest.mark.parametrize(
        "words", [["status", "x"], ["status", "--jso"], ["status", "--state-dir"], ["status", "status"]]
    )
    def test_anything_else_is_refused(self, words: list[str]) -> None:
        """Unknown, abbreviated and incomplete words are errors in words."""
        with pytest.raises(ValueError, match=r"argument|needs a value"):
            parse(words)


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize(
    "more", [{}, {"XDG_STATE_HOME": "/x"}, {"XDG_STATE_HOME": "relative"}, {"SELFDISTILL_STATE_DIR": "/s"}]
)
def test_state_directory_is_the_one_of_config(more: dict[str, str], platform: str) -> None:
    """The fast path looks where every other command does."""
    environment = {"HOME": "/home/mara", **more}
    assert state_directory(environment, platform) == str(places(Path("/home/mara"), environment, platform).state)


def test_schema_is_the_writers() -> None:
    """Reader and writer of one installation agree on the schema, and on what a healthy state is called."""
    assert status_command.SCHEMA == status.SCHEMA
    healthy = set(status.State) - {status.State.PAUSED, status.State.DEGRADED, status.State.STOPPED}
    assert set(status_command._HEALTHY_STATES) == healthy


class TestJudge:
    """From the file's table to an exit code."""

    @pytest.mark.parametrize(
        ("found", "exit_code", "says"),
        [
            (snapshot(), 0, ""),
            (snapshot(state="distilling"), 0, ""),
            (snapshot(state="starting"), 0, ""),
            (snapshot(age_seconds=179), 0, ""),
            (snapshot(age_seconds=-179), 0, ""),
            (snapshot(state="degraded", reason="root gone"), 1, "root gone"),
            (snapshot(state="paused"), 1, "paused"),
            (snapshot(state="dreaming"), 1, "dreaming"),
            (snapshot(alarms=["58 sessions gave no lesson"]), 1, ""),
            (snapshot(schema=99), 1, "schema 99"),
            (snapshot(age_seconds=181), 2, "last reported 3 min ago"),
            (snapshot(age_seconds=-86_400), 2, "last reported"),
            (snapshot(age_seconds=31, heartbeat_seconds=10), 2, "every 10 s"),
            (Snapshot("/s", None, problem="/s is damaged"), 2, "damaged"),
            (snapshot(state="stopped"), 3, "stopped"),
            (snapshot(state="stopped", age_seconds=1e6), 3, "stopped"),
            (snapshot(pid=2**22 + 1), 3, "without a word"),
            (snapshot(pid=1, process="boot:1"), 3, "without a word"),
            (snapshot(pid="x"), 3, "without a word"),
            (Snapshot("/s", None), 4, "never run"),
        ],
    )
    def test_verdicts(self, found: Snapshot, exit_code: int, says: str) -> None:
        """Each situation has its exit code, and every one but healthy a sentence that says why."""
        verdict = judge(found, NOW)
        assert verdict.exit_code == exit_code
        assert says in verdict.reason

    def test_reused_pid_is_not_the_daemon(self) -> None:
        """A living process that merely has the daemon's old number does not make it run."""
        assert judge(snapshot(process="boot:1"), NOW).exit_code == 3


class TestScreen:
    """From the file's table to text."""

    def test_whole_screen(self) -> None:
        """What is wrong stands above everything else, then state, agents, queue, last run, totals, model, watcher."""
        at = datetime.fromtimestamp(NOW - 200, UTC)
        source = status.Source(
            roots=[status.Root("/r/projects", "unreadable", "chmod u+rx /r/projects")],
            logs_seen=1208,
            tracked=190,
            sessions=150,
            skipped={"empty": 4, "machine_run": 14},
            bytes_behind=1_234_567,
            oldest_unprocessed_since=at,
            records_total=40_000,
            unknown_records=3,
            unknown_types={"foo": 2, "bar": 1},
            undecodable=2,
            last_success_at=at,
        )
        told = status.Status(
            state=status.State.WATCHING,
            version="0.1.0",
            alarms=["58 sessions gave no lesson at all."],
            due=3,
            settling=2,
            total_lessons=56,
            total_sessions=1234,
            total_runs=78,
            pending_lessons=4,
            covering_lessons=9,
            recurred_lessons=2,
            last_run_id="run-7",
            last_run_at=at,
            last_analysis_mode="heuristic",
            last_sessions_processed=12,
            last_lessons_generated=3,
            model=status.Model("ready", "", "claude", 0.25, 1.0, 2),
            started_at=at,
            sources={"claude_code": source, "codex": status.Source(enabled=False)},
        )
        table = tomllib.loads(tomli_w.dumps(status._plain(msgspec.to_builtins(told, builtin_types=(datetime,)))))
        assert screen(snapshot(**{**table, **ALIVE})).splitlines() == [
            f"● selfdistill: degraded · watching for 3 min · pid {os.getpid()} · 0.1.0",
            "  ! 58 sessions gave no lesson at all.",
            "  ! claude_code: /r/projects is unreadable",
            "    chmod u+rx /r/projects",
            "",
            "  agent         seen  tracked  sessions  behind  oldest  last success",
            "  claude_code  1,208      190       150  1.2 MB   3 min         3 min",
            "      skipped: 14 machine_run, 4 empty",
            "      drift: 3 of 40,000 records are of unknown types: 2 foo, 1 bar",
            "      undecodable: 2 lines",
            "  codex          off        -         -       -       -             -",
            "",
            "  queue     3 due · 2 settling · 0 backlog",
            "  last run  3 min ago · heuristic · 12 sessions, 3 lessons · run-7",
            "  totals    56 lessons (4 pending) · 1,234 sessions · 78 runs",
            "  helping   7 of 9 lessons about failures did not see theirs again",
            "  model     ready · claude · $0.25 of $1.00 today · 2 sessions owed",
            "  watcher   events",
            "  heartbeat 5 s ago · /s/status.toml",
        ]

    def test_agents_that_are_not_there_take_one_line(self) -> None:
        """Agents of which nothing was found are named together, below those that are there."""
        drawn = screen(snapshot(sources={"codex": {"logs_seen": 3}}, absent_agents=["amp", "crush"]))
        assert "not found here: amp, crush" in drawn
        assert drawn.index("codex") < drawn.index("not found here")

    def test_telling_and_repeated_failures_are_one_line_each(self) -> None:
        """What came of the lessons that were told, and failures by week as bars; nothing where there is nothing."""
        telling = {"deliveries": 14, "helped": 6, "recurred": 2, "helping": 1, "unproven": 3, "not_helping": 0}
        weeks = {"repeated_failures_by_week": [0, 8, 4, 1], "known_failures_by_week": [0, 0, 2, 1]}
        drawn = screen(snapshot(recall={**telling, **weeks, "spoiled_lines": 2}))
        told = "14 times: 6 helped, 2 failed all the same · lessons: 1 helping, 0 not helping, 3 unproven"
        assert f"  told      {told} · 2 lines of hooks could not be used\n" in drawn
        assert "  repeats   ·█▄▁ 1 this week · known to a lesson ··█▄ 1\n" in drawn
        quiet = screen(snapshot(recall={"deliveries": 0, "repeated_failures_by_week": [0, 0], "helped": "odd"}))
        assert "told" not in quiet
        assert "repeats" not in quiet
        assert "repeats" not in screen(snapshot(recall={"repeated_failures_by_week": ["x"]}))

    def test_missing_root_is_news_only_if_logs_went_with_it(self) -> None:
        """An agent's other default place may be missing; all places missing of an agent that had logs is an alarm."""
        gone, there = {"path": "/gone", "health": "missing", "advice": "mount it"}, {"path": "/there", "health": "ok"}
        usual = screen(snapshot(sources={"codex": {"roots": [gone, there], "logs_seen": 3}}))
        assert "not there: /gone" in usual
        assert "!" not in usual
        assert "!" not in screen(snapshot(sources={"codex": {"roots": [gone], "logs_seen": 0}}))
        assert "! codex: /gone is missing" in screen(snapshot(sources={"codex": {"roots": [gone], "logs_seen": 3}}))

    def test_control_characters_are_shown_not_obeyed(self) -> None:
        """No escape sequence, newline or direction mark of a path or reason reaches the terminal."""
        evil = "a\x1b]0;pwned\x07\n\u202eb\x9b"
        found = snapshot(
            state="degraded",
            reason=evil,
            advice=evil,
            alarms=[evil],
            version=evil,
            sources={evil: {"roots": [{"path": evil, "health": evil, "advice": evil}], "skipped": {evil: 2}}},
            last_error={"message": evil},
            last_run_id=evil,
        )
        drawn = screen(found)
        assert "\\x1b]0;pwned\\x07\\n\\u202eb\\x9b" in drawn
        assert all(character.isprintable() or character == "\n" for character in drawn)

    def test_colour_only_when_asked_and_cut_to_width(self) -> None:
        """Colour codes appear only on request; a cut line has at most `width` visible characters."""
        line = [("31", "abc"), ("", "def")]
        assert status_screen.render(line, colour=True) == "\x1b[31mabc\x1b[0mdef"
        assert status_screen.render(line, colour=False, width=4) == "abcd"
        assert status_screen.render(line, colour=True, width=2) == "\x1b[31mab\x1b[0m"

    @pytest.mark.parametrize(
        ("seconds", "shown"), [(0, "0 s"), (119.9, "119 s"), (120, "2 min"), (7200, "2 h"), (1e6, "11 d"), (-5, "5 s")]
    )
    def test_span(self, seconds: float, shown: str) -> None:
        """A duration is shown in the one unit that says enough."""
        assert status_screen.span(seconds) == shown

    @pytest.mark.parametrize(
        ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (5 * 10**12, "5000.0 GB")]
    )
    def test_size(self, count: int, shown: str) -> None:
        """Bytes are shown in decimal units."""
        assert status_screen.size(count) == shown


SCALARS = (
    st.integers(-(2**40), 2**40)
    | st.floats()
    | st.booleans()
    | st.text(max_size=5)
    | st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2100, 1, 1))  # noqa: DTZ001 - TOML has naive ones
    | st.dates(date(1980, 1, 1), date(2100, 1, 1))
    | st.times(time(0), time(12))
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
KEYS = st.sampled_from([*status.Status.__struct_fields__, "made_up"])
SOURCES = st.dictionaries(
    st.text(max_size=5), st.dictionaries(st.sampled_from(status.Source.__struct_fields__), VALUES) | VALUES, max_size=3
)


@examples(40)
@example(
    table={},
    sources={"codex": {"skipped": {"empty": "four", "gone": 1}, "unknown_records": 1, "unknown_types": [1]}},
    alive=True,
)
@example(
    table={"model": {"state": "ready", "spent_today_usd": "x", "daily_cap_usd": 1}, "alarms": "all"},
    sources={"codex": 1},
    alive=True,
)
@given(table=st.dictionaries(KEYS, VALUES), sources=SOURCES | VALUES, alive=st.booleans())
def test_no_file_can_break_the_screen(table: dict[str, Any], sources: object, alive: bool) -> None:
    """Whatever valid TOML stands in the file, there is a verdict and a screen, and no error."""
    found = Snapshot("/s", {**table, "sources": sources, **(ALIVE if alive else {})}, NOW)
    verdict = judge(found, NOW)
    assert isinstance(verdict, Verdict)
    assert status_screen.lines(found, verdict, NOW)
    assert "exit_code" in status_command._json_text(found, verdict, indent=2)

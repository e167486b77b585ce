"""The harness gives known figures for small, invented data, and says what it had to leave out."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from bench.quality import masked_runs, reruns, tool_failures
from bench.quality.__main__ import main
from bench.quality.data import data_files, project_logs, stem
from bench.quality.metric import Metric
from bench.quality.table import table

from invented import Claude, mended, repaired

CONTENTS = "\n".join(["Error: this is the first line of a text about errors", *["kettle"] * 100])


def session(seed: str) -> Claude:
    """Four results that tell how they ended, one that does not, and a refusal."""
    story = Claude(seed).say("Mend the timer.").sh("gh pr diff 12 --stat", "unknown flag: --stat", error=True)
    story.call("Edit", {"file_path": "a"}, "<tool_use_error>File does not exist.</tool_use_error>", error=True)
    story.call("Read", {"file_path": "notes.txt"}, CONTENTS).sh("ls", "a.txt")
    story.call("Measure", {}, "the kettle is cold", error=True)
    refusal = "The user doesn't want to proceed with this tool use. The tool use was rejected"
    return story.call("Bash", {"command": "rm -r build"}, refusal, error=True)


def piped(seed: str) -> Claude:
    """A failing test run whose status is `tail`'s, and the same words in a file that is only shown."""
    failed = "FAILED tests/test_timer.py::test_boils\n1 failed, 4 passed in 0.12s"
    story = Claude(seed).say("Does it work?").sh("pytest -q | tail -3", failed).sh("cat old_run.txt", failed)
    return story.sh("pytest -q | tail -3", "5 passed in 0.10s")


def row(story: Claude, log: bytes = b"") -> bytes:
    """A session as a row of `projects/`."""
    text = (log or b"".join(story.lines)).decode()
    made = {"session_id": story.session, "created_at": "2026-11-14T09:00:00Z", "agent": None, "log": text}
    return json.dumps(made).encode() + b"\n"


def lay_out(data: Path, *stories: Claude, name: str = "kettle.jsonl.gz", more: bytes = b"") -> Path:
    """A data directory with one project of these sessions."""
    (data / "projects").mkdir(parents=True)
    content = b"".join(map(row, stories)) + more
    (data / "projects" / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return data


def figures(metrics: list[Metric]) -> dict[str, tuple[float, int]]:
    """Value and number of cases by key."""
    return {metric.key: (metric.value, metric.n) for metric in metrics}


@pytest.mark.parametrize("name", ["kettle.jsonl.gz", "kettle.dev.jsonl.gz", "kettle.jsonl", "kettle.dev.jsonl"])
def test_data_files_may_be_packed_and_marked_as_development_data(tmp_path: Path, name: str) -> None:
    """A file is found with or without `.gz` and `.dev`, and is the same project in each case."""
    data = lay_out(tmp_path, repaired("1"), name=name)
    assert [stem(path) for path in data_files(data / "projects")] == ["kettle"]
    assert [log.project for log in project_logs(data)] == ["kettle"]


def test_failures_are_told_from_the_words_alone(tmp_path: Path) -> None:
    """Two of three failures show in their words, nothing harmless does, a refusal is nobody's failure: F1 = 4 / 5."""
    found = figures(tool_failures.measure(lay_out(tmp_path, session("1"))))
    assert found == {"tool_failure_f1": (0.8, 5), "tool_failure_f1_bare": (0.8, 5)}


def test_the_bare_figure_has_no_mark_of_the_harness(tmp_path: Path) -> None:
    """`Exit code 1` before an output that says nothing counts for the first figure only."""
    found = figures(tool_failures.measure(lay_out(tmp_path, Claude("1").sh("./brew", "lukewarm", error=True))))
    assert found == {"tool_failure_f1": (1.0, 1), "tool_failure_f1_bare": (0.0, 1)}


def test_a_copied_result_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same session twice gives the figures of one, and says how many results were copies."""
    found = figures(tool_failures.measure(lay_out(tmp_path, session("1"), session("1"))))
    assert found["tool_failure_f1"] == (0.8, 5)
    assert "6 results are copies" in capsys.readouterr().err


def test_codex_headers_are_words_and_its_json_is_a_field(tmp_path: Path) -> None:
    """A header that the agent saw is read; the exit code inside an envelope of JSON is hidden."""
    story = Claude("1")
    meta = {"type": "session_meta", "payload": {"id": "c1", "cwd": "/home/mara/kettle"}}
    records: list[dict[str, Any]] = [meta]
    outputs = (
        "Chunk ID: 1\nWall time: 0.1 seconds\nProcess exited with code 2\nOutput:\nlukewarm",
        json.dumps({"output": "lukewarm", "metadata": {"exit_code": 2}}),
    )
    for number, output in enumerate(outputs):
        call = {"call_id": f"call_{number}", "name": "shell", "arguments": json.dumps({"command": ["./brew"]})}
        records.append({"type": "response_item", "payload": {"type": "function_call", **call}})
        answer = {"type": "function_call_output", "call_id": f"call_{number}", "output": output}
        records.append({"type": "response_item", "payload": answer})
    for number, record in enumerate(records):
        record["timestamp"] = f"2026-11-14T09:00:0{number}.000Z"
    story.lines = [json.dumps(record).encode() + b"\n" for record in records]
    found = figures(tool_failures.measure(lay_out(tmp_path, story)))
    assert found["tool_failure_f1"] == (2 / 3, 2)


def test_masked_runs_count_runs_only(tmp_path: Path) -> None:
    """A failing run behind a pipe is a case; the same words printed from a file, and a passing run, are none."""
    assert figures(masked_runs.measure(lay_out(tmp_path, piped("1")))) == {"masked_test_failure_recall": (1.0, 1)}


def test_a_flagged_run_is_not_masked(tmp_path: Path) -> None:
    """A failing run that the log reports as a failure is no case."""
    assert masked_runs.measure(lay_out(tmp_path, mended("1"))) == []


SUMMARIES = [
    ("go test ./... 2>&1 | tail -5", "--- FAIL: TestBoil (0.01s)\nFAIL\nFAIL\tkettle/timer\t0.1s", True),
    ("mise run test:ci | tail", "[test:ci] --- FAIL: TestBoil (0.01s)", True),
    ("cd web && npm test || true", "Tests:       1 failed, 4 passed, 5 total", True),
    ('bash -c "pytest -q; true"', "======= 1 failed, 4 passed, 2 warnings in 0.12s =======", True),
    ("timeout 60 uv run pytest -q; echo", "2 errors in 0.31s", True),
    ("cargo test | tail", "test result: FAILED. 3 passed; 1 failed; 0 ignored", True),
    ("python -m unittest || true", "FAILED (failures=1, errors=2)", True),
    ("node --test; true", "\u2139 pass 3\n\u2139 fail 1", True),
    ("pytest -q | tail", "0 failed, 4 passed in 0.1s", False),
    ("pytest --collect-only", "1 failed in 0.1s", False),
    ("cat run.log", "--- FAIL: TestBoil (0.01s)", False),
    ("grep -rn 'go test' docs | head", "FAIL", False),
    ("git commit -m 'go test: FAIL'", "FAIL", False),
    ("go test ./...", "ok  \tkettle/timer\t0.1s\n    log.go:3: the last try failed", False),
]


@pytest.mark.parametrize(("command", "output", "failed"), SUMMARIES)
def test_a_failed_run_is_one_of_a_runner_that_sums_up_a_failure(command: str, output: str, failed: bool) -> None:
    """The reader that gives the truth needs both: a line that starts a runner, and a runner's summary."""
    assert masked_runs.shows_failed_run(command, output) is failed


def test_running_twice_adds_nothing(tmp_path: Path) -> None:
    """The real pipeline over a project, repeated in three ways, learns nothing twice."""
    metric = next(iter(reruns.measure(lay_out(tmp_path, repaired("1"), repaired("2"), mended("3")))))
    assert (metric.key, metric.value, metric.baseline) == ("rerun_duplicates", 0.0, 1.0)
    assert metric.n >= 1
    assert "a copy of every log +0, +0, +0" in metric.note


def test_what_a_repetition_adds_is_measured() -> None:
    """Lessons, findings and sessions that come on top each count; what goes away does not hide them."""
    once, twice = reruns.Learned(2, 3, 4), reruns.Learned(4, 2, 8)
    assert ((twice - once).any, (once - once).any) == (6, 0)


def test_absent_data_is_said_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without data there is no figure, the exit code is 0, and standard error says what is missing."""
    assert main(["--data", str(tmp_path / "nowhere"), "--json", "--only", "tool_failures", "--only", "reruns"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["metrics"] == {}
    assert "is no directory" in told.err
    assert "projects" in told.err


def test_malformed_rows_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows that are no sessions are left out and told; the others count."""
    data = lay_out(tmp_path, session("1"), more=b'{"session_id": 3}\nno json\n')
    assert figures(tool_failures.measure(data))["tool_failure_f1"] == (0.8, 5)
    assert "2 malformed rows left out (the first is line 2)" in capsys.readouterr().err


def test_a_file_that_is_cut_short_is_read_as_far_as_it_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A truncated archive costs its end, and that is told."""
    data = lay_out(tmp_path, session("1"), more=b'{"session_id": "x", "log": "' + bytes(range(256)) * 400 + b'"}')
    path = data / "projects" / "kettle.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-40])
    assert list(project_logs(data)) != []
    assert "cut short" in capsys.readouterr().err


def test_logs_of_unknown_formats_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log that the product cannot read gives no case, and is told."""
    foreign = Claude("1")
    foreign.lines = [b'{"schema": 7, "teapot": true}\n']
    assert tool_failures.measure(lay_out(tmp_path, foreign)) == []
    assert "1 logs of kettle are in a format that the product does not read" in capsys.readouterr().err


def test_machines_get_value_interval_and_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one object whose metrics have the keys of the paper."""
    assert main(["--data", str(lay_out(tmp_path, session("1"))), "--json", "--only", "tool_failures"]) == 0
    printed = json.loads(capsys.readouterr().out)
    metric = printed["metrics"]["tool_failure_f1"]
    assert (metric["value"], metric["n"], metric["low"], metric["high"]) == (0.8, 5, 0.8, 0.8)
    assert printed["data"] == str(tmp_path)


def test_the_table_says_how_far_a_figure_has_come() -> None:
    """Each figure with a target is told apart: aim, must or not yet; smaller is better where it should be."""
    rows = [
        Metric("false_correction_rate", 0.01, 9, 0.0, 0.02),
        Metric("correction_f1", 0.65, 9, 0.6, 0.7),
        Metric("alerts_per_100", 7.5, 9, 6.0, 9.0),
        Metric("of_our_own", 0.5, 9, 0.4, 0.6, note="said beside it"),
    ]
    lines = table(rows).splitlines()[2:]
    assert [line.split()[0] for line in lines[:4]] == [
        "correction_f1",
        "false_correction_rate",
        "alerts_per_100",
        "of_our_own",
    ]
    assert [line.rpartition("  ")[2] for line in lines[:3]] == ["must", "aim", "NOT YET"]
    assert lines[4].strip() == "said beside it"

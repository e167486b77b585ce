"""The table of what each source makes of real logs, made over a corpus of invented ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from bench.agents import genuine, main, measured, rows

from agent_logs import FIXTURES, built, expected
from selfdistill.sources import SOURCES


def corpus(shared: Path) -> Path:
    """A corpus of one log in lines, one database and one log that is not genuine."""
    place = shared / "corpus"
    place.mkdir(parents=True)
    (place / "a.jsonl").write_bytes((FIXTURES / "pi" / "errors.jsonl").read_bytes())
    built("crush/crush.sql", place / "c")
    named = ("a.jsonl\tpi-agent\tyes", "c/.crush/crush.db\tcrush\tyes", "a.jsonl\tomp\tsynthetic")
    (place / "INDEX.tsv").write_text("\n".join(("file\tagent\tgenuine", *named)))
    return shared


def test_figures_are_those_of_the_logs(tmp_path: Path) -> None:
    """Files, sessions, records and events are what the sources' own expectations say; invented logs do not count."""
    table = measured(genuine(corpus(tmp_path)))
    (pi,) = (source for source in SOURCES if source.name == "pi")
    (crush,) = (source for source in SOURCES if source.name == "crush")
    known = expected(pi)["errors.jsonl"]
    sessions = [log for name, log in expected(crush).items() if name.startswith("crush.sql/")]
    assert list(table) == ["pi", "crush"]
    assert (table["pi"].files, table["pi"].sessions, table["crush"].sessions) == (1, 1, len(sessions))
    assert table["pi"].records.total == known["records"]["total"]
    assert table["pi"].events.total() == len(known["events"])
    assert table["crush"].events.total() == sum(len(log["events"]) for log in sessions)
    assert {len(row) for row in rows(table)} == {20}


def test_json_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--json` has an entry for each agent."""
    monkeypatch.setattr(sys, "argv", ["agents", "--json", "--shared", str(corpus(tmp_path))])
    main()
    told = json.loads(capsys.readouterr().out)
    assert told["pi"]["unknown_share"] == 0
    assert told["crush"]["unpaired"] == 0


def test_absent_corpus_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the logs nothing is measured, aloud."""
    monkeypatch.setattr(sys, "argv", ["agents", "--shared", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "REAL LOGS ABSENT" in capsys.readouterr().err

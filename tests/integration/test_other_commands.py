"""`lessons`, `inspect`, `init`, `config` as processes, and the README held against what the program says of itself."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agent_logs import Log, fixtures
from homes import Home
from invented import CLAUDE, CODEX, FIXTURES, SAMPLE, Claude, distil, mended, put, repaired, run, state_of
from selfdistill.cli.main import COMMANDS
from selfdistill.config import Config
from selfdistill.service.assembly import assemble
from selfdistill.service.inspecting import Inspection, inspect
from selfdistill.service.one_pass import one_pass
from selfdistill.service.running import Selection
from selfdistill.sources import SOURCES

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
FIRST_AGENTS = ("claude_code", "codex")
LINES = sorted([*SAMPLE.rglob("*.jsonl"), *(log for name in FIRST_AGENTS for log in (FIXTURES / name).glob("*.jsonl"))])
OTHERS = [log for log in fixtures() if log.source.name not in FIRST_AGENTS]
SAMPLE_LOG = SAMPLE / "claude" / "5f0c1e52-7d14-4f0a-9c55-0e2b6a1d7711.jsonl"


def asked(home: Path, *words: str | Path) -> Any:  # noqa: ANN401 - JSON
    """What a command prints as JSON; it must succeed."""
    done = run(home, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user with two projects that exist, each with a lesson, and a pending lesson in the first."""
    kettle, teapot = tmp_path / "kettle", tmp_path / "teapot"
    for project in (kettle, teapot):
        put(project / ".git" / "HEAD", b"ref: refs/heads/main\n")
        (project / "web").mkdir()
    repaired("1", str(kettle)).write(tmp_path)
    story = Claude("2", cwd=str(teapot / "web")).say("Push it.")
    story.sh("git pussh", "git: 'pussh' is not a git command. See 'git --help'.", error=True).sh("git push", "done")
    story.sh("npm install").say("no, use pnpm instead of npm").sh("pnpm install").answer("Done.")
    story.write(tmp_path)
    tests = mended("3")
    tests.lines = [line.replace(b"/home/mara/kettle", str(kettle).encode()) for line in tests.lines]
    tests.write(tmp_path)
    distil(tmp_path, state_of(tmp_path))
    return tmp_path


class TestLessons:
    """What people see of the store."""

    def test_scope_is_the_directory(self, home: Path) -> None:
        """A project's lessons are told in it and below it, never in another one; --all shows everybody's."""
        here = asked(home, "lessons", "list", "--project", "kettle")
        assert [lesson["trigger"]["condition"][:12] for lesson in here] == ["`gh pr diff "]
        assert asked(home, "lessons", "list", "--project", "kettle/web") == here
        there = asked(home, "lessons", "list", "--project", "teapot")
        assert {lesson["project"] for lesson in there} == {str(home / "teapot")}
        assert not {lesson["id"] for lesson in here} & {lesson["id"] for lesson in there}
        assert asked(home, "lessons", "list") == []
        assert len(asked(home, "lessons", "list", "--all")) == len(here) + len(there) >= 2
        assert asked(home, "lessons", "search", "diff", "--project", "teapot") == []
        assert len(asked(home, "lessons", "search", "diff", "--project", "kettle")) == 1
        assert len(asked(home, "lessons", "search", "flag", "--all")) == 1

    def test_list_for_people(self, home: Path) -> None:
        """The list shows when and do; where there is nothing it says so, and how many lessons wait."""
        shown = run(home, "lessons", "list", "--project", "kettle").stdout
        assert "when  `gh pr diff <n> --stat` fails" in shown
        assert "do    Use `--name-only`" in shown
        assert "1 wait for more evidence" in run(home, "lessons", "search", "boils", "--project", "kettle").stdout
        (pending,) = asked(home, "lessons", "list", "--project", "kettle", "--state", "pending")
        assert pending["state"] == "pending"
        assert len(asked(home, "lessons", "list", "--all", "--limit", "1")) == 1

    def test_show_names_the_evidence(self, home: Path) -> None:
        """Each piece of evidence names the log and the bytes in which its quote stands."""
        (lesson,) = asked(home, "lessons", "list", "--project", "kettle")
        shown = asked(home, "lessons", "show", lesson["id"][:6])
        assert shown["lesson"] == lesson
        assert [row["role"] for row in shown["evidence"]] == ["failed call", "error", "working call"]
        for row in shown["evidence"]:
            record = Path(row["log"]).read_bytes()[row["offset"] : row["offset"] + row["length"]]
            assert row["quote"] in json.dumps(json.loads(record), ensure_ascii=False)
        for_people = run(home, "lessons", "show", lesson["id"]).stdout
        assert all(row["quote"].splitlines()[0] in for_people for row in shown["evidence"])

    def test_verdicts(self, home: Path) -> None:
        """`reject`, restore, archive, approve, global and local do what they say, on several lessons at once."""
        lessons = asked(home, "lessons", "list", "--all", "--state", "any")
        names = [lesson["id"][:8] for lesson in lessons]

        def states(*words: str) -> set[str]:
            assert run(home, "lessons", *words).returncode == 0
            return {lesson["state"] for lesson in asked(home, "lessons", "list", "--all", "--state", "any")}

        assert states("reject", *names) == {"rejected"}
        assert asked(home, "lessons", "list", "--all") == []
        assert states("restore", *names) == {"active", "pending"}
        assert states("archive", *names) == {"archived"}
        assert states("approve", *names, "--note", "tried") == {"active"}
        (kettle,) = [one for one in lessons if "gh pr diff" in one["trigger"]["condition"]]
        assert "active (global)" in run(home, "lessons", "global", kettle["id"]).stdout
        told = {lesson["id"] for lesson in asked(home, "lessons", "list", "--project", "teapot")}
        assert kettle["id"] in told
        run(home, "lessons", "local", kettle["id"])
        assert {lesson["id"] for lesson in asked(home, "lessons", "list", "--project", "teapot")} == told - {
            kettle["id"]
        }

    def test_ids(self, home: Path) -> None:
        """An unknown or ambiguous id exits 64 and decides nothing, also beside one that is known."""
        lessons = asked(home, "lessons", "list", "--all")
        for wrong in (
            ["show", ""],
            ["show", "zzzz"],
            ["reject", lessons[0]["id"], "zzzz"],
            ["reject", "", lessons[0]["id"]],
        ):
            done = run(home, "lessons", *wrong)
            assert (done.returncode, done.stdout) == (64, ""), wrong
        assert asked(home, "lessons", "list", "--all") == lessons

    def test_ambiguous_id(self, home: Path) -> None:
        """The beginning of several ids exits 64 and names them."""
        for number in range(40):
            story = Claude(f"a{number}").say(f"From now on always run tool{number} before you push.").answer("Yes.")
            story.write(home)
        distil(home, state_of(home))
        ids = [lesson["id"] for lesson in asked(home, "lessons", "list", "--all", "--limit", "0")]
        first = next(letter for letter in "0123456789abcdef" if sum(name.startswith(letter) for name in ids) > 1)
        done = run(home, "lessons", "show", first)
        assert done.returncode == 64
        assert sum(name in done.stderr for name in ids) > 1

    @pytest.mark.parametrize(
        "words", [["lessons"], ["lessons", "frob"], ["lessons", "show"], ["lessons", "list", "--state", "frob"]]
    )
    def test_usage(self, tmp_path: Path, words: list[str]) -> None:
        """Wrong usage exits 64."""
        assert run(tmp_path, *words).returncode == 64

    def test_without_a_store(self, tmp_path: Path) -> None:
        """Without a store there are no lessons and no errors, nothing is made, and a verdict says what to do first."""
        assert asked(tmp_path, "lessons", "list") == []
        assert "selfdistill run" in run(tmp_path, "lessons", "list").stdout
        assert run(tmp_path, "lessons", "reject", "ab").returncode == 64
        assert list(tmp_path.iterdir()) == []

    def test_terminals_are_safe(self, tmp_path: Path) -> None:
        """Escape sequences out of a log reach no terminal, and a backslash stays one."""
        story = Claude("1").say(
            "From now on always use \x1b]0;evil\x07sed 's/\\d//' \x1b[31m\x9bhere\u202e before a push."
        )
        story.answer("Yes.").write(tmp_path)
        assert distil(tmp_path, state_of(tmp_path))[0].manifest.lessons_generated == 1
        for words in (["list", "--all"], ["show", asked(tmp_path, "lessons", "list", "--all")[0]["id"]]):
            shown = run(tmp_path, "lessons", *words).stdout
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown), ascii(shown)
            assert "'s/\\d//'" in shown


class TestInspect:
    """One log explained."""

    def test_json_keys(self, tmp_path: Path) -> None:
        """--json has the keys of the design."""
        shown = asked(tmp_path, "inspect", SAMPLE_LOG)
        assert {"source", "session", "records", "events", "signals", "episodes", "outcome"} <= set(shown)
        assert {"total", "known", "ignored", "unknown"} <= set(shown["records"])
        assert (shown["source"], shown["records"]["total"]) == ("claude_code", 14)
        assert shown["session"]["id"] == "5f0c1e52-7d14-4f0a-9c55-0e2b6a1d7711"
        assert {"correction", "praise", "tool_error"} & {signal["kind"] for signal in shown["signals"]}
        assert len(shown["findings"]) >= 2
        assert set(shown["outcome"]) >= {"verdict", "failure_probability"}
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("log", LINES, ids=lambda log: log.stem)
    def test_every_log_of_the_first_agents(self, tmp_path: Path, log: Path) -> None:
        """Every log can be inspected, and what it teaches is what `run` learns from it."""
        shown = asked(tmp_path, "inspect", log)
        copy = tmp_path / (CODEX if log.parent.name == "codex" else CLAUDE) / log.name
        name = "rollout-2026-11-14T09-00-00-x.jsonl" if log.parent.name == "codex" else log.name
        put(copy.with_name(name), log.read_bytes())
        made = distil(tmp_path, state_of(tmp_path))[0].manifest
        keys = {finding["merge_key"] for finding in shown["findings"]}
        assert made.lessons_generated == (0 if shown["session"].get("ignored") else len(keys))

    @pytest.mark.parametrize("log", OTHERS, ids=repr)
    def test_every_log_of_the_other_agents(self, tmp_path: Path, log: Log) -> None:
        """Documents, sessions of databases, texts and other lines: what `inspect` finds is what `run` would learn."""
        told = inspect(log.path, str)
        assert isinstance(told, Inspection)
        home = Home(tmp_path)
        assembly = assemble(Config(), home.places(), home.path, {}, rehearsal=True)
        with assembly.store:
            made = one_pass(assembly, Selection(paths=(log.path,), dry_run=True)).manifest
        keys = {finding.merge_key for finding in told.findings}
        assert made.lessons_generated == (0 if told.session.ignored else len(keys))

    def test_for_people(self, tmp_path: Path) -> None:
        """The timeline shows calls, failures, signals, episodes, findings and the outcome."""
        done = run(tmp_path, "inspect", SAMPLE_LOG)
        assert done.returncode == 0
        for words in ("gh pr diff 12 --stat", "FAILED", "correction", "episodes:", "findings:", "outcome: "):
            assert words in done.stdout, words

    @pytest.mark.parametrize("content", [None, b"nothing\n", b""])
    def test_what_is_no_log(self, tmp_path: Path, content: bytes | None) -> None:
        """A path that cannot be inspected exits 64 with advice."""
        path = tmp_path / "odd.jsonl"
        if content is not None:
            path.write_bytes(content)
        done = run(tmp_path, "inspect", path)
        assert (done.returncode, done.stdout) == (64, "")
        assert len(done.stderr.splitlines()) == 2


class TestInit:
    """The first steps."""

    def test_twice(self, tmp_path: Path) -> None:
        """It writes the example, says what was found, and a second time keeps what is there."""
        repaired("1").write(tmp_path)
        done = run(tmp_path, "init")
        path = tmp_path / ".config/selfdistill/config.toml"
        assert done.returncode == 0
        assert re.search(r"claude_code\s+.*1 logs", done.stdout)
        assert path.read_text() == (REPOSITORY / "config.example.toml").read_text()
        path.write_text("[settling]\nsettle_seconds = 7\n")
        assert "Kept the configuration" in run(tmp_path, "init").stdout
        assert "settle_seconds = 7" in path.read_text()
        assert run(tmp_path, "config", "check").returncode == 0

    def test_agents_that_are_not_there(self, tmp_path: Path) -> None:
        """Agents of which there is nothing share one line; a root that the user named is told of by itself."""
        repaired("1").write(tmp_path)
        told = run(tmp_path, "init").stdout
        assert "codex" in told.partition("Not found here")[2]
        path = tmp_path / ".config/selfdistill/config.toml"
        path.write_text('[sources.codex]\nroots = ["/nowhere/sessions"]\n')
        assert re.search(r"codex +/nowhere/sessions: missing", run(tmp_path, "init").stdout)

    def test_roots_of_this_shell(self, tmp_path: Path) -> None:
        """Roots that only the shell's variables name are written down, with whatever is in their names, and count."""
        elsewhere = tmp_path / 'my "odd" \\ place'
        put(elsewhere / "claude/projects/p/1.jsonl", b"".join(repaired("1").lines))
        shell = {"CLAUDE_CONFIG_DIR": str(elsewhere / "claude"), "CODEX_HOME": str(elsewhere / "codex")}
        done = run(tmp_path, "init", variables=shell)
        assert done.returncode == 0, done.stderr
        assert "but the roots" in done.stdout
        table = tomllib.loads((tmp_path / ".config/selfdistill/config.toml").read_text())
        assert table["sources"]["claude_code"]["roots"] == [str(elsewhere / "claude/projects")]
        assert str(elsewhere / "codex/sessions") in table["sources"]["codex"]["roots"]
        made = json.loads(run(tmp_path, "run", "--json").stdout)  # as a service: without the variables
        assert made["lessons_generated"] == 1

    def test_print(self, tmp_path: Path) -> None:
        """--print writes nothing."""
        assert run(tmp_path, "init", "--print").stdout == (REPOSITORY / "config.example.toml").read_text()
        assert list(tmp_path.iterdir()) == []


class TestConfig:
    """What counts."""

    def test_show_check_path(self, tmp_path: Path) -> None:
        """`show` prints TOML that loads, with every source; check judges the file; path says where it is."""
        path = put(tmp_path / ".config/selfdistill/config.toml", b"[settling]\nsettle_seconds = 7\n")
        path.chmod(0o600)
        shown = tomllib.loads(run(tmp_path, "config", "show").stdout)
        assert (shown["settling"]["settle_seconds"], shown["settling"]["max_wait_minutes"]) == (7, 30)
        assert set(shown["sources"]) == {source.name for source in SOURCES}
        assert asked(tmp_path, "config", "show") == shown
        assert run(tmp_path, "config", "path").stdout.strip() == str(path)
        assert asked(tmp_path, "config", "check")["ok"]
        path.write_text("[settling]\nsettle_seconds = -7\n")
        done = run(tmp_path, "config", "check")
        assert (done.returncode, "settling.settle_seconds" in done.stderr) == (78, True)


class TestReadme:
    """The README says what is so."""

    def test_commands_agree_with_help(self, tmp_path: Path) -> None:
        """Every command of the README exists with its words, and every command that exists is in the README."""
        named = [shlex.split(words) for words in re.findall(r"`selfdistill ([^`]+)`", README)]
        assert {words[0] for words in named} == set(COMMANDS)
        shown = run(tmp_path, "--help").stdout
        assert all(re.search(rf"^    {name}\s", shown, re.MULTILINE) for name in COMMANDS)
        for words in named:
            plain = [word for word in words[1:] if word.islower() and not word.startswith("-")]
            done = run(tmp_path, words[0], *plain, "--help")
            assert (done.returncode, "usage: selfdistill" in done.stdout) == (0, True), words

    def test_options_exist(self, tmp_path: Path) -> None:
        """Every option that the command table names is in the help of its command."""
        rows = re.findall(r"^\| `selfdistill (\w+)([^`]*)` \| (.*) \|$", README, re.MULTILINE)
        assert len(rows) >= len(COMMANDS)
        for command, more, text in rows:
            action = [word for word in more.split() if word.islower()] if command in {"lessons", "hooks"} else []
            shown = run(tmp_path, command, *action, "--help").stdout
            for option in re.findall(r"`(--[\w-]+)", text):
                assert option in shown, (command, option)

    def test_verdicts_exist(self, tmp_path: Path) -> None:
        """Every verdict that the README names is an action of `lessons`."""
        (row,) = re.findall(r"^\| `selfdistill lessons reject ID` \|.*$", README, re.MULTILINE)
        shown = run(tmp_path, "lessons", "--help").stdout
        for verdict in {"reject", *re.findall(r"`(\w+)`", row.partition("also")[2])}:
            assert re.search(rf"^    {verdict}\s", shown, re.MULTILINE), verdict

    def test_tests_are_run_as_ci_runs_them(self) -> None:
        """The README's command for the tests is the one of `.ci/run`, which also installs what it installs."""
        script = (REPOSITORY / ".ci/run").read_text()
        (tests,) = re.findall(r"```sh\n(.*pytest.*)\n```", README)
        assert "python" + tests.rpartition("bin/python")[2] in script
        assert tests.partition("pip install --quiet -e ")[2].split()[0] in script
        (first,) = re.findall(r"```sh\n(.*selfdistill run)\n```", README)
        assert first.startswith("python3 -m venv .venv && .venv/bin/pip install")

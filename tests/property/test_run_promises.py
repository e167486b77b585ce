"""What was learned does not depend on how logs were cut, ordered, shared between processes or copied."""

from __future__ import annotations

import csv
import gzip
import json
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invented import (
    CLAUDE,
    CODEX,
    LONG_AGO,
    MEMORY,
    SAMPLE,
    START,
    Claude,
    distil,
    environment_of,
    fill,
    mended,
    put,
    repaired,
    rows,
    run,
    state_of,
)
from selfdistill.distill.base import Batch
from selfdistill.distill.heuristic.distiller import HeuristicDistiller
from selfdistill.model import Event, Finding
from selfdistill.privacy.redaction import Redactor
from selfdistill.service.running import Selection
from selfdistill.sources import Source, for_path
from selfdistill.store import Store, VerdictKind
from support.examples import examples

SHARED = Path(os.environ.get("SELFDISTILL_SHARED", Path(__file__).parents[3] / "shared"))
MOST_STATE_BYTES = 64 * 1024
MOST_CONTRIVED_STATE_BYTES = 192 * 1024
SMALL_BYTES = 1_000_000
REAL_LOGS = 4
REDACT = Redactor(())


class Log:
    """One log in memory."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.lines = data.splitlines(keepends=True)
        source = for_path(path, data[:65536])
        assert source is not None
        self.source: Source = source

    def distilled(self, cuts: Sequence[int] = ()) -> tuple[list[Finding], int]:
        """The findings if it is read in pieces, cut before these lines, and the bytes of the largest state between."""
        distiller = HeuristicDistiller(REDACT)
        state: bytes | None = None
        carry: bytes | None = None
        findings: list[Finding] = []
        largest = offset = 0
        edges = [0, *sorted(cuts), len(self.lines)]
        for start, end in pairwise(edges):
            parser = self.source.open(self.path, state)
            events: list[Event] = []
            for line in self.lines[start:end]:
                events.extend(parser.feed(line.rstrip(b"\n"), offset))
                offset += len(line)
            distillate = distiller.distill(Batch(events, lambda parser=parser: parser.session), carry)  # type: ignore[misc]
            findings += distillate.findings
            state, carry = parser.state(), distillate.carry
            largest = max(largest, len(state) + len(carry))
        return findings, largest


def invented_logs() -> list[Log]:
    """The bundled sample and the fixtures."""
    with tempfile.TemporaryDirectory() as directory:
        return [Log(path, data) for path, data in fill(Path(directory)).items()]


def real() -> Iterator[Log]:
    """A few small real logs that teach something, found by distilling them."""
    if not (SHARED / "corpus").is_dir():
        pytest.skip(f"REAL LOGS ABSENT: no corpus in {SHARED}")
    found = 0
    for path, data in small_logs():
        log = Log(path, data)
        if log.distilled()[0]:
            yield log
            found += 1
        if found == REAL_LOGS:
            return
    assert found > 1, "there are small logs that teach something"


def small_logs() -> Iterator[tuple[Path, bytes]]:
    """The small ones among the real Claude Code and Codex logs."""
    with (SHARED / "corpus" / "INDEX.tsv").open(encoding="utf-8") as index:
        for entry in csv.DictReader(index, delimiter="\t"):
            path = SHARED / "corpus" / entry["file"]
            wanted = entry["agent"] in {"claude-code", "codex"} and entry["genuine"] == "yes"
            if wanted and path.suffix == ".jsonl" and path.stat().st_size <= SMALL_BYTES:
                yield path, path.read_bytes()
    with gzip.open(SHARED / "projects" / "entireio__cli.jsonl.gz", "rt", encoding="utf-8") as sessions:
        for text in sessions:
            session = json.loads(text)
            data = session["log"].encode()
            if b'"sessionId"' in data[:20000] and len(data) <= SMALL_BYTES:
                yield Path(f"{session['session_id']}.jsonl"), data


INVENTED = invented_logs()


@pytest.fixture(scope="module")
def logs() -> dict[Path, bytes]:
    """The invented logs by their place below a HOME."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        return {path.relative_to(home): data for path, data in fill(home).items()}


@pytest.fixture(scope="module")
def settled(logs: dict[Path, bytes]) -> Iterator[Path]:
    """A HOME with these logs, and the state directory `reference` of one run over all of them."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        distil(home_of(Path(directory), logs), Path(directory) / "reference")
        yield Path(directory)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory in memory: what is tested here is order, not the disk."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        yield Path(directory)


def home_of(directory: Path, logs: dict[Path, bytes]) -> Path:
    """A HOME with these logs."""
    for number, (path, data) in enumerate(logs.items()):
        put(directory / "home" / path, data, at=LONG_AGO + number)
    return directory / "home"


class TestCuts:
    """A log read in any pieces is the log read whole."""

    def test_there_is_something_to_lose(self) -> None:
        """The invented logs teach enough for the tests below to fail."""
        assert sum(len(log.distilled()[0]) for log in INVENTED) >= 10

    @examples(40)
    @given(data=st.data())
    def test_invented_logs_in_any_cuts(self, data: st.DataObject) -> None:
        """Every invented log gives the same findings in any cuts at line ends."""
        log = data.draw(st.sampled_from(INVENTED))
        cuts = data.draw(st.lists(st.integers(0, len(log.lines)), max_size=8))
        assert log.distilled(cuts)[0] == log.distilled()[0]

    def test_every_prefix_of_invented_logs(self) -> None:
        """Cut after each single line, invented logs give the same findings, and the state stays below 64 KiB."""
        for log in INVENTED:
            findings, largest = log.distilled(range(1, len(log.lines)))
            assert findings == log.distilled()[0], log.path
            assert largest <= MOST_STATE_BYTES, log.path

    def test_every_prefix_of_real_logs(self) -> None:
        """Cut after each single line and in random cuts, real logs give the same findings, their state bounded."""
        dice = random.Random(7)  # noqa: S311 - where to cut
        for log in real():
            whole = log.distilled()[0]
            findings, largest = log.distilled(range(1, len(log.lines)))
            assert findings == whole, log.path
            assert largest <= MOST_STATE_BYTES, log.path
            for _ in range(3):
                cuts = dice.sample(range(len(log.lines)), 5)
                assert log.distilled(cuts)[0] == whole, (log.path, cuts)

    def test_worst_log_has_a_bounded_state(self) -> None:
        """Hundreds of open calls, failures and large texts, contrived to fill every slot, leave a bounded state."""
        story = Claude("77")
        for number in range(200):
            story.say(f"no, use tool{number} instead of other{number} " + "because " * 900)
            story.ask("Bash", {"command": f"run{number} " + "x " * 5000})
            story.sh(
                f"other{number} --flag{number} " + "y " * 5000,
                f"unknown flag: --flag{number} " + "z" * 5000,
                error=True,
            )
            story.edit("/home/mara/kettle/" + "d/" * 500, "a" * 9000, "b" * 9000)
            story.queue("later " * 300)
        log = Log(Path(f"/home/mara/{CLAUDE}/{story.session}.jsonl"), b"".join(story.lines))
        assert log.distilled(range(1, len(log.lines), 40))[1] <= MOST_CONTRIVED_STATE_BYTES

    def test_growing_logs_through_the_pipeline(self, place: Path, logs: dict[Path, bytes]) -> None:
        """Logs that grow between passes, also in the middle of a line, leave the same rows as logs met whole.

        Case 25 of `tests/fault/README.md`.
        """
        home = home_of(place, logs)
        distil(home, place / "whole")
        dice = random.Random(3)  # noqa: S311 - where to cut
        steps = 6
        cuts = {path: sorted(dice.randrange(len(data) + 1) for _ in range(steps - 1)) for path, data in logs.items()}
        for step in range(steps):
            for path, data in logs.items():
                put(home / path, data[: [*cuts[path], len(data)][step]], at=LONG_AGO + step)
            distil(home, place / "grown")
        assert rows(place / "grown") == rows(place / "whole")


class TestOrder:
    """Which log came first, and in whose hands, leaves no trace."""

    @examples(12)
    @given(data=st.data())
    def test_any_order_and_any_runs(self, data: st.DataObject, settled: Path) -> None:
        """Any order of logs, spread over any runs, some of them twice or with --again, gives the same rows."""
        paths = data.draw(st.permutations(sorted((settled / "home").rglob("*.jsonl"))))
        cuts = data.draw(st.sets(st.integers(1, len(paths) - 1)))
        edges = pairwise([0, *sorted(cuts), len(paths)])
        runs = [Selection(limit=0, paths=tuple(paths[a:b]), again=data.draw(st.booleans())) for a, b in edges]
        with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
            distil(settled / "home", Path(directory), *runs, *runs[::3])
            assert rows(Path(directory)) == rows(settled / "reference")

    def test_newest_first_in_small_runs(self, place: Path, logs: dict[Path, bytes]) -> None:
        """Runs with --limit 2 until nothing is left, then once more, then all again: the same rows, nothing new."""
        home = home_of(place, logs)
        distil(home, place / "reference")
        small = [Selection(limit=2)] * len(logs)
        last, again = distil(home, place / "pieces", *small, Selection(limit=0), Selection(limit=0, again=True))[-2:]
        assert (last.manifest.sessions_processed, last.manifest.lessons_generated) == (0, 0)
        assert (again.manifest.lessons_generated, again.sessions_left) == (0, 0)
        assert again.manifest.sessions_processed > 15
        assert rows(place / "pieces") == rows(place / "reference")

    def test_two_processes_at_once(self, place: Path, logs: dict[Path, bytes]) -> None:
        """Three processes at once on one store, one of them with --again, leave the rows that one leaves."""
        home = home_of(place, logs)
        distil(home, place / "reference")
        environment = environment_of(home)
        started = [
            subprocess.Popen([*START, "run", "--json", "--limit", "0", *words], env=environment, stdout=subprocess.PIPE)
            for words in ([], [], ["--again"])
        ]
        made = [json.loads(process.communicate(timeout=60)[0]) for process in started]
        assert [process.returncode for process in started] == [0, 0, 0]
        assert rows(state_of(home)) == rows(place / "reference")
        assert sum(one["lessons_generated"] for one in made) == len(rows(state_of(home))["lessons"])

    def test_order_of_projects(self, place: Path) -> None:
        """Which directory of a vanished repository was met first decides nothing, nor which log told its remote."""
        outer, inner = repaired("1"), repaired("2", cwd="/home/mara/kettle/web")
        codex = (SAMPLE / "codex").glob("*.jsonl")
        home = place / "home"
        paths = [outer.write(home), inner.write(home), put(home / CODEX / "rollout-x.jsonl", next(codex).read_bytes())]
        for name, order in (("forth", paths), ("back", paths[::-1])):
            distil(home, place / name, *(Selection(limit=0, paths=(path,)) for path in order))
        assert rows(place / "forth") == rows(place / "back")


class TestCopies:
    """Support counts sessions that are independent of each other."""

    def lesson(self, state: Path) -> tuple[str, int]:
        """State and support of the only lesson."""
        (found,) = rows(state)["lessons"]
        return found[12], found[13]

    def test_fork_confirms_nothing(self, place: Path) -> None:
        """A copy with another session id and path leaves support and state as they are, in any order."""
        story = mended("1")
        story.write(place / "home", at=LONG_AGO)
        distil(place / "home", place / "s")
        assert self.lesson(place / "s") == ("pending", 1)
        fork = b"".join(story.lines).replace(story.session.encode(), b"ffffffff-aaaa-4bbb-8ccc-000000000000")
        put(place / "home" / CLAUDE / "ffffffff-aaaa-4bbb-8ccc-000000000000.jsonl", fork)
        distil(place / "home", place / "s")
        assert self.lesson(place / "s") == ("pending", 1)

    def test_fork_that_goes_its_own_way(self, place: Path) -> None:
        """Two branches of one session that mend the same failed run, each with edits of its own, count once."""
        story = mended("1")
        story.write(place / "home")
        shared = 3  # the request, the test run and its failure
        fork = b"".join(story.lines[shared:]).replace(b'"1-', b'"9-').replace(b"toolu_1_", b"toolu_9_")
        both = (b"".join(story.lines[:shared]) + fork).replace(story.session.encode(), b"9" * 36)
        put(place / "home" / CLAUDE / f"{'9' * 36}.jsonl", both)
        distil(place / "home", place / "s")
        assert len(rows(place / "s")["findings"]) == 2
        assert self.lesson(place / "s") == ("pending", 1)

    def test_second_session_confirms(self, place: Path) -> None:
        """A second independent session raises support and makes the pending lesson active; the first one was not."""
        mended("1").write(place / "home")
        assert distil(place / "home", place / "s")[0].manifest.lessons_generated == 1
        mended("2").write(place / "home")
        merged = distil(place / "home", place / "s")[0].manifest
        assert (merged.lessons_generated, merged.lessons_merged) == (0, 1)
        assert self.lesson(place / "s") == ("active", 2)

    def test_resumed_session_goes_on(self, place: Path) -> None:
        """A resumed session's file that repeats the old one and goes on adds what is new, and confirms nothing."""
        story = mended("1")
        story.write(place / "home")
        distil(place / "home", place / "s")
        story.sh("gh pr diff 12 --stat", "unknown flag: --stat", error=True)
        story.sh("gh pr diff 12 --name-only", "web/timer.ts").answer("One file.")
        story.write(place / "home", "00000001-resumed")
        distil(place / "home", place / "s")
        found = {row[5]: (row[12], row[13]) for row in rows(place / "s")["lessons"]}
        assert found == {"debugging": ("pending", 1), "error-report": ("active", 1)}


class TestVerdicts:
    """What a person decided stays."""

    @pytest.mark.parametrize("verdict", [VerdictKind.REJECT, VerdictKind.ARCHIVE, VerdictKind.APPROVE])
    def test_verdicts_survive(self, place: Path, verdict: VerdictKind) -> None:
        """A verdict outlives another run, --again, more evidence, and the deletion of every log."""
        home = place / "home"
        mended("1").write(home)
        distil(home, state_of(home))
        ((lesson_id, *_),) = rows(state_of(home))["lessons"]
        assert run(home, "lessons", verdict.value, lesson_id[:6], "--note", "because").returncode == 0
        expected = {"reject": "rejected", "archive": "archived", "approve": "active"}[verdict.value]

        def stands() -> str:
            return str(next(row[12] for row in rows(state_of(home))["lessons"] if row[0] == lesson_id))

        assert stands() == expected
        everything, again = Selection(limit=0), Selection(limit=0, again=True)
        distil(home, state_of(home), everything, again)
        assert stands() == expected
        mended("2").write(home)
        assert distil(home, state_of(home))[0].manifest.lessons_generated == 0
        assert stands() == expected
        shutil.rmtree(home / CLAUDE)
        distil(home, state_of(home), everything, again, everything)
        assert stands() == expected
        store = Store.open_read_only(state_of(home) / "lessons.db")
        assert store is not None
        with store:
            told = store.lessons("/home/mara/kettle")
        assert [lesson.id for lesson in told] == ([lesson_id] if expected == "active" else [])


def planted() -> dict[str, str]:
    """A secret for each place, of a kind each; made here so that no scanner finds one in this file."""
    dice = random.Random(11)  # noqa: S311 - a planted secret need not be one

    def drawn(length: int) -> str:
        return "".join(dice.choice("abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789") for _ in range(length))

    return {
        "command": "gh" + "p_" + drawn(36),
        "working command": "sk-" + "ant-api03-" + drawn(93),
        "output": "glp" + "at-" + drawn(20),
        "prompt": "xox" + "b-" + drawn(48),
        "queued prompt": "np" + "m_" + drawn(36),
        "path": "sk_" + "live_" + drawn(24),
        "directory": "dckr" + "_pat_" + drawn(27),
        "open call": "hv" + "s." + drawn(90),
        "test": "gls" + "a_" + drawn(41),
        "edit": "h" + "f_" + drawn(34),
        "answer": "pscale" + "_tkn_" + drawn(43),
    }


def secretive(secrets: dict[str, str]) -> Claude:
    """A session that teaches several lessons with a secret wherever one can stand."""
    cwd = f"/home/mara/{secrets['directory']}/kettle"
    story = Claude("5e", cwd=cwd).say(f"From now on always use pnpm instead of npm, my token is {secrets['prompt']}.")
    failed = f"unknown flag: --stat\nremote: https://mara:{secrets['output']}@example.com/{secrets['output']}"
    story.sh(f"GH_TOKEN={secrets['command']} gh pr diff 12 --stat", failed, error=True)
    story.sh(f"GH_TOKEN={secrets['working command']} gh pr diff 12 --name-only", "web/timer.ts")
    test = f"tests/test_timer.py::test_boils[{secrets['test']}]"
    story.sh("pytest tests", f"FAILED {test} - assert\n=== 1 failed, 4 passed in 0.12s ===", error=True)
    story.edit(f"{cwd}/{secrets['path']}/timer.py", secrets["edit"], "x")
    story.sh("pytest tests", "=== 5 passed in 0.10s ===")
    story.answer(f"The failure was because {secrets['answer']} was not in the timer's table at all.")
    for _ in range(3):
        story.sh(
            f"kettle --key {secrets['command']}", f"error: cannot boil with {secrets['output']} at home", error=True
        )
    story.sh(f"kettle --key {secrets['command']} --mild", "boiling")
    story.queue(f"then log in with {secrets['queued prompt']}")
    story.ask("Bash", {"command": f"vault login {secrets['open call']}"})
    return story


class TestSecrets:
    """What is secret is in the logs, and nowhere else."""

    def test_no_byte_of_a_secret_is_kept_or_shown(self, place: Path) -> None:
        """Secrets in every place of a log are in no file of ours and in no output, at each step of a growing log."""
        home, secrets = place / "home", planted()
        story = secretive(secrets)
        shown: list[str] = []
        for count in [*range(1, len(story.lines)), None]:
            path = story.write(home, lines=count, at=LONG_AGO + (count or 99))
            distil(home, state_of(home))
            kept = b"".join(file.read_bytes() for file in state_of(home).rglob("*") if file.is_file())
            for where, secret in secrets.items():
                assert secret.encode() not in kept, f"{where} after {count} lines"
        commands: list[list[Any]] = [
            ["run", "--limit", "0", "--again"],
            ["run", "--json", "--limit", "0", "--again"],
            ["run", "--dry-run", path],
            ["lessons", "list", "--all", "--state", "any"],
            ["lessons", "list", "--all", "--state", "any", "--json"],
            ["inspect", path],
            ["inspect", "--json", path],
            ["status"],
            ["status", "--json"],
        ]
        learned = rows(state_of(home))["lessons"]
        assert len(learned) >= 4
        commands += [["lessons", "show", lesson[0], *json_] for lesson in learned for json_ in ([], ["--json"])]
        for words in commands:
            done = run(home, *map(str, words))
            assert "Traceback" not in done.stderr, done.stderr
            shown += [done.stdout, done.stderr]
        for where, secret in secrets.items():
            assert secret not in "".join(shown), where
        assert "[REDACTED:" in "".join(shown)

    def test_files_are_private(self, tmp_path: Path) -> None:
        """Under umask 000 every file of ours is 0600 and every directory 0700, also those of `init`."""
        mended("1").write(tmp_path)
        for words in (["init"], ["run"], ["run", "--again"]):
            assert run(tmp_path, *words, umask=0).returncode == 0
        ours = [tmp_path / ".config", tmp_path / ".local"]
        found = [path for top in ours for path in (top, *top.rglob("*"))]
        assert {path.stat().st_mode & 0o777 for path in found if path.is_file()} == {0o600}
        assert {path.stat().st_mode & 0o777 for path in found if path.is_dir()} == {0o700}
        assert len(found) > 6

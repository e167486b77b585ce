"""`run` with a model: what it asks, learns, spends, sends; and what it leaves alone."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from invented import LONG_AGO, Claude, put, state_of
from llm_homes import KEY, LESSON, OPERATION, WORDS, Kitchen, boiling, kitchen, with_failure
from selfdistill.distill.merging import derive
from selfdistill.service.order import SUSPECT_DEATHS
from selfdistill.store import Store
from selfdistill.store.spending import LEASE_SECONDS
from support.messages_server import Misbehaviour, Reply

KILLED_BEFORE_COMMIT = """
import os, signal, sys
from selfdistill.cli.main import main
from selfdistill.store import Store
def kill(self, key):
    os.kill(os.getpid(), signal.SIGKILL)
Store.mark_applied = kill
sys.exit(main(["run"]))
"""
KILLED_BEFORE_THE_ID_IS_KEPT = """
import os, signal, sys
from selfdistill.cli.main import main
from selfdistill.distill.llm.client import Asker
submit = Asker.submit
def submit_and_die(self, requests):
    submit(self, requests)
    os.kill(os.getpid(), signal.SIGKILL)
Asker.submit = submit_and_die
sys.exit(main(["run", "--backfill"]))
"""
IMPORTS = """
import sys
from selfdistill.cli.main import main
for words in (["run"], ["status"], ["lessons", "list"]):
    main(words)
print("LOADED", sorted(name for name in ("anthropic", "httpx2") if name in sys.modules))
"""


@pytest.fixture
def place() -> Iterator[Kitchen]:
    """A HOME with one session and a model."""
    with kitchen() as made:
        yield made


class TestAsking:
    """A model that answers."""

    def test_lesson_is_learned_and_paid(self, place: Kitchen) -> None:
        """The answer becomes a lesson; manifest and status tell what ran and what it cost."""
        place.server.script(LESSON)
        made = place.manifest()
        assert (made["analysis_mode"], made["sessions_processed"], made["lessons_generated"]) == ("llm", 1, 1)
        assert (made["usage"]["input_tokens"], made["usage"]["output_tokens"]) == (3000, 200)
        assert made["usage"]["cost_usd"] == pytest.approx(3000 * 0.10e-6 + 200 * 0.50e-6)
        assert place.learned() == [OPERATION["action"]]
        told = place.model()
        assert (told["state"], told["owed_sessions"]) == ("ready", 0)
        assert told["spent_today_usd"] == pytest.approx(made["usage"]["cost_usd"])

    def test_one_call_for_each_part(self, place: Kitchen) -> None:
        """What was asked about is not asked about again; what follows is, with what came before in a few words."""
        place.manifest()
        place.manifest()
        assert len(place.server.calls()) == 1
        story = boiling().say("Now pour milk.").answer("Poured.")
        story.write(place.home, at=LONG_AGO + 60)
        place.manifest()
        asked = place.server.calls()[1].json()["messages"][0]["content"]
        assert "Now pour milk." in asked
        assert f"The last request was: {WORDS}" in asked
        assert "make pour" not in asked

    def test_empty_list_is_an_answer(self, place: Kitchen) -> None:
        """Nothing to learn: no lesson, nothing owed."""
        made = place.manifest()
        assert (made["lessons_generated"], made["analysis_mode"]) == (0, "llm")
        assert (place.learned(), place.model()["owed_sessions"]) == ([], 0)

    def test_contradicted_lesson_waits(self, place: Kitchen) -> None:
        """A session that shows a lesson to be wrong makes it wait for a person, and less sure."""
        place.server.script(LESSON)
        place.manifest()
        with place.store() as store:
            (before,) = store.lessons(None, everywhere=True)
        Claude("c1").say("Do not boil the water twice before it is poured, once will do.").answer("Once.").write(
            place.home
        )
        quotes = [{"record": "e1", "text": "once will do"}]
        against = {"op": "contradict", "id": before.id, "rationale": "Once.", "confidence": 0.9, "quotes": quotes}
        place.server.script(Reply(json.dumps({"operations": [against]})))
        place.manifest()
        with place.store() as store:
            after = store.lesson(before.id)
        assert (after.state, after.support, after.tags) == ("pending", 1, ("disputed",))
        assert after.confidence < before.confidence

    def test_secrets_stay_here(self, place: Kitchen) -> None:
        """No secret of a log is in a request, a prompt that is shown, or the store."""
        secret = "ghp_" + "a1B2" * 9
        Claude("d1").say(f"Use {secret} to log in.").sh(f"curl -H 'Authorization: Bearer {secret}' x", secret).answer(
            "Done."
        ).write(place.home)
        assert secret not in place.run("run", "--show-prompt")
        place.manifest()
        assert len(place.server.calls()) == 2
        assert all(secret.encode() not in asked.body for asked in place.server.requests)
        assert all(
            secret.encode() not in path.read_bytes() for path in state_of(place.home).iterdir() if path.is_file()
        )

    def test_key_of_ours_is_used_and_hidden(self, place: Kitchen) -> None:
        """The key in `api_key_file` goes into the header and nowhere else."""
        key_file = put(place.home / "key", KEY.encode())
        key_file.chmod(0o600)
        place.configure(api_key_file="~/key")
        said = place.run("run")
        (asked,) = place.server.calls()
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        assert KEY not in said + (state_of(place.home) / "status.toml").read_text()


class TestNothingSent:
    """What must not reach a model."""

    @pytest.mark.parametrize("flag", ["--estimate", "--show-prompt", "--dry-run"])
    def test_looking_sends_and_writes_nothing(self, place: Kitchen, flag: str) -> None:
        """Estimates, prompts and dry runs send nothing and leave no store behind."""
        place.run("run", flag)
        assert place.server.requests == []
        assert not state_of(place.home).exists()

    def test_shown_prompt_is_what_is_sent(self, place: Kitchen) -> None:
        """`--show-prompt` prints word for word what a run then sends."""
        (shown,) = json.loads(place.run("run", "--dry-run", "--show-prompt", "--json"))
        place.manifest()
        sent = place.server.calls()[0].json()
        assert (shown["user"], shown["system"]) == (sent["messages"][0]["content"], sent["system"][0]["text"])

    def test_estimate_counts(self, place: Kitchen) -> None:
        """`--estimate` says sessions, tokens, and dollars."""
        told = json.loads(place.run("run", "--estimate", "--json"))
        assert told["sessions"] == 1
        assert 1000 < told["input_tokens"] < 5000
        assert 0 < told["likely_usd"] < told["most_usd"] < 0.01

    def test_without_access_nothing_changes(self, place: Kitchen) -> None:
        """No key that is meant for us: no request, no SDK in the process, and status says why."""
        place.configure(base_url="")
        with_failure(place.home)
        done = place.program(IMPORTS, ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=place.server.url)
        assert "LOADED []" in done.stdout, done.stdout + done.stderr
        assert place.server.requests == []
        told = place.model()
        assert (told["state"], told["owed_sessions"]) == ("off", 0)
        assert "not meant for us" in place.manifest(ANTHROPIC_API_KEY=KEY)["analysis_mode"] + place.model()[
            "reason"
        ] + ("not meant for us" if told["reason"] else "")

    def test_environment_key_needs_a_word(self, place: Kitchen) -> None:
        """The environment's key counts with `--model` and with `mode = "on"`."""
        place.manifest("--model", "claude-haiku-4-5", ANTHROPIC_API_KEY=KEY)
        assert place.server.calls()[0].headers["authorization"] == f"Bearer {KEY}"
        assert place.server.calls()[0].json()["model"] == "claude-haiku-4-5"

    @pytest.mark.parametrize("how", ["glob", "mark"])
    def test_excluded_project(self, place: Kitchen, how: str) -> None:
        """A session of an excluded project reaches neither heuristics nor model, and the ledger counts it."""
        project = place.home / "clients" / "acme"
        project.mkdir(parents=True)
        if how == "mark":
            (project.parent / ".selfdistillignore").touch()
        else:
            place.configure(privacy='[privacy]\nexclude = ["~/clients/*"]')
        boiling("e1", cwd=str(project)).write(place.home)
        with_failure(place.home)
        made = place.manifest()
        assert made["sessions_skipped"] == {"excluded": 1}
        assert len(place.server.calls()) == 2
        assert place.manifest()["sessions_skipped"] == {"excluded": 1}

    def test_machine_runs_are_left_out(self, place: Kitchen) -> None:
        """A program's session is not worth a call: nobody's words are in it."""
        story = boiling("f1")
        story.lines = [line.replace(b'"entrypoint": "cli"', b'"entrypoint": "sdk-py"') for line in story.lines]
        story.write(place.home)
        assert place.manifest()["sessions_processed"] == 2
        assert len(place.server.calls()) == 1


class TestTrouble:
    """A model that does not answer, or that costs too much."""

    @pytest.mark.parametrize(
        ("step", "state", "calls"),
        [
            (Misbehaviour.UNAUTHORISED, "blocked", 1),
            (Misbehaviour.FORBIDDEN, "blocked", 1),
            (Misbehaviour.UNKNOWN, "blocked", 1),
            (Misbehaviour.POOR, "blocked", 1),
            (Misbehaviour.LIMITED, "waiting", 1),
            (Misbehaviour.BROKEN, "waiting", 1),
            (Misbehaviour.HTML, "waiting", 1),
            (Misbehaviour.SHORT, "waiting", 1),
            (Misbehaviour.BAD, "ready", 2),
            (Misbehaviour.LARGE, "ready", 2),
            (Misbehaviour.ECHO, "ready", 2),
        ],
    )
    def test_misbehaviour(self, place: Kitchen, step: Misbehaviour, state: str, calls: int) -> None:
        """Whatever the service does, heuristic lessons are there at once, status tells, and the session stays owed."""
        with_failure(place.home)
        Path(place.home / ".claude/projects/-home-mara-kettle" / f"{boiling().session}.jsonl").unlink()
        place.server.otherwise = step
        made = place.manifest()
        assert (made["analysis_mode"], made["sessions_processed"], made["lessons_generated"]) == ("heuristic", 1, 1)
        place.manifest()
        told = place.model()
        assert (told["state"], told["owed_sessions"]) == (state, 1)
        assert len(place.server.calls()) == calls, "a second run waits, or leaves the quarantined session alone"

    def test_deadly_session_is_set_aside(self, place: Kitchen) -> None:
        """A session over which processes died that read it for the model is not asked about, until `retry`."""
        with_failure(place.home)
        place.configure(mode="off")
        place.manifest()
        with Store.open(state_of(place.home) / "lessons.db", derive=derive) as store:
            for log in store.present():
                store.note_death(log.id, "llm", "died", 0.0, least=SUSPECT_DEATHS)
        place.configure()
        place.manifest()
        assert place.server.calls() == []
        place.run("retry", "--all")
        place.manifest()
        assert place.server.calls()

    @pytest.mark.parametrize("step", [Misbehaviour.BAD, Misbehaviour.LARGE])
    def test_refused_session_is_set_aside(self, place: Kitchen, step: Misbehaviour) -> None:
        """A session that is refused is asked about once more, with less, then left alone for a week; others go on."""
        place.configure(budget_tokens=1000)
        long = Claude("a9")
        for number in range(40):
            long.say(f"No, not so: strain the tea of pot {number} twice.").answer("Strained.")
        long.write(place.home, at=LONG_AGO + 60)
        place.server.otherwise = lambda asked: step if b"strain the tea" in asked.body else LESSON
        made = place.manifest()
        assert (made["lessons_generated"], place.model()["owed_sessions"]) == (1, 1)
        whole, half, other = (len(asked.body) for asked in place.server.calls())
        assert other < half < 0.9 * whole
        place.later_seconds = 6 * 86_400.0
        place.manifest()
        assert len(place.server.calls()) == 3
        place.later_seconds = 8 * 86_400.0
        place.manifest()
        assert len(place.server.calls()) == 5

    @pytest.mark.parametrize("step", [Misbehaviour.LIMITED, Misbehaviour.UNAUTHORISED])
    def test_hour_is_waited_out(self, place: Kitchen, step: Misbehaviour) -> None:
        """What the service asks to wait, or what only a person can mend, is waited for by every later run."""
        place.server.script(step)
        for place.later_seconds in (0.0, 60.0, 3500.0):
            place.manifest()
        assert len(place.server.calls()) == 1
        assert place.model()["reason"]
        place.later_seconds = 3700.0
        assert place.manifest()["analysis_mode"] == "llm"

    def test_another_key_is_tried_at_once(self, place: Kitchen) -> None:
        """Refused because of its key, a service is asked again as soon as there is another one."""
        place.server.script(Misbehaviour.UNAUTHORISED)
        place.configure(mode="on")
        place.manifest(ANTHROPIC_API_KEY=KEY)
        place.manifest(ANTHROPIC_API_KEY=KEY)
        assert len(place.server.calls()) == 1
        assert place.manifest(ANTHROPIC_API_KEY=KEY + "2")["analysis_mode"] == "llm"

    def test_cap_is_kept(self, place: Kitchen) -> None:
        """A call that might cost more than is left of the day's money is not made."""
        place.configure(daily_usd=0.0005)
        made = place.manifest()
        assert (made["analysis_mode"], place.server.calls()) == ("heuristic", [])
        assert place.model()["owed_sessions"] == 1
        place.configure(daily_usd=1.0)
        assert place.manifest()["analysis_mode"] == "llm"

    def test_killed_between_answer_and_commit(self, place: Kitchen) -> None:
        """SIGKILL after the answer is stored: the next run learns it, once, without another call or the log."""
        place.server.script(LESSON)
        assert place.program(KILLED_BEFORE_COMMIT).returncode == -signal.SIGKILL
        assert place.learned() == []
        (place.home / ".claude/projects/-home-mara-kettle" / f"{boiling().session}.jsonl").unlink()
        made = place.manifest()
        assert (made["lessons_generated"], made["analysis_mode"]) == (1, "llm")
        place.manifest()
        assert place.learned() == [OPERATION["action"]]
        assert len(place.server.calls()) == 1


class TestBatches:
    """`run --backfill`."""

    def test_collected_after_a_restart(self, place: Kitchen) -> None:
        """A batch is handed over, nothing is asked meanwhile, and another process applies its answers, once."""
        made = place.manifest("--backfill")
        assert (made["analysis_mode"], place.server.calls()) == ("heuristic", [])
        (batch,) = place.server.batches.values()
        story = boiling().say("And milk?").answer("No.")
        story.write(place.home, at=LONG_AGO + 60)
        place.manifest()
        assert place.server.calls() == [], "a log in a batch waits for it"
        batch.results = {batch.requests[0]["custom_id"]: LESSON}
        place.server.end_batches()
        made = place.manifest()
        assert (made["lessons_generated"], made["analysis_mode"]) == (1, "llm")
        place.manifest()
        assert place.learned() == [OPERATION["action"]]
        with place.store() as store:
            (day,) = store.spend_by_day().values()
        assert len(place.server.batches) == 1
        assert float(day.cost_usd) >= (3000 * 0.10e-6 + 200 * 0.50e-6) / 2

    def test_killed_before_its_id_is_kept(self, place: Kitchen) -> None:
        """SIGKILL between handing over and hearing the id: the batch is found at the service, and not made again."""
        assert place.program(KILLED_BEFORE_THE_ID_IS_KEPT).returncode == -signal.SIGKILL
        (batch,) = place.server.batches.values()
        place.server.take_batch([{"custom_id": "another program's", "params": {"model": "m"}}]).ended = True
        place.manifest("--backfill")
        place.later_seconds = LEASE_SECONDS
        place.manifest("--backfill")  # it has not ended: the service does not say yet whose it is
        batch.results = {batch.requests[0]["custom_id"]: LESSON}
        batch.ended = True
        assert place.manifest("--backfill")["lessons_generated"] == 1
        place.manifest()
        assert (place.learned(), len(place.server.batches)) == ([OPERATION["action"]], 2)
        assert place.server.calls() == []
        with place.store() as store:
            (spend,) = store.spend_by_day().values()
        assert spend.cost_usd == Decimal("0.0002")

    @pytest.mark.parametrize("ends", [Misbehaviour.DROP, Misbehaviour.BROKEN])
    def test_batch_that_never_arrived_is_made_again(self, place: Kitchen, ends: Misbehaviour) -> None:
        """A batch whose id was not heard is looked for; where there is none its sessions are owed again, unpaid."""
        place.server.submission = ends
        place.manifest("--backfill")
        assert place.server.batches == {}
        place.server.submission = None
        place.later_seconds = 3600.0
        place.manifest("--backfill")
        place.manifest("--backfill")  # what a pass sets free is for the next one
        assert len(place.server.batches) == 1
        with place.store() as store:
            assert store.spent_today(0.0).calls == 1, "what did not arrive costs nothing"

    def test_broken_line_loses_no_batch(self, place: Kitchen) -> None:
        """A batch that was made while the line broke is found, not made again."""
        place.server.submission = Misbehaviour.DROP
        place.server.takes_before_breaking = True
        place.manifest("--backfill")
        place.server.submission = None
        place.server.end_batches()
        place.later_seconds = 3600.0
        assert place.manifest("--backfill")["analysis_mode"] == "llm"
        assert len(place.server.batches) == 1

    @pytest.mark.parametrize(("result", "asked_again"), [("expired", 1), ("errored", 1), ("invalid", 0)])
    def test_partial_failure(self, place: Kitchen, result: str, asked_again: int) -> None:
        """Of a batch the good answers count; what expired is asked about again, what was refused is set aside."""
        with_failure(place.home)
        place.manifest("--backfill")
        (batch,) = place.server.batches.values()
        assert len(batch.requests) == 2
        batch.results = {batch.requests[0]["custom_id"]: result}
        place.server.end_batches()
        place.manifest()
        place.manifest()
        assert len(place.server.calls()) == asked_again

    def test_lost_batch_is_owed_again(self, place: Kitchen) -> None:
        """A batch that the service does not know any more blocks nothing: its sessions are owed again."""
        place.manifest("--backfill")
        place.server.batches.clear()
        place.manifest()
        assert place.manifest()["analysis_mode"] in {"llm", "heuristic"}
        assert (len(place.server.calls()), place.model()["state"]) == (1, "ready")

"""Human turns: what they say about the work before them, in all the ways that people say it."""

from __future__ import annotations

import pytest

from selfdistill.signals.observing import Observer
from selfdistill.signals.steps import HumanTurn, Moment, TurnKind
from selfdistill.signals.turn_cues import CUES
from selfdistill.signals.turn_features import TurnContext, marks
from selfdistill.signals.turn_parts import parts
from selfdistill.signals.turns import NEGATIVE_FROM, read_turn
from stories import Story

COMPLAINTS = {TurnKind.CORRECTION, TurnKind.FAILURE_REPORT, TurnKind.FINDING}
ASSENT = {TurnKind.APPROVAL, TurnKind.PRAISE}
DONE = "Done. The timer now stops when the window closes, and all tests pass."
OFFER = "The timer could also stop when the window closes. Should I add that as well?"

TURNS = [
    ("no, use pnpm", TurnKind.CORRECTION),
    ("that's not what I meant", TurnKind.CORRECTION),
    ("please revert that", TurnKind.CORRECTION),
    ("you forgot the second window", TurnKind.CORRECTION),
    ("that is wrong, the timer belongs to the window", TurnKind.CORRECTION),
    ("you didn't update the docs like I said", TurnKind.CORRECTION),
    ("Wait, that's not right. The clock is in UTC.", TurnKind.CORRECTION),
    ("it still doesn't work", TurnKind.FAILURE_REPORT),
    ("the build is failing", TurnKind.FAILURE_REPORT),
    ("I get an error when I press the button", TurnKind.FAILURE_REPORT),
    ("the page is blank now, it used to show the list", TurnKind.FAILURE_REPORT),
    ("lint fails again", TurnKind.FAILURE_REPORT),
    (
        (
            "Low Severity\n\nThe helper stop_timer duplicates the check in window.py. This could leak the handle when "
            "the window closes twice, because close() does not clear `handle`."
        ),
        TurnKind.FINDING,
    ),
    ("yes, go ahead", TurnKind.APPROVAL),
    ("lgtm", TurnKind.APPROVAL),
    ("ok let's do option 2", TurnKind.APPROVAL),
    ("commit and push please", TurnKind.APPROVAL),
    ("perfect", TurnKind.PRAISE),
    ("great work", TurnKind.PRAISE),
    ("why is this needed?", TurnKind.QUESTION),
    ("what does the timer do when the window is hidden?", TurnKind.QUESTION),
    ("add a page for the timer", TurnKind.NEUTRAL),
    ("now write the docs for it", TurnKind.NEUTRAL),
    ("", TurnKind.NEUTRAL),
    ("   \n", TurnKind.NEUTRAL),
]


@pytest.mark.parametrize(("text", "kind"), TURNS)
def test_a_turn_is_read(text: str, kind: TurnKind) -> None:
    """Plain cases of each kind, after a claim that the work is done."""
    assert read_turn(text, TurnContext(before=DONE)).kind is kind


@pytest.mark.parametrize(
    "text",
    [
        "no need to run them again, thanks",
        "no problem, take the second one",
        "add a test that fails when the timer is not stopped",
        "address the review comments and fix the failing checks if there are any",
        "if it does not work on Windows, can we skip it there?",
        "sorry, I forgot to pull. can you try again?",
        "what was the error about?",
        "next, handle the case that the file is missing",
        "from now on always work on a branch in this repo and never push to main",
        "never commit to main without asking",
        "kettle " * 60,
        "before you reply, can you summarize what the timer does?",
        "Implement the following plan:\n\n# Plan\n\n1. Stop the timer. It must not fail when the window is gone.",
    ],
)
def test_harmless_turns_are_no_complaints(text: str) -> None:
    """Words such as no, error, fail and missing do not make a complaint of a request or a question."""
    assert read_turn(text, TurnContext(before=DONE)).kind not in COMPLAINTS


def test_no_in_answer_to_a_question_is_softer_than_no_to_finished_work() -> None:
    """An answer contradicts nobody: 'no' weighs less where the agent has just asked."""
    answer = read_turn("nope", TurnContext(before=OFFER))
    contradiction = read_turn("nope", TurnContext(before=DONE))
    assert answer.negative < NEGATIVE_FROM < contradiction.negative


def test_a_task_in_answer_to_an_offer_leans_to_assent() -> None:
    """The same words are worth more as assent where the agent has just asked what to do."""
    words = "add that to the second window too"
    assert read_turn(words, TurnContext(before=OFFER)).positive > read_turn(words, TurnContext(before=DONE)).positive


def test_an_instruction_that_breaks_in_leans_to_correction() -> None:
    """Who stops the agent and says 'instead' sends it another way."""
    words = "use the second window instead"
    calm, broken = (read_turn(words, TurnContext(before=DONE, interrupted=stopped)) for stopped in (False, True))
    assert broken.negative > calm.negative


def test_the_first_turn_says_nothing_of_the_work() -> None:
    """There was no work before it."""
    reading = read_turn("no, that is wrong", TurnContext(first=True))
    assert (reading.kind, reading.negative, reading.positive) == (TurnKind.NEUTRAL, 0.0, 0.0)


def test_a_refusal_accepts_nothing() -> None:
    """The words with which a call was refused may begin with 'ok' and still refuse it."""
    reading = read_turn("ok, sounds good", TurnContext(rejected=True))
    assert reading.kind not in ASSENT
    assert reading.positive == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "das funktioniert immer noch nicht",
        "nein, benutze pnpm statt npm, der Build ist failed",
        "Der Test schlägt fehl: error in window.py, bitte fix das",
        "ça ne marche pas, the test fails toujours",
        "non, utilise pnpm pour ce projet, c'est broken",
        "no funciona, sigue dando error en el test",
        "no, usa pnpm",
        "não funciona, ainda dá erro",
        "questo non va bene, il build è broken",
        "それは違います",
        "还是不行, test failed",
        "не работает, build failed",
        "작동하지 않아요 error",
    ],
)
def test_other_languages_abstain(text: str) -> None:
    """Nothing is told of other languages, with English words of code among them or without."""
    assert read_turn(text, TurnContext(before=DONE)).kind is TurnKind.NEUTRAL


def test_an_error_message_alone_reports_a_failure() -> None:
    """Who pastes nothing but an error says that it does not work."""
    pasted = "Traceback (most recent call last):\n  File \"timer.py\", line 3, in <module>\nKeyError: 'window'"
    assert read_turn(pasted, TurnContext(before=DONE)).kind is TurnKind.FAILURE_REPORT


EXAMPLES = {
    "denial": ("nope, the other one", "no need to hurry"),
    "halt": ("please don't touch the clock", "I can't stop it"),
    "surprise": ("hm, that is odd", "I will wait for it"),
    "however": ("ok but the clock is late", "the butter is in the fridge"),
    "blame": ("you've forgotten the clock", "thank you"),
    "wrongness": ("this isn't right", "turn right"),
    "restated": ("I meant the other clock", "that means a lot"),
    "disagreement": ("I don't like it", "I like it"),
    "expectation": ("the clock should be late", "the shoulder of the road"),
    "disappointment": ("I expected two clocks", "the expected value is two"),
    "substitution": ("use the wall clock instead", "use the wall clock"),
    "taking_back": ("put it back", "the back of the clock"),
    "unwanted": ("we don't need that", "we need that"),
    "feeling": ("this is ridiculous", "this is a clock"),
    "not_working": ("the clock doesn't start", "start the clock"),
    "failing": ("the build failed", "fix the failing checks"),
    "still": ("it still shows an hour", "stand still"),
    "met_error": ("I get an error there", "handle every error"),
    "absence": ("the hand of the clock is missing", "add the hand of the clock"),
    "regression": ("it used to work", "use it for work"),
    "repair_order": ("fix it", "the prefix"),
    "repair_check": ("fix the failing tests", "write the tests"),
    "negation": ("it never rings", "it rings"),
    "complaint": ("it somehow rings twice", "it rings"),
    "review": ("the reviewer says so", "view it"),
    "severity": ("High severity", "a severe clock"),
    "advice": ("consider renaming the clock", "rename the clock"),
    "request": ("can you wind the clock", "the clock was wound"),
    "later_request": ("it rings. please remove the bell", "it rings"),
    "asking": ("what time is it", "time is what it is"),
    "asking_why": ("so why is it late", "that is why"),
    "ends_asking": ("late?", "late? no."),
    "doubt": ("are you sure", "sure"),
    "supposition": ("maybe it rings", "it rings"),
    "own_fault": ("my bad, wrong clock", "too bad"),
    "document": ("Implement the following plan:", "follow it"),
    "yes": ("yep, that one", "yesterday it rang"),
    "go": ("ok, go ahead", "the goat"),
    "lets": ("let's wind it", "it lets me wind it"),
    "deliver": ("great, now open a draft PR", "the PR is open"),
    "choice": ("option 2", "2. wind it"),
    "praise": ("that looks great", "a great many clocks"),
    "thanks": ("many thanks", "no thanks"),
    "works": ("it works now", "how it works is unclear"),
}


@pytest.mark.parametrize("name", [cue.name for cue in CUES])
def test_every_cue_knows_its_words(name: str) -> None:
    """Each cue is seen where it is, and not in words that merely look like it."""
    there, elsewhere = (parts(text).words for text in EXAMPLES[name])
    (cue,) = (cue for cue in CUES if cue.name == name)
    assert cue.is_there(there)
    assert not cue.stems or any(stem in there for stem in cue.stems)
    assert not cue.is_there(elsewhere)


def test_what_was_pasted_is_not_what_the_person_says() -> None:
    """Words in output, code and quotes are no cues: a log says 'still failing' without being an opinion."""
    assert "still" in marks("the job is still failing", TurnContext())
    assert "still" not in marks("here is the log:\n```\nstill failing after 3 attempts\n```", TurnContext())
    assert "still" not in marks("[INFO] the job is still failing", TurnContext())
    assert "still" not in marks("> it is still failing\nwho wrote this?", TurnContext())


def test_a_supposition_reports_nothing() -> None:
    """What would be bad if it were so is not said to be so."""
    assert "not_working" in marks("it does not work", TurnContext())
    assert "not_working" not in marks("skip it if it does not work", TurnContext())


def test_typographic_apostrophes_are_read() -> None:
    """A phone's or an editor's apostrophe is an apostrophe."""
    curly, plain = (read_turn(f"that{mark}s not what I meant", TurnContext()) for mark in ("\u2019", "'"))
    assert curly == plain


@pytest.mark.parametrize("text", ["word " * 200_000, "no " * 100_000, "a" * 500_000, "\n" * 300_000, "> " * 200_000])
def test_a_huge_turn_is_read_in_no_time(text: str) -> None:
    """A pasted document costs no more than its beginning (each would take minutes if an expression ran away)."""
    assert read_turn(text, TurnContext(before="done " * 100_000)).kind in TurnKind


def observed(*pieces: Story) -> list[HumanTurn]:
    """The human turns of a log that is read in pieces, its state stored and redacted between them."""
    state: bytes | None = None
    moments: list[Moment] = []
    for piece in pieces:
        observer = Observer(state, lambda text: text.replace("hunter2", "[REDACTED]"), human=lambda: True)
        for event in piece.events:
            observer.observe(event, moments.append)
        state = observer.state()
        assert b"hunter2" not in state
    return [moment.happened for moment in moments if isinstance(moment.happened, HumanTurn)]


@pytest.mark.parametrize(("before", "kind"), [(OFFER, TurnKind.NEUTRAL), (DONE, TurnKind.CORRECTION)])
def test_what_the_agent_said_is_remembered_between_pieces(before: str, kind: TurnKind) -> None:
    """The context of a turn is the same whether the log is read at once or was put down before the turn."""
    whole, first, second = Story(), Story(), Story()
    for start in (whole, first):
        start.say("stop the timer; the password is hunter2")
        start.answer(f"The password is hunter2. {'It is noted. ' * 400}{before}")
    for rest in (whole, second):
        rest.say("no, leave it")
    assert observed(whole)[-1].kind is observed(first, second)[-1].kind is kind

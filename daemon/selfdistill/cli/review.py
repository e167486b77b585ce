"""`selfdistill lessons review`: lesson after lesson that waits or looks weak, with its evidence, for a person to judge.

Each answer is written at once, so whoever leaves in the middle loses nothing. It reads lines, from a terminal or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from selfdistill.cli.lesson_changes import changed, words_of
from selfdistill.cli.lesson_screen import card, shown
from selfdistill.cli.settings import settings
from selfdistill.errors import UsageError
from selfdistill.model import LessonState
from selfdistill.privacy.redaction import Redactor
from selfdistill.service.assembly import open_store
from selfdistill.service.project_at import project_of
from selfdistill.service.state_directory import prepare_state_directory
from selfdistill.store import VerdictKind, Words

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

    from selfdistill.cli.context import Context
    from selfdistill.model import Lesson
    from selfdistill.store import Store

WEAK: Final = 0.5  # confidence of an active lesson below which a person should look at it
_KEYS: Final = "[a]pprove [e]dit [r]eject [m]erge [s]kip [u]ndo [q]uit"
_HELP: Final = """\
  a, r [WHY]    approve it, or reject it: never told, never learned again
  e             say it in other words, then judge it
  m [ID]        let its evidence count for another lesson, which stays
  s             leave it as it is        u  take the last answer back        q  leave; the rest stays as it is"""


def add_arguments(actions: _SubParsersAction[ArgumentParser]) -> None:
    """Which lessons."""
    reviewing = actions.add_parser("review", help="go through what waits for you and what looks weak, one by one")
    reviewing.add_argument("--project", metavar="DIR", help="another project than the current directory's")
    reviewing.add_argument("--all", action="store_true", help="of every project")


def run(arguments: Namespace, context: Context) -> int:
    """Walk through them until the end of the list, of the input, or `q`."""
    redact = Redactor(settings(context).privacy.extra_patterns)
    prepare_state_directory(context.places.state)
    with open_store(context.places) as store:
        project = None if arguments.all else project_of(store, arguments.project)
        found = to_review(store, project)
        if not found:
            print("Nothing waits for you here." + ("" if arguments.all else " Other projects: --all"))
            return 0
        Review(store, found, _read, redact).walk()
    return 0


def to_review(store: Store, project: str | None) -> list[tuple[str, str]]:
    """Ids of the lessons that a person should look at, with the reason: what waits first, then what looks weak."""
    found = store.lessons(project, state=LessonState.PENDING, everywhere=project is None)
    waiting = [(lesson.id, _why_pending(lesson)) for lesson in found]
    active = store.lessons(project, everywhere=project is None)
    return waiting + [(lesson.id, why) for lesson in active if (why := why_weak(store, lesson))]


def _why_pending(lesson: Lesson) -> str:
    return "it came in a file" if lesson.distiller == "import" else "it waits for more evidence, or for you"


def why_weak(store: Store, lesson: Lesson) -> str:
    """Why a person should look at an active lesson, "" if nothing speaks against it."""
    if lesson.feedback < 0:
        return "agents say that it is not helpful"
    if lesson.recurred_told > lesson.helped:
        return f"it was told and the failure came all the same, in {lesson.recurred_told} sessions"
    if any(other.state is LessonState.ACTIVE for other in store.contradicting(lesson)):
        return "another active lesson says the opposite"
    if lesson.confidence < WEAK and not store.is_judged(lesson):
        return "little speaks for it"
    return ""


def _read(prompt: str) -> str:
    """A line from whoever is there; EOFError at the end."""
    return input(prompt)


class Review:
    """One walk: where it is, and what was answered."""

    def __init__(
        self,
        store: Store,
        found: list[tuple[str, str]],
        read: Callable[[str], str],
        redact: Callable[[str], str],
    ) -> None:
        self._store = store
        self._found = found
        self._read = read
        self._redact = redact
        self._position = 0
        self._done: list[tuple[int, str, str]] = []  # position, lesson id, what was done
        self._answers: dict[str, Callable[[Lesson, str], bool]] = {
            "a": self._approve,
            "e": self._edit,
            "r": self._reject,
            "m": self._merge,
            "s": self._skip,
            "u": self._undo,
        }

    def walk(self) -> None:
        """Ask about each lesson in turn."""
        try:
            while self._position < len(self._found) and self._one():
                pass
        except EOFError:
            print()
        said = Counter(what for _, _, what in self._done)
        told = ", ".join(f"{count} {what}" for what, count in said.items()) or "nothing was decided"
        left = len(self._found) - self._position
        print(f"{told}; {left} left" if left else f"{told}; that was all")

    def _one(self) -> bool:
        """Show a lesson and ask until it is answered; False to leave."""
        lesson_id, why = self._found[self._position]
        try:
            lesson = self._store.lesson(lesson_id)
        except UsageError:  # nothing supports it any more since the walk began
            self._position += 1
            return True
        print(f"\n{self._position + 1} of {len(self._found)}: {why}")
        for text in card(self._store, lesson):
            print(text)
        while True:
            answer, _, rest = self._read(f"\n{_KEYS}: ").strip().partition(" ")
            if answer == "q":
                return False
            try:
                if answer in self._answers and self._answers[answer](lesson, rest.strip()):
                    return True
            except UsageError as error:
                print(f"{error.message} {error.advice}".strip())
            else:
                if answer not in self._answers:
                    print(_HELP)

    def _note(self, lesson: Lesson, what: str, *, stay: bool = False) -> bool:
        self._done.append((self._position, lesson.id, what))
        self._position += not stay
        return True

    def _approve(self, lesson: Lesson, why: str) -> bool:
        self._store.decide(lesson.id, VerdictKind.APPROVE, self._redact(why))
        return self._note(lesson, "approved")

    def _reject(self, lesson: Lesson, why: str) -> bool:
        self._store.decide(lesson.id, VerdictKind.REJECT, self._redact(why))
        return self._note(lesson, "rejected")

    def _skip(self, _lesson: Lesson, _rest: str) -> bool:
        self._position += 1
        return True

    def _edit(self, lesson: Lesson, _rest: str) -> bool:
        """Ask for other words; an empty line keeps what is there."""
        before = words_of(lesson)
        wanted = Words(
            self._read("when (Enter: as it is): ").strip() or before.condition,
            self._read("do (Enter: as it is): ").strip() or before.action,
        )
        if wanted == before:
            print("unchanged")
            return False
        self._store.edit(lesson.id, changed(wanted, before, self._redact))
        return self._note(lesson, "edited", stay=True)

    def _merge(self, lesson: Lesson, into: str) -> bool:
        """Ask which lesson stays, if that was not said."""
        if not into:
            for other in self._store.similar(lesson):
                print(f"    {other.id[:8]}  {shown(other.action.description)}")
            into = self._read("into (id, Enter: not at all): ").strip()
        if not into:
            return False
        self._store.merge(lesson.id, self._store.lesson(into).id)
        return self._note(lesson, "merged")

    def _undo(self, _lesson: Lesson, _rest: str) -> bool:
        """Take the last answer back, and go to the lesson that it was about."""
        if not self._done:
            print("Nothing was decided yet.")
            return False
        position, lesson_id, what = self._done[-1]
        self._store.decide(lesson_id, VerdictKind.UNDO)
        self._done.pop()
        self._position = position
        print(f"{what}: taken back")
        return True

"""A history with many sessions in one file: each counts for itself, and is distilled once, however it is met."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent_logs import FIXTURES
from homes import AT_ONCE_ANYWHERE, Home
from selfdistill.config import Config, SourceSettings
from selfdistill.model import Lesson
from selfdistill.service.assembly import Assembly
from selfdistill.service.inspecting import Inspection, inspect
from selfdistill.service.one_pass import Pass, one_pass
from selfdistill.service.running import Selection

HISTORY = ".aider.chat.history.md"
RULE = "#### use pnpm, not npm, from now on  \n"
SESSIONS = 3


def session(hour: int) -> str:
    """One session in which a person states a rule, and which fails at the end."""
    return (
        f"\n# aider chat started at 2026-01-01 {hour:02}:00:00\n\n"
        "> Aider v0.60.1  \n> Main model: kettle-model-5 with diff edit format  \n\n"
        f"{RULE}\nI will use pnpm.\n\n> Tokens: 5.2k sent, 604 received.  \n\n"
        f"#### /test pytest tests/test_{hour}.py  \n> FAILED tests/test_{hour}.py::test_lid - assert 1 == 2\n"
        "1 failed in 0.01s  \n"
    )


TEXT = "".join(map(session, range(SESSIONS)))


class Kettle:
    """A user who has Aider alone, in one repository."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path)
        self.repository = path / "kettle"
        self.repository.mkdir()
        self.log = self.repository / HISTORY

    @contextmanager
    def assembly(self) -> Iterator[Assembly]:
        """The program, with the repository as a root."""
        sources = {"aider": SourceSettings(roots=(str(self.repository),))}
        with self.home.assembly(Config(settling=AT_ONCE_ANYWHERE, sources=sources)) as made:
            yield made

    def grow(self, text: str) -> Pass:
        """Add to the history and distill it."""
        with self.log.open("a", encoding="utf-8") as file:
            file.write(text)
        with self.assembly() as assembly:
            return one_pass(assembly, Selection(limit=0))

    def lessons(self) -> list[Lesson]:
        """What was learned."""
        with self.assembly() as assembly:
            return sorted(
                assembly.store.lessons(None, state=None, everywhere=True), key=lambda lesson: lesson.merge_key
            )

    def seen_in(self) -> dict[str, set[str]]:
        """The sessions that show each finding, by rule."""
        seen: dict[str, set[str]] = {}
        with self.assembly() as assembly:
            for lesson in assembly.store.lessons(None, state=None, everywhere=True):
                for stored in assembly.store.evidence(lesson.id):
                    sessions = {sighting.session for sighting in stored.sightings}
                    seen.setdefault(stored.finding.rule, set()).update(sessions)
        return seen


def comparable(lessons: list[Lesson]) -> list[tuple[str, str, int, float, str]]:
    return [(one.merge_key, one.first_session, one.support, one.confidence, one.action.description) for one in lessons]


def test_each_session_counts(tmp_path: Path) -> None:
    """A rule that was stated in three sessions of one file has three to support it; a second pass changes nothing."""
    kettle = Kettle(tmp_path)
    done = kettle.grow(TEXT)
    names = {f"aider 2026-01-01 {hour:02}:00:00" for hour in range(SESSIONS)}
    assert done.manifest.sessions_processed == SESSIONS
    first = kettle.lessons()
    assert max(lesson.support for lesson in first) == SESSIONS
    assert names in kettle.seen_in().values()
    assert kettle.grow("").manifest.sessions_processed == 0
    assert kettle.lessons() == first


def test_pieces_are_the_whole(tmp_path: Path) -> None:
    """A history that grows by a line or two, also within a session, gives what it gives at once."""
    whole = Kettle(tmp_path / "whole")
    whole.grow(TEXT)
    pieces = Kettle(tmp_path / "pieces")
    lines = TEXT.splitlines(keepends=True)
    for start in range(0, len(lines), 2):
        pieces.grow("".join(lines[start : start + 2]))
    assert comparable(pieces.lessons()) == comparable(whole.lessons())
    assert pieces.seen_in() == whole.seen_in()


def test_sessions_know_nothing_of_each_other(tmp_path: Path) -> None:
    """What a person says in one session is no answer to what was done in the one before."""
    headers = [f"# aider chat started at 2026-01-01 {hour:02}:00:00\n\n" for hour in (9, 10)]
    done, said = (
        "#### /run npm install  \n> added 3 packages  \n> in 2 s  \n\n",
        "#### use pnpm instead of npm  \n\nYes.\n",
    )
    one, two = Kettle(tmp_path / "one"), Kettle(tmp_path / "two")
    one.grow(headers[0] + done + said + headers[1])
    two.grow(headers[0] + done + headers[1] + said)
    assert [lesson.support for lesson in one.lessons()] == [1]
    assert two.lessons() == []


def test_last_session_is_read_before_the_next_begins(tmp_path: Path) -> None:
    """What a session ends with is told without a newline behind it."""
    kettle = Kettle(tmp_path)
    kettle.log.write_text(TEXT + "#### /exit  ", "utf-8")
    told = inspect(kettle.log, str)
    assert isinstance(told, Inspection)
    assert told.turn.value == "ended"
    assert [event["kind"] for event in told.events].count("session_start") == SESSIONS


def test_sessions_of_the_invented_history(tmp_path: Path) -> None:
    """The invented histories, one after the other in one file, are as many sessions as have a beginning."""
    kettle = Kettle(tmp_path)
    text = "".join((FIXTURES / "aider" / name / HISTORY).read_text("utf-8") for name in ("normal", "errors"))
    headers = text.count("# aider chat started at")
    assert kettle.grow(text).manifest.sessions_processed == headers


def test_sessions_are_committed_in_batches(tmp_path: Path) -> None:
    """Five hundred sessions in one file are a handful of transactions."""
    kettle = Kettle(tmp_path)
    many = "".join(session(0).replace("2026-01-01", f"{2000 + number}-01-01") for number in range(500))
    kettle.log.write_text(many, "utf-8")
    said: list[str] = []
    with kettle.assembly() as assembly:
        assembly.store._database._connection.set_trace_callback(said.append)
        done = one_pass(assembly, Selection(limit=0))
    assert done.manifest.sessions_processed == 500
    assert sum(statement == "COMMIT" for statement in said) <= 20

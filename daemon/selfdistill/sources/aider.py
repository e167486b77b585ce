"""Aider: `.aider.chat.history.md`, a text that all sessions of a repository append to (formats.md section 10).

Aider (aider/io.py) writes a person's lines after `#### `, its own after `> `, both ending in two spaces, and the
model's answer as it is; other output of several lines stands as it is up to the two spaces. So a record here is a block
of lines, known when the next one begins (but what one line of aider's tells, is told at once), and its span is all of
them; longer ones than 14 Ki characters are cut. There are no ids, no exit codes, and one time for each session, in the
machine's own zone. Edits (SEARCH/REPLACE blocks) are calls, which `Applied edit to` or `failed to exactly match`
answers; so are the linter aider ran and what a person had it run, with the output as the result. What aider ran for the
model is only named, its output was never written.
A line `# aider chat started at` begins another session: `session` changes there and `left` is the one before; ids of
events hang on that time and on what was said before, so a copy of the file gives the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Final

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from selfdistill.model import Event, EventKind, Session, Span, ToolInput, ToolKind, Turn
from selfdistill.sources.aider_texts import (
    APPLIED,
    DIRECTORY,
    EXITS,
    FENCES,
    GOES_ON,
    LINTED,
    LONGEST_BLOCK,
    MATCHLESS,
    MESSAGE,
    MODEL,
    NOTICES,
    PROGRAM,
    RAN,
    REFUSED,
    RUNS,
    SPOKEN,
    STARTED,
    TOKENS,
    UNDO,
    VERSION,
    Block,
    Edit,
    edits_in,
    local_time,
    outline,
)
from selfdistill.sources.base import Facts, Tool, bounded, remembered
from selfdistill.sources.conversation import ConversationMemory, ConversationParser, Given
from selfdistill.sources.decoding import digest, fact
from selfdistill.sources.patches import replacements

HISTORY: Final = ".aider.chat.history.md"
_BLANK_LINES: Final = 100  # one after the other that count
_EDITS: Final = 32  # edits of an answer that wait for being applied


class Aider:
    """Chat histories of Aider."""

    name: Final = "aider"
    variables: Final = ("AIDER_CHAT_HISTORY_FILE",)
    facts: Final = Facts(
        agent="Aider",
        versions="0.47 to 0.51",
        where="`.aider.chat.history.md` in each repository: name the directories, not the files, under `roots`",
        read="prompts, answers, edits with their outcome, linter and test output, interrupts, refused commands",
        left_out="exit codes and output of commands that the model proposed; times but for a session's start",
    )

    def roots(self, home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
        """Return the directory of the file that the variable names, if the file has the name we look for.

        There is no other: histories lie in the repositories, which only the configuration can name. A home directory
        is none either, for all that is below a root is looked through.
        """
        named = Path(environment.get("AIDER_CHAT_HISTORY_FILE", ""))
        usable = named.is_absolute() and self.owns(named) and not home.is_relative_to(named.parent)
        return (named.parent,) if usable else ()

    def owns(self, path: PurePath) -> bool:
        """Tell by the name."""
        return path.name.endswith(HISTORY)

    def session_hint(self, path: PurePath) -> str:
        """Return the repository's directory."""
        return path.parent.name

    def claims(self, path: PurePath, head: bytes) -> bool:
        """Tell by the name, or by the line that begins a session."""
        return self.owns(path) or b"# aider chat started at " in head

    def layout(self, _path: PurePath) -> None:
        """Return None: lines, only ever added."""

    def open(self, path: PurePath, state: bytes | None) -> AiderParser:
        """Return a parser, new or with the state of an earlier one."""
        memory = remembered(state, AiderMemory, path)
        if memory is None:
            cwd = fact(str(path.parent)) if path.is_absolute() else ""
            memory = AiderMemory(session=Session(id=self.session_hint(path), cwd=cwd), cwd=cwd, home=cwd)
        return AiderParser(memory)


class AiderMemory(ConversationMemory):
    """What this parser remembers beside what all do."""

    home: str = ""  # the directory of the file: a session works there unless it says otherwise
    block: Block = field(default_factory=Block)
    chain: str = ""
    at: float | None = None
    working: bool = False  # the model owes an answer
    expected: bool = False  # a text without a mark is the model's: also after it was stopped
    running: str = ""  # the call of a command that a person had run
    edits: dict[str, Edit] = field(default_factory=dict)
    two_spaces: bool = False  # lines do end as aider writes them
    end: int = 0  # just past the last line and its newline


class _Nothing(Struct):
    """Lines of text have no fields."""


_PERSON, _AIDER, _MODEL_SAYS = "person", "aider", "model"
_decoder: Final = msgspec.json.Decoder(_Nothing)


class AiderParser(ConversationParser[AiderMemory, _Nothing]):
    """Reads one history."""

    def __init__(self, memory: AiderMemory) -> None:
        super().__init__(memory, _decoder, _Nothing)

    def feed(self, line: bytes, offset: int) -> list[Event]:
        """Return the events of the blocks that this line ends. Never raises."""
        whole = line.rstrip(b"\r\n")
        text = whole.decode("utf-8", "replace")
        self.left = None
        end, self.memory.end = self.memory.end, offset + len(line) + 1
        events = self._blank_lines(end, min(offset, end + _BLANK_LINES)) if 0 < end < offset else []
        if found := STARTED.fullmatch(text) if text.startswith("# aider") else None:
            return [*events, *self._finish(), *self._start(found[1], Span(offset, len(whole)))]
        return events + self._line(text, offset, offset + len(whole))

    def is_whole(self, line: bytes) -> bool:
        """Tell that it is: a text has no end but its own."""
        return bool(line)

    def _blank_lines(self, first: int, end: int) -> list[Event]:
        """The events of the blocks that blank lines end: nobody brings these, but the bytes left out tell of them."""
        return [event for offset in range(first, end) for event in self._line("", offset, offset)]

    def _line(self, text: str, offset: int, end: int) -> list[Event]:
        """The events of the block that a line ends, or of its own if nothing can follow it."""
        memory, block = self.memory, self.memory.block
        if block.kind == _MODEL_SAYS and text[:1].isalnum() and block.size + len(text) < LONGEST_BLOCK:
            block.add(text, end)  # half of all lines
            return []
        kind, words = self._whose(text)
        full = kind == _MODEL_SAYS and block.size + len(words) >= LONGEST_BLOCK
        events = [] if kind == block.kind and not full else self._finish()
        if block.kind != _MODEL_SAYS and not text.strip():
            return events
        if memory.block.kind != kind:
            memory.block = Block(kind, offset, fenced=full and block.fenced)
        self._append(text, words, end)
        if kind == _AIDER and text.startswith("> ") and not memory.running:
            return events + self._tell_at_once(words)
        left = kind == _PERSON and words in EXITS and len(memory.block.lines) == 1
        return events + self._finish() if left else events

    def read(self, _record: _Nothing, _span: Span) -> list[Event]:
        """Return nothing: a line is no record."""
        return []

    def _whose(self, text: str) -> tuple[str, str]:
        """Whose line it is, and what it says without its mark."""
        block, spaced = self.memory.block, text.endswith("  ")
        certain = spaced or not (block.fenced and block.kind == _MODEL_SAYS)
        if text.startswith("####") and text[4:5] in {" ", ""} and certain and (spaced or not self.memory.two_spaces):
            return _PERSON, text[5:].strip()
        if text.startswith("> ") and certain:
            return _AIDER, text[2:].rstrip()
        if block.raw and (self.memory.running or text.strip()):
            return _AIDER, text.rstrip()
        return _MODEL_SAYS, text

    def _append(self, text: str, words: str, end: int) -> None:
        """Add a line to the block."""
        memory, block = self.memory, self.memory.block
        spaced = text.endswith("  ")
        memory.two_spaces = memory.two_spaces or (spaced and block.kind != _MODEL_SAYS)
        block.raw = block.kind == _AIDER and not spaced
        if block.kind == _MODEL_SAYS and text.lstrip().startswith(FENCES):
            block.fenced = not block.fenced
        block.add(words, end)

    def _start(self, started: str, span: Span) -> list[Event]:
        """Another session of the same repository."""
        memory = self.memory
        self.left = memory.session if memory.chain else None
        memory.open_calls.clear()
        memory.edits.clear()
        memory.chain, memory.at = digest(started), local_time(started)
        memory.cwd, memory.prompted, memory.working, memory.running = memory.home, False, False, ""
        memory.expected = False
        memory.session = Session(id=f"aider {started}", cwd=memory.home)
        self.span, self.at = span, memory.at
        self._total += 1
        self.close_turn()
        return self._admitted(iter([self.event(EventKind.SESSION_START, memory.chain)]))

    def _finish(self) -> list[Event]:
        """The events of the block that has ended, first sightings only."""
        block, memory = self.memory.block, self.memory
        memory.block = Block()
        text = "\n".join(block.lines)
        if not text.strip():
            return []
        self._total += 1
        self.span, self.at = Span(block.offset, block.length), memory.at
        events = self._admitted(_READERS[block.kind](self, text))
        if not events and not block.told:
            self.ignored()
        return events

    def _tell_at_once(self, line: str) -> list[Event]:
        """What a line of aider's says whatever else its block will: nobody knows when the next block comes."""
        memory, block = self.memory, self.memory.block
        self.span, self.at = Span(block.offset, block.length), memory.at
        if line.startswith(TOKENS):
            memory.working = memory.expected = False
        elif GOES_ON.fullmatch(line):
            memory.working = memory.expected = True
        events = self._admitted(self._of_line(line))
        block.told = block.told or bool(events)
        return events

    def _admitted(self, told: Iterator[Event]) -> list[Event]:
        """First sightings only; they move the turn, and so does who is at work."""
        events = list(filter(self._admit, told))
        if self.memory.turn is not Turn.ENDED:
            self.memory.turn = Turn.OPEN if self.memory.working else Turn.CLOSED
        return events

    def _uid(self, *said: str) -> str:
        """The id of an event: what it says, after all that the session said before."""
        self.memory.chain = digest(self.memory.chain, *said)
        return self.memory.chain

    def _of_person(self, text: str) -> Iterator[Event]:
        """A prompt, a command, or what aider put into the prompt itself."""
        yield from self._settle_run("")
        uid = self._uid(_PERSON, text)
        self.memory.expected = False
        command, _, rest = text.partition(" ")
        ran = RUNS.match(text)
        if command in EXITS:
            self.memory.working = False
            yield self.event(EventKind.SESSION_END, uid, text)
        elif ran:
            self.memory.running = uid
            yield self._call(uid, "run", ToolKind.SHELL, ToolInput(command=ran[1].strip() or text))
        elif command.startswith("/") and command[1:] not in SPOKEN:
            yield from self.asked(uid, text, text if command == UNDO else "")
        else:
            said = rest if command[1:] in SPOKEN and command.startswith("/") else text
            self.memory.working = self.memory.expected = bool(said.strip())
            yield from self.asked(uid, text, "" if text.startswith(PROGRAM) else said)

    def _of_model(self, text: str) -> Iterator[Event]:
        """An answer and the edits in it."""
        memory, edits = self.memory, list(edits_in(text))
        if not memory.expected and not edits:
            return  # nobody has asked the model: output of a command, or what stands before the chat
        yield from self.said(self._uid(_MODEL_SAYS, text), text.strip())
        for path, old, new in edits:
            uid = self._uid("edit", path, old, new)
            memory.edits[uid] = Edit(fact(path), outline(old))
            bounded(memory.edits, _EDITS)
            yield self._call(uid, "edit", ToolKind.EDIT, ToolInput(path=path, old=old, new=new))

    def _of_aider(self, text: str) -> Iterator[Event]:
        """What a whole block of aider's says: facts of the session, what failed, output of commands."""
        memory = self.memory
        if memory.running:
            yield from self._settle_run(text)
            return
        self._learn(text)
        lines = text.split("\n")
        yield from self._failures(text)
        yield from self._lint(text, lines)
        if any(line.startswith(NOTICES) for line in lines):
            yield from self.told(self._uid(_AIDER, text), text)

    def _of_line(self, line: str) -> Iterator[Event]:
        """What one line of aider's says by itself."""
        if line.startswith("^C"):
            yield from self._stopped(line)
        elif applied := APPLIED.fullmatch(line):
            yield from self._applied(applied[1])
        elif ran := RAN.fullmatch(line):
            call = self._call(self._uid(line), "run", ToolKind.SHELL, ToolInput(command=ran[1]))
            yield replace(call, call_id="")  # there will be no result
        elif REFUSED.fullmatch(line):
            yield self.event(EventKind.REJECTION, self._uid(line), "", self.person())

    def _stopped(self, line: str) -> Iterator[Event]:
        """Ctrl-C stops the model when it is at work, and leaves aider when it waits."""
        if self.memory.working:
            self.memory.working = False
            yield self.interrupted(self._uid(line), line)
        elif "KeyboardInterrupt" in line:
            yield self.event(EventKind.SESSION_END, self._uid(line), line)

    def _applied(self, path: str) -> Iterator[Event]:
        """Edits of a file that worked; those in other forms than SEARCH/REPLACE are only named here."""
        memory = self.memory
        same = [uid for uid, edit in memory.edits.items() if edit.path == fact(path)]
        if not same:
            uid = self._uid("whole", path)
            yield self._call(uid, "write", ToolKind.WRITE, ToolInput(path=path))
            same = [uid]
        for uid in same:
            memory.edits.pop(uid, None)
            yield from self._answered(
                uid, Given(f"Applied edit to {path}", is_error=False), Tool("edit", ToolKind.EDIT)
            )

    def _failures(self, text: str) -> Iterator[Event]:
        """Edits whose old text is not in the file."""
        memory = self.memory
        pieces = re.split(r"^(?=## \w+: This SEARCH block failed)", text, flags=re.MULTILINE)[1:]
        for piece in pieces:
            found = MATCHLESS.match(piece)
            if found is None:
                continue
            memory.working = memory.expected = True
            outlines = [outline(old) for old, _ in replacements(piece)]
            same = [uid for uid, edit in memory.edits.items() if edit.path == fact(found[1].strip())]
            meant = [uid for uid in same if memory.edits[uid].old in outlines] or same[:1]
            for uid in meant[:1]:
                memory.edits.pop(uid)
                yield from self._answered(uid, Given(piece, is_error=True), Tool("edit", ToolKind.EDIT))

    def _lint(self, text: str, lines: list[str]) -> Iterator[Event]:
        """What the linter found that aider ran after an edit."""
        ran = next(filter(None, map(LINTED.match, lines)), None)
        if ran is not None:
            uid = self._uid("lint", text)
            self.memory.expected = True
            yield self._call(uid, "lint", ToolKind.SHELL, ToolInput(command=ran[1].strip()))
            yield from self._answered(uid, Given(text, is_error=True), Tool("lint", ToolKind.SHELL))

    def _settle_run(self, output: str) -> Iterator[Event]:
        """The output of a command that a person had run; one without any is forgotten."""
        call, self.memory.running = self.memory.running, ""
        self.memory.open_calls.pop(call, None)
        if call and output:
            self.memory.expected = True  # aider shows the model what failed
            yield from self._answered(call, Given(output), Tool("run", ToolKind.SHELL))

    def _call(self, uid: str, tool: str, kind: ToolKind, made: ToolInput) -> Event:
        """A call in words that aider does not use."""
        return replace(self.event(EventKind.TOOL_CALL, uid), tool=tool, tool_kind=kind, input=made, call_id=uid)

    def _answered(self, call_id: str, given: Given, tool: Tool) -> list[Event]:
        """The result of a call."""
        return self.returned(f"{call_id}:r", call_id, given, tool)

    def _learn(self, text: str) -> None:
        """Keep what a session says of itself when it starts."""
        model, version, directory = MODEL.search(text), VERSION.search(text), DIRECTORY.search(text)
        if not (model or version or directory) or (version is None and self.memory.prompted):
            return
        memory = self.memory
        memory.cwd = fact(directory[1].strip()) if directory else memory.cwd
        headless = bool(MESSAGE.match(text)) and version is not None
        memory.session = replace(
            memory.session,
            cwd=memory.cwd or memory.session.cwd,
            model=fact(model[1]) if model else memory.session.model,
            agent_version=fact(version[1]) if version else memory.session.agent_version,
            machine_run=memory.session.machine_run or headless,
        )


_READERS: Final = {
    _PERSON: AiderParser._of_person,  # noqa: SLF001 - the table belongs to the class
    _AIDER: AiderParser._of_aider,  # noqa: SLF001
    _MODEL_SAYS: AiderParser._of_model,  # noqa: SLF001
}

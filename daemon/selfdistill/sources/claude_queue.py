"""Prompts typed while Claude Code is at work: in the log they are queue operations, not user records.

Old versions (2.0 to 2.1.5x) write `enqueue{content}` and, when the prompt reaches the model in mid-turn, a bare
`remove`: the prompt is nowhere else (41 of 61 real ones). `dequeue` means that a user record follows, `popAll` that
the user took the texts back to edit them. New versions write an attachment `queued_command` as well.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from selfdistill.sources.decoding import digest

WAITING: Final = 8
WAITING_BYTES: Final = 2000  # a longer prompt is told at once: what waits must fit in a parser's state
TOLD: Final = 16


class Waiting(Struct):
    """A prompt in the queue, with the place of the record that holds it."""

    text: str
    timestamp: str | None
    offset: int
    length: int
    told: bool = False  # already an event
    # Of the text as it was typed: what is carried from one piece of a log to the next may have been redacted.
    key: str = ""
    uid: str = ""

    @classmethod
    def of(cls, text: str, timestamp: str | None, offset: int, length: int) -> Waiting:
        """A prompt as its record has it."""
        return cls(text, timestamp, offset, length, key=digest(text.strip()), uid=digest(timestamp or "", text))


class Queue(Struct):
    """The prompts that wait, oldest first, and the digests of those told when they left the queue."""

    waiting: list[Waiting] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def enqueue(self, prompt: Waiting) -> list[Waiting]:
        """Add a prompt; return those that must be told at once because they are too long or too many to keep."""
        if len(prompt.text.encode()) > WAITING_BYTES:
            self._remember(prompt.key)
            self.waiting.append(Waiting("", prompt.timestamp, prompt.offset, prompt.length, told=True))
            at_once = [prompt]
        else:
            self.waiting.append(prompt)
            at_once = []
        if len(self.waiting) > WAITING and (first := self.remove()):
            at_once.insert(0, first)
        return at_once

    def remove(self) -> Waiting | None:
        """Return the prompt that now reaches the model, None where it was told before."""
        if not self.waiting:
            return None
        first = self.waiting.pop(0)
        if first.told:
            return None
        self._remember(first.key)
        return first

    def dequeue(self) -> None:
        """Forget the first prompt: its user record follows."""
        if self.waiting:
            self.waiting.pop(0)

    def clear(self) -> None:
        """Forget all prompts: the user took them back."""
        self.waiting.clear()

    def seen(self, text: str, *, attached: bool) -> bool:
        """Note that a record holds this prompt; return whether it is told already (attachments only)."""
        key = digest(text.strip())
        for each in self.waiting:
            if not each.told and each.key == key:
                each.told = True
                return False
        if attached and key in self.told:
            self.told.remove(key)
            return True
        return False

    def _remember(self, key: str) -> None:
        """Note a prompt as told, for the attachment that new versions write as well."""
        self.told.append(key)
        del self.told[:-TOLD]

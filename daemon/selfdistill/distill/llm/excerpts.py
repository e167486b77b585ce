"""Texts of a log made fit to be sent: cleaned as wholes, then cut in the middle; and how many tokens they are worth."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from selfdistill.privacy.scrubbing import scrub

if TYPE_CHECKING:
    from collections.abc import Callable

# What a reader does not see but a model does: zero-width, bidirectional and tag characters, soft hyphen, variation
# selectors' supplement. Unicode TR 36 section 3.6; tag characters have carried hidden prompts.
INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

# English and code had 3.6 characters a token until the tokenizer that came with Opus 4.7, which makes about 30 % more
# tokens of the same text (platform.claude.com, "What's new" of Sonnet 5 and Haiku 5.5); for older models we count too
# many. Bytes stand for characters, so that Chinese (3 bytes, about one token) and Cyrillic (2 bytes) are not taken for
# cheap; ASCII is the same in both.
BYTES_PER_TOKEN: Final = 2.8
_HEAD_SHARE: Final = 2 / 3  # of what is kept: a command's output begins with what it did and ends with how it went


def weight(text: str) -> int:
    """The bytes of a text in UTF-8; lone surrogates count as one."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def tokens(count_bytes: int) -> int:
    """About how many tokens so many bytes are, rounded up. An estimate: only the API counts."""
    return -int(-count_bytes // BYTES_PER_TOKEN)


def cleaned(text: str, redact: Callable[[str], str]) -> str:
    """The whole text without escape sequences, invisible characters and secrets, in this order.

    The first two are taken out before, because they can stand in the middle of a secret and hide it.
    """
    text = scrub(text)
    if not text.isascii():
        text = INVISIBLE.sub("", text)
    return redact(text)


def folded_space(text: str) -> str:
    """The text with every run of white space as one blank, none at the ends."""
    return " ".join(text.split())


class Excerpt(Struct, frozen=True):
    """A text whose middle may be left out: its head, how many characters are missing, its tail."""

    head: str
    left_out: int = 0
    tail: str = ""

    @property
    def pieces(self) -> tuple[str, ...]:
        """The parts that are there: a quote must lie within one of them."""
        return (self.head, self.tail) if self.left_out else (self.head,)

    @property
    def shown(self) -> str:
        """The text as a reader sees it, with a mark where the middle is missing."""
        if not self.left_out:
            return self.head
        return f"{self.head} [... {self.left_out} characters left out ...] {self.tail}"

    def within(self, limit: int) -> Excerpt:
        """The excerpt with at most `limit` characters of the text."""
        if len(self.head) + len(self.tail) <= limit:
            return self
        ahead = min(len(self.head), int(limit * _HEAD_SHARE))
        behind = limit - ahead
        end = self.tail if self.left_out else self.head
        left_out = len(self.head) + self.left_out + len(self.tail) - ahead - min(behind, len(end))
        return Excerpt(self.head[:ahead], left_out, end[-behind:] if behind else "")

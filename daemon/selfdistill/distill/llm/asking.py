"""The nouns of a model call: what is asked, what comes back, and every way in which it can fail.

SelfdistillError
└── AskFailed           a call gave no answer
    ├── Blocked             key, account, model or address: no call can succeed until a person changes something
    │   └── Unknown             there is no such model, address or batch
    ├── BadRequest          this request is refused; others may pass
    │   └── TooLarge            it is too long: ask again with less
    ├── TryLater            limits, overload, network, a reply of the wrong shape: the same request may pass later
    └── Stopped             we gave up ourselves, because the program ends
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct

from selfdistill.errors import SelfdistillError


class Usage(Struct, frozen=True, omit_defaults=True, gc=False):
    """Tokens that a call was billed for, by price; they add up to the prompt and the answer, none is in two."""

    input_tokens: int = 0  # neither written to the cache nor read from it
    output_tokens: int = 0
    cache_write_tokens: int = 0  # kept for five minutes
    cache_read_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """The whole prompt, whatever was paid for it."""
        return self.input_tokens + self.cache_write_tokens + self.cache_read_tokens


class Request(Struct, frozen=True, omit_defaults=True):
    """One question to a model.

    `key` names it in our store and in a batch (1 to 64 of `A-Za-z0-9_-`). `system` is sent as a cacheable prefix, so it
    should be the same in many requests. `schema` is the JSON schema of the answer. `effort` ("low" to "max") is for
    models that know it; "" leaves it out.
    """

    key: str
    model: str
    system: str
    user: str
    max_output_tokens: int
    schema: dict[str, Any] | None = None
    effort: str = ""


class Stop(StrEnum):
    """Why a model stopped writing."""

    COMPLETE = "complete"
    CUT = "cut"  # at max_output_tokens or the end of its context: the text is not whole
    REFUSED = "refused"  # its safety rules: there may be no text


class Answer(Struct, frozen=True, omit_defaults=True):
    """What a model answered, and what that was billed for. `text` is whole and not empty when `stop` is COMPLETE."""

    text: str
    stop: Stop
    usage: Usage
    model: str


class AskFailed(SelfdistillError):
    """A call gave no answer. `billed` is False where it certainly costs nothing; `usage` what was billed, if known."""

    def __init__(self, message: str, advice: str = "", *, billed: bool = False, usage: Usage | None = None) -> None:
        super().__init__(message, advice)
        self.billed = billed
        self.usage = usage


class Blocked(AskFailed):
    """Key, account, model or address are wrong: every call would fail the same way."""


class Unknown(Blocked):
    """There is no such model, address or batch at the service."""


class BadRequest(AskFailed):
    """The service does not take this request; it makes no sense to send it again unchanged."""


class TooLarge(BadRequest):
    """The request is too long for the service or the model."""


class TryLater(AskFailed):
    """The same request may succeed later; `retry_after` is what the service asks to wait, in seconds."""

    def __init__(
        self,
        message: str,
        advice: str = "",
        *,
        retry_after: float | None = None,
        billed: bool = False,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message, advice, billed=billed, usage=usage)
        self.retry_after = retry_after


class Stopped(AskFailed):
    """The program ends: the call was given up within seconds."""


class Abort(Exception):
    """We gave up a call ourselves; the first word says why: stopped, deadline, size, encoding or address."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class BatchItem(Struct, frozen=True):
    """What became of one request of a batch: an answer, or why there is none."""

    key: str
    answer: Answer | None = None
    failure: AskFailed | None = None


class BatchSeen(Struct, frozen=True):
    """A batch as the service lists it; `size` in requests, 0 if it does not say; `created_at` in epoch seconds."""

    id: str
    size: int
    created_at: float

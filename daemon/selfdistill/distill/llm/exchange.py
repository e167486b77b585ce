"""What is sent, and what comes back, in our words: parameters of a request, the shape of a reply, the kinds of failure.

Works on the SDK's objects by their attributes, so that it needs no import of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from selfdistill.distill.llm.asking import (
    Abort,
    Answer,
    AskFailed,
    BadRequest,
    Blocked,
    Request,
    Stop,
    Stopped,
    TooLarge,
    TryLater,
    Unknown,
    Usage,
)
from selfdistill.distill.llm.patience import retry_after_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LONGEST_DETAIL: Final = 200
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")

_STOPS: Final = {
    "max_tokens": Stop.CUT,
    "model_context_window_exceeded": Stop.CUT,
    "refusal": Stop.REFUSED,
}

_BLOCKING: Final[dict[int, tuple[str, str]]] = {
    401: ("the key is not valid", "Put a valid key where `[llm] api_key_file` points, then `selfdistill run`."),
    402: ("the account cannot pay", 'Add credit to the account of this key, or set `[llm] mode = "off"`.'),
    403: ("the key may not do this", "Give the key access to the model, or choose another `[llm] model`."),
    404: ("there is no such model or address", "Check `[llm] model` and `[llm] base_url`."),
}
_WRONG_PLACE: Final = "Check `[llm] base_url`: something else than the Messages API answers there."
_RETRYABLE: Final = frozenset({408, 409, 425, 429})

_ABORTS: Final = {
    "deadline": "it did not finish within the deadline for a call",
    "size": "its answer is larger than any that was asked for",
    "encoding": "its answer is compressed, which was not asked for",
}

# A batch that ended for these is asked again; "invalid_request_error" would fail again.
_BATCH_ENDS: Final = {
    "expired": "a batch was not done within 24 hours",
    "canceled": "a batch was canceled",
}


def parameters(request: Request) -> dict[str, Any]:
    """The arguments of `messages.create` for this request: cacheable system prompt, one user text, a schema if any.

    The system prompt is about 1,300 tokens, enough for the cache of the default model (512). Writing it there costs a
    quarter more than reading it, about 0.00003 dollars, and each further call within five minutes, as in a `run` over
    many sessions, saves nine tenths. A model that asks for longer prompts ignores the mark, at no cost.
    """
    output: dict[str, Any] = {}
    if request.schema is not None:
        output["format"] = {"type": "json_schema", "schema": request.schema}
    if request.effort:
        output["effort"] = request.effort
    sent: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_output_tokens,
        "system": [{"type": "text", "text": request.system, "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": request.user}],
    }
    return {**sent, "output_config": output} if output else sent


def answer_of(reply: object, message: type, failures: Failures) -> Answer:
    """The answer in a reply; raises TryLater (billed) unless it has the shape of one.

    The SDK returns a `str` for HTML and a `Message` without content for any other JSON object (reliability.md 2.2).
    """
    if not isinstance(reply, message):
        raise failures.shape("it answered with something else than a message", billed=True)
    usage = _usage(getattr(reply, "usage", None))
    text = _text(getattr(reply, "content", None))
    if usage is None or text is None:
        raise failures.shape("its message lacks content or usage", billed=True, usage=usage)
    stop = _STOPS.get(str(getattr(reply, "stop_reason", None)), Stop.COMPLETE)
    if stop is Stop.COMPLETE and not text.strip():
        raise failures.shape("its message holds no text", billed=True, usage=usage)
    return Answer(text, stop, usage, str(getattr(reply, "model", "")))


class Failures:
    """Turns whatever a call raised into an AskFailed, in words that are redacted, short and on one line."""

    def __init__(self, host: str, api_key: str, redact: Callable[[str], str], clock: Callable[[], float]) -> None:
        self._host = host
        self._key = api_key
        self._redact = redact
        self._clock = clock

    def of(self, error: BaseException, *, sent: bool) -> AskFailed:
        """What this error means for us; `sent`: whether any of the request had left."""
        abort = next((cause for cause in _causes(error) if isinstance(cause, Abort)), None)
        if abort is not None:
            return self._of_abort(abort, sent=sent)
        response = getattr(error, "response", None)
        status = getattr(error, "status_code", None)
        success = isinstance(status, int) and 200 <= status < 300  # noqa: PLR2004 - HTTP
        if response is not None and isinstance(status, int) and not success:
            return self._of_status(status, error, response.headers.get("retry-after", ""))
        if not success and hasattr(error, "request"):
            return TryLater(f"The model at {self._host} could not be reached or hung up{_kind(error)}.", billed=sent)
        return self.shape("it answered with something else than the JSON of its API", billed=sent)

    def of_batch(self, result: object) -> AskFailed:
        """Why a request of a batch has no answer."""
        kind = str(getattr(result, "type", ""))
        if kind in _BATCH_ENDS:
            return TryLater(f"The model at {self._host} gave no answer: {_BATCH_ENDS[kind]}.")
        error = getattr(getattr(result, "error", None), "error", None)
        detail = self._clean(getattr(error, "message", None))
        if getattr(error, "type", None) == "invalid_request_error":
            return self._bad(400, detail)
        return TryLater(f"The model at {self._host} gave no answer in a batch{detail}.")

    def shape(self, what: str, *, billed: bool = False, usage: Usage | None = None) -> TryLater:
        """The error for a reply that is not what the API promises."""
        return TryLater(
            f"The model at {self._host} is not understood: {what}.", _WRONG_PLACE, billed=billed, usage=usage
        )

    def _of_abort(self, abort: Abort, *, sent: bool) -> AskFailed:
        if abort.reason == "stopped":
            return Stopped(f"A call to the model at {self._host} was given up because the program ends.", billed=sent)
        if abort.reason == "address":
            place = self._clean(abort.detail)
            return Blocked(f"The model at {self._host} sends us to another address{place}.", _WRONG_PLACE, billed=sent)
        return TryLater(f"The model at {self._host} was given up: {_ABORTS[abort.reason]}.", billed=sent)

    def _of_status(self, status: int, error: BaseException, retry_after: str) -> AskFailed:
        detail = self._clean(getattr(error, "api_message", None))
        if status in _RETRYABLE or status >= 500:  # noqa: PLR2004 - HTTP
            wish = retry_after_seconds(retry_after, self._clock())
            return TryLater(f"The model at {self._host} is not available now ({status}{detail}).", retry_after=wish)
        if getattr(error, "type", None) == "billing_error" or "credit balance" in detail:
            return self._blocked(402, detail)  # an empty account answers 400 on some endpoints
        if status in _BLOCKING:
            return self._blocked(status, detail)
        if status in {400, 413, 422}:
            return self._bad(status, detail)
        return Blocked(f"The model at {self._host} answers with status {status}{detail}.", _WRONG_PLACE)

    def _blocked(self, status: int, detail: str) -> Blocked:
        what, advice = _BLOCKING[status]
        kind = Unknown if status == 404 else Blocked  # noqa: PLR2004 - HTTP
        return kind(f"The model at {self._host} refuses us: {what} ({status}{detail}).", advice)

    def _bad(self, status: int, detail: str) -> BadRequest:
        large = status == 413 or "too long" in detail or "too large" in detail  # noqa: PLR2004 - HTTP
        kind = TooLarge if large else BadRequest
        return kind(f"The model at {self._host} refuses this request ({status}{detail}).", "The session is set aside.")

    def _clean(self, detail: object) -> str:
        """What the service says, as the end of a sentence: redacted before it is cut, on one line; "" if nothing."""
        if not isinstance(detail, str) or not detail.strip():
            return ""
        text = detail.replace(self._key, "[key]") if self._key else detail
        return ": " + _CONTROL.sub(" ", self._redact(text))[:_LONGEST_DETAIL].strip()


def _usage(usage: object) -> Usage | None:
    counts = [
        getattr(usage, name, None)
        for name in ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    ]
    if counts[0] is None or counts[1] is None:
        return None
    if any(isinstance(count, bool) or not isinstance(count or 0, int) or (count or 0) < 0 for count in counts):
        return None
    return Usage(*(int(count or 0) for count in counts))


def _text(content: object) -> str | None:
    """The text blocks in one; None if there is no list of blocks. Thinking blocks come first, and are no answer."""
    if not isinstance(content, list):
        return None
    texts = [getattr(block, "text", None) for block in content if getattr(block, "type", None) == "text"]
    return "".join(text for text in texts if isinstance(text, str))


def _causes(error: BaseException) -> Iterator[Any]:
    current: BaseException | None = error
    for _ in range(8):
        if current is None:
            return
        yield current
        current = current.__cause__ or current.__context__


def _kind(error: BaseException) -> str:
    """The name of the innermost error, which says more than "Connection error." and holds nothing of the request."""
    names = [type(cause).__name__ for cause in _causes(error)]
    return f" ({names[-1]})" if names else ""

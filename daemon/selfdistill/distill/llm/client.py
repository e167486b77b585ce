"""The edge to the API: the one place that imports the SDK, and where all it can do is turned into our own words.

The SDK gets everything explicitly, so that no variable of the environment (key, address, headers, profile, logging,
tracing, proxies) can send a transcript elsewhere. It never retries: `patience.py` does, with a state that is stored.
"""

from __future__ import annotations

import logging
import math
import time
from datetime import datetime
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from selfdistill.distill.llm.asking import Abort, Answer, BatchItem, BatchSeen, Request, TryLater
from selfdistill.distill.llm.exchange import Failures, answer_of, parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from threading import Event

    import anthropic

    from selfdistill.distill.llm.transport import Patrol

OFFICIAL_URL: Final = "https://api.anthropic.com"
API_VERSION: Final = "2026-10-21"
"""The version of the API that SDK 2.12 speaks (its `_constants.py`); said here, as a variable could change it there."""

_LOGGERS: Final = ("anthropic", "httpx2", "httpcore2")
_PAGE: Final = 100
_MOST_LISTED: Final = 1000


class Limits(Struct, frozen=True):
    """How long a whole call may last, and how much it may answer."""

    deadline_seconds: float = 120.0
    reply_bytes: int = 2 * 1024 * 1024
    batch_bytes: int = 64 * 1024 * 1024


class _Opened(Struct):
    """What exists once the first call is made. `broken`: what the SDK and the wire under it can raise."""

    client: anthropic.Anthropic
    patrol: Patrol
    message: type
    broken: tuple[type[Exception], ...]


class Asker:
    """Asks one service, one call at a time, from one thread. Opens on the first call.

    `api_key` may be "" for a local service that wants none. `redact` is applied to whatever the service says of an
    error. `stop` ends a call under way within 5 s (name resolution alone cannot be interrupted: the thread must be a
    daemon thread).
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str,
        redact: Callable[[str], str],
        stop: Event,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._key = api_key
        self._base_url = base_url or OFFICIAL_URL
        self._stop = stop
        self._limits = limits
        self._failures = Failures(self._host(), api_key, redact, clock)
        self._opened: _Opened | None = None

    def ask(self, request: Request) -> Answer:
        """The answer to this request; raises AskFailed in one of its kinds."""
        reply = self._call(lambda client: client.messages.create(**parameters(request)))
        return answer_of(reply, self._open().message, self._failures)

    def count_tokens(self, request: Request) -> int:
        """How many tokens the prompt has, as the service counts (free of charge); raises AskFailed."""
        wanted = {name: value for name, value in parameters(request).items() if name != "max_tokens"}
        counted = self._call(lambda client: client.messages.count_tokens(**wanted))
        tokens = getattr(counted, "input_tokens", None)
        if not isinstance(tokens, int):
            raise self._failures.shape("it did not count tokens")
        return tokens

    def submit(self, requests: Sequence[Request]) -> str:
        """Hand over a batch; its id, to be stored at once. Half the price, done within 24 hours. Raises AskFailed."""
        entries: Any = [{"custom_id": request.key, "params": parameters(request)} for request in requests]
        batch = self._call(lambda client: client.messages.batches.create(requests=entries))
        identity = getattr(batch, "id", None)
        if not isinstance(identity, str) or not identity:
            raise self._failures.shape("it took a batch without naming it", billed=True)
        return identity

    def collect(self, batch_id: str) -> list[BatchItem] | None:
        """What became of each request of a batch; None while it is under way. Raises AskFailed.

        Blocked means that the batch is not known there (any more): results are kept for 29 days.
        """
        batch = self._call(lambda client: client.messages.batches.retrieve(batch_id))
        if getattr(batch, "processing_status", None) != "ended":
            return None
        lines = self._call(lambda client: list(client.messages.batches.results(batch_id)), batch=True)
        return [self._item(line) for line in lines]

    def recent(self, since: float) -> list[BatchSeen]:
        """The batches that were made since then (epoch seconds), newest first; raises AskFailed.

        Which requests are in one it does not say: only its results name them.
        """
        listed = self._call(lambda client: _until(client.messages.batches.list(limit=_PAGE), since))
        return [_seen(batch) for batch in listed]

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._opened is not None:
            self._opened.client.close()
            self._opened = None

    def _call(self, call: Callable[[anthropic.Anthropic], Any], *, batch: bool = False) -> Any:  # noqa: ANN401 - not looked at yet
        """One call within the limits; whatever the SDK raises becomes an AskFailed without a trace of the original.

        Not chained: the SDK's errors hold the request, and with it the key and the whole prompt.
        """
        opened = self._open()
        limit = self._limits.batch_bytes if batch else self._limits.reply_bytes
        opened.patrol.start(self._limits.deadline_seconds, limit)
        try:
            return call(opened.client)
        except opened.broken as error:
            failure = self._failures.of(error, sent=opened.patrol.sent)
        raise failure

    def _open(self) -> _Opened:
        if self._opened is None:
            self._opened = self._connect()
        return self._opened

    def _connect(self) -> _Opened:
        # Inside, because it takes 3 s and 66 MiB (2.12, 2 cores): status, lessons and hooks must not pay for it.
        import anthropic  # noqa: PLC0415
        import httpx2  # noqa: PLC0415

        from selfdistill.distill.llm import transport  # noqa: PLC0415

        for name in _LOGGERS:
            # ANTHROPIC_LOG=debug makes the SDK log whole requests when it is imported.
            logging.getLogger(name).setLevel(logging.WARNING)
        patrol = transport.Patrol(self._stop)
        wire = transport.Wire(httpx2.URL(self._base_url), self._headers(), patrol)
        client = anthropic.Anthropic(
            api_key=self._key or "none",  # "none" never leaves: the wire writes the header itself
            base_url=self._base_url,
            webhook_key="",
            max_retries=0,
            timeout=httpx2.Timeout(
                self._limits.deadline_seconds, connect=transport.CONNECT_SECONDS, write=transport.WRITE_SECONDS
            ),
            open_telemetry=False,  # else ANTHROPIC_OPEN_TELEMETRY_TRACES_CONTENT_MODE exports prompts
            http_client=httpx2.Client(transport=wire, trust_env=False, follow_redirects=False),
        )
        # ValueError and the like are what the SDK lets through for a reply that is no JSON or of another shape.
        broken = (anthropic.AnthropicError, httpx2.HTTPError, Abort, *transport.BROKEN, *_MISSHAPEN)
        return _Opened(client, patrol, anthropic.types.Message, broken)

    def _headers(self) -> dict[str, str]:
        headers = {"accept-encoding": "identity", "anthropic-version": API_VERSION, "user-agent": "selfdistill"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        return headers

    def _host(self) -> str:
        return urlsplit(self._base_url).hostname or self._base_url

    def _item(self, line: object) -> BatchItem:
        key = getattr(line, "custom_id", None)
        if not isinstance(key, str):
            raise self._failures.shape("a batch result has no custom_id", billed=True)
        result = getattr(line, "result", None)
        try:
            if getattr(result, "type", None) == "succeeded":
                return BatchItem(key, answer_of(getattr(result, "message", None), self._open().message, self._failures))
            return BatchItem(key, failure=self._failures.of_batch(result))
        except TryLater as failure:
            return BatchItem(key, failure=failure)


def _until(batches: Iterable[object], since: float) -> list[object]:
    """The batches made since then; the iterable fetches further pages. At most `_MOST_LISTED`: some list for ever."""
    return list(takewhile(lambda batch: _created_at(batch) >= since, islice(batches, _MOST_LISTED)))


def _created_at(batch: object) -> float:
    when = getattr(batch, "created_at", None)
    return when.timestamp() if isinstance(when, datetime) else math.inf


def _seen(batch: object) -> BatchSeen:
    counts = getattr(batch, "request_counts", None)
    sizes = [getattr(counts, name, None) for name in ("processing", "succeeded", "errored", "canceled", "expired")]
    size = sum(one for one in sizes if isinstance(one, int))
    return BatchSeen(str(getattr(batch, "id", "")), size, _created_at(batch))


_MISSHAPEN: Final = (ValueError, TypeError, AttributeError, KeyError, RecursionError)

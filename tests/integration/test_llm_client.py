"""The real SDK against a loopback service that behaves well, and badly in every way we could think of."""

from __future__ import annotations

import gc
import json
import resource
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from selfdistill.distill.llm.asking import (
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
from selfdistill.distill.llm.client import API_VERSION, Asker, Limits
from support.messages_server import SECRET, MessagesServer, Misbehaviour, Reply

KEY = "sk-ant-test-" + "k" * 40
SCHEMA = {"type": "object", "properties": {"operations": {"type": "array"}}, "additionalProperties": False}
REQUEST = Request("ab12", "claude-haiku-5-5", "You read logs.", "<log>hello</log>", 2000, SCHEMA, "low")


@pytest.fixture
def server() -> Iterator[MessagesServer]:
    """A service on this machine."""
    with MessagesServer() as server:
        yield server


class Desk:
    """An asker of this service and the event that stops it."""

    def __init__(self, url: str, *, key: str = KEY, deadline: float = 20.0) -> None:
        self.stop = threading.Event()
        self.asker = Asker(
            api_key=key,
            base_url=url,
            redact=lambda text: text.replace(SECRET, "[redacted]"),
            stop=self.stop,
            limits=Limits(deadline_seconds=deadline),
        )

    def failure(self, request: Request = REQUEST) -> AskFailed:
        """What asking raises."""
        with pytest.raises(AskFailed) as caught:
            self.asker.ask(request)
        return caught.value


@pytest.fixture
def desk(server: MessagesServer) -> Iterator[Desk]:
    """An asker of the service."""
    desk = Desk(server.url)
    yield desk
    desk.asker.close()


def test_answer_comes_with_what_it_was_billed_for(server: MessagesServer, desk: Desk) -> None:
    """Text, stop, model and all four kinds of tokens arrive; a thinking block before the text is no answer."""
    server.script(Reply('{"a": 1}', "end_turn", 7, 5, 3000, 200, thinking="let me see"))
    answer = desk.asker.ask(REQUEST)
    assert answer.text == '{"a": 1}'
    assert answer.stop is Stop.COMPLETE
    assert answer.usage == Usage(7, 5, 3000, 200)
    assert answer.model == "claude-haiku-5-5"


def test_request_is_what_was_asked_for(server: MessagesServer, desk: Desk) -> None:
    """The system prompt is cacheable, the schema and the effort are set, no sampling parameter is."""
    desk.asker.ask(REQUEST)
    assert server.calls()[0].json() == {
        "model": "claude-haiku-5-5",
        "max_tokens": 2000,
        "system": [{"type": "text", "text": "You read logs.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "<log>hello</log>"}],
        "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"},
    }


@pytest.mark.parametrize(
    ("step", "kind", "billed", "words"),
    [
        (Misbehaviour.UNAUTHORISED, Blocked, False, "key is not valid"),
        (Misbehaviour.FORBIDDEN, Blocked, False, "may not do this"),
        (Misbehaviour.UNKNOWN, Unknown, False, "no such model or address"),
        (Misbehaviour.POOR, Blocked, False, "cannot pay"),
        (Misbehaviour.REDIRECT, Blocked, False, "307"),
        (Misbehaviour.BAD, BadRequest, False, "refuses this request"),
        (Misbehaviour.LARGE, TooLarge, False, "413"),
        (Misbehaviour.LIMITED, TryLater, False, "429"),
        (Misbehaviour.BROKEN, TryLater, False, "500"),
        (Misbehaviour.OVERLOADED, TryLater, False, "529"),
        (Misbehaviour.DROP, TryLater, True, "hung up"),
        (Misbehaviour.SHORT, TryLater, True, "hung up"),
        (Misbehaviour.HALF_JSON, TryLater, True, "something else"),
        (Misbehaviour.HTML, TryLater, True, "something else"),
        (Misbehaviour.OTHER_JSON, TryLater, True, "lacks content"),
        (Misbehaviour.NO_CONTENT, TryLater, True, "lacks content"),
        (Misbehaviour.EMPTY, TryLater, True, "no text"),
        (Misbehaviour.DEEP, TryLater, True, "something else"),
        (Misbehaviour.BOMB, TryLater, True, "compressed"),
        (Misbehaviour.HUGE, TryLater, True, "larger"),
    ],
)
def test_every_misbehaviour_has_its_kind(
    server: MessagesServer, desk: Desk, step: Misbehaviour, kind: type[AskFailed], billed: bool, words: str
) -> None:
    """Each failure is of the kind that says what to do, knows whether it may cost money, and is asked once only."""
    server.script(step)
    failure = desk.failure()
    assert type(failure) is kind
    assert failure.billed is billed
    assert words in failure.message
    assert len(server.requests) == 1
    server.script(Reply("fine"))
    assert desk.asker.ask(REQUEST).text == "fine"


def test_invalid_utf8_is_no_crash(server: MessagesServer, desk: Desk) -> None:
    """A reply that is no UTF-8 is a failure or a text without those bytes, never another exception."""
    server.script(Misbehaviour.NOT_UTF8)
    try:
        text = desk.asker.ask(REQUEST).text
    except TryLater:
        return
    text.encode()


@pytest.mark.parametrize(("reason", "stop"), [("max_tokens", Stop.CUT), ("refusal", Stop.REFUSED)])
def test_cut_and_refused_are_answers_that_cost(server: MessagesServer, desk: Desk, reason: str, stop: Stop) -> None:
    """An answer that is cut or refused says so and brings its usage."""
    server.script(Reply("" if stop is Stop.REFUSED else '{"a": [', reason, input_tokens=9))
    answer = desk.asker.ask(REQUEST)
    assert (answer.stop, answer.usage.input_tokens) == (stop, 9)


def test_wish_of_the_service_is_handed_on(server: MessagesServer, desk: Desk) -> None:
    """`retry-after` arrives at once and as a number; nobody sleeps for it."""
    server.script(Misbehaviour.LIMITED)
    before = time.monotonic()
    failure = desk.failure()
    assert isinstance(failure, TryLater)
    assert failure.retry_after == 3600
    assert time.monotonic() - before < 3


@pytest.mark.parametrize("step", [Misbehaviour.DRIP, Misbehaviour.SILENCE])
def test_deadline_is_for_the_whole_call(server: MessagesServer, step: Misbehaviour) -> None:
    """A service that drips or is silent is given up at the deadline."""
    desk = Desk(server.url, deadline=1.0)
    server.script(step)
    before = time.monotonic()
    failure = desk.failure()
    desk.asker.close()
    assert isinstance(failure, TryLater)
    assert "deadline" in failure.message
    assert time.monotonic() - before < 6  # the first call imports the SDK where this test runs alone


@pytest.mark.parametrize("step", [Misbehaviour.DRIP, Misbehaviour.SILENCE])
def test_stop_ends_a_call_under_way(server: MessagesServer, desk: Desk, step: Misbehaviour) -> None:
    """Setting the stop event ends a call within a second, wherever it is; it may have been billed."""
    desk.asker.ask(REQUEST)
    server.script(step)
    threading.Timer(0.3, desk.stop.set).start()
    before = time.monotonic()
    failure = desk.failure()
    assert isinstance(failure, Stopped)
    assert failure.billed
    assert time.monotonic() - before < 1.5


def test_huge_body_does_not_fill_memory(server: MessagesServer, desk: Desk) -> None:
    """Of 200 MB no more than the cap is read."""
    desk.asker.ask(REQUEST)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    server.script(Misbehaviour.HUGE)
    desk.failure()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40 * 1024


def test_no_tls_where_it_was_asked_for(server: MessagesServer) -> None:
    """A service that does not speak TLS behind https gets not a byte of the prompt."""
    desk = Desk(server.url.replace("http:", "https:"))
    failure = desk.failure()
    desk.asker.close()
    assert isinstance(failure, TryLater)
    assert not failure.billed
    assert server.requests == []


def test_nobody_listens(server: MessagesServer) -> None:
    """No service at all is a reason to try later, and costs nothing."""
    url = server.url
    server.__exit__(None, None, None)
    server._thread = threading.Thread()  # joined again by the fixture
    server._thread.start()
    desk = Desk(url)
    failure = desk.failure()
    desk.asker.close()
    assert isinstance(failure, TryLater)
    assert not failure.billed


def test_errors_tell_no_secret(server: MessagesServer, desk: Desk) -> None:
    """Neither the key, nor the prompt, nor what an error body echoes is in the words or the traceback of an error."""
    server.script(Misbehaviour.ECHO)
    failure = desk.failure()
    told = "".join(traceback.format_exception(failure)) + repr(failure) + repr(vars(failure))
    assert "[redacted]" in failure.message
    assert "\x1b" not in failure.message
    assert "\n" not in failure.message
    for hidden in (SECRET, KEY, "<log>"):
        assert hidden not in told
    assert failure.__cause__ is None
    assert failure.__context__ is None


def test_own_key_is_hidden_even_from_a_blind_redaction(server: MessagesServer) -> None:
    """A service that echoes our own key is not repeated, whatever the key looks like."""
    desk = Desk(server.url, key=SECRET)
    desk.asker._failures._redact = lambda text: text
    server.script(Misbehaviour.ECHO)
    failure = desk.failure()
    desk.asker.close()
    assert SECRET not in failure.message
    assert "[key]" in failure.message


STRAY = {
    "ANTHROPIC_API_KEY": "sk-ant-stray",
    "ANTHROPIC_AUTH_TOKEN": "stray-token",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
    "ANTHROPIC_CUSTOM_HEADERS": (
        "x-stray: 1\nauthorization: stray\nanthropic-version: 1999-01-01\nhost: stray\ncontent-length: 3"
    ),
    "ANTHROPIC_OPEN_TELEMETRY": "true",
    "ANTHROPIC_PROFILE": "stray",
    "ANTHROPIC_LOG": "debug",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
}


def test_stray_variables_change_nothing(
    server: MessagesServer, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No variable redirects the transcript, changes a header or makes the SDK log the prompt."""
    from anthropic._utils import _logs  # noqa: PLC0415 - seconds, which only these tests need

    desk.asker.ask(REQUEST)
    desk.asker.close()
    for name, value in STRAY.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)
    _logs.setup_logging()  # what importing does
    desk.asker.ask(REQUEST)
    plain, stray = server.calls()
    assert stray.headers == plain.headers
    assert stray.headers["authorization"] == f"Bearer {KEY}"
    assert stray.headers["host"] == server.url.removeprefix("http://")
    assert stray.headers["anthropic-version"] == API_VERSION
    assert "<log>" not in caplog.text


def test_only_known_headers_leave(server: MessagesServer, desk: Desk) -> None:
    """Nothing about this machine is told: no telemetry of the SDK."""
    desk.asker.ask(REQUEST)
    assert set(server.calls()[0].headers) <= {
        *("host", "accept", "content-type", "content-length"),
        *("accept-encoding", "anthropic-version", "user-agent", "authorization"),
    }


def test_without_a_key_none_is_sent(server: MessagesServer) -> None:
    """A local service without a key gets no header for one, not even a made-up one."""
    desk = Desk(server.url, key="")
    desk.asker.ask(REQUEST)
    desk.asker.close()
    assert not {"authorization", "x-api-key"} & set(server.calls()[0].headers)


def test_version_is_the_one_the_sdk_speaks() -> None:
    """The version we say is the installed SDK's."""
    from anthropic import _constants  # noqa: PLC0415 - seconds, which only these tests need

    assert API_VERSION == _constants.ANTHROPIC_API_VERSION


def test_tokens_are_counted_by_the_service(server: MessagesServer, desk: Desk) -> None:
    """Counting sends the same prompt, without a length for the answer."""
    assert desk.asker.count_tokens(REQUEST) > 10
    sent = server.calls("/v1/messages/count_tokens")[0].json()
    assert sent["system"][0]["text"] == REQUEST.system
    assert "max_tokens" not in sent


def test_batch_gives_each_request_its_own_end(server: MessagesServer, desk: Desk) -> None:
    """A batch is under way until it has ended; then each request has an answer or its own reason, in any order."""
    keys = ["a1", "b2", "c3", "d4", "e5", "f6"]
    batch_id = desk.asker.submit([Request(key, REQUEST.model, "s", f"u {key}", 100) for key in keys])
    assert desk.asker.collect(batch_id) is None
    batch = server.batches[batch_id]
    batch.results = {
        "b2": "errored",
        "c3": "invalid",
        "d4": "expired",
        "e5": "canceled",
        "f6": "succeeded without content",
    }
    server.end_batches()
    items = {item.key: item for item in desk.asker.collect(batch_id) or []}
    assert sorted(items) == keys
    answer = items["a1"].answer
    assert answer is not None
    assert answer.usage == Usage(100, 20)
    kinds = {key: type(items[key].failure) for key in keys[1:]}
    assert kinds == {"b2": TryLater, "c3": TooLarge, "d4": TryLater, "e5": TryLater, "f6": TryLater}
    assert [request["custom_id"] for request in batch.requests] == keys
    assert batch.requests[0]["params"]["messages"] == [{"role": "user", "content": "u a1"}]


def test_results_are_fetched_from_the_same_host_only(server: MessagesServer, desk: Desk) -> None:
    """A service that names another host for its results gets no second visit with our key there."""
    with MessagesServer() as other:
        batch_id = desk.asker.submit([REQUEST])
        server.end_batches()
        server.results_host = other.url
        with pytest.raises(Blocked, match="another address"):
            desk.asker.collect(batch_id)
        assert other.requests == []


def test_batches_are_listed_back_to_a_time(server: MessagesServer, desk: Desk) -> None:
    """The listing goes on over its pages, newest first, until the batches are older than asked for."""
    for number in range(250):
        batch = server.take_batch([{"custom_id": "x"}] * (number + 1))
        batch.created_at = datetime.fromtimestamp(1_795_000_000 + number, UTC)
    seen = desk.asker.recent(1_795_000_100)
    assert [batch.size for batch in seen] == list(range(250, 100, -1))
    assert (seen[0].id, seen[0].created_at) == ("msgbatch_250", 1_795_000_249)
    assert len(server.calls("/v1/messages/batches")) == 2


def test_unknown_batch_is_told(desk: Desk) -> None:
    """A batch that the service does not know ends in Blocked, not in waiting for ever."""
    with pytest.raises(Blocked, match="404"):
        desk.asker.collect("msgbatch_99")


def test_one_connection_serves_many_calls_and_is_closed(server: MessagesServer, desk: Desk) -> None:
    """Closing leaves no socket behind, and the asker opens again when asked again."""
    for _ in range(3):
        desk.asker.ask(REQUEST)
    desk.asker.close()
    gc.collect()
    assert json.loads(server.calls()[-1].body)["model"] == REQUEST.model
    assert desk.asker.ask(REQUEST).text

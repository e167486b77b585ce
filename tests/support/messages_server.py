"""A loopback service that speaks the Messages and Message Batches API, as well or as badly as a test scripts it.

    with MessagesServer() as server:
        server.script(Reply('{"operations": []}'), Misbehaviour.LIMITED)
        ... server.url ... server.requests

Each call of `POST /v1/messages` takes the next step of the script; when there is none left, `server.otherwise`, which
may be a function of the request.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

SECRET = "sk-ant-api03-" + "Zq7" * 20  # what an error body echoes
_DRIP_SECONDS = 0.1
_HUGE_CHUNKS = 200


class Misbehaviour(Enum):
    """What a service can do instead of answering."""

    LIMITED = "429 with retry-after 3600"
    HURRIED = "429 with retry-after 1"
    UNAUTHORISED = "401"
    FORBIDDEN = "403"
    UNKNOWN = "404"
    BAD = "400"
    LARGE = "413"
    BROKEN = "500"
    OVERLOADED = "529"
    HALF_JSON = "200 with broken JSON"
    HTML = "200 with HTML, a captive portal"
    OTHER_JSON = "200 with some other JSON object"
    NO_CONTENT = "200 with a message whose content is null"
    DRIP = "a body that drips, one byte each 100 ms"
    HUGE = "a body of 200 MB"
    DROP = "the connection is dropped"
    SHORT = "a body shorter than announced"
    REDIRECT = "307 to another host"
    ECHO = "400 whose message echoes a secret"
    EMPTY = "a message with empty text"
    NOT_UTF8 = "200 with invalid UTF-8"
    SILENCE = "nothing at all, for ever"
    POOR = "400: no credit left"
    BOMB = "compressed zeros that nobody asked for"
    DEEP = "200 with 100,000 brackets"


@dataclass(frozen=True)
class Reply:
    """A well-formed message."""

    text: str = '{"operations": []}'
    stop_reason: str = "end_turn"
    input_tokens: int = 100
    output_tokens: int = 20
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    latency_seconds: float = 0.0
    thinking: str = ""  # a block before the text

    def body(self, model: str) -> dict[str, Any]:
        """The message as the API sends it."""
        blocks: list[dict[str, Any]] = []
        if self.thinking:
            # `text` is not in the API; a reader that takes it from any block would take this.
            blocks.append({"type": "thinking", "thinking": self.thinking, "signature": "c2ln", "text": "hm"})
        if self.text or self.stop_reason != "refusal":
            blocks.append({"type": "text", "text": self.text})
        return {
            "id": "msg_01",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": blocks,
            "stop_reason": self.stop_reason,
            "stop_sequence": None,
            "usage": {
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "cache_creation_input_tokens": self.cache_creation_input_tokens,
                "cache_read_input_tokens": self.cache_read_input_tokens,
            },
        }


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body, decoded."""
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


@dataclass(frozen=True)
class Refusal:
    """An error whose message is the test's, followed by the whole request as it came."""

    status: int
    message: str

    def body(self, asked: Asked) -> dict[str, Any]:
        """The error as the API sends it."""
        return _error("invalid_request_error", f"{self.message} {asked.headers} {asked.body.decode()}")


Step = Reply | Refusal | Misbehaviour


@dataclass
class Batch:
    """A batch that was handed in; `results` overrides what a request comes to ("errored", "expired", "canceled")."""

    identity: str
    requests: list[dict[str, Any]]
    ended: bool = False
    results: dict[str, str | Step] = field(default_factory=dict)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))


class MessagesServer:
    """The service; its state may be read and changed at any time."""

    def __init__(self) -> None:
        self.otherwise: Step | Callable[[Asked], Step] = Reply()
        self.requests: list[Asked] = []
        self.batches: dict[str, Batch] = {}
        self.results_host = ""  # another host in results_url
        self.submission: Misbehaviour | None = None  # what handing over a batch comes to, and whether it is made
        self.takes_before_breaking = False
        self.closing = threading.Event()
        self._steps: list[Step] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.service = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def script(self, *steps: Step) -> None:
        """What the next calls come to, after those already scripted."""
        with self._lock:
            self._steps += steps

    def next_step(self, asked: Asked) -> Step:
        """What this call comes to."""
        with self._lock:
            step = self._steps.pop(0) if self._steps else self.otherwise
        return step(asked) if callable(step) else step

    def calls(self, path: str = "/v1/messages") -> list[Asked]:
        """The requests to one path, in order."""
        with self._lock:
            return [asked for asked in self.requests if asked.path == path]

    def note(self, asked: Asked) -> None:
        """Keep a request."""
        with self._lock:
            self.requests.append(asked)

    def take_batch(self, requests: list[dict[str, Any]]) -> Batch:
        """A new batch."""
        with self._lock:
            batch = Batch(f"msgbatch_{len(self.batches) + 1:02}", requests)
            self.batches[batch.identity] = batch
        return batch

    def end_batches(self) -> None:
        """Every batch is done."""
        for batch in self.batches.values():
            batch.ended = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    service: MessagesServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 30
    disable_nagle_algorithm = True  # else each body waits 40 ms for the acknowledgement of its head

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Say nothing."""

    def handle(self) -> None:
        # The client may hang up at any point: that is what many tests are about.
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def do_POST(self) -> None:
        asked = self._note()
        if asked.path == "/v1/messages":
            self._take(self.server.service.next_step(asked), asked)
        elif asked.path == "/v1/messages/count_tokens":
            self._send(200, {"input_tokens": len(asked.body) // 4})
        elif asked.path == "/v1/messages/batches":
            self._take_batch(asked)
        else:
            self._send(404, _error("not_found_error", "no such path"))

    def do_GET(self) -> None:
        asked = self._note()
        if asked.path == "/v1/messages/batches":
            self._list(parse_qs(self.path.partition("?")[2]))
            return
        parts = asked.path.removeprefix("/v1/messages/batches/").split("/")
        batch = self.server.service.batches.get(parts[0])
        if batch is None:
            self._send(404, _error("not_found_error", "no such batch"))
        elif parts[1:] == ["results"]:
            lines = [json.dumps(_result(batch, request)) for request in reversed(batch.requests)]
            self._send_bytes(200, "".join(f"{line}\n" for line in lines).encode(), "application/binary")
        else:
            self._send(200, self._batch_body(batch))

    def _take_batch(self, asked: Asked) -> None:
        service = self.server.service
        if service.submission is None or service.takes_before_breaking:
            batch = service.take_batch(asked.json()["requests"])
        if service.submission is None:
            self._send(200, self._batch_body(batch))
        else:
            self._take(service.submission, asked)

    def _list(self, query: dict[str, list[str]]) -> None:
        """A page of the batches, newest first."""
        batches = list(reversed(self.server.service.batches.values()))
        names = [batch.identity for batch in batches]
        start = names.index(query["after_id"][0]) + 1 if "after_id" in query else 0
        end = start + int(query.get("limit", ["20"])[0])
        page = [self._batch_body(batch) for batch in batches[start:end]]
        ends = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
        self._send(200, {"data": page, "has_more": end < len(batches), **ends})

    def _note(self) -> Asked:
        size = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path.partition("?")[0], headers, self.rfile.read(size))
        self.server.service.note(asked)
        return asked

    def _batch_body(self, batch: Batch) -> dict[str, Any]:
        host = self.server.service.results_host or self.server.service.url
        return {
            "id": batch.identity,
            "type": "message_batch",
            "processing_status": "ended" if batch.ended else "in_progress",
            "request_counts": {
                "processing": 0 if batch.ended else len(batch.requests),
                "succeeded": len(batch.requests) if batch.ended else 0,
                **dict.fromkeys(("errored", "canceled", "expired"), 0),
            },
            "created_at": batch.created_at.isoformat(),
            "expires_at": (batch.created_at + timedelta(days=1)).isoformat(),
            "ended_at": batch.created_at.isoformat() if batch.ended else None,
            "results_url": f"{host}/v1/messages/batches/{batch.identity}/results" if batch.ended else None,
        }

    def _take(self, step: Step, asked: Asked) -> None:
        if isinstance(step, Reply):
            self.server.service.closing.wait(step.latency_seconds)
            self._send(200, step.body(asked.json()["model"]))
        elif isinstance(step, Refusal):
            self._send(step.status, step.body(asked))
        elif step in _STATUSES:
            status, kind, message, headers = _STATUSES[step]
            self._send(status, _error(kind, message), headers)
        elif step in _BODIES:
            body, content_type, headers = _BODIES[step]
            self._send_bytes(200, body, content_type, headers)
        else:
            self._hang_up(step)

    def _hang_up(self, step: Misbehaviour) -> None:
        """What ends with a closed connection."""
        self.close_connection = True
        whole = json.dumps(Reply().body("m")).encode()
        if step is Misbehaviour.SILENCE:
            self.server.service.closing.wait()
        elif step is Misbehaviour.DROP:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        elif step is Misbehaviour.SHORT:
            self._start(200, 5000, "application/json", {})
            self.wfile.write(whole)
        elif step is Misbehaviour.DRIP:
            self._start(200, len(whole), "application/json", {})
            for byte in whole:
                self.wfile.write(bytes([byte]))
                if self.server.service.closing.wait(_DRIP_SECONDS):
                    return
        elif step is Misbehaviour.HUGE:
            self._start(200, _HUGE_CHUNKS * 1_000_000, "application/json", {})
            for _ in range(_HUGE_CHUNKS):
                self.wfile.write(b"x" * 1_000_000)

    def _send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._send_bytes(status, json.dumps(body).encode(), "application/json", headers)

    def _send_bytes(self, status: int, body: bytes, content_type: str, headers: dict[str, str] | None = None) -> None:
        self._start(status, len(body), content_type, headers or {})
        self.wfile.write(body)

    def _start(self, status: int, length: int, content_type: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-type": content_type, "content-length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def _result(batch: Batch, request: dict[str, Any]) -> dict[str, Any]:
    key = request["custom_id"]
    outcome = batch.results.get(key, Reply())
    if isinstance(outcome, Reply):
        result: dict[str, Any] = {"type": "succeeded", "message": outcome.body(request["params"]["model"])}
    elif outcome == "succeeded without content":
        result = {"type": "succeeded", "message": {"id": "msg_02"}}
    elif outcome == "errored":
        result = {"type": "errored", "error": _error("api_error", "something broke")}
    elif outcome == "invalid":
        result = {"type": "errored", "error": _error("invalid_request_error", "prompt is too long")}
    else:
        result = {"type": outcome}
    return {"custom_id": key, "result": result}


_Status = tuple[int, str, str, dict[str, str]]
_STATUSES: dict[Misbehaviour, _Status] = {
    Misbehaviour.LIMITED: (429, "rate_limit_error", "slow down", {"retry-after": "3600"}),
    Misbehaviour.HURRIED: (429, "rate_limit_error", "slow down", {"retry-after": "1"}),
    Misbehaviour.UNAUTHORISED: (401, "authentication_error", "invalid key", {}),
    Misbehaviour.FORBIDDEN: (403, "permission_error", "not for you", {}),
    Misbehaviour.UNKNOWN: (404, "not_found_error", "model: no-such-model", {}),
    Misbehaviour.BAD: (400, "invalid_request_error", "messages: at least one is required", {}),
    Misbehaviour.POOR: (400, "invalid_request_error", "Your credit balance is too low", {}),
    Misbehaviour.LARGE: (413, "request_too_large", "request exceeds the maximum size", {}),
    Misbehaviour.BROKEN: (500, "api_error", "internal error", {}),
    Misbehaviour.OVERLOADED: (529, "overloaded_error", "overloaded", {}),
    Misbehaviour.REDIRECT: (307, "redirect", "elsewhere", {"location": "http://127.0.0.1:9/elsewhere"}),
    Misbehaviour.ECHO: (400, "invalid_request_error", f"bad value\n\x1b[31m {SECRET} in messages.0", {}),
}
_BODIES: dict[Misbehaviour, tuple[bytes, str, dict[str, str]]] = {
    Misbehaviour.HALF_JSON: (b'{"id": "msg_01", "content": [', "application/json", {}),
    Misbehaviour.HTML: (b"<html><body>Log in to the hotel network</body></html>", "text/html", {}),
    Misbehaviour.OTHER_JSON: (b'{"hello": "world"}', "application/json", {}),
    Misbehaviour.NO_CONTENT: (
        json.dumps({**Reply().body("m"), "content": None}).encode(),
        "application/json",
        {},
    ),
    Misbehaviour.EMPTY: (json.dumps(Reply(text=" \n").body("m")).encode(), "application/json", {}),
    Misbehaviour.NOT_UTF8: (
        json.dumps(Reply(text="??").body("m")).encode().replace(b"??", b"\xff\xfe"),
        "application/json",
        {},
    ),
    Misbehaviour.BOMB: (b"\x1f\x8b" + b"\x00" * 64, "application/json", {"content-encoding": "gzip"}),
    Misbehaviour.DEEP: (b"[" * 100_000, "application/json", {}),
}

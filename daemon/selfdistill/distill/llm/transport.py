"""The wire under the SDK: one address, no redirects or proxies, a size cap, a deadline for a whole call, a quick stop.

The SDK's own timeouts are per read: a body that drips one byte each 100 ms held a call with `timeout=1.0` for 21 s, and
a 200 MB body is read whole (reliability.md 2.2). So each read waits in short slices and looks at the limits between.
This module imports httpx2 (part of the 3 s that the SDK takes), so only `client.py` imports it, and lazily.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, Final

import httpcore2
import httpx2

from selfdistill.distill.llm.asking import Abort

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator
    from threading import Event

SLICE_SECONDS: Final = 0.25
CONNECT_SECONDS: Final = 2.0  # for TCP and again for TLS; one lost SYN is repeated after 1 s
WRITE_SECONDS: Final = 4.0  # for one piece
_PIECE_BYTES: Final = 16 * 1024

BROKEN: Final = (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError)
"""What the wire raises outside of the calls that the SDK wraps: while a streamed body is read."""


class Patrol:
    """The limits of the call that is under way, looked at between slices."""

    def __init__(self, stop: Event) -> None:
        self._stop = stop
        self._until = 0.0
        self.limit_bytes = 0
        self.sent = False
        """Whether any byte of the request has left, so that the call may be billed."""

    def start(self, deadline_seconds: float, limit_bytes: int) -> None:
        """A new call begins: it may last so long and answer with so many bytes."""
        self._until = time.monotonic() + deadline_seconds
        self.limit_bytes = limit_bytes
        self.sent = False

    def check(self) -> None:
        """Raise Abort if the call must end now."""
        if self._stop.is_set():
            raise Abort("stopped")
        if time.monotonic() > self._until:
            raise Abort("deadline")


class Wire(httpx2.BaseTransport):
    """One HTTP connection to one origin, watched by a patrol."""

    def __init__(self, origin: httpx2.URL, headers: dict[str, str], patrol: Patrol) -> None:
        self._origin = _origin(origin)
        self._headers = headers
        self._patrol = patrol
        # trust_env=False: SSL_CERT_FILE and friends must not add an authority that may read transcripts.
        # A local service without TLS does not wait for the authorities to be read (80 ms).
        self._pool = httpcore2.ConnectionPool(
            ssl_context=httpx2.create_ssl_context(trust_env=False) if origin.scheme == "https" else None,
            max_connections=1,
            network_backend=_Backend(patrol),
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send the request; raises Abort, or httpcore2's errors, which the SDK wraps."""
        if _origin(request.url) != self._origin:
            # A batch's results_url is the server's choice; the key goes to no other host.
            raise Abort("address", str(request.url.host))
        content = request.read()
        response = self._pool.handle_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=self._own_headers(request.url, content),
                content=content,
                extensions=request.extensions,
            )
        )
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_Capped(response, self._patrol),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()

    def _own_headers(self, url: httpx2.URL, content: bytes) -> list[tuple[str, str]]:
        """All that is sent; none of the SDK's: it puts ANTHROPIC_CUSTOM_HEADERS there (even `host`), and telemetry."""
        headers = {"host": url.netloc.decode("ascii"), "accept": "*/*", **self._headers}
        if content:
            headers |= {"content-type": "application/json", "content-length": str(len(content))}
        return list(headers.items())


class _Capped(httpx2.SyncByteStream):
    """A body of bounded length, as it came over the wire."""

    def __init__(self, response: httpcore2.Response, patrol: Patrol) -> None:
        self._response = response
        self._patrol = patrol
        encodings = [value for name, value in response.headers if name.lower() == b"content-encoding"]
        # We ask for none; an inflated body would pass the cap, for 200 MB of zeros are 200 kB on the wire.
        self._encoded = any(value.strip().lower() not in {b"", b"identity"} for value in encodings)

    def __iter__(self) -> Iterator[bytes]:
        if self._encoded:
            raise Abort("encoding")
        size = 0
        for chunk in self._response.iter_stream():
            size += len(chunk)
            if size > self._patrol.limit_bytes:
                raise Abort("size")
            yield chunk

    def close(self) -> None:
        self._response.close()


class _Backend(httpcore2.SyncBackend):
    """Makes watched connections."""

    def __init__(self, patrol: Patrol) -> None:
        self._patrol = patrol

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        # One address at a time, for `create_connection` would wait for each of them without a look at the stop event.
        failure: Exception | None = None
        for address in _addresses(host, port):
            self._patrol.check()
            try:
                stream = super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return _Stream(stream, self._patrol)
        raise failure or httpcore2.ConnectError(f"{host} has no address")


class _Stream(httpcore2.NetworkStream):
    """A connection whose reads and writes never last longer than a slice without a look at the limits."""

    def __init__(self, stream: httpcore2.NetworkStream, patrol: Patrol) -> None:
        self._stream = stream
        self._patrol = patrol

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        del timeout  # the deadline of the whole call decides
        while True:
            self._patrol.check()
            try:
                return self._stream.read(max_bytes, SLICE_SECONDS)
            except httpcore2.ReadTimeout:
                continue

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE_BYTES):
            self._patrol.check()
            self._patrol.sent = True
            self._stream.write(buffer[start : start + _PIECE_BYTES], timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._patrol)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - as in httpcore2
        return self._stream.get_extra_info(info)


def _addresses(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(str(error)) from error
    return [str(address[0]) for *_, address in found]


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port

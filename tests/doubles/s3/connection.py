"""HTTP/1.1 over one connection: requests in, answers out, kept alive.

Written on asyncio's transports, because the server's own time per request has to be small against the latencies it
simulates.
"""

import asyncio
import select
import selectors
from collections.abc import Callable, Mapping
from http.client import responses as reason_phrases
from typing import cast

from tests.doubles.s3.messages import Request, Response, parse_target

MAX_HEAD_BYTES = 64 * 1024
_BODILESS = frozenset({204, 304})

OnRequest = Callable[["Connection", Request], None]


class Connection(asyncio.Protocol):
    """One client's connection; requests are answered one after the other.

    Args:
        on_request: Called with each whole request; it ends in ``respond``, ``drop`` or ``cut``.
        opened: The connections that are open, kept up to date here.
        ready: Called when requests can come: with TLS, after the handshake.
    """

    def __init__(
        self, on_request: OnRequest, opened: set["Connection"], ready: Callable[[], None] | None = None
    ) -> None:
        self._on_request = on_request
        self._ready = ready
        self._opened = opened
        self._buffer = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._is_busy = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; asyncio has set TCP_NODELAY on it."""
        self._transport = cast("asyncio.Transport", transport)
        self._opened.add(self)
        if self._ready is not None:
            self._ready()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport. A request under way still takes effect, as it does at S3."""
        self._transport = None
        self._opened.discard(self)

    def data_received(self, data: bytes) -> None:
        """Collect bytes until a request is whole."""
        self._buffer += data
        self._advance()

    def respond(self, response: Response, *, date: str, is_head: bool = False) -> None:
        """Send an answer and turn to the next request."""
        if self._transport is not None:
            self._transport.write(_serialise(response, date, is_head=is_head))
        self._is_busy = False
        self._advance()

    def cut(self, response: Response, *, date: str) -> None:
        """Send the answer up to the middle of its body, then close."""
        if self._transport is not None:
            whole = _serialise(response, date, is_head=False)
            self._transport.write(whole[: len(whole) - (len(response.body) + 1) // 2])
            self._transport.close()

    def drop(self) -> None:
        """Close without an answer."""
        if self._transport is not None:
            self._transport.abort()

    def _advance(self) -> None:
        while not self._is_busy and self._transport is not None:
            if self._head is None and not self._read_head():
                return
            method, target, headers = cast("tuple[str, str, dict[str, str]]", self._head)
            if "chunked" in headers.get("transfer-encoding", ""):  # as botocore writes objects over TLS
                found = _unchunked(self._buffer)
                if found is None:
                    return
                body, length = found
            else:
                length = int(headers.get("content-length", 0))
                if len(self._buffer) < length:
                    return
                body = bytes(self._buffer[:length])
            del self._buffer[:length]
            self._head = None
            self._is_busy = True
            self._on_request(self, parse_target(method, target, headers, body))

    def _read_head(self) -> bool:
        """Parse a head if it is there, and bid the client send its body if it asks to be."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                self.drop()
            return False
        lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        parts = lines[0].split(" ")
        if len(parts) != 3 or not headers.get("content-length", "0").isdigit():
            self.drop()
            return False
        self._head = (parts[0], parts[1], headers)
        # botocore announces every PUT with Expect and waits up to a second for this line.
        if headers.get("expect", "").lower() == "100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True


def _unchunked(buffer: bytearray) -> tuple[bytes, int] | None:
    """The body of chunks (RFC 9112, 7.1) at the buffer's beginning, and what they take up; ``None`` if one is missing.

    botocore sends neither extensions nor trailers here: its trailers are within the body, in aws-chunked.
    """
    body, position = bytearray(), 0
    while (end := buffer.find(b"\r\n", position)) >= 0:
        size = int(buffer[position:end], 16)
        start, position = end + 2, end + 2 + size + 2
        if len(buffer) < position:
            return None
        if size == 0:
            return bytes(body), position
        body += buffer[start : start + size]
    return None


def _serialise(response: Response, date: str, *, is_head: bool) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {reason_phrases.get(response.status, '')}", f"date: {date}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if response.status not in _BODILESS:
        lines.append(f"content-length: {len(response.body)}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return head if is_head or response.status in _BODILESS else head + response.body


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make a loop whose timers are as fine as the system's.

    epoll counts in milliseconds and asyncio rounds up: 15 ms would last up to 16. ``select`` counts in microseconds,
    and an epoll descriptor can itself be selected on.
    """
    if not hasattr(selectors, "EpollSelector"):
        return asyncio.new_event_loop()
    return asyncio.SelectorEventLoop(_FineEpollSelector())


if hasattr(selectors, "EpollSelector"):

    class _FineEpollSelector(selectors.EpollSelector):
        def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is not None and timeout > 0:
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
            return super().select(timeout)


def header_condition(headers: Mapping[str, str]) -> str:
    """Name the ETag condition a request carries, for the log."""
    return "If-Match" if "if-match" in headers else "If-None-Match" if "if-none-match" in headers else ""

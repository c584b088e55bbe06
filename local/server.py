"""A small HTTP server in front of the Lambda handler, doing what a Function URL does.

One thread answers one connection. It listens on this machine only: whoever can reach it is the owner of everything.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from lambda_src.doors.problems import MEDIA_TYPE, TYPE_PREFIX
from local.function_url import MAX_PAYLOAD_BYTES, Request, Response, event_from, payload_size, response_from
from local.invocation import TIMEOUT_SECONDS, InFlight, LambdaContext

if TYPE_CHECKING:
    from local.invocation import Handler

HOST = "127.0.0.1"

# A connection without a word for so long is closed, so that idle clients do not keep threads for ever.
IDLE_SECONDS = 60

_LOCAL_NAMES = {HOST, "localhost", "::1"}

# How much of a body that is refused is read and forgotten, so that the client gets to read why.
_SWALLOWED_BYTES = 64 * 1024 * 1024


class LocalServer(ThreadingHTTPServer):
    """Listens from the moment it is made; ``serve`` answers.

    Args:
        port: where on this machine; 0 chooses a free port.

    Raises:
        OSError: when the port cannot be had.
    """

    # Idle connections must not keep the process alive; turns in flight are waited for in ``stop``.
    daemon_threads = True
    # The default of 5 makes a burst of connections wait for a second.
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__((HOST, port), _Connection)
        self.handler: Handler = _not_ready
        self.in_flight = InFlight()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.server_address[1]}"

    def serve(self, handler: Handler) -> None:
        """Answer requests in the background, each with the handler, until ``stop``."""
        self.handler = handler
        threading.Thread(target=self.serve_forever, args=(0.1,), name="accept", daemon=True).start()

    def stop(self) -> int:
        """Take no more requests; return how many are still being answered."""
        self.shutdown()
        self.server_close()
        return self.in_flight.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about clients that went away; everything else is a mistake of ours and is shown."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def _not_ready(_event: dict[str, Any], _context: LambdaContext) -> Any:
    raise RuntimeError("no handler is being served")


class _Connection(BaseHTTPRequestHandler):
    """One client's connection."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True

    @property
    def local(self) -> LocalServer:
        return cast("LocalServer", self.server)

    def handle_expect_100(self) -> bool:
        """Ask for the body only when it is going to be read."""
        refusal = self._refused_by_headers()
        if refusal is not None:
            self.close_connection = True
            self._send(refusal)
            return False
        return super().handle_expect_100()

    def _answer(self) -> None:
        refusal = self._refused_by_headers()
        if refusal is not None:
            self._swallow_body()
            self.close_connection = True
            self._send(refusal)
            return
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if not self.local.in_flight.enter():
            self.close_connection = True
            self._send(_problem(503, "shutting-down", "Shutting down", "The server is ending. Start it again."))
            return
        try:
            self._send(self._invoke(body))
        finally:
            self.local.in_flight.leave()

    # Like a Function URL, every method goes to the function.
    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = _answer  # noqa: N815 - http.server's names

    def _invoke(self, body: bytes) -> Response:
        context = LambdaContext(deadline=time.monotonic() + TIMEOUT_SECONDS)
        headers = [(name, value) for name, value in self.headers.items()]
        request = Request(
            self.command, self.path, headers, body, str(self.client_address[0]), protocol=self.request_version
        )
        event = event_from(request, context.aws_request_id, time.time())
        if payload_size(event) > MAX_PAYLOAD_BYTES:
            return _too_large()
        try:
            response = response_from(self.local.handler(event, context))
        except Exception:  # noqa: BLE001 - Lambda survives whatever a handler raises, and so does this server
            traceback.print_exc()
            response = _problem(
                502, "internal-error", "The function failed", "It raised; the server's output says why."
            )
        if len(response.body) > MAX_PAYLOAD_BYTES:
            response = _problem(502, "internal-error", "The function failed", "Its reply is larger than 6 MB.")
        return Response(
            response.status, [*response.headers, ("x-amzn-requestid", context.aws_request_id)], response.body
        )

    def _refused_by_headers(self) -> Response | None:
        if not _is_local(self.headers.get("host")) or not _is_local(self.headers.get("origin")):
            return _problem(
                403, "not-local", "Not from this machine", "Only this machine's own programs and pages may ask."
            )
        if "transfer-encoding" in self.headers:
            return _problem(411, "length-required", "Length required", "Send the body with a Content-Length.")
        length = self.headers.get("content-length") or "0"
        if not (length.isascii() and length.isdecimal()):
            return _problem(400, "malformed-request", "The request cannot be read", "Content-Length is no number.")
        return _too_large() if int(length) > MAX_PAYLOAD_BYTES else None

    def _swallow_body(self) -> None:
        """Read what the client is still sending: closing before would cut the answer off."""
        length = self.headers.get("content-length") or ""
        left = min(int(length), _SWALLOWED_BYTES) if length.isascii() and length.isdecimal() else 0
        while left > 0 and (piece := self.rfile.read(min(left, 1 << 16))):
            left -= len(piece)

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        bodiless = response.status in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
        if not bodiless:
            self.send_header("content-length", str(len(response.body)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if not bodiless and self.command != "HEAD":
            self.wfile.write(response.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what the HTTP parser refuses, such as an unknown method, as a problem document too."""
        self.close_connection = True
        title = HTTPStatus(code).phrase
        self._send(_problem(code, title.lower().replace(" ", "-"), title, explain or message or title))

    def version_string(self) -> str:
        """Name the server in its answers, without the Python version."""
        return "agent-session-kit-local"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Leave the log to the handler, which has one line for each request."""


def _is_local(host_or_origin: str | None) -> bool:
    """Whether a Host or Origin header, where there is one, names this machine.

    A page from anywhere can make the user's browser ask 127.0.0.1. Its requests carry its own origin, or, where its
    name was made to resolve to this machine, its own host.
    """
    if host_or_origin is None:
        return True
    try:
        return urlsplit(host_or_origin if "//" in host_or_origin else f"//{host_or_origin}").hostname in _LOCAL_NAMES
    except ValueError:
        return False


def _too_large() -> Response:
    return _problem(
        413, "payload-too-large", "Too large", "A request can have 6 MB. Send large files in several turns."
    )


def _problem(status: int, slug: str, title: str, detail: str) -> Response:
    """Return a problem document (RFC 9457) for what never reaches the handler."""
    document = {"type": f"{TYPE_PREFIX}{slug}", "title": title, "status": int(status), "detail": detail}
    return Response(status, [("content-type", MEDIA_TYPE)], json.dumps(document).encode())

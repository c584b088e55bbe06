"""Lambda's side of the runtime interface: hands events to a function's process and takes what comes back.

Source: AWS Lambda developer guide, "Using the Lambda runtime API" (2018-06-01).
"""

import json
import queue
import sys
import threading
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_PREFIX = "/2018-06-01/runtime"


@dataclass(frozen=True)
class Outcome:
    """What became of an invocation.

    Attributes:
        value: The returned JSON, or the error's (``errorType``, ``errorMessage`` ...).
        error: ``None``, or ``error`` or ``init/error``: where the process reported it.
    """

    value: Any
    error: str | None = None


class RuntimeApi:
    """Serves events to the process that asks for them.

    Args:
        event: The first event.
        function_arn: The invoked function's ARN.
        timeout_seconds: The function's timeout, from which its deadline is made.
    """

    def __init__(self, event: Any, function_arn: str, timeout_seconds: float) -> None:
        self._events: queue.Queue[bytes | None] = queue.Queue()
        self._function_arn = function_arn
        self._timeout_seconds = timeout_seconds
        self.offer(event)
        self._outcome: queue.Queue[Outcome] = queue.Queue()
        self._http = _Server(("127.0.0.1", 0), _Connection)
        self._http.daemon_threads = True
        self._http.api = self  # type: ignore[attr-defined]  # how the connections find the event

    @property
    def address(self) -> str:
        """The value of ``AWS_LAMBDA_RUNTIME_API``."""
        return f"127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._events.put(None)
        self._http.shutdown()
        self._http.server_close()

    def offer(self, event: Any) -> None:
        """Have one more event ready for when the process asks."""
        self._events.put(json.dumps(event).encode())

    def outcome(self, seconds: float) -> Outcome | None:
        """What came back, or ``None`` when nothing does in time."""
        try:
            return self._outcome.get(timeout=seconds)
        except queue.Empty:
            return None

    def next_event(self) -> tuple[dict[str, str], bytes] | None:
        """Headers and body of the next event, waited for; ``None`` at the end."""
        body = self._events.get()
        if body is None:
            return None
        deadline = round((time.time() + self._timeout_seconds) * 1000)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
            "Lambda-Runtime-Deadline-Ms": str(deadline),
            "Lambda-Runtime-Invoked-Function-Arn": self._function_arn,
        }
        return headers, body

    def report(self, outcome: Outcome) -> None:
        """Take what the process reports."""
        self._outcome.put(outcome)


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A process that was ended while it waited for the next event is what is meant to happen."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def _api(self) -> RuntimeApi:
        api: RuntimeApi = self.server.api  # type: ignore[attr-defined]
        return api

    def do_GET(self) -> None:
        if self.path != f"{_PREFIX}/invocation/next":
            self._send(404, {}, b"")
            return
        found = self._api.next_event()
        if found is None:
            self.close_connection = True
            return
        headers, body = found
        self._send(200, {**headers, "Content-Type": "application/json"}, body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        value = json.loads(body) if body else None
        if self.path == f"{_PREFIX}/init/error":
            self._api.report(Outcome(value, "init/error"))
        elif self.path.endswith("/error"):
            self._api.report(Outcome(value, "error"))
        else:
            self._api.report(Outcome(value))
        self._send(202, {"Content-Type": "application/json"}, b'{"status":"OK"}')

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing to the transcript."""

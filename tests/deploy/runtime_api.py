"""Lambda's side of the runtime interface: hands events to a function's process and takes what comes back.

It takes whole results and streamed ones, and refuses what Lambda refuses: another invocation's answer, a second answer,
a whole result over 6 MB, a stream without its prelude, trailers that were not announced.

Sources: AWS Lambda developer guide, "Using the Lambda runtime API" (2018-06-01) and "Implementing response streaming in
a custom runtime".
"""

import base64
import json
import queue
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_PREFIX = "/2018-06-01/runtime"
_HTTP_INTEGRATION = "application/vnd.awslambda.http-integration-response"
_END_OF_PRELUDE = b"\0" * 8
_MAX_RESULT_BYTES = 6 * 1024 * 1024


@dataclass(frozen=True)
class Streamed:
    """A response that came in pieces.

    Attributes:
        headers: Of the POST, their names in lower case.
        prelude: ``statusCode``, ``headers``, ``cookies``.
        pieces: When each chunk of the body came, by the monotonic clock, and what it held.
        trailers: Names in lower case.
    """

    headers: dict[str, str]
    prelude: dict[str, Any]
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(piece for _, piece in self.pieces)

    @property
    def failure(self) -> Any:
        """What the trailers say of a failure in the middle, or ``None``."""
        body = self.trailers.get("lambda-runtime-function-error-body")
        return None if body is None else json.loads(base64.b64decode(body))


@dataclass(frozen=True)
class Outcome:
    """What became of an invocation.

    Attributes:
        value: The returned JSON, or the error's (``errorType``, ``errorMessage`` ...). For a streamed HTTP answer the
            same that a function returns for a whole one: ``statusCode``, ``headers``, ``cookies``, ``body``.
        error: ``None``, or ``error`` or ``init/error``: where the process reported it. ``left``: the caller did not
            wait for the end of the stream.
        streamed: How it came, when it was streamed.
    """

    value: Any
    error: str | None = None
    streamed: Streamed | None = None


class RefusedError(Exception):
    """The Runtime API does not take what a process sends."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class RuntimeApi:
    """Serves events to the process that asks for them.

    Args:
        function_arn: The invoked function's ARN.
        timeout_seconds: The function's timeout, from which its deadline is made.

    Attributes:
        arrived: What comes, as it comes: the prelude of a streamed response, the pieces of its body, and at the end
            of any response what became of it.
        next_asked: Set when the process asks for another event after it was handed one: it has nothing left to do.
        leave_after: How many pieces of a body are taken before the connection is closed; ``None`` takes all.
        stall_after: How many pieces of a body are read before nothing more is, although the connection stays open.
        refuse_next: Whether the next answer is refused after it was read, as one that comes too late is.
        refused: What was sent and not taken.
    """

    def __init__(self, function_arn: str, timeout_seconds: float) -> None:
        self.arrived: queue.Queue[dict[str, Any] | bytes | Outcome] = queue.Queue()
        self.next_asked = threading.Event()
        self.leave_after: int | None = None
        self.stall_after: int | None = None
        self.ended = threading.Event()
        self.refuse_next = False
        self.refused: list[str] = []
        self._handed_out = False
        self._asked_for: dict[str, str] = {}  # an attempt's id by the request's, until it is answered
        self._events: queue.Queue[bytes | None] = queue.Queue()
        self._function_arn = function_arn
        self._timeout_seconds = timeout_seconds
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
        self.ended.set()
        self._http.shutdown()
        self._http.server_close()

    def offer(self, event: Any) -> None:
        """Have an event ready for when the process asks."""
        self._events.put(json.dumps(event).encode())

    def outcome(self, seconds: float) -> Outcome | None:
        """What came back, or ``None`` when nothing does in time."""
        try:
            return self._outcome.get(timeout=seconds)
        except queue.Empty:
            return None

    def next_event(self) -> tuple[dict[str, str], bytes] | None:
        """Headers and body of the next event, waited for; ``None`` at the end."""
        if self._handed_out:
            self.next_asked.set()
        body = self._events.get()
        if body is None:
            return None
        deadline = round((time.time() + self._timeout_seconds) * 1000)
        request_id, attempt_id = str(uuid.uuid4()), str(uuid.uuid4())
        self._asked_for[request_id] = attempt_id
        self._handed_out = True
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Invocation-Id": attempt_id,
            "Lambda-Runtime-Deadline-Ms": str(deadline),
            "Lambda-Runtime-Invoked-Function-Arn": self._function_arn,
        }
        return headers, body

    def admit(self, request_id: str, attempt_id: str | None) -> None:
        """Let an invocation be answered, once.

        Raises:
            RefusedError: It was answered before, or never asked for.
        """
        expected = self._asked_for.pop(request_id, None)
        if expected is None:
            raise RefusedError(403, f"{request_id} does not wait for an answer")
        if attempt_id not in {None, expected}:
            raise RefusedError(403, f"{attempt_id} is another attempt")

    def check_in_time(self) -> None:
        """Let an answer pass that was read.

        Raises:
            RefusedError: It comes too late.
        """
        late, self.refuse_next = self.refuse_next, False
        if late:
            raise RefusedError(403, "an answer that comes too late")

    def report(self, outcome: Outcome) -> None:
        """Take what the process reports."""
        self.arrived.put(outcome)
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
        try:
            outcome = self._taken()
            self._api.check_in_time()
        except RefusedError as refusal:
            self._api.refused.append(str(refusal))
            self.close_connection = True
            self._send(refusal.status, {"Content-Type": "application/json"}, b'{"errorMessage":"refused"}')
            return
        self._api.report(outcome)
        if outcome.error == "left":
            self.close_connection = True
            return
        self._send(202, {"Content-Type": "application/json"}, b'{"status":"OK"}')

    def _taken(self) -> Outcome:
        if self.path == f"{_PREFIX}/init/error":
            return Outcome(self._json(), "init/error")
        request_id, _, kind = self.path.removeprefix(f"{_PREFIX}/invocation/").partition("/")
        self._api.admit(request_id, self.headers.get("Lambda-Runtime-Invocation-Id"))
        if kind == "error":
            return Outcome(self._json(), "error")
        if self.headers.get("Lambda-Runtime-Function-Response-Mode", "").lower() == "streaming":
            return self._streamed()
        return Outcome(self._json())

    def _json(self) -> Any:
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(size)
        if size > _MAX_RESULT_BYTES:
            raise RefusedError(413, f"a result of {size} bytes")
        return json.loads(body) if body else None

    def _streamed(self) -> Outcome:
        headers = {name.lower(): value for name, value in self.headers.items()}
        if headers.get("transfer-encoding") != "chunked" or headers.get("content-type") != _HTTP_INTEGRATION:
            raise RefusedError(400, f"a stream of another form: {headers}")
        chunks = self._chunks()
        head = b""
        while _END_OF_PRELUDE not in head:
            chunk = next(chunks, None)
            if chunk is None:
                raise RefusedError(400, f"a stream without its prelude: {head!r}")
            head += chunk
        prelude, _, first = head.partition(_END_OF_PRELUDE)
        streamed = Streamed(headers, json.loads(prelude))
        self._api.arrived.put(streamed.prelude)
        for piece in [first] if first else []:
            self._arrive(streamed, piece)
        while self._api.leave_after is None or len(streamed.pieces) < self._api.leave_after:
            chunk = next(chunks, None)
            if chunk is None:
                streamed.trailers.update(self._trailers(headers.get("trailer", "")))
                return Outcome({**streamed.prelude, **_body_of(streamed)}, streamed=streamed)
            self._arrive(streamed, chunk)
            if len(streamed.pieces) == self._api.stall_after:
                self._api.ended.wait()
                break
        return Outcome(streamed.prelude, "left", streamed)

    def _arrive(self, streamed: Streamed, piece: bytes) -> None:
        streamed.pieces.append((time.monotonic(), piece))
        self._api.arrived.put(piece)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            if self.rfile.readline() != b"\r\n":
                raise RefusedError(400, "a chunk of another length than it says")

    def _trailers(self, announced: str) -> dict[str, str]:
        names = {name.strip().lower() for name in announced.split(",")}
        trailers = {}
        while line := self.rfile.readline().strip():
            name, _, value = line.decode("ascii").partition(":")
            if name.lower() not in names:
                raise RefusedError(400, f"a trailer that was not announced: {name}")
            trailers[name.lower()] = value.strip()
        return trailers

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing to the transcript."""


def _body_of(streamed: Streamed) -> dict[str, Any]:
    try:
        return {"body": streamed.body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(streamed.body).decode(), "isBase64Encoded": True}

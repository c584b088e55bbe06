"""A Function URL in ``RESPONSE_STREAM`` mode, in front of a deployed function: HTTP in, a process for each request.

It is also the part of the Lambda API that a function needs to invoke itself: ``Invoke`` with the type ``Event``.

Sources: AWS Lambda developer guide, "Invoking Lambda function URLs", "Response streaming"; API reference, "Invoke".
"""

import dataclasses
import json
import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from local.function_url import Request, event_from
from tests.deploy.lambda_process import DeployedFunction
from tests.deploy.runtime_api import Outcome, RuntimeApi
from tests.endpoint.function import ALICE

_INVOKE = re.compile(r"/2015-03-31/functions/(?P<function>[^/]+)/invocations(\?Qualifier=(?P<alias>[^&]+))?")
_START_SECONDS = 30


class FunctionUrl:
    """Serves a function until the context ends, and waits for its last invocation then.

    Args:
        function: What is invoked.
        signed: Whether its URL asks for signatures, as of type ``AWS_IAM``; else it is open, as of type ``NONE``.

    Attributes:
        events: What was invoked asynchronously: the function's name with its alias, and the event.
    """

    def __init__(self, function: DeployedFunction, *, signed: bool = True) -> None:
        self.signed = signed
        self.events: list[tuple[str, Any]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Connection)
        self._http.daemon_threads = True
        self._http.front = self  # type: ignore[attr-defined]  # how the connections find the function
        self._function = dataclasses.replace(
            function, environment={**function.environment, "AWS_ENDPOINT_URL_LAMBDA": self.url}
        )
        self._running: list[threading.Thread] = []

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        for thread in self._running:
            thread.join(60)

    def invoke(self, event: Any, api: RuntimeApi) -> Outcome:
        """Run one invocation to its end, in a process of its own.

        Args:
            event: The event.
            api: Where what comes back can be watched while it comes.

        Raises:
            RuntimeError: The process ended, or its time, without an answer.
        """
        api.offer(event)
        process = self._function.start(api.address)
        try:
            outcome = api.outcome(_START_SECONDS + self.timeout_seconds)
            if outcome is not None:
                api.next_asked.wait(self.timeout_seconds)  # Lambda freezes the process only then
        finally:
            process.kill()
            output, _ = process.communicate()
        if outcome is None:
            raise RuntimeError(f"no answer; the function's output:\n{output.decode(errors='replace')}")
        return outcome

    def api(self) -> RuntimeApi:
        """A Runtime API for one invocation."""
        return RuntimeApi(self._function.configuration["FunctionArn"], self.timeout_seconds)

    @property
    def timeout_seconds(self) -> float:
        """The function's."""
        return float(self._function.configuration["Timeout"])

    def in_background(self, event: Any, api: RuntimeApi) -> None:
        """Run an invocation that goes on although nobody waits for it."""

        def run() -> None:
            with api:
                self.invoke(event, api)

        thread = threading.Thread(target=run, daemon=True)
        self._running.append(thread)
        thread.start()


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def _front(self) -> FunctionUrl:
        front: FunctionUrl = self.server.front  # type: ignore[attr-defined]
        return front

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        asynchronous = _INVOKE.fullmatch(self.path)
        if asynchronous is not None:
            self._front.events.append((f"{asynchronous['function']}:{asynchronous['alias']}", json.loads(body)))
            self._front.in_background(json.loads(body), self._front.api())
            self._whole(202, b"")
            return
        event = event_from(
            Request(self.command, self.path, list(self.headers.items()), body), str(uuid.uuid4()), time.time()
        )
        event["requestContext"].pop("authorizer", None)
        if self._front.signed:
            event["requestContext"]["authorizer"] = ALICE.authorizer()  # whose signature Lambda has checked
        api = self._front.api()
        self._front.in_background(event, api)
        self._carry(api)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

    def _carry(self, api: RuntimeApi) -> None:
        """Hand on what comes; a caller who has left is nothing that the function hears of."""
        while True:
            part = api.arrived.get(timeout=_START_SECONDS + self._front.timeout_seconds)
            if isinstance(part, Outcome):
                if part.streamed is None:
                    self._whole(502, b'{"Message": "Internal Server Error"}')
                elif not self._is_bodiless(part.streamed.prelude):
                    self.wfile.write(b"0\r\n\r\n")
                return
            if isinstance(part, dict):
                self._begin(part)
            else:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))

    def _begin(self, prelude: dict[str, Any]) -> None:
        self.send_response(prelude["statusCode"])
        for name, value in prelude["headers"].items():
            self.send_header(name, value)
        for cookie in prelude["cookies"]:
            self.send_header("Set-Cookie", cookie)
        if not self._is_bodiless(prelude):
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    @staticmethod
    def _is_bodiless(prelude: dict[str, Any]) -> bool:
        return prelude["statusCode"] in {204, 304}

    def _whole(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        """Serve the connection until its caller has left."""
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nothing to the transcript."""

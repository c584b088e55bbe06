"""A loopback Bedrock Runtime that plays a script: ``Converse`` and ``ConverseStream`` over real HTTP.

    with BedrockServer("Hello.", tool_use("clock"), throttled(), ["Half an ans", ConnectionError()]) as bedrock:
        model = BedrockModel(endpoint_url=bedrock.url, region_name="eu-west-1")
        Agent(model=model)("Hi")
        bedrock.requests[0].body          # the JSON the unmodified BedrockModel sent

The parts a reply is made of are described in ``tests.doubles.script``. Here ``Guardrail`` is one of them, a
``BedrockFault`` is the service's error (HTTP status when it comes first, exception event later), ``HangUp`` ends the
stream without a stop reason, and any other exception drops the connection in the middle of a frame. Requests that
the service would refuse (broken tool pairs, blank text, no credentials) are refused here too, before the script.

Other processes use ``AWS_ENDPOINT_URL_BEDROCK_RUNTIME`` and run ``python -m tests.doubles.bedrock_server``.
"""

import argparse
import json
import re
import signal
import socket
import ssl
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from tests.doubles import converse_replies, converse_rules, eventstream, script_file
from tests.doubles.bedrock_faults import BedrockFault
from tests.doubles.script import (
    Guardrail,
    HangUp,
    Part,
    Pause,
    Request,
    Script,
    ScriptExhaustedError,
    ScriptItem,
    Stop,
    reasoning,
    tool_use,
)

__all__ = [
    "BedrockFault",
    "BedrockServer",
    "ConverseRequest",
    "Guardrail",
    "HangUp",
    "Pause",
    "Stop",
    "reasoning",
    "tool_use",
]

_ROUTE = re.compile(r"/model/(?P<model_id>[^/]+)/(?P<operation>converse|converse-stream)")


@dataclass(frozen=True)
class ConverseRequest(Request):
    """One request as it came over the wire.

    Attributes:
        model_id: the model asked for.
        operation: ``converse`` or ``converse-stream``.
        body: the JSON; bytes are base64 text, as on the wire.
    """

    model_id: str = ""
    operation: str = ""
    body: dict[str, Any] = field(default_factory=dict)


class BedrockServer:
    """The server; use it as a context manager.

    Args:
        *script: the items (see ``tests.doubles.script``).
        otherwise: answers every request after the script's end; without it such a request is answered with an
            error, and leaving the context raises.
        strict_roles: refuse conversations whose roles do not alternate, as some models do.
        think_seconds: how long the model thinks before each reply.
        sleep: how it waits; a test with a fake clock gives its own.
        input_tokens: usage reported for each request's input.
        output_tokens: usage reported for each request's output.
        port: where to listen on 127.0.0.1; 0 chooses a free one.
        tls: speak TLS.

    Attributes:
        left: set once a client has closed its connection before the end of a stream.
    """

    def __init__(
        self,
        *script: ScriptItem,
        otherwise: ScriptItem | None = None,
        strict_roles: bool = False,
        think_seconds: float = 0,
        sleep: Callable[[float], None] = time.sleep,
        input_tokens: int = 12,
        output_tokens: int = 7,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.script: Script[ConverseRequest] = Script(script, otherwise)
        self.strict_roles = strict_roles
        self.think_seconds = think_seconds
        self.sleep = sleep
        self.metadata: dict[str, Any] = {
            "usage": {
                "inputTokens": input_tokens,
                "outputTokens": output_tokens,
                "totalTokens": input_tokens + output_tokens,
            },
            "metrics": {"latencyMs": round(think_seconds * 1000)},
        }
        self.left = threading.Event()
        self.exhausted: ScriptExhaustedError | None = None
        self._http = _Listener(("127.0.0.1", port), _Connection)
        self._http.tls = tls
        self._http.bedrock = self  # type: ignore[attr-defined] # how the connections find the script
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), name="bedrock", daemon=True)

    @property
    def url(self) -> str:
        """The endpoint's URL."""
        return f"http{'s' if self._http.tls else ''}://127.0.0.1:{self._http.server_address[1]}"

    @property
    def requests(self) -> list[ConverseRequest]:
        """Every request the script answered, in order."""
        return self.script.requests

    def __enter__(self) -> Self:
        """Start to listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening.

        Raises:
            ScriptExhaustedError: when there were more requests than replies and nothing else went wrong.
        """
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        if problem is None and self.exhausted:
            raise self.exhausted


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # the default of 5 makes a burst of connections wait for a second
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.tls is not None:
            # The handshake comes with the first read, on the connection's own thread.
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ssl.SSLError):  # a client that has gone away
            super().handle_error(request, client_address)


class _Connection(BaseHTTPRequestHandler):
    """One client's connection; HTTP/1.1, kept alive, as boto3 expects."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def bedrock(self) -> BedrockServer:
        return self.server.bedrock  # type: ignore[attr-defined,no-any-return] # set by BedrockServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: tests read ``requests``."""

    def do_GET(self) -> None:
        if self.path == "/_control/requests":
            self._send_json(200, {"requests": [request.body for request in self.bedrock.requests]})
        else:
            self._send_fault(BedrockFault("ResourceNotFoundException", f"no such operation: GET {self.path}"))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))) or b"{}")
        if self.path == "/_control/script":
            self.bedrock.script.extend(script_file.read_items(body))
            self._send_json(200, {"unplayed": self.bedrock.script.unplayed})
            return
        try:
            request = self._converse_request(body)
            parts = self.bedrock.script.answer(request)
        except BedrockFault as fault:
            self._send_fault(fault)
            return
        except ScriptExhaustedError as exhausted:
            self.bedrock.exhausted = exhausted
            self._send_fault(BedrockFault("ValidationException", str(exhausted)))
            return
        self._play(request, parts)

    def _converse_request(self, body: dict[str, Any]) -> ConverseRequest:
        route = _ROUTE.fullmatch(self.path)
        if route is None:
            raise BedrockFault("ResourceNotFoundException", f"no such operation: POST {self.path}")
        if "authorization" not in self.headers:
            raise BedrockFault("MissingAuthenticationTokenException", "Missing Authentication Token")
        converse_rules.check(body, strict_roles=self.bedrock.strict_roles)
        return ConverseRequest(
            messages=body["messages"],
            system_prompt="".join(block.get("text", "") for block in body.get("system", [])) or None,
            tool_specs=[tool["toolSpec"] for tool in body.get("toolConfig", {}).get("tools", []) if "toolSpec" in tool],
            tool_choice=body.get("toolConfig", {}).get("toolChoice"),
            model_id=urllib.parse.unquote(route["model_id"]),
            operation=route["operation"],
            body=body,
        )

    def _play(self, request: ConverseRequest, parts: list[Part]) -> None:
        if self.bedrock.think_seconds:
            self.bedrock.sleep(self.bedrock.think_seconds)
        if isinstance(parts[0], BedrockFault):
            self._send_fault(parts[0])
        elif isinstance(parts[0], BaseException):
            self._drop()
        elif request.operation == "converse":
            self._send_whole(parts)
        else:
            self._send_stream(parts)

    def _send_stream(self, parts: list[Part]) -> None:
        self.send_response(200)
        self.send_header("content-type", eventstream.CONTENT_TYPE)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for frame in converse_replies.frames(parts, self.bedrock.metadata, self.bedrock.sleep):
                self._send_chunk(frame)
        except BaseException as problem:
            if problem not in parts:
                if not isinstance(problem, ConnectionError):
                    raise
                self.bedrock.left.set()
                self.close_connection = True
                return
            # Half of a frame, so that the client cannot mistake this for the end.
            torn = eventstream.event("contentBlockStop", {"contentBlockIndex": 0})
            self._send_chunk(torn[: len(torn) // 2])
            self._drop()
            return
        self._send_chunk(b"")

    def _send_whole(self, parts: list[Part]) -> None:
        try:
            self._send_json(200, converse_replies.whole(parts, self.bedrock.metadata, self.bedrock.sleep))
        except BedrockFault as fault:
            self._send_fault(fault)
        except BaseException as problem:
            if problem not in parts:
                raise
            self._drop()

    def _send_fault(self, fault: BedrockFault) -> None:
        self._send_json(fault.status, fault.body, {"x-amzn-errortype": fault.code})

    def _send_json(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _send_chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _drop(self) -> None:
        """Close the connection without the end that HTTP asks for."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def main(arguments: list[str] | None = None) -> int:
    """Serve a script file until interrupted; the first line of output is the URL.

    ``GET /_control/requests`` returns the recorded bodies, ``POST /_control/script`` adds items.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.doubles.bedrock_server", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="where to listen on 127.0.0.1; 0 chooses a free port")
    parser.add_argument("--script", type=Path, help="a JSON list of items; none to start with an empty script")
    parser.add_argument("--otherwise", help="the text that answers every request after the script's end")
    parser.add_argument("--think-seconds", type=float, default=0, help="how long the model thinks before a reply")
    parser.add_argument("--strict-roles", action="store_true", help="refuse roles that do not alternate")
    options = parser.parse_args(arguments)
    items = json.loads(options.script.read_text()) if options.script else []
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    try:
        with BedrockServer(
            *script_file.read_items(items),
            otherwise=options.otherwise,
            think_seconds=options.think_seconds,
            strict_roles=options.strict_roles,
            port=options.port,
        ) as server:
            print(server.url, flush=True)  # noqa: T201 - the caller reads it
            stopped.wait()
    except ScriptExhaustedError as exhausted:
        sys.stderr.write(f"{exhausted}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

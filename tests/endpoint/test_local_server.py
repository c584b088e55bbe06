"""The local HTTP server in front of a handler, without the endpoint behind it."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from local.invocation import TIMEOUT_SECONDS, InFlight, LambdaContext
from local.server import LocalServer

MEGABYTE = 1024 * 1024


class Handler:
    """Records what it is called with and returns what it is told to."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.remaining: list[int] = []
        self.answer: Callable[[dict[str, Any]], Any] = lambda _event: {"statusCode": 200, "body": '{"ok": true}'}

    def __call__(self, event: dict[str, Any], context: LambdaContext) -> Any:
        self.events.append(event)
        self.remaining.append(context.get_remaining_time_in_millis())
        assert context.aws_request_id == event["requestContext"]["requestId"]
        return self.answer(event)


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def server(handler: Handler) -> Iterator[LocalServer]:
    server = LocalServer(0)
    server.serve(handler)
    yield server
    server.stop()


class Answer:
    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def connect(server: LocalServer) -> HTTPConnection:
    return HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)


def ask(server: LocalServer, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
    connection = connect(server)
    try:
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return Answer(connection.getresponse())
    finally:
        connection.close()


def test_a_request_reaches_the_handler_with_all_it_brings(server: LocalServer, handler: Handler) -> None:
    answer = ask(server, "POST", "/a%20b?x=1", b'{"prompt": "hi"}', Content_Type="application/json")

    event = handler.events[0]
    assert (event["rawPath"], event["rawQueryString"], event["body"]) == ("/a%20b", "x=1", '{"prompt": "hi"}')
    assert event["requestContext"]["http"]["method"] == "POST"
    assert answer.json == {"ok": True}
    assert answer.headers["x-amzn-requestid"] == event["requestContext"]["requestId"]
    assert 0 < handler.remaining[0] <= TIMEOUT_SECONDS * 1000


def test_the_time_left_follows_the_clock() -> None:
    now = [100.0]
    context = LambdaContext(deadline=130, monotonic=lambda: now[0])

    assert context.get_remaining_time_in_millis() == 30_000
    now[0] = 131
    assert context.get_remaining_time_in_millis() == 0


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_goes_to_the_function(method: str, server: LocalServer, handler: Handler) -> None:
    assert ask(server, method, "/").status == 200
    assert handler.events[0]["requestContext"]["http"]["method"] == method


def test_head_gets_the_headers_alone(server: LocalServer) -> None:
    answer = ask(server, "HEAD", "/")

    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "12", b"")


def test_an_unknown_method_is_a_problem_document(server: LocalServer, handler: Handler) -> None:
    answer = ask(server, "BREW", "/")

    assert (answer.status, answer.headers["content-type"]) == (501, "application/problem+json")
    assert answer.json["status"] == 501
    assert handler.events == []


def test_a_204_has_no_body_and_the_connection_lives_on(server: LocalServer, handler: Handler) -> None:
    handler.answer = lambda event: {"statusCode": 204 if event["rawPath"] == "/gone" else 200, "body": "{}"}
    connection = connect(server)

    connection.request("DELETE", "/gone")
    first = Answer(connection.getresponse())
    before = connection.sock
    connection.request("GET", "/")
    second = Answer(connection.getresponse())
    after = connection.sock
    connection.close()

    assert (first.status, first.body, "content-length" in first.headers) == (204, b"", False)
    assert second.status == 200
    assert before is after


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Host": "rebound.example.org:8000"},
        {"Host": "localhost.example.org"},
        {"Host": "["},
    ],
)
def test_a_page_from_elsewhere_cannot_use_the_users_browser(
    headers: dict[str, str], server: LocalServer, handler: Handler
) -> None:
    answer = ask(server, "POST", "/sessions", b"{}", **headers)

    assert (answer.status, answer.json["title"]) == (403, "Not from this machine")
    assert handler.events == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://127.0.0.1"},
        {"Host": "localhost:8000"},
        {"Host": "[::1]"},
    ],
)
def test_a_page_of_this_machine_can(headers: dict[str, str], server: LocalServer) -> None:
    assert ask(server, "POST", "/sessions", b"{}", **headers).status == 200


def test_too_large_a_body_is_413_and_never_reaches_the_handler(server: LocalServer, handler: Handler) -> None:
    answer = ask(server, "POST", "/", b"x" * (6 * MEGABYTE + 1), Content_Type="text/plain")

    assert (answer.status, answer.headers["content-type"]) == (413, "application/problem+json")
    assert answer.json["title"] == "Too large"
    assert handler.events == []


def test_a_body_that_grows_too_large_as_base64_is_413_too(server: LocalServer, handler: Handler) -> None:
    assert ask(server, "POST", "/", b"\x00" * (5 * MEGABYTE), Content_Type="image/png").status == 413
    assert ask(server, "POST", "/", b"x" * (5 * MEGABYTE), Content_Type="text/plain").status == 200
    assert len(handler.events) == 1


def exchange(server: LocalServer, request: bytes) -> bytes:
    """Send bytes and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.server_address[1]), timeout=20) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_who_asks_first_is_told_before_sending_a_large_body(server: LocalServer) -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 7000000\r\nExpect: 100-continue\r\n\r\n"

    assert exchange(server, head).startswith(b"HTTP/1.1 413 ")


def test_who_asks_first_with_a_small_body_may_send_it(server: LocalServer, handler: Handler) -> None:
    head = b"POST / HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n{}"
    answer = exchange(server, head)

    assert answer.startswith(b"HTTP/1.1 100 ")
    assert b"HTTP/1.1 200 " in answer
    assert len(handler.events) == 1


@pytest.mark.parametrize(
    ("header", "status"),
    [(b"Transfer-Encoding: chunked", 411), (b"Content-Length: -5", 400), (b"Content-Length: many", 400)],
)
def test_a_body_of_unknown_length_is_refused(header: bytes, status: int, server: LocalServer, handler: Handler) -> None:
    answer = exchange(server, b"POST / HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n0\r\n\r\n")

    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in answer
    assert handler.events == []


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"statusCode": 200, "body": {"not": "text"}}, "raised"),
        ({"statusCode": 200, "body": "x" * (6 * MEGABYTE + 1)}, "larger than 6 MB"),
    ],
)
def test_a_result_that_cannot_be_sent_is_502(result: Any, said: str, server: LocalServer, handler: Handler) -> None:
    handler.answer = lambda _event: result

    answer = ask(server, "GET", "/")

    assert answer.status == 502
    assert said in answer.json["detail"]


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("out of ideas"),
        SystemExit("out of ideas"),
        KeyboardInterrupt("out of ideas"),
        BaseExceptionGroup("out of ideas", [GeneratorExit("out of ideas")]),
    ],
)
def test_a_handler_that_raises_gives_a_502_without_its_words_and_the_next_request_is_answered(
    error: BaseException, server: LocalServer, handler: Handler, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(_event: dict[str, Any]) -> Any:
        raise error from ValueError("out of ideas, too")

    handler.answer = fail
    failed = ask(server, "GET", "/")
    handler.answer = lambda _event: {"statusCode": 200}

    assert failed.status == 502
    assert "out of ideas" not in failed.body.decode()
    shown = capfd.readouterr().err
    assert shown.startswith(type(error).__name__)
    assert "test_local_server.py" in shown
    assert "out of ideas" not in shown
    assert ask(server, "GET", "/").status == 200


def test_requests_are_answered_at_the_same_time(server: LocalServer, handler: Handler) -> None:
    together = threading.Barrier(3, timeout=20)

    def meet(_event: dict[str, Any]) -> Any:
        together.wait()
        return {"statusCode": 200}

    handler.answer = meet
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(ask(server, "GET", "/").status)) for _ in range(2)]
    for thread in threads:
        thread.start()
    together.wait()
    for thread in threads:
        thread.join()

    assert statuses == [200, 200]


def test_ending_waits_for_the_request_in_flight_and_takes_no_more(handler: Handler) -> None:
    server = LocalServer(0)
    server.serve(handler)
    begun, finish = threading.Event(), threading.Event()

    def slow(_event: dict[str, Any]) -> Any:
        begun.set()
        assert finish.wait(20)
        return {"statusCode": 200}

    handler.answer = slow
    statuses: list[int] = []
    idle = connect(server)
    idle.connect()
    client = threading.Thread(target=lambda: statuses.append(ask(server, "GET", "/").status))
    client.start()
    assert begun.wait(20)

    unfinished = server.stop()

    assert unfinished == 1
    assert not server.in_flight.drained(0)
    with pytest.raises(ConnectionRefusedError):
        ask(server, "GET", "/")
    idle.request("GET", "/")
    assert idle.getresponse().status == 503
    idle.close()
    finish.set()
    assert server.in_flight.drained(20)
    client.join()
    assert statuses == [200]


def test_nothing_in_flight_is_drained_at_once() -> None:
    in_flight = InFlight()

    assert in_flight.close() == 0
    assert in_flight.drained(0)
    assert not in_flight.enter()


def test_a_taken_port_is_an_error(server: LocalServer) -> None:
    with pytest.raises(OSError, match="in use"):
        LocalServer(server.server_address[1])

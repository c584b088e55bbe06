"""The local server on the wire: requests that are cut, slow, contradictory or no HTTP; answers that cannot be sent."""

import asyncio
import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.connection import Connection
from local.function_url import response_from
from local.invocation import LambdaContext
from local.server import LocalServer

MEGABYTE = 1024 * 1024
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Handler:
    """Records what it is called with and returns what it is told to."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.answer: Callable[[dict[str, Any]], Any] = lambda _event: {"statusCode": 200, "body": "{}"}

    def __call__(self, event: dict[str, Any], context: LambdaContext) -> Any:
        self.events.append(event)
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


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, server: LocalServer) -> LocalServer:
    """A server that waits for nobody longer than a moment."""
    monkeypatch.setattr(Connection, "patience_seconds", 0.2)
    return server


def connected(server: LocalServer) -> socket.socket:
    return socket.create_connection(server.server_address, timeout=20)


def read_to_the_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


def exchange(server: LocalServer, *pieces: bytes, half_close: bool = False) -> bytes:
    """Send bytes, end the sending side if asked to, and return all that comes back until the server closes."""
    with connected(server) as connection:
        for piece in pieces:
            connection.sendall(piece)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        return read_to_the_end(connection)


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def problem_of(answer: bytes) -> Any:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), answer
    return json.loads(body)


def ask(server: LocalServer, method: str = "GET", target: str = "/", body: bytes | None = None) -> tuple[int, bytes]:
    connection = HTTPConnection(*server.server_address, timeout=20)
    try:
        connection.request(method, target, body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class TestBodies:
    def test_a_body_that_ends_before_its_length_is_400_and_never_reaches_the_handler(
        self, server: LocalServer, handler: Handler
    ) -> None:
        head = b"POST /sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"

        answer = exchange(server, head, b'{"prompt": "half of it"', half_close=True)

        assert status_of(answer) == problem_of(answer)["status"] == 400
        assert handler.events == []

    def test_a_client_that_vanishes_in_its_body_leaves_nothing_behind(
        self, server: LocalServer, handler: Handler, capfd: pytest.CaptureFixture[str]
    ) -> None:
        with connected(server) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{}")

        assert ask(server, target="/after")[0] == 200
        assert [event["rawPath"] for event in handler.events] == ["/after"]
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize(
        "length",
        [
            "1" + "0" * 4999,
            "1" + "0" * 30,
            "-5",
            "+5",
            "5 5",
            "0x10",
            "1e3",
            "5,6",
            "five",
            "",
            "\u0665",
            "5\t5",
            "1_000",
        ],
    )
    def test_an_invalid_content_length_is_400_at_once(
        self, length: str, server: LocalServer, handler: Handler, capfd: pytest.CaptureFixture[str]
    ) -> None:
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()

        answer = exchange(server, head)

        assert status_of(answer) == problem_of(answer)["status"] == 400
        assert handler.events == []
        assert capfd.readouterr().err == ""

    def test_two_lengths_that_differ_are_400(self, server: LocalServer, handler: Handler) -> None:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"

        assert status_of(exchange(server, head)) == 400
        assert handler.events == []

    @pytest.mark.parametrize("length", [6 * MEGABYTE + 1, 10**9, 10**19])
    def test_a_length_above_the_limit_is_413_before_a_byte_of_the_body_has_come(
        self, length: int, server: LocalServer, handler: Handler
    ) -> None:
        with connected(server) as connection:
            connection.sendall(f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())
            answer = read_to_the_end(connection)

        assert status_of(answer) == problem_of(answer)["status"] == 413
        assert handler.events == []

    @pytest.mark.parametrize("connection_header", [b"", b"Connection: close\r\n"])
    def test_who_sends_all_of_a_refused_body_first_still_reads_why(
        self, connection_header: bytes, server: LocalServer, handler: Handler
    ) -> None:
        size = 20 * MEGABYTE
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n".encode() + connection_header

        answer = exchange(server, head + b"\r\n", b"x" * size)

        assert status_of(answer) == 413
        assert handler.events == []

    def test_a_refused_body_without_end_is_not_read_without_end(self, server: LocalServer) -> None:
        with connected(server) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
            with pytest.raises(OSError, match=r"(?i)reset|broken"):
                connection.sendall(b"x" * (200 * MEGABYTE))

    def test_chunks_that_outgrow_the_limit_are_413_before_they_end(self, server: LocalServer, handler: Handler) -> None:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"100000\r\n" + b"x" * MEGABYTE + b"\r\n"

        answer = exchange(server, head, *[chunk] * 7)

        assert status_of(answer) == problem_of(answer)["status"] == 413
        assert handler.events == []

    def test_a_small_body_in_chunks_is_asked_for_with_its_length(self, server: LocalServer, handler: Handler) -> None:
        head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"

        assert status_of(exchange(server, head, b"\r\n2\r\n{}\r\n0\r\n\r\n")) == 411
        assert status_of(exchange(server, head, b"Expect: 100-continue\r\n\r\n")) == 411
        assert handler.events == []

    @pytest.mark.parametrize(
        "extra",
        [
            b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        ],
    )
    def test_a_body_with_two_readings_is_refused(self, extra: bytes, server: LocalServer, handler: Handler) -> None:
        answer = exchange(server, b"POST / HTTP/1.1\r\nHost: localhost\r\n" + extra, half_close=True)

        assert status_of(answer) in {400, 411}
        assert problem_of(answer)["status"] == status_of(answer)
        assert handler.events == []


class TestRequests:
    @pytest.mark.parametrize(
        "request_bytes",
        [
            b"\r\n\r\n\x00\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET /caf\xe9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX : y\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \x00\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: example.org\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100 + b"\r\n\r\n",
        ],
    )
    def test_bytes_that_are_no_request_are_a_400_problem_document(
        self, request_bytes: bytes, server: LocalServer, handler: Handler, capfd: pytest.CaptureFixture[str]
    ) -> None:
        answer = exchange(server, request_bytes)

        assert status_of(answer) == problem_of(answer)["status"] == 400
        assert handler.events == []
        assert capfd.readouterr().err == ""

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(noise=st.binary(min_size=1, max_size=300))
    def test_no_noise_reaches_the_handler_or_stops_the_server(
        self, noise: bytes, server: LocalServer, handler: Handler
    ) -> None:
        exchange(server, noise, b"\r\n\r\n", half_close=True)

        assert handler.events == []
        assert not server.in_flight.is_over

    @pytest.mark.parametrize(
        ("target", "path", "query"),
        [
            (b"/a%2Fb/%E9", "/a%2Fb/%E9", ""),
            (b"//a/../b", "//a/../b", ""),
            (b"/?", "/", ""),
            (b"/?a=%2B&b=?&a=1", "/", "a=%2B&b=?&a=1"),
            (b"*", "*", ""),
        ],
    )
    def test_path_and_query_arrive_as_they_were_sent(
        self, target: bytes, path: str, query: str, server: LocalServer, handler: Handler
    ) -> None:
        exchange(server, b"OPTIONS " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

        (event,) = handler.events
        assert (event["rawPath"], event["rawQueryString"]) == (path, query)
        assert event["requestContext"]["http"]["path"] == path

    def test_headers_arrive_in_order_joined_and_undecoded(self, server: LocalServer, handler: Handler) -> None:
        lines = [b"X-Many: 1", b"x-many: 2", b"Cookie: a=1; b=2", b"X-Name: caf\xe9", b"X-Forwarded-For: 10.0.0.1"]
        exchange(server, b"GET / HTTP/1.0\r\nHost: localhost\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")

        (event,) = handler.events
        assert event["headers"] == {
            "host": "localhost", "x-many": "1,2", "x-name": "caf\xe9", "x-forwarded-for": "10.0.0.1",
        }  # fmt: skip
        assert event["cookies"] == ["a=1", "b=2"]
        assert event["requestContext"]["http"]["protocol"] == "HTTP/1.0"
        assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"

    @pytest.mark.parametrize("upgrade", [b"websocket", b"h2c"])
    def test_an_upgrade_is_answered_as_an_ordinary_request(
        self, upgrade: bytes, server: LocalServer, handler: Handler, capfd: pytest.CaptureFixture[str]
    ) -> None:
        head = (
            b"GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: " + upgrade + b"\r\n\r\n"
        )

        assert status_of(exchange(server, head)) == 200
        assert [event["rawPath"] for event in handler.events] == ["/chat"]
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize("version", [b"0.9", b"2.0", b"9.9"])
    def test_another_version_of_http_is_505(self, version: bytes, server: LocalServer, handler: Handler) -> None:
        answer = exchange(server, b"GET / HTTP/" + version + b"\r\nHost: localhost\r\n\r\n")

        assert status_of(answer) == problem_of(answer)["status"] == 505
        assert handler.events == []

    def test_this_is_no_proxy(self, server: LocalServer, handler: Handler) -> None:
        assert status_of(exchange(server, b"CONNECT example.org:443 HTTP/1.1\r\nHost: localhost\r\n\r\n")) == 501
        assert handler.events == []

    def test_every_origin_has_to_be_this_machines(self, server: LocalServer, handler: Handler) -> None:
        origins = b"Origin: http://localhost\r\nOrigin: https://example.org\r\n\r\n"

        assert status_of(exchange(server, GET[:-2] + b"Connection: close\r\n" + origins)) == 403
        assert handler.events == []


class TestConnections:
    def test_one_connection_serves_one_request_after_the_other(self, server: LocalServer, handler: Handler) -> None:
        connection = HTTPConnection(*server.server_address, timeout=20)
        connection.connect()
        first = connection.sock
        for number in range(5):
            connection.request("POST", f"/{number}", b"{}", {"content-type": "application/json"})
            assert connection.getresponse().read() == b"{}"

        assert connection.sock is first
        connection.close()
        assert [event["rawPath"] for event in handler.events] == ["/0", "/1", "/2", "/3", "/4"]

    def test_requests_sent_ahead_are_answered_in_order(self, server: LocalServer, handler: Handler) -> None:
        handler.answer = lambda event: {"statusCode": 200, "body": event["rawPath"]}
        requests = [f"GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for number in range(4)]

        answer = exchange(server, b"".join(requests), half_close=True)

        assert [line for line in answer.split(b"\r\n\r\n") if line.startswith(b"/")] != []
        assert [answer.index(f"\r\n\r\n/{number}".encode()) for number in range(4)] == sorted(
            answer.index(f"\r\n\r\n/{number}".encode()) for number in range(4)
        )
        assert answer.count(b"HTTP/1.1 200 ") == 4

    def test_a_client_that_ends_its_side_after_asking_gets_its_answer(
        self, server: LocalServer, handler: Handler
    ) -> None:
        reached, go_on = threading.Event(), threading.Event()

        def slow(_event: dict[str, Any]) -> Any:
            reached.set()
            assert go_on.wait(20)
            return {"statusCode": 200, "body": "late"}

        handler.answer = slow
        with connected(server) as connection:
            connection.sendall(GET)
            connection.shutdown(socket.SHUT_WR)
            assert reached.wait(20)
            go_on.set()
            answer = read_to_the_end(connection)

        assert status_of(answer) == 200
        assert answer.endswith(b"late")

    def test_who_leaves_while_the_turn_runs_does_not_stop_it(self, server: LocalServer, handler: Handler) -> None:
        reached, go_on, finished = threading.Event(), threading.Event(), threading.Event()

        def slow(_event: dict[str, Any]) -> Any:
            reached.set()
            assert go_on.wait(20)
            finished.set()
            return {"statusCode": 200}

        handler.answer = slow
        with connected(server) as connection:
            connection.sendall(GET)
            assert reached.wait(20)
        go_on.set()

        assert finished.wait(20)
        assert server.stop() in {0, 1}
        assert server.wait(20)

    def test_a_request_that_drips_in_is_given_up(self, impatient: LocalServer, handler: Handler) -> None:
        with connected(impatient) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
            answer = drip(connection)

        assert status_of(answer) == problem_of(answer)["status"] == 408
        assert handler.events == []

    def test_a_body_that_drips_in_is_given_up(self, impatient: LocalServer, handler: Handler) -> None:
        with connected(impatient) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n{")
            answer = drip(connection)

        assert status_of(answer) == problem_of(answer)["status"] == 408
        assert handler.events == []

    def test_a_second_request_that_drips_in_is_given_up_too(self, impatient: LocalServer, handler: Handler) -> None:
        with connected(impatient) as connection:
            connection.sendall(GET)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            connection.sendall(b"G")
            answer = drip(connection)

        assert b"HTTP/1.1 408 " in answer
        assert len(handler.events) == 1

    def test_a_connection_on_which_nothing_is_asked_is_closed(self, impatient: LocalServer) -> None:
        assert exchange(impatient) == b""

    def test_a_turn_may_take_longer_than_its_request_may_take_to_arrive(
        self, impatient: LocalServer, handler: Handler
    ) -> None:
        idle = connected(impatient)  # closed when the time is up, which is when the turn has taken longer than that

        def slow(_event: dict[str, Any]) -> Any:
            assert idle.recv(1) == b""
            return {"statusCode": 200}

        handler.answer = slow

        assert ask(impatient)[0] == 200
        idle.close()

    def test_a_client_that_does_not_take_its_answer_does_not_keep_the_server(
        self, impatient: LocalServer, handler: Handler
    ) -> None:
        handler.answer = lambda _event: {"statusCode": 200, "body": "x" * (5 * MEGABYTE)}
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(impatient.server_address)
            connection.sendall(GET)
            assert connection.recv(1) == b"H"
            impatient.stop()

            assert impatient.wait(20)


def drip(connection: socket.socket) -> bytes:
    """Send a byte whenever nothing has come for a moment, until the server has had enough; return what it says."""
    answer = b""
    while True:
        ready, _, _ = select.select([connection], [], [], 0.02)
        if ready:
            piece = connection.recv(65536)
            if not piece:
                return answer
            answer += piece
        elif not answer:
            connection.sendall(b"x")


class TestAnswers:
    @pytest.mark.parametrize(
        "result",
        [
            {"statusCode": 200, "headers": {"X-Name": "Ada\r\nSet-Cookie: stolen=1"}},
            {"statusCode": 200, "headers": {"X-Name": "Ada\nX: y"}},
            {"statusCode": 200, "headers": {"X-Name\r\nX": "y"}},
            {"statusCode": 200, "headers": {"X Name": "y"}},
            {"statusCode": 200, "headers": {"": "y"}},
            {"statusCode": 200, "headers": {"X-Name": "\u0142"}},
            {"statusCode": 200, "headers": {"X-Name": "\x00"}},
            {"statusCode": 200, "headers": ["X-Name", "y"]},
            {"statusCode": 200, "cookies": ["a=1\r\nX: y"]},
            {"statusCode": 101},
            {"statusCode": 99},
            {"statusCode": 1000},
            {"statusCode": None},
        ],
    )
    def test_an_answer_that_cannot_be_sent_is_502_and_no_part_of_it_is(
        self, result: Any, server: LocalServer, handler: Handler
    ) -> None:
        handler.answer = lambda _event: result

        answer = exchange(server, GET[:-2] + b"Connection: close\r\n\r\n")

        assert status_of(answer) == problem_of(answer)["status"] == 502
        assert b"stolen" not in answer

    def test_the_length_is_the_servers_word(self, server: LocalServer, handler: Handler) -> None:
        handler.answer = lambda _event: {
            "statusCode": 200,
            "headers": {
                "Content-Length": "3",
                "Transfer-Encoding": "chunked",
                "Connection": "upgrade",
                "X-Own": "yes",
            },
            "body": "four",
        }

        answer = exchange(server, GET[:-2] + b"Connection: close\r\n\r\n").lower()

        assert answer.count(b"content-length: 4\r\n") == answer.count(b"content-length") == 1
        assert b"transfer-encoding" not in answer
        assert b"x-own: yes\r\n" in answer
        assert answer.endswith(b"\r\n\r\nfour")

    def test_every_cookie_is_a_line_of_its_own(self, server: LocalServer, handler: Handler) -> None:
        handler.answer = lambda _event: {"statusCode": 200, "cookies": ["a=1", "b=2"], "body": ""}

        answer = exchange(server, GET[:-2] + b"Connection: close\r\n\r\n").lower()

        assert b"set-cookie: a=1\r\n" in answer
        assert b"set-cookie: b=2\r\n" in answer

    @pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()])
    def test_whatever_the_handler_raises_is_502_and_the_server_lives(
        self, raised: BaseException, server: LocalServer, handler: Handler
    ) -> None:
        def fail(_event: dict[str, Any]) -> Any:
            raise raised

        handler.answer = fail
        status, body = ask(server)
        handler.answer = lambda _event: {"statusCode": 200}

        assert (status, json.loads(body)["title"]) == (502, "The function failed")
        assert ask(server)[0] == 200

    def test_as_many_turns_run_at_once_as_are_asked_for(self, server: LocalServer, handler: Handler) -> None:
        together = threading.Barrier(60, timeout=20)

        def meet(_event: dict[str, Any]) -> Any:
            together.wait()
            return {"statusCode": 200}

        handler.answer = meet
        connections = [connected(server) for _ in range(60)]
        for connection in connections:
            connection.sendall(GET)

        assert [status_of(connection.recv(65536)) for connection in connections] == [200] * 60
        for connection in connections:
            connection.close()

    def test_a_body_in_bytes_comes_back_as_it_was(self, server: LocalServer, handler: Handler) -> None:
        body = bytes(range(256)) * 4
        handler.answer = lambda event: {"statusCode": 200, "body": event["body"], "isBase64Encoded": True}

        assert ask(server, "POST", "/", body) == (200, body)

    def test_the_server_names_itself_without_a_version(self, server: LocalServer) -> None:
        answer = exchange(server, GET[:-2] + b"Connection: close\r\n\r\n").lower()

        assert b"server: agent-session-kit-local\r\n" in answer
        assert b"uvicorn" not in answer
        assert b"date: " in answer


@given(name=st.text(max_size=8), value=st.text(max_size=12))
def test_no_header_of_the_function_becomes_two(name: str, value: str) -> None:
    try:
        response = response_from({"statusCode": 200, "headers": {name: value}})
    except ValueError:
        return
    for sent_name, sent_value in response.headers:
        line = f"{sent_name}: {sent_value}".encode("latin-1")
        assert not set(line) & set(b"\r\n\x00")
        assert sent_name
